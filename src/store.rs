//! The store: a folder (or bucket) of Delta Lake tables. Events, quarantine and receipts are rows
//! of one append-only table, `journal`; inventory lies beside it.
//!
//! Promises: a commit is all or nothing; what was acknowledged is on disk (data is fsynced before
//! the log that names it); importing the same records again changes nothing, also when two
//! processes do it at once; a crash at any point leaves nothing half-visible. Delta Lake is named
//! in this module alone.

mod append;
mod commit;
mod dedupe;
mod disk;
mod error;
mod events;
mod evidence;
mod heads;
mod inventory;
mod location;
mod maintain;
mod page;
mod pin;
mod polls;
mod read;
mod receipt;
mod recent;
mod scan;
mod settle;
mod status;
mod table;
mod verified;

pub use append::Appended;
pub use error::StoreError;
pub use events::Events;
pub use evidence::{Call, EventSelectors};
pub use inventory::Snapshot;
pub use location::Location;
pub use maintain::{Maintained, Maintenance, Step, Tended};
pub use page::{FileRead, Page, Quarantined};
pub use pin::Pin;
pub use polls::{Cursors, Proof};
pub use read::Tables;
pub use receipt::Receipt;
pub use status::{Status, TableStatus};
pub use verified::{Logged, StepRow, StoredRun, steps_table};

use std::collections::BTreeMap;

use deltalake::DeltaTable;

use crate::event::schema;

/// An open store.
#[derive(Debug)]
pub struct Store {
    location: Location,
    journal: DeltaTable,
    inventory: BTreeMap<&'static str, DeltaTable>,
    recent: recent::Recent,
}

impl Store {
    /// Opens the store, creating its tables where they are missing. Creation commits no data, so
    /// that two processes creating the same store at once agree on it.
    ///
    /// # Errors
    /// When the location cannot be written, or holds tables of another program or version.
    pub async fn create(location: Location) -> Result<Self, StoreError> {
        location.prepare()?;
        for name in std::iter::once("journal").chain(schema::SNAPSHOTS.iter().copied()) {
            table::create(&location, name).await?;
        }
        Self::open(location).await
    }

    /// Opens an existing store.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn open(location: Location) -> Result<Self, StoreError> {
        Self::open_at(location, &BTreeMap::new()).await
    }

    /// Opens an existing store at versions of its tables; those not named at their newest.
    ///
    /// # Errors
    /// When there is none, or a version cannot be read.
    pub async fn open_at(
        location: Location,
        versions: &BTreeMap<String, i64>,
    ) -> Result<Self, StoreError> {
        let version = |name: &str| versions.get(name).copied();
        let journal = table::open(&location, "journal", version("journal")).await?;
        let mut inventory = BTreeMap::new();
        for name in schema::SNAPSHOTS {
            // A store of an older version lacks the table; the next writer creates it.
            if schema::INVENTORY.contains(name) || table::exists(&location, name) {
                inventory.insert(*name, table::open(&location, name, version(name)).await?);
            }
        }
        Ok(Self { location, journal, inventory, recent: recent::Recent::default() })
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The version of each table as opened: what makes an assessment repeatable.
    pub fn version(&self) -> BTreeMap<String, i64> {
        let number = |table: &DeltaTable| {
            table.version().and_then(|version| i64::try_from(version).ok()).unwrap_or(0)
        };
        let mut versions = BTreeMap::from([("journal".to_owned(), number(&self.journal))]);
        for (name, table) in &self.inventory {
            versions.insert((*name).to_owned(), number(table));
        }
        versions
    }
}
