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

    /// Which files may hold rows that match; `None` where that cannot be told. A column's statistics
    /// are found by its place, so that they are believed only where all files have the same columns.
    pub(super) fn matching(&self, predicate: &PruningPredicate) -> Option<Vec<bool>> {
        if !self.alike {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use datafusion::common::DFSchema;
    use datafusion::execution::cache::default_cache::DefaultCache;
    use datafusion::logical_expr::{col, lit};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
    use datafusion::prelude::SessionContext;
    use object_store::local::LocalFileSystem;
    use object_store::{ObjectStoreExt as _, path::Path};

    use super::*;

    /// A file with a row of named numbers.
    fn write(folder: &std::path::Path, name: &str, numbers: &[(&str, i64)]) -> SchemaRef {
        let columns = numbers.iter().map(|(name, number)| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![*number]));
            (*name, column)
        });
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = std::fs::File::create(folder.join(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        batch.schema()
    }

    async fn footers(folder: &std::path::Path, names: &[&str], schema: &SchemaRef) -> Footers {
        let store: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
        let mut files = Vec::new();
        for name in names {
            files.push(store.head(&Path::from(*name)).await.unwrap());
        }
        let cache: Arc<FileMetadataCache> = Arc::new(DefaultCache::new(1 << 20));
        Footers::read(Arc::clone(schema), files, &store, &cache).await.unwrap()
    }

    #[tokio::test]
    async fn files_are_ruled_out_only_where_all_have_the_same_columns() {
        let folder = tempfile::tempdir().unwrap();
        let schema = write(folder.path(), "one", &[("a", 1), ("b", 9)]);
        write(folder.path(), "two", &[("a", 2), ("b", 9)]);
        write(folder.path(), "other", &[("b", 2), ("a", 1)]);
        let columns = DFSchema::try_from(Arc::clone(&schema)).unwrap();
        let predicate =
            SessionContext::new().create_physical_expr(col("a").eq(lit(1i64)), &columns).unwrap();
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&schema))
            .try_build(predicate)
            .unwrap();
        let alike = footers(folder.path(), &["one", "two"], &schema).await;
        assert_eq!(alike.matching(&predicate), Some(vec![true, false]));
        assert!(alike.alike().is_some());
        let mixed = footers(folder.path(), &["one", "other"], &schema).await;
        assert!(mixed.matching(&predicate).is_none() && mixed.alike().is_none());
    }
}
