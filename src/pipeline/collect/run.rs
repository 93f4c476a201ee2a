//! What one run over one source did.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::{Provider, words};
use crate::provider::http::Counts;
use crate::provider::source::{Note, Source, SourceError, Window};
use crate::store::Appended;

words! {
    /// How a run ended.
    Ending {
        /// It has not, or it was interrupted.
        Running = "interrupted",
        /// The window was read.
        Done = "done",
        /// It failed.
        Failed = "failed",
    }
}

/// What one run over one source did so far.
#[derive(Debug, Clone)]
pub struct Polled {
    /// Whose source; `None` where it could not be set up.
    pub provider: Option<Provider>,
    /// How it ended.
    pub ending: Ending,
    /// Batches committed.
    pub batches: u64,
    /// Records read.
    pub records: u64,
    /// Where in time the first batch began.
    began: Option<Timestamp>,
    /// Events that are new.
    pub events: u64,
    /// Events that were known.
    pub duplicates: u64,
    /// Records that have nothing to do with keys.
    pub irrelevant: u64,
    /// Records put into quarantine.
    pub quarantined: u64,
    /// Inventory rows stored.
    pub inventory: u64,
    /// Inventory rows that were stored less than a day ago and say the same.
    pub unchanged: u64,
    /// Proof files read.
    pub proofs: u64,
    /// Whether a batch brought something, or moved on.
    pub(super) moved: bool,
    /// How far in time reading has come.
    pub reached: Option<Timestamp>,
    /// What could not be seen.
    pub notes: Vec<Note>,
    /// Why it failed, with causes and hint.
    pub error: Option<(String, String)>,
    /// The logs that it covers a stretch of.
    pub(super) covers: BTreeSet<String>,
    counts: Arc<Counts>,
}

impl Polled {
    /// One that has not begun.
    pub(super) fn new(source: &dyn Source) -> Self {
        Self::of(Some(source.provider()), source.counts())
    }

    /// One that could not be set up.
    pub(super) fn broken(error: &SourceError) -> Self {
        let mut polled = Self::of(None, Arc::default());
        polled.end(Some(error), None);
        polled
    }

    fn of(provider: Option<Provider>, counts: Arc<Counts>) -> Self {
        Self {
            provider,
            ending: Ending::Running,
            batches: 0,
            records: 0,
            began: None,
            events: 0,
            duplicates: 0,
            irrelevant: 0,
            quarantined: 0,
            inventory: 0,
            unchanged: 0,
            proofs: 0,
            moved: false,
            reached: None,
            notes: Vec::new(),
            error: None,
            covers: BTreeSet::new(),
            counts,
        }
    }

    /// What was asked of the provider.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many days of log were read, where the source goes through time.
    pub fn days(&self) -> Option<f64> {
        let stretch = self.reached?.duration_since(self.began?);
        Some(stretch.as_secs_f64() / 86_400.0)
    }

    /// Counts what a page brought.
    pub(super) fn add(&mut self, appended: Appended) {
        self.events += appended.events;
        self.duplicates += appended.duplicates;
    }

    /// Notes where a batch ended in time, and where the first one began.
    pub(super) fn reach(&mut self, began: Option<Timestamp>, reached: Option<Timestamp>) {
        self.began = self.began.or(began).or(reached);
        self.reached = self.reached.max(reached);
    }

    /// Whether inventory was read.
    pub fn is_inventory(&self) -> bool {
        self.inventory + self.unchanged > 0
    }

    /// Whether nothing at all came of it, notes aside: not even that a stretch is empty.
    pub fn read_nothing(&self) -> bool {
        !self.moved
    }

    /// Notes how it ended. A window that was read without anything in it was read to its end.
    pub(super) fn end(&mut self, error: Option<&SourceError>, window: Option<Window>) {
        if error.is_none() {
            self.reached = self.reached.or(window.map(|window| window.until));
        }
        self.ending = if error.is_some() { Ending::Failed } else { Ending::Done };
        self.error = error.map(told);
    }

    /// What the ledger of polls keeps.
    pub(super) fn receipt(&self, window: Window) -> Value {
        let ending = self.ending.as_str();
        json!({
            "at": window.now.to_string(), "until": window.until.to_string(), "ending": ending,
            "reached": self.reached.map(|time| time.to_string()),
            "batches": self.batches, "records": self.records, "events": self.events,
            "duplicates": self.duplicates, "irrelevant": self.irrelevant,
            "quarantined": self.quarantined, "inventory": self.inventory, "proofs": self.proofs,
            "covers": self.covers, "requests": self.counts.requests(), "bytes": self.counts.bytes(),
            "error": self.error.as_ref().map(|(message, _)| message),
            "notes": self.notes.iter().map(|note| &note.message).collect::<Vec<_>>(),
        })
    }
}

/// An error with its causes, and what to do about it.
fn told(error: &SourceError) -> (String, String) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        text += &format!(": {found}");
        cause = found.source();
    }
    (text, error.hint())
}
