//! Rows of a query as typed facts.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::rule::{RuleError, Session, to_json};

/// One row of an answer.
pub(super) struct Row(Map<String, Value>);

impl Row {
    /// The text in a column; `None` for null.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.0.get(column).and_then(Value::as_str).map(str::to_owned)
    }

    /// The text in a column that is never null; empty should it be.
    pub(super) fn word(&self, column: &str) -> String {
        self.text(column).unwrap_or_default()
    }

    /// The time in a column.
    pub(super) fn time(&self, column: &str) -> Option<Timestamp> {
        self.0.get(column).and_then(Value::as_str).and_then(|text| text.parse().ok())
    }

    /// The whole number in a column; 0 for null.
    pub(super) fn number(&self, column: &str) -> i64 {
        self.0.get(column).and_then(Value::as_i64).unwrap_or(0)
    }

    /// A count.
    pub(super) fn count(&self, column: &str) -> u64 {
        u64::try_from(self.number(column)).unwrap_or(0)
    }

    /// The truth value in a column.
    pub(super) fn flag(&self, column: &str) -> Option<bool> {
        self.0.get(column).and_then(Value::as_bool)
    }
}

/// Runs a query and reads its rows.
pub(super) async fn rows(views: &Session, sql: &str) -> Result<Vec<Row>, RuleError> {
    let batches = views.query(sql).await?;
    Ok(batches.iter().flat_map(to_json).map(Row).collect())
}

/// A text as an SQL literal.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
