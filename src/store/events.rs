//! Events on their way into the store: columns from the moment that they are read, so that a
//! commit moves batches and no rows.

use arrow::array::{AsArray as _, BinaryArray, Date32Array, RecordBatch, StringArray};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;

use super::StoreError;
use crate::event::Event;
use crate::event::batch::{JournalBuilder, Record, Room};

/// A batch with fewer rows is copied into the one before it: a batch costs as much as to copy some
/// rows.
const SMALL: usize = 32;

/// A batch that is put together is closed when it has so many rows.
const FULL: usize = 1024;

/// Events in order of arrival, with their identities.
#[derive(Debug, Default)]
pub struct Events {
    closed: Vec<RecordBatch>,
    open: Option<JournalBuilder>,
    room: Room,
    rows: usize,
    /// What went wrong, told when the events are committed.
    error: Option<ArrowError>,
}

impl Events {
    /// Begins with room for as many events as there were in others.
    pub fn with_room(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    /// How much room the newest of them take.
    pub fn room(&self) -> Room {
        self.open.as_ref().map_or_else(|| self.room.clone(), JournalBuilder::room)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds one, with its record.
    pub fn push(&mut self, event: &Event, record: Record<'_>) {
        self.open().push_event(event, record);
        self.rows += 1;
    }

    /// Puts others behind these.
    pub fn append(&mut self, mut other: Self) {
        other.close();
        self.rows += other.rows;
        self.error = self.error.take().or(other.error);
        for batch in other.closed {
            if batch.num_rows() >= SMALL {
                self.close();
                self.closed.push(batch);
                continue;
            }
            let done = self.open().append(&batch);
            self.note(done);
            if self.open().rows() >= FULL {
                self.close();
            }
        }
    }

    fn open(&mut self) -> &mut JournalBuilder {
        self.open.get_or_insert_with(|| JournalBuilder::with_room(&self.room))
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        match open.finish() {
            Ok(batch) => self.closed.push(batch),
            Err(error) => self.note(Err(error)),
        }
    }

    fn note(&mut self, done: Result<(), ArrowError>) {
        if let (Err(error), None) = (done, &self.error) {
            self.error = Some(error);
        }
    }

    /// The batches of the events.
    ///
    /// # Errors
    /// When one could not be put together, which is a bug.
    pub(super) fn batches(mut self) -> Result<Vec<EventBatch>, StoreError> {
        self.close();
        match self.error {
            Some(error) => Err(error.into()),
            None => Ok(self.closed.into_iter().map(EventBatch::new).collect()),
        }
    }
}

/// A batch of events, with the columns that a commit looks into.
#[derive(Debug, Clone)]
pub(super) struct EventBatch {
    pub(super) batch: RecordBatch,
    ids: StringArray,
    ledgers: StringArray,
    transports: StringArray,
    sources: StringArray,
    raws: StringArray,
    hashes: BinaryArray,
    days: Date32Array,
}

/// What a commit looks at in an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
    pub(super) id: &'a str,
    pub(super) ledger: &'a str,
    pub(super) transport: &'a str,
    pub(super) source: &'a str,
    pub(super) raw: &'a str,
    pub(super) leaf_hash: [u8; 32],
}

impl EventBatch {
    fn new(batch: RecordBatch) -> Self {
        let text = |name: &str| -> StringArray {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt());
            column.cloned().unwrap_or_else(|| StringArray::new_null(batch.num_rows()))
        };
        let hashes = batch.column_by_name("leaf_hash").and_then(|column| column.as_binary_opt());
        let days = batch.column_by_name("event_day");
        let days = days.and_then(|column| column.as_primitive_opt::<Date32Type>());
        Self {
            ids: text("event_id"),
            ledgers: text("ledger"),
            transports: text("transport"),
            sources: text("source"),
            raws: text("raw"),
            hashes: hashes.cloned().unwrap_or_else(|| BinaryArray::new_null(batch.num_rows())),
            days: days.cloned().unwrap_or_else(|| Date32Array::new_null(batch.num_rows())),
            batch,
        }
    }

    /// Its events, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = EventRow<'_>> {
        let names = self.ids.iter().zip(&self.ledgers).zip(&self.transports).zip(&self.sources);
        let contents = self.raws.iter().zip(&self.hashes);
        names.zip(contents).map(|((((id, ledger), transport), source), (raw, hash))| EventRow {
            id: id.unwrap_or_default(),
            ledger: ledger.unwrap_or_default(),
            transport: transport.unwrap_or_default(),
            source: source.unwrap_or_default(),
            raw: raw.unwrap_or_default(),
            leaf_hash: hash.and_then(|hash| hash.try_into().ok()).unwrap_or_default(),
        })
    }

    /// The days of its events.
    pub(super) fn days(&self) -> &[i32] {
        self.days.values()
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }
}

/// All events of batches, in order.
pub(super) fn rows(batches: &[EventBatch]) -> impl Iterator<Item = EventRow<'_>> {
    batches.iter().flat_map(EventBatch::rows)
}

/// Leaves out what is the same as the one before.
pub(super) fn distinct<T: PartialEq + Copy>(
    items: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let mut last = None;
    items.filter(move |item| last.replace(*item) != Some(*item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Format, Provider};

    fn events(names: std::ops::Range<usize>) -> Events {
        let mut events = Events::default();
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        for name in names {
            let mut event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
            event.native_id = Some(name.to_string());
            events.push(&event, Record { raw: "{}", transport: "file", source: "x" });
        }
        events
    }

    #[test]
    fn the_order_stays_however_events_are_put_together() {
        let mut all = Events::default();
        let mut from = 0;
        let small = [31; 34];
        for count in [1, 300, 0, 2].into_iter().chain(small).chain([32, 1]) {
            all.append(events(from..from + count));
            from += count;
        }
        assert_eq!((all.len(), all.is_empty()), (from, false));
        let batches = all.batches().unwrap();
        let sizes: Vec<usize> = batches.iter().map(EventBatch::len).collect();
        assert_eq!(sizes, [1, 300, 1025, 31, 32, 1]);
        assert!(batches.iter().flat_map(EventBatch::days).all(|day| *day == 20455));
        for (index, row) in rows(&batches).enumerate() {
            assert_eq!(row.id, format!("aws/1|{index}"));
            assert_eq!((row.ledger, row.raw), ("aws/1", "{}"));
            assert_eq!(row.leaf_hash, crate::event::leaf_hash("aws/1", row.id, "{}"));
        }
    }
}
