//! Appending a page: read the heads and the ids that are there, leave out what is known, commit
//! the rest against the same snapshot; start over if another writer was faster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::dedupe::{Decision, Decisions, decide, new_variants};
use super::events::{self, EventBatch};
use super::heads::{Heads, next_receipt};
use super::page::Page;
use super::receipt::{Receipt, ledger_row, snapshot_row};
use super::recent::Part;
use super::settle::{Days, settle};
use super::table::failed;
use super::{Snapshot, Store, StoreError, commit};
use crate::event::batch::JournalRow;

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
        let batches = events.batches()?;
        let mut rows: Vec<JournalRow> = quarantine.iter().map(|record| record.row(now)).collect();
        let (counts, lasting): (Vec<_>, Vec<_>) =
            receipts.iter().partition(|r| matches!(r, Receipt::Source { .. }));
        rows.extend(lasting.iter().map(|receipt| receipt.row(now)));
        rows.extend(snapshots.iter().map(|s| snapshot_row(&s.id(), s.content(), now)));
        let counts: Vec<JournalRow> = counts.iter().map(|receipt| receipt.row(now)).collect();
        let mut written = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            self.journal.update_state().await.map_err(failed("read", "journal"))?;
            let decisions = decide(&self.journal, (&batches, &rows), &mut self.recent).await?;
            self.append_snapshots(&snapshots, decisions.stored(&rows), &mut written).await?;
            result.tally(&decisions);
            let variants = new_variants(&self.journal, &batches, &decisions, now).await?;
            if variants.is_empty() && decisions.is_empty() {
                commit::settle(&self.location)?;
                return Ok(result);
            }
            let others = decisions.stored(&rows).chain(&variants).chain(&counts);
            let others: Vec<&JournalRow> = others.collect();
            if let Some(done) = self.attempt((&batches, &decisions), &others, now).await? {
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
        stored: impl Iterator<Item = &JournalRow>,
        written: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        if snapshots.is_empty() {
            return Ok(());
        }
        let fresh: BTreeSet<&str> = stored.map(|row| row.row_id.as_str()).collect();
        let unwritten: Vec<_> = snapshots
            .iter()
            .filter(|snapshot| {
                let id = snapshot.id();
                fresh.contains(id.as_str()) && written.insert(id)
            })
            .collect();
        self.append_inventory(&unwritten).await
    }

    /// Keeps the ids of what was committed, for the pages that come.
    fn remember(&mut self, batches: &[EventBatch], decisions: &Decisions) {
        let days = batches.iter().flat_map(EventBatch::days);
        let rows = events::rows(batches).zip(days).zip(&decisions.events);
        let mut part = Part::default();
        for (index, ((row, day), decision)) in rows.enumerate() {
            if *decision != Decision::Store {
                continue;
            }
            if (part.0, part.1.as_str()) != (*day, row.ledger) {
                part = (*day, row.ledger.to_owned());
            }
            let id = decisions.variants.get(&index).map_or(row.id, String::as_str);
            self.recent.add(&part, id);
        }
        self.recent.committed(self.journal.version());
    }

    /// Commits what was decided; `None` where another writer was faster.
    async fn attempt(
        &mut self,
        (batches, decisions): (&[EventBatch], &Decisions),
        others: &[&JournalRow],
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let stored = events::rows(batches).zip(&decisions.events);
        let stored = stored.filter(|(_, d)| **d == Decision::Store).map(|(row, _)| row.ledger);
        let mut heads = Heads::load(&self.journal, events::distinct(stored).collect()).await?;
        let mut days = Days::default();
        settle(&mut days, (batches, decisions), &mut heads, now)?;
        let ledgers: Vec<JournalRow> =
            heads.grown().map(|(ledger, head)| ledger_row(ledger, head, now)).collect();
        days.add_rows(others.iter().copied().chain(&ledgers))?;
        let mut sizes: BTreeMap<String, i64> = heads
            .grown()
            .filter_map(|(ledger, head)| {
                Some((ledger.to_owned(), i64::try_from(head.size()).ok()?))
            })
            .collect();
        // Rows without a ledger of their own are kept single by one domain for all of them.
        if !others.is_empty() {
            sizes.insert("receipts".to_owned(), next_receipt(&self.journal).await?);
        }
        let done = commit::journal(self, days, &sizes).await?;
        if done.is_some() {
            self.remember(batches, decisions);
        }
        Ok(done)
    }
}

impl Appended {
    fn tally(&mut self, decisions: &Decisions) {
        let stored = decisions.events.iter().filter(|d| **d == Decision::Store).count();
        self.events = count(stored);
        self.duplicates = count(decisions.events.len() - stored);
        self.conflicts = count(decisions.variants.len());
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
