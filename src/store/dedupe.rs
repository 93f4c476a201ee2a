//! What of a page is known already.
//!
//! An event is a duplicate where its id is there with the same content: the same leaf hash, else
//! the same canonical JSON. With other content from the same transport it is kept under a variant
//! id; from another transport the first one stands. Only the days of the page are read, so that
//! the cost follows what is new; rule LOG-05 looks for ids that return on other days.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use jiff::Timestamp;

use super::StoreError;
use super::events::{self, EventBatch, EventRow};
use super::receipt::variant_row;
use super::recent::{Part, Recent};
use crate::event::batch::{JournalRow, RowKind};
use crate::event::{canonical_json, variant_id};

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

/// What is to be done with a page.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// For each event.
    pub(super) events: Vec<Decision>,
    /// The ids of the events that take a variant's, by their place among the events.
    pub(super) variants: BTreeMap<usize, String>,
    /// For each row that is no event.
    pub(super) rows: Vec<Decision>,
}

impl Decisions {
    /// Whether nothing is to be stored.
    pub(super) fn is_empty(&self) -> bool {
        !self.events.iter().chain(&self.rows).any(|decision| *decision == Decision::Store)
    }

    /// The rows that are to be stored.
    pub(super) fn stored<'r>(
        &self,
        rows: &'r [JournalRow],
    ) -> impl Iterator<Item = &'r JournalRow> {
        rows.iter().zip(&self.rows).filter(|(_, d)| **d == Decision::Store).map(|(row, _)| row)
    }
}

/// An event of the store that shares its id with one of the page, or is a variant.
#[derive(Debug, Clone)]
struct Known {
    leaf_hash: Option<[u8; 32]>,
    transport: String,
    raw: Option<String>,
}

/// What is known of ids in the store.
type KnownIds = HashMap<String, Known>;

/// Decides for every row of a page.
pub(super) async fn decide(
    journal: &DeltaTable,
    (batches, rows): (&[EventBatch], &[JournalRow]),
    recent: &mut Recent,
) -> Result<Decisions, StoreError> {
    let known = known_events(journal, batches, recent).await?;
    let (events, variants) = decide_events(batches, &known);
    let mut seen = known_singles(journal, rows).await?;
    let single = |row: &JournalRow| {
        let new = seen.insert(row.row_id.clone());
        if new { Decision::Store } else { Decision::Duplicate }
    };
    Ok(Decisions { events, variants, rows: rows.iter().map(single).collect() })
}

/// What is to be done with each event, and the ids of those that take a variant's.
fn decide_events(
    batches: &[EventBatch],
    known: &KnownIds,
) -> (Vec<Decision>, BTreeMap<usize, String>) {
    let count = batches.iter().map(EventBatch::len).sum();
    let mut page =
        Ids { stored: known, first: HashMap::with_capacity(count), variants: BTreeSet::new() };
    let mut variants = BTreeMap::new();
    let mut decisions = Vec::with_capacity(count);
    for (index, row) in events::rows(batches).enumerate() {
        decisions.push(match page.decide(row) {
            Ok(decision) => decision,
            Err(variant) => {
                variants.insert(index, variant);
                Decision::Store
            }
        });
    }
    (decisions, variants)
}

/// The ids that are in the store and in the page so far.
struct Ids<'p> {
    stored: &'p KnownIds,
    first: HashMap<&'p str, EventRow<'p>>,
    variants: BTreeSet<String>,
}

impl<'p> Ids<'p> {
    /// Decides for one event; an error is the variant id under which it is to be stored.
    fn decide(&mut self, row: EventRow<'p>) -> Result<Decision, String> {
        let (transport, same) = match (self.stored.get(row.id), self.first.get(row.id)) {
            (Some(stored), _) => (stored.transport.as_str(), stored.is(&row)),
            (None, Some(first)) => (first.transport, same_event(&row, first)),
            (None, None) => {
                self.first.insert(row.id, row);
                return Ok(Decision::Store);
            }
        };
        if same {
            return Ok(Decision::Duplicate);
        }
        if transport != row.transport {
            return Ok(Decision::Variant);
        }
        let variant = variant_id(row.id, row.raw);
        let known = self.stored.contains_key(&variant) || self.first.contains_key(variant.as_str());
        if known || !self.variants.insert(variant.clone()) {
            return Ok(Decision::Duplicate);
        }
        Err(variant)
    }
}

impl Known {
    /// Whether an event has the same content.
    fn is(&self, row: &EventRow<'_>) -> bool {
        self.leaf_hash == Some(row.leaf_hash)
            || self.raw.as_deref().is_some_and(|raw| same_content(row.raw, raw))
    }
}

fn same_event(row: &EventRow<'_>, first: &EventRow<'_>) -> bool {
    row.leaf_hash == first.leaf_hash || same_content(row.raw, first.raw)
}

fn same_content(new: &str, old: &str) -> bool {
    match (canonical_json(new), canonical_json(old)) {
        (Ok(new), Ok(old)) => new == old,
        _ => new.trim() == old.trim(),
    }
}

/// The parts of the journal that a page goes into.
pub(super) fn parts(batches: &[EventBatch]) -> BTreeSet<Part> {
    let days = batches.iter().flat_map(|batch| batch.days().iter().copied());
    let parts = days.zip(events::rows(batches).map(|row| row.ledger));
    events::distinct(parts).map(|(day, ledger)| (day, ledger.to_owned())).collect()
}

/// The events of the store that share an id with one of the page.
async fn known_events(
    journal: &DeltaTable,
    batches: &[EventBatch],
    recent: &mut Recent,
) -> Result<KnownIds, StoreError> {
    let mut known = KnownIds::new();
    recent.at(journal.version());
    let page = parts(batches);
    let unread = recent.unread(&page, events::rows(batches).map(|row| row.id));
    if unread.is_empty() {
        return Ok(known);
    }
    let mut ids: HashMap<&str, [u8; 32]> = HashMap::new();
    for row in events::rows(batches) {
        ids.insert(row.id, row.leaf_hash);
    }
    let days: BTreeSet<i32> = unread.iter().map(|(day, _)| *day).collect();
    let ledgers: BTreeSet<&str> = unread.iter().map(|(_, ledger)| ledger.as_str()).collect();
    let filter = col("kind").eq(lit("event")).and(on_days(&days)).and(in_ledgers(&ledgers));
    let (mut clashes, mut all_learnt) = (Vec::new(), true);
    let mut read: BTreeMap<Part, HashSet<u64>> =
        unread.iter().map(|part| (part.clone(), HashSet::new())).collect();
    let columns = ["event_id", "leaf_hash", "transport", "conflicts_with", "ledger", "event_day"];
    scan(journal, filter.clone(), &columns, |batch| {
        find_known(batch, &ids, &mut known, &mut clashes);
        all_learnt &= learn(batch, recent, &mut read).is_some();
    })
    .await?;
    // What is not known in full is not known at all.
    if all_learnt {
        recent.learn(&page, read);
    }
    for chunk in clashes.chunks(500) {
        let clash = filter.clone().and(one_of("event_id", chunk.iter().map(String::as_str)));
        scan(journal, clash, &["event_id", "raw"], |batch| {
            for (id, raw) in texts(batch, 0).into_iter().zip(texts(batch, 1)) {
                if let Some(entry) = id.and_then(|id| known.get_mut(id.as_str())) {
                    entry.raw = raw;
                }
            }
        })
        .await?;
    }
    Ok(known)
}

/// Keeps of stored events those that share an id with one of the page, and variants; `clashes` are
/// those with other content.
fn find_known(
    batch: &RecordBatch,
    ids: &HashMap<&str, [u8; 32]>,
    known: &mut KnownIds,
    clashes: &mut Vec<String>,
) {
    let columns = (text_array(batch, 0), text_array(batch, 2), text_array(batch, 3));
    let (Some(names), Some(transports), Some(firsts)) = columns else { return };
    let rows = names.iter().zip(hashes(batch, 1)).zip(&transports).zip(&firsts);
    for (((id, leaf_hash), transport), first) in rows {
        let Some(id) = id else { continue };
        let shared = ids.get(id);
        if shared.is_none() && first.is_none() {
            continue;
        }
        if shared.is_some() && shared != leaf_hash.as_ref() {
            clashes.push(id.to_owned());
        }
        let transport = transport.unwrap_or_default().to_owned();
        known.insert(id.to_owned(), Known { leaf_hash, transport, raw: None });
    }
}

/// Keeps the ids of stored events, for the pages that come; whether that could be done.
fn learn(
    batch: &RecordBatch,
    recent: &Recent,
    read: &mut BTreeMap<Part, HashSet<u64>>,
) -> Option<()> {
    let (ids, ledgers) = (text_array(batch, 0)?, text_array(batch, 4)?);
    let days = arrow::compute::cast(batch.columns().get(5)?, &DataType::Date32).ok()?;
    let days = days.as_primitive_opt::<Date32Type>()?;
    let mut part = Part::default();
    for ((id, ledger), day) in ids.iter().zip(&ledgers).zip(days) {
        let (id, ledger, day) = (id?, ledger?, day?);
        if (part.0, part.1.as_str()) != (day, ledger) {
            part = (day, ledger.to_owned());
        }
        if let Some(ids) = read.get_mut(&part) {
            ids.insert(recent.hash(id));
        }
    }
    Some(())
}

/// The receipts of variants that are not in the store yet.
pub(super) async fn new_variants(
    journal: &DeltaTable,
    batches: &[EventBatch],
    decisions: &Decisions,
    now: Timestamp,
) -> Result<Vec<JournalRow>, StoreError> {
    if !decisions.events.contains(&Decision::Variant) {
        return Ok(Vec::new());
    }
    let variants =
        events::rows(batches).zip(&decisions.events).filter(|(_, d)| **d == Decision::Variant);
    let receipts: Vec<JournalRow> = variants.map(|(row, _)| variant_row(&row, now)).collect();
    let mut seen = known_singles(journal, &receipts).await?;
    Ok(receipts.into_iter().filter(|row| seen.insert(row.row_id.clone())).collect())
}

/// The ids of quarantined records and lasting receipts that are in the store and in the page.
async fn known_singles(
    journal: &DeltaTable,
    rows: &[JournalRow],
) -> Result<BTreeSet<String>, StoreError> {
    let dated: Vec<&JournalRow> = rows.iter().filter(|row| is_dated(row)).collect();
    let days: BTreeSet<i32> = dated.iter().map(|row| row.day()).collect();
    let mut known = with_ids(journal, dated.iter().copied(), on_days(&days)).await?;
    known.extend(with_ids(journal, rows.iter().filter(|row| !is_dated(row)), lit(true)).await?);
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
    let Some(array) = text_array(batch, index) else { return Vec::new() };
    array.iter().map(|value| value.map(str::to_owned)).collect()
}

fn text_array(batch: &RecordBatch, index: usize) -> Option<StringArray> {
    let array = arrow::compute::cast(batch.columns().get(index)?, &DataType::Utf8).ok()?;
    array.as_string_opt::<i32>().cloned()
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
    use crate::event::batch::Record;
    use crate::event::{Event, Format, Provider, leaf_hash};
    use crate::store::Events;

    /// A page of records that all come with one id.
    fn page(records: &[(&str, &'static str)]) -> Vec<EventBatch> {
        let mut page = Events::default();
        for (raw, transport) in records {
            let time = Timestamp::UNIX_EPOCH;
            let mut event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
            event.native_id = Some("e".to_owned());
            page.push(&event, Record { raw, transport, source: "x" });
        }
        page.batches().unwrap()
    }

    #[test]
    fn one_id_is_one_event_unless_its_content_differs_on_the_same_way() {
        use Decision::{Duplicate, Store, Variant};
        let batches = page(&[
            (r#"{"a":1,"b":2}"#, "file"),
            (r#"{"a":1,"b":2}"#, "file"),
            (r#"{ "b": 2, "a": 1 }"#, "lookup_events"),
            (r#"{"a":7,"b":2}"#, "lookup_events"),
            (r#"{"a":9,"b":2}"#, "file"),
            (r#"{"a":9,"b":2}"#, "file"),
        ]);
        let (decisions, variants) = decide_events(&batches, &KnownIds::new());
        assert_eq!(decisions, [Store, Duplicate, Duplicate, Variant, Store, Duplicate]);
        let [(4, variant)] = variants.iter().collect::<Vec<_>>()[..] else {
            panic!("{variants:?}");
        };
        assert!(variant.starts_with("aws/1|e~") && variant.len() == 16, "{variant}");
    }

    #[test]
    fn what_is_stored_is_the_first_of_its_id() {
        let raw = r#"{"a":1}"#;
        let stored = |leaf_hash, raw: Option<&str>| {
            let transport = "file".to_owned();
            let known = Known { leaf_hash, transport, raw: raw.map(str::to_owned) };
            KnownIds::from([("aws/1|e".to_owned(), known)])
        };
        let batches = page(&[(raw, "file")]);
        let same = stored(Some(leaf_hash("aws/1", "aws/1|e", raw)), None);
        assert_eq!(decide_events(&batches, &same).0, [Decision::Duplicate]);
        let spaced = stored(None, Some(r#"{ "a": 1 }"#));
        assert_eq!(decide_events(&batches, &spaced).0, [Decision::Duplicate]);
        let mut other = stored(Some([0; 32]), Some(r#"{"a":2}"#));
        let (decisions, variants) = decide_events(&batches, &other);
        assert_eq!((decisions, variants.len()), (vec![Decision::Store], 1));
        let variant = variants.into_values().next().unwrap();
        other.insert(variant, Known { leaf_hash: None, transport: "file".to_owned(), raw: None });
        assert_eq!(decide_events(&batches, &other).0, [Decision::Duplicate]);
    }
}
