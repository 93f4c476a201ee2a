//! Pins: versions of the store that must stay readable, by name.
//!
//! A pin is a small file in the folder `pins`, written durably before it is promised. A sweep holds
//! the lock of that folder while it removes files, and reads the pins under it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

use super::disk::{failed, make_folder, put, sync_folder_of};
use super::status::files;
use super::{Location, Store, StoreError};

/// A version that stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// The version of each table.
    pub versions: BTreeMap<String, i64>,
    /// When it was made.
    pub made_at: Timestamp,
}

impl Store {
    /// Pins the version that is open, under a name that is not taken.
    ///
    /// # Errors
    /// When the name cannot be used, the folder cannot be written, or a file of the version is
    /// gone already.
    pub fn pin(&self, name: &str, now: Timestamp) -> Result<Pin, StoreError> {
        let path = path(&self.location, name)?;
        let _lock = self.location.lock_pins()?;
        for (table, delta) in self.opened() {
            let folder = self.location.table_folder(table);
            if let Some(gone) = files(delta, table)?.iter().find(|file| !folder.join(file).exists())
            {
                let detail = format!("{table}/{gone} was removed already");
                return Err(StoreError::Pin { name: name.to_owned(), detail });
            }
        }
        let pin = Pin { name: name.to_owned(), versions: self.version(), made_at: now };
        let text = serde_json::to_vec_pretty(&pin).unwrap_or_default();
        match put(&path, &PutPayload::from(text), true) {
            Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {
                let detail = "there is a pin of that name";
                Err(StoreError::PinName { name: name.to_owned(), detail })
            }
            done => Ok(done.map(|()| pin)?),
        }
    }

    /// The pins, by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        let folder = self.location.pins_folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("list", &folder))?,
        };
        let mut pins = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("list", &folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"))
            else {
                continue;
            };
            let text = fs::read(&path).map_err(failed("read", &path))?;
            let pin: Pin = serde_json::from_slice(&text).map_err(|error| StoreError::Pin {
                name: name.to_owned(),
                detail: error.to_string(),
            })?;
            pins.push(pin);
        }
        pins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pins)
    }

    /// Removes a pin.
    ///
    /// # Errors
    /// When there is none of that name, or the folder cannot be written.
    pub fn unpin(location: &Location, name: &str) -> Result<(), StoreError> {
        let path = path(location, name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::NoPin { name: name.to_owned() })
            }
            done => {
                done.map_err(failed("remove", &path))?;
                Ok(sync_folder_of(&path)?)
            }
        }
    }

    /// Opens a store at the version of a pin.
    ///
    /// # Errors
    /// When there is no such pin, or its version cannot be read.
    pub async fn open_pinned(location: Location, name: &str) -> Result<Self, StoreError> {
        let now = Self::open(location.clone()).await?;
        let pin = now.pins()?.into_iter().find(|pin| pin.name == name);
        let Some(pin) = pin else { return Err(StoreError::NoPin { name: name.to_owned() }) };
        Self::open_at(location, &pin.versions).await
    }
}

impl Location {
    /// The folder of the pins.
    pub(super) fn pins_folder(&self) -> PathBuf {
        self.path().join("pins")
    }

    /// Waits for the lock of the pins, which is free again when the file is dropped or the process
    /// ends.
    pub(super) fn lock_pins(&self) -> Result<File, StoreError> {
        let folder = self.pins_folder();
        make_folder(&folder)?;
        let path = folder.join("lock");
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.map_err(failed("open", &path))?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(file)
    }
}

/// The file of a pin; its name is one plain file name.
fn path(location: &Location, name: &str) -> Result<PathBuf, StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let detail = match name {
        "" => "it is empty",
        _ if name.len() > 100 => "it is longer than 100 characters",
        _ if name.starts_with('.') => "it begins with a dot",
        _ if !name.chars().all(plain) => "it has other characters than letters, digits, `-_.`",
        _ => return Ok(location.pins_folder().join(format!("{name}.json"))),
    };
    Err(StoreError::PinName { name: name.to_owned(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pins_name_is_one_plain_file_name() {
        let location = Location::parse("/nowhere").unwrap();
        assert!(path(&location, "audit-2026.q3_v1").is_ok());
        for name in ["", ".", "..", ".hidden", "a/b", "a b", "a\0", "ä", &"x".repeat(101)] {
            assert!(matches!(path(&location, name), Err(StoreError::PinName { .. })), "{name:?}");
        }
    }
}
