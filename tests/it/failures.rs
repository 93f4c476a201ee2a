//! What users of other collectors complain of, tried on this one. docs/reliability.md lists which
//! complaint is answered by which test; those that need a whole run stand here.

use serde_json::{Value, json};

use super::collect::section;
use super::harness::{Bench, Run, trail_record};
use super::servers::Server;
use super::whole::check_whole;

const REGION: &str = "eu-central-1";
const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

/// A log file in a trail's bucket.
fn log_file(folder: &str, name: &str, records: &[Value]) -> Value {
    let name = format!("111122223333_CloudTrail_{REGION}_20260301T0005Z_{name}.json.gz");
    let key = format!("{folder}/111122223333/CloudTrail/{REGION}/2026/03/01/{name}");
    let body = json!({ "Records": records }).to_string();
    json!(["s3", REGION, "put_object", {"Bucket": "trails", "Key": key, "Body": {"gzip": body}}])
}

/// A bench that reads a bucket filled with `files`.
fn reading(moto: &Server, files: &[Value]) -> Bench {
    let place = json!({"LocationConstraint": REGION});
    let made = json!(["s3", REGION, "create_bucket", {"Bucket": "trails", "CreateBucketConfiguration": place}]);
    let calls: Vec<Value> = std::iter::once(made).chain(files.iter().cloned()).collect();
    moto.aws(&json!(calls));
    let bench = Bench::new();
    let lines = [
        "bucket = \"trails\"".to_owned(),
        format!("region = \"{REGION}\""),
        format!("endpoint = \"{}\"", moto.endpoint()),
    ];
    bench.file("keytrail.toml", section("trail", "aws.trail", &lines));
    bench
}

fn collect(bench: &Bench, more: &[&str]) -> Run {
    let arguments = ["--store", "store", "collect", "--since", "2026-02-25", "--retry-pause", "1"];
    bench.run(&[&arguments[..], more].concat())
}

#[test]
fn an_event_that_several_trails_deliver_in_several_layouts_is_one_however_long_it_is() {
    let Some(moto) = Server::moto() else { return };
    let plain = trail_record(1, "DisableKey", KEY);
    // Longer than what CloudTrail sends on to CloudWatch Logs, which leaves it out in silence.
    let mut long = trail_record(2, "PutKeyPolicy", KEY);
    long["requestParameters"]["policy"] = "x".repeat(400_000).into();
    let records = [plain.clone(), long, trail_record(3, "EnableKey", KEY)];
    let files = [
        log_file("AWSLogs", "aaaaaaaaaaaaaaaa", &records),
        log_file("AWSLogs/o-example", "bbbbbbbbbbbbbbbb", &records),
        log_file("o-example/AWSLogs/o-example", "cccccccccccccccc", &records[..2]),
        log_file("AWSLogs", "dddddddddddddddd", &[plain, trail_record(4, "CreateGrant", KEY)]),
    ];
    let bench = reading(&moto, &files);
    let run = collect(&bench, &["--format", "json"]).exits(0).json();
    let told = &run["sources"][0];
    assert_eq!((&told["records"], &told["events"]), (&json!(10), &json!(4)), "{told:#}");
    assert_eq!(told["duplicates"], 6, "{told:#}");
    assert_eq!(check_whole(&bench.path().join("store")), 4);
    let sql =
        "SELECT length(raw) > 400000 AS whole FROM events WHERE native_action = 'PutKeyPolicy'";
    let rows = bench.run(&["--store", "store", "query", "--format", "json", sql]).exits(0).json();
    assert_eq!(rows, json!([{"whole": true}]));
}

#[test]
fn a_file_that_is_delivered_late_under_a_smaller_name_is_read_and_nothing_is_fetched_twice() {
    let Some(moto) = Server::moto() else { return };
    let first = log_file("AWSLogs", "zzzzzzzzzzzzzzzz", &[trail_record(1, "DisableKey", KEY)]);
    let bench = reading(&moto, &[first]);
    let requests = |run: &Value| run["sources"][0]["requests"].as_u64().unwrap();
    collect(&bench, &[]).exits(0);
    let idle = collect(&bench, &["--format", "json"]).exits(0).json();
    let late = log_file("AWSLogs", "aaaaaaaaaaaaaaaa", &[trail_record(2, "EnableKey", KEY)]);
    moto.aws(&json!([late]));
    let next = collect(&bench, &["--format", "json"]).exits(0).json();
    assert_eq!(next["events"], 1, "{next:#}");
    assert_eq!(requests(&next), requests(&idle) + 1, "the late file alone is fetched");
}

/// The logs of three clouds, and what asks for them.
struct Clouds {
    servers: [(Server, &'static str); 3],
    bench: Bench,
}

impl Clouds {
    fn start() -> Option<Self> {
        let lookup = Server::fixture("lookup", &["--events", "40", "--regions", REGION])?;
        let google = Server::fixture("google", &["--events", "40"])?;
        let azure = Server::fixture("azure", &["--events", "40"])?;
        let quick = "calls_per_minute = 60000".to_owned();
        let services = ["logging", "kms", "resource_manager"];
        let at =
            services.map(|service| format!("{service} = \"{}\"", google.endpoint())).join(", ");
        let regions = format!("regions = [\"{REGION}\"]");
        let all = format!("endpoints = {{ all = \"{}\" }}", lookup.endpoint());
        let projects = "projects = [\"example-prod\"]".to_owned();
        let subscription = "subscriptions = [\"5a5a5a5a-0000-4000-8000-000000000001\"]".to_owned();
        let arm = format!("endpoints = {{ arm = \"{}\" }}", azure.endpoint());
        let google_at = format!("endpoints = {{ {at} }}");
        let sections = [
            section("history", "aws.lookup_events", &[regions, quick.clone(), all]),
            section("logs", "gcp.logging", &[projects, quick, google_at]),
            section("activity", "azure.activity", &[subscription, arm]),
        ];
        let bench = Bench::new();
        bench.file("keytrail.toml", sections.concat());
        let servers = [(lookup, "LookupEvents"), (google, "entries*"), (azure, "activity.list")];
        Some(Self { servers, bench })
    }
}

#[test]
fn a_log_that_is_throttled_to_the_end_is_an_error_and_never_nothing_new() {
    let Some(Clouds { servers, bench }) = Clouds::start() else { return };
    for (server, call) in &servers {
        server.control(&json!({"faults": [{"call": call, "do": "throttle", "times": 0}]}));
    }
    let run = collect(&bench, &[]).exits(3);
    assert_eq!(run.stdout.matches("nothing could be read").count(), 3, "{}", run.stdout);
    assert!(!run.stdout.contains("0 new events"), "{}", run.stdout);
    assert_eq!(run.stderr.matches("was throttled").count(), 3, "{}", run.stderr);
    let status = ["--store", "store", "sources", "status", "--format", "json"];
    let status = bench.run(&status).exits(0).json();
    for source in status["sources"].as_array().unwrap() {
        assert_eq!(source["last_ending"], "failed", "{source:#}");
        assert_eq!(source["last_success"], Value::Null, "{source:#}");
        assert_eq!(source["coverage"], json!([]), "{source:#}");
    }
    // Nothing of it was lost: the quota is free again.
    for (server, _) in &servers {
        server.control(&json!({"reset": true}));
    }
    let run = collect(&bench, &["--format", "json"]).exits(0).json();
    let sources = run["sources"].as_array().unwrap();
    assert!(sources.iter().all(|source| source["events"] != 0), "{run:#}");
}

#[test]
fn nothing_new_says_why() {
    let Some(moto) = Server::moto() else { return };
    let about = [trail_record(1, "DisableKey", KEY)];
    let bench = reading(&moto, &[log_file("AWSLogs", "aaaaaaaaaaaaaaaa", &about)]);
    let first = collect(&bench, &[]).exits(0);
    assert!(first.stdout.contains("1 new event of 1 record"), "{}", first.stdout);
    let second = collect(&bench, &[]).exits(0);
    assert!(
        second.stdout.contains("0 new events: nothing new is there, read until 20"),
        "{}",
        second.stdout
    );
    // Records that are about something else.
    let mut other = trail_record(2, "RunInstances", KEY);
    other["eventSource"] = "ec2.amazonaws.com".into();
    moto.aws(&json!([log_file("AWSLogs", "bbbbbbbbbbbbbbbb", &[other])]));
    let third = collect(&bench, &[]).exits(0);
    assert!(third.stdout.contains("0 new events: 1 record is not about keys"), "{}", third.stdout);
    // Records that are known.
    moto.aws(&json!([log_file("AWSLogs", "cccccccccccccccc", &about)]));
    let fourth = collect(&bench, &[]).exits(0);
    assert!(fourth.stdout.contains("0 new events: 1 record is known already"), "{}", fourth.stdout);
}
