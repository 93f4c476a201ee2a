//! What polling left in the journal: cursors, runs and proof files.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::dedupe::{scan, texts};
use super::{Store, StoreError};
use crate::event::batch::day_of;

/// How long it matters which objects of a bucket were seen.
const OBJECTS_REACH: SignedDuration = SignedDuration::from_hours(15 * 24);

/// The cursors of a source, oldest first, each with its number.
pub type Cursors = BTreeMap<u64, Value>;

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
    /// The cursors that sources left, by source, each under its number. What was seen of buckets
    /// longer than fifteen days before `now` is left out: nobody lists that far back again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn cursors(&self, now: Timestamp) -> Result<BTreeMap<String, Cursors>, StoreError> {
        let mut cursors: BTreeMap<String, Cursors> = BTreeMap::new();
        let old = day_of(now - OBJECTS_REACH);
        let day = Expr::Literal(ScalarValue::Date32(Some(old)), None);
        for recent in [true, false] {
            let days = col("event_day");
            let days = if recent { days.gt_eq(day.clone()) } else { days.lt(day.clone()) };
            for (source, content) in self.receipts_of("cursor", Some(days)).await? {
                let number = content.get("number").and_then(Value::as_u64);
                let cursor = content.get("cursor").cloned();
                let (Some(number), Some(cursor)) = (number, cursor) else { continue };
                let kept = recent || cursor.get("objects").is_none();
                let cursor = if kept { cursor } else { Value::Null };
                cursors.entry(source).or_default().insert(number, cursor);
            }
        }
        Ok(cursors)
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

fn receipt(reason: &str) -> Expr {
    col("kind").eq(lit("receipt")).and(col("reason").eq(lit(reason)))
}
