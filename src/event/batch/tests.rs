use arrow::array::Array as _;

use super::*;
use crate::event::{Format, Provider};

fn row() -> JournalRow {
    JournalRow {
        kind: RowKind::Receipt,
        ledger: "receipts".to_owned(),
        leaf_index: Some(7),
        row_id: "a".to_owned(),
        collected_at: "2026-10-01T00:00:00Z".parse().unwrap(),
        transport: "file".to_owned(),
        source: "x".to_owned(),
        format: None,
        reason: Some("source".to_owned()),
        message: None,
        place: None,
        receipt: Some(serde_json::json!({"files": 1})),
        raw: Some("{}".to_owned()),
    }
}

fn event(native_id: Option<&str>, approvers: &[&str]) -> Event {
    let time = "1969-12-31T12:00:00Z".parse().unwrap();
    let mut event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
    event.native_id = native_id.map(str::to_owned);
    event.approvers = approvers.iter().map(|text| (*text).to_owned()).collect();
    event.actor.mfa = Some(true);
    event.detail("days", 30);
    event
}

const RECORD: Record<'_> = Record { raw: "{\"a\":1}", transport: "file", source: "x" };

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column).unwrap().as_string::<i32>();
    array.iter().nth(row).unwrap().map(str::to_owned)
}

fn built() -> RecordBatch {
    let mut builder = JournalBuilder::default();
    builder.push_event(&event(Some("e"), &["a", "b"]), RECORD);
    builder.push_event(&event(None, &[]), RECORD);
    builder.push_row(&row());
    builder.finish().unwrap()
}

#[test]
fn events_and_other_rows_stand_in_the_columns_of_the_schema() {
    let batch = built();
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(COLUMNS.len(), schema::table("journal").unwrap().fields().len());
    assert_eq!(text(&batch, "event_id", 0).as_deref(), Some("aws/1|e"));
    let content = content_id(RECORD.raw);
    assert_eq!(text(&batch, "event_id", 1), Some(format!("aws/1|{content}")));
    assert_eq!(text(&batch, "details", 0).as_deref(), Some("{\"days\":30}"));
    assert_eq!(text(&batch, "raw", 0).as_deref(), Some(RECORD.raw));
    assert_eq!(text(&batch, "details", 2).as_deref(), Some("{\"files\":1}"));
    assert_eq!(text(&batch, "reason", 2).as_deref(), Some("source"));
    assert_eq!(text(&batch, "provider", 2), None);
    let hashes = batch.column_by_name("leaf_hash").unwrap().as_binary::<i32>().clone();
    assert_eq!(hashes.value(0), leaf_hash("aws/1", "aws/1|e", RECORD.raw));
    assert!(hashes.is_null(2));
    let lists = batch.column_by_name("approvers").unwrap().as_list::<i32>().clone();
    assert_eq!((lists.value(0).len(), lists.is_null(1), lists.is_null(2)), (2, true, true));
}

#[test]
fn the_day_is_the_events_and_that_of_collection_for_the_rest() {
    let batch = built();
    let days = batch.column_by_name("event_day").unwrap().as_primitive::<Date32Type>().clone();
    assert_eq!(days.values().as_ref(), [-1, -1, 20727]);
    assert_eq!(row().day(), 20727);
}

#[test]
fn a_batch_that_is_appended_stands_there_as_it_was_built() {
    let (batch, mut again) = (built(), JournalBuilder::default());
    again.append(&batch).unwrap();
    again.append(&batch.slice(1, 2)).unwrap();
    assert_eq!(again.rows(), 5);
    let again = again.finish().unwrap();
    assert_eq!(again.slice(0, 3), batch);
    assert_eq!(again.slice(3, 2), batch.slice(1, 2));
}

#[test]
fn the_room_of_a_batch_counts_its_rows_and_texts() {
    let room = |rows: usize| {
        let mut builder = JournalBuilder::default();
        (0..rows).for_each(|_| builder.push_event(&event(Some("e"), &[]), RECORD));
        builder.room()
    };
    let sixteen = room(16);
    assert_eq!((sixteen.rows, sixteen.bytes.len()), (18, COLUMNS.len()));
    assert!(sixteen.bytes.contains(&(RECORD.raw.len() * 18)));
    assert_eq!(JournalBuilder::with_room(&sixteen).finish().unwrap().num_rows(), 0);
    assert_eq!(sixteen.clone().after(room(8)).rows, 18);
    assert_eq!(sixteen.clone().after(room(3)).rows, 3);
    assert_eq!(sixteen.after(room(24)).rows, 27);
}
