//! The heads of the ledgers that a commit touches.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::{col, lit};
use deltalake::DeltaTable;

use super::StoreError;
use super::dedupe::{scan, texts};
use super::receipt::read_frontier;
use super::table::failed;
use crate::ledger::Frontier;

/// The frontiers of ledgers, as their receipts hold them and as they grow.
#[derive(Debug)]
pub(super) struct Heads {
    heads: BTreeMap<String, (u64, Frontier)>,
}

impl Heads {
    /// Reads the frontiers of ledgers in the journal's snapshot.
    pub(super) async fn load(
        journal: &DeltaTable,
        ledgers: BTreeSet<&str>,
    ) -> Result<Self, StoreError> {
        let mut heads = BTreeMap::new();
        for ledger in ledgers {
            let frontier = load(journal, ledger).await?;
            heads.insert(ledger.to_owned(), (frontier.size(), frontier));
        }
        Ok(Self { heads })
    }

    /// The frontier of a ledger that was read.
    pub(super) fn of(&mut self, ledger: &str) -> Option<&mut Frontier> {
        self.heads.get_mut(ledger).map(|(_, frontier)| frontier)
    }

    /// The ledgers that grew, with their new frontiers.
    pub(super) fn grown(&self) -> impl Iterator<Item = (&str, &Frontier)> {
        let grown = self.heads.iter().filter(|(_, (before, after))| after.size() > *before);
        grown.map(|(ledger, (_, frontier))| (ledger.as_str(), frontier))
    }
}

/// The number of the next commit with rows that belong to no ledger.
pub(super) async fn next_receipt(journal: &DeltaTable) -> Result<i64, StoreError> {
    Ok(version(journal, "receipts").await?.unwrap_or(0) + 1)
}

/// The size of a ledger: the version of its transaction in the log.
async fn version(journal: &DeltaTable, ledger: &str) -> Result<Option<i64>, StoreError> {
    let state = journal.snapshot().map_err(failed("read", "journal"))?;
    state
        .transaction_version(journal.log_store().as_ref(), ledger)
        .await
        .map_err(failed("read", "journal"))
}

async fn load(journal: &DeltaTable, ledger: &str) -> Result<Frontier, StoreError> {
    let Some(size) = version(journal, ledger).await? else { return Ok(Frontier::default()) };
    let filter = col("kind")
        .eq(lit("receipt"))
        .and(col("reason").eq(lit("ledger")))
        .and(col("ledger").eq(lit(ledger)))
        .and(col("leaf_index").eq(lit(size)));
    let mut found = None;
    scan(journal, filter, &["details"], |batch| {
        found = texts(batch, 0).into_iter().flatten().next().or_else(|| found.take());
    })
    .await?;
    found
        .as_deref()
        .and_then(read_frontier)
        .filter(|frontier| i64::try_from(frontier.size()).ok() == Some(size))
        .ok_or_else(|| StoreError::Receipt { ledger: ledger.to_owned(), size })
}
