//! The process apart in which rules of a user's own are judged: what it is told, and its work.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::{Asked, Check, CheckError, opened};
use crate::event::sha256_hex;
use crate::finding::Period;
use crate::rule::{Hire, Limits, RuleError, RuleSet, Session, serve};
use crate::store::{Location, Store};

/// The hidden command that a worker is started with.
pub const COMMAND: &str = "judge";

/// What a worker judges: its first line of input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    store: String,
    versions: BTreeMap<String, i64>,
    as_of: Timestamp,
    from: Timestamp,
    to: Timestamp,
    params: Vec<String>,
    rules: Option<PathBuf>,
    people: Option<PathBuf>,
    approvals: Option<PathBuf>,
    waivers: Option<PathBuf>,
    memory: usize,
    milliseconds: u64,
    rows: usize,
    /// SHA-256 over all files as the program read them: a worker must not have read others.
    files: String,
}

/// How a worker for this check is started; `None` where no rule is the user's own, or none is
/// wanted.
pub(super) fn hire(store: &Store, job: &Check, asked: &Asked) -> Option<Hire> {
    let program = job.worker.clone()?;
    let rules = Some(job.rules_folder.clone()?);
    let (as_of, period) = (asked.question.as_of, asked.question.period);
    let told = Job {
        store: store.location().to_string(),
        versions: store.version(),
        as_of,
        from: period.from,
        to: period.to,
        params: job.params.clone(),
        rules,
        people: job.people.clone(),
        approvals: job.approvals.clone(),
        waivers: job.waivers.clone(),
        memory: job.limits.memory,
        milliseconds: u64::try_from(job.limits.time.as_millis()).unwrap_or(u64::MAX),
        rows: job.limits.rows,
        files: files(asked),
    };
    let job = serde_json::to_string(&told).ok()?;
    Some(Hire { program, arguments: vec![COMMAND.to_owned()], job })
}

fn files(asked: &Asked) -> String {
    let mut all = asked.set.digest().to_owned();
    for (path, digest) in &asked.inputs {
        all += &format!("\n{digest} {path}");
    }
    sha256_hex(all.as_bytes())
}

/// Does a worker's work: `input` says what is judged, then which rules.
///
/// # Errors
/// When the output is gone.
pub async fn work(mut input: impl BufRead + Send + 'static, output: impl Write) -> io::Result<()> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let ready = match serde_json::from_str::<Job>(&line) {
        Ok(job) => ready(job).await.map_err(|error| causes(&error)),
        Err(error) => Err(format!("what is to be judged cannot be read: {error}")),
    };
    serve(ready, input, output).await
}

async fn ready(job: Job) -> Result<(RuleSet, Session), CheckError> {
    let time = Duration::from_millis(job.milliseconds);
    let check = Check {
        as_of: Some(job.as_of),
        period: Some(Period { from: job.from, to: job.to }),
        params: job.params,
        rules_folder: job.rules,
        people: job.people,
        approvals: job.approvals,
        waivers: job.waivers,
        limits: Limits { memory: job.memory, time, rows: job.rows },
        ..Check::default()
    };
    let asked = Asked::read(&check, job.as_of)?;
    if files(&asked) != job.files {
        let changed = "the files of rules, or what is declared, changed while they were judged";
        return Err(RuleError::Query(changed.to_owned()).into());
    }
    let store = Store::open_at(Location::parse(&job.store)?, &job.versions).await?;
    opened(&store, asked).await
}

/// An error and its causes in one sentence.
fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", causes(cause)),
        None => error.to_string(),
    }
}
