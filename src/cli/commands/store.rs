//! `keytrail store`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Exit;
use super::super::args::{Maintain, Plain, Store as Args};
use super::super::console::{Console, data};
use super::super::failure::Failure;
use crate::settings::Settings;
use crate::store::{Location, Maintained, Maintenance, Status, Store};

pub(super) async fn run(
    args: &Args,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    match args {
        Args::Maintain(args) => maintain(args, settings, console).await,
        Args::Status { format } => {
            let store = super::open(settings).await?;
            let now = Timestamp::now();
            let status = store.status(now).await?;
            print(*format, || status_json(&status), || status_text(&status, &store, now))
        }
        Args::Unpin { name } => {
            Store::unpin(&Location::parse(&settings.store.value)?, name)?;
            console.note(&format!("unpinned {name}"));
            Ok(Exit::Clean)
        }
    }
}

async fn maintain(
    args: &Maintain,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let began = std::time::Instant::now();
    let mut store = super::open(settings).await?;
    let job = Maintenance {
        keep: args.keep,
        orphans: args.orphans,
        today: args.today,
        dry_run: args.dry_run,
    };
    let mut bar = console.step_bar();
    let done = store.maintain(&job, Timestamp::now(), &mut bar).await?;
    drop(bar);
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    print(
        args.format,
        || maintain_json(&done, args.dry_run, elapsed_ms),
        || maintain_text(&done, args.dry_run),
    )
}

fn print(
    format: Plain,
    json: impl FnOnce() -> Value,
    text: impl FnOnce() -> String,
) -> Result<Exit, Failure> {
    match format {
        Plain::Json => {
            let text = serde_json::to_string_pretty(&json()).map_err(Failure::job)?;
            data(&format!("{text}\n"))?;
        }
        Plain::Human => data(&text())?,
    }
    Ok(Exit::Clean)
}

fn maintain_json(done: &Maintained, dry_run: bool, elapsed_ms: u64) -> Value {
    let tables: Vec<Value> = done
        .tables
        .iter()
        .map(|table| {
            json!({
                "table": table.table,
                "version_before": table.version_before, "version_after": table.version_after,
                "files_before": table.files_before, "files_after": table.files_after,
                "bytes_before": table.bytes_before, "bytes_after": table.bytes_after,
                "merged_files": table.merged_files, "checkpoint": table.checkpoint,
                "removed_files": table.removed_files, "removed_bytes": table.removed_bytes,
            })
        })
        .collect();
    json!({
        "schema_version": 1, "dry_run": dry_run, "tables": tables,
        "verified_ledgers": done.ledgers, "verified_events": done.events,
        "elapsed_ms": elapsed_ms,
    })
}

fn maintain_text(done: &Maintained, dry_run: bool) -> String {
    let mut text = String::new();
    for table in &done.tables {
        let idle = table.merged_files == 0 && table.removed_files == 0;
        if idle && table.checkpoint.is_none() {
            continue;
        }
        text += &format!("{:<13}", table.table);
        if dry_run {
            text += &format!("{} of {} files", table.merged_files, table.files_before);
            text += " would be put together";
        } else {
            text += &format!("{} → {} files, ", table.files_before, table.files_after);
            text += &format!("{} → {}, ", bytes(table.bytes_before), bytes(table.bytes_after));
            text += &format!("version {} → {}", table.version_before, table.version_after);
        }
        if let Some(version) = table.checkpoint {
            text += &format!(", checkpoint at {version}");
        }
        if table.removed_files > 0 {
            let verb = if dry_run { "would be removed" } else { "removed" };
            text += &format!("; {} files", table.removed_files);
            text += &format!(" ({}) {verb}", bytes(table.removed_bytes));
        }
        text.push('\n');
    }
    if text.is_empty() {
        text += "nothing to do\n";
    }
    if !dry_run {
        text += &format!("{} ledgers with {} events", done.ledgers, done.events);
        text += ": the tree heads hold\n";
    }
    text
}

fn status_json(status: &Status) -> Value {
    let tables: Vec<Value> = status
        .tables
        .iter()
        .map(|table| {
            json!({
                "table": table.table, "version": table.version, "files": table.files,
                "bytes": table.bytes, "rows": table.rows,
                "commits_since_checkpoint": table.commits_since_checkpoint,
                "mergeable_files": table.mergeable_files,
                "committed_at": table.committed_at.map(|time| time.to_string()),
            })
        })
        .collect();
    let rows: Vec<Value> = status
        .rows
        .iter()
        .map(|((kind, ledger), rows)| json!({"kind": kind, "ledger": ledger, "rows": rows}))
        .collect();
    json!({
        "schema_version": 1, "tables": tables, "rows": rows, "pins": status.pins,
        "maintenance_due": status.is_due(),
    })
}

fn status_text(status: &Status, store: &Store, now: Timestamp) -> String {
    let mut text = format!("store {}\n\n", store.location());
    text += &format!(
        "{:<13}{:>8}{:>8}{:>11}{:>12}{:>18}   last commit\n",
        "table", "version", "files", "size", "rows", "since checkpoint"
    );
    for table in &status.tables {
        let age = table.committed_at.map_or_else(String::new, |time| age(now, time));
        text += &format!(
            "{:<13}{:>8}{:>8}{:>11}{:>12}{:>18}   {age}\n",
            table.table,
            table.version,
            table.files,
            bytes(table.bytes),
            table.rows,
            table.commits_since_checkpoint,
        );
    }
    text.push('\n');
    for ((kind, ledger), rows) in &status.rows {
        text += &format!("{rows:>12} {kind:<10} {ledger}\n");
    }
    if !status.pins.is_empty() {
        text.push('\n');
    }
    for pin in &status.pins {
        let version = pin.versions.get("journal").copied().unwrap_or(0);
        text += &format!("pin {} holds version {version}, made {}\n", pin.name, pin.made_at);
    }
    text + &due(status)
}

fn due(status: &Status) -> String {
    let small: u64 = status.tables.iter().map(|table| table.mergeable_files).sum();
    if status.is_due() {
        format!(
            "\nmaintenance is due: {small} small files of closed days; `keytrail store maintain`\n"
        )
    } else {
        "\nmaintenance is not due\n".to_owned()
    }
}

/// How long ago, in one unit.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A size in one unit.
fn bytes(size: u64) -> String {
    let (unit, name) = match size {
        0..1_024 => return format!("{size} B"),
        1_024..1_048_576 => (1_024, "KiB"),
        1_048_576..1_073_741_824 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    let tenths = size.saturating_mul(10) / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_said_in_one_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "1717986918.3 GiB");
        let now = Timestamp::UNIX_EPOCH;
        let ago = |seconds| age(now, now - jiff::SignedDuration::from_secs(seconds));
        assert_eq!([ago(-5), ago(5), ago(300)], ["0 s ago", "5 s ago", "5 min ago"]);
        assert_eq!([ago(7_300), ago(200_000)], ["2 h ago", "2 d ago"]);
    }
}
