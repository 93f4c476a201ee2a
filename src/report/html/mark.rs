//! Marks: a verdict or a severity as a sign, a word and a colour, so that none carries the meaning
//! alone.

use std::fmt::{self, Display};

use crate::finding::{RuleResult, Severity, Status, Summary};

/// How one verdict is shown. Its `Display` is markup made of fixed words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
    /// What the word means, one sentence.
    pub(super) meaning: &'static str,
}

pub(super) const FAIL: Mark = Mark {
    class: "fail",
    sign: "✗",
    word: "fail",
    meaning: "The evidence shows that the rule is broken.",
};
pub(super) const ERROR: Mark = Mark {
    class: "error",
    sign: "!",
    word: "error",
    meaning: "The rule itself could not be run; nothing is known.",
};
pub(super) const UNDETERMINED: Mark = Mark {
    class: "undetermined",
    sign: "?",
    word: "undetermined",
    meaning: "The log cannot support a verdict. It is not a pass.",
};
pub(super) const WAIVED: Mark = Mark {
    class: "waived",
    sign: "◇",
    word: "waived",
    meaning: "The rule is broken, under a waiver in force; counted here alone.",
};
pub(super) const PASS: Mark = Mark {
    class: "pass",
    sign: "✓",
    word: "pass",
    meaning: "The evidence shows that the rule is kept, and nothing it rests on is unread.",
};
pub(super) const NOT_APPLICABLE: Mark = Mark {
    class: "na",
    sign: "–",
    word: "not applicable",
    meaning: "The rule does not apply to the subject.",
};

impl Mark {
    /// The mark of a status by itself.
    pub(super) fn of(status: Status) -> Self {
        match status {
            Status::Fail => FAIL,
            Status::Error => ERROR,
            Status::Undetermined => UNDETERMINED,
            Status::Pass => PASS,
            Status::NotApplicable => NOT_APPLICABLE,
        }
    }

    /// The mark of a result: `waived` where a waiver covers it.
    pub(super) fn of_result(result: &RuleResult) -> Self {
        if result.waived.is_some() { WAIVED } else { Self::of(result.status) }
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, sign, word, .. } = self;
        write!(f, r#"<span class="v {class}"><b aria-hidden="true">{sign}</b> {word}</span>"#)
    }
}

/// The counts with their marks, worst first.
pub(super) fn counts(summary: &Summary) -> [(Mark, u64); 6] {
    [
        (FAIL, summary.fail),
        (ERROR, summary.error),
        (UNDETERMINED, summary.undetermined),
        (WAIVED, summary.waived),
        (PASS, summary.pass),
        (NOT_APPLICABLE, summary.not_applicable),
    ]
}

/// The worst verdict that occurs.
pub(super) fn worst(summary: &Summary) -> Option<Mark> {
    counts(summary).into_iter().find(|(_, count)| *count > 0).map(|(mark, _)| mark)
}

/// Counts one more verdict.
pub(super) fn tally(summary: &mut Summary, status: Status, waived: bool) {
    let counter = match status {
        _ if waived => &mut summary.waived,
        Status::Pass => &mut summary.pass,
        Status::Fail => &mut summary.fail,
        Status::Undetermined => &mut summary.undetermined,
        Status::NotApplicable => &mut summary.not_applicable,
        Status::Error => &mut summary.error,
    };
    *counter += 1;
}

/// A severity as a pill of fixed words. Its `Display` is markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pill(pub(super) Severity);

impl Display for Pill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.as_str();
        write!(f, r#"<span class="sev {word}">{word}</span>"#)
    }
}
