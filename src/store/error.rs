//! What can go wrong with a store.

use std::error::Error;
use std::io;

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

use super::disk::DiskError;

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
    /// The leaves of a ledger do not give the tree head that its newest receipt holds.
    #[error("the events of ledger {ledger} do not give the tree head of its receipt: {detail}")]
    Tree {
        /// Whose.
        ledger: String,
        /// What differs.
        detail: String,
    },
    /// A rewritten file does not hold what the files that it stands for held.
    #[error("rewriting {table} changed its rows: {detail}; nothing was committed")]
    Rewrite {
        /// Which table.
        table: String,
        /// What differs.
        detail: String,
    },
    /// A pin's name cannot be used.
    #[error("cannot use {name:?} as the name of a pin: {detail}")]
    PinName {
        /// As given.
        name: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// There is no such pin.
    #[error("there is no pin named {name:?}")]
    NoPin {
        /// As given.
        name: String,
    },
    /// A pin cannot be read, or the version that it names is no longer there.
    #[error("the pin {name:?} is of no use: {detail}")]
    Pin {
        /// Whose.
        name: String,
        /// Why.
        detail: String,
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
            Self::Disk { source, .. } => Some(disk_hint(source.kind())),
            Self::Version { .. } => {
                Some("use the version of keytrail that wrote the store, or import anew")
            }
            Self::Busy { .. } => {
                Some("let the other import finish and run this one again; nothing was doubled")
            }
            Self::Receipt { .. } => {
                Some("the store was changed from outside; restore it or import anew")
            }
            Self::Tree { .. } => Some(
                "the tables were changed from outside or are damaged; nothing was removed, and \
                 earlier versions can be read",
            ),
            Self::PinName { .. } => {
                Some("take letters, digits, `-`, `_` and `.`, and a name that is not taken")
            }
            Self::NoPin { .. } => Some("`keytrail store status` lists the pins"),
            Self::Pin { .. } => Some("remove it with `keytrail store unpin NAME`"),
            Self::Rewrite { .. } | Self::Table { .. } | Self::Query { .. } | Self::Arrow(_) => None,
        }
    }
}

impl StoreError {
    /// The disk's refusal among the causes of an error.
    pub(super) fn of_disk(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(found) = cause {
            if let Some(DiskError { action, path, source }) = found.downcast_ref() {
                let source = match source.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => source.kind().into(),
                };
                return Some(Self::Disk { action, path: path.display().to_string(), source });
            }
            cause = found.source();
        }
        Self::of_text(&error.to_string())
    }

    /// The disk's refusal where a library kept no more of it than the text: `… cannot write PATH: No
    /// space left on device (os error 28)`.
    fn of_text(text: &str) -> Option<Self> {
        let (before, after) = text.split_once(" (os error ")?;
        let code = after.split_once(')')?.0.parse().ok()?;
        let (_, refusal) = before.rsplit_once("cannot ")?;
        let (named, _) = refusal.rsplit_once(": ")?;
        let known = |action: &&str| named.starts_with(&format!("{action} "));
        let action = ["create the folder", "create", "sync", "write"].into_iter().find(known)?;
        let path = named.get(action.len() + 1..)?.to_owned();
        Some(Self::Disk { action, path, source: io::Error::from_raw_os_error(code) })
    }
}

/// What to do about a disk that refuses.
fn disk_hint(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match kind {
        StorageFull | QuotaExceeded => {
            "the disk is full: free space and run the same again; what was committed stays, and \
             nothing is half visible"
        }
        ReadOnlyFilesystem | PermissionDenied => {
            "the folder cannot be written: check its owner, its mode and how its disk is mounted"
        }
        _ => "check that the folder exists, is writable and has space",
    }
}

impl From<DiskError> for StoreError {
    fn from(DiskError { action, path, source }: DiskError) -> Self {
        Self::Disk { action, path: path.display().to_string(), source }
    }
}

impl From<DataFusionError> for StoreError {
    fn from(source: DataFusionError) -> Self {
        Self::of_disk(&source).unwrap_or_else(|| Self::Query { source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_disk_is_found_where_only_its_text_is_left() {
        let text = "Kernel error: Generic disk error: cannot create /s/_delta_log/_last: x: No space \
                    left on device (os error 28)";
        let Some(StoreError::Disk { action, path, source }) = StoreError::of_text(text) else {
            panic!("it was not found");
        };
        assert_eq!((action, path.as_str()), ("create", "/s/_delta_log/_last: x"));
        assert_eq!(source.raw_os_error(), Some(28));
        assert!(StoreError::of_text("nothing of the kind (os error 28)").is_none());
    }
}
