//! One batch of a source made into pages and committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;

use jiff::Timestamp;

use super::run::Polled;
use super::status::scope;
use crate::event::sha256_hex;
use crate::pipeline::import::{Fetched, Import, Imported, Yield, read_fetched};
use crate::provider::Context;
use crate::provider::source::{Batch, History, Item};
use crate::store::{Cursors, Page, Receipt, Snapshot, Store, StoreError};

/// A page is committed when it holds so many events, and at the end of a batch.
const PAGE_EVENTS: usize = 16_384;

/// What is known of the sources and of inventory, kept up with what is committed.
pub(super) struct Books {
    cursors: BTreeMap<String, Cursors>,
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
        Self { cursors, known, now }
    }

    /// What a source left.
    pub(super) fn history(&self, name: &str) -> History {
        let cursors = self.cursors.get(name);
        let cursors = cursors.into_iter().flat_map(BTreeMap::values);
        History { cursors: cursors.filter(|cursor| !cursor.is_null()).cloned().collect() }
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
        let covers: Vec<String> = coverage.iter().map(scope).collect();
        let began = coverage.iter().map(|row| row.period.from).min();
        let mut pages =
            Filling { books: self, pages: vec![Page::default()], done: Imported::default() };
        for item in items {
            pages.item(&source, item);
        }
        let Filling { mut pages, done, .. } = pages;
        let mut last = pages.pop().unwrap_or_default();
        last.receipts.extend(coverage.into_iter().map(Receipt::Coverage));
        if let Some(cursor) = cursor {
            let number = self.next_number(name);
            last.receipts.push(Receipt::Cursor { source: name.to_owned(), number, cursor });
        }
        pages.push(last);
        for page in pages {
            let appended = store.append(page, self.now).await?;
            polled.events += appended.events;
            polled.duplicates += appended.duplicates;
        }
        polled.covers.extend(covers);
        polled.batches += 1;
        polled.records += done.records;
        polled.irrelevant += done.irrelevant;
        polled.quarantined += done.quarantined;
        polled.inventory += done.inventory;
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
        let number = cursors.last_key_value().map_or(1, |(number, _)| number + 1);
        // The source keeps what it needs of them itself while it runs.
        cursors.insert(number, serde_json::Value::Null);
        number
    }
}

/// Pages of one batch that are being filled.
struct Filling<'a> {
    books: &'a mut Books,
    pages: Vec<Page>,
    done: Imported,
}

impl Filling<'_> {
    fn item(&mut self, source: &Arc<str>, item: Item) {
        match item {
            Item::Record { format, raw, transport, context } => {
                let fetched = Fetched::Record { format, raw, transport };
                self.read(&Import::default(), (source, context), fetched);
            }
            Item::Object { address, content, context } => {
                let fetched = Fetched::Object(&content);
                self.read(&Import::default(), (&address.into(), context), fetched);
            }
            Item::Document { kind, value, context, captured_at } => {
                let job = Import { captured_at: Some(captured_at), ..Import::default() };
                let fetched = Fetched::Document(kind, &value, context);
                self.read(&job, (source, Context::default()), fetched);
            }
            Item::Inventory { subject, rows, captured_at } => {
                let digest = sha256_hex(format!("{subject}\n{rows:?}").as_bytes());
                self.done.inventory += u64::try_from(rows.len()).unwrap_or(0);
                let page = Page {
                    snapshots: vec![Snapshot {
                        source: subject,
                        digest,
                        captured_at: Some(captured_at),
                        inventory: rows,
                        verified: None,
                    }],
                    ..Page::default()
                };
                self.add(page);
            }
            Item::Proof { address, kind, raw } => {
                self.done.proofs += 1;
                let receipts = vec![Receipt::Proof { source: address, kind, raw }];
                self.add(Page { receipts, ..Page::default() });
            }
        }
    }

    fn read(&mut self, job: &Import, from: (&Arc<str>, Context), fetched: Fetched<'_>) {
        let parts = Mutex::new((Vec::new(), Imported::default()));
        read_fetched(job, from, fetched, &|part| {
            if let Ok(mut parts) = parts.lock() {
                match part {
                    Yield::Part(page, _) => parts.0.push(page),
                    Yield::Done(imported, _) => parts.1.add(imported),
                }
            }
            true
        });
        let (pages, done) = parts.into_inner().unwrap_or_default();
        self.done.add(done);
        for page in pages {
            self.add(page);
        }
    }

    /// Adds to the page that is being filled, less the inventory that was said lately.
    fn add(&mut self, mut page: Page) {
        page.snapshots.retain(|snapshot| {
            let new = self.books.known.insert(snapshot.statement());
            if !new {
                let rows = u64::try_from(snapshot.inventory.len()).unwrap_or(0);
                self.done.inventory = self.done.inventory.saturating_sub(rows);
            }
            new
        });
        let Some(last) = self.pages.last_mut() else { return };
        last.append(page);
        if last.events.len() >= PAGE_EVENTS {
            self.pages.push(Page::default());
        }
    }
}
