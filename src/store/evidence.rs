//! What proofs are held against: the files that were read, and what trails record.

use std::collections::BTreeSet;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{col, lit};
use jiff::Timestamp;
use serde_json::Value;

use super::dedupe::{scan, texts};
use super::{FileRead, Store, StoreError};

/// What a trail's event selectors said, from inventory.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSelectors {
    /// The trail's ARN.
    pub trail: String,
    /// As of when.
    pub captured_at: Timestamp,
    /// Whether it records key events.
    pub logs_keys: Option<bool>,
    /// Specifics.
    pub details: Value,
}

/// A call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The owner of the log that tells of it.
    pub ledger: String,
    /// When it was made.
    pub time: Timestamp,
    /// Its record.
    pub raw: String,
}

impl Store {
    /// The log files of trails that imports read to their end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn files_read(&self) -> Result<BTreeSet<FileRead>, StoreError> {
        let receipts = self.receipts("files", None).await?;
        let files = receipts.iter().flat_map(|(_, content)| items(content, "files"));
        Ok(files.filter_map(|file| file_read(file, "name")).collect())
    }

    /// The objects that sources read to their end, from all cursors that they left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn objects_read(&self) -> Result<BTreeSet<FileRead>, StoreError> {
        let cursors = self.receipts("cursor", None).await?;
        let cursors = cursors.iter().filter_map(|(_, content)| content.get("cursor"));
        let objects = cursors.flat_map(|cursor| items(cursor, "objects"));
        Ok(objects.filter_map(|object| file_read(object, "key")).collect())
    }

    /// What the event selectors of trails said whenever they were read; readings without a time are
    /// left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn event_selectors(&self) -> Result<Vec<EventSelectors>, StoreError> {
        let Some(table) = self.inventory.get("log_settings") else { return Ok(Vec::new()) };
        let snapshots = self.snapshots().await?;
        let columns = ["snapshot_id", "setting_id", "logs_keys", "details", "captured_at"];
        let mut found = Vec::new();
        let filter = col("kind").eq(lit("event_selectors")).and(col("provider").eq(lit("aws")));
        scan(table, filter, &columns, |batch| {
            let column = |index| texts(batch, index).into_iter();
            let rows = column(0).zip(column(1)).zip(column(2)).zip(column(3)).zip(times(batch, 4));
            for ((((snapshot, trail), logs_keys), details), captured_at) in rows {
                let named = snapshot.is_some_and(|snapshot| snapshots.contains(&snapshot));
                if let (true, Some(trail), Some(captured_at)) = (named, trail, captured_at) {
                    let logs_keys = logs_keys.and_then(|flag| flag.parse().ok());
                    let details = details.and_then(|text| serde_json::from_str(&text).ok());
                    let details = details.unwrap_or_default();
                    found.push(EventSelectors { trail, captured_at, logs_keys, details });
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// The calls of these names that succeeded.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn calls(&self, native_actions: &[&str]) -> Result<Vec<Call>, StoreError> {
        let wanted = native_actions.iter().map(|action| lit(*action)).collect();
        let filter = col("kind")
            .eq(lit("event"))
            .and(col("native_action").in_list(wanted, false))
            .and(col("outcome").eq(lit("success")));
        let mut found = Vec::new();
        scan(&self.journal, filter, &["ledger", "raw", "time"], |batch| {
            let rows = texts(batch, 0).into_iter().zip(texts(batch, 1)).zip(times(batch, 2));
            for ((ledger, raw), time) in rows {
                if let (Some(ledger), Some(time)) = (ledger, time) {
                    found.push(Call { ledger, time, raw: raw.unwrap_or_default() });
                }
            }
        })
        .await?;
        Ok(found)
    }
}

fn items<'a>(content: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    content.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn file_read(entry: &Value, name: &str) -> Option<FileRead> {
    let text = |name: &str| entry.get(name)?.as_str().map(str::to_owned);
    Some(FileRead { name: text(name)?, sha256: text("sha256")? })
}

/// A column of times, which are microseconds.
pub(super) fn times(batch: &RecordBatch, index: usize) -> Vec<Option<Timestamp>> {
    let Some(array) = batch.columns().get(index) else { return Vec::new() };
    let Ok(array) = arrow::compute::cast(array, &DataType::Int64) else { return Vec::new() };
    debug_assert_eq!(array.len(), batch.num_rows());
    let numbers = array.as_primitive::<Int64Type>().iter();
    numbers.map(|number| Timestamp::from_microsecond(number?).ok()).collect()
}
