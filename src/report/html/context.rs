//! What several sections need: rules by id, anchors, and which cited events stand in the appendix.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::EVIDENCE;
use super::text::{FIELD, one_line};
use crate::event::sha256_hex;
use crate::finding::{Gap, Period, RuleInfo, RuleResult, Status, Subject};
use crate::report::{EvidenceRecord, ReportData};

/// The report's data with its indexes.
pub(super) struct Context<'a> {
    pub(super) data: &'a ReportData,
    pub(super) rules: BTreeMap<&'a str, &'a RuleInfo>,
    /// Ids of the events that the appendix shows.
    pub(super) shown: BTreeSet<&'a str>,
}

impl<'a> Context<'a> {
    pub(super) fn new(data: &'a ReportData) -> Self {
        let rules = data.assessment.rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        Self { data, rules, shown: shown(data) }
    }

    pub(super) fn period(&self) -> Period {
        self.data.assessment.run.period
    }

    pub(super) fn rule_title(&self, id: &str) -> &'a str {
        self.rules.get(id).map_or("", |rule| rule.title.as_str())
    }

    /// An event id with its record, and its anchor where the appendix shows it.
    pub(super) fn cite(&self, id: &'a str) -> Cited<'a> {
        Cited {
            id,
            anchor: self.shown.contains(id).then(|| event_anchor(id)),
            record: self.data.evidence.get(id),
        }
    }
}

/// One cited event.
pub(super) struct Cited<'a> {
    pub(super) id: &'a str,
    pub(super) anchor: Option<String>,
    pub(super) record: Option<&'a EvidenceRecord>,
}

/// Chooses the events for the appendix: those of findings first, then of results that could not be
/// decided, of operations, of passes; the rest of the store's citations last.
fn shown(data: &ReportData) -> BTreeSet<&str> {
    let results = &data.assessment.results;
    let rank = |rank: u8| results.iter().filter(move |result| rank_of(result) == rank);
    let cited = rank(0).chain(rank(1)).chain(rank(2)).flat_map(|result| &result.evidence);
    let operations = data.operations.iter().map(|line| &line.event_id);
    let passes = rank(3).flat_map(|result| &result.evidence);
    let mut shown = BTreeSet::new();
    for id in cited.chain(operations).chain(passes).chain(data.evidence.keys()) {
        if shown.len() == EVIDENCE {
            break;
        }
        if data.evidence.contains_key(id) {
            shown.insert(id.as_str());
        }
    }
    shown
}

/// How soon a result's evidence is wanted.
fn rank_of(result: &RuleResult) -> u8 {
    match result.status {
        Status::Fail if result.waived.is_none() => 0,
        Status::Fail | Status::Error => 1,
        Status::Undetermined => 2,
        Status::Pass | Status::NotApplicable => 3,
    }
}

/// A list cut to a cap.
pub(super) struct Capped<T> {
    pub(super) rows: Vec<T>,
    /// How many are not in it.
    pub(super) more: usize,
}

impl<T> Capped<T> {
    pub(super) fn new(items: impl IntoIterator<Item = T>, most: usize) -> Self {
        let mut items = items.into_iter();
        let rows = items.by_ref().take(most).collect();
        Self { rows, more: items.count() }
    }
}

/// The anchor of a finding: the same for the same rule and subject in every report.
pub(super) fn finding_anchor(result: &RuleResult) -> String {
    let default = Subject::default();
    let subject = result.subject.as_ref().unwrap_or(&default);
    let account = subject.account.as_deref().unwrap_or_default();
    let region = subject.region.as_deref().unwrap_or_default();
    let identity =
        [&result.rule, &subject.kind, &subject.id, &subject.provider, account, region].join("\0");
    anchor("f-", &identity)
}

/// The anchor of a cited event.
pub(super) fn event_anchor(id: &str) -> String {
    anchor("e-", id)
}

/// The anchor of a rule: its id where that is plain, so that a link can be written by hand.
pub(super) fn rule_anchor(id: &str) -> String {
    let plain = id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && !id.is_empty() { format!("rule-{id}") } else { anchor("rule-x", id) }
}

fn anchor(prefix: &str, identity: &str) -> String {
    let digest = sha256_hex(identity.as_bytes());
    format!("{prefix}{}", digest.get(..12).unwrap_or(&digest))
}

/// A region in words; `None` and `*` stand for all.
pub(super) fn region(region: Option<&str>) -> &str {
    region.filter(|region| *region != "*").unwrap_or("all regions")
}

/// A stretch of time in days, to one place where it is short.
pub(super) fn length(period: Period) -> String {
    let hours = (period.to.as_second() - period.from.as_second()) / 3600;
    match hours {
        ..=47 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

/// A stretch of time: its ends as days where they are midnights (UTC), else to the second.
pub(super) fn stretch(period: Period) -> String {
    format!("{} to {}", end(period.from), end(period.to))
}

/// One end of a stretch.
pub(super) fn end(time: Timestamp) -> String {
    let midnight = time.as_second() % 86_400 == 0;
    time.strftime(if midnight { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%SZ" }).to_string()
}

/// A gap in one line.
pub(super) fn gap_line(gap: &Gap) -> String {
    let place = region(gap.region.as_deref());
    one_line(&format!("{} in {} ({place}), {}", gap.kind, gap.ledger, stretch(gap.period)), FIELD)
}
