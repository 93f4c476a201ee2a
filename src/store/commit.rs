//! Writing and committing rows. Data files are synced before the log entry that names them; the
//! entry is durable before it is visible (see `disk`). The Delta library does neither by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, PrimitiveType, Transaction};
use deltalake::parquet::basic::{Compression, Encoding, ZstdLevel};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter, WriteMode};
use deltalake::{DeltaTable, DeltaTableError};

use super::disk::sync;
use super::settle::Days;
use super::table::failed;
use super::{Location, Store, StoreError};

/// A checkpoint is written after so many commits.
pub(super) const CHECKPOINT_EVERY: i64 = 100;

/// Rows in one group of a file.
pub(super) const ROW_GROUP: usize = 128 * 1024;

/// Columns with a Bloom filter: single values of them are looked for.
pub(super) const LOOKED_UP: &[&str] = &["event_id", "key_id"];

/// Columns of the journal that are worth compressing. In the others nearly every value stands in a
/// dictionary of few or is random: they hardly get smaller, and each column of each file would need
/// a compressor, and whoever reads it a decompressor, of its own.
const COMPRESSED: &[&str] = &[
    "conflicts_with",
    "details",
    "error_message",
    "event_id",
    "key_id",
    "place",
    "request_id",
    "session_id",
    "source",
    "source_ip",
    "target",
    "user_agent",
];

/// Numbers that grow from row to row: the steps are written.
const ASCENDING: &[&str] = &["leaf_index", "time"];

/// Columns that nobody looks for a range of: their smallest and largest values are not looked for.
const UNSORTED: &[&str] = &[
    "details",
    "error_message",
    "leaf_hash",
    "place",
    "raw",
    "request_id",
    "session_id",
    "user_agent",
];

/// Commits rows to the journal against the snapshot that is open. One transaction stands for each
/// ledger, its version the ledger's size. `None` where another writer was faster.
pub(super) async fn journal(
    store: &mut Store,
    days: Days,
    sizes: &BTreeMap<String, i64>,
) -> Result<Option<i64>, StoreError> {
    // Day by day: a writer of many partitions at once would hold buffers for each, and size their
    // Bloom filters for all.
    let mut adds = Vec::new();
    for (day, batches) in days.into_batches() {
        adds.extend(write(&store.location, &store.journal, ("journal", Some(day)), batches).await?);
    }
    let transactions = sizes.iter().map(|(ledger, size)| Transaction::new(ledger, *size)).collect();
    let properties = CommitProperties::default()
        .with_application_transactions(transactions)
        .with_cleanup_expired_logs(Some(false));
    commit(&mut store.journal, "journal", adds, properties).await
}

/// Commits rows of inventory; they become visible with the journal's receipt alone.
pub(super) async fn inventory(
    location: &Location,
    table: &mut DeltaTable,
    name: &str,
    batch: RecordBatch,
) -> Result<(), StoreError> {
    let adds = write(location, table, (name, None), vec![batch]).await?;
    let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
    // Appends without a transaction conflict with nothing but a change of the table itself.
    match commit(table, name, adds, properties).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Busy { attempts: 1 }),
    }
}

/// Writes batches, all of one day where the table has days, and syncs them.
async fn write(
    location: &Location,
    table: &DeltaTable,
    (name, day): (&str, Option<i32>),
    batches: Vec<RecordBatch>,
) -> Result<Vec<Add>, StoreError> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut writer = RecordBatchWriter::for_table(table)
        .map_err(failed("write", name))?
        .with_writer_properties(properties(name, rows));
    for batch in batches {
        write_batch(&mut writer, batch, day).await.map_err(failed("write", name))?;
    }
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

/// Writes one batch. The day of its rows is known: they need not be sorted out by it.
async fn write_batch(
    writer: &mut RecordBatchWriter,
    batch: RecordBatch,
    day: Option<i32>,
) -> Result<(), DeltaTableError> {
    let Some(day) = day else { return writer.write(batch).await };
    let date = jiff::Timestamp::from_second(i64::from(day) * 86_400)
        .map_err(|error| DeltaTableError::generic(error.to_string()))?;
    let text = date.strftime("%Y-%m-%d").to_string();
    let value = PrimitiveType::Date.parse_scalar(&text)?;
    let values = std::iter::once(("event_day".to_owned(), value)).collect();
    writer.write_partition(batch, &values, WriteMode::Default).await.map(drop)
}

/// The properties of a table's files: what is filtered by has a Bloom filter, sized to the rows;
/// what is unique has no dictionary.
pub(super) fn properties(table: &str, rows: usize) -> WriterProperties {
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default());
    let mut builder = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP));
    if table == "journal" {
        for column in COMPRESSED {
            builder = builder.set_column_compression(ColumnPath::from(*column), zstd(3));
        }
        for column in ASCENDING {
            let column = ColumnPath::from(*column);
            builder = builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    } else {
        builder = builder.set_compression(zstd(3));
    }
    let distinct = u64::try_from(rows.min(ROW_GROUP)).unwrap_or(1).max(64);
    for column in LOOKED_UP {
        let path = ColumnPath::from(*column);
        builder = builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_max_ndv(path, distinct);
    }
    for column in ["event_id", "request_id", "raw", "leaf_hash"] {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    // Most bytes are those of records: the fast level takes a third less time, and less room too.
    builder = builder.set_column_compression(ColumnPath::from("raw"), zstd(1));
    for column in UNSORTED {
        let (path, none) = (ColumnPath::from(*column), EnabledStatistics::None);
        builder = builder.set_column_statistics_enabled(path, none);
    }
    builder.build()
}

/// Commits files that were added; `None` where another writer was faster.
async fn commit(
    table: &mut DeltaTable,
    name: &str,
    adds: Vec<Add>,
    properties: CommitProperties,
) -> Result<Option<i64>, StoreError> {
    let actions = adds.into_iter().map(Action::Add).collect();
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    apply(table, name, actions, (operation, properties)).await
}

/// Commits actions against the snapshot that is open; `None` where another writer was faster.
pub(super) async fn apply(
    table: &mut DeltaTable,
    name: &str,
    actions: Vec<Action>,
    (operation, properties): (DeltaOperation, CommitProperties),
) -> Result<Option<i64>, StoreError> {
    use TransactionError::{CommitConflict, MaxCommitAttempts};
    let snapshot = table.snapshot().map_err(failed("write", name))?.clone();
    // A checkpoint is made below: where it fails, the commit stands all the same.
    let outcome = CommitBuilder::from(properties.with_create_checkpoint(false))
        .with_actions(actions)
        .build(Some(&snapshot), table.log_store(), operation)
        .await;
    let version = match outcome {
        Ok(done) => i64::try_from(done.version()).unwrap_or(0),
        Err(DeltaTableError::Transaction { source: CommitConflict(_) | MaxCommitAttempts(_) }) => {
            return Ok(None);
        }
        Err(error) => return Err(failed("write", name)(error)),
    };
    table.update_state().await.map_err(failed("read", name))?;
    // A checkpoint only shortens opening; the next one makes up for one that fails.
    if (version + 1) % CHECKPOINT_EVERY == 0 && checkpoint(table, name).await.is_ok() {
        reopen(table).await;
    }
    Ok(Some(version))
}

/// Reads the list of files anew. In memory it has a part for each commit that came since it was
/// read, and every commit and every query goes through all parts.
async fn reopen(table: &mut DeltaTable) {
    let mut fresh = DeltaTable::new(table.log_store());
    // Where that fails, what is there still holds.
    if fresh.load().await.is_ok() {
        *table = fresh;
    }
}

/// Writes what the log adds up to beside it, so that opening need not read all of it.
pub(super) async fn checkpoint(table: &DeltaTable, name: &str) -> Result<(), StoreError> {
    create_checkpoint(table, None).await.map_err(failed("write", name))
}

/// Makes lasting that what is visible now is there: another writer may have been killed after it
/// showed a log entry and before it synced the folder. Called where "known already" is the answer.
pub(super) fn settle(location: &Location) -> Result<(), StoreError> {
    Ok(sync(&location.table_folder("journal").join("_delta_log"))?)
}
