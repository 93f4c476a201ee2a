//! The tables as an assessment sees them: everything after `as_of` is hidden.
//!
//! Hidden are events by `time`, inventory by `captured_at` (a row without one proves existence only
//! and stays), approvals by `approved_at`; coverage ends at `as_of`. Quarantined records have no
//! time of their own and people no time at all: they stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, ident, lit, when};
use jiff::Timestamp;

use crate::event::schema;

/// The tables that an assessment reads, by name. A table that is not given is empty.
#[derive(Debug, Clone, Default)]
pub struct Tables(BTreeMap<String, Arc<dyn TableProvider>>);

impl Tables {
    /// Starts without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the table `name`, one of [`schema::VISIBLE`]; any other name is never looked at.
    pub fn insert(&mut self, name: &str, table: Arc<dyn TableProvider>) {
        self.0.insert(name.to_owned(), table);
    }

    /// Gives the table `name` from memory. The error says that the batches differ in their columns.
    pub fn insert_batch(&mut self, name: &str, batch: RecordBatch) -> Result<()> {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        self.insert(name, Arc::new(table));
        Ok(())
    }

    /// Every visible table, cut at `as_of`.
    pub(super) fn cut(&self, as_of: Timestamp) -> Result<Vec<(&'static str, ViewTable)>> {
        let mut cut = Vec::new();
        for name in schema::VISIBLE {
            let Some(columns) = schema::table(name) else { continue };
            let table = match self.0.get(*name) {
                Some(table) => Arc::clone(table),
                None => Arc::new(MemTable::try_new(Arc::clone(&columns), vec![vec![]])?),
            };
            cut.push((*name, hide_later(name, table, &columns, as_of)?));
        }
        Ok(cut)
    }
}

/// A time as a literal.
fn time(time: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.as_microsecond()), Some("UTC".into())))
}

fn hide_later(
    name: &str,
    table: Arc<dyn TableProvider>,
    columns: &SchemaRef,
    as_of: Timestamp,
) -> Result<ViewTable> {
    let given = table.schema();
    let mut builder = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let shown = match name {
        "events" => Some(ident("time").lt_eq(time(as_of))),
        "approvals" => Some(ident("approved_at").lt_eq(time(as_of))),
        "coverage" => Some(ident("from").lt(time(as_of))),
        _ if schema::SNAPSHOTS.contains(&name) => {
            Some(ident("captured_at").lt_eq(time(as_of)).or(ident("captured_at").is_null()))
        }
        _ => None,
    };
    if let Some(shown) = shown {
        builder = builder.filter(shown)?;
    }
    let columns: Result<Vec<Expr>> = columns
        .fields()
        .iter()
        .map(|field| match (name, field.name().as_str()) {
            ("coverage", "to") => Ok(when(ident("to").gt(time(as_of)), time(as_of))
                .otherwise(ident("to"))?
                .alias("to")),
            _ => column(field, given.field_with_name(field.name()).ok()),
        })
        .collect();
    Ok(ViewTable::new(builder.project(columns?)?.build()?, None))
}

/// A column in the documented type; null where a table written by an older version lacks it.
fn column(field: &Field, given: Option<&Field>) -> Result<Expr> {
    let name = field.name();
    Ok(match given {
        None => lit(ScalarValue::try_from(field.data_type())?).alias(name),
        Some(given) if same(given.data_type(), field.data_type()) => ident(name),
        Some(_) => cast(ident(name), field.data_type().clone()).alias(name),
    })
}

/// Whether a query cannot tell two types apart: a cast would only hinder the pruning of files.
fn same(given: &DataType, documented: &DataType) -> bool {
    let text = |data_type: &DataType| {
        matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    };
    let bytes = |data_type: &DataType| {
        matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    };
    given == documented
        || (text(given) && text(documented))
        || (bytes(given) && bytes(documented))
        || match (given, documented) {
            (DataType::List(a), DataType::List(b)) => same(a.data_type(), b.data_type()),
            _ => false,
        }
}
