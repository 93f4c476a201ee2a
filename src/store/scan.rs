//! Reading a table's Parquet files as what they are.
//!
//! Delta Lake's own scan reads the table's log again for every query and passes each batch through
//! the transforms that any table may need: with many small files that is most of the time. The
//! store's tables need none of them. Their files are listed once; each query looks at their statistics, and
//! reads columns and rows that it needs, in as many threads as the engine has.

mod footers;
mod log;
mod small;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::ExecutionPlan;
#[expect(deprecated, reason = "the engine has no other step of its own that does it")]
use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
use datafusion::physical_plan::union::UnionExec;
use deltalake::DeltaTable;
use futures::lock::Mutex;
use object_store::ObjectMeta;

use self::footers::Footers;
use self::log::Bounds;
use self::small::{SmallFile, SmallFiles};
use super::StoreError;
use super::commit::LOOKED_UP;
use super::table::failed;

/// Memory for footers, in bytes: they are read once.
const FOOTERS: usize = 256 << 20;

/// So many files are opened without a look at the footers of all.
const FEW: usize = 32;

/// Files of fewer bytes are small.
const SMALL: u64 = 4 << 20;

/// Of more files than that, footers are not looked at together: they would not fit.
const MOST_FOOTERS: usize = 4096;

/// The files of a table's version.
pub(super) struct Files {
    table: DeltaTable,
    /// What stands in the files: the table's columns without those that it is partitioned by.
    schema: SchemaRef,
    /// In the order of the log's statistics.
    listed: Vec<PartitionedFile>,
    cache: Arc<FileMetadataCache>,
    footers: Mutex<Option<Arc<Footers>>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.listed.len())
    }
}

impl Files {
    /// Lists the files; `None` where only Delta Lake's own scan knows how to read them.
    pub(super) fn list(
        table: &DeltaTable,
        name: &str,
        schema: &Schema,
    ) -> Result<Option<Self>, StoreError> {
        let state = table.snapshot().map_err(failed("read", name))?;
        // From version 2 on, a file's columns may have other names, and some of its rows be gone.
        if state.protocol().min_reader_version() > 1 {
            return Ok(None);
        }
        let mut files = Vec::new();
        for file in state.log_data().iter() {
            let meta = ObjectMeta::try_from(&file).map_err(failed("read", name))?;
            files.push(PartitionedFile::new_from_meta(meta));
        }
        let partitions = state.metadata().partition_columns();
        let stored = schema.fields().iter().filter(|field| !partitions.contains(field.name()));
        let schema = Arc::new(Schema::new(stored.map(|field| plain(field)).collect::<Vec<_>>()));
        let cache = Arc::new(DefaultCache::new(FOOTERS));
        let table = table.clone();
        Ok(Some(Self { table, schema, listed: files, cache, footers: Mutex::new(None) }))
    }

    /// Which files may hold rows that match. What cannot be told is read.
    async fn matching(&self, predicate: Option<&PruningPredicate>) -> Result<Vec<bool>> {
        let all = vec![true; self.listed.len()];
        let Some(predicate) = predicate else { return Ok(all) };
        let state = self.table.snapshot().ok();
        let by_log = state.and_then(|state| predicate.prune(&Bounds(state.log_data())).ok());
        let kept = by_log.filter(|kept| kept.len() == all.len()).unwrap_or(all);
        if count(&kept) > FEW
            && self.listed.len() <= MOST_FOOTERS
            && let Some(by_footers) = self.footers().await?.matching(predicate)
            && by_footers.len() == kept.len()
        {
            return Ok(kept.into_iter().zip(by_footers).map(|(one, other)| one && other).collect());
        }
        Ok(kept)
    }

    /// Takes the small files out of those that are kept, where there are many, and reads them; `None`
    /// where the engine's own reader is better at it, or has to.
    async fn small(
        &self,
        kept: &mut [bool],
        pruning: Option<&PruningPredicate>,
        wanted: &Wanted<'_>,
    ) -> Result<Option<SmallFiles>> {
        let is_small = |file: &PartitionedFile| file.object_meta.size <= SMALL;
        let all = self.listed.iter().zip(&*kept);
        let many = all.filter(|(file, kept)| **kept && is_small(file)).count() > FEW;
        // The engine asks the Bloom filters, and mostly need not open the file's columns then.
        let looked_up = |name: &str| LOOKED_UP.contains(&name);
        let looked_up = pruning.is_some_and(|pruning| {
            pruning.literal_guarantees().iter().any(|known| looked_up(known.column.name()))
        });
        if !many || looked_up || self.listed.len() > MOST_FOOTERS {
            return Ok(None);
        }
        let footers = self.footers().await?;
        let (Some(footers), Some(folder)) = (footers.alike(), self.folder()) else {
            return Ok(None);
        };
        let mut files = Vec::new();
        for ((file, footer), kept) in self.listed.iter().zip(footers).zip(kept) {
            if is_small(file) && std::mem::take(kept) {
                let path = folder.join(file.path().as_ref());
                files.push((file.object_meta.size, SmallFile { path, footer: footer.clone() }));
            }
        }
        files.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        let files = shared_out(files, wanted.groups);
        let predicate = wanted.predicate.clone();
        let files = SmallFiles::new(files, &self.schema, wanted.projection, predicate)?;
        Ok(Some(files.with_limit(wanted.limit)))
    }

    /// Reads the files that are kept by the engine's own reader.
    fn large(
        &self,
        kept: &[bool],
        state: &dyn Session,
        wanted: Wanted<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.listed.iter().zip(kept).filter(|(_, kept)| **kept);
        let mut files: Vec<_> =
            files.map(|(file, _)| (file.object_meta.size, file.clone())).collect();
        files.sort_by(|(_, a), (_, b)| a.path().cmp(b.path()));
        let global = state.config_options().execution.parquet.clone();
        let mut options = TableParquetOptions { global, ..TableParquetOptions::default() };
        // A column of a small file is one page: an index of pages only costs.
        options.global.enable_page_index = files.iter().any(|(size, _)| *size > SMALL);
        let store = self.table.log_store().object_store(None);
        let reader = CachedParquetFileReaderFactory::new(store, Arc::clone(&self.cache));
        let mut source = ParquetSource::new(TableSchema::from(self.schema()))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));
        if let Some(predicate) = wanted.predicate {
            source = source.with_predicate(predicate).with_pushdown_filters(true);
        }
        let groups = shared_out(files, wanted.groups).into_iter().map(FileGroup::new).collect();
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(groups)
                .with_projection_indices(wanted.projection.cloned())?
                .with_limit(wanted.limit)
                .build();
        // A file of which few rows match gives a batch that holds room for thousands; many of them
        // would be taken for more memory than there is.
        let rows = state.config().batch_size();
        #[expect(deprecated, reason = "as above")]
        let joined = CoalesceBatchesExec::new(DataSourceExec::from_data_source(config), rows);
        Ok(Arc::new(joined))
    }

    /// The table's folder.
    fn folder(&self) -> Option<PathBuf> {
        self.table.log_store().root_url().to_file_path().ok()
    }

    /// The footers of all files.
    async fn footers(&self) -> Result<Arc<Footers>> {
        let mut known = self.footers.lock().await;
        if let Some(footers) = &*known {
            return Ok(Arc::clone(footers));
        }
        let files = self.listed.iter().map(|file| file.object_meta.clone()).collect();
        let store = self.table.log_store().object_store(None);
        let footers = Footers::read(self.schema(), files, &store, &self.cache).await?;
        Ok(Arc::clone(known.insert(Arc::new(footers))))
    }
}

/// What a scan is asked for.
struct Wanted<'a> {
    groups: usize,
    projection: Option<&'a Vec<usize>>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
}

/// A column whose texts lie one after the other. The library would have them as views of buffers that
/// many batches share: whoever sorts such batches takes each of them for as large as all.
fn plain(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(element) => DataType::List(Arc::new(plain(element))),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

fn count(kept: &[bool]) -> usize {
    kept.iter().filter(|kept| **kept).count()
}

/// Files, each with its size, in `count` groups of about the same size.
fn shared_out<T: Clone>(files: Vec<(u64, T)>, count: usize) -> Vec<Vec<T>> {
    let mut groups = vec![(0, Vec::new()); count.clamp(1, files.len().max(1))];
    for (bytes, file) in files {
        if let Some((size, group)) = groups.iter_mut().min_by_key(|(size, _)| *size) {
            *size += bytes;
            group.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| files).collect()
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // The rows are filtered while they are read, and once more above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = conjunction(filters.iter().cloned())
            .map(|filter| state.create_physical_expr(filter, &columns))
            .transpose()?;
        let pruning = predicate.as_ref().and_then(|predicate| {
            let builder = PruningPredicateBuilder::new().with_file_schema(self.schema());
            builder.try_build(Arc::clone(predicate)).ok()
        });
        let mut kept = self.matching(pruning.as_ref()).await?;
        let groups = state.config().target_partitions();
        let wanted = Wanted { groups, projection, predicate, limit };
        let small = self.small(&mut kept, pruning.as_ref(), &wanted).await?;
        Ok(match small {
            Some(small) if count(&kept) == 0 => Arc::new(small),
            Some(small) => {
                UnionExec::try_new(vec![Arc::new(small), self.large(&kept, state, wanted)?])?
            }
            None => self.large(&kept, state, wanted)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use datafusion::datasource::provider_as_source;
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
    use datafusion::prelude::SessionContext;
    use jiff::{SignedDuration, Timestamp};

    use super::super::dedupe::texts;
    use super::super::{Location, Page, Store};
    use super::*;
    use crate::event::batch::Record;
    use crate::event::{Event, Format, Provider};

    /// A store of twenty commits of ten events, each over several days.
    async fn store(folder: &std::path::Path) -> Store {
        let location = Location::parse(folder.to_str().unwrap()).unwrap();
        let mut store = Store::create(location).await.unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for number in 0..20 {
            let mut page = Page::default();
            for n in number * 10..number * 10 + 10 {
                // The log knows milliseconds, and what it cuts off must not hide a row.
                let time = start + SignedDuration::new(n * 18_000, 123_456_000);
                let mut event =
                    Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
                event.native_id = Some(n.to_string());
                event.region = (n % 3 == 0).then(|| "eu-central-1".to_owned());
                event.error_code = (n % 4 == 0).then(|| format!("E{}", n % 8));
                let raw = format!("{{{n}}}");
                page.events.push(&event, Record { raw: &raw, transport: "file", source: "t" });
            }
            store.append(page, start).await.unwrap();
        }
        store
    }

    async fn read(
        table: &Arc<dyn TableProvider>,
        filter: &Expr,
        columns: &[&str],
    ) -> Vec<Vec<Option<String>>> {
        let source = provider_as_source(Arc::clone(table));
        let plan = LogicalPlanBuilder::scan("t", source, None).unwrap();
        let plan = plan.filter(filter.clone()).unwrap();
        let plan = plan.project(columns.iter().map(|name| col(*name))).unwrap().build().unwrap();
        let context = SessionContext::new();
        let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
        let rows = |batch: &RecordBatch| {
            let columns: Vec<_> = (0..batch.num_columns()).map(|at| texts(batch, at)).collect();
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column[row].clone()).collect())
                .collect::<Vec<Vec<_>>>()
        };
        let mut rows: Vec<_> = batches.iter().flat_map(rows).collect();
        rows.sort();
        rows
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_many_small_files_give_is_joined_and_counts_as_the_memory_that_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let any: Arc<dyn TableProvider> = store.journal.table_provider().await.unwrap();
        let files = Files::list(&store.journal, "journal", &any.schema()).unwrap().unwrap();
        assert!(files.listed.len() > 20);
        let context = SessionContext::new();
        // One row in three, of files of a few rows each.
        let rows = context.read_table(Arc::new(files)).unwrap();
        let rows = rows.filter(col("region").eq(lit("eu-central-1"))).unwrap();
        let batches = rows.collect().await.unwrap();
        let most = context.state().config().target_partitions();
        assert!(batches.len() <= most, "{} batches", batches.len());
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 67);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_rows_are_those_of_delta_lakes_own_scan() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let any: Arc<dyn TableProvider> = store.journal.table_provider().await.unwrap();
        let files = Files::list(&store.journal, "journal", &any.schema()).unwrap().unwrap();
        assert!(files.listed.len() > 20, "{}", files.listed.len());
        let views = |field: &Field| field != &plain(field);
        assert!(any.schema().fields().iter().any(|field| views(field)));
        assert!(!files.schema().fields().iter().any(|field| views(field)), "{:?}", files.schema());
        let files: Arc<dyn TableProvider> = Arc::new(files);
        let at = |text: &str| {
            let time: Timestamp = text.parse().unwrap();
            lit(datafusion::common::ScalarValue::TimestampMicrosecond(
                Some(time.as_microsecond()),
                Some("UTC".into()),
            ))
        };
        for filter in [
            lit(true),
            lit(false),
            col("kind").eq(lit("event")),
            col("kind").eq(lit("receipt")),
            col("region").is_null(),
            col("region").eq(lit("eu-central-1")).and(col("error_code").not_eq(lit("E4"))),
            col("error_code").is_null().or(col("leaf_index").lt(lit(50i64))),
            col("time").lt(at("2026-01-09T00:00:00Z")),
            col("time").gt_eq(at("2026-01-09T00:00:00Z")).and(col("region").is_not_null()),
            col("event_id").in_list(vec![lit("aws/1|7"), lit("aws/1|133"), lit("no")], false),
            col("action").eq(lit("nothing")),
        ] {
            let columns = ["event_id", "leaf_index", "time", "region", "raw", "kind"];
            let ours = read(&files, &filter, &columns).await;
            assert_eq!(ours, read(&any, &filter, &columns).await, "{filter}");
            let few = read(&files, &filter, &["error_code"]).await;
            assert_eq!(few.len(), ours.len(), "{filter}");
        }
        // The last event of a day, and of all.
        for filter in [
            col("time").eq(at("2026-01-01T20:00:00.123456Z")),
            col("time").gt(at("2026-02-11T11:00:00.123Z")),
        ] {
            // Delta Lake's own scan, by which what is known already is found, must not either.
            for table in [&files, &any] {
                assert_eq!(read(table, &filter, &["event_id"]).await.len(), 1, "{filter}");
            }
        }
        // What was compared is this reader, and not the engine's.
        let state = SessionContext::new().state();
        let plan = files.scan(&state, None, &[], None).await.unwrap();
        assert_eq!(plan.name(), "SmallFiles");
        let again = Files::list(&store.journal, "journal", &any.schema()).unwrap().unwrap();
        let columns = DFSchema::try_from(files.schema()).unwrap();
        // The log tells of times, footers alone of sources; a file of receipts has no source at all.
        let early = col("time").lt(at("2026-01-03T00:00:00Z"));
        for (filter, most) in [(early, 30), (col("source").eq(lit("nowhere")), 1)] {
            let predicate = state.create_physical_expr(filter.clone(), &columns).unwrap();
            let pruning = PruningPredicateBuilder::new().with_file_schema(again.schema());
            let pruning = pruning.try_build(predicate).unwrap();
            let matching = count(&again.matching(Some(&pruning)).await.unwrap());
            assert!(matching <= most, "{filter}: {matching} files are read");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn small_and_large_files_are_read_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path()).await;
        let time: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let mut page = Page::default();
        let mut event = Event::new("aws/1".to_owned(), time, Provider::Aws, Format::CloudTrail);
        event.native_id = Some("large".to_owned());
        // Digests do not get smaller.
        let words = (0..200_000).map(|n: u32| crate::event::sha256_hex(&n.to_le_bytes()));
        let raw = format!("\"{}\"", words.collect::<String>());
        page.events.push(&event, Record { raw: &raw, transport: "file", source: "t" });
        store.append(page, time).await.unwrap();
        let any: Arc<dyn TableProvider> = store.journal.table_provider().await.unwrap();
        let files = Files::list(&store.journal, "journal", &any.schema()).unwrap().unwrap();
        assert!(files.listed.iter().any(|file| file.object_meta.size > SMALL));
        let plan = files.scan(&SessionContext::new().state(), None, &[], None).await.unwrap();
        assert_eq!(plan.name(), "UnionExec");
        let files: Arc<dyn TableProvider> = Arc::new(files);
        for (filter, rows) in [
            (col("kind").eq(lit("event")), 201),
            (col("time").gt_eq(lit("2026-02-01T00:00:00Z")).and(col("kind").eq(lit("event"))), 52),
        ] {
            let ours = read(&files, &filter, &["event_id", "raw"]).await;
            assert_eq!(ours.len(), rows, "{filter}");
            assert_eq!(ours, read(&any, &filter, &["event_id", "raw"]).await, "{filter}");
        }
    }

    #[test]
    fn files_are_shared_out_by_their_sizes() {
        let given = vec![(100, 'a'), (10, 'b'), (10, 'c'), (90, 'd')];
        assert_eq!(shared_out(given.clone(), 2), [vec!['a'], vec!['b', 'c', 'd']]);
        assert_eq!(shared_out(given, 9).len(), 4);
        assert_eq!(shared_out(Vec::<(u64, char)>::new(), 2), [Vec::<char>::new()]);
    }
}
