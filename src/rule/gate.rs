//! The coverage gate: a verdict that rests on nothing having happened stands only where the log is
//! proven read.
//!
//! For each ledger of a subject and each kind of log that its rule needs, every absence must lie
//! within covered stretches of the subject's region. A subject without region needs every region
//! that is known of that ledger and kind; a verdict may name other regions than its subject's. A stretch that a proof shows to be missing (`gap`)
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
pub(super) struct CoverageIndex(BTreeMap<String, BTreeMap<String, Log>>);

/// What is known of one ledger and kind.
#[derive(Default)]
struct Log {
    /// Every region that any row names.
    regions: BTreeSet<String>,
    proven: Stretches,
    declared: Stretches,
    missing: Stretches,
}

/// Stretches by region, `None` for all regions; in order, and joined where they touch.
type Stretches = BTreeMap<Option<String>, Vec<Period>>;

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
    /// Indexes coverage rows. A row that ends before it begins covers nothing.
    pub(super) fn new(rows: &[Coverage]) -> Self {
        let mut index = Self(BTreeMap::new());
        for row in rows {
            let kinds = index.0.entry(row.ledger.clone()).or_default();
            kinds.entry(row.kind.clone()).or_default().add(row);
        }
        for log in index.0.values_mut().flat_map(BTreeMap::values_mut) {
            for stretches in [&mut log.proven, &mut log.declared, &mut log.missing] {
                stretches.values_mut().for_each(join);
            }
        }
        index
    }

    /// The ledgers of which anything is known for a kind.
    pub(super) fn ledgers(&self, kind: &str) -> Vec<&str> {
        let known = self.0.iter().filter(|(_, kinds)| kinds.contains_key(kind));
        known.map(|(ledger, _)| ledger.as_str()).collect()
    }

    /// The providers of which any coverage is known.
    pub(super) fn providers(&self) -> BTreeSet<&str> {
        self.0.keys().map(|ledger| provider_of(ledger)).collect()
    }

    /// The stretches of `period` that are not covered.
    pub(super) fn gaps(
        &self,
        (ledger, kind): (&str, &str),
        region: Option<&str>,
        period: Period,
        trust: Trust,
    ) -> Vec<Gap> {
        let nothing = Log::default();
        let log = self.0.get(ledger).and_then(|kinds| kinds.get(kind)).unwrap_or(&nothing);
        let regions: Vec<Option<&str>> = match region.filter(|region| *region != "*") {
            Some(region) => vec![Some(region)],
            None if log.regions.is_empty() => vec![None],
            None => log.regions.iter().map(|region| Some(region.as_str())).collect(),
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
                let open = log.uncovered(region, period, trust);
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

impl Log {
    fn add(&mut self, row: &Coverage) {
        let region = region_of(row).map(str::to_owned);
        self.regions.extend(region.clone());
        let kept = match (row.status.as_str(), row.method.as_str()) {
            ("covered", "declared") => &mut self.declared,
            ("covered", _) => &mut self.proven,
            _ => &mut self.missing,
        };
        if row.period.from < row.period.to {
            kept.entry(region).or_default().push(row.period);
        }
    }

    fn uncovered(&self, region: Option<&str>, period: Period, trust: Trust) -> Vec<Period> {
        let unproven = without(vec![period], &here(&self.proven, region));
        if trust == Trust::Proven || unproven.is_empty() {
            return unproven;
        }
        let declared = without(here(&self.declared, region), &here(&self.missing, region));
        without(unproven, &declared)
    }
}

/// The stretches that hold in a region: its own, and those of all regions.
fn here(stretches: &Stretches, region: Option<&str>) -> Vec<Period> {
    let everywhere = stretches.get(&None).into_iter().flatten();
    let own = region.and_then(|region| stretches.get(&Some(region.to_owned())));
    let mut all: Vec<Period> = everywhere.chain(own.into_iter().flatten()).copied().collect();
    join(&mut all);
    all
}

/// Orders stretches and joins those that touch or overlap.
fn join(stretches: &mut Vec<Period>) {
    stretches.sort_unstable();
    stretches.dedup_by(|next, kept| {
        let touches = next.from <= kept.to;
        if touches {
            kept.to = kept.to.max(next.to);
        }
        touches
    });
}

/// Takes stretches out of others.
fn without(stretches: Vec<Period>, taken: &[Period]) -> Vec<Period> {
    taken.iter().fold(stretches, |open, taken| {
        let around = |stretch: Period| {
            [
                Period { from: stretch.from, to: stretch.to.min(taken.from) },
                Period { from: stretch.from.max(taken.to), to: stretch.to },
            ]
        };
        open.into_iter().flat_map(around).filter(|stretch| stretch.from < stretch.to).collect()
    })
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

/// The regions that a verdict's absences are judged in; none stands for every one that is known.
fn regions(verdict: &Verdict) -> Vec<Option<String>> {
    if verdict.regions.is_empty() {
        return vec![verdict.subject.region.clone()];
    }
    verdict.regions.iter().cloned().map(Some).collect()
}

/// The kinds that a verdict needs of one ledger: its own, else those of its rule.
fn kinds(needs: &Needs, verdict: &Verdict, ledger: &str) -> Vec<String> {
    let own = verdict.subject.provider.as_str();
    let provider = if own.is_empty() { provider_of(ledger) } else { own };
    let wanted = if verdict.needs.is_empty() { needs.get(provider) } else { Some(&verdict.needs) };
    let fits = |kind: &&String| (*kind == HSM_KIND) == ledger.starts_with(HSM_LEDGER);
    wanted.into_iter().flatten().filter(fits).cloned().collect()
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
    let regions = regions(&gated.verdict);
    let mut undeclared = Vec::new();
    let mut unproven = Vec::new();
    for ledger in ledgers(&gated.verdict) {
        let kinds = kinds(needs, &gated.verdict, &ledger);
        if kinds.is_empty() {
            undeclared.push(ledger.clone());
        }
        for (kind, absence) in kinds.iter().flat_map(|kind| absences.iter().map(move |a| (kind, a)))
        {
            for region in &regions {
                let gaps = |trust| index.gaps((&ledger, kind), region.as_deref(), *absence, trust);
                gated.gaps.extend(gaps(Trust::Declared));
                unproven.extend(gaps(Trust::Proven));
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Subject;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn days(from: i64, to: i64) -> Period {
        Period { from: day(from), to: day(to) }
    }

    /// `ledger kind region from to method status`.
    fn coverage(line: &str) -> Coverage {
        let words: Vec<&str> = line.split(' ').collect();
        Coverage {
            ledger: words[0].to_owned(),
            kind: words[1].to_owned(),
            region: Some(words[2].to_owned()).filter(|region| region != "-"),
            period: days(words[3].parse().unwrap(), words[4].parse().unwrap()),
            method: words[5].to_owned(),
            status: words[6].to_owned(),
            detail: None,
        }
    }

    fn verdict(status: Status, region: Option<&str>, absences: &[Period]) -> Verdict {
        Verdict {
            subject: Subject {
                kind: "key".to_owned(),
                id: "k".to_owned(),
                provider: "aws".to_owned(),
                account: Some("1".to_owned()),
                region: region.map(str::to_owned),
            },
            status,
            reason: "why".to_owned(),
            message: "Said.".to_owned(),
            evidence: Vec::new(),
            evidence_count: 0,
            inventory_refs: Vec::new(),
            absences: absences.to_vec(),
            ledgers: Vec::new(),
            regions: Vec::new(),
            needs: Vec::new(),
            attested: false,
            facts: BTreeMap::new(),
        }
    }

    fn needs(kinds: &[&str]) -> Needs {
        Needs::from([("aws".to_owned(), kinds.iter().map(|kind| (*kind).to_owned()).collect())])
    }

    fn through(verdict: Verdict, kinds: &[&str], rows: &[&str]) -> Gated {
        let rows: Vec<Coverage> = rows.iter().map(|row| coverage(row)).collect();
        gate(verdict, &needs(kinds), &CoverageIndex::new(&rows), day(100))
    }

    fn stretches(gated: &Gated) -> Vec<(i64, i64)> {
        let day = |time: Timestamp| time.as_second() / 86_400;
        gated.gaps.iter().map(|gap| (day(gap.period.from), day(gap.period.to))).collect()
    }

    #[test]
    fn coverage_may_be_joined_from_pieces() {
        let pass = || verdict(Status::Pass, Some("r"), &[days(10, 50)]);
        for (rows, gaps) in [
            (vec!["aws/1 aws.kms r 0 60 digest covered"], vec![]),
            (
                vec![
                    "aws/1 aws.kms r 0 30 digest covered",
                    "aws/1 aws.kms - 30 50 sequence covered",
                ],
                vec![],
            ),
            (
                vec!["aws/1 aws.kms * 50 60 digest covered", "aws/1 aws.kms * 5 50 digest covered"],
                vec![],
            ),
            (vec![], vec![(10, 50)]),
            (
                vec!["aws/1 aws.kms r 0 20 digest covered", "aws/1 aws.kms r 30 40 digest covered"],
                vec![(20, 30), (40, 50)],
            ),
            (vec!["aws/1 aws.kms r 0 60 digest gap"], vec![(10, 50)]),
            (vec!["aws/1 aws.kms other 0 60 digest covered"], vec![(10, 50)]),
            (vec!["aws/2 aws.kms r 0 60 digest covered"], vec![(10, 50)]),
            (vec!["aws/1 aws.cloudtrail r 0 60 digest covered"], vec![(10, 50)]),
        ] {
            let gated = through(pass(), &["aws.kms"], &rows);
            assert_eq!(stretches(&gated), gaps, "{rows:?}");
            let status = if gaps.is_empty() { Status::Pass } else { Status::Undetermined };
            assert_eq!(gated.verdict.status, status, "{rows:?}");
        }
    }

    #[test]
    fn a_gap_turns_every_decided_verdict_and_keeps_what_it_was() {
        for status in [Status::Pass, Status::Fail, Status::NotApplicable] {
            let gated = through(verdict(status, Some("r"), &[days(1, 2)]), &["aws.kms"], &[]);
            assert_eq!(gated.verdict.status, Status::Undetermined);
            assert_eq!(gated.verdict.reason, "coverage_gap");
            assert_eq!(gated.verdict.facts["verdict_without_gap"], format!("{status}: why"));
            assert!(gated.verdict.message.contains("1970-01-02"), "{}", gated.verdict.message);
        }
        let undetermined = verdict(Status::Undetermined, Some("r"), &[days(1, 2)]);
        let gated = through(undetermined, &["aws.kms"], &[]);
        assert_eq!((gated.verdict.reason.as_str(), gated.gaps.len()), ("why", 1));
    }

    #[test]
    fn absences_end_at_as_of_and_empty_ones_do_not_count() {
        let covered = ["aws/1 aws.kms r 0 100 digest covered"];
        let later = verdict(Status::Pass, Some("r"), &[days(50, 200), days(150, 160), days(9, 9)]);
        assert_eq!(through(later, &["aws.kms"], &covered).verdict.status, Status::Pass);
        let backward = verdict(Status::Pass, Some("r"), &[days(9, 3)]);
        let gated = through(backward, &["aws.kms"], &[]);
        assert_eq!((gated.verdict.status, gated.rests_on_absence), (Status::Pass, false));
    }

    #[test]
    fn every_kind_that_is_needed_must_be_covered() {
        let rows = ["aws/1 aws.kms r 0 100 digest covered"];
        let pass = verdict(Status::Pass, Some("r"), &[days(1, 2)]);
        let gated = through(pass, &["aws.kms", "aws.cloudtrail"], &rows);
        assert_eq!(gated.gaps[0].kind, "aws.cloudtrail");
    }

    #[test]
    fn a_rule_that_names_no_log_can_prove_no_absence() {
        let rows = ["aws/1 aws.kms r 0 100 digest covered"];
        for kinds in [&[][..], &["aws.cloudhsm.audit"]] {
            let gated = through(verdict(Status::Pass, Some("r"), &[days(1, 2)]), kinds, &rows);
            assert_eq!(gated.verdict.reason, "coverage_not_declared");
            assert_eq!(gated.verdict.status, Status::Undetermined);
        }
    }

    #[test]
    fn a_subject_without_region_needs_every_region_that_is_known() {
        let pass = || verdict(Status::Pass, None, &[days(1, 2)]);
        let east = "aws/1 aws.kms east 0 100 digest covered";
        let west = "aws/1 aws.kms west 0 100 digest covered";
        let half = "aws/1 aws.kms west 0 1 digest covered";
        let status = |rows: &[&str]| through(pass(), &["aws.kms"], rows).verdict.status;
        assert_eq!(status(&[east, west]), Status::Pass);
        assert_eq!(status(&[east, half]), Status::Undetermined);
        assert_eq!(status(&["aws/1 aws.kms - 0 100 digest covered", half]), Status::Pass);
        assert_eq!(status(&[]), Status::Undetermined);
    }

    #[test]
    fn an_hsm_is_judged_on_its_own_ledgers() {
        let mut pass = verdict(Status::Pass, Some("r"), &[days(1, 2)]);
        pass.ledgers = vec!["aws/cloudhsm/hsm-a".to_owned(), "aws/1".to_owned()];
        let rows = [
            "aws/cloudhsm/hsm-a aws.cloudhsm.audit - 0 100 sequence covered",
            "aws/1 aws.kms r 0 100 digest covered",
        ];
        let kinds = ["aws.cloudhsm.audit", "aws.kms"];
        assert_eq!(through(pass.clone(), &kinds, &rows).verdict.status, Status::Pass);
        let gated = through(pass, &kinds, &rows[1..]);
        assert_eq!(gated.gaps[0].ledger, "aws/cloudhsm/hsm-a");
    }

    #[test]
    fn a_subject_may_need_another_log_than_its_rule_says() {
        let mut pass = verdict(Status::Pass, Some("r"), &[days(1, 2)]);
        pass.needs = vec!["aws.cloudtrail".to_owned()];
        let rows = ["aws/1 aws.cloudtrail r 0 100 digest covered"];
        assert_eq!(through(pass.clone(), &["aws.kms"], &rows).verdict.status, Status::Pass);
        assert_eq!(through(pass, &["aws.kms"], &[]).gaps[0].kind, "aws.cloudtrail");
    }

    #[test]
    fn a_subject_may_be_managed_in_other_regions_than_its_own() {
        let mut pass = verdict(Status::Pass, Some("r"), &[days(1, 2)]);
        pass.regions = vec!["r".to_owned(), "s".to_owned()];
        let both = ["aws/1 aws.kms r 0 100 digest covered", "aws/1 aws.kms s 0 100 digest covered"];
        assert_eq!(through(pass.clone(), &["aws.kms"], &both).verdict.status, Status::Pass);
        let one = through(pass.clone(), &["aws.kms"], &both[..1]);
        assert_eq!(one.gaps[0].region.as_deref(), Some("s"));
        pass.regions = vec!["*".to_owned()];
        let hole =
            ["aws/1 aws.kms r 0 100 digest covered", "aws/1 aws.kms s 50 100 digest covered"];
        assert_eq!(through(pass, &["aws.kms"], &hole).gaps[0].region.as_deref(), Some("s"));
    }

    #[test]
    fn declared_coverage_is_told_apart_and_yields_to_a_proven_gap() {
        let pass = || verdict(Status::Pass, Some("r"), &[days(10, 50)]);
        let declared = "aws/1 aws.kms r 0 100 declared covered";
        let gated = through(pass(), &["aws.kms"], &[declared]);
        assert!(gated.declared && gated.rests_on_absence);
        let proven = "aws/1 aws.kms r 0 100 digest covered";
        assert!(!through(pass(), &["aws.kms"], &[declared, proven]).declared);
        let gap = "aws/1 aws.kms r 20 30 digest gap";
        let gated = through(pass(), &["aws.kms"], &[declared, gap]);
        assert_eq!(stretches(&gated), [(20, 30)]);
        let gated = through(pass(), &["aws.kms"], &[proven, gap]);
        assert_eq!(gated.verdict.status, Status::Pass);
    }
}
