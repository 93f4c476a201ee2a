//! What readers see: the documented tables over the journal and the inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::catalog::TableProvider;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit};
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;

use super::dedupe::texts;
use super::receipt::read_coverage;
use super::scan::Files;
use super::{Store, StoreError};
use crate::event::batch::times;
use crate::event::schema;
use crate::finding::Coverage;

/// A journal of at most so many bytes on disk is read once and kept in memory: an assessment scans
/// it many times, and a small store has many small files.
const IN_MEMORY: i64 = 16 << 20;

/// Tables by name.
pub type Tables = BTreeMap<String, Arc<dyn TableProvider>>;

impl Store {
    /// The tables that rules and queries see, at the version that is open. `people` and
    /// `approvals` are not the store's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tables(&self) -> Result<Tables, StoreError> {
        let context = &SessionContext::new();
        let mut tables = Tables::new();
        let journal = provider(&self.journal, "journal", context).await?;
        let events = columns("events").into_iter().map(col).collect();
        let kind = col("kind").eq(lit("event"));
        let mut events = view(Arc::clone(&journal), kind, events)?;
        if self.journal_bytes() <= IN_MEMORY {
            events = in_memory(events, context).await?;
        }
        tables.insert("events".to_owned(), events);
        let kind = col("kind").eq(lit("quarantine"));
        tables.insert(
            "quarantine".to_owned(),
            view(Arc::clone(&journal), kind, quarantine_columns())?,
        );
        let told = receipts(Arc::clone(&journal), context, ("coverage", "details")).await?;
        tables.insert("coverage".to_owned(), coverage_table(&covered(&told))?);
        let snapshots = receipts(journal, context, ("snapshot", "event_id")).await?;
        for (name, table) in &self.inventory {
            let named = snapshots.iter().map(lit).collect();
            let filter = col("snapshot_id").in_list(named, false);
            let table = provider(table, name, context).await?;
            let all = columns(name).into_iter().map(col).collect();
            let filter = if snapshots.is_empty() { lit(false) } else { filter };
            let table = view(table, filter, all)?;
            tables.insert((*name).to_owned(), in_memory(table, context).await?);
        }
        Ok(tables)
    }

    /// The size of the journal's files.
    fn journal_bytes(&self) -> i64 {
        let Ok(state) = self.journal.snapshot() else { return i64::MAX };
        state.log_data().iter().map(|file| file.size()).sum()
    }

    /// The stretches that were proven read or declared to be.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn coverage(&self) -> Result<Vec<Coverage>, StoreError> {
        let context = &SessionContext::new();
        let journal = provider(&self.journal, "journal", context).await?;
        Ok(covered(&receipts(journal, context, ("coverage", "details")).await?))
    }

    /// The snapshots of inventory that a receipt names.
    pub(super) async fn snapshots(&self) -> Result<BTreeSet<String>, StoreError> {
        let context = &SessionContext::new();
        let journal = provider(&self.journal, "journal", context).await?;
        receipts(journal, context, ("snapshot", "event_id")).await
    }
}

/// The texts that a column has in the receipts of one reason.
async fn receipts(
    journal: Arc<dyn TableProvider>,
    context: &SessionContext,
    (reason, column): (&str, &str),
) -> Result<BTreeSet<String>, StoreError> {
    let wanted = col("kind").eq(lit("receipt")).and(col("reason").eq(lit(reason)));
    let frame = context.read_table(journal)?.filter(wanted)?.select_columns(&[column])?;
    let batches = frame.collect().await?;
    Ok(batches.iter().flat_map(|batch| texts(batch, 0)).flatten().collect())
}

fn covered(told: &BTreeSet<String>) -> Vec<Coverage> {
    let coverage: BTreeSet<Coverage> = told.iter().filter_map(|text| read_coverage(text)).collect();
    coverage.into_iter().collect()
}

fn columns(table: &str) -> Vec<&'static str> {
    schema::describe(table).into_iter().map(|(name, ..)| name).collect()
}

async fn provider(
    table: &DeltaTable,
    name: &str,
    context: &SessionContext,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    table
        .update_datafusion_session(&context.state())
        .map_err(super::table::failed("read", name))?;
    let any: Arc<dyn TableProvider> = table.table_provider().await?;
    Ok(match Files::list(table, name, &any.schema())? {
        Some(files) => Arc::new(files),
        None => any,
    })
}

/// Reads a table into memory.
async fn in_memory(
    table: Arc<dyn TableProvider>,
    context: &SessionContext,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    let schema = table.schema();
    let batches = context.read_table(table)?.collect().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

fn view(
    table: Arc<dyn TableProvider>,
    filter: Expr,
    columns: Vec<Expr>,
) -> Result<Arc<dyn TableProvider>, StoreError> {
    let source = datafusion::datasource::provider_as_source(table);
    let plan = LogicalPlanBuilder::scan("stored", source, None)?
        .filter(filter)?
        .project(columns)?
        .build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The journal's columns under the names of the view `quarantine`.
fn quarantine_columns() -> Vec<Expr> {
    vec![
        col("event_id").alias("quarantine_id"),
        col("collected_at"),
        col("source"),
        col("place"),
        col("format"),
        col("reason"),
        col("error_message").alias("message"),
        col("raw"),
    ]
}

fn coverage_table(rows: &[Coverage]) -> Result<Arc<dyn TableProvider>, StoreError> {
    let text = |read: fn(&Coverage) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(read).collect::<StringArray>())
    };
    let schema = schema::table("coverage").ok_or_else(|| StoreError::Location {
        location: "coverage".to_owned(),
        detail: "there is no such table".to_owned(),
    })?;
    let columns = vec![
        text(|row| Some(&row.ledger)),
        text(|row| row.region.as_deref()),
        text(|row| Some(&row.kind)),
        times(rows.iter().map(|row| Some(row.period.from))),
        times(rows.iter().map(|row| Some(row.period.to))),
        text(|row| Some(&row.method)),
        text(|row| Some(&row.status)),
        text(|row| row.detail.as_deref()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
