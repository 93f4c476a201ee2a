//! `query`: read-only SQL over the documented tables.

use super::demo::DEMO;
use super::harness::{Bench, Run};

fn query(arguments: &[&str]) -> Run {
    let bench = Bench::new();
    let mut command = bench.command(&[&["query"], arguments].concat());
    command.env("KEYTRAIL_STORE", DEMO.folder.join("store"));
    Run::of(command)
}

#[test]
fn rows_come_as_json_objects_csv_or_a_table() {
    let sql = "SELECT ledger, count(*) AS n FROM events GROUP BY ledger ORDER BY ledger";
    let rows = query(&["--format", "json", sql]).exits(0).json();
    assert!(rows.as_array().unwrap().len() >= 5, "{rows}");
    assert_eq!(rows[0]["ledger"], "aws/111122223333");
    assert!(rows[0]["n"].as_i64().unwrap() > 100);
    let csv = query(&["--format", "csv", sql]).exits(0).stdout;
    assert!(csv.starts_with("ledger,n\n"), "{csv}");
    assert_eq!(csv.lines().count(), rows.as_array().unwrap().len() + 1);
    let table = query(&[sql]).exits(0).stdout;
    assert!(table.contains("aws/111122223333"), "{table}");
}

#[test]
fn times_are_rfc_3339_in_utc() {
    let rows =
        query(&["--format", "json", "SELECT time FROM events ORDER BY time LIMIT 1"]).exits(0);
    let time = rows.json()[0]["time"].as_str().unwrap().to_owned();
    assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
}

#[test]
fn statements_that_write_or_reach_outside_are_refused() {
    let refused = [
        "DROP TABLE events",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO events SELECT * FROM events",
        "COPY events TO '/tmp/keytrail-copied.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM information_schema.tables",
        "SELECT now()",
        "SELECT random()",
    ];
    for sql in refused {
        let run = query(&[sql]);
        assert_eq!(run.code, Some(2), "{sql}\n{}{}", run.stdout, run.stderr);
        assert!(run.stdout.is_empty() && run.stderr.starts_with("error:"), "{sql}\n{}", run.stderr);
    }
}

#[test]
fn every_documented_table_and_view_can_be_read() {
    for table in [
        "events",
        "quarantine",
        "coverage",
        "keys",
        "key_versions",
        "hsms",
        "log_settings",
        "people",
        "approvals",
        "key_state",
        "key_intervals",
        "operations",
        "hsm_state",
    ] {
        query(&["--format", "json", &format!("SELECT * FROM {table} LIMIT 1")]).exits(0);
    }
}
