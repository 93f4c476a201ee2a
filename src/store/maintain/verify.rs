//! Proofs that maintenance changed nothing: rows compared by content, counts, and the tree heads of
//! every ledger computed anew from its leaves.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::DataFrame;
use deltalake::DeltaTable;
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::compact::bounded;
use super::{Step, Watch};
use crate::ledger::Frontier;
use crate::store::StoreError;
use crate::store::dedupe::{scan, texts};
use crate::store::receipt::read_frontier;
use crate::store::table::failed;

/// The content of rows whatever their order: how many, and the sum of their digests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    rows: u64,
    digests: [u128; 2],
}

impl Sum {
    /// Adds the rows of a batch, all columns of each.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let fields = batch.columns().iter().map(|c| SortField::new(c.data_type().clone()));
        let rows = RowConverter::new(fields.collect())?.convert_columns(batch.columns())?;
        for row in &rows {
            let digest: [u8; 32] = Sha256::digest(row.as_ref()).into();
            let (high, low) = digest.split_at(16);
            for (sum, half) in self.digests.iter_mut().zip([high, low]) {
                *sum = sum.wrapping_add(half.iter().fold(0, |n, byte| n << 8 | u128::from(*byte)));
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }
}

/// How many rows of each kind each ledger has.
pub(in crate::store) type Counts = BTreeMap<(String, String), u64>;

/// Counts the rows of the journal by kind and ledger.
pub(in crate::store) async fn rows(journal: &DeltaTable) -> Result<Counts, StoreError> {
    let frame = open(journal).await?;
    let groups = vec![col("kind"), col("ledger")];
    let frame = frame.aggregate(groups, vec![count(lit(1)).alias("rows")])?;
    let mut counts = Counts::new();
    for batch in frame.collect().await? {
        let numbers = cast(batch.column(2), &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>().iter();
        let keys = texts(&batch, 0).into_iter().zip(texts(&batch, 1));
        for ((kind, ledger), rows) in keys.zip(numbers) {
            let rows = rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0);
            counts.insert((kind.unwrap_or_default(), ledger.unwrap_or_default()), rows);
        }
    }
    Ok(counts)
}

/// Compares counts from before and after; where other writers committed in between (`alone` is
/// false), there may be more.
pub(super) fn counts(before: &Counts, after: &Counts, alone: bool) -> Result<(), StoreError> {
    for (key, rows) in before {
        let now = after.get(key).copied().unwrap_or(0);
        if now < *rows || (alone && now != *rows) {
            let (kind, ledger) = key;
            return Err(StoreError::Tree {
                ledger: ledger.clone(),
                detail: format!("{rows} rows of kind {kind} before, {now} after"),
            });
        }
    }
    Ok(())
}

/// Computes the tree head of every ledger from its leaves and compares it with its newest receipt;
/// gives how many ledgers and events there are. One frontier is in memory at a time.
pub(super) async fn heads(
    journal: &DeltaTable,
    watch: Watch<'_>,
) -> Result<(u64, u64), StoreError> {
    let mut receipts = receipts(journal).await?;
    let frame = open(journal).await?.filter(col("kind").eq(lit("event")))?;
    let frame = frame.select_columns(&["ledger", "leaf_index", "leaf_hash"])?;
    let order = ["ledger", "leaf_index"].map(|key| col(key).sort(true, true));
    let mut stream = frame.sort(order.to_vec())?.execute_stream().await?;
    let (mut ledgers, mut events) = (0, 0);
    let mut open: Option<(String, Frontier)> = None;
    while let Some(batch) = stream.try_next().await? {
        for (ledger, index, hash) in leaves(&batch)? {
            if open.as_ref().is_none_or(|(name, _)| *name != ledger) {
                close(open.replace((ledger.clone(), Frontier::default())), &mut receipts)?;
                ledgers += 1;
            }
            let Some((_, frontier)) = open.as_mut() else { continue };
            let leaf = hash.and_then(|hash| <[u8; 32]>::try_from(hash).ok());
            match leaf {
                Some(leaf) if u64::try_from(index).ok() == Some(frontier.size()) => {
                    frontier.push(leaf);
                }
                _ => {
                    let detail = format!("leaf {index} stands where leaf {} must", frontier.size());
                    return Err(StoreError::Tree { ledger, detail });
                }
            }
            events += 1;
        }
        watch(Step { doing: "verifying tree heads", done: events, total: 0 });
    }
    close(open, &mut receipts)?;
    match receipts.pop_first() {
        Some((ledger, receipt)) => Err(StoreError::Tree {
            ledger,
            detail: format!("its {} events are missing", receipt.size()),
        }),
        None => Ok((ledgers, events)),
    }
}

/// Compares one ledger that is complete.
fn close(
    ledger: Option<(String, Frontier)>,
    receipts: &mut BTreeMap<String, Frontier>,
) -> Result<(), StoreError> {
    let Some((ledger, computed)) = ledger else { return Ok(()) };
    let detail = match receipts.remove(&ledger) {
        Some(receipt) if receipt == computed => return Ok(()),
        Some(receipt) if receipt.size() != computed.size() => {
            format!("{} leaves, the receipt says {}", computed.size(), receipt.size())
        }
        Some(_) => format!("another root at size {}", computed.size()),
        None => "it has no receipt".to_owned(),
    };
    Err(StoreError::Tree { ledger, detail })
}

/// The newest receipt of every ledger.
async fn receipts(journal: &DeltaTable) -> Result<BTreeMap<String, Frontier>, StoreError> {
    let mut newest: BTreeMap<String, Frontier> = BTreeMap::new();
    let mut broken = None;
    let filter: Expr = col("kind").eq(lit("receipt")).and(col("reason").eq(lit("ledger")));
    scan(journal, filter, &["ledger", "details"], |batch| {
        for (ledger, content) in texts(batch, 0).into_iter().zip(texts(batch, 1)) {
            let ledger = ledger.unwrap_or_default();
            match content.as_deref().and_then(read_frontier) {
                None => broken = Some(ledger),
                Some(found) => {
                    let known = newest.entry(ledger).or_default();
                    if found.size() > known.size() {
                        *known = found;
                    }
                }
            }
        }
    })
    .await?;
    match broken {
        Some(ledger) => {
            Err(StoreError::Tree { ledger, detail: "a receipt cannot be read".to_owned() })
        }
        None => Ok(newest),
    }
}

/// A leaf: its ledger, index and hash.
type Leaf = (String, i64, Option<Vec<u8>>);

/// The leaves among rows.
fn leaves(batch: &RecordBatch) -> Result<Vec<Leaf>, StoreError> {
    let index = cast(batch.column(1), &DataType::Int64)?;
    let hash = cast(batch.column(2), &DataType::Binary)?;
    let index = index.as_primitive::<Int64Type>().iter();
    let hash = hash.as_binary::<i32>();
    debug_assert_eq!(hash.len(), batch.num_rows());
    let rows = texts(batch, 0).into_iter().zip(index).zip(hash.iter());
    Ok(rows
        .map(|((ledger, index), hash)| {
            (ledger.unwrap_or_default(), index.unwrap_or(-1), hash.map(<[u8]>::to_vec))
        })
        .collect())
}

async fn open(journal: &DeltaTable) -> Result<DataFrame, StoreError> {
    let context = bounded()?;
    journal.update_datafusion_session(&context.state()).map_err(failed("read", "journal"))?;
    Ok(context.read_table(journal.table_provider().await?)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn sum(batches: &[&[Option<&str>]]) -> Sum {
        let mut sum = Sum::default();
        for values in batches {
            let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
            sum.add(&RecordBatch::try_from_iter([("a", column)]).unwrap()).unwrap();
        }
        sum
    }

    #[test]
    fn the_sum_of_rows_sees_every_change_but_that_of_their_order() {
        let whole = sum(&[&[Some("a"), Some("b"), None, Some("b")]]);
        assert_eq!(whole, sum(&[&[Some("b"), None], &[Some("b"), Some("a")]]));
        assert_ne!(whole, sum(&[&[Some("a"), Some("b"), None, None]]));
        assert_ne!(whole, sum(&[&[Some("a"), Some("b"), None]]));
        assert_ne!(whole, sum(&[&[Some("a"), Some("b"), Some(""), Some("b")]]));
        assert_ne!(whole, sum(&[&[Some("a"), Some("a"), None, Some("b"), Some("b")]]));
    }

    #[test]
    fn counts_may_grow_only_where_others_wrote() {
        let counts_of = |n| Counts::from([(("event".to_owned(), "aws/1".to_owned()), n)]);
        assert!(counts(&counts_of(3), &counts_of(3), true).is_ok());
        assert!(counts(&counts_of(3), &counts_of(4), true).is_err());
        assert!(counts(&counts_of(3), &counts_of(4), false).is_ok());
        assert!(counts(&counts_of(3), &counts_of(2), false).is_err());
        assert!(counts(&counts_of(3), &Counts::new(), false).is_err());
    }
}
