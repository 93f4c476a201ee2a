//! Coverage: first what could not be seen (kinds of log that are missing, gaps, rules that could
//! not decide), then what is proven read, and how.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::context::{Capped, Context, end, length, region, rule_anchor, stretch};
use super::mark::Pill;
use super::{ROWS, filters};
use crate::finding::{Period, Status};
use crate::report::timeline::{self, Reading, Scale, Strip};

/// Most stretches written out beside one strip.
const STRETCHES: usize = 12;

#[derive(Template)]
#[template(path = "report/coverage.html")]
pub(super) struct Coverage<'a> {
    missing: Capped<Missing<'a>>,
    gaps: Capped<GapRow<'a>>,
    undecided: Capped<Undecided<'a>>,
    ledgers: Capped<Ledger<'a>>,
    axis: String,
}

/// A kind of log that rules need, of which nothing is proven read in the period.
struct Missing<'a> {
    provider: &'a str,
    kind: &'a str,
    rules: Vec<RuleLink<'a>>,
}

struct RuleLink<'a> {
    id: &'a str,
    anchor: String,
}

/// A stretch that is not proven read.
struct GapRow<'a> {
    place: Place<'a>,
    from: String,
    to: String,
    length: String,
    detail: &'a str,
    rules: Vec<RuleLink<'a>>,
}

/// A rule with results that could not be decided, by reason.
struct Undecided<'a> {
    rule: RuleLink<'a>,
    pill: Pill,
    title: &'a str,
    reasons: Vec<(&'a str, u64)>,
    of: u64,
}

/// Where a log comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    ledger: &'a str,
    kind: &'a str,
    region: &'a str,
}

/// One ledger with the strips of its logs.
struct Ledger<'a> {
    name: &'a str,
    logs: Vec<Log<'a>>,
}

/// One log: what is proven of it.
struct Log<'a> {
    place: Place<'a>,
    strip: Strip,
    stretches: Capped<String>,
}

impl<'a> Coverage<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self {
            missing: Capped::new(missing(context), ROWS),
            gaps: Capped::new(gaps(context), ROWS),
            undecided: Capped::new(undecided(context), ROWS),
            ledgers: ledgers(context),
            axis: timeline::axis(Scale::new(context.period()), timeline::Axis::Narrow),
        }
    }
}

fn links(rules: BTreeSet<&str>) -> Vec<RuleLink<'_>> {
    rules.into_iter().map(|id| RuleLink { id, anchor: rule_anchor(id) }).collect()
}

/// The provider of a ledger: the first part of its name.
fn provider(ledger: &str) -> &str {
    ledger.split_once('/').map_or(ledger, |(provider, _)| provider)
}

/// The providers that anything in the report belongs to.
fn providers<'a>(context: &Context<'a>) -> BTreeSet<&'a str> {
    let data = context.data;
    let ledgers = data.population.iter().map(|row| provider(&row.ledger));
    let covered = data.assessment.coverage.iter().map(|row| provider(&row.ledger));
    let keys = data.keys.iter().map(|key| key.provider.as_str());
    let subjects = data.assessment.results.iter().filter_map(|result| result.subject.as_ref());
    let subjects = subjects.map(|subject| subject.provider.as_str());
    ledgers.chain(covered).chain(keys).chain(subjects).collect()
}

fn missing<'a>(context: &Context<'a>) -> Vec<Missing<'a>> {
    let period = context.period();
    let rows = &context.data.assessment.coverage;
    let seen: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.status == "covered")
        .filter(|row| row.period.from < period.to && row.period.to > period.from)
        .map(|row| row.kind.as_str())
        .collect();
    let providers = providers(context);
    let mut missing: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for rule in &context.data.assessment.rules {
        for (provider, kinds) in &rule.needs {
            let kinds = kinds.iter().map(String::as_str).filter(|kind| !seen.contains(kind));
            for kind in kinds.filter(|_| providers.contains(provider.as_str())) {
                missing.entry((provider, kind)).or_default().insert(&rule.id);
            }
        }
    }
    missing
        .into_iter()
        .map(|((provider, kind), rules)| Missing { provider, kind, rules: links(rules) })
        .collect()
}

/// The gaps that the collector recorded and those that results were held up by, as one list.
fn gaps<'a>(context: &Context<'a>) -> Vec<GapRow<'a>> {
    let assessment = &context.data.assessment;
    let mut gaps: Gaps<'a> = BTreeMap::new();
    for row in assessment.coverage.iter().filter(|row| row.status != "covered") {
        let place =
            Place { ledger: &row.ledger, kind: &row.kind, region: region(row.region.as_deref()) };
        gaps.entry((place, row.period)).or_default().0 = row.detail.as_deref().unwrap_or_default();
    }
    for ledger in unproven(context) {
        let entry = gaps.entry((unproven_log(ledger), context.period())).or_default();
        entry.0 = "No coverage is recorded: nothing proves that this log was read.";
    }
    for result in &assessment.results {
        for gap in &result.gaps {
            let place = Place {
                ledger: &gap.ledger,
                kind: &gap.kind,
                region: region(gap.region.as_deref()),
            };
            gaps.entry((place, gap.period)).or_default().1.insert(&result.rule);
        }
    }
    joined(gaps)
        .into_iter()
        .map(|((place, period), (detail, rules))| GapRow {
            place,
            from: end(period.from),
            to: end(period.to),
            length: length(period),
            detail,
            rules: links(rules),
        })
        .collect()
}

/// What is told of a gap, and the rules that it holds up, by place and stretch.
type Gaps<'a> = BTreeMap<(Place<'a>, Period), (&'a str, BTreeSet<&'a str>)>;

/// Joins stretches that overlap or touch and of which nothing is told: each key has its own, from
/// its creation on.
fn joined(gaps: Gaps<'_>) -> Gaps<'_> {
    let (mut all, untold): (Gaps<'_>, Gaps<'_>) =
        gaps.into_iter().partition(|(_, (detail, _))| !detail.is_empty());
    let mut stretches: Vec<(Place<'_>, Period, BTreeSet<&str>)> = Vec::new();
    for ((place, period), (_, rules)) in untold {
        match stretches.last_mut() {
            Some((known, stretch, held)) if *known == place && period.from <= stretch.to => {
                stretch.to = stretch.to.max(period.to);
                held.extend(rules);
            }
            _ => stretches.push((place, period, rules)),
        }
    }
    for (place, period, rules) in stretches {
        all.entry((place, period)).or_default().1.extend(rules);
    }
    all
}

/// Ledgers with events of which no coverage is recorded at all.
fn unproven<'a>(context: &Context<'a>) -> BTreeSet<&'a str> {
    let rows = &context.data.assessment.coverage;
    let covered: BTreeSet<&str> = rows.iter().map(|row| row.ledger.as_str()).collect();
    let ledgers = context.data.population.iter().map(|row| row.ledger.as_str());
    ledgers.filter(|ledger| !covered.contains(ledger)).collect()
}

fn unproven_log(ledger: &str) -> Place<'_> {
    Place { ledger, kind: "every kind", region: region(None) }
}

fn undecided<'a>(context: &Context<'a>) -> Vec<Undecided<'a>> {
    let mut rules: BTreeMap<&str, (BTreeMap<&str, u64>, u64, Pill)> = BTreeMap::new();
    for result in &context.data.assessment.results {
        let pill = Pill(result.severity);
        let (reasons, of, _) =
            rules.entry(&result.rule).or_insert_with(|| (BTreeMap::new(), 0, pill));
        *of += 1;
        if matches!(result.status, Status::Undetermined | Status::Error) {
            *reasons.entry(&result.reason).or_default() += 1;
        }
    }
    rules
        .into_iter()
        .filter(|(_, (reasons, ..))| !reasons.is_empty())
        .map(|(id, (reasons, of, pill))| Undecided {
            rule: RuleLink { id, anchor: rule_anchor(id) },
            pill,
            title: context.rule_title(id),
            reasons: reasons.into_iter().collect(),
            of,
        })
        .collect()
}

fn ledgers<'a>(context: &Context<'a>) -> Capped<Ledger<'a>> {
    let run = &context.data.assessment.run;
    let scale = Scale::new(run.period);
    let mut logs: BTreeMap<Place<'a>, (Reading, Vec<String>)> = BTreeMap::new();
    for row in &context.data.assessment.coverage {
        let place =
            Place { ledger: &row.ledger, kind: &row.kind, region: region(row.region.as_deref()) };
        let (reading, stretches) = logs.entry(place).or_default();
        if row.status == "covered" {
            reading.add(row.period, row.method == "declared");
            let detail = row.detail.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            stretches.push(format!("{} by {}{detail}", stretch(row.period), row.method));
        }
    }
    for ledger in unproven(context) {
        logs.entry(unproven_log(ledger)).or_default();
    }
    let logs = Capped::new(logs, ROWS);
    let mut ledgers: BTreeMap<&str, Vec<Log<'a>>> = BTreeMap::new();
    for (place, (reading, stretches)) in logs.rows {
        let strip = reading.strip(scale, run.as_of);
        let stretches = Capped::new(stretches, STRETCHES);
        ledgers.entry(place.ledger).or_default().push(Log { place, strip, stretches });
    }
    let rows = ledgers.into_iter().map(|(name, logs)| Ledger { name, logs }).collect();
    Capped { rows, more: logs.more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(
        kind: &'static str,
        (from, to): (i64, i64),
        (detail, rule): (&'static str, &'static str),
    ) -> ((Place<'static>, Period), (&'static str, BTreeSet<&'static str>)) {
        let day = |day: i64| jiff::Timestamp::from_second(day * 86_400).unwrap();
        let place = Place { ledger: "aws/1", kind, region: "eu-central-1" };
        ((place, Period { from: day(from), to: day(to) }), (detail, BTreeSet::from([rule])))
    }

    #[test]
    fn gaps_of_single_keys_become_one_and_what_is_told_of_a_gap_stays() {
        let gaps = Gaps::from([
            gap("aws.kms", (1, 9), ("", "ROT-01")),
            gap("aws.kms", (3, 9), ("", "LIF-01")),
            gap("aws.kms", (4, 5), ("a digest is missing", "ROT-02")),
            gap("aws.kms", (11, 12), ("", "ROT-01")),
            gap("aws.cloudtrail", (1, 9), ("", "LOG-02")),
        ]);
        let joined = joined(gaps);
        let expected = Gaps::from([
            gap("aws.cloudtrail", (1, 9), ("", "LOG-02")),
            gap("aws.kms", (4, 5), ("a digest is missing", "ROT-02")),
            gap("aws.kms", (11, 12), ("", "ROT-01")),
        ]);
        assert_eq!(joined.len(), 4);
        for (key, value) in &expected {
            assert!(joined.get(key) == Some(value));
        }
        let ((_, stretch), _) = gap("aws.kms", (1, 9), ("", ""));
        let (_, rules) = &joined[&(expected.keys().last().unwrap().0, stretch)];
        assert_eq!(rules, &BTreeSet::from(["LIF-01", "ROT-01"]));
    }
}
