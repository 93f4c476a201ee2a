//! Writing and committing rows. On a local disk data files are synced before the log entry that
//! names them, and the entry before the commit is acknowledged; the Delta library does neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableError};

use super::table::failed;
use super::{Location, Store, StoreError};
use crate::event::batch::{JournalRow, journal_batch};

/// Rows in one group of a file.
const ROW_GROUP: usize = 128 * 1024;

/// Commits rows to the journal against the snapshot that is open. One transaction stands for each
/// ledger, its version the ledger's size. `None` where another writer was faster.
pub(super) async fn journal(
    store: &mut Store,
    rows: &[&JournalRow],
    sizes: &BTreeMap<String, i64>,
) -> Result<Option<i64>, StoreError> {
    let batch = journal_batch(rows)?;
    let adds = write(&store.location, &store.journal, "journal", batch).await?;
    let transactions = sizes.iter().map(|(ledger, size)| Transaction::new(ledger, *size)).collect();
    let properties = CommitProperties::default()
        .with_application_transactions(transactions)
        .with_cleanup_expired_logs(Some(false));
    commit(&store.location, &mut store.journal, "journal", adds, properties).await
}

/// Commits rows of inventory; they become visible with the journal's receipt alone.
pub(super) async fn inventory(
    location: &Location,
    table: &mut DeltaTable,
    name: &str,
    batch: RecordBatch,
) -> Result<(), StoreError> {
    let adds = write(location, table, name, batch).await?;
    let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
    commit(location, table, name, adds, properties).await.map(|_| ())
}

async fn write(
    location: &Location,
    table: &DeltaTable,
    name: &str,
    batch: RecordBatch,
) -> Result<Vec<Add>, StoreError> {
    let mut writer = RecordBatchWriter::for_table(table)
        .map_err(failed("write", name))?
        .with_writer_properties(properties(batch.num_rows()));
    writer.write(batch).await.map_err(failed("write", name))?;
    let adds = writer.flush().await.map_err(failed("write", name))?;
    let folder = location.table_folder(name);
    let mut folders = BTreeSet::from([folder.clone()]);
    for add in &adds {
        let path = folder.join(&add.path);
        sync(&path)?;
        folders.extend(path.parent().map(Path::to_owned));
    }
    for folder in &folders {
        sync(folder)?;
    }
    Ok(adds)
}

/// The properties of every file: what is filtered by has a Bloom filter, sized to the rows; what
/// is unique has no dictionary.
fn properties(rows: usize) -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP));
    let distinct = u64::try_from(rows.min(ROW_GROUP)).unwrap_or(1).max(64);
    for column in ["event_id", "key_id"] {
        let path = ColumnPath::from(column);
        builder = builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_max_ndv(path, distinct);
    }
    for column in ["event_id", "request_id", "raw", "leaf_hash"] {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    builder.build()
}

async fn commit(
    location: &Location,
    table: &mut DeltaTable,
    name: &str,
    adds: Vec<Add>,
    properties: CommitProperties,
) -> Result<Option<i64>, StoreError> {
    let snapshot = table.snapshot().map_err(failed("write", name))?.clone();
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let outcome = CommitBuilder::from(properties)
        .with_actions(adds.into_iter().map(Action::Add).collect())
        .build(Some(&snapshot), table.log_store(), operation)
        .await;
    let version = match outcome {
        Ok(done) => i64::try_from(done.version()).unwrap_or(0),
        Err(DeltaTableError::Transaction { source: TransactionError::CommitConflict(_) }) => {
            return Ok(None);
        }
        Err(error) => return Err(failed("write", name)(error)),
    };
    sync_log(location, name, version)?;
    table.update_state().await.map_err(failed("read", name))?;
    Ok(Some(version))
}

/// Syncs a log entry and the folder that names it.
pub(super) fn sync_log(location: &Location, name: &str, version: i64) -> Result<(), StoreError> {
    let log = location.table_folder(name).join("_delta_log");
    sync(&log.join(format!("{version:020}.json")))?;
    sync(&log)
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| StoreError::Disk {
        action: "sync",
        path: path.display().to_string(),
        source,
    })
}
