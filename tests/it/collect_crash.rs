//! What a crash or a full disk may do to a collection: rows, cursors and coverage are one commit, so
//! that they agree whatever happened, and the next run goes on to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::collect::{entry, hours_ago, section};
use super::crash::{fail_at_every_step, is_store, kill_at_every_step, soak};
use super::harness::Bench;
use super::servers::Server;
use super::shim::ENOSPC;
use super::whole::{check_whole, journal};

const ACCOUNT: &str = "aws/111122223333";

/// How many entries are in a file of the sink.
const ENTRIES: i64 = 5;

/// The kinds of log whose records a source of them tells.
const KINDS: &[(&str, &str)] = &[
    ("aws.kms", "kms.amazonaws.com"),
    ("aws.cloudhsm.api", "cloudhsm.amazonaws.com"),
    ("aws.cloudtrail", "cloudtrail.amazonaws.com"),
];

/// An event history and a sink's bucket, and what is in them.
struct Logs {
    _history: Server,
    _sink: Server,
    /// Id, source and time of each record of the history.
    records: Vec<(String, String, Timestamp)>,
    /// The files of the sink; each holds [`ENTRIES`] entries, numbered through.
    files: Vec<String>,
    bench: Bench,
}

impl Logs {
    /// Two days of logs, of which a store `base` has read the first half; `None` where a peer is
    /// missing.
    fn start() -> Option<Self> {
        let arguments = ["--events", "150", "--days", "2", "--regions", "eu-central-1"];
        let history = Server::fixture("lookup", &arguments)?;
        let sink = Server::fake_gcs()?;
        let files: Vec<String> = [40, 30, 3].into_iter().map(name_of).collect();
        let object = |(name, first): (&String, i64)| {
            let lines: String = (first..first + ENTRIES).map(entry).collect();
            json!({"name": name, "text": lines})
        };
        let objects: Vec<Value> = files.iter().zip((0..).step_by(5)).map(object).collect();
        sink.objects("audit", &json!(objects));
        let bench = Bench::new();
        let quick = "calls_per_minute = 60000".to_owned();
        let at = format!("endpoints = {{ all = \"{}\" }}", history.endpoint());
        let regions = "regions = [\"eu-central-1\"]".to_owned();
        let bucket = "bucket = \"audit\"".to_owned();
        let endpoint = format!("endpoint = \"{}\"", sink.endpoint());
        let sections = [
            section("history", "aws.lookup_events", &[regions, quick, at]),
            section("sink", "gcp.bucket", &[bucket, endpoint]),
        ];
        bench.file("keytrail.toml", sections.concat());
        let records = history.records().into_iter().map(|(id, raw)| {
            let record: Value = serde_json::from_str(&raw).unwrap();
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            (id, text("eventSource"), text("eventTime").parse().unwrap())
        });
        let records = records.collect();
        let logs = Self { records, files, bench, _history: history, _sink: sink };
        let (since, until) = (hours_ago(50).to_string(), hours_ago(24).to_string());
        let first = ["--store", "base", "collect", "--since", &since, "--until", &until];
        logs.bench.run(&first).exits(0);
        let read = logs.agree(&logs.bench.path().join("base"));
        assert!((20..150).contains(&read), "{read}");
        Some(logs)
    }

    /// Checks that a store is whole, that every record which a cursor or coverage speaks of is
    /// there, and that no cursor was lost. Gives the number of events.
    #[track_caller]
    fn agree(&self, store: &Path) -> usize {
        let events = check_whole(store);
        let sql = "SELECT event_id FROM journal WHERE kind = 'event'";
        let ids: BTreeSet<String> = journal(store, sql).into_iter().flatten().collect();
        let sql =
            "SELECT source, reason, details FROM journal WHERE reason IN ('cursor', 'coverage')";
        let mut numbers: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut cursors: BTreeMap<String, u64> = BTreeMap::new();
        for row in journal(store, sql) {
            let [source, reason, details] = row.as_slice() else { panic!("{row:?}") };
            let content: Value = serde_json::from_str(details).unwrap();
            if reason == "coverage" {
                self.read(&ids, &content, "kind");
                continue;
            }
            numbers.entry(source.clone()).or_default().insert(content["number"].as_u64().unwrap());
            *cursors.entry(source.clone()).or_default() += 1;
            self.read(&ids, &content["cursor"], "log");
            for object in content["cursor"]["objects"].as_array().into_iter().flatten() {
                let file = self.files.iter().position(|file| object["key"] == **file).unwrap();
                for number in file * 5..file * 5 + 5 {
                    let end = format!("|i{number}");
                    assert!(ids.iter().any(|id| id.ends_with(&end)), "{object} without {number}");
                }
            }
        }
        for (source, numbers) in numbers {
            let count = cursors[&source];
            assert_eq!(numbers, (1..=count).collect(), "the cursors of {source}");
        }
        events
    }

    /// Checks that all records of a stretch are there.
    #[track_caller]
    fn read(&self, ids: &BTreeSet<String>, stretch: &Value, member: &str) {
        let time = |name: &str| stretch[name].as_str()?.parse::<Timestamp>().ok();
        let (Some(from), Some(to)) = (time("from"), time("to")) else { return };
        let Some((_, service)) = KINDS.iter().find(|(kind, _)| stretch[member] == **kind) else {
            return;
        };
        for (id, source, when) in &self.records {
            let there = ids.contains(&format!("{ACCOUNT}|{id}"));
            let told = source == service && from <= *when && *when < to;
            assert!(there || !told, "{stretch} says that {id} was read");
        }
    }
}

/// The file of a sink of some hours ago.
fn name_of(hours: i64) -> String {
    let name = "cloudaudit.googleapis.com/activity/%Y/%m/%d/%H:00:00_%H:59:59_S0.json";
    hours_ago(hours).strftime(name).to_string()
}

/// A collection that goes on where `base` stands.
const COLLECT: &[&str] = &["collect", "--retry-pause", "1"];

#[test]
fn a_collection_killed_at_any_step_keeps_rows_cursors_and_coverage_together() {
    let Some(logs) = Logs::start() else { return };
    let bench = &logs.bench;
    bench
        .run(
            &[&["--store", "whole", "collect", "--since"], &[&*hours_ago(50).to_string()][..]]
                .concat(),
        )
        .exits(0);
    let complete = logs.agree(&bench.path().join("whole"));
    let least = check_whole(&bench.path().join("base"));
    let seen = |events: usize, name: &str| {
        assert!((least..=complete).contains(&events), "{name}: {events}");
        logs.agree(&bench.path().join(name));
    };
    kill_at_every_step(bench, (Some("base"), COLLECT), 20, seen, complete);
}

#[test]
fn a_disk_that_fills_up_during_a_collection_is_a_clear_error_and_the_next_run_goes_on() {
    let Some(logs) = Logs::start() else { return };
    fail_at_every_step(&logs.bench, COLLECT, ENOSPC, 8);
}

#[test]
fn a_collection_killed_at_any_moment_loses_and_doubles_nothing() {
    let Some(logs) = Logs::start() else { return };
    let bench = &logs.bench;
    let since = hours_ago(50).to_string();
    let collect = ["collect", "--since", &since, "--store"];
    let began = Instant::now();
    bench.run(&[&collect[..], &["whole"]].concat()).exits(0);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let events = logs.agree(&bench.path().join("whole"));
    let wanted = if soak() { 200 } else { 20 };
    let (mut killed, mut round) = (0, 0);
    while killed < wanted {
        assert!(round < wanted * 5, "of {round} runs only {killed} still ran when killed");
        let name = format!("store-{}", round / 5);
        let folder = bench.path().join(&name);
        let mut child = bench.command(&[&collect[..], &[&name]].concat()).spawn().unwrap();
        // Spread over the whole run, the same in every test.
        std::thread::sleep(Duration::from_micros(whole * (round * 7 % 20 + 1) / 21));
        killed += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if is_store(&folder) {
            logs.agree(&folder);
        }
        round += 1;
        if round % 5 == 0 {
            bench.run(&[&collect[..], &[&name]].concat()).exits(0);
            assert_eq!(logs.agree(&folder), events, "{name}");
        }
    }
}
