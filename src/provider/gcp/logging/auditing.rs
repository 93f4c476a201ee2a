//! Whether the use of keys was logged at all.
//!
//! Data Access entries exist only where the audit configuration asks for them, and can be read only
//! where nothing leads them elsewhere and the caller may see private logs; without the latter a
//! query silently leaves them out. All of this is known for the time of a collection alone: a
//! [`Sight`]. Between two sights that both found it on, and saw the same configuration, it was on.
//!
//! Facts: "Enable Data Access audit logs", "`AuditConfig`" (the union of all levels counts, exemptions
//! included), "Aggregated sinks" (one that intercepts takes entries away from the project).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::super::source::{Note, SourceError};
use super::super::api::{self, Api, List, What, is_plain_name};
use super::super::hierarchy;
use super::super::inventory::Auditing;
use crate::event::{canonical_value, sha256_hex};
use crate::finding::Period;

/// After logging was found on for the first time, this long may pass until it is in effect
/// everywhere: changes of policies take "typically two minutes, potentially seven or longer".
const PROPAGATION: SignedDuration = SignedDuration::from_mins(15);

/// The configuration of Data Access logs as one collection found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    /// When.
    pub(super) at: Timestamp,
    /// Whether every use of a key is logged, kept in the project and can be read.
    pub(super) on: bool,
    /// The project's policy, by its etag: another one after every change.
    pub(super) policy: String,
    /// Everything else that decides, by its digest.
    pub(super) rest: String,
    /// How many days entries are kept.
    pub(super) retention_days: i64,
}

/// A sight, and what is to be told about it.
pub(super) struct Looked {
    pub(super) sight: Sight,
    pub(super) notes: Vec<Note>,
}

/// The services that are asked.
pub(super) struct Look<'a> {
    pub(super) project: &'a str,
    pub(super) logging: &'a Api,
    pub(super) manager: &'a Api,
    pub(super) now: Timestamp,
}

/// What was gathered, and what stands in the way.
#[derive(Default)]
struct Gathered {
    marks: BTreeMap<String, String>,
    policy: String,
    retention_days: i64,
    lacks: Vec<(String, Option<String>)>,
}

impl Look<'_> {
    /// Looks. What cannot be read counts as not logged, and is told.
    ///
    /// # Errors
    /// When a service does not answer at all.
    pub(super) async fn take(&self) -> Result<Looked, SourceError> {
        let mut gathered = Gathered::default();
        for step in [Step::Permissions, Step::Policies, Step::Bucket] {
            let outcome = match step {
                Step::Permissions => self.permissions(&mut gathered).await,
                Step::Policies => self.policies(&mut gathered).await,
                Step::Bucket => self.bucket(&mut gathered).await,
            };
            match outcome {
                Ok(()) => {}
                Err(SourceError::Denied { call, permission, .. }) => {
                    let hint = format!("grant {permission}");
                    gathered.lacks.push((format!("{call} was refused"), Some(hint)));
                }
                Err(
                    error @ (SourceError::Answer { status: 400..=499, .. }
                    | SourceError::Content { .. }),
                ) => {
                    gathered.lacks.push((error.to_string(), None));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.sum_up(gathered))
    }

    fn sum_up(&self, gathered: Gathered) -> Looked {
        let rest = serde_json::to_string(&gathered.marks).unwrap_or_default();
        let sight = Sight {
            at: self.now,
            on: gathered.lacks.is_empty() && !gathered.policy.is_empty(),
            policy: gathered.policy,
            rest: sha256_hex(rest.as_bytes()),
            retention_days: gathered.retention_days,
        };
        let note = |(lack, hint): (String, Option<String>)| Note {
            message: format!(
                "the use of keys in project {} is not proven to be logged: {lack}",
                self.project
            ),
            hint: hint.or_else(|| {
                Some("docs/sources.md says how to have every use of a key logged".to_owned())
            }),
        };
        Looked { sight, notes: gathered.lacks.into_iter().map(note).collect() }
    }

    /// Whether Data Access entries would be shown: without the permission they are left out of an
    /// answer in silence.
    async fn permissions(&self, gathered: &mut Gathered) -> Result<(), SourceError> {
        let wanted = ["logging.logEntries.list", "logging.privateLogEntries.list"];
        let path = format!("/v3/projects/{}:testIamPermissions", self.project);
        let call = format!("cloudresourcemanager testIamPermissions of projects/{}", self.project);
        let what = What::new(call, "resourcemanager.projects.get");
        let body = self.manager.post(&what, &path, &json!({"permissions": wanted})).await?;
        let answer = api::object(&what, &body)?;
        let granted: Vec<&str> =
            answer.items(&["permissions"]).iter().filter_map(Value::as_str).collect();
        for permission in wanted.iter().filter(|permission| !granted.contains(*permission)) {
            let lack = format!("Data Access entries are hidden without {permission}");
            gathered.lacks.push((lack, Some(format!("grant {permission}"))));
        }
        Ok(())
    }

    /// What the policies of the project and everything above it ask for.
    async fn policies(&self, gathered: &mut Gathered) -> Result<(), SourceError> {
        let mut auditing = Auditing::default();
        let own = format!("projects/{}", self.project);
        let policy = hierarchy::policy(self.manager, &own).await?;
        gathered.policy = policy.string(&["etag"]).unwrap_or_default();
        auditing.add(&policy);
        for above in hierarchy::ancestors(self.manager, self.project).await? {
            let policy = hierarchy::policy(self.manager, &above).await?;
            auditing.add(&policy);
            let mark = policy.string(&["etag"]).unwrap_or_else(|| canonical_value(&policy));
            self.sinks_above(gathered, &above).await?;
            gathered.marks.insert(above, mark);
        }
        gathered.lacks.extend(auditing.lack().map(|lack| (lack, None)));
        Ok(())
    }

    /// A sink above the project that intercepts takes its entries away.
    async fn sinks_above(&self, gathered: &mut Gathered, above: &str) -> Result<(), SourceError> {
        let what = What::new(format!("logging sinks.list of {above}"), "logging.sinks.list");
        let path = format!("/v2/{above}/sinks");
        let list = List { path: &path, member: "sinks", query: &[("pageSize", "500")] };
        let sinks = self.logging.list(&what, &list).await?;
        let intercepts = |sink: &&Value| {
            sink.flag(&["interceptChildren"]) == Some(true)
                && sink.flag(&["disabled"]) != Some(true)
        };
        let taking: Vec<&Value> = sinks.iter().filter(intercepts).collect();
        if let Some(sink) = taking.first() {
            let name: String = sink.text(&["name"]).unwrap_or("?").chars().take(100).collect();
            let name = name.escape_debug();
            let lack = format!("the sink {name} of {above} takes entries of its projects away");
            gathered.lacks.push((lack, None));
        }
        let mark = canonical_value(&json!(taking));
        gathered.marks.insert(format!("sinks of {above}"), mark);
        Ok(())
    }

    /// Whether Data Access entries reach the project's own bucket `_Default`, and how long it keeps
    /// them.
    async fn bucket(&self, gathered: &mut Gathered) -> Result<(), SourceError> {
        let project = self.project;
        let what =
            What::new(format!("logging sinks.get of projects/{project}"), "logging.sinks.get");
        let path = format!("/v2/projects/{project}/sinks/_Default");
        let sink = api::object(&what, &self.logging.get(&what, &path).await?)?;
        gathered.lacks.extend(sink_lack(&sink).map(|lack| (lack.to_owned(), None)));
        gathered.marks.insert("sink".to_owned(), canonical_value(&sink));
        let Some(bucket) = own_bucket(&sink, project) else {
            let lack = "the sink _Default leads to no bucket _Default of this project";
            gathered.lacks.push((lack.to_owned(), None));
            return Ok(());
        };
        let what =
            What::new(format!("logging buckets.get of projects/{project}"), "logging.buckets.get");
        let bucket = api::object(&what, &self.logging.get(&what, &format!("/v2/{bucket}")).await?)?;
        gathered.marks.insert("bucket".to_owned(), canonical_value(&bucket));
        match bucket.integer(&["retentionDays"]).filter(|days| *days > 0) {
            Some(days) => gathered.retention_days = days,
            None => gathered.lacks.push(("the bucket _Default has no retention".to_owned(), None)),
        }
        Ok(())
    }
}

enum Step {
    Permissions,
    Policies,
    Bucket,
}

/// Why the sink may lead Data Access entries past the bucket; `None` where it does not.
fn sink_lack(sink: &Value) -> Option<&'static str> {
    if sink.flag(&["disabled"]) == Some(true) {
        return Some("the sink _Default is switched off");
    }
    let active = |exclusion: &Value| exclusion.flag(&["disabled"]) != Some(true);
    if sink.items(&["exclusions"]).iter().any(active) {
        return Some("the sink _Default excludes entries");
    }
    (!passes_data_access(sink.text(&["filter"]).unwrap_or_default()))
        .then_some("the filter of the sink _Default may leave Data Access entries out")
}

/// Whether a filter is one that only leaves out logs by their id, and Data Access is not among them:
/// the one that `_Default` has from the beginning is.
fn passes_data_access(filter: &str) -> bool {
    let text: String = filter.split_whitespace().collect::<Vec<_>>().join(" ");
    text.is_empty()
        || text.split(" AND ").all(|part| {
            part.trim()
                .strip_prefix("NOT LOG_ID(\"")
                .and_then(|rest| rest.strip_suffix("\")"))
                .is_some_and(|id| !id.contains(['"', ' ']) && !id.contains("data_access"))
        })
}

/// The bucket `_Default` of `project`, if the sink leads there.
fn own_bucket(sink: &Value, project: &str) -> Option<String> {
    let bucket = sink.text(&["destination"])?.strip_prefix("logging.googleapis.com/")?;
    let place = bucket.strip_prefix(&format!("projects/{project}/locations/"))?;
    let location = place.strip_suffix("/buckets/_Default")?;
    (!location.contains('/') && is_plain_name(bucket)).then(|| bucket.to_owned())
}

/// What is known about changes of audit configuration.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Those that were found.
    pub(super) found: BTreeSet<Timestamp>,
    /// From when on the Admin Activity log was read without a hole in this run.
    pub(super) read_from: Timestamp,
    /// Until when earlier runs have proven that every use of a key was logged.
    pub(super) logged_until: Option<Timestamp>,
}

impl Changes {
    /// The stretch from one sight to the next, of which both found it on, but under another policy:
    /// it was on until the first change of auditing, if the log was read from the beginning on.
    fn between(&self, before: &Sight, after: &Sight) -> Option<Period> {
        let resumed = self.logged_until.filter(|until| (before.at..=after.at).contains(until));
        let from = [Some(before.at), resumed].into_iter().flatten();
        let from = from.filter(|from| self.read_from <= *from).min()?;
        let change = self.found.range(from..).next().copied();
        let to = change.map_or(after.at, |change| change.min(after.at));
        Some(Period { from, to })
    }
}

/// The stretches during which every use of a key was logged, as far as the sights prove it.
pub(super) fn proven(sights: &[Sight], changes: &Changes) -> Vec<Period> {
    let (mut stretches, mut unbroken) = (Vec::new(), false);
    for pair in sights.windows(2) {
        let [before, after] = pair else { continue };
        let alike = before.on && after.on && before.rest == after.rest && before.at < after.at;
        let stretch = if alike && before.policy == after.policy {
            Some(Period { from: before.at, to: after.at })
        } else if alike {
            changes.between(before, after)
        } else {
            None
        };
        let Some(Period { mut from, to }) = stretch else {
            unbroken = false;
            continue;
        };
        // It may have been switched on just before it was found on.
        if !unbroken && changes.logged_until != Some(from) {
            let effective = before.at.checked_add(PROPAGATION).unwrap_or(Timestamp::MAX);
            from = from.max(effective);
        }
        if from < to {
            stretches.push(Period { from, to });
        }
        unbroken = to == after.at;
    }
    stretches
}

/// The first and the last of each run of sights that saw the same: they prove what all of them do.
pub(super) fn ends(sights: &[Sight]) -> Vec<Sight> {
    let alike = |before: &Sight, after: &Sight| Sight { at: before.at, ..after.clone() } == *before;
    sights
        .chunk_by(alike)
        .flat_map(|run| run.first().into_iter().chain(run.last().filter(|_| run.len() > 1)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(hour: i64) -> Timestamp {
        "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hour)
    }

    fn sight(hour: i64, on: bool, policy: &str) -> Sight {
        Sight {
            at: time(hour),
            on,
            policy: policy.to_owned(),
            rest: "r".to_owned(),
            retention_days: 30,
        }
    }

    fn period(from: Timestamp, to: i64) -> Period {
        Period { from, to: time(to) }
    }

    fn read_from(hour: i64, found: &[Timestamp]) -> Changes {
        Changes {
            found: found.iter().copied().collect(),
            read_from: time(hour),
            logged_until: None,
        }
    }

    #[test]
    fn a_summary_of_sights_proves_what_all_of_them_do() {
        let policies = ["a", "a", "a", "b", "b", "a", "a", "a", "a"];
        let mut sights: Vec<Sight> =
            (0..).zip(policies).map(|(hour, policy)| sight(hour, true, policy)).collect();
        sights.extend((20..30).map(|hour| sight(hour, hour > 23, "a")));
        let kept = ends(&sights);
        assert_eq!(kept.len(), 10, "{kept:?}");
        let covered = |sights: &[Sight]| {
            let mut minutes = BTreeSet::new();
            for Period { from, to } in proven(sights, &read_from(-9, &[time(4)])) {
                let mut at = from;
                while at < to {
                    minutes.insert(at);
                    at += SignedDuration::from_mins(5);
                }
            }
            minutes
        };
        assert_eq!(covered(&kept), covered(&sights));
        assert!(covered(&kept).len() > 20);
        // The last ones may stand behind the summary once more.
        let mut again = kept.clone();
        again.extend(sights.iter().rev().take(4).cloned());
        again.sort_by_key(|sight| sight.at);
        again.dedup();
        assert_eq!(covered(&again), covered(&sights));
        assert_eq!(ends(&[]), []);
    }

    #[test]
    fn one_sight_proves_nothing_and_two_the_stretch_between() {
        let none = read_from(-9, &[]);
        assert!(proven(&[sight(0, true, "a")], &none).is_empty());
        let two = [sight(0, true, "a"), sight(4, true, "a"), sight(6, true, "a")];
        let start = time(0) + PROPAGATION;
        assert_eq!(proven(&two, &none), [period(start, 4), period(time(4), 6)]);
    }

    #[test]
    fn a_stretch_in_which_it_was_found_off_is_not_proven_on_either_side() {
        let sights = [sight(0, true, "a"), sight(4, false, "b"), sight(8, true, "c")];
        assert!(proven(&sights, &read_from(-9, &[])).is_empty());
    }

    #[test]
    fn a_changed_policy_is_proven_only_as_far_as_no_change_of_auditing_was_read() {
        let sights = [sight(0, true, "a"), sight(4, true, "b")];
        let start = time(0) + PROPAGATION;
        assert_eq!(proven(&sights, &read_from(0, &[])), [period(start, 4)]);
        assert!(
            proven(&sights, &read_from(1, &[])).is_empty(),
            "the log was not read from there on"
        );
        let changes = [time(-1), time(2), time(3)];
        assert_eq!(proven(&sights, &read_from(0, &changes)), [period(start, 2)]);
    }

    #[test]
    fn what_an_earlier_run_has_proven_is_gone_on_from() {
        let sights = [sight(0, true, "a"), sight(6, true, "b"), sight(12, true, "b")];
        let mut changes = read_from(4, &[]);
        changes.logged_until = Some(time(5));
        assert_eq!(proven(&sights, &changes), [period(time(5), 6), period(time(6), 12)]);
        // What was not claimed then, just after it was switched on, is not claimed later.
        let (alike, start) = ([sight(0, true, "a"), sight(6, true, "a")], time(0) + PROPAGATION);
        assert_eq!(proven(&alike, &changes), [period(start, 6)]);
        changes.read_from = time(6);
        let start = time(6) + PROPAGATION;
        assert_eq!(proven(&sights, &changes), [period(start, 12)]);
    }

    #[test]
    fn another_configuration_above_the_project_proves_nothing() {
        let mut other = sight(4, true, "a");
        other.rest = "s".to_owned();
        assert!(proven(&[sight(0, true, "a"), other], &read_from(-9, &[])).is_empty());
    }

    #[test]
    fn only_a_default_sink_that_lets_data_access_through_counts() {
        let usual = "NOT LOG_ID(\"cloudaudit.googleapis.com/activity\") AND \
            NOT LOG_ID(\"externalaudit.googleapis.com/activity\")";
        assert!(passes_data_access(usual));
        assert!(passes_data_access(""));
        for odd in [
            "NOT LOG_ID(\"cloudaudit.googleapis.com/data_access\")",
            "severity>=ERROR",
            "NOT LOG_ID(\"x\") OR NOT LOG_ID(\"cloudaudit.googleapis.com/data_access\")",
            "NOT LOG_ID(\"x\") AND protoPayload.serviceName=\"y\"",
        ] {
            assert!(!passes_data_access(odd), "{odd}");
        }
        let sink = |value| json!({"destination": value});
        let own = "logging.googleapis.com/projects/p/locations/global/buckets/_Default";
        assert!(own_bucket(&sink(own), "p").is_some());
        assert!(own_bucket(&sink(own), "q").is_none());
        assert!(own_bucket(&sink("storage.googleapis.com/b"), "p").is_none());
        assert!(sink_lack(&json!({"disabled": true})).is_some());
        assert!(sink_lack(&json!({"exclusions": [{"filter": "x"}]})).is_some());
        assert!(sink_lack(&json!({"exclusions": [{"filter": "x", "disabled": true}]})).is_none());
    }
}
