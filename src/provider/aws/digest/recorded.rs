//! What a trail is known to record, and when.
//!
//! Selectors are read now and then; between two readings they hold as long as nothing changes them.
//! Each reading speaks for the time from the change before it to the change after it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::super::Json as _;
use super::claim::Trail;
use super::stretch::{before, common, joined, without};
use crate::finding::Period;

/// The calls that change what a trail records.
const CHANGES: &[&str] = &["CreateTrail", "DeleteTrail", "PutEventSelectors"];

/// The names of the calls that change what a trail records.
pub fn selector_changes() -> &'static [&'static str] {
    CHANGES
}

/// What a trail's event selectors said when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectors {
    /// The trail's ARN.
    pub trail: String,
    /// As of when.
    pub captured_at: Timestamp,
    /// Whether all calls of KMS are recorded.
    pub kms: bool,
    /// Whether other management events are known to be left out.
    pub leaves_out_others: bool,
}

impl Selectors {
    /// Takes a row of inventory: `logs_keys` and `details` of log settings of the kind
    /// `event_selectors`.
    pub fn new(
        trail: impl Into<String>,
        captured_at: Timestamp,
        logs_keys: Option<bool>,
        details: &Value,
    ) -> Self {
        Self {
            trail: trail.into(),
            captured_at,
            kms: logs_keys == Some(true) && details.flag(&["partial"]) != Some(true),
            leaves_out_others: details.flag(&["others_left_out"]) == Some(true),
        }
    }
}

/// A call that may have changed what a trail records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The account in which it was made.
    pub account: String,
    /// When.
    pub at: Timestamp,
    /// The trail's name; `None` where the record does not tell it: any may be meant.
    pub trail: Option<String>,
}

impl Change {
    /// Reads the record of a call.
    pub fn read(account: impl Into<String>, at: Timestamp, raw: &str) -> Self {
        let record: Value = serde_json::from_str(raw).unwrap_or_default();
        // A trail is named by its name or by its ARN.
        let named = ["trailName", "name"].iter().find_map(|member| {
            let name = record.text(&["requestParameters", member])?;
            Some(name.rsplit('/').next().unwrap_or(name).to_owned())
        });
        Self { account: account.into(), at, trail: named }
    }
}

/// What a trail is known to record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The account that owns the trail.
    pub account: String,
    /// The trail's name.
    pub trail: String,
    /// The trail's home region.
    pub home: String,
    /// The stretches in which it is known to record all calls of KMS.
    pub kms: Vec<Period>,
    /// The stretches in which it is known to leave out management events of others.
    pub leaves_out_others: Vec<Period>,
}

impl Recorded {
    /// Puts together what was read of selectors, and when they may have been changed.
    pub fn all(readings: &[Selectors], changes: &[Change]) -> Vec<Self> {
        let mut trails: BTreeMap<(&str, &str, &str), Vec<&Selectors>> = BTreeMap::new();
        for reading in readings {
            if let Some(trail) = parts(&reading.trail) {
                trails.entry(trail).or_default().push(reading);
            }
        }
        let recorded = trails.into_iter().map(|((account, home, name), readings)| {
            let times: Vec<Timestamp> = changes
                .iter()
                .filter(|change| change.account == account)
                .filter(|change| change.trail.as_deref().is_none_or(|trail| trail == name))
                .map(|change| change.at)
                .collect();
            let when = |test: fn(&Selectors) -> bool| {
                let found = readings.iter().filter(|reading| test(reading));
                joined(found.map(|reading| holds(reading.captured_at, &times)).collect())
            };
            let (with, lacking) = (when(|reading| reading.kms), when(|reading| !reading.kms));
            Self {
                account: account.to_owned(),
                trail: name.to_owned(),
                home: home.to_owned(),
                kms: with.into_iter().flat_map(|with| without(with, &lacking)).collect(),
                leaves_out_others: when(|reading| reading.leaves_out_others),
            }
        });
        recorded.collect()
    }

    /// What is known of a trail; nothing where two trails could be meant. A trail of an organization
    /// belongs to an account that its digests do not name.
    pub(super) fn of<'a>(trail: &Trail, all: &'a [Self]) -> Option<&'a Self> {
        let mut found = all.iter().filter(|one| {
            one.trail == trail.name
                && one.home == trail.home
                && (trail.organization.is_some() || one.account == trail.account)
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The parts of a stretch in which calls of KMS are recorded.
    pub(super) fn with_kms(&self, stretch: Period) -> Vec<Period> {
        self.kms.iter().filter_map(|kms| common(*kms, stretch)).collect()
    }
}

/// Account, home region and name of a trail's ARN: `arn:aws:cloudtrail:REGION:ACCOUNT:trail/NAME`.
fn parts(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (_, _, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account) = (parts.next()?, parts.next()?);
    let name = parts.next()?.strip_prefix("trail/")?;
    (service == "cloudtrail").then_some((account, region, name))
}

/// The stretch that a reading speaks for.
fn holds(at: Timestamp, changes: &[Timestamp]) -> Period {
    let changes = changes.iter().copied();
    let from = changes.clone().filter(|change| *change <= at).max().unwrap_or(Timestamp::MIN);
    // A change in the second of the reading may have come after it: events have whole seconds.
    let second = before(at, SignedDuration::from_secs(1));
    let to = changes.filter(|change| *change > second).min().unwrap_or(Timestamp::MAX);
    Period { from, to }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_reading_speaks_for_the_time_between_the_changes_around_it() {
        let reading = |at: &str, logs_keys, details: &Value| {
            let arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";
            Selectors::new(arn, time(at), logs_keys, details)
        };
        let excluded = json!({"reason": "kms_excluded"});
        let readings = [
            reading("2026-01-10T00:00:00Z", Some(true), &json!({})),
            reading("2026-02-10T00:00:00Z", Some(false), &excluded),
            reading(
                "2026-03-10T00:00:00Z",
                Some(true),
                &json!({"partial": true, "others_left_out": true}),
            ),
            reading("2026-04-10T00:00:00Z", Some(true), &json!({})),
        ];
        let change = |trail: &str, day: &str| {
            let raw = json!({"requestParameters": {"trailName": trail}}).to_string();
            Change::read("111122223333", time(&format!("{day}T00:00:00Z")), &raw)
        };
        let arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";
        let days = ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"];
        let mut changes: Vec<Change> = days.iter().map(|day| change(arn, day)).collect();
        changes.push(change("other", "2026-01-05"));
        let all = Recorded::all(&readings, &changes);
        assert_eq!(all.len(), 1);
        let starts = |stretches: &[Period]| -> Vec<String> {
            stretches.iter().map(|stretch| stretch.from.to_string()).collect()
        };
        assert_eq!(starts(&all[0].kms), ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"]);
        assert_eq!(starts(&all[0].leaves_out_others), ["2026-03-01T00:00:00Z"]);
        let silent = Recorded::all(&readings[..2], &[]);
        assert_eq!(silent[0].kms, [], "one of them must be wrong about then, and none says which");
        let nameless = Change::read("111122223333", time("2026-01-05T00:00:00Z"), "{");
        let all = Recorded::all(&readings[..1], &[nameless]);
        assert_eq!(starts(&all[0].kms), ["2026-01-05T00:00:00Z"], "any trail may be meant");
    }

    #[test]
    fn a_trail_of_an_organization_is_found_by_its_name_unless_two_have_it() {
        let of = |account: &str| Recorded {
            account: account.to_owned(),
            trail: "main".to_owned(),
            home: "eu-west-1".to_owned(),
            ..Recorded::default()
        };
        let trail = |organization: Option<&str>| Trail {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            organization: organization.map(str::to_owned),
            name: "main".to_owned(),
            home: "eu-west-1".to_owned(),
        };
        let (other, two) = ([of("999988887777")], [of("999988887777"), of("111122223333")]);
        assert_eq!(Recorded::of(&trail(None), &other), None);
        assert!(Recorded::of(&trail(None), &two).is_some());
        assert!(Recorded::of(&trail(Some("o-a")), &other).is_some());
        assert_eq!(Recorded::of(&trail(Some("o-a")), &two), None);
    }
}
