//! What of a page is known already.
//!
//! An event is a duplicate where its id is there with the same content: the same leaf hash, else
//! the same canonical JSON. With other content from the same transport it is kept under a variant
//! id; from another transport the first one stands. Only the days of the page are read, so that
//! the cost follows what is new; rule LOG-05 looks for ids that return on other days.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use futures::TryStreamExt as _;

use super::StoreError;
use super::receipt::variant_row;
use crate::event::batch::{JournalRow, RowKind};
use crate::event::{canonical_json, leaf_hash, variant_id};

/// What is to be done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is new.
    Store,
    /// It is there already.
    Duplicate,
    /// It is there already from another transport, with other content: the first one stands, and
    /// a receipt keeps the digest of this one.
    Variant,
}

/// A row that is in the store, or earlier in the page.
#[derive(Debug, Clone)]
struct Known<'r> {
    leaf_hash: Option<[u8; 32]>,
    transport: Cow<'r, str>,
    raw: Option<Cow<'r, str>>,
}

/// What is known of ids, those of the page borrowed from its rows.
type KnownIds<'r> = HashMap<Cow<'r, str>, Known<'r>>;

/// Decides for every row of a page; ids of conflicting events are changed to variant ids.
pub(super) async fn decide(
    journal: &DeltaTable,
    rows: &mut [JournalRow],
) -> Result<Vec<Decision>, StoreError> {
    reset(rows);
    let known = known_events(journal, rows).await?;
    let single = known_singles(journal, rows).await?;
    let (decisions, variants) = decide_all(rows, known, single);
    for (index, variant) in variants {
        if let Some(row) = rows.get_mut(index) {
            let first = std::mem::take(&mut row.row_id);
            rename(row, variant);
            row.conflicts_with = Some(first);
        }
    }
    Ok(decisions)
}

/// What is to be done with each row, and the ids of those that take a variant's.
fn decide_all<'r>(
    rows: &'r [JournalRow],
    mut known: KnownIds<'r>,
    mut seen: BTreeSet<String>,
) -> (Vec<Decision>, Vec<(usize, String)>) {
    let mut variants = Vec::new();
    let mut decisions = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        decisions.push(match row.kind {
            RowKind::Event => match decide_event(row, &mut known) {
                Ok(decision) => decision,
                Err(variant) => {
                    variants.push((index, variant));
                    Decision::Store
                }
            },
            RowKind::Quarantine | RowKind::Receipt if seen.insert(row.row_id.clone()) => {
                Decision::Store
            }
            RowKind::Quarantine | RowKind::Receipt => Decision::Duplicate,
        });
    }
    (decisions, variants)
}

/// Undoes what an earlier attempt decided.
fn reset(rows: &mut [JournalRow]) {
    for row in rows {
        if let Some(first) = row.conflicts_with.take() {
            rename(row, first);
        }
    }
}

fn rename(row: &mut JournalRow, id: String) {
    let raw = row.raw.as_deref().unwrap_or_default();
    row.leaf_hash = Some(leaf_hash(&row.ledger, &id, raw));
    row.row_id = id;
}

/// Decides for one event; an error is the variant id under which it is to be stored.
fn decide_event<'r>(row: &'r JournalRow, known: &mut KnownIds<'r>) -> Result<Decision, String> {
    let raw = row.raw.as_deref().unwrap_or_default();
    let new = Known {
        leaf_hash: row.leaf_hash,
        transport: Cow::Borrowed(row.transport),
        raw: Some(Cow::Borrowed(raw)),
    };
    let Some(first) = known.get(row.row_id.as_str()) else {
        known.insert(Cow::Borrowed(&row.row_id), new);
        return Ok(Decision::Store);
    };
    if same_content(row, raw, first) {
        return Ok(Decision::Duplicate);
    }
    if first.transport != row.transport {
        return Ok(Decision::Variant);
    }
    let variant = variant_id(&row.row_id, raw);
    if known.contains_key(variant.as_str()) {
        return Ok(Decision::Duplicate);
    }
    known.insert(Cow::Owned(variant.clone()), new);
    Err(variant)
}

fn same_content(row: &JournalRow, raw: &str, first: &Known<'_>) -> bool {
    if row.leaf_hash.is_some() && row.leaf_hash == first.leaf_hash {
        return true;
    }
    match (canonical_json(raw), first.raw.as_deref().map(canonical_json)) {
        (Ok(new), Some(Ok(old))) => new == old,
        _ => first.raw.as_deref().is_some_and(|old| old.trim() == raw.trim()),
    }
}

/// The events of the store that share an id with one of the page.
async fn known_events<'r>(
    journal: &DeltaTable,
    rows: &[JournalRow],
) -> Result<KnownIds<'r>, StoreError> {
    let events = || rows.iter().filter(|row| row.kind == RowKind::Event);
    let mut ids: HashMap<&str, Option<&[u8; 32]>> = HashMap::new();
    for row in events() {
        ids.insert(&row.row_id, row.leaf_hash.as_ref());
    }
    let days: BTreeSet<i32> = events().map(JournalRow::day).collect();
    let ledgers: BTreeSet<&str> = events().map(|row| row.ledger.as_str()).collect();
    let mut known = KnownIds::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let filter = col("kind").eq(lit("event")).and(on_days(&days)).and(in_ledgers(&ledgers));
    let mut clashes = Vec::new();
    let columns = ["event_id", "leaf_hash", "transport", "conflicts_with"];
    scan(journal, filter.clone(), &columns, |batch| {
        let (id, hash) = (texts(batch, 0), hashes(batch, 1));
        let (transport, first) = (texts(batch, 2), texts(batch, 3));
        for index in 0..batch.num_rows() {
            let text = |column: &Vec<Option<String>>| column.get(index).cloned().flatten();
            let Some(id) = text(&id) else { continue };
            let shared = ids.get(id.as_str()).copied();
            if shared.is_none() && text(&first).is_none() {
                continue;
            }
            let leaf_hash = hash.get(index).copied().flatten();
            if shared.is_some() && shared.flatten() != leaf_hash.as_ref() {
                clashes.push(id.clone());
            }
            let transport = Cow::Owned(text(&transport).unwrap_or_default());
            known.insert(Cow::Owned(id), Known { leaf_hash, transport, raw: None });
        }
    })
    .await?;
    for chunk in clashes.chunks(500) {
        let clash = filter.clone().and(one_of("event_id", chunk.iter().map(String::as_str)));
        scan(journal, clash, &["event_id", "raw"], |batch| {
            for (id, raw) in texts(batch, 0).into_iter().zip(texts(batch, 1)) {
                if let Some(entry) = id.and_then(|id| known.get_mut(id.as_str())) {
                    entry.raw = raw.map(Cow::Owned);
                }
            }
        })
        .await?;
    }
    Ok(known)
}

/// The receipts of variants that are not in the store yet.
pub(super) async fn new_variants(
    journal: &DeltaTable,
    rows: &[JournalRow],
    decisions: &[Decision],
) -> Result<Vec<JournalRow>, StoreError> {
    let variants = rows.iter().zip(decisions).filter(|(_, d)| **d == Decision::Variant);
    let receipts: Vec<JournalRow> = variants.map(|(row, _)| variant_row(row)).collect();
    let mut seen = known_singles(journal, &receipts).await?;
    Ok(receipts.into_iter().filter(|row| seen.insert(row.row_id.clone())).collect())
}

/// The ids of quarantined records and lasting receipts that are in the store and in the page.
async fn known_singles(
    journal: &DeltaTable,
    rows: &[JournalRow],
) -> Result<BTreeSet<String>, StoreError> {
    let singles = || rows.iter().filter(|row| row.kind != RowKind::Event);
    let dated: Vec<&JournalRow> = singles().filter(|row| is_dated(row)).collect();
    let days: BTreeSet<i32> = dated.iter().map(|row| row.day()).collect();
    let mut known = with_ids(journal, dated.iter().copied(), on_days(&days)).await?;
    known.extend(with_ids(journal, singles().filter(|row| !is_dated(row)), lit(true)).await?);
    Ok(known)
}

/// Whether the id of a receipt is single to the time when it was made: if it is there, then on its
/// day.
fn is_dated(row: &JournalRow) -> bool {
    let reason = row.reason.as_deref().unwrap_or_default();
    row.kind == RowKind::Receipt && matches!(reason, "source" | "cursor" | "summary" | "poll")
}

/// Which of the ids of rows are in the store, on days that `which` tells.
async fn with_ids<'r>(
    journal: &DeltaTable,
    rows: impl Iterator<Item = &'r JournalRow>,
    which: Expr,
) -> Result<BTreeSet<String>, StoreError> {
    let ids: BTreeSet<&str> = rows.map(|row| row.row_id.as_str()).collect();
    let mut known = BTreeSet::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let mut filter = col("kind").not_eq(lit("event")).and(which);
    if ids.len() <= 64 {
        // Statistics and Bloom filters leave few files to look into then.
        filter = filter.and(one_of("event_id", ids.iter().copied()));
    }
    scan(journal, filter, &["event_id"], |batch| {
        known.extend(texts(batch, 0).into_iter().flatten().filter(|id| ids.contains(id.as_str())));
    })
    .await?;
    Ok(known)
}

fn on_days(days: &BTreeSet<i32>) -> Expr {
    let day = |day: i32| Expr::Literal(ScalarValue::Date32(Some(day)), None);
    if days.len() <= 64 {
        return col("event_day").in_list(days.iter().map(|d| day(*d)).collect(), false);
    }
    let (first, last) = (days.first().copied(), days.last().copied());
    col("event_day")
        .gt_eq(day(first.unwrap_or(i32::MIN)))
        .and(col("event_day").lt_eq(day(last.unwrap_or(i32::MAX))))
}

fn in_ledgers(ledgers: &BTreeSet<&str>) -> Expr {
    if ledgers.len() <= 64 { one_of("ledger", ledgers.iter().copied()) } else { lit(true) }
}

fn one_of<'a>(column: &str, values: impl Iterator<Item = &'a str>) -> Expr {
    col(column).in_list(values.map(lit).collect(), false)
}

/// Streams columns of the journal's rows that match.
pub(super) async fn scan(
    journal: &DeltaTable,
    filter: Expr,
    columns: &[&str],
    mut receive: impl FnMut(&RecordBatch),
) -> Result<(), StoreError> {
    let context = SessionContext::new();
    journal
        .update_datafusion_session(&context.state())
        .map_err(super::table::failed("read", "journal"))?;
    let provider = journal.table_provider().await?;
    let frame = context.read_table(provider)?.filter(filter)?.select_columns(columns)?;
    let mut stream = frame.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        receive(&batch);
    }
    Ok(())
}

/// A text column, whatever encoding the engine chose for it.
pub(super) fn texts(batch: &RecordBatch, index: usize) -> Vec<Option<String>> {
    let Some(array) = batch.columns().get(index) else { return Vec::new() };
    let Ok(array) = arrow::compute::cast(array, &DataType::Utf8) else { return Vec::new() };
    let array = array.as_string::<i32>();
    array.iter().map(|value| value.map(str::to_owned)).collect()
}

fn hashes(batch: &RecordBatch, index: usize) -> Vec<Option<[u8; 32]>> {
    let Some(array) = batch.columns().get(index) else { return Vec::new() };
    let Ok(array) = arrow::compute::cast(array, &DataType::Binary) else { return Vec::new() };
    debug_assert_eq!(array.len(), batch.num_rows());
    array.as_binary::<i32>().iter().map(|value| value?.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(raw: &str, transport: &'static str) -> JournalRow {
        JournalRow {
            kind: RowKind::Event,
            ledger: "aws/1".to_owned(),
            leaf_index: None,
            row_id: "aws/1|e".to_owned(),
            conflicts_with: None,
            collected_at: jiff::Timestamp::UNIX_EPOCH,
            transport,
            source: "x".into(),
            event: None,
            format: None,
            reason: None,
            message: None,
            place: None,
            receipt: None,
            raw: Some(raw.to_owned()),
            leaf_hash: Some(leaf_hash("aws/1", "aws/1|e", raw)),
        }
    }

    /// What becomes of rows that come one after the other.
    fn decided(rows: &mut [JournalRow]) -> Vec<(Decision, String, Option<String>)> {
        reset(rows);
        let (decisions, variants) = decide_all(rows, KnownIds::new(), BTreeSet::new());
        for (index, variant) in variants {
            let first = rows[index].row_id.clone();
            rename(&mut rows[index], variant);
            rows[index].conflicts_with = Some(first);
        }
        let seen = rows.iter().map(|row| (row.row_id.clone(), row.conflicts_with.clone()));
        decisions.into_iter().zip(seen).map(|(d, (id, first))| (d, id, first)).collect()
    }

    #[test]
    fn one_id_is_one_event_unless_its_content_differs_on_the_same_way() {
        let mut rows = [
            row(r#"{"a":1,"b":2}"#, "file"),
            row(r#"{"a":1,"b":2}"#, "file"),
            row(r#"{ "b": 2, "a": 1 }"#, "lookup_events"),
            row(r#"{"a":7,"b":2}"#, "lookup_events"),
            row(r#"{"a":9,"b":2}"#, "file"),
            row(r#"{"a":9,"b":2}"#, "file"),
        ];
        let decided = decided(&mut rows);
        let id = "aws/1|e".to_owned();
        assert_eq!(decided[0], (Decision::Store, id.clone(), None));
        assert_eq!(decided[1].0, Decision::Duplicate);
        assert_eq!(decided[2].0, Decision::Duplicate);
        assert_eq!(decided[3].0, Decision::Variant);
        let (decision, variant, first) = &decided[4];
        assert_eq!((*decision, first.as_ref()), (Decision::Store, Some(&id)));
        assert!(variant.starts_with("aws/1|e~") && variant.len() == id.len() + 9, "{variant}");
        assert_eq!(decided[5].0, Decision::Duplicate);
    }

    #[test]
    fn a_second_attempt_decides_anew() {
        let mut rows = [row("{\"a\":1}", "file"), row("{\"a\":2}", "file")];
        let first = decided(&mut rows);
        assert!(first[1].2.is_some());
        assert_eq!(decided(&mut rows), first);
        reset(&mut rows);
        assert_eq!(rows[1].row_id, "aws/1|e");
        assert_eq!(rows[1].leaf_hash, Some(leaf_hash("aws/1", "aws/1|e", "{\"a\":2}")));
    }
}
