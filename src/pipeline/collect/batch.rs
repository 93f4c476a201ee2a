//! One batch of a source made into pages and committed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::channel;
use tokio::task::spawn_blocking;

use super::run::Polled;
use super::status::scope;
use super::translate::{PARTS_AHEAD, Part, translate};
use crate::pipeline::import::Imported;
use crate::provider::source::{Batch, History, Source};
use crate::store::{Cursors, Page, Receipt, Store, StoreError};

/// What a source left is summed up when the last summary is so old; well before cursors of its time
/// are no longer read.
const SUM_UP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A page is committed when it holds so many events or bytes, and at the end of a batch: half as many as
/// an import's, since batches that were fetched ahead take memory beside it.
const PAGE_EVENTS: usize = 8_192;
const PAGE_BYTES: usize = 24 << 20;

/// What is known of the sources and of inventory, kept up with what is committed.
pub(super) struct Books {
    cursors: BTreeMap<String, Cursors>,
    /// What sums up cursors and is not committed yet.
    summaries: BTreeMap<String, Receipt>,
    /// Statements of inventory that need not be stored again.
    known: BTreeSet<String>,
    now: Timestamp,
}

impl Books {
    pub(super) fn new(
        cursors: BTreeMap<String, Cursors>,
        known: BTreeSet<String>,
        now: Timestamp,
    ) -> Self {
        Self { cursors, summaries: BTreeMap::new(), known, now }
    }

    /// What a source left; once a week it is summed up, so that nobody need read all of it again.
    pub(super) fn open(&mut self, source: &dyn Source) -> History {
        let name = source.name();
        let cursors = self.cursors.remove(name).unwrap_or_default();
        let (number, summed_up) = (cursors.last, cursors.summed_up);
        let history = History { cursors: cursors.values };
        if summed_up.is_none_or(|at| self.now.duration_since(at) >= SUM_UP) {
            let cursors = source.sum_up(&history);
            let summary = Receipt::Summary { source: name.to_owned(), number, cursors };
            self.summaries.insert(name.to_owned(), summary);
        }
        self.cursors.insert(name.to_owned(), Cursors { last: number, ..Cursors::default() });
        history
    }

    /// The summaries that no batch was committed with.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Receipt> + use<> {
        std::mem::take(&mut self.summaries).into_values()
    }

    /// Commits a batch: its pages, the last of them with cursor and coverage.
    pub(super) async fn commit(
        &mut self,
        store: &mut Store,
        (name, polled): (&str, &mut Polled),
        batch: Batch,
    ) -> Result<(), StoreError> {
        let Batch { items, coverage, cursor, reached, notes } = batch;
        let source: Arc<str> = name.into();
        let moved = !items.is_empty() || cursor.is_some();
        let covers: Vec<String> = coverage.iter().map(scope).collect();
        let began = coverage.iter().map(|row| row.period.from).min();
        let (sender, mut parts) = channel(PARTS_AHEAD);
        let task = spawn_blocking(move || translate(items, &source, sender));
        let mut filling = Filling::new(&mut self.known);
        while let Some(part) = parts.recv().await {
            filling.add(part);
            if filling.is_full() {
                polled.add(store.append(filling.take(), self.now).await?);
            }
        }
        // Without all of the items there must be no cursor that tells of them.
        if let Err(error) = task.await {
            return error.try_into_panic().map_or(Ok(()), |panic| resume_unwind(panic));
        }
        let mut last = filling.take();
        let Filling { done, unchanged, .. } = filling;
        last.receipts.extend(coverage.into_iter().map(Receipt::Coverage));
        last.receipts.extend(self.summaries.remove(name));
        if let Some(cursor) = cursor {
            let number = self.next_number(name);
            last.receipts.push(Receipt::Cursor { source: name.to_owned(), number, cursor });
        }
        polled.add(store.append(last, self.now).await?);
        polled.covers.extend(covers);
        polled.moved |= moved;
        polled.batches += 1;
        polled.records += done.records;
        polled.irrelevant += done.irrelevant;
        polled.quarantined += done.quarantined;
        polled.inventory += done.inventory;
        polled.unchanged += unchanged;
        polled.proofs += done.proofs;
        polled.reach(began, reached);
        polled.notes.extend(notes);
        for problem in done.problems {
            let message = format!("{}: {}", problem.file, problem.message);
            polled.notes.push(crate::provider::source::Note { message, hint: problem.hint });
        }
        Ok(())
    }

    /// The number of a source's next cursor.
    fn next_number(&mut self, name: &str) -> u64 {
        let cursors = self.cursors.entry(name.to_owned()).or_default();
        cursors.last += 1;
        cursors.last
    }
}

/// The page of a batch that is being filled.
struct Filling<'a> {
    known: &'a mut BTreeSet<String>,
    page: Page,
    bytes: usize,
    done: Imported,
    /// Inventory rows that need not be stored again.
    unchanged: u64,
}

impl<'a> Filling<'a> {
    fn new(known: &'a mut BTreeSet<String>) -> Self {
        let (page, done) = (Page::default(), Imported::default());
        Self { known, page, bytes: 0, done, unchanged: 0 }
    }

    /// Adds a part, less the inventory that was said lately.
    fn add(&mut self, part: Part) {
        let Part { mut page, bytes, done } = part;
        self.done.add(done);
        page.snapshots.retain(|snapshot| {
            let new = self.known.insert(snapshot.statement());
            if !new {
                let rows = u64::try_from(snapshot.inventory.len()).unwrap_or(0);
                self.done.inventory = self.done.inventory.saturating_sub(rows);
                self.unchanged += rows;
            }
            new
        });
        self.page.append(page);
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.page.events.len() >= PAGE_EVENTS || self.bytes >= PAGE_BYTES
    }

    fn take(&mut self) -> Page {
        self.bytes = 0;
        std::mem::take(&mut self.page)
    }
}
