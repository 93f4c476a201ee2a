//! The shipped example, run as a first-time user would: its verdicts are those of
//! `fixtures/demo/expected.csv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::{Bench, Run};

/// The example, made once for all tests that look at it.
pub(crate) struct Demo {
    pub(crate) folder: PathBuf,
    told: String,
    took: Duration,
}

pub(crate) static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let began = Instant::now();
    let run = Bench::new().run(&["demo", "--dir", folder.to_str().unwrap()]).exits(0);
    Demo { folder, told: run.stdout, took: began.elapsed() }
});

impl Demo {
    /// A command on the example's store, with what the company knows.
    pub(crate) fn judge(&self, bench: &Bench, command: &str, more: &[&str]) -> Command {
        let files = self.folder.join("files");
        let file = |name: &str| files.join(name).display().to_string();
        let mut command = bench.command(&[command, "--period", "2025-10-01..2026-10-01"]);
        command
            .args(["--people", &file("people.csv"), "--approvals", &file("approvals.csv")])
            .args(["--waivers", &file("waivers.toml")])
            .env("KEYTRAIL_STORE", self.folder.join("store"))
            .args(more);
        command
    }
}

fn results() -> Vec<Value> {
    let run = Run::of(DEMO.judge(&Bench::new(), "check", &["--format", "json"])).exits(1);
    run.json()["results"].as_array().unwrap().clone()
}

/// What a line of the table of expectations says.
struct Expected {
    rule: String,
    subject: String,
    at: String,
    status: String,
    waiver: String,
}

fn expected() -> Vec<Expected> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/expected.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        let field = |at: usize| record[at].to_owned();
        Expected {
            rule: field(0),
            subject: field(2),
            at: field(3),
            status: field(4),
            waiver: field(5),
        }
    });
    records.collect()
}

/// Whether a result is about what the line names: its subject, or for an operation the object
/// that it was done to and when, to the second.
fn is_about(result: &Value, line: &Expected) -> bool {
    if result["rule"] != *line.rule {
        return false;
    }
    if line.at.is_empty() {
        return result["subject"]["id"] == *line.subject;
    }
    let at = result["facts"]["happened_at"].as_str().unwrap_or("");
    let object = result["facts"]["object"].as_str().unwrap_or("");
    // An operation within a cluster is written `<cluster> <user>` or `<cluster> key <handle>`.
    let (cluster, inner) = line.subject.split_once(' ').unwrap_or(("", &line.subject));
    let same = object == inner
        || (!cluster.is_empty() && object.ends_with(&inner.replacen("key ", "/key/", 1)));
    same && at.get(..19) == line.at.get(..19)
}

#[test]
fn the_example_judges_every_subject_as_its_story_says() {
    let results = results();
    let mut wrong = Vec::new();
    for line in expected() {
        let found: Vec<&Value> = results.iter().filter(|result| is_about(result, &line)).collect();
        let what = format!("{} {} {}", line.rule, line.subject, line.at);
        let [result] = found.as_slice() else {
            // What no longer exists need not be judged.
            if !(found.is_empty() && line.status == "not_applicable") {
                wrong.push(format!("{what}: {} results, wanted {}", found.len(), line.status));
            }
            continue;
        };
        if result["status"] != *line.status {
            wrong.push(format!(
                "{what}: {} ({}), wanted {}",
                result["status"], result["message"], line.status
            ));
        }
        let waiver = result["waiver"]["id"].as_str().unwrap_or("");
        if waiver != line.waiver || result["waived"] != !line.waiver.is_empty() {
            wrong.push(format!("{what}: waiver {waiver:?}, wanted {:?}", line.waiver));
        }
    }
    assert!(wrong.is_empty(), "{} verdicts differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rules_about_persons_accuse_nobody_else() {
    let expected = expected();
    let mut accused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for result in results().iter().filter(|result| result["status"] == "fail") {
        let rule = result["rule"].as_str().unwrap();
        let subject = result["subject"]["id"].as_str().unwrap();
        let named = expected.iter().any(|line| line.rule == rule && line.subject == subject);
        if ["DC-02", "LIF-06"].contains(&rule) && !named {
            accused.entry(rule.to_owned()).or_default().push(subject.to_owned());
        }
    }
    assert!(accused.is_empty(), "{accused:?}");
}

#[test]
fn the_example_says_what_to_open_and_is_quick() {
    let report = DEMO.folder.join("report.html");
    assert!(DEMO.told.contains(report.to_str().unwrap()), "{}", DEMO.told);
    assert!(fs::metadata(report).unwrap().len() > 50_000);
    // Five seconds on a quiet machine; here the whole suite runs beside it.
    assert!(DEMO.took < Duration::from_mins(1), "{:?}", DEMO.took);
}

#[test]
fn the_same_store_and_times_give_the_same_bytes() {
    let bench = Bench::new();
    let once = Run::of(DEMO.judge(&bench, "report", &["--format", "json"]));
    let twice = Run::of(DEMO.judge(&bench, "report", &["--format", "json"]));
    assert!(once.code.is_some_and(|code| code < 2), "{}", once.stderr);
    assert_eq!(once.stdout, twice.stdout);
}
