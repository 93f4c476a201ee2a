//! The page of a run of `verify`: whether the token is good, then why, then everything else.

mod log;
mod matrix;

use std::fmt::{self, Display};
use std::io::Write;

use askama::Template;

use super::context::Capped;
use super::text::{Visible, block};
use super::{ROWS, STYLE, filters, policy};
use crate::finding::Summary;
use crate::report::verification::{
    CallView, CheckView, MechanismView, PromiseView, Ruling, RunView, Shown, TokenView,
    VerificationPage,
};
use crate::report::{ReportError, timeline};

/// Most checks shown in full, of those that did not pass and of all.
const CHECKS: usize = 500;
/// Most facts of one check or key.
const FACTS: usize = 60;
/// Most characters of one fact.
const FACT: usize = 4000;

#[derive(Template)]
#[template(path = "verification.html")]
struct Page<'a> {
    policy: String,
    style: &'static str,
    token: &'a TokenView,
    run: &'a RunView,
    answer: Answer,
    leaks: Vec<&'a PromiseView>,
    tiles: [Tile; 6],
    bar: String,
    open: [Group<'a>; 4],
    matrix: matrix::Matrix<'a>,
    levels: Vec<Group<'a>>,
    log: Option<log::Log<'a>>,
    mechanisms: Capped<&'a MechanismView>,
    calls: Capped<&'a CallView>,
    length: String,
}

/// The answer to the first question: is the token good?
struct Answer {
    class: &'static str,
    sign: &'static str,
    words: &'static str,
}

/// A count with its word.
struct Tile {
    mark: RulingMark,
    word: &'static str,
    count: u64,
}

/// Checks under one heading.
struct Group<'a> {
    title: &'a str,
    checks: Capped<CheckCard<'a>>,
}

/// A check, ready to be shown.
struct CheckCard<'a> {
    check: &'a CheckView,
    mark: RulingMark,
    anchor: String,
    evidence: Capped<(&'a str, String)>,
}

/// A ruling as sign, word and colour. Its `Display` is markup made of fixed words.
#[derive(Clone, Copy)]
struct RulingMark(Ruling);

impl RulingMark {
    /// The class of the style sheet, and the sign.
    fn look(self) -> (&'static str, &'static str) {
        match self.0 {
            Ruling::Fail => ("fail", "✗"),
            Ruling::Missing => ("error", "!"),
            Ruling::Inconclusive => ("undetermined", "?"),
            Ruling::Advisory => ("waived", "◇"),
            Ruling::Pass => ("pass", "✓"),
            Ruling::NotSupported | Ruling::NotApplicable | Ruling::Skipped => ("na", "–"),
        }
    }

    fn class(self) -> &'static str {
        self.look().0
    }

    fn sign(self) -> &'static str {
        self.look().1
    }
}

impl Display for RulingMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((class, sign), word) = (self.look(), self.0.as_str());
        write!(f, r#"<span class="v {class}"><b aria-hidden="true">{sign}</b> {word}</span>"#)
    }
}

/// Writes the page of a run.
///
/// # Errors
/// When `out` cannot be written.
pub fn verification_html(data: &VerificationPage, out: &mut dyn Write) -> Result<(), ReportError> {
    let page = Page::new(data);
    let mut buffered = std::io::BufWriter::new(out);
    let mut visible = Visible::new(&mut buffered);
    let laid_out = page.render_into(&mut visible);
    visible.finish()?;
    laid_out.map_err(ReportError::Layout)?;
    Ok(buffered.flush()?)
}

impl<'a> Page<'a> {
    fn new(data: &'a VerificationPage) -> Self {
        let count = |wanted: &[Ruling]| {
            let found = data.checks.iter().filter(|check| wanted.contains(&check.ruling)).count();
            u64::try_from(found).unwrap_or(u64::MAX)
        };
        let tile = |ruling, word, wanted: &[Ruling]| Tile {
            mark: RulingMark(ruling),
            word,
            count: count(wanted),
        };
        let others = [Ruling::NotSupported, Ruling::NotApplicable, Ruling::Skipped];
        let tiles = [
            tile(Ruling::Fail, "failed", &[Ruling::Fail]),
            tile(Ruling::Missing, "required, not shown", &[Ruling::Missing]),
            tile(Ruling::Inconclusive, "inconclusive", &[Ruling::Inconclusive]),
            tile(Ruling::Advisory, "advisory", &[Ruling::Advisory]),
            tile(Ruling::Pass, "passed", &[Ruling::Pass]),
            tile(Ruling::Skipped, "not supported, not applicable, left out", &others),
        ];
        Self {
            policy: policy(),
            style: STYLE,
            token: &data.token,
            run: &data.run,
            answer: answer(data),
            leaks: leaks(data),
            bar: timeline::verdicts(summary(&tiles), 22),
            tiles,
            open: open(&data.checks),
            matrix: matrix::Matrix::new(data),
            levels: levels(&data.checks),
            log: data.log.as_ref().map(log::Log::new),
            mechanisms: Capped::new(&data.token.mechanisms, ROWS),
            calls: Capped::new(&data.calls, ROWS),
            length: length(&data.run),
        }
    }

    fn count(&self, ruling: Ruling) -> u64 {
        self.tiles.iter().filter(|tile| tile.mark.0 == ruling).map(|tile| tile.count).sum()
    }

    fn failed(&self) -> u64 {
        self.count(Ruling::Fail) + self.count(Ruling::Missing)
    }

    fn total(&self) -> u64 {
        self.tiles.iter().map(|tile| tile.count).sum()
    }

    fn has_open(&self) -> bool {
        self.open.iter().any(|group| !group.checks.rows.is_empty())
    }
}

/// The answer in one line. What was not exercised is never called good.
fn answer(data: &VerificationPage) -> Answer {
    let any = |ruling: Ruling| data.checks.iter().any(|check| check.ruling == ruling);
    let (class, sign, words) = match () {
        () if token_fails(data) => ("fail", "✗", "The token does not keep what it promises"),
        () if any(Ruling::Fail) => ("fail", "✗", "Keys are not as they should be"),
        () if any(Ruling::Missing) => ("fail", "✗", "What the policy requires was not shown"),
        () if any(Ruling::Inconclusive) => ("undetermined", "?", "Not all could be told"),
        () if !data.run.remains.is_empty() => {
            ("undetermined", "?", "Temporary keys may be left on the token")
        }
        () if !any(Ruling::Pass) => ("undetermined", "?", "Nothing was shown"),
        () if !data.run.exercised => {
            ("na", "–", "Nothing amiss in what the token says; no key was exercised")
        }
        () => ("pass", "✓", "Every check that was made holds"),
    };
    Answer { class, sign, words }
}

/// Whether the token itself fails, not just the way in which keys on it are set up.
fn token_fails(data: &VerificationPage) -> bool {
    data.checks.iter().any(|check| check.ruling == Ruling::Fail && check.key.is_none())
}

/// The promises of secrecy that the token breaks.
fn leaks(data: &VerificationPage) -> Vec<&PromiseView> {
    data.promises.iter().filter(|p| p.wanted && p.shown == Shown::Broken).collect()
}

/// The tiles as the parts of a bar, which is drawn for the verdicts of rules.
fn summary(tiles: &[Tile; 6]) -> Summary {
    let [fail, error, undetermined, waived, pass, not_applicable] =
        tiles.each_ref().map(|tile| tile.count);
    Summary { pass, fail, undetermined, not_applicable, error, waived }
}

/// What did not pass, by kind, worst first.
fn open(checks: &[CheckView]) -> [Group<'_>; 4] {
    let kinds = [
        ("Failed", Ruling::Fail),
        ("Required by the policy, and not shown", Ruling::Missing),
        ("Inconclusive", Ruling::Inconclusive),
        ("Advisory: the standard allows it, how keys are set up must prevent it", Ruling::Advisory),
    ];
    kinds.map(|(title, ruling)| {
        let found = checks.iter().enumerate().filter(|(_, check)| check.ruling == ruling);
        Group { title, checks: Capped::new(found.map(card), CHECKS) }
    })
}

/// All checks, by level.
fn levels(checks: &[CheckView]) -> Vec<Group<'_>> {
    let mut names: Vec<&str> = Vec::new();
    for check in checks {
        if !names.contains(&check.level.as_str()) && names.len() < FACTS {
            names.push(&check.level);
        }
    }
    let group = |level| {
        let found = checks.iter().enumerate().filter(|(_, check)| check.level == level);
        Group { title: level, checks: Capped::new(found.map(card), CHECKS) }
    };
    names.into_iter().map(group).collect()
}

fn card((place, check): (usize, &CheckView)) -> CheckCard<'_> {
    let facts = check.evidence.iter().map(|(name, value)| (name.as_str(), block(value, FACT)));
    CheckCard {
        check,
        mark: RulingMark(check.ruling),
        anchor: format!("c-{place}"),
        evidence: Capped::new(facts, FACTS),
    }
}

/// How long the run took, in seconds to one place.
fn length(run: &RunView) -> String {
    let millis = run.ended.as_millisecond().saturating_sub(run.started.as_millisecond()).max(0);
    format!("{}.{} s", millis / 1000, (millis % 1000) / 100)
}
