//! `keytrail import`.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::Serialize;

use super::super::Exit;
use super::super::args::{Import, Plain};
use super::super::console::{Console, data};
use super::super::failure::Failure;
use crate::pipeline::import::{Import as Job, Imported, Problem, Reading};
use crate::provider::file::Origin;
use crate::settings::Settings;
use crate::store::{Location, Store};

/// How many unrecognised files are named on a terminal.
const LISTED: usize = 20;

/// The result as JSON, version 1.
#[derive(Serialize)]
struct ImportedJson<'a> {
    schema_version: u32,
    files: u64,
    unrecognised_files: Vec<&'a str>,
    records: u64,
    events: u64,
    duplicates: u64,
    irrelevant: u64,
    quarantined: u64,
    inventory: u64,
    proofs: u64,
    bytes_read: u64,
    elapsed_ms: u64,
    conflicts: u64,
    problems: Vec<ProblemJson<'a>>,
}

/// Something wrong with a file.
#[derive(Serialize)]
struct ProblemJson<'a> {
    file: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

pub(super) async fn run(
    args: &Import,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let began = std::time::Instant::now();
    let stopped = super::interrupt();
    let job = Job {
        paths: args.paths.clone(),
        origin: Origin {
            account: args.account.clone(),
            region: args.region.clone(),
            stream: args.stream.clone(),
        },
        captured_at: args.captured_at,
        key: args.key.clone(),
        declare: args.declare,
        scopes: args.scope.clone(),
        threads: args.threads,
        page_events: args.page_events,
        ..Job::default()
    };
    let location = Location::parse(&settings.store.value)?;
    let reading = Reading::begin(&job)?;
    let mut store = Store::create(location).await?;
    let mut bar = console.import_bar();
    let mut watch = |progress| {
        bar(progress);
        !stopped.load(Ordering::Relaxed)
    };
    let imported = reading.commit(&mut store, Timestamp::now(), &mut watch).await?;
    #[cfg(feature = "collect")]
    super::prove(&mut store, console).await?;
    warn(&imported, console);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match args.format {
        Plain::Json => data(&json(&imported, elapsed_ms)?)?,
        Plain::Human => data(&human(&imported, settings, elapsed_ms))?,
    }
    Ok(if imported.is_partial() { Exit::Partial } else { Exit::Clean })
}

/// Names the files that were left out or broke off; those named on the command line always.
fn warn(imported: &Imported, console: &Console) {
    let (named, found): (Vec<_>, Vec<_>) = imported.unrecognised.iter().partition(|f| f.named);
    for file in &named {
        console.error(&format!("{}: not imported, {}", file.file, file.reason));
    }
    for file in found.iter().take(LISTED) {
        console.warn(&format!("{}: left out, {}", file.file, file.reason));
    }
    if found.len() > LISTED {
        let more = found.len() - LISTED;
        console
            .note(&format!("… and {more} more files of no known format; --format json lists all"));
    }
    for problem in &imported.problems {
        console.error(&format!("{}: {}", problem.file, problem.message));
        if let Some(hint) = &problem.hint {
            console.note(&format!("  hint: {hint}"));
        }
    }
}

fn json(imported: &Imported, elapsed_ms: u64) -> Result<String, Failure> {
    let unrecognised = imported.unrecognised.iter().map(|file| file.file.as_str()).collect();
    let result = ImportedJson {
        schema_version: 1,
        files: imported.files,
        unrecognised_files: unrecognised,
        records: imported.records,
        events: imported.events,
        duplicates: imported.duplicates,
        irrelevant: imported.irrelevant,
        quarantined: imported.quarantined,
        inventory: imported.inventory,
        proofs: imported.proofs,
        bytes_read: imported.bytes_read,
        elapsed_ms,
        conflicts: imported.conflicts,
        problems: imported.problems.iter().map(problem_json).collect(),
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&result).map_err(Failure::job)?))
}

fn problem_json(problem: &Problem) -> ProblemJson<'_> {
    let Problem { file, message, hint } = problem;
    ProblemJson { file, message, hint: hint.as_deref() }
}

fn human(imported: &Imported, settings: &Settings, elapsed_ms: u64) -> String {
    let Imported { files, records, events, duplicates, irrelevant, quarantined, .. } = imported;
    let mut text = format!(
        "{files} files, {records} records: {events} events stored, {duplicates} known already, \
         {irrelevant} about other things, {quarantined} in quarantine\n"
    );
    if imported.conflicts > 0 {
        let conflicts = imported.conflicts;
        text +=
            &format!("{conflicts} of them came with the id of another record and other content\n");
    }
    if imported.inventory > 0 || imported.proofs > 0 {
        text +=
            &format!("{} inventory rows, {} proof files\n", imported.inventory, imported.proofs);
    }
    if quarantined > &0 {
        text += "see them with: keytrail query \"SELECT source, place, reason, message FROM quarantine\"\n";
    }
    let seconds = std::time::Duration::from_millis(elapsed_ms).as_secs_f64();
    text + &format!("store {}, {seconds:.1} s\n", settings.store.value)
}
