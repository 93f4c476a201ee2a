//! Appending a page: read the heads and the ids that are there, leave out what is known, commit
//! the rest against the same snapshot; start over if another writer was faster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::dedupe::{Decision, decide, new_variants};
use super::heads::{Heads, next_receipt};
use super::page::Page;
use super::receipt::{Receipt, ledger_row, snapshot_row};
use super::table::failed;
use super::{Snapshot, Store, StoreError, commit};
use crate::event::batch::{JournalRow, RowKind};

/// How often a commit is tried against other writers.
const ATTEMPTS: u32 = 50;

/// What became of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events stored, those under a variant id included.
    pub events: u64,
    /// Events that were there already, or stood twice in the page.
    pub duplicates: u64,
    /// Of the events stored, those that came with the id of another and other content.
    pub conflicts: u64,
    /// Records for quarantine, known ones included.
    pub quarantined: u64,
    /// Inventory rows, known ones included.
    pub inventory: u64,
    /// Proof files, known ones included.
    pub proofs: u64,
    /// The journal's version after the commit; `None` where nothing was new.
    pub version: Option<i64>,
}

impl Store {
    /// Appends a page in one commit; `now` is the time of collection. Nothing is committed where
    /// everything is known already, except that a page's counts alone never make a commit.
    ///
    /// # Errors
    /// When the store cannot be read or written. Nothing of the page is visible then.
    pub async fn append(&mut self, page: Page, now: Timestamp) -> Result<Appended, StoreError> {
        let mut result = Appended {
            quarantined: count(page.quarantine.len()),
            inventory: page.snapshots.iter().map(|s| count(s.inventory.len())).sum(),
            proofs: count(
                page.receipts.iter().filter(|r| matches!(r, Receipt::Proof { .. })).count(),
            ),
            ..Appended::default()
        };
        let Page { events, quarantine, mut receipts, snapshots, files } = page;
        if !files.is_empty() {
            receipts.push(Receipt::Files(files));
        }
        let mut rows: Vec<JournalRow> = events.into_iter().map(|event| event.row(now)).collect();
        rows.extend(quarantine.iter().map(|record| record.row(now)));
        let (counts, lasting): (Vec<_>, Vec<_>) =
            receipts.iter().partition(|r| matches!(r, Receipt::Source { .. }));
        rows.extend(lasting.iter().map(|receipt| receipt.row(now)));
        rows.extend(snapshots.iter().map(|s| snapshot_row(&s.id(), s.content(), now)));
        let counts: Vec<JournalRow> = counts.iter().map(|receipt| receipt.row(now)).collect();
        let mut written = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            self.journal.update_state().await.map_err(failed("read", "journal"))?;
            let decisions = decide(&self.journal, &mut rows).await?;
            self.append_snapshots(&snapshots, &rows, &decisions, &mut written).await?;
            result.tally(&rows, &decisions);
            let mut receipts = new_variants(&self.journal, &rows, &decisions).await?;
            let new = !receipts.is_empty() || decisions.contains(&Decision::Store);
            if !new {
                commit::settle(&self.location)?;
                return Ok(result);
            }
            receipts.extend(counts.iter().cloned());
            if let Some(done) = self.attempt(&mut rows, &decisions, receipts, now).await? {
                result.version = Some(done);
                return Ok(result);
            }
        }
        Err(StoreError::Busy { attempts: ATTEMPTS })
    }

    /// Writes the inventory whose receipts are new, once for all attempts.
    async fn append_snapshots(
        &mut self,
        snapshots: &[Snapshot],
        rows: &[JournalRow],
        decisions: &[Decision],
        written: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if snapshots.is_empty() {
            return Ok(());
        }
        let fresh: BTreeSet<&str> =
            stored(rows, decisions).map(|row| row.row_id.as_str()).collect();
        let unwritten: Vec<_> = snapshots
            .iter()
            .filter(|snapshot| {
                let id = snapshot.id();
                fresh.contains(id.as_str()) && written.insert(id)
            })
            .collect();
        self.append_inventory(&unwritten).await
    }

    /// Commits what was decided; `None` where another writer was faster.
    async fn attempt(
        &mut self,
        rows: &mut [JournalRow],
        decisions: &[Decision],
        mut receipts: Vec<JournalRow>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let ledgers: BTreeSet<&str> = stored(rows, decisions)
            .filter(|row| row.kind == RowKind::Event)
            .map(|row| row.ledger.as_str())
            .collect();
        let mut heads = Heads::load(&self.journal, ledgers).await?;
        let mut single = !receipts.is_empty();
        for (row, decision) in rows.iter_mut().zip(decisions) {
            if *decision != Decision::Store {
                continue;
            }
            match (heads.of(&row.ledger), row.leaf_hash) {
                (Some(head), Some(hash)) if row.kind == RowKind::Event => {
                    row.leaf_index = i64::try_from(head.size()).ok();
                    head.push(hash);
                }
                _ => single = true,
            }
        }
        receipts.extend(heads.grown().map(|(ledger, head)| ledger_row(ledger, head, now)));
        let chosen: Vec<&JournalRow> = stored(rows, decisions).chain(&receipts).collect();
        let mut sizes: BTreeMap<String, i64> = heads
            .grown()
            .filter_map(|(ledger, head)| {
                Some((ledger.to_owned(), i64::try_from(head.size()).ok()?))
            })
            .collect();
        // Rows without a ledger of their own are kept single by one domain for all of them.
        if single {
            sizes.insert("receipts".to_owned(), next_receipt(&self.journal).await?);
        }
        commit::journal(self, &chosen, &sizes).await
    }
}

/// The rows that are to be stored.
fn stored<'r>(
    rows: &'r [JournalRow],
    decisions: &[Decision],
) -> impl Iterator<Item = &'r JournalRow> {
    rows.iter().zip(decisions).filter(|(_, d)| **d == Decision::Store).map(|(row, _)| row)
}

impl Appended {
    fn tally(&mut self, rows: &[JournalRow], decisions: &[Decision]) {
        (self.events, self.duplicates, self.conflicts) = (0, 0, 0);
        for (row, decision) in rows.iter().zip(decisions) {
            match decision {
                _ if row.kind != RowKind::Event => {}
                Decision::Store => {
                    self.events += 1;
                    self.conflicts += u64::from(row.conflicts_with.is_some());
                }
                Decision::Duplicate | Decision::Variant => self.duplicates += 1,
            }
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
