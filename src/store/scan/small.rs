//! Reading many small files.
//!
//! The engine's own reader of Parquet fits schema, columns and predicate to each file anew, and
//! fetches each stretch of bytes in a task of its own. That pays for large files; one of two
//! thousand rows takes longer to open than to read. Here what is the same for all files is done
//! once, and what is wanted of a file is read with a call or two.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::{Buf as _, Bytes};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::reader::{ChunkReader, Length};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream::try_unfold;

/// Stretches of a file that are closer than that are read with one call.
const CLOSE: u64 = 64 << 10;

/// After so many rows it is known whether looking for those that match is worth it.
const TRIED: usize = 8192;

/// A file, and what its footer says.
#[derive(Debug, Clone)]
pub(super) struct SmallFile {
    pub(super) path: PathBuf,
    pub(super) footer: ArrowReaderMetadata,
}

/// Rows of small files that all have the same columns. The predicate may let rows through that do
/// not match.
#[derive(Debug)]
pub(super) struct SmallFiles {
    groups: Vec<Arc<[SmallFile]>>,
    wanted: Wanted,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

/// What is read of each file.
#[derive(Debug, Clone)]
struct Wanted {
    /// What is handed on.
    schema: SchemaRef,
    /// Where its columns stand in a file.
    columns: Vec<usize>,
    predicate: Option<Predicate>,
}

#[derive(Debug, Clone)]
struct Predicate {
    /// Over the columns below alone.
    expr: Arc<dyn PhysicalExpr>,
    /// Where its columns stand in a file.
    columns: Vec<usize>,
}

impl Predicate {
    fn new(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(&expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        let expr = reassign_expr_columns(expr, &schema.project(&columns)?)?;
        Ok(Self { expr, columns })
    }

    fn matching(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = self.expr.evaluate(batch)?.into_array(batch.num_rows())?;
        let told = values.as_boolean_opt().cloned();
        told.ok_or_else(|| DataFusionError::Internal("a predicate is no truth value".to_owned()))
    }
}

impl SmallFiles {
    /// Reads `projection` of groups of files that have the columns of `schema`.
    pub(super) fn new(
        groups: Vec<Vec<SmallFile>>,
        schema: &Schema,
        projection: Option<&Vec<usize>>,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let all = || (0..schema.fields().len()).collect();
        let columns = projection.cloned().unwrap_or_else(all);
        let predicate = predicate.map(|expr| Predicate::new(expr, schema)).transpose()?;
        let schema = Arc::new(schema.project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            groups: groups.into_iter().map(Into::into).collect(),
            wanted: Wanted { schema, columns, predicate },
            limit: None,
            properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)),
        })
    }

    /// Reads no more files once a group has given so many rows.
    pub(super) fn with_limit(self, limit: Option<usize>) -> Self {
        Self { limit, ..self }
    }
}

impl DisplayAs for SmallFiles {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.groups.iter().map(|group| group.len()).sum();
        write!(f, "SmallFiles: {files} files in {} groups", self.groups.len())?;
        self.wanted.predicate.iter().try_for_each(|own| write!(f, ", predicate={}", own.expr))
    }
}

impl ExecutionPlan for SmallFiles {
    fn name(&self) -> &'static str {
        "SmallFiles"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let own = self.wanted.predicate.as_ref().map(|predicate| f(&predicate.expr));
        own.unwrap_or(Ok(TreeNodeRecursion::Continue))
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size();
        let schema = Arc::clone(&self.wanted.schema);
        let reading = Reading {
            files: self.groups.get(partition).cloned().unwrap_or_else(|| [].into()),
            next: 0,
            wanted: self.wanted.clone(),
            rows: None,
            batch_size: rows,
            joined: BatchCoalescer::new(Arc::clone(&schema), rows)
                .with_biggest_coalesce_batch_size(Some(rows / 2)),
            tally: Tally { left: self.limit.unwrap_or(usize::MAX), ..Tally::default() },
        };
        let batches = try_unfold(reading, |mut reading| async move {
            Ok(reading.batch().await?.map(|batch| (batch, reading)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// One group being read.
struct Reading {
    files: Arc<[SmallFile]>,
    /// The file that is read next.
    next: usize,
    wanted: Wanted,
    /// What is left of the file that is being read.
    rows: Option<ParquetRecordBatchReader>,
    batch_size: usize,
    /// Rows of several files. A file of which few match gives a batch that holds room for
    /// thousands; many of them would be taken for more memory than there is.
    joined: BatchCoalescer,
    tally: Tally,
}

/// What came of the files so far.
#[derive(Default)]
struct Tally {
    /// Rows that were looked at for a match.
    tried: usize,
    /// Those of them that matched.
    matched: usize,
    /// Rows that are still wanted.
    left: usize,
}

impl Tally {
    /// Whether the predicate keeps little enough. Where nearly every row matches, looking for them
    /// first costs more than it saves.
    fn pays(&self) -> bool {
        self.tried < TRIED || self.matched < self.tried - self.tried / 4
    }
}

impl Reading {
    /// The next rows; `None` at the end.
    async fn batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            // Whoever waits for this thread, or wants the query stopped, gets a turn.
            tokio::task::consume_budget().await;
            if let Some(batch) = self.joined.next_completed_batch() {
                return Ok(Some(batch));
            }
            if let Some(batch) = self.read().transpose()? {
                let batch = self.told(&batch)?;
                if self.wanted.columns.is_empty() {
                    return Ok(Some(batch));
                }
                self.joined.push_batch(batch)?;
                continue;
            }
            let file = self.files.get(self.next).filter(|_| self.tally.left > 0).cloned();
            let Some(file) = file else {
                self.joined.finish_buffered_batch()?;
                return Ok(self.joined.next_completed_batch());
            };
            self.rows = Some(self.open(&file).map_err(|error| of_file(&file, error))?);
            self.next += 1;
        }
    }

    /// The next rows of the file that was opened last.
    fn read(&mut self) -> Option<Result<RecordBatch>> {
        let opened = self.next.checked_sub(1).and_then(|at| self.files.get(at));
        let batch = self.rows.as_mut()?.next()?;
        Some(batch.map_err(|error| match opened {
            Some(file) => of_file(file, error.into()),
            None => error.into(),
        }))
    }

    /// A batch as it is handed on: columns in the order that is wanted.
    fn told(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        self.tally.matched += rows;
        self.tally.left = self.tally.left.saturating_sub(rows);
        // A file's columns come in the order of the file.
        let mut order = self.wanted.columns.clone();
        order.sort_unstable();
        order.dedup();
        let place = |column: &usize| order.partition_point(|other| other < column);
        let places: Vec<usize> = self.wanted.columns.iter().map(place).collect();
        let (_, columns, _) = batch.project(&places)?.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.wanted.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn open(&mut self, file: &SmallFile) -> Result<ParquetRecordBatchReader> {
        let schema = file.footer.parquet_schema();
        let mask = |columns: &[usize]| ProjectionMask::roots(schema, columns.iter().copied());
        let handed_on = mask(&self.wanted.columns);
        let predicate = self.wanted.predicate.clone().filter(|_| self.tally.pays());
        let mut read = handed_on.clone();
        let filter = predicate.map(|predicate| {
            let columns = mask(&predicate.columns);
            read.union(&columns);
            ArrowPredicateFn::new(columns, move |batch| {
                predicate
                    .matching(&batch)
                    .map_err(|error| ArrowError::from_external_error(Box::new(error)))
            })
        });
        let held = Held::read(file, &read)?;
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(held, file.footer.clone())
                .with_batch_size(self.batch_size)
                .with_projection(handed_on);
        let rows = file.footer.metadata().file_metadata().num_rows();
        self.tally.tried += usize::try_from(rows).unwrap_or(0);
        if let Some(filter) = filter {
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(filter)]));
        }
        Ok(builder.build()?)
    }
}

fn of_file(file: &SmallFile, error: DataFusionError) -> DataFusionError {
    error.context(format!("cannot read {}", file.path.display()))
}

/// The stretches of a file that are wanted.
struct Held {
    length: u64,
    /// Where each begins, and its bytes; in order.
    parts: Vec<(u64, Bytes)>,
}

impl Held {
    fn read(file: &SmallFile, columns: &ProjectionMask) -> io::Result<Self> {
        let groups = file.footer.metadata().row_groups().iter();
        let chunks = groups.flat_map(|group| group.columns().iter().enumerate());
        let mut ranges: Vec<(u64, u64)> = chunks
            .filter(|(leaf, _)| columns.leaf_included(*leaf))
            .map(|(_, chunk)| chunk.byte_range())
            .collect();
        ranges.sort_unstable();
        let opened = File::open(&file.path)?;
        let length = opened.metadata()?.len();
        let mut parts: Vec<(u64, u64)> = Vec::new();
        for (start, size) in ranges {
            let end = start.saturating_add(size);
            if end > length {
                let cut = format!("it has {length} bytes, and its footer tells of {end}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
            }
            match parts.last_mut() {
                Some((_, last)) if start <= last.saturating_add(CLOSE) => *last = end.max(*last),
                _ => parts.push((start, end)),
            }
        }
        let read = |(start, end): (u64, u64)| {
            let size = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
            let mut bytes = vec![0; size];
            opened.read_exact_at(&mut bytes, start)?;
            Ok((start, Bytes::from(bytes)))
        };
        Ok(Self { length, parts: parts.into_iter().map(read).collect::<io::Result<_>>()? })
    }

    /// What is held from `start` on.
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let after = self.parts.partition_point(|(first, _)| *first <= start);
        let held = after.checked_sub(1).and_then(|at| {
            let (first, bytes) = self.parts.get(at)?;
            let skip = usize::try_from(start - first).ok()?;
            (skip <= bytes.len()).then(|| bytes.slice(skip..))
        });
        held.ok_or_else(|| ParquetError::EOF(format!("nothing was read at byte {start}")))
    }
}

impl Length for Held {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Held {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes were wanted at byte {start}")));
        }
        Ok(bytes.slice(..length))
    }
}

#[cfg(test)]
mod tests;
