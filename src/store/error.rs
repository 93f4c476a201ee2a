//! What can go wrong with a store.

use std::io;

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store where one was expected.
    #[error("there is no store at {location}")]
    Missing {
        /// Where.
        location: String,
    },
    /// The location is no path or address of a store.
    #[error("cannot use {location:?} as a store: {detail}")]
    Location {
        /// What was given.
        location: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk refused.
    #[error("cannot {action} {path}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table was written by another version of this program, or by another program.
    #[error("the table `{table}` has schema version {found}, this program writes {known}")]
    Version {
        /// Which table.
        table: String,
        /// The version found; `none` for a foreign table.
        found: String,
        /// The version known.
        known: i64,
    },
    /// A table could not be opened, read or written.
    #[error("cannot {action} the table `{table}`")]
    Table {
        /// What was tried.
        action: &'static str,
        /// Which table.
        table: String,
        /// Why.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A query over the store failed.
    #[error("cannot read the store")]
    Query {
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
    /// Other writers were faster too often.
    #[error("gave up after {attempts} attempts to commit: other processes keep writing")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// A receipt in the store cannot be read.
    #[error("the receipt of ledger {ledger} at size {size} is missing or broken")]
    Receipt {
        /// Whose.
        ledger: String,
        /// At what size.
        size: i64,
    },
    /// Rows and schema disagree: a bug.
    #[error("rows do not fit the schema; this is a bug, please report it")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some(
                "`keytrail import PATH…` creates it; name another with --store or KEYTRAIL_STORE",
            ),
            Self::Location { .. } => Some("give a path of a local folder"),
            Self::Disk { .. } => Some("check that the folder exists, is writable and has space"),
            Self::Version { .. } => {
                Some("use the version of keytrail that wrote the store, or import anew")
            }
            Self::Busy { .. } => {
                Some("let the other import finish and run this one again; nothing was doubled")
            }
            Self::Receipt { .. } => {
                Some("the store was changed from outside; restore it or import anew")
            }
            Self::Table { .. } | Self::Query { .. } | Self::Arrow(_) => None,
        }
    }
}

impl From<DataFusionError> for StoreError {
    fn from(source: DataFusionError) -> Self {
        Self::Query { source: Box::new(source) }
    }
}
