//! How much a query could make out of little, told before anything is made: a few words can ask for
//! a plan, a text or a list that doubles with each of them, and the engine's bound on memory does
//! not see plans, nor what a function gives.
//!
//! Sizes are counted in cells: a column of a table is one, what a function makes of two columns is
//! as large as both. Numbers, times and truths are small whatever they were computed from.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit as _, Visitor};

use super::QueryError;

/// Tables that a query may read, each mention of a named part counted with all that it reads.
const MAX_TABLES: usize = 2000;

/// Nodes that a plan may have.
const MAX_NODES: usize = 20_000;

/// Cells that one value may be made of, and all the columns of one step.
const MAX_CELLS: u64 = 512;
const MAX_ROW: u64 = 4096;

/// Bytes of a written text that count as a cell: it stands again in every row.
const CELL: usize = 64;

/// Functions whose result may be as large as their arguments multiplied.
const PRODUCTS: &[&str] = &[
    "array_join",
    "array_to_string",
    "concat_ws",
    "list_join",
    "list_to_string",
    "overlay",
    "regexp_replace",
    "replace",
    "string_to_array",
    "translate",
];

/// Checks how many tables a query reads once every `WITH` is written out: that is how the planner
/// works, and each mention may double what the one before it did.
pub(super) fn tables(statement: &Statement) -> Result<(), QueryError> {
    let Statement::Statement(inner) = statement else { return Ok(()) };
    match inner.visit(&mut Mentions { open: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => Err(problem),
    }
}

/// A query that is being walked through.
#[derive(Default)]
struct Part {
    /// The names of its `WITH` that are still to come.
    coming: VecDeque<String>,
    /// Those that came, and how many tables each reads.
    known: Vec<(String, usize)>,
    tables: usize,
}

struct Mentions {
    open: Vec<Part>,
}

impl Visitor for Mentions {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        let coming = parts.map(|part| part.alias.name.value.to_lowercase()).collect();
        self.open.push(Part { coming, ..Part::default() });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryError> {
        let name = relation.to_string().trim_matches('"').to_lowercase();
        let mut known = self.open.iter().rev().flat_map(|part| part.known.iter().rev());
        let tables = known.find(|(own, _)| *own == name).map_or(1, |(_, tables)| *tables);
        self.add(tables)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<QueryError> {
        let tables = self.open.pop().map_or(0, |part| part.tables);
        match self.open.last_mut().and_then(|outer| Some((outer.coming.pop_front()?, outer))) {
            Some((name, outer)) => {
                outer.known.push((name, tables));
                ControlFlow::Continue(())
            }
            None => self.add(tables),
        }
    }
}

impl Mentions {
    fn add(&mut self, tables: usize) -> ControlFlow<QueryError> {
        let Some(part) = self.open.last_mut() else { return ControlFlow::Continue(()) };
        part.tables = part.tables.saturating_add(tables);
        if part.tables <= MAX_TABLES {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(QueryError::limit(format!(
            "the query reads more than {MAX_TABLES} tables once each WITH is written out"
        )))
    }
}

/// Checks how large the values of a plan could become.
pub(super) fn values(plan: &LogicalPlan) -> Result<(), QueryError> {
    Sizes { nodes: 0 }.of(plan).map(|_| ())
}

/// The sizes of a plan's columns.
struct Sizes {
    nodes: usize,
}

impl Sizes {
    fn of(&mut self, plan: &LogicalPlan) -> Result<Vec<u64>, QueryError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let most = format!("the plan of the query has more than {MAX_NODES} steps");
            return Err(QueryError::limit(most));
        }
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push(self.of(input)?);
        }
        let made = self.made(plan, &inputs)?;
        let columns = plan.schema().fields().len();
        let largest = inputs.iter().flatten().max().copied().unwrap_or(1);
        let sizes = match plan {
            LogicalPlan::Projection(_) => made,
            LogicalPlan::Aggregate(_) => padded(made, columns),
            LogicalPlan::Values(_) => vec![made.iter().max().copied().unwrap_or(1); columns],
            LogicalPlan::Window(_) => padded([inputs.concat(), made].concat(), columns),
            LogicalPlan::Union(_) => vec![largest; columns],
            // Each element of a list makes a row of its own, with all the columns beside it.
            LogicalPlan::Unnest(unnest) => {
                let width = |index: &usize| inputs.first()?.get(*index).copied();
                let lists = unnest.list_type_columns.iter().filter_map(|(index, _)| width(index));
                let rows = lists.max().unwrap_or(1);
                vec![rows.saturating_mul(largest); columns]
            }
            _ if inputs.concat().len() == columns => inputs.concat(),
            _ => vec![largest; columns],
        };
        let row = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
        if row > MAX_ROW || sizes.iter().any(|size| *size > MAX_CELLS) {
            return Err(too_large());
        }
        Ok(sizes)
    }

    /// The sizes of what a step computes.
    fn made(&mut self, plan: &LogicalPlan, inputs: &[Vec<u64>]) -> Result<Vec<u64>, QueryError> {
        let input = plan.inputs().first().copied();
        let sizes = inputs.first().map(Vec::as_slice).unwrap_or_default();
        let column = |expr: &Expr| match (expr, input) {
            (Expr::Column(column), Some(input)) => {
                let index = input.schema().maybe_index_of_column(column);
                index.and_then(|index| sizes.get(index)).copied()
            }
            _ => None,
        };
        plan.expressions().iter().map(|expr| self.expr(expr, &column)).collect()
    }

    fn expr(
        &mut self,
        expr: &Expr,
        column: &dyn Fn(&Expr) -> Option<u64>,
    ) -> Result<u64, QueryError> {
        let mut parts = Vec::new();
        let mut failed = None;
        expr.apply_children(|child| {
            match self.expr(child, column) {
                Ok(size) => parts.push(size),
                Err(problem) => failed = Some(problem),
            }
            Ok(if failed.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if let Some(problem) = failed {
            return Err(problem);
        }
        if let Some(inner) = subquery(expr) {
            parts.extend(self.of(inner)?);
        }
        let size = size(expr, &parts, column);
        if size > MAX_CELLS { Err(too_large()) } else { Ok(size) }
    }
}

/// The plan that stands within an expression.
fn subquery(expr: &Expr) -> Option<&LogicalPlan> {
    match expr {
        Expr::ScalarSubquery(inner) => Some(inner.subquery.as_ref()),
        Expr::Exists(exists) => Some(exists.subquery.subquery.as_ref()),
        Expr::InSubquery(inside) => Some(inside.subquery.subquery.as_ref()),
        Expr::SetComparison(compared) => Some(compared.subquery.subquery.as_ref()),
        _ => None,
    }
}

fn size(expr: &Expr, parts: &[u64], column: &dyn Fn(&Expr) -> Option<u64>) -> u64 {
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part)).max(1);
    let product = parts.iter().fold(1u64, |all, part| all.saturating_mul((*part).max(1)));
    let largest = parts.iter().max().copied().unwrap_or(1);
    match expr {
        Expr::Column(_) => column(expr).unwrap_or(1),
        Expr::Literal(value, _) => {
            let bytes = value.size().saturating_sub(size_of_val(value));
            u64::try_from(1 + bytes / CELL).unwrap_or(u64::MAX)
        }
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => sum,
        Expr::ScalarFunction(function) if PRODUCTS.contains(&function.name()) => product,
        Expr::HigherOrderFunction(_) => product,
        Expr::ScalarFunction(_) | Expr::AggregateFunction(_) | Expr::WindowFunction(_) => sum,
        Expr::Alias(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::Case(_)
        | Expr::ScalarSubquery(_)
        | Expr::Unnest(_)
        | Expr::Lambda(_)
        | Expr::GroupingSet(_) => largest,
        _ => 1,
    }
}

/// As many sizes as there are columns.
fn padded(mut sizes: Vec<u64>, columns: usize) -> Vec<u64> {
    let largest = sizes.iter().max().copied().unwrap_or(1);
    sizes.resize(columns, largest);
    sizes
}

fn too_large() -> QueryError {
    QueryError::limit(format!(
        "a value of the query is put together from more than {MAX_CELLS} others, or a row from more \
         than {MAX_ROW}: it could fill any memory at once"
    ))
}
