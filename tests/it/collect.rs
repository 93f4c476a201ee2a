//! `collect` against servers that stand for three clouds: once, twice, killed, refused, proven.

use std::collections::BTreeSet;
use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::harness::{Bench, Run};
use super::servers::{Server, digests};
use super::whole::{check_whole, journal};

const SUBSCRIPTION: &str = "5a5a5a5a-0000-4000-8000-000000000001";
const WORKSPACE: &str = "/subscriptions/5a5a5a5a-0000-4000-8000-000000000001/resourceGroups/\
                         rg-logs/providers/Microsoft.OperationalInsights/workspaces/law-example";
/// Azurite's account key, from its documentation.
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/\
                           K1SZFPTOtr/KBHBeksoGMGw==";

/// No quota stands in the way of a server on this machine.
const QUICK: &str = "calls_per_minute = 60000";

/// The clouds.
struct Clouds {
    lookup: Server,
    google: Server,
    azure: Server,
    moto: Server,
    azurite: Server,
    gcs: Server,
}

impl Clouds {
    /// Starts them; `None` where a peer is missing.
    fn start() -> Option<Self> {
        let some = &["--events", "120", "--days", "20"];
        let one = &["--events", "80", "--days", "20", "--regions", "eu-central-1"];
        let clouds = Self {
            lookup: Server::fixture("lookup", one)?,
            google: Server::fixture("google", some)?,
            azure: Server::fixture("azure", some)?,
            moto: Server::moto()?,
            azurite: Server::azurite()?,
            gcs: Server::fake_gcs()?,
        };
        clouds.fill();
        Some(clouds)
    }

    fn fill(&self) {
        let region = "eu-central-1";
        let group = "/aws/cloudhsm/cluster-abcdefghijk";
        let stream = json!({"logGroupName": group, "logStreamName": "hsm-aaaabbbbccc"});
        let mut events = stream.clone();
        events["logEvents"] = (0..30).map(block).collect();
        self.moto.aws(&json!([
            ["kms", region, "create_key", {"Description": "one"}],
            ["kms", region, "create_key", {"MultiRegion": true}],
            ["logs", region, "create_log_group", {"logGroupName": group}],
            ["logs", region, "create_log_stream", stream],
            ["logs", region, "put_log_events", events],
        ]));
        let hour = hours_ago(5).strftime("y=%Y/m=%m/d=%d/h=%H/m=00/PT1H.json").to_string();
        let vault = format!(
            "resourceId=/SUBSCRIPTIONS/{}/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V/",
            SUBSCRIPTION.to_uppercase()
        );
        let lines: String = (0..20).map(sign).collect();
        let blob = json!([{"name": format!("{vault}{hour}"), "text": lines, "append": true}]);
        self.azurite.blobs("insights-logs-auditevent", &blob);
        let name = hours_ago(6)
            .strftime("cloudaudit.googleapis.com/activity/%Y/%m/%d/%H:00:00_%H:59:59_S0.json")
            .to_string();
        let lines: String = (0..15).map(entry).collect();
        self.gcs.objects("audit", &json!([{"name": name, "text": lines}]));
    }

    /// The configuration that reads all of them, less the bucket of a trail.
    fn configuration(&self) -> String {
        [self.aws(), self.google(), self.azure()].concat()
    }

    fn aws(&self) -> String {
        let (lookup, moto) = (self.lookup.endpoint(), self.moto.endpoint());
        let regions = "regions = [\"eu-central-1\"]".to_owned();
        let at = |all: &str| format!("endpoints = {{ all = \"{all}\" }}");
        let both = format!("endpoints = {{ all = \"{moto}\", cloudtrail = \"{lookup}\" }}");
        [
            section(
                "history",
                "aws.lookup_events",
                &[regions.clone(), QUICK.to_owned(), at(&lookup)],
            ),
            section("hsm-logs", "aws.cloudhsm", &[regions.clone(), at(&moto)]),
            section("aws", "aws.inventory", &[regions, both]),
        ]
        .concat()
    }

    fn google(&self) -> String {
        let (google, gcs) = (self.google.endpoint(), self.gcs.endpoint());
        let services = ["logging", "kms", "resource_manager"];
        let at = services.map(|service| format!("{service} = \"{google}\"")).join(", ");
        let lines = [
            "projects = [\"example-prod\"]".to_owned(),
            QUICK.to_owned(),
            format!("endpoints = {{ {at} }}"),
        ];
        [
            section("gcp-logs", "gcp.logging", &lines),
            section(
                "gcp-bucket",
                "gcp.bucket",
                &["bucket = \"audit\"".to_owned(), format!("endpoint = \"{gcs}\"")],
            ),
            section("gcp", "gcp.inventory", &lines),
        ]
        .concat()
    }

    fn azure(&self) -> String {
        let (azure, azurite) = (self.azure.endpoint(), self.azurite.endpoint());
        let at = format!(
            "endpoints = {{ arm = \"{azure}\", log_analytics = \"{azure}\", \
             vault = \"{azure}/vault/{{name}}\", managed_hsm = \"{azure}/vault/{{name}}\" }}"
        );
        let lines = [format!("subscriptions = [\"{SUBSCRIPTION}\"]"), at];
        let workspace = [&lines[..], &[format!("workspace = \"{WORKSPACE}\"")]].concat();
        let blobs = [
            "account = \"devstoreaccount1\"".to_owned(),
            "containers = [\"insights-logs-auditevent\"]".to_owned(),
            "account_key = \"env:AZURITE_KEY\"".to_owned(),
            format!("endpoint = \"{azurite}/devstoreaccount1\""),
        ];
        [
            section("activity", "azure.activity", &lines),
            section("vault-logs", "azure.blobs", &blobs),
            section("workspace", "azure.workspace", &workspace),
            section("azure", "azure.inventory", &lines),
        ]
        .concat()
    }
}

pub(super) fn section(name: &str, kind: &str, lines: &[String]) -> String {
    format!("[[source]]\nname = \"{name}\"\ntype = \"{kind}\"\n{}\n\n", lines.join("\n"))
}

/// A time near now, which the clouds' servers go by.
pub(super) fn hours_ago(hours: i64) -> Timestamp {
    let modified = fs::metadata("/proc/self").unwrap().modified().unwrap();
    Timestamp::try_from(modified).unwrap() - SignedDuration::from_hours(hours)
}

/// One block of an HSM's audit log, as CloudWatch Logs takes it.
fn block(number: i64) -> Value {
    let time = hours_ago(3) + SignedDuration::from_secs(number * 7);
    let (text, micros) = (time.strftime("%m/%d/%y %H:%M:%S"), time.as_second() * 1_000_000);
    let opcode = if number == 0 { "CN_INIT_TOKEN (0x1)" } else { "CN_LOGIN (0xd)" };
    json!({"timestamp": time.as_millisecond(), "message": format!(
        "Time: {text}.000000, usecs:{micros}\nSequence No : {number:#x}\nReboot counter : 0xe8\n\
         Command Type(hex) : CN_MGMT_CMD (0x0)\nOpcode : {opcode}\nSession Handle : 0x1004001\n\
         Response : 0:HSM Return: SUCCESS\nLog type : MGMT_USER_DETAILS_LOG (2)\n\
         User Name : co-anna\nUser Type : CN_CRYPTO_OFFICER (2)\n")})
}

/// One line of a vault's own log.
fn sign(number: i64) -> String {
    let time = hours_ago(5) + SignedDuration::from_secs(number);
    let record = json!({
        "time": format!("{}.{number:07}Z", time.strftime("%Y-%m-%dT%H:%M:%S")),
        "resourceId": format!("/SUBSCRIPTIONS/{}/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V",
            SUBSCRIPTION.to_uppercase()),
        "operationName": "KeySign", "category": "AuditEvent", "resultType": "Success",
        "resultSignature": "OK", "correlationId": format!("c{number}"),
        "identity": {"claim": {"oid": "o1", "upn": "anna@example.com"}},
        "properties": {"id": "https://v.vault.azure.net/keys/k1/0123456789abcdef",
            "requestUri": "https://v.vault.azure.net/keys/k1/sign", "httpStatusCode": 200},
    });
    format!("{record}\n")
}

/// One line of a sink's file.
pub(super) fn entry(number: i64) -> String {
    let time = (hours_ago(6) + SignedDuration::from_secs(number)).to_string();
    let record = json!({
        "protoPayload": {"@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "cloudkms.googleapis.com", "methodName": "CreateCryptoKey",
            "resourceName": format!("projects/p2/locations/global/keyRings/r/cryptoKeys/k{number}"),
            "authenticationInfo": {"principalEmail": "anna@example.com"}, "status": {}},
        "insertId": format!("i{number}"), "timestamp": time, "receiveTimestamp": time,
        "resource": {"type": "cloudkms_cryptokey", "labels": {"project_id": "p2", "location": "global"}},
        "logName": "projects/p2/logs/cloudaudit.googleapis.com%2Factivity",
    });
    format!("{record}\n")
}

/// Runs `collect` with what the configuration needs.
fn collect(bench: &Bench, more: &[&str]) -> Run {
    let arguments = [&["collect", "--format", "json", "--retry-pause", "20"], more].concat();
    let mut command = bench.command(&arguments);
    command.env("AZURITE_KEY", AZURITE_KEY);
    Run::of(command)
}

fn source<'a>(result: &'a Value, name: &str) -> &'a Value {
    let below = format!("{name}/");
    let found = result["sources"].as_array().unwrap().iter().find(|source| {
        let full = source["source"].as_str().unwrap();
        full == name || full.starts_with(&below)
    });
    found.unwrap_or_else(|| panic!("{name} is missing: {result:#}"))
}

fn event_ids(bench: &Bench) -> BTreeSet<String> {
    let sql = "SELECT event_id FROM journal WHERE kind = 'event'";
    let rows = journal(&bench.path().join("keytrail-store"), sql);
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

#[test]
fn three_clouds_are_collected_twice_and_the_second_run_adds_nothing() {
    let Some(clouds) = Clouds::start() else { return };
    let bench = Bench::new();
    bench.file("keytrail.toml", clouds.configuration());
    let first = collect(&bench, &["--stats"]).exits(0).json();
    for (name, events) in [
        ("history", 1),
        ("hsm-logs", 30),
        ("gcp-logs", 1),
        ("gcp-bucket", 15),
        ("activity", 1),
        ("vault-logs", 20),
        ("workspace", 1),
    ] {
        let found = source(&first, name);
        assert_eq!(found["ending"], "done", "{found:#}");
        assert!(found["events"].as_u64().unwrap() >= events, "{found:#}");
        assert_eq!(found["quarantined"], 0, "{found:#}");
        assert!(found["requests"].as_u64().unwrap() > 0, "{found:#}");
    }
    for name in ["aws", "gcp", "azure"] {
        assert!(source(&first, name)["inventory"].as_u64().unwrap() > 0, "{first:#}");
    }
    let store = bench.path().join("keytrail-store");
    let (events, ids) = (check_whole(&store), event_ids(&bench));
    // Every record of the event history that is about keys is there.
    for (id, raw) in clouds.lookup.records() {
        let about_keys = raw.contains("\"kms.amazonaws.com\"");
        assert!(!about_keys || ids.contains(&format!("aws/111122223333|{id}")), "{id} is missing");
    }
    let second = collect(&bench, &[]).exits(0).json();
    assert_eq!(second["events"], 0, "{second:#}");
    for found in second["sources"].as_array().unwrap() {
        assert_eq!(found["ending"], "done", "{found:#}");
        assert_eq!(found["inventory"], 0, "{found:#}");
    }
    assert_eq!(check_whole(&store), events);
    status_tells(&bench);
}

/// What `sources status` and the report say of a store that was collected.
fn status_tells(bench: &Bench) {
    let status = bench.run(&["sources", "status", "--format", "json"]).exits(0).json();
    let history = source(&status, "history");
    assert_eq!(history["last_ending"], "done", "{history:#}");
    assert!(history["lag_seconds"].as_i64().unwrap() < 7_200, "{history:#}");
    let kinds: BTreeSet<&str> = history["coverage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains("aws.kms"), "{history:#}");
    let text = bench.run(&["sources", "status"]).exits(0).stdout;
    assert!(text.contains("covers aws.kms of aws/111122223333 in eu-central-1"), "{text}");
    bench.run(&["report", "--output", "report.html"]);
    let report = fs::read_to_string(bench.path().join("report.html")).unwrap();
    assert!(report.contains("exhausted_pages"), "the report tells how it was covered");
}

#[test]
fn a_source_that_is_refused_stops_no_other_and_names_the_permission() {
    let Some(server) = Server::fixture("lookup", &["--events", "40", "--regions", "eu-central-1"])
    else {
        return;
    };
    let Some(google) = Server::fixture("google", &["--events", "30"]) else { return };
    let bench = Bench::new();
    let at = google.endpoint();
    bench.file("keytrail.toml", [
        section("history", "aws.lookup_events", &["regions = [\"eu-central-1\"]".to_owned(),
            "calls_per_minute = 60000".to_owned(), format!("endpoints = {{ all = \"{}\" }}", server.endpoint())]),
        section("logs", "gcp.logging", &["projects = [\"example-prod\"]".to_owned(),
            "calls_per_minute = 60000".to_owned(),
            format!("endpoints = {{ logging = \"{at}\", kms = \"{at}\", resource_manager = \"{at}\" }}")]),
    ].concat());
    server.control(&json!({"faults": [{"call": "LookupEvents", "do": "deny", "times": 1000}]}));
    let run = collect(&bench, &[]).exits(4);
    assert!(run.stderr.contains("cloudtrail:LookupEvents"), "{}", run.stderr);
    let result = run.json();
    let history = source(&result, "history");
    assert_eq!(history["ending"], "failed");
    assert!(history["error"]["hint"].as_str().unwrap().contains("grant cloudtrail:LookupEvents"));
    assert_eq!(source(&result, "logs")["ending"], "done");
    assert!(source(&result, "logs")["events"].as_u64().unwrap() > 0);
}

#[test]
fn a_trail_in_a_bucket_is_proven_by_its_digests_and_damage_is_a_gap() {
    let (Some(moto), Some(_)) = (Server::moto(), Server::azurite()) else { return };
    let bench = Bench::new();
    let made = bench.path().join("made");
    let variants = "valid,log_missing,digests_missing,digest_tampered";
    let arguments = ["--hours", "60", "--variants", variants, "--s3", &moto.endpoint()];
    let verdicts = digests(&made, &arguments).unwrap();
    for (variant, verdict) in verdicts.as_object().unwrap() {
        let bucket = verdict["bucket"].as_str().unwrap();
        let lines = [
            format!("bucket = \"{bucket}\""),
            "region = \"us-east-1\"".to_owned(),
            format!("endpoint = \"{}\"", moto.endpoint()),
        ];
        bench.file("keytrail.toml", section("trail", "aws.trail", &lines));
        let keys = made.join(variant).join("public-keys.json");
        bench.run(&["--store", variant, "import", keys.to_str().unwrap()]).exits(0);
        let collect = ["--store", variant, "collect", "--since", "2026-09-25", "--format", "json"];
        let run = bench.run(&collect).exits(0).json();
        assert!(source(&run, "trail")["proofs"].as_u64().unwrap() > 50, "{run:#}");
        let sql =
            "SELECT status, count(*) AS n FROM coverage WHERE method = 'digest' GROUP BY status";
        let rows =
            bench.run(&["--store", variant, "query", "--format", "json", sql]).exits(0).json();
        let count = |status: &str| {
            let row = rows.as_array().unwrap().iter().find(|row| row["status"] == status);
            row.map_or(0, |row| row["n"].as_i64().unwrap())
        };
        assert!(count("covered") > 0, "{variant}: {rows:#} {run:#}");
        assert_eq!(count("gap") > 0, variant != "valid", "{variant}: {rows:#} {run:#}");
        assert_eq!(run["proven"]["gaps"].as_u64().unwrap() > 0, variant != "valid", "{run:#}");
        let again = bench.run(&collect).exits(0).json();
        assert_eq!(again["events"], 0, "{again:#}");
    }
}
