//! What a job hands to the store in one commit.

use jiff::Timestamp;

use super::inventory::Snapshot;
use super::{Events, Receipt};
use crate::event::batch::{JournalRow, RowKind};
use crate::event::sha256_hex;

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
            collected_at,
            transport: "file".to_owned(),
            source: self.source.clone(),
            format: self.format.clone(),
            reason: Some(self.reason.clone()),
            message: Some(self.message.clone()),
            place: Some(self.place.clone()),
            receipt: None,
            raw: Some(self.raw.clone()),
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
    pub events: Events,
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
        self.events.append(other.events);
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
