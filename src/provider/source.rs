//! Sources: configured places that records are read from, batch by batch.
//!
//! A [`Source`] knows nothing of the store. It is told where it stood ([`History`]) and what
//! stretch is wanted ([`Window`]), and yields [`Batch`]es; whoever drives it commits each batch with
//! its cursor and coverage at once, so that a crash between two batches loses and doubles nothing.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::Context;
use super::http::{Client, Counts, Quotas};
use super::inventory::{Inventory, InventoryContext, InventoryKind};
use crate::event::{Format, Provider};
use crate::finding::Coverage;
use crate::secret::SecretRef;

/// Reads the secret behind a reference.
pub type ReadSecret = Arc<dyn Fn(&SecretRef) -> io::Result<SecretString> + Send + Sync>;

/// What the sources of one run share.
#[derive(Clone)]
pub struct Tools {
    /// Sends calls; each source takes a [`Client::fresh`] one, to be counted for itself.
    pub client: Client,
    /// The quotas that they draw on.
    pub quotas: Quotas,
    /// Where secrets come from.
    pub secrets: ReadSecret,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tools")
    }
}

/// A configured place to read from.
#[async_trait]
pub trait Source: Send {
    /// Its name: the configured one, and what tells parts of it apart:
    /// `prod/111122223333/eu-central-1`. Cursors are kept under it, so that it must not change.
    fn name(&self) -> &str;

    /// Whose it is.
    fn provider(&self) -> Provider;

    /// What it asked of the provider so far.
    fn counts(&self) -> Arc<Counts>;

    /// Tells the source where it stood and what is wanted; once, before the first [`Self::next`].
    fn start(&mut self, history: &History, window: Window);

    /// Sums up what earlier batches left: fewer cursors that tell [`Self::start`] the same, also where some of
    /// the newest of those in `history` follow them once more. Which objects of a bucket were seen need
    /// not be told for longer than cursors are kept one by one.
    fn sum_up(&self, history: &History) -> Vec<Value> {
        history.cursors.clone()
    }

    /// Reads the next batch; `None` once the window has been read.
    ///
    /// # Errors
    /// When reading cannot go on. What was yielded before stays good.
    async fn next(&mut self) -> Result<Option<Batch>, SourceError>;
}

/// What earlier batches of a source left, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The cursor of each batch that had one; the older ones as [`Source::sum_up`] told them.
    pub cursors: Vec<Value>,
}

impl History {
    /// The newest cursor.
    pub fn newest(&self) -> Option<&Value> {
        self.cursors.last()
    }
}

/// The stretch of time that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From when; `None` for where the source stood, or as far back as it goes.
    pub since: Option<Timestamp>,
    /// Until when, exclusive; not after `now`.
    pub until: Timestamp,
    /// The time of collection.
    pub now: Timestamp,
}

/// What is committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was read, in order of arrival.
    pub items: Vec<Item>,
    /// What is proven read once this batch is committed.
    pub coverage: Vec<Coverage>,
    /// Where reading goes on, or what was seen: the source's own JSON, kept in a receipt.
    pub cursor: Option<Value>,
    /// How far in time reading has come, for people.
    pub reached: Option<Timestamp>,
    /// Something that is worth telling and no error: what could not be seen, and what to do.
    pub notes: Vec<Note>,
}

/// Something that a source could not see or found odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One thing that was read.
#[derive(Debug)]
pub enum Item {
    /// One record of a known format, as the provider wrote it.
    Record {
        /// Its format.
        format: Format,
        /// Its bytes, without the transport's envelope.
        raw: String,
        /// How it came: `lookup_events`, `cloudwatch_logs`, `entries_list`, `activity_api`, …
        transport: &'static str,
        /// What is known about it besides its bytes.
        context: Context,
    },
    /// An object to be cut and told apart by content as a file is, gzip or not.
    Object {
        /// Its address: `s3://bucket/key`.
        address: String,
        /// Its content, or the part of it that is new and ends with a whole line.
        content: Bytes,
        /// What is known about its records besides their bytes.
        context: Context,
    },
    /// One inventory document in a shape that [`super::inventory_rows`] reads.
    Document {
        /// What it is.
        kind: InventoryKind,
        /// It.
        value: Value,
        /// What it does not say itself.
        context: InventoryContext,
        /// As of when.
        captured_at: Timestamp,
    },
    /// Inventory rows, where no document says them.
    Inventory {
        /// What was asked: names the snapshot.
        subject: String,
        /// The rows.
        rows: Inventory,
        /// As of when.
        captured_at: Timestamp,
    },
    /// A proof file, kept as it is.
    Proof {
        /// Where it was read from.
        address: String,
        /// `cloudtrail_digest`, `cloudtrail_public_keys`, …
        kind: String,
        /// Its content.
        raw: String,
    },
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The configuration cannot be used.
    #[error("{detail}")]
    Config {
        /// What is wrong with it.
        detail: String,
        /// What to do about it.
        hint: String,
    },
    /// No credentials, or they cannot be used.
    #[error("no usable credentials for {what}")]
    Credentials {
        /// Whose: `AWS profile "audit"`.
        what: String,
        /// What to do about it.
        hint: String,
        /// What the provider's library said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The provider refused for lack of permission.
    #[error("{call} was refused: {detail}")]
    Denied {
        /// What was called, where: `cloudtrail:LookupEvents in eu-central-1`.
        call: String,
        /// What the provider said.
        detail: String,
        /// The permission that is missing, as the provider names it.
        permission: String,
    },
    /// The provider still asked to slow down after many tries.
    #[error("{call} was throttled {tries} times in a row")]
    Throttled {
        /// What was called.
        call: String,
        /// How often it was tried.
        tries: usize,
    },
    /// The provider answered with an error.
    #[error("{call} failed with {status}: {detail}")]
    Answer {
        /// What was called.
        call: String,
        /// HTTP status.
        status: u16,
        /// The provider's code and message.
        detail: String,
    },
    /// There was no answer.
    #[error("{call} had no answer")]
    Transport {
        /// What was called.
        call: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is not what the provider documents.
    #[error("{call} answered something unexpected: {detail}")]
    Content {
        /// What was called.
        call: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl SourceError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Config { hint, .. } | Self::Credentials { hint, .. } => hint.clone(),
            Self::Denied { permission, .. } => {
                format!("grant {permission}; docs/sources.md holds the least-privilege policy")
            }
            Self::Throttled { .. } => {
                "something else uses up the quota: run it again later, or less often".to_owned()
            }
            Self::Answer { .. } | Self::Content { .. } => {
                "run it again: it goes on where it stopped".to_owned()
            }
            Self::Transport { .. } => {
                "check network, proxy and endpoint, then run it again: it goes on where it stopped"
                    .to_owned()
            }
        }
    }

    /// Something the configuration says that cannot be.
    pub fn config(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Config { detail: detail.into(), hint: hint.into() }
    }

    /// An answer that is not what the provider documents.
    pub fn content(call: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Content { call: call.into(), detail: detail.into() }
    }
}
