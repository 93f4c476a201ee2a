//! What the footers of files say of their row groups: of every column the least and the greatest
//! value, and how often it is null. Delta's log says it of a few columns only, and not of their
//! nulls in a way that rules out a file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningStatistics};
use futures::future::try_join_all;
use object_store::{ObjectMeta, ObjectStore};

/// Into how many parts the reading of footers is cut: each is a task of its own.
const PARTS: usize = 4;

/// The footers of files, in their order.
#[derive(Debug)]
pub(super) struct Footers {
    schema: SchemaRef,
    files: Vec<ArrowReaderMetadata>,
    /// Whether all files have the columns of the table, and no others.
    alike: bool,
}

impl Footers {
    /// Reads them, and leaves them in the cache for whoever reads the files.
    pub(super) async fn read(
        schema: SchemaRef,
        files: Vec<ObjectMeta>,
        store: &Arc<dyn ObjectStore>,
        cache: &Arc<FileMetadataCache>,
    ) -> Result<Self> {
        let parts = files.chunks(files.len().div_ceil(PARTS).max(1)).map(|part| {
            let (part, store, cache) = (part.to_vec(), Arc::clone(store), Arc::clone(cache));
            let schema = Arc::clone(&schema);
            tokio::spawn(async move {
                let mut read = Vec::with_capacity(part.len());
                for file in &part {
                    let footer = DFParquetMetadata::new(&*store, file)
                        .with_file_metadata_cache(Some(Arc::clone(&cache)))
                        .with_page_index_policy(Some(PageIndexPolicy::Skip));
                    let footer = footer.fetch_metadata().await?;
                    read.push(told(footer, &schema)?);
                }
                Ok::<_, DataFusionError>(read)
            })
        });
        let mut files = Vec::with_capacity(files.len());
        for part in
            try_join_all(parts).await.map_err(|error| DataFusionError::External(Box::new(error)))?
        {
            files.extend(part?);
        }
        let alike = files.iter().all(|file| file.schema().fields() == schema.fields());
        Ok(Self { schema, files, alike })
    }

    /// The footers as they are read with the table's own types, where all files have the table's
    /// columns and no others.
    pub(super) fn alike(&self) -> Option<&[ArrowReaderMetadata]> {
        self.alike.then_some(&self.files)
    }

    /// Which files may hold rows that match; `None` where that cannot be told.
    pub(super) fn matching(&self, predicate: &PruningPredicate) -> Option<Vec<bool>> {
        let groups = predicate.prune(self).ok()?;
        let mut groups = groups.into_iter();
        let mut any = |file: &ArrowReaderMetadata| {
            let count = file.metadata().num_row_groups();
            groups.by_ref().take(count).fold(false, |any, group| any | group)
        };
        Some(self.files.iter().map(&mut any).collect())
    }

    fn all(&self) -> impl Iterator<Item = &ParquetMetaData> {
        self.files.iter().map(|file| &**file.metadata())
    }

    /// A statistic of a column, for every row group of every file.
    fn each(
        &self,
        column: &Column,
        read: impl Fn(&StatisticsConverter<'_>, &ParquetMetaData) -> Option<ArrayRef>,
    ) -> Option<ArrayRef> {
        let mut arrays = Vec::with_capacity(self.files.len());
        for file in self.all() {
            let columns = file.file_metadata().schema_descr();
            let converter = StatisticsConverter::try_new(&column.name, &self.schema, columns);
            arrays.push(read(&converter.ok()?, file)?);
        }
        let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
        arrow::compute::concat(&arrays).ok()
    }
}

/// A footer as it is read with the types of `schema`; with its own where it has other columns.
fn told(footer: Arc<ParquetMetaData>, schema: &SchemaRef) -> Result<ArrowReaderMetadata> {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(schema));
    let fitted = ArrowReaderMetadata::try_new(Arc::clone(&footer), options);
    let own = |_| ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new());
    Ok(fitted.or_else(own)?)
}

impl PruningStatistics for Footers {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.each(column, |converter, file| converter.row_group_mins(file.row_groups()).ok())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.each(column, |converter, file| converter.row_group_maxes(file.row_groups()).ok())
    }

    fn num_containers(&self) -> usize {
        self.all().map(ParquetMetaData::num_row_groups).sum()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.each(column, |converter, file| {
            let counts: UInt64Array = converter.row_group_null_counts(file.row_groups()).ok()?;
            Some(Arc::new(counts))
        })
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let groups = self.all().flat_map(ParquetMetaData::row_groups);
        let counts = groups.map(|group| u64::try_from(group.num_rows()).ok());
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
