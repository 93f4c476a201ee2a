//! Maintenance: many small files of closed days become few, the log gets a checkpoint, and files
//! that no version needs any more go.
//!
//! Nothing is committed before the rewritten rows were read back and compared; nothing is removed
//! before every ledger's leaves gave the tree head of its newest receipt. A pinned version is never
//! passed. A run that ends at any point leaves a whole store, and the next one goes on.

mod compact;
mod sweep;
mod verify;

pub(super) use compact::mergeable;
pub(super) use verify::rows;

use deltalake::DeltaTable;
use jiff::{SignedDuration, Timestamp};

use super::commit;
use super::status::{Size, since_checkpoint, version_of};
use super::table::failed;
use super::{Location, Store, StoreError};

/// What maintenance may do.
#[derive(Debug, Clone, Copy)]
pub struct Maintenance {
    /// How long files stay that a compaction replaced: versions of that age can be read.
    pub keep: SignedDuration,
    /// How long files stay that no log entry names: writers may be about to commit them.
    pub orphans: SignedDuration,
    /// Whether what was collected today is compacted as well.
    pub today: bool,
    /// Whether to say only what would be done.
    pub dry_run: bool,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            keep: SignedDuration::from_hours(7 * 24),
            orphans: SignedDuration::from_hours(24),
            today: false,
            dry_run: false,
        }
    }
}

/// What was done to one table; in a dry run, what would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// The table.
    pub table: String,
    /// Its version before.
    pub version_before: i64,
    /// Its version now.
    pub version_after: i64,
    /// Files of the version before.
    pub files_before: u64,
    /// Files of the version now.
    pub files_after: u64,
    /// Their bytes before.
    pub bytes_before: u64,
    /// Their bytes now.
    pub bytes_after: u64,
    /// Small files that were put together.
    pub merged_files: u64,
    /// Commits that put them together.
    pub commits: i64,
    /// The version of the checkpoint that was written.
    pub checkpoint: Option<i64>,
    /// Files removed, no version kept needing them.
    pub removed_files: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// What maintenance did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Table by table, the journal first.
    pub tables: Vec<Tended>,
    /// Ledgers whose tree heads were computed anew; none in a dry run.
    pub ledgers: u64,
    /// Their events.
    pub events: u64,
}

/// How far maintenance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is being done.
    pub doing: &'static str,
    /// How much of it is done, in bytes or rows.
    pub done: u64,
    /// How much there is; 0 where that is not known.
    pub total: u64,
}

/// Hears of progress.
type Watch<'a> = &'a mut (dyn FnMut(Step) + Send);

impl Store {
    /// Compacts, verifies, writes checkpoints and removes what nobody needs; `now` decides which
    /// days are closed and what is old.
    ///
    /// # Errors
    /// When the disk refuses, rewritten rows differ, a ledger's tree head does not hold, or a pin
    /// cannot be read. Nothing was removed then, and every version can be read as before.
    pub async fn maintain(
        &mut self,
        job: &Maintenance,
        now: Timestamp,
        watch: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Maintained, StoreError> {
        let mut result = Maintained::default();
        let closed = if job.today { i64::MAX } else { midnight(now) };
        self.journal.update_state().await.map_err(failed("read", "journal"))?;
        let counted = version_of(&self.journal);
        let rows = if job.dry_run { None } else { Some(rows(&self.journal).await?) };
        let location = self.location.clone();
        for (name, table) in self.each() {
            table.update_state().await.map_err(failed("read", name))?;
            result.tables.push(tend(&location, (name, table), (job, closed), watch).await?);
        }
        if let (Some(before), Some(tended)) = (rows, result.tables.first()) {
            let now = verify::rows(&self.journal).await?;
            // Whatever came between counting and counting again but our own commits is of others.
            let alone = version_of(&self.journal) == counted + tended.commits;
            verify::counts(&before, &now, alone)?;
            (result.ledgers, result.events) = verify::heads(&self.journal, watch).await?;
        }
        for (tended, (name, table)) in result.tables.iter_mut().zip(self.each()) {
            if !job.dry_run && since_checkpoint(&location, name, table) > 0 {
                commit::checkpoint(table, name).await?;
                tended.checkpoint = Some(version_of(table));
            }
        }
        self.sweep(job, now, &mut result.tables).await?;
        Ok(result)
    }

    /// The tables, the journal first.
    fn each(&mut self) -> impl Iterator<Item = (&'static str, &mut DeltaTable)> {
        let inventory = self.inventory.iter_mut().map(|(name, table)| (*name, table));
        std::iter::once(("journal", &mut self.journal)).chain(inventory)
    }
}

/// Compacts one table.
async fn tend(
    location: &Location,
    (name, table): (&'static str, &mut DeltaTable),
    (job, closed): (&Maintenance, i64),
    watch: Watch<'_>,
) -> Result<Tended, StoreError> {
    let before = Size::of(table)?;
    let bins = compact::plan(table, name, closed)?;
    let mut tended = Tended {
        table: name.to_owned(),
        version_before: version_of(table),
        files_before: before.files,
        bytes_before: before.bytes,
        merged_files: bins.iter().map(compact::Bin::count).sum(),
        ..Tended::default()
    };
    if !job.dry_run {
        tended.commits = compact::run(location, (name, table), bins, watch).await?;
    }
    let after = Size::of(table)?;
    tended.version_after = version_of(table);
    (tended.files_after, tended.bytes_after) = (after.files, after.bytes);
    Ok(tended)
}

/// The midnight before, in UTC, as milliseconds.
fn midnight(now: Timestamp) -> i64 {
    const DAY: i64 = 86_400_000;
    now.as_millisecond().div_euclid(DAY) * DAY
}
