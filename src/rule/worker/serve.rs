//! The worker's own side: it runs what it is asked for, until nobody is left to ask.

use std::io::{self, BufRead, Write};
use std::thread;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::writer::StreamWriter;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::{Either, select};

use super::super::param::resolve;
use super::super::sandbox::QueryError;
use super::super::session::Session;
use super::super::set::RuleSet;
use super::{Failed, Head};

/// Answers the rules that are asked for, one a line, until the input ends. Where `ready` is an
/// error, that is the answer.
///
/// # Errors
/// When the output is gone.
pub async fn serve(
    ready: Result<(RuleSet, Session), String>,
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
) -> io::Result<()> {
    let mut asked = lines(input)?;
    while let Some(id) = asked.next().await {
        let running = Box::pin(judge(&ready, &id));
        let answer = match select(running, asked.next()).await {
            Either::Left((answer, _)) => answer,
            // Nobody is left who wants to know.
            Either::Right(_) => return Ok(()),
        };
        match answer.and_then(|batches| written(&batches)) {
            Ok(rows) => {
                head(&mut output, &Head { bytes: rows.len(), failed: None })?;
                output.write_all(&rows)?;
            }
            Err(QueryError { reason, message, view }) => {
                let failed = Failed { reason: reason.to_owned(), message, view };
                head(&mut output, &Head { bytes: 0, failed: Some(failed) })?;
            }
        }
        output.flush()?;
    }
    Ok(())
}

/// Reads lines on a thread of its own, so that the end of the input is noticed while a query runs.
fn lines(input: impl BufRead + Send + 'static) -> io::Result<UnboundedReceiver<String>> {
    let (sender, asked) = unbounded();
    thread::Builder::new().name("questions".to_owned()).spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            if sender.unbounded_send(line).is_err() {
                break;
            }
        }
    })?;
    Ok(asked)
}

async fn judge(
    ready: &Result<(RuleSet, Session), String>,
    id: &str,
) -> Result<Vec<RecordBatch>, QueryError> {
    let (set, session) = ready.as_ref().map_err(QueryError::failed)?;
    let failed = |error: super::super::error::RuleError| QueryError::failed(error.to_string());
    let rule = set.get(id).map_err(failed)?;
    let overrides = &session.frame().overrides;
    let params = resolve(&rule.header.id, &rule.header.params, overrides).map_err(failed)?;
    session.query_with(&rule.sql, &params).await
}

fn written(batches: &[RecordBatch]) -> Result<Vec<u8>, QueryError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let mut writer = StreamWriter::try_new(Vec::new(), &first.schema())
        .map_err(|error| QueryError::failed(error.to_string()))?;
    for batch in batches {
        writer.write(batch).map_err(|error| QueryError::failed(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| QueryError::failed(error.to_string()))
}

fn head(output: &mut impl Write, head: &Head) -> io::Result<()> {
    writeln!(output, "{}", serde_json::to_string(head)?)
}
