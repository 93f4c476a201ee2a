//! Dual control: privileged operations with who did them and who approved.

use std::collections::BTreeMap;

use askama::Template;

use super::context::{Capped, Cited, Context};
use super::{ROWS, filters};
use crate::report::OperationLine;

/// How the state of approval is shown, and what it means.
struct Approval {
    word: &'static str,
    class: &'static str,
    sign: &'static str,
    meaning: &'static str,
}

const APPROVALS: [Approval; 4] = [
    Approval { word: "none", class: "fail", sign: "✗", meaning: "no trace of a second person" },
    Approval {
        word: "unresolved",
        class: "undetermined",
        sign: "?",
        meaning: "it cannot be told whether two persons acted",
    },
    Approval {
        word: "approval",
        class: "pass",
        sign: "✓",
        meaning: "an approval by another person is on record",
    },
    Approval {
        word: "quorum",
        class: "pass",
        sign: "✓",
        meaning: "the platform itself asked for several persons",
    },
];

/// For words that the table does not know.
const OTHER: Approval = Approval { word: "", class: "na", sign: "·", meaning: "" };

#[derive(Template)]
#[template(path = "report/operations.html")]
pub(super) struct Operations<'a> {
    rows: Capped<Row<'a>>,
    counts: Vec<(&'static Approval, u64)>,
}

struct Row<'a> {
    line: &'a OperationLine,
    approval: &'static Approval,
    event: Cited<'a>,
}

impl<'a> Operations<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let lines = &context.data.operations;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for line in lines {
            *counts.entry(&line.approval).or_default() += 1;
        }
        let counts = APPROVALS.iter().map(|a| (a, counts.get(a.word).copied().unwrap_or(0)));
        let row = |line: &'a OperationLine| Row {
            line,
            approval: approval(&line.approval),
            event: context.cite(&line.event_id),
        };
        let chosen = choose(lines);
        let rows = chosen.rows.into_iter().map(row).collect();
        Self { rows: Capped { rows, more: chosen.more }, counts: counts.collect() }
    }
}

fn approval(word: &str) -> &'static Approval {
    APPROVALS.iter().find(|approval| approval.word == word).unwrap_or(&OTHER)
}

/// Where there are too many, those without a second person are kept; the order by time stays.
fn choose(lines: &[OperationLine]) -> Capped<&OperationLine> {
    let shown = |line: &&OperationLine| approval(&line.approval).class == "pass";
    let mut places: Vec<(bool, usize)> =
        lines.iter().enumerate().map(|(index, line)| (shown(&line), index)).collect();
    places.sort_unstable();
    let more = places.len().saturating_sub(ROWS);
    places.truncate(ROWS);
    places.sort_unstable_by_key(|(_, index)| *index);
    let rows = places.into_iter().filter_map(|(_, index)| lines.get(index)).collect();
    Capped { rows, more }
}
