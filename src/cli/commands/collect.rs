//! `keytrail collect`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Exit;
use super::super::args::{Collect as Args, Plain};
use super::super::console::{Console, data, seconds};
use super::super::failure::Failure;
use super::super::{env, secrets};
use crate::event::Provider;
use crate::pipeline::collect::{
    Collect, Collected, Ending, Polled, SourceConfig, build, collect, tools,
};
use crate::pipeline::prove::Proven;
use crate::settings::Settings;
use crate::store::{Location, Store};

pub(super) async fn run(
    args: &Args,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let began = std::time::Instant::now();
    let configs = chosen(args, settings)?;
    let stopped = super::interrupt();
    let mut tools = tools(Arc::new(secrets::read(env::named))).map_err(Failure::usage)?;
    if let Some(pause) = args.retry_pause {
        tools.client = tools.client.with_first_pause(Duration::from_millis(pause));
    }
    let now = Timestamp::now();
    let (sources, broken) = tokio::select! {
        built = build(&configs, &tools) => built,
        () = raised(&stopped) => return Ok(console.interrupted()),
    };
    let job =
        Collect { sources, broken, since: args.since, until: args.until, parallel: args.parallel };
    let mut store = Store::create(Location::parse(&settings.store.value)?).await?;
    let mut lines = console.source_lines();
    let mut watch = |progress: &_| {
        lines(progress);
        !stopped.load(Ordering::Relaxed)
    };
    let collected = collect(&mut store, job, now, &mut watch).await?;
    drop(lines);
    // What digests prove can wait for the next run.
    let proven = if collected.interrupted {
        Proven::default()
    } else {
        super::prove(&mut store, console).await?
    };
    warn(&collected, console);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match args.format {
        Plain::Json => data(&format!("{:#}\n", json_of(&collected, &proven, elapsed_ms)))?,
        Plain::Human => data(&human(&collected, args.stats))?,
    }
    if collected.interrupted {
        return Ok(console.interrupted());
    }
    Ok(exit(&collected))
}

/// Comes back once the flag is raised.
async fn raised(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The configured sources that are asked for.
fn chosen(args: &Args, settings: &Settings) -> Result<Vec<SourceConfig>, Failure> {
    let hint = "docs/sources.md shows the sections for each cloud; keytrail.toml holds them";
    if settings.sources.is_empty() {
        return Err(Failure::usage("no sources are configured").hint(hint));
    }
    for name in &args.source {
        if !settings.sources.iter().any(|source| source.name == *name) {
            let known: Vec<&str> = settings.sources.iter().map(|s| s.name.as_str()).collect();
            let error = format!("there is no source named {name:?}");
            return Err(Failure::usage(error).hint(format!("there are: {}", known.join(", "))));
        }
    }
    let wanted = |name: &String| args.source.is_empty() || args.source.contains(name);
    Ok(settings.sources.iter().filter(|source| wanted(&source.name)).cloned().collect())
}

fn exit(collected: &Collected) -> Exit {
    if collected.is_failed() {
        Exit::Failed
    } else if collected.is_partial() {
        Exit::Partial
    } else {
        Exit::Clean
    }
}

/// Names what failed and what could not be seen.
fn warn(collected: &Collected, console: &Console) {
    for (name, polled) in &collected.sources {
        for note in &polled.notes {
            console.warn(&format!("{name}: {}", note.message));
            if let Some(hint) = &note.hint {
                console.note(&format!("  hint: {hint}"));
            }
        }
        if let Some((message, hint)) = &polled.error {
            console.error(&format!("{name}: {message}"));
            console.note(&format!("  hint: {hint}"));
        }
    }
}

fn json_of(collected: &Collected, proven: &Proven, elapsed_ms: u64) -> Value {
    let sources: Vec<Value> = collected
        .sources
        .iter()
        .map(|(name, polled)| {
            json!({
                "source": name,
                "provider": polled.provider.map(Provider::as_str),
                "ending": polled.ending.as_str(),
                "records": polled.records, "events": polled.events,
                "duplicates": polled.duplicates, "irrelevant": polled.irrelevant,
                "quarantined": polled.quarantined, "inventory": polled.inventory,
                "unchanged": polled.unchanged, "proofs": polled.proofs,
                "reached": polled.reached.map(|time| time.to_string()),
                "batches": polled.batches,
                "requests": polled.counts().requests(), "repeated": polled.counts().repeated(),
                "throttled": polled.counts().throttled(), "bytes": polled.counts().bytes(),
                "days": polled.days(),
                "notes": polled.notes.iter().map(|note| {
                    json!({"message": note.message, "hint": note.hint})
                }).collect::<Vec<_>>(),
                "error": polled.error.as_ref().map(|(message, hint)| {
                    json!({"message": message, "hint": hint})
                }),
            })
        })
        .collect();
    json!({
        "schema_version": 1, "sources": sources, "interrupted": collected.interrupted,
        "events": collected.events(), "proven": super::proven_json(proven), "elapsed_ms": elapsed_ms,
    })
}

fn human(collected: &Collected, stats: bool) -> String {
    let width = collected.sources.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (name, polled) in &collected.sources {
        text += &format!("{name:width$}  {}\n", said(polled));
        if stats {
            text += &format!("{:width$}  {}\n", "", asked(polled));
        }
    }
    text
}

/// What came of a source in one line; "nothing new" says why.
fn said(polled: &Polled) -> String {
    let word = if polled.records == 0 && polled.is_inventory() { "as of" } else { "read until" };
    let reached =
        polled.reached.map_or_else(String::new, |time| format!(", {word} {}", seconds(time)));
    match polled.ending {
        Ending::Failed if polled.read_nothing() => "nothing could be read".to_owned(),
        Ending::Failed => format!("{} before it failed{reached}", counts(polled)),
        Ending::Running if polled.read_nothing() => "interrupted before it was read".to_owned(),
        Ending::Running => format!("{} before it was interrupted{reached}", counts(polled)),
        Ending::Done => format!("{}{reached}", counts(polled)),
    }
}

fn counts(polled: &Polled) -> String {
    let mut parts = Vec::new();
    if polled.records > 0 || !polled.is_inventory() {
        parts.push(events(polled));
    }
    for (count, name) in [
        (polled.quarantined, "quarantined"),
        (polled.inventory, "inventory rows"),
        (polled.unchanged, "inventory rows unchanged"),
        (polled.proofs, "proofs"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.join(", ")
}

/// New events of how many records; where there is none, why.
fn events(polled: &Polled) -> String {
    if polled.events > 0 {
        let records = plural(polled.records, "record");
        return format!("{} of {records}", plural(polled.events, "new event"));
    }
    if polled.ending != Ending::Done {
        return "0 new events".to_owned();
    }
    let mut why = Vec::new();
    for (count, what) in
        [(polled.duplicates, "known already"), (polled.irrelevant, "not about keys")]
    {
        if count > 0 {
            let verb = if count == 1 { "is" } else { "are" };
            why.push(format!("{} {verb} {what}", plural(count, "record")));
        }
    }
    if polled.records == 0 {
        why.push("nothing new is there".to_owned());
    }
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
    format!("0 new events{why}")
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a source cost.
fn asked(polled: &Polled) -> String {
    let counts = polled.counts();
    let bytes = indicatif::DecimalBytes(counts.bytes());
    let mut text = format!("{}, {bytes}", plural(counts.requests(), "request"));
    if counts.repeated() > 0 {
        text += &format!(", {} repeated, {} throttled", counts.repeated(), counts.throttled());
    }
    if let Some(days) = polled.days().filter(|days| *days > 0.0) {
        let requests = f64::from(u32::try_from(counts.requests()).unwrap_or(u32::MAX));
        text += &format!("; {:.1} requests a day collected", requests / days);
    }
    text
}
