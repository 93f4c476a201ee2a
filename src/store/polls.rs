//! What polling left in the journal: cursors, runs and proof files.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::dedupe::{scan, texts};
use super::{Store, StoreError};
use crate::event::batch::day_of;

/// How far back cursors are read one by one: as long as it matters which objects of a bucket were
/// seen. What is older is known by the newest summary.
const REACH: SignedDuration = SignedDuration::from_hours(15 * 24);

/// The cursors that a source left.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cursors {
    /// What a summary told, then the cursors that were left since, oldest first; some may be both in the
    /// summary and behind it.
    pub values: Vec<Value>,
    /// The number of the newest one; 0 where there is none.
    pub last: u64,
    /// When the newest summary was made; `None` where there is none.
    pub summed_up: Option<Timestamp>,
}

/// The rows that cursors and summaries are, of one source.
#[derive(Debug, Default)]
struct Rows {
    cursors: BTreeMap<u64, Value>,
    summary: Option<(u64, Value)>,
}

/// A proof file as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// What it is: `cloudtrail_digest`, `cloudtrail_public_keys`, …
    pub kind: String,
    /// Where it was read from.
    pub address: String,
    /// Its content.
    pub raw: String,
}

impl Store {
    /// The cursors that the named sources left. Those of the last fifteen days are read one by one,
    /// older ones by a summary; where a source has none of these days, all that it ever left is read.
    /// What was seen of buckets longer ago is left out: nobody lists that far back again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn cursors(
        &self,
        sources: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<BTreeMap<String, Cursors>, StoreError> {
        let begin = Expr::Literal(ScalarValue::Date32(Some(day_of(now - REACH))), None);
        let mut rows: BTreeMap<String, Rows> = BTreeMap::new();
        let recent = col("event_day").gt_eq(begin.clone());
        self.add_cursors(&mut rows, recent, true).await?;
        let is_known = |name: &&String| rows.get(*name).is_some_and(|rows| rows.summary.is_some());
        let unknown: Vec<Expr> =
            sources.iter().filter(|name| !is_known(name)).map(|name| lit(name.as_str())).collect();
        if !unknown.is_empty() {
            let older = col("event_day").lt(begin).and(col("source").in_list(unknown, false));
            self.add_cursors(&mut rows, older, false).await?;
        }
        rows.retain(|name, _| sources.contains(name));
        Ok(rows.into_iter().map(|(name, rows)| (name, rows.into())).collect())
    }

    /// Adds the cursors and summaries of some rows; what was seen of buckets only where wanted.
    async fn add_cursors(
        &self,
        rows: &mut BTreeMap<String, Rows>,
        which: Expr,
        objects: bool,
    ) -> Result<(), StoreError> {
        for (source, content) in self.receipts_of("cursor", Some(which.clone())).await? {
            let number = content.get("number").and_then(Value::as_u64);
            let cursor = content.get("cursor").filter(|c| objects || c.get("objects").is_none());
            if let Some(number) = number {
                let cursor = cursor.cloned().unwrap_or_default();
                rows.entry(source).or_default().cursors.insert(number, cursor);
            }
        }
        for (source, content) in self.receipts_of("summary", Some(which)).await? {
            let Some(number) = content.get("number").and_then(Value::as_u64) else { continue };
            let rows = rows.entry(source).or_default();
            if rows.summary.as_ref().is_none_or(|(newest, _)| *newest <= number) {
                rows.summary = Some((number, content));
            }
        }
        Ok(())
    }

    /// All runs over sources, as `(source, content)`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn polls(&self) -> Result<Vec<(String, Value)>, StoreError> {
        self.receipts("poll", None).await
    }

    /// What inventory said that was captured since `since`: the statements of its snapshots.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn statements(&self, since: Timestamp) -> Result<BTreeSet<String>, StoreError> {
        let snapshots = self.receipts("snapshot", Some(since)).await?;
        let captured = |content: &Value| {
            let time: Timestamp = content.get("captured_at")?.as_str()?.parse().ok()?;
            (time >= since).then_some(())?;
            content.get("statement")?.as_str().map(str::to_owned)
        };
        Ok(snapshots.iter().filter_map(|(_, content)| captured(content)).collect())
    }

    /// The proof files that were kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn proofs(&self) -> Result<BTreeSet<Proof>, StoreError> {
        let mut proofs = BTreeSet::new();
        let filter = receipt("proof");
        scan(&self.journal, filter, &["source", "details", "raw"], |batch| {
            let rows = texts(batch, 0).into_iter().zip(texts(batch, 1)).zip(texts(batch, 2));
            for ((address, content), raw) in rows {
                let content: Option<Value> =
                    content.and_then(|text| serde_json::from_str(&text).ok());
                let kind = content.as_ref().and_then(|content| content.get("kind")?.as_str());
                if let (Some(kind), Some(raw)) = (kind, raw) {
                    let address = address.unwrap_or_default();
                    proofs.insert(Proof { kind: kind.to_owned(), address, raw });
                }
            }
        })
        .await?;
        Ok(proofs)
    }

    /// The content of receipts of one kind, with their source; from the days since `since`.
    pub(super) async fn receipts(
        &self,
        reason: &str,
        since: Option<Timestamp>,
    ) -> Result<Vec<(String, Value)>, StoreError> {
        let day = |since| Expr::Literal(ScalarValue::Date32(Some(day_of(since))), None);
        let days = since.map(|since| col("event_day").gt_eq(day(since)));
        self.receipts_of(reason, days).await
    }

    /// The content of receipts of one kind, with their source; of some days alone.
    async fn receipts_of(
        &self,
        reason: &str,
        days: Option<Expr>,
    ) -> Result<Vec<(String, Value)>, StoreError> {
        let mut found = Vec::new();
        let mut filter = receipt(reason);
        if let Some(days) = days {
            filter = filter.and(days);
        }
        scan(&self.journal, filter, &["source", "details"], |batch| {
            for (source, content) in texts(batch, 0).into_iter().zip(texts(batch, 1)) {
                let content = content.and_then(|text| serde_json::from_str(&text).ok());
                if let Some(content) = content {
                    found.push((source.unwrap_or_default(), content));
                }
            }
        })
        .await?;
        Ok(found)
    }
}

impl From<Rows> for Cursors {
    fn from(rows: Rows) -> Self {
        let mut cursors = Self::default();
        if let Some((number, summary)) = rows.summary {
            cursors.last = number;
            cursors.summed_up =
                summary.get("at").and_then(Value::as_str).and_then(|at| at.parse().ok());
            let told = summary.get("cursors").and_then(Value::as_array);
            cursors.values.extend(told.into_iter().flatten().cloned());
        }
        let newest = rows.cursors.last_key_value().map(|(number, _)| *number);
        cursors.last = cursors.last.max(newest.unwrap_or(0));
        cursors.values.extend(rows.cursors.into_values().filter(|cursor| !cursor.is_null()));
        cursors
    }
}

fn receipt(reason: &str) -> Expr {
    col("kind").eq(lit("receipt")).and(col("reason").eq(lit(reason)))
}
