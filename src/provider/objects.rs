//! Sources whose records lie in a bucket as objects, in folders of a day.
//!
//! The folders of a sliding window are listed again each time; what was seen is skipped, and the rest
//! read. There is no last key: providers deliver files with smaller names later, and late. An object
//! that cannot be read is told of and stays owed, however old it gets. Listing a bucket proves
//! nothing about what was never delivered to it, so that no coverage is claimed here.

mod day;
#[cfg(test)]
pub(super) mod kit;
mod past;
mod read;
mod source;

use async_trait::async_trait;
use bytes::Bytes;

use super::Context;
use super::bucket::Bucket;
use super::source::{Item, Note, SourceError};
use crate::event::Provider;

pub use day::Days;
pub use past::Reach;
pub use read::Role;
pub use source::{ObjectSource, Plan};

/// Where logs lie in a bucket.
#[async_trait]
pub trait Layout: Send + Sync {
    /// Whose logs they are.
    fn provider(&self) -> Provider;

    /// Finds the places in which logs lie.
    ///
    /// # Errors
    /// When the bucket cannot be listed.
    async fn places(&self, bucket: &Bucket) -> Result<Found, SourceError>;

    /// Whether an object of a place is one of its files, by the last part of its key.
    fn is_file(&self, role: Role, name: &str) -> bool;

    /// Takes records out of the content of an object that stand in it in parts: what is left of it, and
    /// them as items. `None` where there are none.
    fn put_together(&self, content: &Bytes, known: &Context) -> Option<(Bytes, Vec<Item>)> {
        let _ = (content, known);
        None
    }

    /// What reading the bucket cannot prove; told at the first reading.
    fn caveat(&self, bucket: &Bucket) -> Note;
}

/// The places that were found.
#[derive(Debug, Default)]
pub struct Found {
    /// They.
    pub places: Vec<Place>,
    /// What was missed.
    pub notes: Vec<Note>,
}

/// A folder that holds folders of days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its key, without a slash at its end.
    pub prefix: String,
    /// What its files are.
    pub role: Role,
    /// How its days are written.
    pub days: Days,
    /// What is known of its records besides their bytes.
    pub context: Context,
}

#[cfg(test)]
#[cfg(test)]
mod tests;
