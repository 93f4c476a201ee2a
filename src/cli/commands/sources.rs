//! `keytrail sources`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Exit;
use super::super::args::{Plain, Sources as Args};
use super::super::console::{data, seconds};
use super::super::failure::Failure;
use crate::pipeline::collect::{SourceConfig, Standing, standings};
use crate::settings::Settings;

pub(super) async fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    match args {
        Args::List { format: Plain::Human } => data(&list(settings))?,
        Args::List { format: Plain::Json } => data(&format!("{:#}\n", list_json(settings)))?,
        Args::Status { format } => {
            let store = super::open(settings).await?;
            let standings = standings(&store).await?;
            let now = Timestamp::now();
            match format {
                Plain::Human => data(&status(settings, &standings, now))?,
                Plain::Json => data(&format!("{:#}\n", status_json(settings, &standings, now)))?,
            }
        }
    }
    Ok(Exit::Clean)
}

fn list(settings: &Settings) -> String {
    let width = settings.sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
    let line = |source: &SourceConfig| format!("{:width$}  {}\n", source.name, source.kind);
    settings.sources.iter().map(line).collect()
}

fn list_json(settings: &Settings) -> Value {
    settings
        .sources
        .iter()
        .map(|source| json!({"name": source.name, "type": source.kind}))
        .collect()
}

/// The parts of a configured source that were ever read; itself where none was.
fn parts<'a>(source: &SourceConfig, all: &'a BTreeMap<String, Standing>) -> Vec<&'a Standing> {
    let below = format!("{}/", source.name);
    all.values().filter(|s| s.name == source.name || s.name.starts_with(&below)).collect()
}

fn status(settings: &Settings, all: &BTreeMap<String, Standing>, now: Timestamp) -> String {
    let mut text = String::new();
    for source in &settings.sources {
        let parts = parts(source, all);
        if parts.is_empty() {
            text += &format!("{}  ({})\n  never read\n", source.name, source.kind);
        }
        for part in parts {
            text += &format!("{}  ({})\n", part.name, source.kind);
            text += &part_lines(part, now);
        }
    }
    text
}

fn part_lines(part: &Standing, now: Timestamp) -> String {
    let when = |time: Option<Timestamp>| {
        time.map_or_else(|| "never".to_owned(), |t| seconds(t).to_string())
    };
    let mut text = format!(
        "  last success {}; last run {}, {}\n",
        when(part.last_success),
        when(part.last_run),
        part.last_ending
    );
    if let Some(reached) = part.reached {
        text += &format!(
            "  read until {}, {} behind; goes on from there\n",
            seconds(reached),
            lag(reached, now)
        );
    }
    for stretch in &part.coverage {
        let region = stretch.region.as_deref().map_or_else(String::new, |r| format!(" in {r}"));
        text += &format!(
            "  covers {} of {}{region}: {} to {}",
            stretch.kind,
            stretch.ledger,
            seconds(stretch.period.from),
            seconds(stretch.period.to)
        );
        text += &match stretch.gaps {
            0 => "\n".to_owned(),
            gaps => format!(", with {gaps} gaps\n"),
        };
    }
    if let Some(error) = &part.error {
        text += &format!("  error: {error}\n");
    }
    text
}

/// How long ago something was, in one unit.
fn lag(reached: Timestamp, now: Timestamp) -> String {
    match now.duration_since(reached).as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn status_json(settings: &Settings, all: &BTreeMap<String, Standing>, now: Timestamp) -> Value {
    let one = |source: &SourceConfig, part: &Standing| {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let lag = part.reached.map(|reached| now.duration_since(reached).as_secs());
        json!({
            "source": part.name, "type": source.kind,
            "last_success": time(part.last_success), "last_run": time(part.last_run),
            "last_ending": part.last_ending, "reached": time(part.reached), "lag_seconds": lag,
            "next_from": time(part.reached), "events": part.events, "error": part.error,
            "coverage": part.coverage.iter().map(|stretch| json!({
                "ledger": stretch.ledger, "region": stretch.region, "kind": stretch.kind,
                "from": stretch.period.from.to_string(), "to": stretch.period.to.to_string(),
                "gaps": stretch.gaps,
            })).collect::<Vec<_>>(),
        })
    };
    let mut sources = Vec::new();
    for source in &settings.sources {
        let parts = parts(source, all);
        if parts.is_empty() {
            sources.push(json!({"source": source.name, "type": source.kind, "last_run": null}));
        }
        sources.extend(parts.into_iter().map(|part| one(source, part)));
    }
    json!({"schema_version": 1, "as_of": now.to_string(), "sources": sources})
}
