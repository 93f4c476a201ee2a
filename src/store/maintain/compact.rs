//! Small files of a day put together into few, sorted so that statistics and page indexes help.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{cast, col, lit};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use deltalake::DeltaTable;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{Action, Add, Remove};
use deltalake::protocol::DeltaOperation;
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use futures::TryStreamExt as _;
use url::Url;

use super::verify::Sum;
use super::{Step, Watch};
use crate::event::schema;
use crate::store::disk::sync;
use crate::store::status::files;
use crate::store::table::failed;
use crate::store::{Location, StoreError, commit};

/// How large a file may become, in bytes on disk.
const TARGET: u64 = 256 << 20;

/// Files of at least this size are left as they are.
const LARGE: u64 = TARGET / 2;

/// Input bytes after which what is rewritten is committed: a long run keeps what it did.
const COMMIT_AFTER: u64 = 2 << 30;

/// The memory that sorting may take before it spills to the disk.
const MEMORY: usize = 512 << 20;

/// Files that become one.
#[derive(Debug, Default)]
pub(super) struct Bin {
    partition: Option<String>,
    removes: Vec<Remove>,
    bytes: u64,
    rows: u64,
}

impl Bin {
    /// How many files are in it.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.removes.len()).unwrap_or(u64::MAX)
    }
}

/// How many files of a table maintenance would put together.
pub(in crate::store) fn mergeable(
    table: &DeltaTable,
    name: &str,
    closed: i64,
) -> Result<u64, StoreError> {
    Ok(plan(table, name, closed)?.iter().map(Bin::count).sum())
}

/// Groups the small files written before `closed` (milliseconds) by partition, each group no
/// larger than one file may be. Files that stand alone are left.
pub(super) fn plan(table: &DeltaTable, name: &str, closed: i64) -> Result<Vec<Bin>, StoreError> {
    let state = table.snapshot().map_err(failed("read", name))?;
    let mut partitions: BTreeMap<Option<String>, Vec<_>> = BTreeMap::new();
    for file in state.log_data().iter() {
        let size = u64::try_from(file.size()).unwrap_or(u64::MAX);
        let whole = file.deletion_vector_descriptor().is_none();
        if size < LARGE && file.modification_time() < closed && whole {
            let day = file.partition_values_map().remove("event_day").flatten();
            let rows = file.num_records().and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0);
            let entry = (file.modification_time(), file.remove_action(false), size, rows);
            partitions.entry(day).or_default().push(entry);
        }
    }
    let mut bins = Vec::new();
    for (partition, mut files) in partitions {
        files.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
        let new = || Bin { partition: partition.clone(), ..Bin::default() };
        let mut bin = new();
        for (_, remove, size, rows) in files {
            if bin.bytes + size > TARGET {
                bins.push(std::mem::replace(&mut bin, new()));
            }
            bin.removes.push(remove);
            bin.bytes += size;
            bin.rows += rows;
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.removes.len() > 1);
    Ok(bins)
}

/// Rewrites and commits bins, and gives how many commits that took; what was committed when something
/// fails, stays.
pub(super) async fn run(
    location: &Location,
    (name, table): (&'static str, &mut DeltaTable),
    bins: Vec<Bin>,
    watch: Watch<'_>,
) -> Result<i64, StoreError> {
    let total = bins.iter().map(|bin| bin.bytes).sum();
    let (mut done, mut pending, mut actions) = (0u64, 0u64, Vec::new());
    let mut commits = 0;
    for bin in bins {
        watch(Step { doing: "compacting", done, total });
        let adds = rewrite(location, (name, table), &bin, watch).await?;
        done += bin.bytes;
        pending += bin.bytes;
        actions.extend(adds.into_iter().map(Action::Add));
        actions.extend(bin.removes.into_iter().map(Action::Remove));
        if pending >= COMMIT_AFTER {
            commit(table, name, std::mem::take(&mut actions)).await?;
            (pending, commits) = (0, commits + 1);
        }
    }
    if !actions.is_empty() {
        commit(table, name, actions).await?;
        commits += 1;
    }
    Ok(commits)
}

async fn commit(
    table: &mut DeltaTable,
    name: &str,
    actions: Vec<Action>,
) -> Result<(), StoreError> {
    let operation = DeltaOperation::Optimize {
        predicate: None,
        target_size: i64::try_from(TARGET).unwrap_or(i64::MAX),
    };
    // Another maintenance may have been faster, and seen before this commit is: then the rows that
    // were rewritten are there already.
    let present = files(table, name)?;
    let gone = |action: &Action| match action {
        Action::Remove(file) => !present.contains(&file.path),
        _ => false,
    };
    if actions.iter().any(gone) {
        return Err(StoreError::Busy { attempts: 1 });
    }
    let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
    match commit::apply(table, name, actions, (operation, properties)).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Busy { attempts: 1 }),
    }
}

/// Writes the rows of a bin anew, reads them back, and compares.
async fn rewrite(
    location: &Location,
    (name, table): (&'static str, &DeltaTable),
    bin: &Bin,
    watch: Watch<'_>,
) -> Result<Vec<Add>, StoreError> {
    let folder = location.table_folder(name);
    let rows = usize::try_from(bin.rows).unwrap_or(usize::MAX);
    let mut writer = RecordBatchWriter::for_table(table)
        .map_err(failed("write", name))?
        .with_writer_properties(commit::properties(name, rows));
    let paths: Vec<PathBuf> = bin.removes.iter().map(|file| folder.join(&file.path)).collect();
    let mut sorted = Rows::open(name, &paths, (bin.partition.as_deref(), true)).await?;
    let mut before = Sum::default();
    while let Some(batch) = sorted.next().await? {
        before.add(&batch)?;
        writer.write(batch).await.map_err(failed("write", name))?;
        watch(Step { doing: "compacting", done: before.rows(), total: 0 });
    }
    let mut adds = writer.flush().await.map_err(failed("write", name))?;
    let written: Vec<PathBuf> = adds.iter().map(|add| folder.join(&add.path)).collect();
    for path in &written {
        sync(path)?;
        path.parent().map_or(Ok(()), sync)?;
    }
    let mut after = Sum::default();
    let mut stored = Rows::open(name, &written, (bin.partition.as_deref(), false)).await?;
    while let Some(batch) = stored.next().await? {
        after.add(&batch)?;
    }
    if before != after || (bin.rows > 0 && before.rows() != bin.rows) {
        return Err(StoreError::Rewrite {
            table: name.to_owned(),
            detail: format!("{} rows became {}", bin.rows, after.rows()),
        });
    }
    for add in &mut adds {
        add.data_change = false;
    }
    Ok(adds)
}

/// The rows of data files, as the table has them.
struct Rows {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
}

impl Rows {
    /// Opens files of one partition, sorted if asked for.
    async fn open(
        name: &str,
        paths: &[PathBuf],
        (partition, sorted): (Option<&str>, bool),
    ) -> Result<Self, StoreError> {
        let unknown = || StoreError::Location {
            location: name.to_owned(),
            detail: "there is no such table".to_owned(),
        };
        let schema = schema::table(name).ok_or_else(unknown)?;
        let stored = schema.fields().iter().filter(|field| field.name() != "event_day").cloned();
        let stored = Schema::new(stored.collect::<Vec<_>>());
        let urls: Vec<String> = paths.iter().map(|path| address(path)).collect::<Result<_, _>>()?;
        let options = ParquetReadOptions::default().schema(&stored);
        let mut frame = bounded()?.read_parquet(urls, options).await?;
        if let Some(day) = partition {
            frame = frame.with_column("event_day", cast(lit(day), DataType::Date32))?;
        }
        let columns: Vec<_> = schema.fields().iter().map(|field| col(field.name())).collect();
        frame = frame.select(columns)?;
        if sorted {
            frame =
                frame.sort(order(name).iter().map(|key| col(*key).sort(true, true)).collect())?;
        }
        Ok(Self { schema, stream: frame.execute_stream().await? })
    }

    /// The next rows, in the types of the table.
    async fn next(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        let Some(batch) = self.stream.try_next().await? else { return Ok(None) };
        let fields = self.schema.fields().iter();
        let columns: Result<Vec<_>, _> = fields
            .zip(batch.columns())
            .map(|(field, column)| cast_array(column, field.data_type()))
            .collect();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns?)?))
    }
}

/// How rows are sorted: receipts and quarantine behind the events, these by time.
fn order(name: &str) -> &'static [&'static str] {
    match name {
        "journal" => &["kind", "time", "ledger", "leaf_index", "event_id"],
        _ => &["captured_at", "snapshot_id", "inventory_ref"],
    }
}

fn address(path: &Path) -> Result<String, StoreError> {
    Url::from_file_path(path).map(Into::into).map_err(|()| StoreError::Location {
        location: path.display().to_string(),
        detail: "it is no absolute path".to_owned(),
    })
}

/// A session that spills to the disk rather than fill the memory.
pub(super) fn bounded() -> Result<SessionContext, StoreError> {
    let pool = Arc::new(FairSpillPool::new(MEMORY));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false);
    Ok(SessionContext::new_with_config_rt(config, runtime))
}
