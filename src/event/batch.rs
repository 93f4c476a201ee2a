//! Rows of the journal as Arrow arrays, put together row by row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, BinaryBuilder, BooleanBuilder, Date32Builder, Int32Builder,
    Int64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Field, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use jiff::Timestamp;
use serde_json::Value;

use super::identity::{content_id, leaf_hash};
use super::{Event, MAPPER_VERSION, Origin, Protection, schema, words};

words! {
    /// What a row of the journal is.
    RowKind {
        /// A normalized record.
        Event = "event",
        /// A record that could not be translated.
        Quarantine = "quarantine",
        /// What a page of reading left: counts, tree heads, coverage, proofs.
        Receipt = "receipt",
    }
}

/// One row of the journal that is no event.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// What it is.
    pub kind: RowKind,
    /// The ledger; `quarantine` for quarantined records.
    pub ledger: String,
    /// For the receipt of a ledger its size.
    pub leaf_index: Option<i64>,
    /// Unique id.
    pub row_id: String,
    /// When it was read.
    pub collected_at: Timestamp,
    /// How it was read.
    pub transport: String,
    /// Where it was read from.
    pub source: String,
    /// The format that a quarantined record seemed to be of.
    pub format: Option<String>,
    /// Why it is in quarantine, or what kind of receipt it is.
    pub reason: Option<String>,
    /// One sentence to it.
    pub message: Option<String>,
    /// Place within the source.
    pub place: Option<String>,
    /// The content of a receipt, a JSON object.
    pub receipt: Option<Value>,
    /// The record, exactly.
    pub raw: Option<String>,
}

impl JournalRow {
    /// The partition that the row belongs to, in days since 1970-01-01.
    pub fn day(&self) -> i32 {
        day_of(self.collected_at)
    }
}

/// Days between 1970-01-01 and the UTC day of `time`.
pub fn day_of(time: Timestamp) -> i32 {
    i32::try_from(time.as_second().div_euclid(86_400)).unwrap_or(0)
}

/// Times as microseconds, UTC.
pub fn times(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let micros = values.map(|time| time.map(Timestamp::as_microsecond));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A record as it was read, beside the event that it was translated into.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its exact bytes.
    pub raw: &'a str,
    /// How it was read.
    pub transport: &'static str,
    /// Where it was read from.
    pub source: &'a str,
}

/// What the columns of a row are read from.
struct Row<'a> {
    kind: RowKind,
    day: i32,
    ledger: &'a str,
    leaf_index: Option<i64>,
    id: &'a str,
    collected_at: Option<Timestamp>,
    transport: &'a str,
    source: &'a str,
    event: Option<&'a Event>,
    format: Option<&'a str>,
    reason: Option<&'a str>,
    message: Option<&'a str>,
    place: Option<&'a str>,
    details: Option<&'a str>,
    raw: Option<&'a str>,
    leaf_hash: Option<[u8; 32]>,
}

/// How a column is read from a row.
#[derive(Clone, Copy)]
enum Read {
    Text(for<'r> fn(&'r Row<'_>) -> Option<&'r str>),
    Time(fn(&Row<'_>) -> Option<Timestamp>),
    Flag(fn(&Row<'_>) -> Option<bool>),
    Index(fn(&Row<'_>) -> Option<i64>),
    Day(fn(&Row<'_>) -> i32),
    Version(fn(&Row<'_>) -> Option<i32>),
    Hash(for<'r> fn(&'r Row<'_>) -> Option<&'r [u8]>),
    Texts(for<'r> fn(&'r Row<'_>) -> &'r [String]),
}

/// The columns of the journal, in the order of its schema.
const COLUMNS: &[Read] = &[
    Read::Text(|row| Some(row.kind.as_str())),
    Read::Day(|row| row.day),
    Read::Text(|row| Some(row.ledger)),
    Read::Index(|row| row.leaf_index),
    Read::Text(|row| Some(row.id)),
    // What an event conflicts with is known once it is committed.
    Read::Text(|_| None),
    Read::Time(|row| row.event.map(|event| event.time)),
    Read::Time(|row| row.event.and_then(|event| event.received_at)),
    Read::Time(|row| row.collected_at),
    Read::Text(|row| row.event.map(|event| event.provider.as_str())),
    Read::Text(|row| row.event.map(|event| event.service.as_str())),
    Read::Text(|row| row.event.map_or(row.format, |event| Some(event.format.as_str()))),
    Read::Text(|row| Some(row.transport)),
    Read::Text(|row| Some(row.source)),
    Read::Text(|row| row.event?.account.as_deref()),
    Read::Text(|row| row.event?.region.as_deref()),
    Read::Text(|row| row.event.map(|event| event.action.as_str())),
    Read::Text(|row| row.event.map(|event| event.native_action.as_str())),
    Read::Text(|row| row.event.map(|event| event.action.category())),
    Read::Text(|row| row.event.map(|event| event.outcome.as_str())),
    Read::Text(|row| row.event?.error_code.as_deref()),
    Read::Text(|row| row.event.map_or(row.message, |event| event.error_message.as_deref())),
    Read::Text(|row| row.event?.actor.id.as_deref()),
    Read::Text(|row| row.event?.actor.name.as_deref()),
    Read::Text(|row| row.event.map(|event| event.actor.kind.as_str())),
    Read::Text(|row| row.event?.actor.account.as_deref()),
    Read::Text(|row| row.event?.actor.on_behalf_of.as_deref()),
    Read::Flag(|row| row.event?.actor.mfa),
    Read::Text(|row| row.event?.client.ip.as_deref()),
    Read::Text(|row| row.event?.client.host.as_deref()),
    Read::Text(|row| row.event?.client.user_agent.as_deref()),
    Read::Text(|row| row.event?.client.request_id.as_deref()),
    Read::Text(|row| row.event?.client.session_id.as_deref()),
    Read::Text(|row| row.event?.key.id.as_deref()),
    Read::Text(|row| row.event?.key.version.as_deref()),
    Read::Text(|row| row.event?.key.alias.as_deref()),
    Read::Text(|row| row.event?.key.group.as_deref()),
    Read::Text(|row| row.event?.key.spec.as_deref()),
    Read::Text(|row| row.event?.key.protection.map(Protection::as_str)),
    Read::Text(|row| row.event?.key.origin.map(Origin::as_str)),
    Read::Text(|row| row.event?.hsm_id.as_deref()),
    Read::Text(|row| row.event?.target.as_deref()),
    Read::Texts(|row| row.event.map_or(&[], |event| event.approvers.as_slice())),
    Read::Flag(|row| row.event?.read_only),
    Read::Text(|row| row.details),
    Read::Version(|row| row.event.map(|_| MAPPER_VERSION)),
    Read::Text(|row| row.raw),
    Read::Hash(|row| row.leaf_hash.as_ref().map(<[u8; 32]>::as_slice)),
    Read::Text(|row| row.reason),
    Read::Text(|row| row.place),
];

/// One column as far as it has come.
enum Column {
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Flag(BooleanBuilder),
    Index(Int64Builder),
    Day(Date32Builder),
    Version(Int32Builder),
    Hash(BinaryBuilder),
    Texts(ListBuilder<StringBuilder>),
}

/// How much room a batch took: the next one is likely to take as much.
#[derive(Debug, Clone, Default)]
pub struct Room {
    rows: usize,
    /// Bytes of each column of text.
    bytes: Vec<usize>,
}

impl Room {
    /// The room for what comes after a batch that took `taken`: the larger one, unless batches have
    /// become much smaller.
    #[must_use]
    pub fn after(self, taken: Self) -> Self {
        if taken.rows < self.rows && taken.rows * 4 > self.rows { self } else { taken }
    }
}

/// Puts rows of the journal together. What only a commit settles (place in the ledger, conflict,
/// time of collection) stays null in the rows of events.
pub struct JournalBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    /// What is written and copied into its column, kept for the next row.
    id: String,
    details: Vec<u8>,
}

impl std::fmt::Debug for JournalBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalBuilder").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Default for JournalBuilder {
    fn default() -> Self {
        Self::with_room(&Room::default())
    }
}

impl JournalBuilder {
    /// Begins a batch with room for as much as another one took.
    pub fn with_room(room: &Room) -> Self {
        let sizes = room.bytes.iter().copied().chain(std::iter::repeat(0));
        let columns = COLUMNS.iter().zip(sizes);
        Self {
            schema: schema::journal(),
            columns: columns.map(|(read, bytes)| Column::new(*read, room.rows, bytes)).collect(),
            rows: 0,
            id: String::new(),
            details: Vec::new(),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How much room they take, and an eighth more: the next ones are never quite alike, and a
    /// column that is a little too short is copied.
    pub fn room(&self) -> Room {
        let roomy = |size: usize| size + size / 8;
        let bytes = self.columns.iter().map(|column| roomy(column.bytes())).collect();
        Room { rows: roomy(self.rows), bytes }
    }

    /// Adds an event, with its identity.
    pub fn push_event(&mut self, event: &Event, record: Record<'_>) {
        let mut id = std::mem::take(&mut self.id);
        id.clear();
        id.push_str(&event.ledger);
        id.push('|');
        match &event.native_id {
            Some(native) => id.push_str(native),
            None => id.push_str(&content_id(record.raw)),
        }
        let mut details = std::mem::take(&mut self.details);
        details.clear();
        // Writing a tree of values to memory cannot fail, and gives UTF-8.
        let written = !event.details.is_empty()
            && serde_json::to_writer(&mut details, &event.details).is_ok();
        self.push(&Row {
            kind: RowKind::Event,
            day: day_of(event.time),
            ledger: &event.ledger,
            leaf_index: None,
            id: &id,
            collected_at: None,
            transport: record.transport,
            source: record.source,
            event: Some(event),
            format: None,
            reason: None,
            message: None,
            place: None,
            details: std::str::from_utf8(&details).ok().filter(|_| written),
            raw: Some(record.raw),
            leaf_hash: Some(leaf_hash(&event.ledger, &id, record.raw)),
        });
        (self.id, self.details) = (id, details);
    }

    /// Adds a row that is no event.
    pub fn push_row(&mut self, row: &JournalRow) {
        let details = row.receipt.as_ref().map(ToString::to_string);
        self.push(&Row {
            kind: row.kind,
            day: row.day(),
            ledger: &row.ledger,
            leaf_index: row.leaf_index,
            id: &row.row_id,
            collected_at: Some(row.collected_at),
            transport: &row.transport,
            source: &row.source,
            event: None,
            format: row.format.as_deref(),
            reason: row.reason.as_deref(),
            message: row.message.as_deref(),
            place: row.place.as_deref(),
            details: details.as_deref(),
            raw: row.raw.as_deref(),
            leaf_hash: None,
        });
    }

    fn push(&mut self, row: &Row<'_>) {
        for (column, read) in self.columns.iter_mut().zip(COLUMNS) {
            column.push(*read, row);
        }
        self.rows += 1;
    }

    /// Adds the rows of another batch of the journal.
    ///
    /// # Errors
    /// When a column is too long for one batch.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.append(array)?;
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// The batch, in the journal's schema.
    ///
    /// # Errors
    /// When the schema and the columns disagree, which is a bug.
    pub fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(self.schema, self.columns.into_iter().map(Column::finish).collect())
    }
}

impl Column {
    fn new(read: Read, rows: usize, bytes: usize) -> Self {
        match read {
            Read::Text(_) => Self::Text(StringBuilder::with_capacity(rows, bytes)),
            Read::Time(_) => {
                let times = TimestampMicrosecondBuilder::with_capacity(rows);
                Self::Time(times.with_timezone("UTC"))
            }
            Read::Flag(_) => Self::Flag(BooleanBuilder::with_capacity(rows)),
            Read::Index(_) => Self::Index(Int64Builder::with_capacity(rows)),
            Read::Day(_) => Self::Day(Date32Builder::with_capacity(rows)),
            Read::Version(_) => Self::Version(Int32Builder::with_capacity(rows)),
            Read::Hash(_) => Self::Hash(BinaryBuilder::with_capacity(rows, rows * 32)),
            Read::Texts(_) => {
                let field = Field::new("element", DataType::Utf8, true);
                Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(field))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(texts) => texts.values_slice().len(),
            _ => 0,
        }
    }

    fn push(&mut self, read: Read, row: &Row<'_>) {
        match (self, read) {
            (Self::Text(texts), Read::Text(read)) => texts.append_option(read(row)),
            (Self::Time(times), Read::Time(read)) => {
                times.append_option(read(row).map(Timestamp::as_microsecond));
            }
            (Self::Flag(flags), Read::Flag(read)) => flags.append_option(read(row)),
            (Self::Index(indices), Read::Index(read)) => indices.append_option(read(row)),
            (Self::Day(days), Read::Day(read)) => days.append_value(read(row)),
            (Self::Version(versions), Read::Version(read)) => versions.append_option(read(row)),
            (Self::Hash(hashes), Read::Hash(read)) => hashes.append_option(read(row)),
            (Self::Texts(lists), Read::Texts(read)) => {
                let texts = read(row);
                for text in texts {
                    lists.values().append_value(text);
                }
                lists.append(!texts.is_empty());
            }
            // Columns are made from the same table that they are read by.
            _ => debug_assert!(false, "a column is read by what it was not made for"),
        }
    }

    fn append(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        match self {
            Self::Text(texts) => texts.append_array(array.as_string::<i32>())?,
            Self::Time(times) => {
                times.append_array(array.as_primitive::<TimestampMicrosecondType>());
            }
            Self::Flag(flags) => flags.append_array(array.as_boolean()),
            Self::Index(indices) => indices.append_array(array.as_primitive::<Int64Type>()),
            Self::Day(days) => days.append_array(array.as_primitive::<Date32Type>()),
            Self::Version(versions) => versions.append_array(array.as_primitive::<Int32Type>()),
            Self::Hash(hashes) => hashes.append_array(array.as_binary::<i32>())?,
            Self::Texts(lists) => {
                for list in array.as_list::<i32>().iter() {
                    if let Some(list) = &list {
                        lists.values().append_array(list.as_string::<i32>())?;
                    }
                    lists.append(list.is_some());
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut texts) => Arc::new(texts.finish()),
            Self::Time(mut times) => Arc::new(times.finish()),
            Self::Flag(mut flags) => Arc::new(flags.finish()),
            Self::Index(mut indices) => Arc::new(indices.finish()),
            Self::Day(mut days) => Arc::new(days.finish()),
            Self::Version(mut versions) => Arc::new(versions.finish()),
            Self::Hash(mut hashes) => Arc::new(hashes.finish()),
            Self::Texts(mut lists) => Arc::new(lists.finish()),
        }
    }
}

#[cfg(test)]
mod tests;
