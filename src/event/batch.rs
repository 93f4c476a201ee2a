//! Rows of the journal as Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Int32Array, Int64Array, ListBuilder,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use jiff::Timestamp;
use serde_json::Value;

use super::{Event, MAPPER_VERSION, schema, words};

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

/// One row of the journal. Columns that only events have come from `event`.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// What it is.
    pub kind: RowKind,
    /// The ledger; `quarantine` for quarantined records.
    pub ledger: String,
    /// Place in the ledger; for the receipt of a ledger its size.
    pub leaf_index: Option<i64>,
    /// Unique id.
    pub row_id: String,
    /// The event that this record shares its native id with.
    pub conflicts_with: Option<String>,
    /// When it was read.
    pub collected_at: Timestamp,
    /// How it was read.
    pub transport: &'static str,
    /// Where it was read from.
    pub source: Arc<str>,
    /// The event.
    pub event: Option<Event>,
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
    /// Its leaf hash.
    pub leaf_hash: Option<[u8; 32]>,
}

impl JournalRow {
    /// The partition that the row belongs to, in days since 1970-01-01.
    pub fn day(&self) -> i32 {
        day_of(self.event.as_ref().map_or(self.collected_at, |event| event.time))
    }
}

/// Days between 1970-01-01 and the UTC day of `time`.
pub fn day_of(time: Timestamp) -> i32 {
    i32::try_from(time.as_second().div_euclid(86_400)).unwrap_or(0)
}

/// Turns rows into one batch of the journal's schema.
///
/// # Errors
/// When the schema and the columns disagree, which is a bug.
pub fn journal_batch(rows: &[&JournalRow]) -> Result<RecordBatch, ArrowError> {
    let rows = Rows(rows);
    let mut columns = rows.head();
    columns.extend(rows.origin());
    columns.extend(rows.deed());
    columns.extend(rows.actor());
    columns.extend(rows.key());
    columns.extend(rows.tail());
    let schema = schema::table("journal")
        .ok_or_else(|| ArrowError::SchemaError("the journal has no schema".to_owned()))?;
    RecordBatch::try_new(schema, columns)
}

/// Times as microseconds, UTC.
pub fn times(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let micros = values.map(|time| time.map(Timestamp::as_microsecond));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

struct Rows<'a>(&'a [&'a JournalRow]);

impl Rows<'_> {
    fn text<'s>(&'s self, read: impl Fn(&'s JournalRow) -> Option<&'s str>) -> ArrayRef {
        Arc::new(self.0.iter().map(|row| read(row)).collect::<StringArray>())
    }

    fn of_event<'s>(&'s self, read: impl Fn(&'s Event) -> Option<&'s str>) -> ArrayRef {
        self.text(|row| row.event.as_ref().and_then(&read))
    }

    fn time(&self, read: impl Fn(&JournalRow) -> Option<Timestamp>) -> ArrayRef {
        times(self.0.iter().map(|row| read(row)))
    }

    fn flag(&self, read: impl Fn(&Event) -> Option<bool>) -> ArrayRef {
        let flags = self.0.iter().map(|row| row.event.as_ref().and_then(&read));
        Arc::new(flags.collect::<BooleanArray>())
    }

    fn head(&self) -> Vec<ArrayRef> {
        let days = self.0.iter().map(|row| Some(row.day()));
        vec![
            self.text(|row| Some(row.kind.as_str())),
            Arc::new(days.collect::<Date32Array>()),
            self.text(|row| Some(&row.ledger)),
            Arc::new(self.0.iter().map(|row| row.leaf_index).collect::<Int64Array>()),
            self.text(|row| Some(&row.row_id)),
            self.text(|row| row.conflicts_with.as_deref()),
            self.time(|row| row.event.as_ref().map(|event| event.time)),
            self.time(|row| row.event.as_ref().and_then(|event| event.received_at)),
            self.time(|row| Some(row.collected_at)),
        ]
    }

    fn origin(&self) -> Vec<ArrayRef> {
        vec![
            self.of_event(|event| Some(event.provider.as_str())),
            self.of_event(|event| Some(&event.service)),
            self.text(|row| match &row.event {
                Some(event) => Some(event.format.as_str()),
                None => row.format.as_deref(),
            }),
            self.text(|row| Some(row.transport)),
            self.text(|row| Some(&row.source)),
            self.of_event(|event| event.account.as_deref()),
            self.of_event(|event| event.region.as_deref()),
        ]
    }

    fn deed(&self) -> Vec<ArrayRef> {
        vec![
            self.of_event(|event| Some(event.action.as_str())),
            self.of_event(|event| Some(&event.native_action)),
            self.of_event(|event| Some(event.action.category())),
            self.of_event(|event| Some(event.outcome.as_str())),
            self.of_event(|event| event.error_code.as_deref()),
            self.text(|row| match &row.event {
                Some(event) => event.error_message.as_deref(),
                None => row.message.as_deref(),
            }),
        ]
    }

    fn actor(&self) -> Vec<ArrayRef> {
        vec![
            self.of_event(|event| event.actor.id.as_deref()),
            self.of_event(|event| event.actor.name.as_deref()),
            self.of_event(|event| Some(event.actor.kind.as_str())),
            self.of_event(|event| event.actor.account.as_deref()),
            self.of_event(|event| event.actor.on_behalf_of.as_deref()),
            self.flag(|event| event.actor.mfa),
            self.of_event(|event| event.client.ip.as_deref()),
            self.of_event(|event| event.client.host.as_deref()),
            self.of_event(|event| event.client.user_agent.as_deref()),
            self.of_event(|event| event.client.request_id.as_deref()),
            self.of_event(|event| event.client.session_id.as_deref()),
        ]
    }

    fn key(&self) -> Vec<ArrayRef> {
        vec![
            self.of_event(|event| event.key.id.as_deref()),
            self.of_event(|event| event.key.version.as_deref()),
            self.of_event(|event| event.key.alias.as_deref()),
            self.of_event(|event| event.key.group.as_deref()),
            self.of_event(|event| event.key.spec.as_deref()),
            self.of_event(|event| event.key.protection.map(super::Protection::as_str)),
            self.of_event(|event| event.key.origin.map(super::Origin::as_str)),
            self.of_event(|event| event.hsm_id.as_deref()),
            self.of_event(|event| event.target.as_deref()),
            self.approvers(),
            self.flag(|event| event.read_only),
        ]
    }

    fn tail(&self) -> Vec<ArrayRef> {
        let details = self.0.iter().map(|row| match (&row.event, &row.receipt) {
            (Some(event), _) if event.details.is_empty() => None,
            (Some(event), _) => serde_json::to_string(&event.details).ok(),
            (None, Some(receipt)) => Some(receipt.to_string()),
            (None, None) => None,
        });
        let version = self.0.iter().map(|row| row.event.as_ref().map(|_| MAPPER_VERSION));
        let hashes = self.0.iter().map(|row| row.leaf_hash);
        vec![
            Arc::new(details.collect::<StringArray>()),
            Arc::new(version.collect::<Int32Array>()),
            self.text(|row| row.raw.as_deref()),
            Arc::new(hashes.collect::<BinaryArray>()),
            self.text(|row| row.reason.as_deref()),
            self.text(|row| row.place.as_deref()),
        ]
    }

    fn approvers(&self) -> ArrayRef {
        let field = arrow::datatypes::Field::new("element", arrow::datatypes::DataType::Utf8, true);
        let mut list = ListBuilder::new(StringBuilder::new()).with_field(field);
        for row in self.0 {
            match &row.event {
                Some(event) if !event.approvers.is_empty() => {
                    for approver in &event.approvers {
                        list.values().append_value(approver);
                    }
                    list.append(true);
                }
                _ => list.append(false),
            }
        }
        Arc::new(list.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Format, Provider};

    fn row(event: Option<Event>) -> JournalRow {
        JournalRow {
            kind: RowKind::Event,
            ledger: "aws/1".to_owned(),
            leaf_index: Some(0),
            row_id: "aws/1|a".to_owned(),
            conflicts_with: None,
            collected_at: "2026-10-01T00:00:00Z".parse().unwrap(),
            transport: "file",
            source: "x".into(),
            event,
            format: None,
            reason: None,
            message: None,
            place: None,
            receipt: None,
            raw: Some("{}".to_owned()),
            leaf_hash: Some([7; 32]),
        }
    }

    #[test]
    fn columns_and_schema_agree_for_every_kind_of_row() {
        let time = "2026-03-01T23:59:59Z".parse().unwrap();
        let mut event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
        event.approvers = vec!["a".to_owned()];
        let batch = journal_batch(&[&row(Some(event)), &row(None)]).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(batch.num_columns(), schema::table("journal").unwrap().fields().len());
    }

    #[test]
    fn the_day_is_the_events_and_that_of_collection_for_the_rest() {
        let time = "1969-12-31T12:00:00Z".parse().unwrap();
        let event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
        assert_eq!(row(Some(event)).day(), -1);
        assert_eq!(row(None).day(), 20727);
    }
}
