//! Fixtures of rules: small tables with the verdicts that a rule must give on them.
//!
//! `<folder>/<rule id>/{fires,quiet,undetermined}-<case>.jsonl`. The first line sets `as_of`,
//! `period` (`[from, to]`), `params` (`{"name": value}`; `{"view.name": value}` for a view's) and
//! optionally `expect`, a list of `{"subject", "status", "reason"}`, the whole answer: each member
//! may be left out, then anything will do. The result of a rule that found nothing to judge, and
//! may say so, need not be listed. Each further line is `{"table": …, "row": {…}}`. Columns
//! that a row leaves out get defaults: identity, time of collection, category of the action,
//! `success`. `details` may be an object.
//!
//! A `fires` fixture gives at least one fail; a `quiet` one neither fail nor undetermined; an
//! `undetermined` one at least one undetermined and no fail; none of them gives an error. Every
//! rule must have one of each, unless its header says `always_decidable`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::{Action, leaf_hash, schema};
use crate::finding::{Period, RuleResult, Status};

use super::assess::{Question, assess};
use super::cut::Tables;
use super::param::ParamOverride;
use super::rows;
use super::set::{Rule, RuleSet};

/// What one fixture showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixtureOutcome {
    /// The rule.
    pub rule: String,
    /// The fixture's file; the rule's folder where a fixture is missing.
    pub fixture: String,
    /// What is wrong; `None` where the rule did what the fixture says.
    pub problem: Option<String>,
}

/// What a fixture's name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Fires,
    Quiet,
    Undetermined,
}

/// The promises by the first word of a file's name.
const PROMISES: &[(&str, Promise)] = &[
    ("fires", Promise::Fires),
    ("quiet", Promise::Quiet),
    ("undetermined", Promise::Undetermined),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    as_of: String,
    period: (String, String),
    #[serde(default)]
    params: Map<String, Value>,
    expect: Option<Vec<Expected>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    subject: Option<String>,
    status: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    table: String,
    row: Map<String, Value>,
}

/// Runs every fixture below `folder`, rule by rule. A rule without fixtures, and a folder without
/// rule, are failures.
pub async fn run_fixtures(set: &RuleSet, folder: &Path) -> Vec<FixtureOutcome> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let runs = stream::iter(set.rules()).map(|rule| run_rule(set, rule, folder)).buffered(at_once);
    let mut outcomes: Vec<FixtureOutcome> = runs.map(stream::iter).flatten().collect().await;
    for entry in sorted(folder) {
        let name = file_name(&entry);
        if entry.is_dir() && set.rules().all(|rule| rule.header.id != name) {
            let problem = Some("no rule has this id".to_owned());
            outcomes.push(FixtureOutcome {
                rule: name,
                fixture: entry.display().to_string(),
                problem,
            });
        }
    }
    outcomes
}

/// What a folder holds, by name; nothing where it cannot be read.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

async fn run_rule(set: &RuleSet, rule: &Rule, folder: &Path) -> Vec<FixtureOutcome> {
    let own = folder.join(&rule.header.id);
    let outcome = |path: &Path, problem: Option<String>| FixtureOutcome {
        rule: rule.header.id.clone(),
        fixture: path.display().to_string(),
        problem,
    };
    let mut outcomes = Vec::new();
    let mut kept = Vec::new();
    for path in sorted(&own) {
        let name = file_name(&path);
        let word = name.split('-').next().unwrap_or_default();
        let promise =
            PROMISES.iter().find(|(known, _)| *known == word).map(|(_, promise)| *promise);
        let problem = match promise {
            Some(promise) if path.extension().is_some_and(|own| own == "jsonl") => {
                kept.push(promise);
                run_file(set, rule, &path, promise).await.err()
            }
            _ => Some("name it fires-*.jsonl, quiet-*.jsonl or undetermined-*.jsonl".to_owned()),
        };
        outcomes.push(outcome(&path, problem));
    }
    for (word, promise) in PROMISES {
        let needless = *promise == Promise::Undetermined && rule.header.always_decidable;
        if !kept.contains(promise) && !needless {
            outcomes.push(outcome(&own, Some(format!("there is no {word}-*.jsonl"))));
        }
    }
    outcomes
}

async fn run_file(set: &RuleSet, rule: &Rule, path: &Path, promise: Promise) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let results = judge(set, rule, &text).await?;
    let setting = setting(&text)?;
    check_promise(promise, &results.0)?;
    match setting.expect {
        Some(expected) => check_expected(&expected, &results.0),
        None => Ok(()),
    }
}

/// The results of one fixture.
struct Results(Vec<RuleResult>);

fn setting(text: &str) -> Result<Setting, String> {
    let first = text.lines().next().unwrap_or_default();
    serde_json::from_str(first).map_err(|error| format!("line 1: {error}"))
}

async fn judge(set: &RuleSet, rule: &Rule, text: &str) -> Result<Results, String> {
    let setting = setting(text)?;
    let time =
        |text: &str| rows::read_time(text).ok_or_else(|| format!("line 1: `{text}` is not a time"));
    let as_of = time(&setting.as_of)?;
    let period = Period { from: time(&setting.period.0)?, to: time(&setting.period.1)? };
    let mut question = Question::new(as_of, period);
    question.rules = vec![rule.header.id.clone()];
    question.overrides = overrides(&rule.header.id, &setting.params);
    let tables = read_tables(text, as_of)?;
    let answer = assess(set, tables, question).await.map_err(|error| error.to_string())?;
    Ok(Results(answer.results))
}

fn overrides(rule: &str, params: &Map<String, Value>) -> Vec<ParamOverride> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let change = |(name, value): (&String, &Value)| {
        let (owner, param) = name.rsplit_once('.').unwrap_or((rule, name));
        ParamOverride { rule: owner.to_owned(), param: param.to_owned(), value: text(value) }
    };
    params.iter().map(change).collect()
}

fn read_tables(text: &str, as_of: Timestamp) -> Result<Tables, String> {
    let mut read: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        if line.trim().is_empty() {
            continue;
        }
        let at = |problem: String| format!("line {number}: {problem}");
        let line: Line = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
        let table = line.table.as_str();
        let columns = schema::table(table)
            .filter(|_| schema::VISIBLE.contains(&table))
            .ok_or_else(|| at(format!("there is no table `{table}`")))?;
        let own = read.entry(line.table.clone()).or_default();
        let action = line.row.get("action").and_then(Value::as_str);
        if table == "events" && action.is_none_or(|action| Action::parse(action).is_none()) {
            let action = action.unwrap_or_default();
            return Err(at(format!("`{action}` is no action; see docs/actions.md")));
        }
        let row = complete(&line.table, line.row, own.len(), as_of);
        rows::batch(&columns, std::slice::from_ref(&row)).map_err(at)?;
        own.push(row);
    }
    let mut tables = Tables::new();
    for (name, rows) in &read {
        let Some(columns) = schema::table(name) else { continue };
        let batch = rows::batch(&columns, rows)?;
        tables.insert_batch(name, batch).map_err(|error| error.strip_backtrace())?;
    }
    Ok(tables)
}

/// Fills what a row leaves out.
fn complete(
    table: &str,
    mut row: Map<String, Value>,
    index: usize,
    as_of: Timestamp,
) -> Map<String, Value> {
    if let Some(details) = row.get_mut("details").filter(|details| details.is_object()) {
        *details = Value::String(details.to_string());
    }
    match table {
        "events" => complete_event(&mut row, index),
        "coverage" => {
            default(&mut row, "method", "exhausted_pages");
            default(&mut row, "status", "covered");
        }
        "quarantine" => {
            default(&mut row, "quarantine_id", &format!("q{index}"));
            default(&mut row, "collected_at", &as_of.to_string());
            for name in ["source", "reason", "raw"] {
                default(&mut row, name, "fixture");
            }
        }
        "verifications" => complete_verification(&mut row, index, as_of),
        _ if schema::INVENTORY.contains(&table) => {
            default(&mut row, "snapshot_id", "s1");
            default(&mut row, "captured_at", &as_of.to_string());
            default(&mut row, "inventory_ref", &format!("{table}/{index}"));
        }
        "people" => default(&mut row, "kind", "human"),
        "approvals" => {
            default(&mut row, "approval_id", &format!("a{index}"));
            default(&mut row, "kind", "ticket");
        }
        _ => {}
    }
    row
}

/// A check of a run is told by what it found; the run is one at `as_of` unless the row says more.
fn complete_verification(row: &mut Map<String, Value>, index: usize, as_of: Timestamp) {
    for name in ["evidence", "log", "known", "calls"] {
        if let Some(value) = row.get_mut(name).filter(|value| !value.is_string()) {
            *value = Value::String(value.to_string());
        }
    }
    let ended = row.get("ended").and_then(Value::as_str).map_or(as_of.to_string(), str::to_owned);
    for name in ["captured_at", "started", "ended", "check_started", "check_ended"] {
        default(row, name, &ended);
    }
    for (name, value) in [
        ("snapshot_id", "v1"),
        ("run_id", "run-1"),
        ("provider", "pkcs11"),
        ("level", "use"),
        ("tool_version", "0"),
        ("module_sha256", "0"),
        ("token", "pkcs11:token=t"),
        ("token_serial", "1"),
        ("token_model", "T"),
        ("check_level", "use"),
        ("title", "t"),
        ("subject_kind", "token"),
        ("message", "m"),
    ] {
        default(row, name, value);
    }
    let token = row.get("token").and_then(Value::as_str).unwrap_or_default().to_owned();
    default(row, "subject_id", &token);
    default(row, "inventory_ref", &format!("verifications/{index}"));
    let fails = row.get("verdict").and_then(Value::as_str) == Some("FAIL");
    for (name, value) in [
        ("check_version", Value::from(1)),
        ("production", Value::from(true)),
        ("required", Value::from(false)),
        ("advisory", Value::from(false)),
        ("fails", Value::from(fails)),
    ] {
        row.entry(name).or_insert(value);
    }
}

/// Sets a column unless the row names it, be it as null.
fn default(row: &mut Map<String, Value>, name: &str, value: &str) {
    if !row.contains_key(name) {
        row.insert(name.to_owned(), Value::String(value.to_owned()));
    }
}

fn complete_event(row: &mut Map<String, Value>, index: usize) {
    let text = |row: &Map<String, Value>, name: &str| {
        row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let provider = text(row, "provider");
    let account = Some(text(row, "account")).filter(|account| !account.is_empty());
    default(row, "ledger", &format!("{provider}/{}", account.as_deref().unwrap_or("unknown")));
    let ledger = text(row, "ledger");
    row.entry("leaf_index").or_insert_with(|| Value::from(index));
    default(row, "event_id", &format!("{ledger}|{index}"));
    let time = text(row, "time");
    default(row, "collected_at", &time);
    let action = Action::parse(&text(row, "action")).unwrap_or(Action::Other);
    for (name, value) in [
        ("service", "kms"),
        ("format", "fixture"),
        ("transport", "fixture"),
        ("source", "fixture"),
        ("action", action.as_str()),
        ("category", action.category()),
        ("outcome", "success"),
        ("actor_kind", "unknown"),
        ("raw", "{}"),
    ] {
        default(row, name, value);
    }
    let native = text(row, "action");
    default(row, "native_action", &native);
    row.entry("mapper_version").or_insert_with(|| Value::from(1));
    let hash = leaf_hash(&ledger, &text(row, "event_id"), &text(row, "raw"));
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hash: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    default(row, "leaf_hash", &hash);
}

fn check_promise(promise: Promise, results: &[RuleResult]) -> Result<(), String> {
    let has = |status: Status| results.iter().any(|result| result.status == status);
    let kept = match promise {
        _ if has(Status::Error) => false,
        Promise::Fires => has(Status::Fail),
        Promise::Quiet => !has(Status::Fail) && !has(Status::Undetermined),
        Promise::Undetermined => has(Status::Undetermined) && !has(Status::Fail),
    };
    let wanted = match promise {
        Promise::Fires => "at least one fail",
        Promise::Quiet => "neither fail nor undetermined",
        Promise::Undetermined => "at least one undetermined and no fail",
    };
    if kept { Ok(()) } else { Err(format!("expected {wanted}; got\n{}", shown(results))) }
}

fn shown(results: &[RuleResult]) -> String {
    let line = |result: &RuleResult| {
        let id = result.subject.as_ref().map_or("(no subject)", |subject| subject.id.as_str());
        format!("  {id}: {} {}: {}", result.status, result.reason, result.message)
    };
    results.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Pairs every result with one expectation: the whole answer must be as expected.
fn check_expected(expected: &[Expected], results: &[RuleResult]) -> Result<(), String> {
    let mut open: Vec<&RuleResult> = results.iter().collect();
    for wanted in expected {
        let Some(place) = open.iter().position(|result| wanted.fits(result)) else {
            return Err(format!("{} was expected; got\n{}", wanted.shown(), shown(results)));
        };
        open.remove(place);
    }
    open.retain(|result| result.subject.is_some() || result.status != Status::NotApplicable);
    if open.is_empty() {
        return Ok(());
    }
    let count = open.len();
    Err(format!("{count} results more than expected; got\n{}", shown(results)))
}

impl Expected {
    fn fits(&self, result: &RuleResult) -> bool {
        let id = result.subject.as_ref().map(|subject| subject.id.as_str());
        let same = |wanted: &Option<String>, given: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| given == Some(wanted))
        };
        same(&self.subject, id)
            && same(&self.status, Some(result.status.as_str()))
            && same(&self.reason, Some(&result.reason))
    }

    fn shown(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        format!("{}: {} {}", part(&self.subject), part(&self.status), part(&self.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"/*+++
id = "T-1"
title = "A key was rotated"
severity = "high"
needs = { aws = ["aws.kms"] }
params = { period = "365d" }
rationale = "r"
remediation = "r"
+++*/
SELECT 'key' AS subject_kind, k.key_id AS subject_id, k.provider, k.account, k.region,
  CASE WHEN count(e.event_id) > 0 THEN 'pass' ELSE 'fail' END AS status,
  CASE WHEN count(e.event_id) > 0 THEN 'rotated' ELSE 'never_rotated' END AS reason,
  'm' AS message,
  array_agg(e.event_id ORDER BY e.time, e.event_id) AS evidence,
  count(e.event_id) AS evidence_count,
  array_agg(DISTINCT k.inventory_ref) AS inventory_refs,
  CASE WHEN count(e.event_id) > 0 THEN []
    ELSE [named_struct('from', $as_of - $period, 'to', $as_of)] END AS absences
FROM keys k LEFT JOIN events e ON e.key_id = k.key_id AND e.action = 'key.rotate'
  AND e.outcome = 'success' AND e.time > $as_of - $period
GROUP BY k.key_id, k.provider, k.account, k.region
"#;
    const HEAD: &str = r#"{"as_of": "2026-01-01", "period": ["2025-01-01", "2026-01-01"]}"#;
    const KEY: &str =
        r#"{"table":"keys","row":{"provider":"aws","account":"1","region":"r","key_id":"k"}}"#;
    const COVERED: &str = r#"{"table":"coverage","row":{"ledger":"aws/1","kind":"aws.kms","from":"2025-01-01","to":"2026-01-01"}}"#;
    const ROTATED: &str = r#"{"table":"events","row":{"provider":"aws","account":"1","region":"r","key_id":"k","action":"key.rotate","time":"2025-06-01T00:00:00Z","details":{"a":1}}}"#;

    fn write(folder: &Path, name: &str, lines: &[&str]) {
        let own = folder.join("T-1");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join(name), lines.join("\n")).unwrap();
    }

    async fn problems(folder: &Path) -> Vec<String> {
        let set = RuleSet::from_texts(&[("t/t-1.sql", RULE)]).unwrap();
        let outcomes = run_fixtures(&set, folder).await;
        outcomes.into_iter().filter_map(|outcome| outcome.problem).collect()
    }

    #[tokio::test]
    async fn fixtures_that_hold_have_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        let expect = HEAD.replace(
            "]}",
            r#"], "params": {"period": "90d"},
            "expect": [{"subject": "k", "status": "fail", "reason": "never_rotated"}]}"#,
        );
        write(
            folder.path(),
            "fires-never.jsonl",
            &[&expect.replace('\n', ""), KEY, COVERED, ROTATED],
        );
        write(folder.path(), "quiet-rotated.jsonl", &[HEAD, KEY, ROTATED, ""]);
        write(folder.path(), "undetermined-gap.jsonl", &[HEAD, KEY]);
        assert_eq!(problems(folder.path()).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_broken_promise_and_a_missing_fixture_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let expect = HEAD.replace("]}", r#"], "expect": []}"#);
        write(folder.path(), "fires-never.jsonl", &[HEAD, KEY, ROTATED]);
        write(folder.path(), "quiet-rotated.jsonl", &[&expect, KEY, ROTATED]);
        write(folder.path(), "other.jsonl", &[HEAD]);
        fs::create_dir(folder.path().join("T-9")).unwrap();
        let problems = problems(folder.path()).await;
        assert_eq!(problems.len(), 5, "{problems:#?}");
        for says in [
            "at least one fail",
            "more than expected",
            "name it",
            "there is no undetermined",
            "no rule has this id",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(says)), "{says}");
        }
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_read_is_named() {
        for (line, says) in [
            ("{", "line 2"),
            (r#"{"table":"nothing","row":{}}"#, "no table `nothing`"),
            (r#"{"table":"journal","row":{}}"#, "no table `journal`"),
            (r#"{"table":"keys","row":{"kye_id":"k"}}"#, "no column `kye_id`"),
            (r#"{"table":"keys","row":{"provider":"aws"}}"#, "key_id"),
            (r#"{"table":"keys","row":{"provider":"aws","key_id":7}}"#, "not a text"),
            (
                r#"{"table":"events","row":{"provider":"aws","action":"key.rotated","time":"2025-06-01"}}"#,
                "`key.rotated` is no action",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), "fires-x.jsonl", &[HEAD, line]);
            let problems = problems(folder.path()).await;
            assert!(problems[0].contains(says), "{says}: {}", problems[0]);
        }
    }
}
