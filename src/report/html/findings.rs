//! Findings: a card for each failed result, then what could not be decided, passed or did not
//! apply, by rule.

use std::collections::BTreeMap;

use askama::Template;
use serde_json::Value;

use super::context::{Capped, Cited, Context, finding_anchor, gap_line, rule_anchor};
use super::mark::{Mark, Pill, WAIVED};
use super::{FINDINGS, ROWS, filters};
use crate::finding::{ControlVerdict, RuleInfo, RuleResult, Status, Subject};

/// Most cited events, inventory rows, gaps, clauses or facts on one card.
const ON_CARD: usize = 25;
/// Most subjects that one rule lists as passed.
const SUBJECTS: usize = 400;

#[derive(Template)]
#[template(path = "report/findings.html")]
pub(super) struct Findings<'a> {
    /// How many there are, shown or not.
    pub(super) count: u64,
    cards: Capped<Card<'a>>,
    undecided: Capped<Undecided<'a>>,
    passed: Vec<Group<'a>>,
    not_applicable: Vec<Group<'a>>,
}

struct Card<'a> {
    anchor: String,
    mark: Mark,
    pill: Pill,
    result: &'a RuleResult,
    rule: Option<&'a RuleInfo>,
    /// What to do; empty for rules in error, whose remedy is another.
    remediation: &'a str,
    rule_anchor: String,
    events: Capped<Cited<'a>>,
    /// Events beyond those that the result names.
    unnamed: u64,
    inventory: Capped<&'a String>,
    gaps: Capped<String>,
    controls: Capped<ControlRow<'a>>,
    facts: Capped<(&'a str, String)>,
}

struct ControlRow<'a> {
    control: &'a ControlVerdict,
    mark: Mark,
}

struct Undecided<'a> {
    anchor: String,
    result: &'a RuleResult,
    rule_anchor: String,
    pill: Pill,
    gaps: Capped<String>,
}

/// The subjects of one rule with the same verdict, reason and grade.
struct Group<'a> {
    rule: &'a str,
    rule_anchor: String,
    title: &'a str,
    reasons: Vec<Reason<'a>>,
}

struct Reason<'a> {
    code: &'a str,
    grade: &'static str,
    count: usize,
    subjects: Capped<Option<&'a Subject>>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let results = &context.data.assessment.results;
        let found = found(results);
        let undecided = results.iter().filter(|result| result.status == Status::Undetermined);
        Self {
            count: u64::try_from(found.len()).unwrap_or(u64::MAX),
            cards: Capped::new(found.into_iter().map(|result| card(context, result)), FINDINGS),
            undecided: Capped::new(undecided.map(undecided_row), FINDINGS),
            passed: groups(context, Status::Pass),
            not_applicable: groups(context, Status::NotApplicable),
        }
    }
}

/// The failed results: open before waived, worse before milder, the rules' order within.
fn found(results: &[RuleResult]) -> Vec<&RuleResult> {
    let mut found: Vec<&RuleResult> =
        results.iter().filter(|r| matches!(r.status, Status::Fail | Status::Error)).collect();
    found.sort_by_key(|result| (result.waived.is_some(), std::cmp::Reverse(result.severity)));
    found
}

/// The results that stand in this section under an anchor of their own.
pub(super) fn anchored(results: &[RuleResult]) -> impl Iterator<Item = &RuleResult> {
    let undecided = results.iter().filter(|result| result.status == Status::Undetermined);
    found(results).into_iter().take(FINDINGS).chain(undecided.take(FINDINGS))
}

fn card<'a>(context: &Context<'a>, result: &'a RuleResult) -> Card<'a> {
    let named = u64::try_from(result.evidence.len()).unwrap_or(u64::MAX);
    let control = |control: &'a ControlVerdict| ControlRow {
        control,
        mark: if result.waived.is_some() { WAIVED } else { Mark::of(control.verdict) },
    };
    let rule = context.rules.get(result.rule.as_str()).copied();
    let remedy = rule.filter(|_| result.status == Status::Fail);
    Card {
        anchor: finding_anchor(result),
        mark: Mark::of_result(result),
        pill: Pill(result.severity),
        result,
        rule,
        remediation: remedy.map_or("", |rule| rule.remediation.as_str()),
        rule_anchor: rule_anchor(&result.rule),
        events: Capped::new(result.evidence.iter().map(|id| context.cite(id)), ON_CARD),
        unnamed: result.evidence_count.saturating_sub(named),
        inventory: Capped::new(&result.inventory_refs, ON_CARD),
        gaps: Capped::new(result.gaps.iter().map(gap_line), ON_CARD),
        controls: Capped::new(result.controls.iter().map(control), ON_CARD),
        facts: Capped::new(result.facts.iter().map(|(n, v)| (n.as_str(), fact(v))), ON_CARD),
    }
}

/// A fact in words: text as it is, the rest as JSON.
fn fact(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

fn undecided_row(result: &RuleResult) -> Undecided<'_> {
    Undecided {
        anchor: finding_anchor(result),
        result,
        rule_anchor: rule_anchor(&result.rule),
        pill: Pill(result.severity),
        gaps: Capped::new(result.gaps.iter().map(gap_line), ON_CARD),
    }
}

fn groups<'a>(context: &Context<'a>, status: Status) -> Vec<Group<'a>> {
    type Reasons<'a> = BTreeMap<(&'a str, &'static str), Vec<Option<&'a Subject>>>;
    let mut rules: BTreeMap<&str, Reasons<'a>> = BTreeMap::new();
    for result in context.data.assessment.results.iter().filter(|r| r.status == status) {
        let grade = result.grade.map_or("–", crate::finding::Grade::as_str);
        let reasons = rules.entry(&result.rule).or_default();
        reasons.entry((&result.reason, grade)).or_default().push(result.subject.as_ref());
    }
    rules
        .into_iter()
        .take(ROWS)
        .map(|(rule, reasons)| Group {
            rule,
            rule_anchor: rule_anchor(rule),
            title: context.rule_title(rule),
            reasons: reasons.into_iter().take(ROWS).map(reason).collect(),
        })
        .collect()
}

fn reason<'a>(
    ((code, grade), subjects): ((&'a str, &'static str), Vec<Option<&'a Subject>>),
) -> Reason<'a> {
    Reason { code, grade, count: subjects.len(), subjects: Capped::new(subjects, SUBJECTS) }
}
