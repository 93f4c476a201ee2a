//! Reading many files at once: each is read by one thread, and what comes out is put together in
//! the order of the files, so that the number of threads changes nothing but the time.
//!
//! Memory is bounded: a thread that is ahead of its turn waits once its few parts are full.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::reader::{self, Yield};
use super::{Done, Import, Imported, Scope, declared};
use crate::event::batch::Room;
use crate::provider::file::Input;
use crate::store::{Page, Receipt};

/// A page is sent when it holds this many bytes, or as many events as the job says.
const PAGE_BYTES: usize = 48 << 20;

/// A page is sent when it names so many files, whatever was in them.
const PAGE_FILES: usize = 8192;

/// How many parts a file may be ahead of its turn.
const PARTS_AHEAD: usize = 4;

/// A file that waits for a thread, and where its yield goes.
struct Ticket<'a> {
    input: &'a Input,
    yields: SyncSender<Yield>,
}

/// Reads all inputs and sends their pages in order; what is returned lacks the counts that only
/// the store knows. Ends early when `sender` is closed.
pub(super) fn read(
    job: &Import,
    inputs: &[Input],
    done: &Done,
    sender: &SyncSender<Box<Page>>,
) -> Imported {
    let threads = threads(job).min(inputs.len().max(1));
    let (tickets, waiting) = sync_channel::<Ticket<'_>>(threads * 2);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(job, &waiting, &done.bytes));
        }
        let mut pages = Pages::new(job, done, sender);
        let mut turns: VecDeque<Receiver<Yield>> = VecDeque::new();
        let mut files = inputs.iter();
        loop {
            while turns.len() < threads * 2
                && let Some(input) = files.next()
            {
                let (yields, turn) = sync_channel(PARTS_AHEAD);
                // The threads live as long as the tickets' channel is open.
                if tickets.send(Ticket { input, yields }).is_err() {
                    break;
                }
                turns.push_back(turn);
            }
            let Some(turn) = turns.pop_front() else { break };
            if !pages.take(&turn) {
                break;
            }
        }
        drop((turns, tickets));
        pages.end()
    })
}

fn threads(job: &Import) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    job.threads.map_or_else(cores, NonZeroUsize::get)
}

/// Reads one file after the other, as long as there are any.
fn work(job: &Import, waiting: &Mutex<Receiver<Ticket<'_>>>, bytes: &Arc<AtomicU64>) {
    let mut room = Room::default();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Ticket { input, yields }) = next else { return };
        reader::read(job, (input, bytes), &mut room, &|part| yields.send(part).is_ok());
    }
}

/// Puts pages together.
struct Pages<'a> {
    job: &'a Import,
    done: &'a Done,
    sender: &'a SyncSender<Box<Page>>,
    page: Page,
    bytes: usize,
    imported: Imported,
    met: BTreeSet<Scope>,
    /// Whether the store still takes pages.
    open: bool,
}

impl<'a> Pages<'a> {
    fn new(job: &'a Import, done: &'a Done, sender: &'a SyncSender<Box<Page>>) -> Self {
        let (page, imported, met) = (Page::default(), Imported::default(), BTreeSet::new());
        Self { job, done, sender, page, bytes: 0, imported, met, open: true }
    }

    /// Takes the yield of one file; whether to go on.
    fn take(&mut self, turn: &Receiver<Yield>) -> bool {
        for part in turn {
            match part {
                Yield::Part(part, bytes) => {
                    self.page.append(part);
                    self.bytes += bytes;
                    if self.page.events.len() >= self.job.events_a_page()
                        || self.bytes >= PAGE_BYTES
                        || self.page.files.len() >= PAGE_FILES
                    {
                        self.flush();
                    }
                }
                Yield::Done(imported, met) => {
                    self.imported.add(imported);
                    self.met.extend(met);
                    self.done.files.fetch_add(1, Ordering::Relaxed);
                    self.done.records.store(self.imported.records, Ordering::Relaxed);
                    self.open &= !self.done.stopped.load(Ordering::Relaxed);
                }
            }
            if !self.open {
                return false;
            }
        }
        true
    }

    fn flush(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.bytes = 0;
        if self.open && !page.is_empty() {
            self.open = self.sender.send(Box::new(page)).is_ok();
        }
    }

    /// Sends the last page, with what is declared and what was read.
    fn end(mut self) -> Imported {
        self.page.receipts.extend(declared(self.job, &self.met));
        self.page.receipts.push(counts(self.job, &self.imported));
        self.flush();
        self.imported
    }
}

/// The receipt of an import: what was read. It goes with the last page, and alone makes no commit.
fn counts(job: &Import, imported: &Imported) -> Receipt {
    let paths: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
    let content = serde_json::json!({
        "paths": paths,
        "files": imported.files,
        "unrecognised_files": imported.unrecognised.len(),
        "records": imported.records,
        "irrelevant": imported.irrelevant,
        "quarantined": imported.quarantined,
        "inventory": imported.inventory,
        "proofs": imported.proofs,
        "bytes_read": imported.bytes_read,
    });
    Receipt::Source { source: "import".to_owned(), content }
}
