//! What a commit settles for the events of a page: their places in the ledgers, the ids of those
//! that conflict, when they were collected, and which day's file they go into.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use jiff::Timestamp;

use super::StoreError;
use super::dedupe::{Decision, Decisions};
use super::events::{EventBatch, EventRow};
use super::heads::Heads;
use crate::event::batch::{JournalBuilder, JournalRow};
use crate::event::leaf_hash;

/// What goes into the journal, by day, in order.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<i32, Vec<RecordBatch>>);

impl Days {
    /// The days with their batches.
    pub(super) fn into_batches(self) -> BTreeMap<i32, Vec<RecordBatch>> {
        self.0
    }

    /// Adds rows that are no events.
    pub(super) fn add_rows<'r>(
        &mut self,
        rows: impl Iterator<Item = &'r JournalRow>,
    ) -> Result<(), StoreError> {
        let mut days: BTreeMap<i32, JournalBuilder> = BTreeMap::new();
        rows.for_each(|row| days.entry(row.day()).or_default().push_row(row));
        for (day, rows) in days {
            self.0.entry(day).or_default().push(rows.finish()?);
        }
        Ok(())
    }

    /// Adds the rows of a batch that are to be stored, each to its day.
    fn add(
        &mut self,
        batch: &RecordBatch,
        days: &[i32],
        decisions: &[Decision],
    ) -> Result<(), ArrowError> {
        let mut places: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for ((place, day), decision) in (0..).zip(days).zip(decisions) {
            if *decision == Decision::Store {
                places.entry(*day).or_default().push(place);
            }
        }
        for (day, places) in places {
            let rows = if places.len() == batch.num_rows() {
                batch.clone()
            } else {
                take_record_batch(batch, &UInt32Array::from(places))?
            };
            self.0.entry(day).or_default().push(rows);
        }
        Ok(())
    }
}

/// Gives the events that are to be stored their places, and adds them to their days.
pub(super) fn settle(
    days: &mut Days,
    (batches, decisions): (&[EventBatch], &Decisions),
    heads: &mut Heads,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut from = 0;
    for batch in batches {
        let range = from..from + batch.len();
        let decided = decisions.events.get(range.clone()).unwrap_or_default();
        let variants: BTreeMap<usize, &str> =
            decisions.variants.range(range).map(|(at, id)| (at - from, id.as_str())).collect();
        let settled = settled(batch, (decided, &variants), heads, now)?;
        days.add(&settled, batch.days(), decided)?;
        from += batch.len();
    }
    Ok(())
}

/// A batch with what is settled at commit.
fn settled(
    batch: &EventBatch,
    (decisions, variants): (&[Decision], &BTreeMap<usize, &str>),
    heads: &mut Heads,
    now: Timestamp,
) -> Result<RecordBatch, ArrowError> {
    let renamed = |(place, row): (usize, EventRow<'_>)| match variants.get(&place) {
        Some(variant) => leaf_hash(row.ledger, variant, row.raw),
        None => row.leaf_hash,
    };
    let mut places = Vec::with_capacity(batch.len());
    for (index, (row, decision)) in batch.rows().zip(decisions).enumerate() {
        let head = heads.of(row.ledger).filter(|_| *decision == Decision::Store);
        places.push(head.and_then(|head| {
            let place = i64::try_from(head.size()).ok();
            head.push(renamed((index, row)));
            place
        }));
    }
    let now = vec![now.as_microsecond(); batch.len()];
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("leaf_index", Arc::new(Int64Array::from(places))),
        ("collected_at", Arc::new(TimestampMicrosecondArray::from(now).with_timezone("UTC"))),
    ];
    if !variants.is_empty() {
        let ids = batch.rows().enumerate().map(|(at, row)| *variants.get(&at).unwrap_or(&row.id));
        let firsts = batch.rows().enumerate().map(|(at, row)| variants.get(&at).map(|_| row.id));
        let hashes = batch.rows().enumerate().map(|row| Some(renamed(row)));
        columns.push(("event_id", Arc::new(ids.map(Some).collect::<StringArray>())));
        columns.push(("conflicts_with", Arc::new(firsts.collect::<StringArray>())));
        columns.push(("leaf_hash", Arc::new(hashes.collect::<BinaryArray>())));
    }
    replace(&batch.batch, columns)
}

/// The batch with other columns in place of some.
fn replace(batch: &RecordBatch, new: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut columns = batch.columns().to_vec();
    for (name, array) in new {
        let place = schema.index_of(name)?;
        if let Some(column) = columns.get_mut(place) {
            *column = array;
        }
    }
    RecordBatch::try_new(schema, columns)
}
