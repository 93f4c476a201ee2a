//! `import` by the real binary: what files may do, and that every record is accounted for.

use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::harness::{Bench, Run, trail_file, trail_record};

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Records one a line.
fn lines(ids: Range<u32>) -> String {
    let records: Vec<String> =
        ids.map(|id| trail_record(id, "DisableKey", KEY).to_string()).collect();
    records.join("\n") + "\n"
}

/// Checks that the counts add up, and gives those of records, events, duplicates, irrelevant and
/// quarantined.
#[track_caller]
fn counts(counted: &Value) -> [u64; 5] {
    let number = |name: &str| counted[name].as_u64().unwrap_or_else(|| panic!("{name}: {counted}"));
    let counts = ["records", "events", "duplicates", "irrelevant", "quarantined"].map(number);
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{counted}");
    counts
}

fn reasons(bench: &Bench) -> Vec<String> {
    let rows = bench.query("SELECT reason FROM quarantine ORDER BY reason");
    rows.as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_gzip_file_of_several_members_is_one_file() {
    let bench = Bench::new();
    bench.file("odd-name.txt", [packed(&lines(0..5)), packed(&lines(5..9))].concat());
    let (counted, run) = bench.import(&["odd-name.txt"]);
    assert_eq!(counts(&counted), [9, 9, 0, 0, 0]);
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_gzip_file_that_breaks_off_keeps_what_came_before_and_says_where() {
    let bench = Bench::new();
    let lines = lines(0..2000);
    let whole = packed(&lines);
    bench.file("cut.json.gz", &whole[..whole.len() / 2]);
    let (counted, run) = bench.import(&["cut.json.gz"]);
    let [_, events, ..] = counts(&counted);
    assert!(events > 100 && events < 2000, "{counted}");
    assert_eq!(run.code, Some(4));
    let problem = &counted["problems"][0];
    assert_eq!(problem["file"], "cut.json.gz");
    assert!(problem["message"].as_str().unwrap().contains("byte"), "{problem}");
    assert!(problem["hint"].is_string(), "{problem}");
    assert!(run.stderr.contains("cut.json.gz"), "{}", run.stderr);
    bench.file("cut.json.gz", &whole);
    let (counted, run) = bench.import(&["cut.json.gz"]);
    assert_eq!(counts(&counted)[0], 2000);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(bench.number("SELECT count(*) AS n FROM events"), 2000);
}

#[test]
fn cut_json_costs_the_broken_record_alone() {
    let bench = Bench::new();
    let text = trail_file(0..4);
    bench.file("cut.json", &text[..text.len() - 40]);
    let (counted, run) = bench.import(&["cut.json"]);
    assert_eq!(counts(&counted), [4, 3, 0, 0, 1]);
    assert_eq!(run.code, Some(4));
    assert_eq!(reasons(&bench), ["truncated"]);
    let row = bench.query("SELECT source, place FROM quarantine");
    assert!(row[0]["source"].as_str().unwrap().ends_with("cut.json"), "{row}");
    assert!(row[0]["place"].as_str().unwrap().starts_with("line "), "{row}");
}

#[test]
fn a_broken_line_costs_that_line_alone() {
    let bench = Bench::new();
    let good = |id| trail_record(id, "DisableKey", KEY).to_string();
    let bad = &good(1)[..200];
    bench.file("lines.jsonl", format!("{}\n{bad}\n{}\n", good(0), good(2)));
    let (counted, run) = bench.import(&["lines.jsonl"]);
    assert_eq!(counts(&counted), [3, 2, 0, 0, 1]);
    assert_eq!(run.code, Some(4));
}

#[test]
fn wrong_types_are_quarantined_with_the_field() {
    let bench = Bench::new();
    let mut record = trail_record(0, "DisableKey", KEY);
    record["eventTime"] = json!(17);
    bench.file("log.json", json!({ "Records": [record, "text", 5, null] }).to_string());
    let (counted, run) = bench.import(&["log.json"]);
    let [records, events, _, _, quarantined] = counts(&counted);
    assert_eq!((records, events, quarantined), (4, 0, 4), "{counted}");
    assert_eq!(run.code, Some(4));
    let messages = bench.query("SELECT message FROM quarantine").to_string();
    assert!(messages.contains("eventTime"), "{messages}");
}

#[test]
fn files_that_are_no_logs_are_listed_and_are_errors_when_named() {
    let bench = Bench::new();
    let noise: Vec<u8> = (0..5000u32).map(|n| u8::try_from(n * 7919 % 251).unwrap()).collect();
    bench.file("folder/noise.bin", &noise);
    bench.file("folder/empty.json", "");
    bench.file("folder/readme.txt", "Nothing to see here.\nReally.\n");
    bench.file("folder/other.json", r#"{"name": "package", "version": 3}"#);
    bench.file("folder/log.json", trail_file(0..2));
    let (counted, run) = bench.import(&["folder"]);
    assert_eq!(counts(&counted), [2, 2, 0, 0, 0]);
    assert_eq!(counted["files"], 5);
    let listed = counted["unrecognised_files"].as_array().unwrap().len();
    assert!((3..=4).contains(&listed), "{counted}");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for name in ["noise.bin", "empty.json", "readme.txt", "other.json"] {
        let (_, run) = bench.import(&[&format!("folder/{name}")]);
        assert!([3, 4].contains(&run.code.unwrap()), "{name}: {:?}\n{}", run.code, run.stderr);
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let bench = Bench::new();
    let arguments = ["import", "--format", "json", "-"];
    let run = bench.run_with_input(&arguments, trail_file(0..3).as_bytes()).exits(0);
    assert_eq!(counts(&run.json()), [3, 3, 0, 0, 0]);
    let run = bench.run_with_input(&arguments, &packed(&trail_file(0..4))).exits(0);
    assert_eq!(counts(&run.json()), [4, 1, 3, 0, 0]);
}

#[test]
fn a_wrapper_that_is_not_known_is_one_quarantined_record() {
    let bench = Bench::new();
    let wrapped = json!({ "test": { "input": trail_record(0, "DisableKey", KEY) }, "n": 1 });
    bench.file("wrapped.json", wrapped.to_string());
    let (counted, run) = bench.import(&["wrapped.json"]);
    assert_eq!(counts(&counted), [1, 0, 0, 0, 1]);
    assert_eq!(run.code, Some(4));
    assert_eq!(reasons(&bench), ["unknown_envelope"]);
}

#[test]
fn records_about_other_things_are_counted_not_kept() {
    let bench = Bench::new();
    let mut other = trail_record(1, "PutObject", KEY);
    other["eventSource"] = json!("s3.amazonaws.com");
    bench.file(
        "log.json",
        json!({ "Records": [trail_record(0, "DisableKey", KEY), other] }).to_string(),
    );
    let (counted, run) = bench.import(&["log.json"]);
    assert_eq!(counts(&counted), [2, 1, 0, 1, 0]);
    assert_eq!(run.code, Some(0));
    let again = bench.import(&["log.json"]).0;
    assert_eq!(counts(&again), [2, 0, 1, 1, 0]);
}

#[test]
fn one_event_by_two_ways_is_one_event() {
    let bench = Bench::new();
    let record = trail_record(0, "DisableKey", KEY);
    bench.file("trail.json", json!({ "Records": [record] }).to_string());
    let looked_up = json!({ "Events": [{
        "EventId": record["eventID"], "EventName": "DisableKey", "EventTime": "2026-03-01T00:00:00Z",
        "EventSource": "kms.amazonaws.com", "CloudTrailEvent": record.to_string(),
    }] });
    bench.file("lookup.json", looked_up.to_string());
    let (counted, _) = bench.import(&["trail.json", "lookup.json"]);
    assert_eq!(counts(&counted), [2, 1, 1, 0, 0]);
    assert_eq!(bench.number("SELECT count(*) AS n FROM events"), 1);
}

#[test]
fn deep_and_long_records_are_quarantined_not_read() {
    let bench = Bench::new();
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    bench.file("log.jsonl", format!("{}\n{deep}\n", trail_record(0, "DisableKey", KEY)));
    let (counted, run) = bench.import(&["log.jsonl"]);
    assert_eq!(counts(&counted), [2, 1, 0, 0, 1]);
    assert_eq!(run.code, Some(4));
    assert_eq!(reasons(&bench), ["too_large"]);
}

#[test]
fn two_processes_that_import_the_same_files_double_nothing() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.file(&format!("logs/{n}.json"), trail_file(n * 50..n * 50 + 80));
    }
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| bench.run(&["import", "--format", "json", "logs"]));
        let started: Vec<_> = (0..3).map(|_| start()).collect();
        started.into_iter().map(|run| run.join().unwrap().exits(0)).collect()
    });
    let stored: u64 = runs.iter().map(|run| counts(&run.json())[1]).sum();
    assert_eq!(stored, 230);
    assert_eq!(bench.number("SELECT count(DISTINCT event_id) AS n FROM events"), 230);
    assert_eq!(bench.number("SELECT max(leaf_index) AS n FROM events"), 229);
}

#[test]
fn declared_coverage_is_written_down_for_what_was_met() {
    let bench = Bench::new();
    bench.file("log.json", trail_file(0..2));
    bench.run(&["import", "--declare", "2026-01-01..2026-06-01", "log.json"]).exits(0);
    let rows = bench.query("SELECT ledger, kind, method FROM coverage");
    assert_eq!(
        rows,
        json!([{ "ledger": "aws/111122223333", "kind": "aws.kms", "method": "declared" }])
    );
}

#[test]
fn a_record_that_comes_again_with_other_content_is_counted_as_a_conflict() {
    let bench = Bench::new();
    bench.file("one.json", trail_record(1, "DisableKey", KEY).to_string());
    bench.file("other.json", trail_record(1, "EnableKey", KEY).to_string());
    let (counted, _) = bench.import(&["one.json"]);
    assert_eq!((&counted["conflicts"], &counted["problems"]), (&json!(0), &json!([])));
    let (counted, _) = bench.import(&["other.json"]);
    assert_eq!((&counted["events"], &counted["conflicts"]), (&json!(1), &json!(1)), "{counted}");
}
