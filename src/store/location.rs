//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::StoreError;
use super::disk::make_folder;

/// The place of a store: a local folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    folder: PathBuf,
}

impl Location {
    /// Reads a location as given by a user.
    ///
    /// # Errors
    /// When it is empty or an address of a kind that is not supported.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let refuse = |detail: &str| {
            Err(StoreError::Location { location: text.to_owned(), detail: detail.to_owned() })
        };
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.contains("://") {
            return refuse("stores in buckets are not supported yet");
        }
        match std::path::absolute(text) {
            Ok(folder) => Ok(Self { folder }),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// Creates the folder, durably.
    ///
    /// # Errors
    /// When that fails.
    pub fn prepare(&self) -> Result<(), StoreError> {
        Ok(make_folder(&self.folder)?)
    }

    /// The folder of a table.
    pub(super) fn table_folder(&self, table: &str) -> PathBuf {
        self.folder.join(table)
    }

    /// The address of a table.
    pub(super) fn table_url(&self, table: &str) -> Result<Url, StoreError> {
        Url::from_directory_path(self.table_folder(table)).map_err(|()| StoreError::Location {
            location: self.to_string(),
            detail: "it is no absolute path".to_owned(),
        })
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.display())
    }
}
