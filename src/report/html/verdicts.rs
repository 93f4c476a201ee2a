//! Verdicts by rule, and by the clauses of outside frameworks.

use std::collections::BTreeMap;

use askama::Template;

use super::context::{Capped, Context, rule_anchor};
use super::mark::{Mark, Pill, counts, tally, worst};
use super::{ROWS, filters};
use crate::finding::{Control, Summary};
use crate::report::timeline;

#[derive(Template)]
#[template(path = "report/verdicts.html")]
pub(super) struct Verdicts<'a> {
    rules: Capped<RuleRow<'a>>,
    frameworks: Capped<Framework<'a>>,
}

struct RuleRow<'a> {
    id: &'a str,
    anchor: String,
    title: &'a str,
    pill: Pill,
    counts: [(Mark, u64); 6],
    bar: String,
}

struct Framework<'a> {
    name: &'a str,
    clauses: Vec<Clause<'a>>,
}

/// One clause of a framework with the rules that speak to it.
struct Clause<'a> {
    number: &'a str,
    rules: Vec<Speaking<'a>>,
}

/// What one rule says about a clause.
struct Speaking<'a> {
    id: &'a str,
    anchor: String,
    title: &'a str,
    strength: &'static str,
    verdict: Option<Mark>,
    counts: Vec<(Mark, u64)>,
    requires: Option<&'a str>,
    notes: Capped<(&'a str, u64)>,
}

/// The verdicts of one rule for one clause.
#[derive(Default)]
struct Heard<'a> {
    summary: Summary,
    notes: BTreeMap<&'a str, u64>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self { rules: Capped::new(rules(context), ROWS), frameworks: frameworks(context) }
    }
}

fn rules<'a>(context: &Context<'a>) -> Vec<RuleRow<'a>> {
    let assessment = &context.data.assessment;
    let mut rules: BTreeMap<&str, (Summary, Pill)> = BTreeMap::new();
    for rule in &assessment.rules {
        rules.insert(&rule.id, (Summary::default(), Pill(rule.severity)));
    }
    for result in &assessment.results {
        let unknown = (Summary::default(), Pill(result.severity));
        rules.entry(&result.rule).or_insert(unknown).0.count(result);
    }
    rules
        .into_iter()
        .map(|(id, (summary, pill))| RuleRow {
            id,
            anchor: rule_anchor(id),
            title: context.rule_title(id),
            pill,
            counts: counts(&summary),
            bar: timeline::verdicts(summary, 60),
        })
        .collect()
}

type Heards<'a> = BTreeMap<(&'a str, Vec<Part<'a>>, &'a Control, &'a str), Heard<'a>>;

fn frameworks<'a>(context: &Context<'a>) -> Capped<Framework<'a>> {
    let mut heard = Heards::new();
    for rule in &context.data.assessment.rules {
        for control in &rule.controls {
            heard.entry(place(control, &rule.id)).or_default();
        }
    }
    for result in &context.data.assessment.results {
        for verdict in &result.controls {
            let entry = heard.entry(place(&verdict.control, &result.rule)).or_default();
            tally(&mut entry.summary, verdict.verdict, result.waived.is_some());
            if let Some(note) = &verdict.note {
                *entry.notes.entry(note).or_default() += 1;
            }
        }
    }
    let heard = Capped::new(heard, ROWS);
    let mut frameworks: Vec<Framework<'a>> = Vec::new();
    for ((name, _, control, rule), heard) in heard.rows {
        if frameworks.last().is_none_or(|last| last.name != name) {
            frameworks.push(Framework { name, clauses: Vec::new() });
        }
        if let Some(framework) = frameworks.last_mut() {
            framework.add(control, speaking(context, control, rule, &heard));
        }
    }
    Capped { rows: frameworks, more: heard.more }
}

impl<'a> Framework<'a> {
    fn add(&mut self, control: &'a Control, speaking: Speaking<'a>) {
        match self.clauses.last_mut() {
            Some(clause) if clause.number == control.control => clause.rules.push(speaking),
            _ => self.clauses.push(Clause { number: &control.control, rules: vec![speaking] }),
        }
    }
}

fn place<'a>(
    control: &'a Control,
    rule: &'a str,
) -> (&'a str, Vec<Part<'a>>, &'a Control, &'a str) {
    (&control.framework, natural(&control.control), control, rule)
}

fn speaking<'a>(
    context: &Context<'a>,
    control: &'a Control,
    rule: &'a str,
    heard: &Heard<'a>,
) -> Speaking<'a> {
    Speaking {
        id: rule,
        anchor: rule_anchor(rule),
        title: context.rule_title(rule),
        strength: control.strength.as_str(),
        verdict: worst(&heard.summary),
        counts: counts(&heard.summary).into_iter().filter(|(_, count)| *count > 0).collect(),
        requires: control.requires.as_deref(),
        notes: Capped::new(heard.notes.iter().map(|(note, count)| (*note, *count)), 10),
    }
}

/// A part of a clause's number: numbers sort before words, and as numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(usize, &'a str),
    Word(&'a str),
}

/// The parts of a clause's number, so that 3.7.10 follows 3.7.9.
fn natural(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(if digits {
            let number = part.trim_start_matches('0');
            Part::Number(number.len(), number)
        } else {
            Part::Word(part)
        });
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_sort_by_their_numbers() {
        let mut clauses = ["3.7.10", "A.8.24", "3.7.9", "3.7.9.1", "AC-3(2)", "AC-10", "3.7"];
        clauses.sort_by_key(|clause| natural(clause));
        assert_eq!(clauses, ["3.7", "3.7.9", "3.7.9.1", "3.7.10", "A.8.24", "AC-3(2)", "AC-10"]);
    }
}
