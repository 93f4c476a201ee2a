//! The state of a store: sizes, versions, rows, pins, and whether maintenance is due.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use deltalake::DeltaTable;
use jiff::Timestamp;

use super::commit::CHECKPOINT_EVERY;
use super::maintain::{mergeable, rows};
use super::pin::Pin;
use super::table::failed;
use super::{Location, Store, StoreError};

/// The state of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub table: String,
    /// Its version.
    pub version: i64,
    /// Data files of that version.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Commits since the newest checkpoint.
    pub commits_since_checkpoint: i64,
    /// Small files of closed days that maintenance would put together.
    pub mergeable_files: u64,
    /// When the version was committed.
    pub committed_at: Option<Timestamp>,
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Table by table, the journal first.
    pub tables: Vec<TableStatus>,
    /// Rows of the journal by kind and ledger.
    pub rows: BTreeMap<(String, String), u64>,
    /// The pins.
    pub pins: Vec<Pin>,
}

impl Status {
    /// Whether maintenance would do something worth while.
    pub fn is_due(&self) -> bool {
        self.tables.iter().any(|table| {
            table.mergeable_files > 0 || table.commits_since_checkpoint > CHECKPOINT_EVERY
        })
    }
}

impl Store {
    /// The state of the store; `now` decides which days are closed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn status(&self, now: Timestamp) -> Result<Status, StoreError> {
        const DAY: i64 = 86_400_000;
        let closed = now.as_millisecond().div_euclid(DAY) * DAY;
        let mut tables = Vec::new();
        for (name, table) in self.opened() {
            let size = Size::of(table)?;
            tables.push(TableStatus {
                table: name.to_owned(),
                version: version_of(table),
                files: size.files,
                bytes: size.bytes,
                rows: size.rows,
                commits_since_checkpoint: since_checkpoint(&self.location, name, table),
                mergeable_files: mergeable(table, name, closed)?,
                committed_at: committed_at(&self.location, name, table),
            });
        }
        Ok(Status { tables, rows: rows(&self.journal).await?, pins: self.pins()? })
    }

    /// The tables, the journal first.
    pub(super) fn opened(&self) -> impl Iterator<Item = (&'static str, &DeltaTable)> {
        let inventory = self.inventory.iter().map(|(name, table)| (*name, table));
        std::iter::once(("journal", &self.journal)).chain(inventory)
    }
}

/// The files of an open version, together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl Size {
    /// Adds up what the log says.
    pub(super) fn of(table: &DeltaTable) -> Result<Self, StoreError> {
        let state = table.snapshot().map_err(failed("read", "journal"))?;
        let mut size = Self::default();
        for file in state.log_data().iter() {
            size.files += 1;
            size.bytes += u64::try_from(file.size()).unwrap_or(0);
            size.rows += file.num_records().and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0);
        }
        Ok(size)
    }
}

/// The version that is open.
pub(super) fn version_of(table: &DeltaTable) -> i64 {
    table.version().and_then(|version| i64::try_from(version).ok()).unwrap_or(0)
}

/// The files of the version that is open, as paths below the table's folder.
pub(super) fn files(table: &DeltaTable, name: &str) -> Result<BTreeSet<String>, StoreError> {
    let state = table.snapshot().map_err(failed("read", name))?;
    Ok(state.log_data().iter().map(|file| file.path().into_owned()).collect())
}

/// How many commits the log holds after its newest checkpoint. The creation of a table is none.
pub(super) fn since_checkpoint(location: &Location, name: &str, table: &DeltaTable) -> i64 {
    let log = location.table_folder(name).join("_delta_log");
    let names = fs::read_dir(log).into_iter().flatten().flatten();
    let versions = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (version, rest) = name.split_once(".checkpoint.")?;
        rest.ends_with("parquet").then(|| version.parse::<i64>().ok())?
    });
    let version = version_of(table);
    version - versions.filter(|found| *found <= version).max().unwrap_or(0)
}

fn committed_at(location: &Location, name: &str, table: &DeltaTable) -> Option<Timestamp> {
    let entry = format!("_delta_log/{:020}.json", version_of(table));
    let path = location.table_folder(name).join(entry);
    fs::metadata(path).ok()?.modified().ok()?.try_into().ok()
}
