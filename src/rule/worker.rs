//! Processes apart, in which rules of a user's own are judged: within a program a query can be
//! stopped only where it pauses, a process can be ended whatever it computes.
//!
//! A worker reads a line that says what is judged, then a line for each rule, and answers each with a
//! line of JSON and the rows, or with why there are none. It works until a query fails or runs into
//! a limit: then it is ended, with all that it holds and computes, and the next rule gets a new one.

mod serve;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::reader::StreamReader;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use serde::{Deserialize, Serialize};

use super::sandbox::{Limits, QueryError};
use super::set::{Rule, RuleSet};

pub use serve::serve;

/// Beyond what the steps of a query may take by their own limits.
const PATIENCE: Duration = Duration::from_mins(5);

/// How a worker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hire {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The line that tells it what is judged.
    pub job: String,
}

/// The head of an answer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    /// How many bytes of rows follow.
    bytes: usize,
    /// Why there are none.
    failed: Option<Failed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    reason: String,
    message: String,
    view: Option<String>,
}

/// The workers of one assessment: at most one at a time.
pub(super) struct Workers {
    hire: Hire,
    limits: Limits,
    working: Option<Worker>,
    /// Views that failed: another rule that reads one need not run into the same limit.
    failed: BTreeMap<String, QueryError>,
}

impl Workers {
    pub(super) fn new(hire: Hire, limits: Limits) -> Self {
        Self { hire, limits, working: None, failed: BTreeMap::new() }
    }

    /// Runs a rule's query.
    pub(super) async fn query(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let views: Vec<&str> = set.views_of(rule).map(|view| view.name.as_str()).collect();
        if let Some(known) = views.iter().find_map(|view| self.failed.get(*view)) {
            return Err(known.clone());
        }
        // Each step is bounded within the worker; this is for one that no longer answers at all.
        let steps = u32::try_from(views.len()).unwrap_or(u32::MAX).saturating_add(2);
        let longest = self.limits.time.saturating_mul(steps).saturating_add(PATIENCE);
        let answer = match tokio::time::timeout(longest, self.ask(rule)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                Err(QueryError::failed(format!("the process that judged it ended: {error}")))
            }
            Err(_) => Err(QueryError::limit("the process that judged it no longer answered")),
        };
        if let Err(error) = &answer {
            self.working = None;
            if let Some(view) = &error.view {
                self.failed.insert(view.clone(), error.clone());
            }
        }
        answer
    }

    async fn ask(&mut self, rule: &Rule) -> io::Result<Result<Vec<RecordBatch>, QueryError>> {
        let worker = match &mut self.working {
            Some(worker) => worker,
            none => none.insert(Worker::start(&self.hire, self.limits)?),
        };
        worker.say(&rule.header.id)?;
        let answer = worker.answers.next().await.unwrap_or_else(|| Err(ended()));
        let (head, rows) = answer?;
        if let Some(Failed { reason, message, view }) = head.failed {
            return Ok(Err(QueryError { view, ..QueryError::told(&reason, message) }));
        }
        let batches = StreamReader::try_new(rows.as_slice(), None).map_err(io::Error::other)?;
        batches.collect::<Result<_, _>>().map(Ok).map_err(io::Error::other)
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it gave no answer")
}

/// A running process; it is ended when this is dropped.
struct Worker {
    child: Child,
    asked: ChildStdin,
    answers: UnboundedReceiver<io::Result<(Head, Vec<u8>)>>,
}

impl Worker {
    fn start(hire: &Hire, limits: Limits) -> io::Result<Self> {
        let mut child = Command::new(&hire.program)
            .args(&hire.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(asked), Some(told)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ended());
        };
        let (sender, answers) = unbounded();
        let mut worker = Self { child, asked, answers };
        // Rows that are written out take more than in memory, but not several times as much.
        let most = limits.memory.saturating_mul(2);
        thread::Builder::new().name("answers".to_owned()).spawn(move || {
            let mut told = BufReader::new(told);
            while let Some(answer) = answer(&mut told, most).transpose() {
                let broken = answer.is_err();
                if sender.unbounded_send(answer).is_err() || broken {
                    break;
                }
            }
        })?;
        worker.say(&hire.job)?;
        Ok(worker)
    }

    /// Sends a line. A process that has ended is asked for its answer all the same: it may have
    /// said why before.
    fn say(&mut self, line: &str) -> io::Result<()> {
        match writeln!(self.asked, "{line}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads one answer; `None` at the end.
fn answer(told: &mut BufReader<ChildStdout>, most: usize) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut line = String::new();
    if told.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let head: Head = serde_json::from_str(&line)?;
    if head.bytes > most {
        return Err(io::Error::other(format!("its answer has {} bytes", head.bytes)));
    }
    let mut rows = vec![0; head.bytes];
    told.read_exact(&mut rows)?;
    Ok(Some((head, rows)))
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests;
