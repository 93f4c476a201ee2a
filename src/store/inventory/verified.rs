//! The columns of a run of `verify`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use serde_json::Value;

use super::{details, flags, numbers, text};
use crate::event::batch::times;
use crate::finding::verified::{Verified, VerifiedRow};

/// The columns after those that every snapshot begins with.
pub(super) fn columns(run: &Verified) -> Vec<ArrayRef> {
    let mut columns = of_run(run);
    columns.extend(of_rows(&run.rows));
    columns
}

fn of_run(Verified { run, rows }: &Verified) -> Vec<ArrayRef> {
    let count = rows.len();
    let same = |value: Option<&str>| text(std::iter::repeat_n(value, count));
    let log = run.log.as_ref().map(Value::to_string);
    vec![
        same(Some(&run.id)),
        same(run.name.as_deref()),
        flags(std::iter::repeat_n(Some(run.production), count)),
        same(Some(&run.level)),
        times(std::iter::repeat_n(Some(run.started), count)),
        times(std::iter::repeat_n(Some(run.ended), count)),
        same(Some(&run.tool_version)),
        same(Some(&run.module_sha256)),
        same(Some(&run.token)),
        same(Some(&run.token_serial)),
        same(Some(&run.token_model)),
        same(log.as_deref()),
    ]
}

fn of_rows(rows: &[VerifiedRow]) -> Vec<ArrayRef> {
    let json = |read: fn(&VerifiedRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(read).collect::<StringArray>())
    };
    vec![
        text(rows.iter().map(|row| Some(row.check.as_str()))),
        numbers(rows.iter().map(|row| Some(row.version))),
        text(rows.iter().map(|row| Some(row.level.as_str()))),
        text(rows.iter().map(|row| Some(row.title.as_str()))),
        text(rows.iter().map(|row| Some(row.subject_kind))),
        text(rows.iter().map(|row| Some(row.subject.as_str()))),
        text(rows.iter().map(|row| row.key_id.as_deref())),
        text(rows.iter().map(|row| row.key_spec.as_deref())),
        text(rows.iter().map(|row| Some(row.verdict))),
        flags(rows.iter().map(|row| Some(row.required))),
        flags(rows.iter().map(|row| Some(row.advisory))),
        flags(rows.iter().map(|row| Some(row.fails))),
        text(rows.iter().map(|row| row.function.as_deref())),
        text(rows.iter().map(|row| row.rv.as_deref())),
        text(rows.iter().map(|row| Some(row.message.as_str()))),
        details(rows.iter().map(|row| &row.evidence)),
        json(|row| row.known.as_ref().map(Value::to_string)),
        json(|row| (!row.calls.is_empty()).then(|| Value::from(row.calls.clone()).to_string())),
        times(rows.iter().map(|row| Some(row.started))),
        times(rows.iter().map(|row| Some(row.ended))),
    ]
}
