//! What a job hands to the store in one commit.

use jiff::Timestamp;

use super::Receipt;
use super::inventory::Snapshot;
use crate::event::Event;
use crate::event::batch::{JournalRow, RowKind};
use crate::event::sha256_hex;

/// An event on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingEvent {
    /// The event.
    pub event: Event,
    /// Its record, exactly.
    pub raw: String,
    /// How it was read.
    pub transport: &'static str,
    /// Where it was read from.
    pub source: String,
}

/// A record that could not be translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it was read from.
    pub source: String,
    /// Place within the source.
    pub place: String,
    /// What format it seemed to be of.
    pub format: Option<String>,
    /// Stable code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The record, cut at the limit.
    pub raw: String,
}

impl Quarantined {
    /// The row's id: the same record at the same place is kept once.
    pub fn id(&self) -> String {
        sha256_hex(format!("{}\n{}\n{}", self.source, self.place, self.raw).as_bytes())
    }

    pub(super) fn row(&self, collected_at: Timestamp) -> JournalRow {
        JournalRow {
            kind: RowKind::Quarantine,
            ledger: "quarantine".to_owned(),
            leaf_index: None,
            row_id: self.id(),
            conflicts_with: None,
            collected_at,
            transport: "file".to_owned(),
            source: self.source.clone(),
            event: None,
            format: self.format.clone(),
            reason: Some(self.reason.clone()),
            message: Some(self.message.clone()),
            place: Some(self.place.clone()),
            receipt: None,
            raw: Some(self.raw.clone()),
            leaf_hash: None,
        }
    }
}

/// What goes into the store together, or not at all.
#[derive(Debug, Default)]
pub struct Page {
    /// Events, in order of arrival.
    pub events: Vec<PendingEvent>,
    /// Records for quarantine.
    pub quarantine: Vec<Quarantined>,
    /// What was read, proven and declared.
    pub receipts: Vec<Receipt>,
    /// Inventory.
    pub snapshots: Vec<Snapshot>,
}

impl Page {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.quarantine.is_empty()
            && self.receipts.is_empty()
            && self.snapshots.is_empty()
    }
}
