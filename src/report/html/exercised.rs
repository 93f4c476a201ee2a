//! Keys exercised: the newest runs of `verify`, and what the log holds of them.

use askama::Template;

use super::context::{Capped, Cited, Context};
use super::{ROWS, filters};
use crate::report::{ExercisedLine, FailingCheck, MissingCall};

/// Most checks, missing calls and unexpected events shown of one run.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "report/exercised.html")]
pub(super) struct Exercised<'a> {
    rows: Capped<Row<'a>>,
}

/// One run.
struct Row<'a> {
    line: &'a ExercisedLine,
    class: &'static str,
    sign: &'static str,
    word: &'static str,
    age: String,
    failing: Capped<&'a FailingCheck>,
    traces: Vec<(&'static str, String, u64)>,
    missing: Capped<&'a MissingCall>,
    unexpected: Capped<Cited<'a>>,
}

impl<'a> Exercised<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let row = |line: &'a ExercisedLine| {
            let (class, sign, word) = verdict(line);
            Row {
                line,
                class,
                sign,
                word,
                age: age(context, line),
                failing: Capped::new(&line.failing, SHOWN),
                traces: traces(line),
                missing: Capped::new(&line.missing, SHOWN),
                unexpected: Capped::new(line.unexpected.iter().map(|id| context.cite(id)), SHOWN),
            }
        };
        Self { rows: Capped::new(context.data.exercised.iter().map(row), ROWS) }
    }
}

/// How a run came out. One that exercised nothing is never called good.
fn verdict(line: &ExercisedLine) -> (&'static str, &'static str, &'static str) {
    match () {
        () if line.failed > 0 => ("fail", "✗", "fails"),
        () if line.inconclusive > 0 => ("undetermined", "?", "inconclusive"),
        () if line.passed == 0 => ("undetermined", "?", "nothing shown"),
        () if line.level == "inventory" => ("na", "–", "read, not exercised"),
        () => ("pass", "✓", "holds"),
    }
}

/// How old a run is, in days, or hours below two days.
fn age(context: &Context<'_>, line: &ExercisedLine) -> String {
    let seconds = context.data.assessment.run.as_of.as_second() - line.ended.as_second();
    match seconds.max(0) / 3600 {
        0 => "less than an hour".to_owned(),
        hours @ 1..=47 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// The traces with their class, in words.
fn traces(line: &ExercisedLine) -> Vec<(&'static str, String, u64)> {
    let class = |trace: &str| match trace {
        "missing" | "unexpected" => "fail",
        "matched_by_key" | "matched_by_count" => "pass",
        "logging_disabled" => "undetermined",
        _ => "na",
    };
    let counts = line.traces.iter().flatten().take(20);
    counts.map(|(trace, count)| (class(trace), trace.replace('_', " "), *count)).collect()
}
