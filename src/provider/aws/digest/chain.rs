//! What the digests of one trail prove together.
//!
//! Believed digests that follow on each other make a run. Of a run, the time from its first moment
//! to [`LATENESS`] before its last is covered, but for the events of log files that were not read.
//! What stands between two runs, and what was changed, is a gap.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::claim::{Claim, LogFile};
use super::stretch::{after, before, common, joined, without};
use super::{LATENESS, LogFiles, Outcome, Recorded, Trail};
use crate::finding::{Coverage, Period};

/// A digest that is not believed is taken at its word about its stretch up to this length: AWS
/// writes one an hour.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// A digest and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) claim: &'a Claim,
    pub(super) outcome: &'a Outcome,
}

/// Something missing: when, and why.
type Lost = (Period, String);

/// Digests that follow on each other without a hole.
struct Run<'a> {
    period: Period,
    first: &'a Claim,
    places: BTreeSet<&'a str>,
}

/// The coverage rows of one trail.
pub(super) fn coverage(
    trail: &Trail,
    digests: &[Judged<'_>],
    (logs, recorded): (&LogFiles, &[Recorded]),
) -> Vec<Coverage> {
    let believed: BTreeMap<&str, &Claim> = digests
        .iter()
        .filter(|digest| matches!(digest.outcome, Outcome::Verified(_)))
        .map(|digest| (digest.claim.place.as_str(), digest.claim))
        .collect();
    let doubtful: Vec<Judged<'_>> = digests
        .iter()
        .filter(|digest| !believed.contains_key(digest.claim.place.as_str()))
        .copied()
        .collect();
    let runs = runs(&believed);
    let mut lost = holes(&runs, &doubtful);
    lost.extend(refuted(&runs, &doubtful, &lost));
    let unread: Vec<Lost> = believed.values().flat_map(|claim| unread(claim, logs)).collect();
    let mut open: Vec<Period> = unread.iter().map(|(period, _)| *period).collect();
    // Files that a backfill digest names were delivered in its stretch, and are in no other digest.
    let backfills = doubtful.iter().filter(|digest| digest.claim.is_backfill);
    open.extend(backfills.map(|digest| happened(digest.claim.period)));
    let mut rows = Rows { trail, recorded: Recorded::of(trail, recorded), found: Vec::new() };
    for run in &runs {
        let proven = Period { from: run.period.from, to: before(run.period.to, LATENESS) };
        for stretch in without(proven, &open) {
            rows.covered(stretch);
        }
    }
    for (stretch, why) in lost.iter().chain(&unread) {
        rows.gap(*stretch, why);
    }
    rows.found
}

/// When events may have happened that were delivered in a stretch.
fn happened(delivered: Period) -> Period {
    Period { from: before(delivered.from, LATENESS), to: delivered.to }
}

/// Puts believed digests together. One that names another digest before it than those at hand does
/// not follow on them, though its time does.
fn runs<'a>(believed: &BTreeMap<&'a str, &'a Claim>) -> Vec<Run<'a>> {
    let mut claims: Vec<&Claim> =
        believed.values().copied().filter(|claim| !claim.is_backfill).collect();
    claims.sort_by_key(|claim| (claim.period, &claim.place));
    let mut runs: Vec<Run<'a>> = Vec::new();
    for claim in claims {
        let previous = claim.previous.as_ref().map(|previous| previous.place.as_str());
        match runs.last_mut() {
            Some(run)
                if claim.period.from <= run.period.to
                    && previous.is_none_or(|place| run.places.contains(place)) =>
            {
                run.period.to = run.period.to.max(claim.period.to);
                run.places.insert(&claim.place);
            }
            _ => runs.push(Run {
                period: claim.period,
                first: claim,
                places: BTreeSet::from([claim.place.as_str()]),
            }),
        }
    }
    runs
}

/// What stands between runs: digests that are not believed each for its own stretch, and for the
/// rest those that are missing.
fn holes(runs: &[Run<'_>], doubtful: &[Judged<'_>]) -> Vec<Lost> {
    let mut lost = Vec::new();
    let mut reached: Option<Timestamp> = None;
    for run in runs {
        let hole = reached.map(|from| Period { from, to: run.period.from });
        if let Some(hole) = hole.filter(|hole| hole.from < hole.to) {
            let mut told = Vec::new();
            for digest in doubtful.iter().filter(|digest| !digest.claim.is_backfill) {
                let Some(stretch) = common(hole, digest.claim.period) else { continue };
                let parts = without(stretch, &told);
                lost.extend(parts.into_iter().map(|part| (part, not_believed(*digest))));
                told = joined(told.into_iter().chain([stretch]).collect());
            }
            let rest = without(hole, &told);
            lost.extend(rest.into_iter().map(|part| (part, missing(run.first, doubtful))));
        }
        reached = reached.max(Some(run.period.to));
    }
    lost
}

/// Digests that were changed and stand in no hole: at the ends of a chain, or beside it.
fn refuted(runs: &[Run<'_>], doubtful: &[Judged<'_>], lost: &[Lost]) -> Vec<Lost> {
    let known = runs.iter().map(|run| run.period);
    let regular: Vec<Period> = known.chain(lost.iter().map(|(period, _)| *period)).collect();
    let changed = doubtful.iter().filter(|digest| matches!(digest.outcome, Outcome::Refuted(_)));
    let mut found = Vec::new();
    for digest in changed {
        let period = digest.claim.period;
        if after(period.from, LONGEST) < period.to {
            continue;
        }
        // The files of a backfill digest are in no other one.
        let taken: &[Period] = if digest.claim.is_backfill { &[] } else { &regular };
        let parts = without(period, taken);
        found.extend(parts.into_iter().map(|part| (part, not_believed(*digest))));
    }
    found
}

fn not_believed(digest: Judged<'_>) -> String {
    let place = &digest.claim.place;
    match digest.outcome {
        Outcome::Refuted(why) | Outcome::Unproven(why) => {
            format!("the digest s3://{place} is not believed: {why}")
        }
        Outcome::Verified(_) => format!("the digest s3://{place} stands apart"),
    }
}

fn missing(next: &Claim, doubtful: &[Judged<'_>]) -> String {
    match &next.previous {
        None => format!(
            "there is no digest: validation or the trail was off until {}, or digests were deleted",
            next.period.from
        ),
        Some(previous) if doubtful.iter().any(|digest| digest.claim.place == previous.place) => {
            format!("digests are missing before s3://{}", previous.place)
        }
        Some(previous) => format!(
            "digests are missing, the last of them s3://{}, which the digest after it names",
            previous.place
        ),
    }
}

/// The events of log files that a digest names and that were not read as it names them.
fn unread(claim: &Claim, logs: &LogFiles) -> Vec<Lost> {
    let (mut absent, mut changed) = (Vec::new(), Vec::new());
    for log in claim.logs.iter().filter(|log| log.holds_management_events()) {
        let hash = log.hash_value.to_ascii_lowercase();
        match logs.hashes(&log.object) {
            None => absent.push(log),
            Some(hashes) if log.hash_algorithm == "SHA-256" && hashes.contains(&hash) => {}
            Some(_) => changed.push(log),
        }
    }
    let absent = together(claim, &absent, "was not read, though its digest names it");
    let changed = together(claim, &changed, "does not have the hash that its digest names");
    absent.into_iter().chain(changed).collect()
}

/// Puts the stretches of log files together where they touch.
fn together(claim: &Claim, logs: &[&LogFile], what: &str) -> Vec<Lost> {
    let stretch = |log: &LogFile| {
        let time = |text: &Option<String>| text.as_deref()?.parse::<Timestamp>().ok();
        let (Some(oldest), Some(newest)) =
            (time(&log.oldest_event_time), time(&log.newest_event_time))
        else {
            return happened(claim.period);
        };
        // Events have whole seconds.
        let period = Period { from: oldest, to: after(newest, SignedDuration::from_secs(1)) };
        if period.from < period.to { period } else { happened(claim.period) }
    };
    let all: Vec<(Period, &LogFile)> = logs.iter().map(|log| (stretch(log), *log)).collect();
    let stretches = joined(all.iter().map(|(period, _)| *period).collect());
    let lost = stretches.into_iter().filter_map(|whole| {
        let mut inside = all.iter().filter(|(period, _)| common(*period, whole).is_some());
        let (_, first) = inside.next()?;
        let name = format!("s3://{}/{}", first.bucket, first.object);
        let why = match inside.count() {
            0 => format!("the log file {name} {what}"),
            more => format!("the log file {name} {what}, and {more} more"),
        };
        Some((whole, why))
    });
    lost.collect()
}

/// The rows of one trail.
struct Rows<'a> {
    trail: &'a Trail,
    recorded: Option<&'a Recorded>,
    found: Vec<Coverage>,
}

impl Rows<'_> {
    fn covered(&mut self, stretch: Period) {
        let detail = format!(
            "signed digests of {} name every log file delivered, and each was read unchanged",
            self.trail
        );
        self.add(stretch, "covered", &detail);
    }

    fn gap(&mut self, stretch: Period, why: &str) {
        let detail = format!("{why} ({})", self.trail);
        self.add(stretch, "gap", &detail);
    }

    /// Adds a stretch for each kind of log that the trail records.
    fn add(&mut self, stretch: Period, status: &str, detail: &str) {
        let left_out = self.recorded.map_or(&[][..], |recorded| &recorded.leaves_out_others);
        for part in without(stretch, left_out) {
            self.row("aws.cloudtrail", part, (status, detail));
            self.row("aws.cloudhsm.api", part, (status, detail));
        }
        let kms = self.recorded.map(|recorded| recorded.with_kms(stretch));
        for part in kms.into_iter().flatten() {
            self.row("aws.kms", part, (status, detail));
        }
    }

    fn row(&mut self, kind: &str, period: Period, (status, detail): (&str, &str)) {
        self.found.push(Coverage {
            ledger: format!("aws/{}", self.trail.account),
            region: Some(self.trail.region.clone()),
            kind: kind.to_owned(),
            period,
            method: "digest".to_owned(),
            status: status.to_owned(),
            detail: Some(detail.to_owned()),
        });
    }
}
