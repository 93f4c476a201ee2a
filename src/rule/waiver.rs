//! Waivers: failed results that somebody answers for, for a limited time.
//!
//! A waiver changes the count that a failed result goes to, never the result itself. One that is
//! not valid is an error of the configuration: nothing is judged with it. One that has expired at
//! `as_of` covers nothing: the finding is back.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::finding::{RuleResult, Status, WaiverRef, WaiverState};

use super::error::{FileProblem, RuleError};
use super::functions::{case_fold, glob};
use super::rows::read_time;

/// The longest time that a waiver may hold.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// One waiver of a file, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// What a result under it shows.
    pub shown: WaiverRef,
    /// Glob on the rule's id.
    pub rule: String,
    /// Glob on the subject's id.
    pub subject: String,
    /// Where it was decided.
    pub ticket: Option<String>,
    /// What is done in place of keeping the rule.
    pub compensating_control: Option<String>,
    /// Since when it holds.
    pub created: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    waiver: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWaiver {
    id: String,
    rule: String,
    subject: String,
    reason: String,
    owner: String,
    approver: String,
    ticket: Option<String>,
    compensating_control: Option<String>,
    created: toml::Value,
    expires: toml::Value,
    #[serde(default)]
    allow_broad: bool,
}

/// Reads a file of waivers. The error lists every entry that is not valid.
pub fn read_waivers(file: &str, text: &str) -> Result<Vec<Waiver>, RuleError> {
    let problem = |line: Option<usize>, problem: String, remedy: &str| FileProblem {
        file: file.to_owned(),
        line,
        problem,
        remedy: remedy.to_owned(),
    };
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).map(newlines);
        let message = error.message().replace('\n', ", ");
        let line = before.map(|before| before + 1);
        RuleError::Files(vec![problem(line, message, "write a list of [[waiver]] tables")])
    })?;
    let lines = entry_lines(text);
    let (mut waivers, mut problems): (Vec<Waiver>, Vec<FileProblem>) = (Vec::new(), Vec::new());
    for (index, entry) in raw.waiver.into_iter().enumerate() {
        let name = entry.get("id").and_then(toml::Value::as_str).unwrap_or("without id").to_owned();
        let entry_problem = |text: String| {
            let text = format!("waiver {} ({name}): {text}", index + 1);
            problem(lines.get(index).copied(), text, "correct the waiver or take it out")
        };
        match read_one(entry) {
            Ok(waiver) if waivers.iter().any(|other| other.shown.id == waiver.shown.id) => {
                problems.push(entry_problem("its id is used twice".to_owned()));
            }
            Ok(waiver) => waivers.push(waiver),
            Err(texts) => problems.extend(texts.into_iter().map(entry_problem)),
        }
    }
    if problems.is_empty() { Ok(waivers) } else { Err(RuleError::Files(problems)) }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The line that each entry begins on.
fn entry_lines(text: &str) -> Vec<usize> {
    let begins = |line: &str| line.trim_start().starts_with("[[waiver]]");
    text.lines().zip(1..).filter(|(line, _)| begins(line)).map(|(_, number)| number).collect()
}

fn read_one(entry: toml::Value) -> Result<Waiver, Vec<String>> {
    let raw: RawWaiver = entry
        .try_into()
        .map_err(|error: toml::de::Error| vec![error.message().replace('\n', " ")])?;
    let mut problems = texts(&raw);
    let created = time(&raw.created, "created");
    let expires = time(&raw.expires, "expires");
    match (&created, &expires) {
        (Ok(created), Ok(expires)) if expires <= created => {
            problems.push("it expires before it was created".to_owned());
        }
        (Ok(created), Ok(expires)) if expires.duration_since(*created) > LONGEST => {
            problems.push("it holds for more than 366 days".to_owned());
        }
        _ => {}
    }
    problems.extend([&created, &expires].into_iter().filter_map(|time| time.clone().err()));
    match (created, expires) {
        (Ok(created), Ok(expires)) if problems.is_empty() => Ok(Waiver {
            shown: WaiverRef {
                id: raw.id,
                reason: raw.reason,
                owner: raw.owner,
                approver: raw.approver,
                expires,
            },
            rule: raw.rule,
            subject: raw.subject,
            ticket: raw.ticket,
            compensating_control: raw.compensating_control,
            created,
        }),
        _ => Err(problems),
    }
}

fn texts(raw: &RawWaiver) -> Vec<String> {
    let mut problems: Vec<String> = [
        ("id", &raw.id),
        ("rule", &raw.rule),
        ("subject", &raw.subject),
        ("reason", &raw.reason),
        ("owner", &raw.owner),
        ("approver", &raw.approver),
    ]
    .into_iter()
    .filter(|(_, text)| text.trim().is_empty())
    .map(|(name, _)| format!("`{name}` is empty"))
    .collect();
    if case_fold(raw.owner.trim()) == case_fold(raw.approver.trim()) {
        problems.push("its owner approved it; another person must".to_owned());
    }
    let all = |pattern: &str| !pattern.is_empty() && pattern.trim().chars().all(|c| c == '*');
    if all(&raw.rule) && all(&raw.subject) && !raw.allow_broad {
        problems.push(
            "it waives every rule for every subject; say `allow_broad = true` if that is meant"
                .to_owned(),
        );
    }
    problems
}

fn time(value: &toml::Value, name: &str) -> Result<Timestamp, String> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Datetime(time) => time.to_string(),
        other => other.to_string(),
    };
    read_time(&text).ok_or_else(|| {
        format!("`{name}` is `{text}`; write a date or a time with its offset, such as 2027-01-31")
    })
}

/// Marks the failed results that waivers in force cover, and says what became of each waiver.
pub(super) fn apply(
    waivers: &[Waiver],
    results: &mut [RuleResult],
    as_of: Timestamp,
) -> Vec<WaiverState> {
    waivers.iter().map(|waiver| apply_one(waiver, results, as_of)).collect()
}

fn apply_one(waiver: &Waiver, results: &mut [RuleResult], as_of: Timestamp) -> WaiverState {
    let expired = waiver.shown.expires <= as_of;
    let mut matched = 0;
    for result in results.iter_mut().filter(|result| waiver.matches(result)) {
        matched += 1;
        if !expired && result.waived.is_none() {
            result.waived = Some(waiver.shown.clone());
        }
    }
    let state = match (expired, matched) {
        (true, _) => "expired",
        (false, 0) => "unmatched",
        (false, _) => "in_force",
    };
    WaiverState {
        waiver: waiver.shown.clone(),
        rule: waiver.rule.clone(),
        subject: waiver.subject.clone(),
        state: state.to_owned(),
        matched,
    }
}

impl Waiver {
    fn matches(&self, result: &RuleResult) -> bool {
        result.status == Status::Fail
            && glob(&result.rule, &self.rule)
            && result.subject.as_ref().is_some_and(|subject| glob(&subject.id, &self.subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::finding::{Severity, Subject};

    const GOOD: &str = r#"
[[waiver]]
id = "W-1"
rule = "ROT-*"
subject = "arn:aws:kms:*:key/1"
reason = "Migration"
owner = "Jo@example.org"
approver = "sam@example.org"
ticket = "T-1"
created = 2026-01-01
expires = "2026-06-30T00:00:00Z"
"#;

    fn problems(text: &str) -> Vec<FileProblem> {
        match read_waivers("w.toml", text) {
            Err(RuleError::Files(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    fn result(rule: &str, subject: &str, status: Status) -> RuleResult {
        RuleResult {
            rule: rule.to_owned(),
            severity: Severity::High,
            subject: Some(Subject { id: subject.to_owned(), ..Subject::default() }),
            status,
            waived: None,
            reason: String::new(),
            message: String::new(),
            grade: None,
            controls: Vec::new(),
            evidence: Vec::new(),
            evidence_count: 0,
            inventory_refs: Vec::new(),
            gaps: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    #[test]
    fn only_failed_results_are_waived_and_only_until_the_waiver_expires() {
        let waivers = read_waivers("w.toml", GOOD).unwrap();
        let key = "arn:aws:kms:eu:1:key/1";
        let results = || {
            vec![
                result("ROT-01", key, Status::Fail),
                result("ROT-02", key, Status::Undetermined),
                result("ROT-02", "other", Status::Fail),
                result("DC-01", key, Status::Fail),
            ]
        };
        for (as_of, state, waived) in [("2026-06-29", "in_force", 1), ("2026-06-30", "expired", 0)]
        {
            let mut results = results();
            let states = apply(&waivers, &mut results, read_time(as_of).unwrap());
            assert_eq!((states[0].state.as_str(), states[0].matched), (state, 1));
            assert_eq!(results.iter().filter(|result| result.waived.is_some()).count(), waived);
        }
        let states = apply(&waivers, &mut [], read_time("2026-02-01").unwrap());
        assert_eq!(states[0].state, "unmatched");
    }

    #[test]
    fn an_invalid_waiver_is_named_with_its_file_and_place() {
        for (from, to, says) in [
            ("sam@example.org", " JO@Example.org", "owner approved"),
            ("2026-06-30T00:00:00Z", "2027-06-30", "366 days"),
            ("2026-06-30T00:00:00Z", "2025-06-30", "before it was created"),
            ("2026-06-30T00:00:00Z", "soon", "`expires` is `soon`"),
            ("expires", "expiry", "unknown field"),
            ("expires = \"2026-06-30T00:00:00Z\"", "", "missing field"),
            ("\"Migration\"", "\" \"", "`reason` is empty"),
        ] {
            let found = problems(&GOOD.replace(from, to));
            assert!(found[0].problem.contains(says), "{says}: {found:?}");
            assert_eq!(found[0].line, Some(2));
            assert!(found[0].problem.contains("waiver 1 (W-1)"));
        }
        assert!(problems("waivers = []")[0].problem.contains("unknown field"));
        assert_eq!(problems(&format!("{GOOD}{GOOD}"))[0].line, Some(13));
        assert_eq!(read_waivers("w.toml", ""), Ok(vec![]));
    }

    #[test]
    fn a_waiver_of_everything_must_be_meant() {
        let broad = GOOD.replace("ROT-*", "*").replace("arn:aws:kms:*:key/1", "**");
        assert!(problems(&broad)[0].problem.contains("allow_broad"));
        assert_eq!(read_waivers("w", &format!("{broad}allow_broad = true")).unwrap().len(), 1);
        assert_eq!(read_waivers("w", &GOOD.replace("ROT-*", "*")).unwrap().len(), 1);
    }
}
