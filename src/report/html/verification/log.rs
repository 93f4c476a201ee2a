//! The calls of a run beside the log: by function, and one by one where something is missing.

use std::collections::BTreeMap;

use super::super::ROWS;
use super::super::context::Capped;
use crate::finding::Summary;
use crate::report::timeline;
use crate::report::verification::{LogStepView, LogView, Trace};

/// The traces with class, sign and words, in the order of [`Trace::ALL`].
pub(super) const TRACES: [TraceMark; 6] = [
    TraceMark {
        trace: Trace::Missing,
        class: "fail",
        sign: "✗",
        word: "missing",
        meaning: "the log should have it and does not",
    },
    TraceMark {
        trace: Trace::LoggingDisabled,
        class: "undetermined",
        sign: "?",
        word: "logging disabled",
        meaning: "the category of log is switched off",
    },
    TraceMark {
        trace: Trace::MatchedByCount,
        class: "waived",
        sign: "◇",
        word: "matched by count",
        meaning: "as many events as calls; the log does not name the key",
    },
    TraceMark {
        trace: Trace::MatchedByKey,
        class: "pass",
        sign: "✓",
        word: "matched by key",
        meaning: "an event names the operation and the key",
    },
    TraceMark {
        trace: Trace::Refused,
        class: "na",
        sign: "–",
        word: "refused",
        meaning: "libraries refuse much before the token hears of it",
    },
    TraceMark {
        trace: Trace::NotLogged,
        class: "na",
        sign: "·",
        word: "not logged by design",
        meaning: "the provider writes nothing of such calls",
    },
];

/// How a trace is shown.
pub(super) struct TraceMark {
    pub(super) trace: Trace,
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
    pub(super) meaning: &'static str,
}

/// The calls beside the log.
pub(super) struct Log<'a> {
    pub(super) view: &'a LogView,
    pub(super) counts: Vec<(&'static TraceMark, u64)>,
    pub(super) functions: Capped<Function<'a>>,
    pub(super) missing: Capped<&'a LogStepView>,
    pub(super) unexpected: Capped<&'a str>,
}

/// The calls of one function.
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) counts: Vec<(&'static TraceMark, u64)>,
    pub(super) bar: String,
}

impl<'a> Log<'a> {
    pub(super) fn new(view: &'a LogView) -> Self {
        let mut functions: BTreeMap<&str, BTreeMap<Trace, u64>> = BTreeMap::new();
        let mut all: BTreeMap<Trace, u64> = BTreeMap::new();
        for step in &view.steps {
            *functions.entry(&step.function).or_default().entry(step.trace).or_default() += 1;
            *all.entry(step.trace).or_default() += 1;
        }
        let function = |(name, counts): (&'a str, BTreeMap<Trace, u64>)| Function {
            name,
            bar: timeline::verdicts(summary(&counts), 60),
            counts: marked(&counts),
        };
        let missing = view.steps.iter().filter(|step| step.trace == Trace::Missing);
        Self {
            view,
            counts: marked(&all),
            functions: Capped::new(functions.into_iter().map(function), ROWS),
            missing: Capped::new(missing, ROWS),
            unexpected: Capped::new(view.unexpected.iter().map(String::as_str), ROWS),
        }
    }

    /// How many calls are missing, those not shown too.
    pub(super) fn count_missing(&self) -> usize {
        self.missing.rows.len() + self.missing.more
    }

    /// Whether the log has all that it should have, and nothing that nobody did.
    pub(super) fn complete(&self) -> bool {
        self.missing.rows.is_empty() && self.unexpected.rows.is_empty()
    }
}

fn marked(counts: &BTreeMap<Trace, u64>) -> Vec<(&'static TraceMark, u64)> {
    TRACES.iter().map(|mark| (mark, counts.get(&mark.trace).copied().unwrap_or(0))).collect()
}

/// The traces as the parts of a bar, which is drawn for the verdicts of rules.
fn summary(counts: &BTreeMap<Trace, u64>) -> Summary {
    let of = |trace: Trace| counts.get(&trace).copied().unwrap_or(0);
    Summary {
        fail: of(Trace::Missing),
        undetermined: of(Trace::LoggingDisabled),
        waived: of(Trace::MatchedByCount),
        pass: of(Trace::MatchedByKey),
        not_applicable: of(Trace::Refused) + of(Trace::NotLogged),
        error: 0,
    }
}
