//! Coverage that a log proves by itself: a run of an HSM's sequence numbers without a hole shows
//! that nothing is missing between its first and last record.
//!
//! What comes after the last record is not proven: a log cut at its end has no hole.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::json::to_json;
use super::session::Session;
use crate::finding::{Coverage, Period};

/// The view that finds the runs.
const VIEW: &str = "hsm_sequence";

/// The log of an HSM.
const KIND: &str = "aws.cloudhsm.audit";

/// The stretches that sequence numbers prove, and the holes between them. A rule set without the
/// view proves nothing; where the view cannot be read, there may be a hole anywhere.
pub(super) async fn coverage(session: &Session, known: &[Coverage]) -> Vec<Coverage> {
    if !session.names().any(|name| name == VIEW) {
        return Vec::new();
    }
    let sql = "SELECT ledger, time_from, time_to, seq_from, seq_to, missing_before, time_before \
               FROM hsm_sequence ORDER BY ledger, reboot_counter, seq_from";
    match session.query(sql).await {
        Ok(batches) => {
            let rows: Vec<Map<String, Value>> = batches.iter().flat_map(to_json).collect();
            rows.iter().flat_map(|row| [hole(row), run(row)]).flatten().collect()
        }
        Err(error) => unread(known, &error.to_string()),
    }
}

/// What is only declared must not outweigh holes that could not be looked for.
fn unread(known: &[Coverage], why: &str) -> Vec<Coverage> {
    let gap = |covered: &Coverage| Coverage {
        method: "sequence".to_owned(),
        status: "gap".to_owned(),
        detail: Some(format!("the numbers of the records could not be read: {why}")),
        ..covered.clone()
    };
    known.iter().filter(|known| known.kind == KIND && known.status == "covered").map(gap).collect()
}

fn run(row: &Map<String, Value>) -> Option<Coverage> {
    let (from, last) = (time(row, "time_from")?, time(row, "time_to")?);
    // The stretch is half-open and holds its last record.
    let to = last.checked_add(SignedDuration::from_micros(1)).ok()?;
    let (first, last) = (number(row, "seq_from")?, number(row, "seq_to")?);
    let detail = format!("sequence numbers {first:#x} to {last:#x} without a hole");
    Some(stretch(row, Period { from, to }, "covered", detail))
}

/// The hole before a run, where records are missing.
fn hole(row: &Map<String, Value>) -> Option<Coverage> {
    let missing = number(row, "missing_before").filter(|missing| *missing > 0)?;
    let (from, to) = (time(row, "time_before")?, time(row, "time_from")?);
    let before = number(row, "seq_from")?;
    let detail = format!("{missing} records are missing before sequence number {before:#x}");
    (from < to).then(|| stretch(row, Period { from, to }, "gap", detail))
}

fn stretch(row: &Map<String, Value>, period: Period, status: &str, detail: String) -> Coverage {
    Coverage {
        ledger: row.get("ledger").and_then(Value::as_str).unwrap_or_default().to_owned(),
        region: None,
        kind: KIND.to_owned(),
        period,
        method: "sequence".to_owned(),
        status: status.to_owned(),
        detail: Some(detail),
    }
}

fn time(row: &Map<String, Value>, column: &str) -> Option<Timestamp> {
    row.get(column)?.as_str()?.parse().ok()
}

fn number(row: &Map<String, Value>, column: &str) -> Option<i64> {
    row.get(column)?.as_i64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_run_covers_up_to_its_last_record_and_a_hole_is_a_gap() {
        let row = row(&json!({
            "ledger": "aws/cloudhsm/hsm-1", "time_from": "2026-01-03T00:00:00Z",
            "time_to": "2026-01-05T00:00:00Z", "seq_from": 16, "seq_to": 20,
            "missing_before": 3, "time_before": "2026-01-02T00:00:00Z",
        }));
        let run = run(&row).unwrap();
        assert_eq!(run.period.to, "2026-01-05T00:00:00.000001Z".parse().unwrap());
        assert_eq!((run.method.as_str(), run.status.as_str()), ("sequence", "covered"));
        let hole = hole(&row).unwrap();
        assert_eq!(hole.status, "gap");
        assert_eq!(hole.period.from, "2026-01-02T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn where_the_numbers_cannot_be_read_nothing_is_taken_for_whole() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let known = |kind: &str| Coverage {
            ledger: "aws/cloudhsm/hsm-1".to_owned(),
            region: Some("eu-central-1".to_owned()),
            kind: kind.to_owned(),
            period: Period { from: time("2026-01-01T00:00:00Z"), to: time("2026-02-01T00:00:00Z") },
            method: "declared".to_owned(),
            status: "covered".to_owned(),
            detail: None,
        };
        let gaps = unread(&[known(KIND), known("aws.kms")], "too slow");
        let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
        assert_eq!((gap.status.as_str(), gap.period), ("gap", known(KIND).period));
        assert_eq!(
            gap.detail.as_deref(),
            Some("the numbers of the records could not be read: too slow")
        );
    }

    #[test]
    fn the_first_run_has_no_hole_before_it() {
        let first = row(&json!({"ledger": "l", "time_from": "2026-01-03T00:00:00Z",
            "time_to": "2026-01-03T00:00:00Z", "seq_from": 0, "seq_to": 0,
            "missing_before": null, "time_before": null}));
        assert!(hole(&first).is_none());
        assert!(run(&first).is_some());
    }
}
