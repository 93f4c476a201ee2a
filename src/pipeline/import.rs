//! `import`: recorded logs into the store.
//!
//! Threads read, cut and translate a file each; what they yield is put into pages in the order of
//! the files, and the store commits page by page beside them. Pages are cut by size alone, so the
//! same files give the same store on any machine, whatever the number of threads.

mod kind;
mod reader;
mod workers;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

use crate::finding::{Coverage, Period};
use crate::provider::file::{FileError, Limits, Origin, find};
use crate::store::{Appended, FileRead, Page, Receipt, Store, StoreError};

pub use kind::{Scope, ScopeError};
pub(super) use reader::{Fetched, Yield, read_fetched};

/// What to import, and what is known about it.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// Files, folders, `-`.
    pub paths: Vec<PathBuf>,
    /// Folders and files below the paths that are left out.
    pub skip: Vec<PathBuf>,
    /// Account, region and stream for records that name none.
    pub origin: Origin,
    /// As of when inventory was captured, where it does not say itself.
    pub captured_at: Option<Timestamp>,
    /// The key that documents without a key's name are about.
    pub key: Option<String>,
    /// The stretch over which the operator vouches for the files.
    pub declare: Option<Period>,
    /// What he vouches for besides what the files hold.
    pub scopes: Vec<Scope>,
    /// What a hostile file may cost.
    pub limits: Limits,
    /// How many files are read at once; `None` for one a core.
    pub threads: Option<NonZeroUsize>,
    /// How many events are committed at once; `None` for what is best.
    pub page_events: Option<NonZeroUsize>,
}

/// How many events are committed at once: more cost memory, fewer make more and smaller files.
const PAGE_EVENTS: usize = 16_384;

impl Import {
    fn events_a_page(&self) -> usize {
        self.page_events.map_or(PAGE_EVENTS, NonZeroUsize::get)
    }
}

/// What an import did. `records` = `events` + `duplicates` + `irrelevant` + `quarantined`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Files looked at.
    pub files: u64,
    /// Files of no known format.
    pub unrecognised: Vec<Unrecognised>,
    /// Records found.
    pub records: u64,
    /// Events stored.
    pub events: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Of the events stored, those that came with the id of another and other content.
    pub conflicts: u64,
    /// Records that have nothing to do with keys.
    pub irrelevant: u64,
    /// Records put into quarantine.
    pub quarantined: u64,
    /// Inventory rows.
    pub inventory: u64,
    /// Proof files.
    pub proofs: u64,
    /// Bytes after unpacking.
    pub bytes_read: u64,
    /// Files that broke off or lacked something, and why.
    pub problems: Vec<Problem>,
}

impl Imported {
    /// Whether something was left out: the exit code says so.
    pub fn is_partial(&self) -> bool {
        self.quarantined > 0
            || !self.problems.is_empty()
            || self.unrecognised.iter().any(|file| file.named)
    }
}

impl Imported {
    /// Adds what another import did.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.unrecognised.extend(other.unrecognised);
        self.records += other.records;
        self.events += other.events;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        self.irrelevant += other.irrelevant;
        self.quarantined += other.quarantined;
        self.inventory += other.inventory;
        self.proofs += other.proofs;
        self.bytes_read += other.bytes_read;
        self.problems.extend(other.problems);
    }
}

/// A file of no known format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecognised {
    /// Its path.
    pub file: String,
    /// Whether it was named on the command line: that is an error.
    pub named: bool,
    /// What was found instead.
    pub reason: &'static str,
}

/// Something wrong with a file; what is good in it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path.
    pub file: String,
    /// What is wrong, with the causes.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files to read in all.
    pub files: u64,
    /// Their size on disk.
    pub total_bytes: u64,
    /// Files read.
    pub files_done: u64,
    /// Bytes read from disk.
    pub bytes_done: u64,
    /// Records read.
    pub records: u64,
    /// Events committed or known.
    pub events: u64,
}

/// An import that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A path cannot be read.
    #[error("nothing was imported")]
    Path(#[from] FileError),
    /// The store failed; what was committed before stays.
    #[error("the import stopped")]
    Store(#[from] StoreError),
    /// It was told to stop; what was committed stays.
    #[error("interrupted; what was committed stays")]
    Interrupted,
    /// The reading thread died: a bug.
    #[error("the reader stopped unexpectedly; this is a bug, please report it")]
    Reader,
}

impl ImportError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Path(_) => Some("give files, folders, or `-` for standard input"),
            Self::Store(error) => error.hint(),
            Self::Interrupted => Some("run it again: it goes on where it stopped"),
            Self::Reader => None,
        }
    }
}

/// Imports recorded logs; `now` is the time of collection. `watch` hears of progress, several times
/// a second, and says whether to go on; a page that is being committed is committed first.
///
/// # Errors
/// When a path does not exist, the store fails or `watch` says to stop. Bad files are no errors: they are counted and
/// named in what is returned.
pub async fn import(
    store: &mut Store,
    job: &Import,
    now: Timestamp,
    watch: &mut (dyn FnMut(Progress) -> bool + Send),
) -> Result<Imported, ImportError> {
    Reading::begin(job)?.commit(store, now, watch).await
}

/// Logs that are being read, ahead of the store: it may be opened meanwhile.
#[derive(Debug)]
pub struct Reading {
    reader: JoinHandle<Imported>,
    pages: Receiver<Box<Page>>,
    done: Stop,
    progress: Progress,
}

impl Reading {
    /// Begins to read recorded logs. Reading waits once some pages wait for [`Self::commit`], and ends
    /// when this is dropped.
    ///
    /// # Errors
    /// When a path does not exist.
    pub fn begin(job: &Import) -> Result<Self, ImportError> {
        let mut inputs = find(&job.paths)?;
        inputs.retain(|input| !job.skip.iter().any(|skip| input.is_below(skip)));
        let (sender, pages) = sync_channel(1);
        let done = Arc::new(Done::default());
        let progress = Progress {
            files: u64::try_from(inputs.len()).unwrap_or(u64::MAX),
            total_bytes: inputs.iter().map(|input| input.size().unwrap_or(0)).sum(),
            ..Progress::default()
        };
        let reader = {
            let (job, done) = (job.clone(), Arc::clone(&done));
            std::thread::spawn(move || workers::read(&job, &inputs, &done, &sender))
        };
        Ok(Self { reader, pages, done: Stop(done), progress })
    }

    /// Commits what is read, page by page, to its end; as [`import`] does.
    ///
    /// # Errors
    /// When the store fails or `watch` says to stop.
    pub async fn commit(
        self,
        store: &mut Store,
        now: Timestamp,
        watch: &mut (dyn FnMut(Progress) -> bool + Send),
    ) -> Result<Imported, ImportError> {
        let Self { reader, pages, done, mut progress } = self;
        let mut total = Appended::default();
        let mut known = None;
        loop {
            match next(&pages) {
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(mut page) => {
                    leave_out_known(store, &mut page, &mut known).await?;
                    add(&mut total, store.append(*page, now).await?);
                    progress.events = total.events + total.duplicates;
                }
            }
            done.0.tell(&mut progress);
            if !watch(progress) {
                return Err(ImportError::Interrupted);
            }
        }
        let mut imported = reader.join().map_err(|_| ImportError::Reader)?;
        imported.events = total.events;
        imported.duplicates = total.duplicates;
        imported.conflicts = total.conflicts;
        Ok(imported)
    }
}

/// Leaves out the log files that were read before, so that reading them again leaves no receipt.
async fn leave_out_known(
    store: &Store,
    page: &mut Page,
    known: &mut Option<BTreeSet<FileRead>>,
) -> Result<(), StoreError> {
    if page.files.is_empty() {
        return Ok(());
    }
    let known = match known {
        Some(known) => known,
        None => known.insert(store.files_read().await?),
    };
    page.files.retain(|file| known.insert(file.clone()));
    Ok(())
}

/// Waits a little for the reader, without holding up the runtime.
fn next(pages: &Receiver<Box<Page>>) -> Result<Box<Page>, RecvTimeoutError> {
    tokio::task::block_in_place(|| pages.recv_timeout(Duration::from_millis(200)))
}

fn add(total: &mut Appended, page: Appended) {
    total.events += page.events;
    total.duplicates += page.duplicates;
    total.conflicts += page.conflicts;
}

/// How far the readers have come; they tell it without waiting to be heard.
#[derive(Debug, Default)]
struct Done {
    /// Bytes taken from the disk.
    bytes: Arc<AtomicU64>,
    files: AtomicU64,
    records: AtomicU64,
    /// Whether nobody waits for more.
    stopped: AtomicBool,
}

/// Stops the readers, when it is dropped, at the end of the file that they are at.
#[derive(Debug)]
struct Stop(Arc<Done>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Done {
    fn tell(&self, progress: &mut Progress) {
        progress.bytes_done = self.bytes.load(Ordering::Relaxed);
        progress.files_done = self.files.load(Ordering::Relaxed);
        progress.records = self.records.load(Ordering::Relaxed);
    }
}

/// The stretches that the operator vouches for.
fn declared(job: &Import, met: &BTreeSet<Scope>) -> Vec<Receipt> {
    let Some(period) = job.declare else { return Vec::new() };
    met.iter()
        .chain(&job.scopes)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|scope| {
            Receipt::Coverage(Coverage {
                ledger: scope.ledger.clone(),
                region: scope.region.clone(),
                kind: scope.kind.clone(),
                period,
                method: "declared".to_owned(),
                status: "covered".to_owned(),
                detail: Some("vouched for by the operator at import".to_owned()),
            })
        })
        .collect()
}
