//! The coverage gate: a verdict that rests on nothing having happened stands only where the log is
//! proven read.
//!
//! For each ledger of a subject and each kind of log that its rule needs, every absence must lie
//! within covered stretches of the subject's region. A subject without region needs every region
//! that is known of that ledger and kind. A stretch that a proof shows to be missing (`gap`)
//! outweighs what an operator declares, not what another proof shows. Kinds meet the ledgers that
//! can hold them: `aws.cloudhsm.audit` those of HSMs, other kinds those of accounts; where a rule
//! names no kind for a ledger, nothing can prove an absence there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::finding::{Coverage, Gap, Period, Status};

use super::contract::Verdict;

/// The kind whose ledgers are those of single HSMs, and what their names begin with.
const HSM_KIND: &str = "aws.cloudhsm.audit";
const HSM_LEDGER: &str = "aws/cloudhsm/";

/// Coverage kinds by provider, as a rule's header names them.
pub(super) type Needs = BTreeMap<String, Vec<String>>;

/// Coverage by ledger and kind.
pub(super) struct CoverageIndex(BTreeMap<(String, String), Vec<Coverage>>);

/// Which coverage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// All of it.
    Declared,
    /// Only what is proven, not what an operator declares.
    Proven,
}

/// A verdict after the gate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gated {
    pub(super) verdict: Verdict,
    pub(super) gaps: Vec<Gap>,
    /// Whether it rests on an absence that counts, and is covered.
    pub(super) rests_on_absence: bool,
    /// Whether it rests on an absence whose coverage is only declared.
    pub(super) declared: bool,
}

impl CoverageIndex {
    /// Indexes coverage rows.
    pub(super) fn new(rows: &[Coverage]) -> Self {
        let mut index: BTreeMap<_, Vec<Coverage>> = BTreeMap::new();
        for row in rows {
            index.entry((row.ledger.clone(), row.kind.clone())).or_default().push(row.clone());
        }
        Self(index)
    }

    /// The ledgers of which anything is known for a kind.
    pub(super) fn ledgers(&self, kind: &str) -> BTreeSet<&str> {
        self.0.keys().filter(|(_, own)| own == kind).map(|(ledger, _)| ledger.as_str()).collect()
    }

    /// The providers of which any coverage is known.
    pub(super) fn providers(&self) -> BTreeSet<String> {
        self.0.keys().map(|(ledger, _)| provider_of(ledger).to_owned()).collect()
    }

    /// The stretches of `period` that are not covered.
    pub(super) fn gaps(
        &self,
        (ledger, kind): (&str, &str),
        region: Option<&str>,
        period: Period,
        trust: Trust,
    ) -> Vec<Gap> {
        let none = Vec::new();
        let rows = self.0.get(&(ledger.to_owned(), kind.to_owned())).unwrap_or(&none);
        let regions: Vec<Option<&str>> = match region.filter(|region| *region != "*") {
            Some(region) => vec![Some(region)],
            None => {
                let seen: BTreeSet<&str> = rows.iter().filter_map(|row| region_of(row)).collect();
                if seen.is_empty() { vec![None] } else { seen.into_iter().map(Some).collect() }
            }
        };
        let gap = |region: Option<&str>, period| Gap {
            ledger: ledger.to_owned(),
            kind: kind.to_owned(),
            region: region.map(str::to_owned),
            period,
        };
        regions
            .into_iter()
            .flat_map(|region| {
                let open = uncovered(rows, region, period, trust);
                open.into_iter().map(move |stretch| gap(region, stretch))
            })
            .collect()
    }
}

/// A row's region; `None` where it stands for all.
fn region_of(row: &Coverage) -> Option<&str> {
    row.region.as_deref().filter(|region| *region != "*")
}

/// The provider that a ledger's name begins with.
pub(super) fn provider_of(ledger: &str) -> &str {
    ledger.split('/').next().unwrap_or(ledger)
}

fn uncovered(rows: &[Coverage], region: Option<&str>, period: Period, trust: Trust) -> Vec<Period> {
    let here: Vec<&Coverage> =
        rows.iter().filter(|row| region_of(row).is_none_or(|own| Some(own) == region)).collect();
    let covered = |declared: bool| {
        here.iter()
            .filter(move |row| row.status == "covered" && (row.method == "declared") == declared)
    };
    let unproven = covered(false).fold(vec![period], |open, row| without(&open, row.period));
    if trust == Trust::Proven {
        return unproven;
    }
    let missing: Vec<Period> =
        here.iter().filter(|row| row.status != "covered").map(|row| row.period).collect();
    covered(true)
        .flat_map(|row| missing.iter().fold(vec![row.period], |kept, gap| without(&kept, *gap)))
        .fold(unproven, |open, declared| without(&open, declared))
}

/// Takes one stretch out of others.
fn without(stretches: &[Period], taken: Period) -> Vec<Period> {
    stretches
        .iter()
        .flat_map(|stretch| {
            [
                Period { from: stretch.from, to: stretch.to.min(taken.from) },
                Period { from: stretch.from.max(taken.to), to: stretch.to },
            ]
        })
        .filter(|stretch| stretch.from < stretch.to)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Joins gaps of one ledger, kind and region that touch or overlap.
fn joined(mut gaps: Vec<Gap>) -> Vec<Gap> {
    gaps.sort();
    let mut all: Vec<Gap> = Vec::new();
    for gap in gaps {
        match all.last_mut() {
            Some(last)
                if (&last.ledger, &last.kind, &last.region)
                    == (&gap.ledger, &gap.kind, &gap.region)
                    && gap.period.from <= last.period.to =>
            {
                last.period.to = last.period.to.max(gap.period.to);
            }
            _ => all.push(gap),
        }
    }
    all
}

/// The ledgers that a verdict's absences are judged on.
fn ledgers(verdict: &Verdict) -> Vec<String> {
    if !verdict.ledgers.is_empty() {
        return verdict.ledgers.clone();
    }
    let account = verdict.subject.account.as_deref().unwrap_or("unknown");
    vec![format!("{}/{account}", verdict.subject.provider)]
}

/// The kinds that a rule needs of one ledger.
fn kinds<'a>(needs: &'a Needs, provider: &str, ledger: &str) -> Vec<&'a str> {
    let provider = if provider.is_empty() { provider_of(ledger) } else { provider };
    let fits = |kind: &&str| (*kind == HSM_KIND) == ledger.starts_with(HSM_LEDGER);
    needs.get(provider).into_iter().flatten().map(String::as_str).filter(fits).collect()
}

/// Passes one verdict through the gate.
pub(super) fn gate(
    verdict: Verdict,
    needs: &Needs,
    index: &CoverageIndex,
    as_of: Timestamp,
) -> Gated {
    let absences: Vec<Period> = verdict
        .absences
        .iter()
        .map(|absence| Period { from: absence.from, to: absence.to.min(as_of) })
        .filter(|absence| absence.from < absence.to)
        .collect();
    let mut gated = Gated { verdict, gaps: Vec::new(), rests_on_absence: false, declared: false };
    if absences.is_empty() {
        return gated;
    }
    let region = gated.verdict.subject.region.clone();
    let provider = gated.verdict.subject.provider.clone();
    let mut undeclared = Vec::new();
    let mut unproven = Vec::new();
    for ledger in ledgers(&gated.verdict) {
        let kinds = kinds(needs, &provider, &ledger);
        if kinds.is_empty() {
            undeclared.push(ledger.clone());
        }
        for (kind, absence) in kinds.iter().flat_map(|kind| absences.iter().map(move |a| (kind, a)))
        {
            let gaps = |trust| index.gaps((&ledger, kind), region.as_deref(), *absence, trust);
            gated.gaps.extend(gaps(Trust::Declared));
            unproven.extend(gaps(Trust::Proven));
        }
    }
    gated.gaps = joined(gated.gaps);
    let decided = gated.verdict.status != Status::Undetermined;
    gated.rests_on_absence = decided && gated.gaps.is_empty() && undeclared.is_empty();
    gated.declared = gated.rests_on_absence && !unproven.is_empty();
    if decided && !gated.gaps.is_empty() {
        let cause = describe(&gated.gaps);
        turn(&mut gated.verdict, "coverage_gap", &cause);
    } else if decided && !undeclared.is_empty() {
        let cause = format!("the rule names no log that covers {}", undeclared.join(", "));
        turn(&mut gated.verdict, "coverage_not_declared", &cause);
    }
    gated
}

/// Makes a verdict undetermined and keeps what it would have been.
fn turn(verdict: &mut Verdict, reason: &str, cause: &str) {
    let before = format!("{}: {}", verdict.status, verdict.reason);
    verdict.facts.insert("verdict_without_gap".to_owned(), Value::String(before));
    verdict.status = Status::Undetermined;
    reason.clone_into(&mut verdict.reason);
    verdict.message =
        format!("Cannot be decided: {cause}. With a complete log: {}", verdict.message);
}

/// The first gap in words, and how many more there are.
pub(super) fn describe(gaps: &[Gap]) -> String {
    let Some(first) = gaps.first() else { return "the log is complete".to_owned() };
    let region = first.region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
    let more = match gaps.len() {
        1 => String::new(),
        count => format!(", nor are {} more stretches", count - 1),
    };
    let Gap { ledger, kind, period, .. } = first;
    format!(
        "the log {kind} of {ledger}{region} is not proven read from {} to {}{more}",
        period.from, period.to
    )
}
