//! Runs of `verify` as they were stored, and the events that they are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use jiff::Timestamp;
use serde_json::Value;

use super::dedupe::{scan, texts};
use super::evidence::times;
use super::{Store, StoreError};
use crate::event::batch::{day_of, times as written};
use crate::event::schema;
use crate::finding::Period;

/// A run whose calls should stand in a log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run's id.
    pub id: String,
    /// The token's URI.
    pub token: String,
    /// When it was over.
    pub ended: Timestamp,
    /// Where the calls should stand.
    pub log: Value,
    /// The calls, each a JSON object.
    pub calls: Vec<Value>,
}

/// An event that may be that of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its id.
    pub event_id: String,
    /// Whose log holds it.
    pub ledger: String,
    /// When it happened.
    pub time: Timestamp,
    /// The provider's word for it.
    pub native_action: String,
    /// Who did it.
    pub actor: Option<String>,
    /// Which key.
    pub key: Option<String>,
    /// `success`, `denied`, `failure`, `unknown`.
    pub outcome: String,
}

impl Store {
    /// The runs of `verify` whose calls should stand in a log, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn verified_runs(&self) -> Result<Vec<StoredRun>, StoreError> {
        let mut runs: BTreeMap<String, StoredRun> = BTreeMap::new();
        let columns = ["snapshot_id", "run_id", "token", "log", "calls", "ended"];
        let filter = col("log").is_not_null().and(col("calls").is_not_null());
        self.scan_verified(filter, &columns, |row, ended| {
            let [Some(id), Some(token), Some(log), Some(calls)] = row else { return };
            let json = |text: &str| serde_json::from_str::<Value>(text).ok();
            let (Some(log), Some(Value::Array(calls))) = (json(log), json(calls)) else { return };
            let run = runs.entry(id.clone()).or_insert_with(|| StoredRun {
                id: id.clone(),
                token: token.clone(),
                ended,
                log,
                calls: Vec::new(),
            });
            run.calls.extend(calls);
        })
        .await?;
        let mut runs: Vec<StoredRun> = runs.into_values().collect();
        runs.sort_by(|a, b| (b.ended, &b.id).cmp(&(a.ended, &a.id)));
        Ok(runs)
    }

    /// What the newest run of `verify` kept of each key, by the key's URI.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn known_keys(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let mut newest: BTreeMap<String, (Timestamp, Value)> = BTreeMap::new();
        let columns = ["snapshot_id", "subject_id", "known", "ended"];
        self.scan_verified(col("known").is_not_null(), &columns, |row, ended| {
            let [Some(subject), Some(known)] = row else { return };
            let Ok(known) = serde_json::from_str(known) else { return };
            let older = newest.get(subject).is_none_or(|(time, _)| *time < ended);
            if older {
                newest.insert(subject.clone(), (ended, known));
            }
        })
        .await?;
        Ok(newest.into_iter().map(|(subject, (_, known))| (subject, known)).collect())
    }

    /// Hands over the rows of `verifications` whose run is visible: the texts between the snapshot
    /// and the time that stands last.
    async fn scan_verified(
        &self,
        filter: Expr,
        columns: &[&str],
        mut receive: impl FnMut(&[Option<String>], Timestamp),
    ) -> Result<(), StoreError> {
        let Some(table) = self.inventory.get("verifications") else { return Ok(()) };
        let snapshots = self.snapshots().await?;
        scan(table, filter, columns, |batch| {
            let last = columns.len().saturating_sub(1);
            let cells: Vec<_> = (0..last).map(|index| texts(batch, index)).collect();
            for (place, time) in times(batch, last).into_iter().enumerate() {
                let row: Vec<Option<String>> =
                    cells.iter().map(|cells| cells.get(place).cloned().flatten()).collect();
                let Some((Some(snapshot), rest)) = row.split_first() else { continue };
                if let (true, Some(time)) = (snapshots.contains(snapshot), time) {
                    receive(rest, time);
                }
            }
        })
        .await
    }

    /// The ledgers that hold events.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn ledgers(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut ledgers = BTreeSet::new();
        let filter = col("kind").eq(lit("receipt")).and(col("reason").eq(lit("ledger")));
        scan(&self.journal, filter, &["ledger"], |batch| {
            ledgers.extend(texts(batch, 0).into_iter().flatten());
        })
        .await?;
        Ok(ledgers)
    }

    /// The events of a stretch, in the ledgers that `wanted` says.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn logged(
        &self,
        stretch: Period,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Logged>, StoreError> {
        let columns =
            ["event_id", "ledger", "native_action", "actor_id", "key_id", "outcome", "time"];
        let mut found = Vec::new();
        scan(&self.journal, within(stretch), &columns, |batch| {
            let cells: Vec<_> = (0..6).map(|index| texts(batch, index)).collect();
            for (place, time) in times(batch, 6).into_iter().enumerate() {
                let cell = |index: usize| cells.get(index)?.get(place).cloned().flatten();
                let (Some(ledger), Some(time)) = (cell(1), time) else { continue };
                if wanted(&ledger) {
                    found.push(Logged {
                        event_id: cell(0).unwrap_or_default(),
                        ledger,
                        time,
                        native_action: cell(2).unwrap_or_default(),
                        actor: cell(3),
                        key: cell(4),
                        outcome: cell(5).unwrap_or_default(),
                    });
                }
            }
        })
        .await?;
        found.sort_by(|a, b| (a.time, &a.event_id).cmp(&(b.time, &b.event_id)));
        Ok(found)
    }
}

/// Events of a stretch, its last instant with it.
fn within(stretch: Period) -> Expr {
    let time = |time: Timestamp| {
        lit(ScalarValue::TimestampMicrosecond(Some(time.as_microsecond()), Some("UTC".into())))
    };
    let day = |time: Timestamp| Expr::Literal(ScalarValue::Date32(Some(day_of(time))), None);
    let days =
        col("event_day").gt_eq(day(stretch.from)).and(col("event_day").lt_eq(day(stretch.to)));
    let times = col("time").gt_eq(time(stretch.from)).and(col("time").lt_eq(time(stretch.to)));
    col("kind").eq(lit("event")).and(days).and(times)
}

/// A call of a run beside the log, or an event that no call caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// The run's id.
    pub run: String,
    /// The token's URI.
    pub token: String,
    /// The stretch of the log that was looked at, its last instant with it.
    pub window: Period,
    /// The logs that were looked at.
    pub ledgers: Vec<String>,
    /// For which check, and the place of the call among all.
    pub call: Option<(String, i64)>,
    /// The function called.
    pub function: Option<String>,
    /// What it returned.
    pub rv: Option<String>,
    /// The key's label.
    pub key: Option<String>,
    /// `matched_by_key`, …, `missing`, `unexpected`.
    pub trace: &'static str,
    /// The event.
    pub event: Option<String>,
}

fn lists(rows: &[StepRow]) -> ArrayRef {
    let field = Field::new("element", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in rows {
        lists.append_value(row.ledgers.iter().map(Some));
    }
    Arc::new(lists.finish())
}

/// The table `verification_steps`.
///
/// # Errors
/// Never, unless rows and schema disagree.
pub fn steps_table(rows: &[StepRow]) -> Result<RecordBatch, StoreError> {
    let text = |read: fn(&StepRow) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(read).collect::<StringArray>())
    };
    let ordinals = rows.iter().map(|row| row.call.as_ref().map(|(_, ordinal)| *ordinal));
    let columns = vec![
        text(|row| Some(&row.run)),
        text(|row| Some(&row.token)),
        written(rows.iter().map(|row| Some(row.window.from))),
        written(rows.iter().map(|row| Some(row.window.to))),
        lists(rows),
        text(|row| row.call.as_ref().map(|(check, _)| check.as_str())),
        Arc::new(ordinals.collect::<Int64Array>()),
        text(|row| row.function.as_deref()),
        text(|row| row.rv.as_deref()),
        text(|row| row.key.as_deref()),
        text(|row| Some(row.trace)),
        text(|row| row.event.as_deref()),
    ];
    let schema = schema::table("verification_steps").ok_or_else(|| StoreError::Location {
        location: "verification_steps".to_owned(),
        detail: "there is no such table".to_owned(),
    })?;
    Ok(RecordBatch::try_new(schema, columns)?)
}
