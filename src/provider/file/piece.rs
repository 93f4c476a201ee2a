//! What a log file is cut into, and how its reading ends.

use std::collections::BTreeMap;
use std::io;

use super::super::Reason;
use super::outline::Outline;

/// Where an item begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u64,
    /// Bytes before it, after unpacking.
    pub byte: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, byte {}", self.line, self.byte)
    }
}

/// What stands around the items of a list: its name, and the plain values before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapper {
    /// The name of the list (`Records`, `events`, …); empty for an array or bare values.
    pub list: String,
    /// Text members of the wrapper that stand before the list (`logGroup`, `logStream`, …).
    pub members: BTreeMap<String, String>,
}

/// One item.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole JSON value, not yet parsed.
    Json {
        /// Its bytes.
        text: &'a str,
        /// Where it begins.
        place: Place,
        /// What stands around it.
        wrapper: &'a Wrapper,
        /// Where its members stand.
        outline: &'a Outline,
    },
    /// A block of text.
    Text {
        /// Its lines.
        text: &'a str,
        /// Where it begins.
        place: Place,
    },
    /// Something that is no whole item.
    Cut {
        /// What could be read of it, cut at some thousand bytes.
        text: String,
        /// Where it begins.
        place: Place,
        /// Why.
        reason: Reason,
        /// One sentence.
        detail: String,
    },
}

/// How a file ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Split {
    /// At its end.
    Whole,
    /// The receiver had enough.
    Stopped,
    /// Not a shape that logs come in (neither JSON nor a known text).
    Unknown,
    /// Nothing in it but white space.
    Empty,
}

/// A file that breaks off or cannot be read on; what came before it was handed on.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Reading failed: a cut gzip member, a limit, a disk.
    #[error("reading stopped at {place}")]
    Read {
        /// How far it came.
        place: Place,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The JSON breaks off or its structure is broken.
    #[error("the file breaks off at {place}: {detail}")]
    Broken {
        /// How far it came.
        place: Place,
        /// What was expected.
        detail: String,
    },
}
