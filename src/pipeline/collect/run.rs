//! What one run over one source did.

use std::error::Error as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::Provider;
use crate::provider::http::Counts;
use crate::provider::source::{Note, Source, SourceError, Window};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has not.
    Running,
    /// The window was read.
    Done,
    /// It failed.
    Failed,
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
    /// Proof files read.
    pub proofs: u64,
    /// How far in time reading has come.
    pub reached: Option<Timestamp>,
    /// What could not be seen.
    pub notes: Vec<Note>,
    /// Why it failed, with causes and hint.
    pub error: Option<(String, String)>,
    counts: Arc<Counts>,
}

impl Polled {
    /// One that has not begun.
    pub(super) fn new(source: &dyn Source) -> Self {
        Self {
            provider: Some(source.provider()),
            ending: Ending::Running,
            batches: 0,
            records: 0,
            events: 0,
            duplicates: 0,
            irrelevant: 0,
            quarantined: 0,
            inventory: 0,
            proofs: 0,
            reached: None,
            notes: Vec::new(),
            error: None,
            counts: source.counts(),
        }
    }

    /// One that could not be set up.
    pub(super) fn broken(error: &SourceError) -> Self {
        Self {
            provider: None,
            ending: Ending::Failed,
            batches: 0,
            records: 0,
            events: 0,
            duplicates: 0,
            irrelevant: 0,
            quarantined: 0,
            inventory: 0,
            proofs: 0,
            reached: None,
            notes: Vec::new(),
            error: Some(told(error)),
            counts: Arc::default(),
        }
    }

    /// What was asked of the provider.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn end(&mut self, error: Option<&SourceError>) {
        self.ending = if error.is_some() { Ending::Failed } else { Ending::Done };
        self.error = error.map(told);
    }

    /// What the ledger of polls keeps.
    pub(super) fn receipt(&self, window: Window) -> Value {
        let ending = match self.ending {
            Ending::Done => "done",
            Ending::Failed => "failed",
            Ending::Running => "interrupted",
        };
        json!({
            "at": window.now.to_string(), "until": window.until.to_string(), "ending": ending,
            "reached": self.reached.map(|time| time.to_string()),
            "batches": self.batches, "records": self.records, "events": self.events,
            "duplicates": self.duplicates, "irrelevant": self.irrelevant,
            "quarantined": self.quarantined, "inventory": self.inventory, "proofs": self.proofs,
            "requests": self.counts.requests(), "bytes": self.counts.bytes(),
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
