//! Puts parameters into a parsed statement as typed literals, before planning: the planner cannot
//! infer the type of a placeholder within time arithmetic.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut as _, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use jiff::Timestamp;

use crate::finding::Period;

use super::param::Params;

/// What each `$name` stands for, as SQL.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings(BTreeMap<String, String>);

impl Bindings {
    /// The three times that every query has.
    pub(super) fn times(as_of: Timestamp, period: Period) -> Self {
        Self(BTreeMap::from([
            ("as_of".to_owned(), time(as_of)),
            ("period_from".to_owned(), time(period.from)),
            ("period_to".to_owned(), time(period.to)),
        ]))
    }

    /// The same with the parameters of a rule or view.
    pub(super) fn with(&self, params: &Params) -> Self {
        let mut all = self.0.clone();
        all.extend(params.iter().flat_map(|(name, param)| param.literals(name)));
        Self(all)
    }

    /// Replaces every placeholder in `statement`. The error names one that is not known, and those
    /// that are.
    pub(super) fn bind(&self, statement: &mut Statement) -> Result<(), String> {
        let Statement::Statement(statement) = statement else { return Ok(()) };
        match statement.visit(&mut Binder(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(problem) => Err(problem),
        }
    }

    fn literal(&self, placeholder: &str) -> Result<Expr, String> {
        let sql = placeholder.strip_prefix('$').and_then(|name| self.0.get(name));
        let Some(sql) = sql else {
            let whole = placeholder.strip_prefix('$').and_then(|name| name.strip_suffix("_days"));
            if let Some(name) = whole.filter(|name| self.0.contains_key(&format!("{name}_seconds")))
            {
                return Err(format!("`{placeholder}` needs `{name}` in whole days"));
            }
            let known: Vec<String> = self.0.keys().map(|name| format!("${name}")).collect();
            return Err(format!(
                "`{placeholder}` is not known; known here are {}",
                known.join(", ")
            ));
        };
        Parser::new(&GenericDialect {})
            .try_with_sql(sql)
            .and_then(|mut parser| parser.parse_expr())
            .map(|literal| Expr::Nested(Box::new(literal)))
            .map_err(|error| format!("`{placeholder}` cannot be written as a literal: {error}"))
    }
}

/// A time as an SQL literal of the type that all time columns have.
fn time(time: Timestamp) -> String {
    format!("arrow_cast('{time}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

struct Binder<'a>(&'a Bindings);

impl VisitorMut for Binder<'_> {
    type Break = String;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            match self.0.literal(name) {
                Ok(literal) => *expr = literal,
                Err(problem) => return ControlFlow::Break(problem),
            }
        }
        ControlFlow::Continue(())
    }
}
