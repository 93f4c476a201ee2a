//! The first page: what was judged, how it came out, and the worst of it.

use askama::Template;

use super::context::{Capped, Context, finding_anchor};
use super::filters;
use super::mark::{Mark, Pill, counts};
use crate::finding::{RuleResult, RunInfo, Severity, Status, Summary as Tally};
use crate::report::timeline;

/// How many findings the first page names.
const TOP: usize = 10;

#[derive(Template)]
#[template(path = "report/summary.html")]
pub(super) struct Summary<'a> {
    title: &'a str,
    run: &'a RunInfo,
    total: u64,
    counts: [(Mark, u64); 6],
    bar: String,
    severities: Vec<SeverityRow>,
    top: Capped<TopFinding<'a>>,
    rules: usize,
    keys: usize,
    events: u64,
}

struct SeverityRow {
    pill: Pill,
    counts: [(Mark, u64); 6],
    bar: String,
}

struct TopFinding<'a> {
    pill: Pill,
    result: &'a RuleResult,
    anchor: String,
}

impl<'a> Summary<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let assessment = &context.data.assessment;
        let tally = assessment.summary();
        Self {
            title: &context.data.title,
            run: &assessment.run,
            total: counts(&tally).iter().map(|(_, count)| count).sum(),
            counts: counts(&tally),
            bar: timeline::verdicts(tally, 22),
            severities: severities(&assessment.results),
            top: top(context),
            rules: assessment.rules.len(),
            keys: context.data.keys.len(),
            events: context.data.population.iter().map(|ledger| ledger.events).sum(),
        }
    }

    /// How many results say nothing either way.
    fn unknown(&self) -> u64 {
        self.count("undetermined") + self.count("error")
    }

    fn count(&self, class: &str) -> u64 {
        self.counts.iter().filter(|(mark, _)| mark.class == class).map(|(_, count)| count).sum()
    }
}

/// The verdicts by severity, worst first; severities without results are left out.
fn severities(results: &[RuleResult]) -> Vec<SeverityRow> {
    let mut rows = Vec::new();
    for severity in Severity::ALL.iter().rev().copied() {
        let mut tally = Tally::default();
        results.iter().filter(|result| result.severity == severity).for_each(|r| tally.count(r));
        if tally != Tally::default() {
            let bar = timeline::verdicts(tally, 22);
            rows.push(SeverityRow { pill: Pill(severity), counts: counts(&tally), bar });
        }
    }
    rows
}

fn top<'a>(context: &Context<'a>) -> Capped<TopFinding<'a>> {
    let failed = |result: &&RuleResult| result.status == Status::Fail && result.waived.is_none();
    let mut findings: Vec<&RuleResult> =
        context.data.assessment.results.iter().filter(failed).collect();
    findings.sort_by_key(|result| std::cmp::Reverse(result.severity));
    let line = |result: &'a RuleResult| TopFinding {
        pill: Pill(result.severity),
        result,
        anchor: finding_anchor(result),
    };
    Capped::new(findings.into_iter().map(line), TOP)
}
