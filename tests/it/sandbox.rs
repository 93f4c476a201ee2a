//! Hostile rule files, run by the real binary over a real store: each is refused or stopped with a
//! result that names rule and reason, the other rules' verdicts do not change, and the program's
//! memory stays bounded.

use std::fs;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use super::demo::DEMO;
use super::harness::{Bench, Run};

/// The memory of the program and its worker at their highest: 1 GiB for the queries of a worker,
/// what a step of the engine may hold besides until it is ended, and the program itself.
const MOST_MEMORY: u64 = 5 << 29;

const REFUSED: &str = "query_refused";
const FAILED: &str = "query_failed";
const LIMIT: &str = "limit_exceeded";

/// A hostile rule: its name, its SQL, and the reason that its error must have.
type Hostile = (&'static str, String, &'static str);

/// Queries, and the reason with which each ends.
#[expect(clippy::too_many_lines, reason = "a table of data")]
fn hostile() -> Vec<Hostile> {
    let series = "range(1, 9000000000000000000)";
    let doubled = |from: &str, step: &str, times: usize| {
        (0..times).fold(from.to_owned(), |inner, _| format!("SELECT {step} AS s FROM ({inner}) t"))
    };
    let mut all = vec![
        ("create-table", "CREATE TABLE x AS SELECT 1".to_owned(), REFUSED),
        ("create-view", "CREATE OR REPLACE VIEW key_state AS SELECT 1".to_owned(), REFUSED),
        (
            "external",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
            REFUSED,
        ),
        ("copy", "COPY (SELECT 1) TO 'copied.csv'".to_owned(), REFUSED),
        ("copy-table", "COPY events TO 'copied.parquet'".to_owned(), REFUSED),
        ("insert", "INSERT INTO events SELECT * FROM events".to_owned(), REFUSED),
        ("delete", "DELETE FROM events".to_owned(), REFUSED),
        ("drop", "DROP TABLE events".to_owned(), REFUSED),
        ("set", "SET datafusion.execution.batch_size = 1".to_owned(), REFUSED),
        ("explain", "EXPLAIN ANALYZE SELECT 1".to_owned(), REFUSED),
        ("two", "SELECT 1; DROP TABLE events".to_owned(), REFUSED),
        ("path", "SELECT * FROM '/etc/passwd'".to_owned(), REFUSED),
        ("url", "SELECT * FROM \"file:///etc/passwd\"".to_owned(), REFUSED),
        ("csv", "SELECT * FROM read_csv('/etc/passwd')".to_owned(), REFUSED),
        ("parquet", "SELECT * FROM read_parquet('/etc/passwd')".to_owned(), REFUSED),
        ("metadata", "SELECT * FROM parquet_metadata('/etc/passwd')".to_owned(), REFUSED),
        ("journal", "SELECT * FROM journal".to_owned(), REFUSED),
        ("schema", "SELECT * FROM information_schema.tables".to_owned(), REFUSED),
        ("now", "SELECT now()".to_owned(), REFUSED),
        ("random", "SELECT random() FROM keys".to_owned(), REFUSED),
        ("uuid", "SELECT uuid()".to_owned(), REFUSED),
        ("repeat", "SELECT repeat('x', 1000000000)".to_owned(), REFUSED),
        ("lpad", "SELECT lpad('x', 2000000000, 'y')".to_owned(), REFUSED),
        ("series-value", "SELECT generate_series(0, 10000000000)".to_owned(), REFUSED),
        ("broken", "SELECT 1 +".to_owned(), FAILED),
        ("zero", "SELECT 1 / 0".to_owned(), FAILED),
        ("overflow", "SELECT CAST('99999999999999999999' AS BIGINT)".to_owned(), FAILED),
        ("regex", "SELECT regexp_like('a', '(a{1000}){1000}{1000}')".to_owned(), FAILED),
        ("nested", format!("SELECT {}1{}", "(".repeat(3000), ")".repeat(3000)), FAILED),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(9000), ")".repeat(9000)), LIMIT),
        ("megabyte", format!("SELECT '{}'", "x".repeat(1 << 20)), LIMIT),
        ("in-list", format!("SELECT 1 IN ({}1)", "1,".repeat(100_000)), LIMIT),
        (
            "endless",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) \
                     SELECT count(*) FROM r"
                .to_owned(),
            LIMIT,
        ),
        (
            "cross",
            "SELECT count(*) FROM events a, events b, events c, events d, events e \
                   WHERE a.time < b.time OR c.time > d.time OR a.time <> e.time"
                .to_owned(),
            LIMIT,
        ),
        ("sort", format!("SELECT value FROM {series} ORDER BY value DESC LIMIT 1"), LIMIT),
        ("distinct", format!("SELECT DISTINCT value FROM {series}"), LIMIT),
        ("array-agg", format!("SELECT array_agg(value) FROM {series}"), LIMIT),
        ("string-agg", format!("SELECT string_agg(value::text, ',') FROM {series}"), LIMIT),
        (
            "window",
            format!("SELECT max(n) FROM (SELECT count(*) OVER () AS n FROM {series}) t"),
            LIMIT,
        ),
        ("rows", "SELECT value FROM range(0, 2000000)".to_owned(), LIMIT),
        ("wide-rows", format!("SELECT '{}' AS s FROM {series}", "x".repeat(20_000)), LIMIT),
        (
            "grow",
            "WITH RECURSIVE r(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT s || s FROM r) \
                  SELECT s FROM r"
                .to_owned(),
            LIMIT,
        ),
        ("double-word", doubled("SELECT 'xxxxxxxx' AS s", "s || s", 12), LIMIT),
        (
            "double-concat",
            doubled("SELECT value::text AS s FROM range(0, 100000)", "concat(s, s)", 12),
            LIMIT,
        ),
        (
            "double-list",
            doubled("SELECT value AS s FROM range(0, 100000)", "make_array(s, s)", 12),
            LIMIT,
        ),
        (
            "replace",
            "SELECT replace(replace(replace(s, 'x', s), 'x', s), 'x', s) AS s FROM \
                     (SELECT array_to_string(array_agg('x'), '') AS s FROM range(0, 200000)) t"
                .to_owned(),
            LIMIT,
        ),
        // One step of the engine that makes 90 GB, or 14 GB, without a pause.
        (
            "large-text",
            "SELECT length(replace(arrow_cast(s, 'LargeUtf8'), 'x', arrow_cast(s, 'LargeUtf8'))) \
                     AS s FROM (SELECT array_to_string(array_agg('x'), '') AS s \
                     FROM range(0, 300000)) t"
                .to_owned(),
            LIMIT,
        ),
        (
            "large-list",
            "SELECT max(array_length(a.l) + b.value) FROM \
                     (SELECT array_agg(value) AS l FROM range(0, 9000000)) a JOIN range(0, 200) b \
                     ON array_length(a.l) > b.value WHERE array_length(array_append(a.l, b.value)) > 0"
                .to_owned(),
            LIMIT,
        ),
        (
            "cube",
            format!(
                "SELECT count(*) FROM keys GROUP BY CUBE({})",
                (0..20).map(|n| format!("key_id || '{n}'")).collect::<Vec<_>>().join(", ")
            ),
            LIMIT,
        ),
    ];
    let parts: Vec<String> =
        (1..40).map(|n| format!("a{n} AS (SELECT x.key_id FROM a{0} x, a{0} y)", n - 1)).collect();
    let with =
        format!("WITH a0 AS (SELECT key_id FROM keys), {} SELECT 1 FROM a39", parts.join(", "));
    all.push(("double-with", with, LIMIT));
    all
}

fn rule(id: &str, sql: &str) -> String {
    format!(
        "/*+++\nid = \"{id}\"\ntitle = \"Hostile\"\nseverity = \"low\"\nrationale = \"r\"\n\
         remediation = \"r\"\n+++*/\n{sql}\n"
    )
}

/// Follows the memory of a program and of the workers that it starts, one after the other, until it
/// ends: the program's highest and the highest of a worker.
fn highest_memory(child: &mut Child) -> u64 {
    let (mut program, mut workers) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let own = format!("PPid:\t{}\n", child.id());
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
            if process.file_name().to_str() == Some(&child.id().to_string()) {
                program = program.max(memory(&status));
            } else if status.contains(&own) {
                workers = workers.max(memory(&status));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    program + workers
}

/// The most memory that a process ever had, as its status says, in bytes.
fn memory(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn results(run: &Run, hostile: bool) -> Vec<Value> {
    let run = run.json();
    let own =
        |result: &&Value| result["rule"].as_str().unwrap().starts_with("A-HOSTILE-") == hostile;
    run["results"].as_array().unwrap().iter().filter(own).cloned().collect()
}

/// The shipped rules that are judged in one run with the hostile ones, and after them: rules run in
/// the order of their ids.
const BESIDE: &[&str] = &["--rule", "ROT-0*", "--rule", "DC-01", "--rule", "LIF-*"];

/// Judges hostile rules with a time for each, writes what came out, and gives the run and the most
/// memory that it took.
fn judged(bench: &Bench, rules: &[Hostile], more: &[&str]) -> (Run, u64) {
    let folder = bench.path().join("rules");
    drop(fs::remove_dir_all(&folder));
    for (name, sql, _) in rules {
        bench.file(&format!("rules/{name}.sql"), rule(&format!("A-HOSTILE-{name}"), sql));
    }
    let output = bench.path().join("result.json");
    let own = ["--rules", "rules", "--rule", "A-HOSTILE-*", "--format", "json", "--output"];
    let arguments = [&own[..], &[output.to_str().unwrap()], more].concat();
    let mut child = DEMO.judge(bench, "check", &arguments).spawn().unwrap();
    let memory = highest_memory(&mut child);
    let mut run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    run.stdout = fs::read_to_string(&output).unwrap();
    (run, memory)
}

/// Those that did not end as they must: one error, with its reason and the file's name.
fn odd(run: &Run, rules: &[Hostile]) -> Vec<String> {
    let found = results(run, true);
    let mut odd = Vec::new();
    for (name, _, reason) in rules {
        let id = format!("A-HOSTILE-{name}");
        let own: Vec<&Value> = found.iter().filter(|result| result["rule"] == *id).collect();
        let stopped = own.len() == 1
            && own[0]["status"] == "error"
            && own[0]["reason"] == *reason
            && own[0]["message"].as_str().unwrap().contains(&format!("{name}.sql"));
        if !stopped {
            odd.push(format!("{id} is not {reason}: {own:?}"));
        }
    }
    odd
}

#[test]
fn a_hostile_rule_harms_neither_the_program_nor_the_other_rules() {
    let bench = Bench::new();
    // What only ends at a limit runs apart: beside it, what fails by itself may get no time to.
    let (endless, others): (Vec<_>, Vec<_>) =
        hostile().into_iter().partition(|(_, _, reason)| *reason == LIMIT);
    let (run, _) = judged(&bench, &others, &[]);
    let wrong = odd(&run, &others);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let alone = Run::of(DEMO.judge(&bench, "check", &[BESIDE, &["--format", "json"]].concat()));
    let (run, memory) = judged(&bench, &endless, &[&["--rule-timeout", "4"], BESIDE].concat());
    let wrong = odd(&run, &endless);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(results(&run, false), results(&alone, false), "verdicts of other rules changed");
    assert!(memory > 0 || !cfg!(target_os = "linux"), "the memory was not measured");
    assert!(memory < MOST_MEMORY, "{} MiB", memory >> 20);
    for written in ["copied.csv", "copied.parquet"] {
        assert!(!bench.path().join(written).exists(), "{written} was written");
    }
}

#[test]
fn a_header_that_is_too_much_is_refused_with_its_file() {
    let bench = Bench::new();
    let deep = format!("params = {{ a = {}1{} }}", "[".repeat(20_000), "]".repeat(20_000));
    let tables = format!("{}.b = 1", vec!["a"; 20_000].join("."));
    for header in [deep, tables, "id = \"x".repeat(1000), "\u{0}".to_owned()] {
        let text = rule("A-HOSTILE-1", "SELECT 1").replace("+++*/", &format!("{header}\n+++*/"));
        bench.file("rules/bomb.sql", text);
        let run = bench.run(&["rules", "list", "--rules", "rules"]).exits(2);
        assert!(run.stderr.contains("bomb.sql:"), "{}", run.stderr);
    }
}

#[test]
fn a_file_that_stands_in_for_a_shipped_one_is_named_with_every_verdict() {
    let bench = Bench::new();
    bench.file("rules/views/key_state.sql", "SELECT key_id FROM no_such_table");
    bench.file("rules/mine.sql", rule("LIF-06", "SELECT now()"));
    let more = ["--rules", "rules", "--rule", "ROT-01", "--rule", "LIF-06", "--format", "json"];
    let run = Run::of(DEMO.judge(&bench, "check", &more)).exits(4);
    assert!(run.stderr.contains("LIF-06, view key_state"), "{}", run.stderr);
    let found = run.json();
    let message = |rule: &str| {
        let results = found["results"].as_array().unwrap();
        let result = results.iter().find(|result| result["rule"] == rule).unwrap();
        assert_eq!(result["status"], "error", "{result}");
        result["message"].as_str().unwrap().to_owned()
    };
    assert!(message("LIF-06").contains("mine.sql"));
    assert!(message("ROT-01").contains("view `key_state` (views/key_state.sql)"), "{found}");
}
