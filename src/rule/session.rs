//! A session: the tables cut at `as_of`, the views on top of them, and queries over both.
//!
//! A view is computed once, when a query first names it, and shared by all later ones. A view that
//! fails makes every query that names it fail with its message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::event::schema;
use crate::finding::Period;

use super::bind::Bindings;
use super::cut::Tables;
use super::error::RuleError;
use super::functions;
use super::param::{ParamOverride, Params, resolve};
use super::sandbox::{self, Limits, QueryError};
use super::set::{RuleSet, View};

/// The time that a query of the engine's own may take.
const OWN_TIME: Duration = Duration::from_hours(1);

/// The times, parameters and limits that queries run under.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Nothing after it is seen.
    pub as_of: Timestamp,
    /// The period judged.
    pub period: Period,
    /// Parameters of rules and views set for this run.
    pub overrides: Vec<ParamOverride>,
    /// What a query may use.
    pub limits: Limits,
}

/// Tables and views that can be queried.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    context: SessionContext,
    views: Vec<View>,
    known: BTreeSet<String>,
    /// Views that one other view is made of, and that no rule names: they are let go with it.
    steps: BTreeSet<String>,
    times: Bindings,
    frame: Frame,
    /// What became of each view that was computed: the memory that it holds, or why it failed.
    computed: Mutex<BTreeMap<String, Computed>>,
}

type Computed = Arc<OnceCell<Result<MemoryReservation, QueryError>>>;

impl Session {
    /// Opens a session over `tables` and the views of `set`. An override of a rule or parameter
    /// that does not exist is an error.
    pub fn open(set: &RuleSet, tables: &Tables, frame: Frame) -> Result<Self, RuleError> {
        set.check_overrides(&frame.overrides)?;
        let context = context(frame.limits).map_err(|error| RuleError::Query(error.to_string()))?;
        let failed =
            |error: datafusion::error::DataFusionError| RuleError::Query(error.strip_backtrace());
        for (name, table) in tables.cut(frame.as_of).map_err(failed)? {
            context.register_table(name, Arc::new(table)).map_err(failed)?;
        }
        let views = set.views().to_vec();
        let known = schema::VISIBLE
            .iter()
            .map(|name| (*name).to_owned())
            .chain(views.iter().map(|view| view.name.clone()))
            .collect();
        let times = Bindings::times(frame.as_of, frame.period);
        let computed = Mutex::new(BTreeMap::new());
        let steps = steps(set);
        Ok(Self(Arc::new(Inner { context, views, known, steps, times, frame, computed })))
    }

    /// Runs one query over tables and views; `$as_of`, `$period_from` and `$period_to` may stand in
    /// it. An empty answer is one empty batch.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, RuleError> {
        let answer = self.query_with(sql, &Params::new()).await;
        answer.map_err(|error| RuleError::Query(error.message))
    }

    /// The names of the tables and views.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.known.iter().map(String::as_str)
    }

    /// The times, parameters and limits.
    pub fn frame(&self) -> &Frame {
        &self.0.frame
    }

    /// Runs one query with parameters.
    pub(super) async fn query_with(
        &self,
        sql: &str,
        params: &Params,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let mut statement = sandbox::parse(sql)?;
        self.0.times.with(params).bind(&mut statement).map_err(QueryError::failed)?;
        let named = sandbox::names(&statement, &self.0.known)?;
        let _held = self.compute(&named).await?;
        let started = Instant::now();
        let answer = sandbox::run(&self.0.context, statement, self.0.frame.limits).await;
        debug!(took = ?started.elapsed(), "answered");
        answer
    }

    /// Runs a query of the engine's own over tables, whose time no rule's limit bounds.
    pub(super) async fn query_own(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let limits = Limits { time: OWN_TIME, rows: usize::MAX, ..self.0.frame.limits };
        let started = Instant::now();
        let answer = sandbox::run(&self.0.context, sandbox::parse(sql)?, limits).await;
        debug!(sql, took = ?started.elapsed(), "looked up");
        answer
    }

    /// Computes the views among `named`, and those that they use, unless that was done before.
    /// They are there for as long as what this gives is held.
    async fn compute(&self, named: &[String]) -> Result<Vec<Computed>, QueryError> {
        let mut held = Vec::new();
        // Those that others are made of come last: they may be let go with them.
        for view in self.0.views.iter().rev().filter(|view| named.contains(&view.name)) {
            held.push(self.ensure(view).await?);
        }
        Ok(held)
    }

    /// Computes a view and what it uses, once, however many ask for it at the same time.
    fn ensure<'a>(&'a self, view: &'a View) -> BoxFuture<'a, Result<Computed, QueryError>> {
        let computing = async move {
            let computed = self.cell(&view.name);
            let outcome = computed.get_or_init(|| async move {
                let mut used = Vec::new();
                for other in self.0.views.iter().filter(|other| view.uses.contains(&other.name)) {
                    used.push(self.ensure(other).await?);
                }
                let held = self.view(view).await.map_err(|error| QueryError {
                    reason: error.reason,
                    message: format!("view `{}` ({}): {}", view.name, view.path, error.message),
                    view: Some(view.name.clone()),
                })?;
                drop(used);
                for step in view.uses.iter().filter(|name| self.0.steps.contains(*name)) {
                    self.release(step)?;
                }
                Ok(held)
            });
            outcome.await.as_ref().map_err(Clone::clone)?;
            Ok(computed)
        };
        computing.boxed()
    }

    fn cell(&self, view: &str) -> Computed {
        Arc::clone(self.computed().entry(view.to_owned()).or_default())
    }

    /// Lets a view go, unless somebody else is about to read it.
    fn release(&self, view: &str) -> Result<(), QueryError> {
        let mut computed = self.computed();
        if computed.get(view).is_some_and(|cell| Arc::strong_count(cell) == 1) {
            self.0.context.deregister_table(view)?;
            computed.remove(view);
        }
        Ok(())
    }

    fn computed(&self) -> MutexGuard<'_, BTreeMap<String, Computed>> {
        self.0.computed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets views be tried again that ran into a limit.
    pub(super) fn forget_limits(&self) {
        let limited = |cell: &Computed| {
            cell.get().is_some_and(|told| told.as_ref().is_err_and(QueryError::is_limit))
        };
        self.computed().retain(|_, cell| !limited(cell));
    }

    async fn view(&self, view: &View) -> Result<MemoryReservation, QueryError> {
        let inner = &self.0;
        let params = resolve(&view.name, &view.params, &inner.frame.overrides)
            .map_err(|error| QueryError::failed(error.to_string()))?;
        let mut statement = sandbox::parse(&view.sql)?;
        inner.times.with(&params).bind(&mut statement).map_err(QueryError::failed)?;
        let named = sandbox::names(&statement, &inner.known)?;
        if named.contains(&view.name) {
            return Err(QueryError::refused("the view uses itself"));
        }
        // Rows of a view are held in memory and bounded by it, not counted.
        let limits = Limits { rows: usize::MAX, ..inner.frame.limits };
        let started = Instant::now();
        let batches = sandbox::run(&inner.context, statement, limits).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        debug!(view = view.name, rows, took = ?started.elapsed(), "computed");
        let pool = &inner.context.runtime_env().memory_pool;
        let held = MemoryConsumer::new(format!("view {}", view.name)).register(pool);
        held.try_grow(batches.iter().map(sandbox::size).sum())?;
        if let Some(schema) = batches.first().map(RecordBatch::schema) {
            let table = MemTable::try_new(schema, vec![batches])?;
            inner.context.register_table(view.name.as_str(), Arc::new(table))?;
        }
        Ok(held)
    }
}

/// The views that no rule names and that just one other view reads.
fn steps(set: &RuleSet) -> BTreeSet<String> {
    let named: BTreeSet<String> =
        set.rules().flat_map(|rule| sandbox::tables_named(&rule.sql)).collect();
    let once =
        |name: &String| set.views().iter().filter(|view| view.uses.contains(name)).count() == 1;
    let views = set.views().iter().map(|view| &view.name);
    views.filter(|name| !named.contains(*name) && once(name)).cloned().collect()
}

fn context(limits: Limits) -> Result<SessionContext, QueryError> {
    let mut config = SessionConfig::new().with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // One type of text throughout.
    options.sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(sandbox::environment(limits)?)
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(state);
    for function in functions::all() {
        context.register_udf(function);
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "/*+++\nid = \"A-1\"\ntitle = \"t\"\nseverity = \"low\"\nrationale = \"r\"\n\
                        remediation = \"r\"\n+++*/\nSELECT * FROM top";

    fn session() -> Session {
        let set = RuleSet::from_texts(&[
            ("a/a.sql", RULE),
            ("views/step.sql", "SELECT 1 AS one UNION ALL SELECT 2"),
            ("views/shared.sql", "SELECT 3 AS three"),
            ("views/top.sql", "SELECT one, three FROM step CROSS JOIN shared"),
            ("views/other.sql", "SELECT three FROM shared"),
            ("views/hungry.sql", "SELECT value FROM generate_series(1, 1000) ORDER BY value DESC"),
        ]);
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = (time("2025-01-01T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        let limits = Limits::default();
        let frame = Frame { as_of: to, period: Period { from, to }, overrides: Vec::new(), limits };
        Session::open(&set.unwrap(), &Tables::new(), frame).unwrap()
    }

    fn rows(answer: &[RecordBatch]) -> usize {
        answer.iter().map(RecordBatch::num_rows).sum()
    }

    #[tokio::test]
    async fn a_view_that_only_one_other_is_made_of_is_let_go_with_it_and_comes_back_when_asked_for()
    {
        let session = session();
        let held = |name: &str| session.0.context.table_exist(name).unwrap();
        assert_eq!(rows(&session.query("SELECT * FROM top").await.unwrap()), 2);
        assert!(held("top") && held("shared") && !held("step"));
        assert_eq!(rows(&session.query("SELECT * FROM top").await.unwrap()), 2);
        assert!(!held("step"), "it is not computed again for what is there");
        assert_eq!(
            rows(&session.query("SELECT * FROM step JOIN top USING (one)").await.unwrap()),
            2
        );
        assert!(held("step"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn views_that_several_ask_for_at_once_are_there_for_all_of_them() {
        for _ in 0..20 {
            let session = session();
            let asked = ["top", "other", "top", "shared"].map(|view| {
                let session = session.clone();
                tokio::spawn(async move { session.query(&format!("SELECT * FROM {view}")).await })
            });
            for (answer, expected) in asked.into_iter().zip([2, 1, 2, 1]) {
                assert_eq!(rows(&answer.await.unwrap().unwrap()), expected);
            }
        }
    }

    #[tokio::test]
    async fn a_view_that_ran_into_a_limit_is_tried_again_only_when_that_is_allowed() {
        let session = session();
        let pool = &session.0.context.runtime_env().memory_pool;
        let taken = MemoryConsumer::new("another rule").register(pool);
        taken.try_grow(Limits::default().memory).unwrap();
        let none = Params::new();
        let ask = || session.query_with("SELECT * FROM hungry", &none);
        assert!(ask().await.unwrap_err().is_limit());
        taken.free();
        assert!(ask().await.unwrap_err().is_limit());
        session.forget_limits();
        assert_eq!(rows(&ask().await.unwrap()), 1000);
    }
}
