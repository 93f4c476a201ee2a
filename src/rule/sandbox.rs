//! The bounds within which a query runs: one read-only query over known tables, without clock or
//! chance, in bounded length, memory, time and rows, and nothing on disk.
//!
//! Queries are planned and run on threads of their own: planning goes as deep as a query is nested,
//! which would overflow an ordinary stack and end the whole program, and a query that computes
//! without end must not hold up the program's other work.

mod growth;
mod memory;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use datafusion::arrow::array::{Array as _, ArrayRef, RecordBatch};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Query,
    Statement as SqlStatement, TableFactor, UnaryOperator, Value, Visit as _, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::StreamExt as _;
use tokio::runtime::Runtime;

use self::memory::{Outcome, watch};

/// How many bytes a query may have: a text in it may be copied for every row.
const MAX_BYTES: usize = 256 << 10;

/// How many words and signs a query may have. Planning goes as deep as a chain of operators is
/// long; the stack below holds several times this depth.
const MAX_TOKENS: usize = 8000;

/// The stack of a thread that plans and runs queries, in bytes; only what is used is ever taken.
const STACK: usize = 64 << 20;

/// The threads that plan and run queries.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("rules")
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .ok()
});

/// What one query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory for all queries of a session and the views that it holds, in bytes.
    pub memory: usize,
    /// Time for one query, and for one view.
    pub time: Duration,
    /// Rows that a query may give.
    pub rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, time: Duration::from_mins(1), rows: 1_000_000 }
    }
}

/// The reason of a query that exceeded a limit.
pub(super) const LIMIT: &str = "limit_exceeded";

/// Why a query gave no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryError {
    /// Stable code.
    pub(super) reason: &'static str,
    /// One sentence.
    pub(super) message: String,
    /// The view that is to blame, where it is not the query itself.
    pub(super) view: Option<String>,
}

impl QueryError {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), view: None }
    }

    /// The query asks for what is not allowed.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new("query_refused", message)
    }

    /// The query is wrong, or failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new("query_failed", message)
    }

    /// The query exceeded a limit.
    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new(LIMIT, message)
    }

    pub(super) fn is_limit(&self) -> bool {
        self.reason == LIMIT
    }

    /// What another process says of a query.
    pub(super) fn told(reason: &str, message: String) -> Self {
        match reason {
            "query_refused" => Self::refused(message),
            LIMIT => Self::limit(message),
            _ => Self::failed(message),
        }
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let message = error.strip_backtrace();
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => {
                Self::limit(format!("the query needs more memory than allowed: {message}"))
            }
            _ => Self::failed(message),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Functions that are refused, with what to write in their place.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "now",
            "current_timestamp",
            "current_date",
            "current_time",
            "today",
            "localtime",
            "localtimestamp",
        ],
        "the time of a run is `$as_of`",
    ),
    (&["random", "uuid"], "the same input must give the same verdict"),
    (
        &["repeat", "lpad", "rpad", "array_repeat", "list_repeat", "array_resize", "list_resize"],
        "it can fill any memory at once",
    ),
    (&["version", "input_file_name", "file_row_index"], "it tells of the machine, not of the logs"),
];

/// Functions that make rows and read nothing; as functions of a single value they are refused.
const SERIES: &[&str] = &["generate_series", "range", "gen_series"];

/// The most expressions that may stand in a `CUBE`: they are multiplied out before anything runs.
const CUBED: usize = 10;

/// The most values that a series may give.
const SERIES_VALUES: u128 = 10_000_000;

/// Reads `sql` as exactly one query.
pub(super) fn parse(sql: &str) -> Result<Statement, QueryError> {
    if sql.len() > MAX_BYTES {
        let bytes = sql.len();
        return Err(QueryError::limit(format!(
            "the query has {bytes} bytes; {MAX_BYTES} are allowed"
        )));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| QueryError::failed(error.to_string()))?;
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if words > MAX_TOKENS {
        return Err(QueryError::limit(format!(
            "the query has {words} words and signs; {MAX_TOKENS} are allowed"
        )));
    }
    let mut statements = DFParserBuilder::new(tokens)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::failed(error.strip_backtrace()))?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(QueryError::refused("there must be exactly one query"));
    };
    match &statement {
        Statement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)) => Ok(statement),
        other => {
            let text = other.to_string();
            let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
            Err(QueryError::refused(format!("{word} is refused: only a query may be run")))
        }
    }
}

/// The tables and views that a query names; none where it cannot be read.
pub(super) fn tables_named(sql: &str) -> Vec<String> {
    parse(sql)
        .ok()
        .and_then(|statement| resolve_table_references(&statement, true).ok())
        .map(|(tables, _)| tables.iter().map(|table| table.table().to_owned()).collect())
        .unwrap_or_default()
}

/// Checks a parsed query against the tables and views that there are, and gives those that it
/// names.
pub(super) fn names(
    statement: &Statement,
    known: &BTreeSet<String>,
) -> Result<Vec<String>, QueryError> {
    if let Statement::Statement(inner) = statement
        && let ControlFlow::Break(problem) = inner.visit(&mut Names::default())
    {
        return Err(problem);
    }
    growth::tables(statement)?;
    let (tables, _) = resolve_table_references(statement, true)?;
    let mut named = Vec::new();
    for table in tables {
        match table {
            TableReference::Bare { table } if known.contains(&*table) => {
                named.push(table.to_string());
            }
            TableReference::Bare { table } if SERIES.contains(&&*table) => {}
            other => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                return Err(QueryError::refused(format!(
                    "`{other}` is no table; there are {}",
                    known.join(", ")
                )));
            }
        }
    }
    Ok(named)
}

/// Refuses functions by name, where the name is still the author's own word.
#[derive(Default)]
struct Names {
    /// Expressions that stand in a `CUBE` so far: each doubles what is grouped by.
    cubed: usize,
}

impl Visitor for Names {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        if query.locks.is_empty() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(QueryError::refused("a lock is refused: only a query may be run"))
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        let none: &[FunctionArg] = &[];
        let arguments = match factor {
            TableFactor::Table { args: Some(arguments), .. } => arguments.args.as_slice(),
            TableFactor::Function { args, .. } => args.as_slice(),
            _ => none,
        };
        let name = match factor {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => return ControlFlow::Continue(()),
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                name.to_string().to_lowercase()
            }
            other => other.to_string(),
        };
        if SERIES.contains(&name.as_str()) {
            return match check_series(&name, arguments) {
                Ok(()) => ControlFlow::Continue(()),
                Err(problem) => ControlFlow::Break(problem),
            };
        }
        ControlFlow::Break(QueryError::refused(format!(
            "`{name}` is refused: of the functions that stand for a table only generate_series and \
             range may be used"
        )))
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<QueryError> {
        if let SqlExpr::Cube(sets) = expr {
            self.cubed += sets.len();
            if self.cubed > CUBED {
                let problem = format!("more than {CUBED} expressions stand in a CUBE");
                return ControlFlow::Break(QueryError::limit(problem));
            }
        }
        let SqlExpr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        let name = name.trim_matches('"');
        if SERIES.contains(&name) && !matches!(function.args, FunctionArguments::None) {
            return ControlFlow::Break(QueryError::refused(format!(
                "`{name}` as a value is refused: write it in FROM"
            )));
        }
        match REFUSED.iter().find(|(names, _)| names.contains(&name)) {
            Some((_, why)) => {
                ControlFlow::Break(QueryError::refused(format!("`{name}` is refused: {why}")))
            }
            None => ControlFlow::Continue(()),
        }
    }
}

/// Checks a series: the engine computes one to its end, however long, also when nobody wants it any
/// more.
fn check_series(name: &str, arguments: &[FunctionArg]) -> Result<(), QueryError> {
    let refuse =
        || QueryError::refused(format!("`{name}` is refused: its arguments must be whole numbers"));
    let numbers: Vec<i128> =
        arguments.iter().map(whole_number).collect::<Option<_>>().ok_or_else(refuse)?;
    let (first, last, step) = match *numbers.as_slice() {
        [last] => (0, last, 1),
        [first, last] => (first, last, 1),
        [first, last, step] if step != 0 => (first, last, step),
        _ => return Err(refuse()),
    };
    if (last - first).unsigned_abs() / step.unsigned_abs() > SERIES_VALUES {
        return Err(QueryError::limit(format!("`{name}` gives more than {SERIES_VALUES} values")));
    }
    Ok(())
}

/// The whole number that an argument is.
fn whole_number(argument: &FunctionArg) -> Option<i128> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return None };
    let (negative, expr) = match expr {
        SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, expr.as_ref()),
        other => (false, other),
    };
    let SqlExpr::Value(value) = expr else { return None };
    let Value::Number(digits, _) = &value.value else { return None };
    let number = i128::from(digits.parse::<i64>().ok()?);
    Some(if negative { -number } else { number })
}

/// Checks a plan: it reads only, and holds no function whose result may change between runs.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| QueryError::refused(error.strip_backtrace()))?;
    let mut changing = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|inner| {
                if let Expr::ScalarFunction(function) = inner
                    && function.func.signature().volatility != Volatility::Immutable
                {
                    changing = Some(function.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match changing {
        Some(name) => Err(QueryError::refused(format!(
            "`{name}` is refused: its result changes from run to run"
        ))),
        None => Ok(()),
    }
}

/// An environment that bounds memory and never writes to disk.
pub(super) fn environment(limits: Limits) -> Result<Arc<RuntimeEnv>, QueryError> {
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    Ok(RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory)))
        .with_disk_manager_builder(no_disk)
        .build_arc()?)
}

/// Plans and runs a statement on a task of its own, which is stopped when its time is over.
pub(super) async fn run(
    context: &SessionContext,
    statement: Statement,
    limits: Limits,
) -> Result<Vec<RecordBatch>, QueryError> {
    let Some(threads) = THREADS.as_ref() else {
        return Err(QueryError::failed("no thread could be started"));
    };
    let own = context.clone();
    let mut task = threads.spawn(async move { plan_and_collect(&own, statement, limits).await });
    let outcome = watch(&mut task, limits.time, limits.memory).await;
    task.abort();
    match outcome {
        Outcome::Done(Ok(result)) => result,
        Outcome::Done(Err(join)) => Err(QueryError::failed(format!("the query broke off: {join}"))),
        Outcome::Late => {
            let seconds = limits.time.as_secs_f64();
            Err(QueryError::limit(format!("the query ran longer than {seconds} s")))
        }
        Outcome::Full => {
            let most = limits.memory;
            Err(QueryError::limit(format!("the query needs more memory than {most} bytes")))
        }
    }
}

async fn plan_and_collect(
    context: &SessionContext,
    statement: Statement,
    limits: Limits,
) -> Result<Vec<RecordBatch>, QueryError> {
    let state = context.state();
    let plan = state.statement_to_plan(statement).await?;
    check_plan(&plan)?;
    growth::values(&plan)?;
    let physical = pausing(state.create_physical_plan(&plan).await?)?;
    collect(physical, context.task_ctx(), limits).await
}

/// Lets the steps of a plan that make more rows than they are given pause now and then, so that they
/// can be stopped: the engine itself lets those pause that read, and a join can make rows for hours
/// of what was read long ago. Other steps go on with their input: made to pause, those that receive
/// lag behind those that send, and what lies between them fills the memory.
fn pausing(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
    let paused = plan.transform_up(|step| {
        let name = step.name();
        let grows = ["Join", "Unnest", "Recursive"].iter().any(|kind| name.contains(kind));
        Ok(if grows {
            let paused: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(step));
            Transformed::yes(paused)
        } else {
            Transformed::no(step)
        })
    })?;
    Ok(paused.data)
}

/// Collects rows up to the limits; an empty answer still has one batch, which has the columns.
async fn collect(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    limits: Limits,
) -> Result<Vec<RecordBatch>, QueryError> {
    let mut stream = execute_stream(plan, task)?;
    let mut batches = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows();
        bytes += size(&batch);
        if rows > limits.rows {
            let most = limits.rows;
            return Err(QueryError::limit(format!("the query gives more than {most} rows")));
        }
        if bytes > limits.memory {
            let most = limits.memory;
            return Err(QueryError::limit(format!("the query gives more than {most} bytes")));
        }
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(stream.schema()));
    }
    Ok(batches)
}

/// The bytes that a batch's own rows take: batches may be slices of one buffer, which is not to be
/// counted for each of them.
pub(super) fn size(batch: &RecordBatch) -> usize {
    let column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(column).sum()
}

#[cfg(test)]
mod tests;
