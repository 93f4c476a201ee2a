//! What a job hands to the store in one commit.

use std::sync::Arc;

use jiff::Timestamp;

use super::Receipt;
use super::inventory::Snapshot;
use crate::event::Event;
use crate::event::batch::{JournalRow, RowKind};
use crate::event::{content_id, leaf_hash, sha256_hex};

/// An event on its way into the store, with its identity.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingEvent {
    pub(super) event: Event,
    pub(super) raw: String,
    pub(super) transport: &'static str,
    pub(super) source: Arc<str>,
    pub(super) row_id: String,
    pub(super) leaf_hash: [u8; 32],
}

impl PendingEvent {
    /// Makes one of an event, its record exactly as it was read, how it was read, and where.
    pub fn new(event: Event, raw: String, transport: &'static str, source: Arc<str>) -> Self {
        let row_id = match &event.native_id {
            Some(native) => format!("{}|{native}", event.ledger),
            None => format!("{}|{}", event.ledger, content_id(&raw)),
        };
        let leaf_hash = leaf_hash(&event.ledger, &row_id, &raw);
        Self { event, raw, transport, source, row_id, leaf_hash }
    }

    /// The row of an event that is not known to be new yet.
    pub(super) fn row(self, collected_at: Timestamp) -> JournalRow {
        JournalRow {
            kind: RowKind::Event,
            ledger: self.event.ledger.clone(),
            leaf_index: None,
            row_id: self.row_id,
            conflicts_with: None,
            collected_at,
            transport: self.transport,
            source: self.source,
            event: Some(self.event),
            format: None,
            reason: None,
            message: None,
            place: None,
            receipt: None,
            raw: Some(self.raw),
            leaf_hash: Some(self.leaf_hash),
        }
    }
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
            transport: "file",
            source: self.source.as_str().into(),
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

/// A log file of a trail that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRead {
    /// Its path or key.
    pub name: String,
    /// SHA-256 of its bytes after unpacking.
    pub sha256: String,
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
    /// Log files of trails whose last record is in this page, or in one before it.
    pub files: Vec<FileRead>,
}

impl Page {
    /// Puts what is in another page behind what is in this one.
    pub fn append(&mut self, other: Self) {
        self.events.extend(other.events);
        self.quarantine.extend(other.quarantine);
        self.receipts.extend(other.receipts);
        self.snapshots.extend(other.snapshots);
        self.files.extend(other.files);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.quarantine.is_empty()
            && self.receipts.is_empty()
            && self.snapshots.is_empty()
            && self.files.is_empty()
    }
}
