//! `collect`: configured sources into the store.
//!
//! Sources are read side by side, each by a task of its own; one place commits, batch by batch: what
//! was read, the cursor that says so and what is thereby covered are one commit, so that a process
//! that is killed at any moment loses and doubles nothing. A source that fails stops no other.

mod batch;
mod config;
mod run;
mod status;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::provider::source::{Batch, Source, SourceError, Window};
use crate::store::{Page, Receipt, Store, StoreError};

use batch::Books;
pub use config::{SOURCE_TYPES, SourceConfig, SourceConfigError, build, tools};
pub use run::{Ending, Polled};
pub use status::{Standing, standings};

/// Inventory that says what was said less than this long ago is not stored again.
const REPEAT_INVENTORY: SignedDuration = SignedDuration::from_hours(24);

/// What to collect.
#[derive(Default)]
pub struct Collect {
    /// The sources, started by [`collect`].
    pub sources: Vec<Box<dyn Source>>,
    /// Sources that could not be set up, and why.
    pub broken: Vec<Broken>,
    /// From when; `None` for where each source stood.
    pub since: Option<Timestamp>,
    /// Until when; `None` for now.
    pub until: Option<Timestamp>,
    /// How many sources are read at once; 0 for what is best.
    pub parallel: usize,
}

/// A source that could not be set up.
#[derive(Debug)]
pub struct Broken {
    /// The configured name.
    pub name: String,
    /// Why.
    pub error: SourceError,
}

/// How far the sources have come, by name.
pub type Progress = BTreeMap<String, Polled>;

/// What came of a collection.
#[derive(Debug, Default)]
pub struct Collected {
    /// Source by source.
    pub sources: BTreeMap<String, Polled>,
    /// Whether it was told to stop.
    pub interrupted: bool,
}

impl Collected {
    /// Events that are new.
    pub fn events(&self) -> u64 {
        self.sources.values().map(|polled| polled.events).sum()
    }

    /// Whether something was left out: the exit code says so.
    pub fn is_partial(&self) -> bool {
        self.sources.values().any(|polled| polled.error.is_some() || polled.quarantined > 0)
    }

    /// Whether nothing could be read at all.
    pub fn is_failed(&self) -> bool {
        !self.sources.is_empty()
            && self.sources.values().all(|polled| polled.read_nothing() && polled.error.is_some())
    }
}

/// What a task that reads a source sends.
enum Message {
    /// Something to commit.
    Batch(String, Batch),
    /// It came to its end.
    Ended(String, Result<(), SourceError>),
}

/// How often it is asked whether to go on while nothing comes.
const PATIENCE: Duration = Duration::from_millis(200);

/// How many sources are read at once where nothing is said.
const PARALLEL: usize = 8;

/// Collects from the sources; `now` is the time of collection. `watch` hears of progress after each
/// commit and says whether to go on; what is being committed is committed first.
///
/// # Errors
/// When the store fails. A source that fails is no error: it is named in what is returned.
pub async fn collect(
    store: &mut Store,
    job: Collect,
    now: Timestamp,
    watch: &mut (dyn FnMut(&Progress) -> bool + Send),
) -> Result<Collected, StoreError> {
    let names = job.sources.iter().map(|source| source.name().to_owned()).collect();
    let cursors = store.cursors(&names, now).await?;
    let known = store.statements(now - REPEAT_INVENTORY).await?;
    let mut books = Books::new(cursors, known, now);
    let mut collected = Collected::default();
    for Broken { name, error } in job.broken {
        collected.sources.insert(name, Polled::broken(&error));
    }
    let window =
        Window { since: job.since, until: job.until.map_or(now, |until| until.min(now)), now };
    let parallel = if job.parallel == 0 { PARALLEL } else { job.parallel };
    let (sender, mut receiver) = channel(1);
    for source in &job.sources {
        collected.sources.insert(source.name().to_owned(), Polled::new(source.as_ref()));
    }
    let mut tasks = read_all(job.sources, (&mut books, window, parallel), sender);
    let ended = drive(store, &mut receiver, &mut books, (&mut collected, window), watch).await;
    tasks.shutdown().await;
    ended?;
    let polls = collected.sources.iter().map(|(name, polled)| Receipt::Poll {
        source: name.clone(),
        content: polled.receipt(window),
    });
    let page = Page { receipts: polls.chain(books.rest()).collect(), ..Page::default() };
    store.append(page, now).await?;
    Ok(collected)
}

/// Starts a task for each source; so many read at once.
fn read_all(
    sources: Vec<Box<dyn Source>>,
    (books, window, parallel): (&mut Books, Window, usize),
    sender: Sender<Message>,
) -> JoinSet<()> {
    let turns = Arc::new(Semaphore::new(parallel));
    let mut tasks = JoinSet::new();
    for mut source in sources {
        let history = books.open(source.as_ref());
        let (turns, sender) = (Arc::clone(&turns), sender.clone());
        tasks.spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            source.start(&history, window);
            read(source.as_mut(), &sender).await;
        });
    }
    // The channel ends with the last task.
    drop(sender);
    tasks
}

/// Reads a source to its end.
async fn read(source: &mut dyn Source, sender: &Sender<Message>) {
    let name = source.name().to_owned();
    loop {
        let message = match source.next().await {
            Ok(Some(batch)) => Message::Batch(name.clone(), batch),
            Ok(None) => Message::Ended(name.clone(), Ok(())),
            Err(error) => Message::Ended(name.clone(), Err(error)),
        };
        let ended = matches!(message, Message::Ended(..));
        if sender.send(message).await.is_err() || ended {
            return;
        }
    }
}

/// Commits what the tasks send.
async fn drive(
    store: &mut Store,
    receiver: &mut Receiver<Message>,
    books: &mut Books,
    (collected, window): (&mut Collected, Window),
    watch: &mut (dyn FnMut(&Progress) -> bool + Send),
) -> Result<(), StoreError> {
    loop {
        match timeout(PATIENCE, receiver.recv()).await {
            // A source may wait for minutes: who wants to stop does not.
            Err(_) => {}
            Ok(None) => return Ok(()),
            Ok(Some(message)) => take(store, books, (collected, window), message).await?,
        }
        if !watch(&collected.sources) {
            collected.interrupted = true;
            return Ok(());
        }
    }
}

/// Commits a batch, or notes how a source ended.
async fn take(
    store: &mut Store,
    books: &mut Books,
    (collected, window): (&mut Collected, Window),
    message: Message,
) -> Result<(), StoreError> {
    match message {
        Message::Batch(name, batch) => {
            let Some(polled) = collected.sources.get_mut(&name) else { return Ok(()) };
            books.commit(store, (&name, polled), batch).await
        }
        Message::Ended(name, result) => {
            if let Some(polled) = collected.sources.get_mut(&name) {
                polled.end(result.as_ref().err(), Some(window));
            }
            Ok(())
        }
    }
}
