//! What scripts and people rely on: exit codes, what goes to which stream, and errors that help.

use serde_json::Value;

use super::demo::DEMO;
use super::harness::{Bench, Run, trail_file, trail_record};

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn exit_code_0_means_clean_and_stdout_holds_data_alone() {
    let bench = Bench::new();
    bench.file("log.json", trail_file(0..3));
    let run = bench.run(&["import", "--format", "json", "log.json"]).exits(0);
    assert_eq!(run.json()["schema_version"], 1);
    assert_eq!(run.stderr, "");
    let run = bench.run(&["rules", "list", "--format", "json"]).exits(0);
    let rules = run.json();
    let first = rules[0].as_object().unwrap();
    for member in ["id", "title", "severity", "family", "needs", "params", "controls"] {
        assert!(first.contains_key(member), "{member} is missing in {first:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_an_import_with_130_and_without_noise() {
    let bench = Bench::new();
    let mut command = bench.command(&["import", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let last = bench.path().join("keytrail-store/log_settings/_delta_log");
    for _ in 0..600 {
        if last.is_dir() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("what was committed stays"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn exit_code_1_means_findings_at_or_above_fail_on() {
    let bench = Bench::new();
    let check = |more: &[&str]| Run::of(DEMO.judge(&bench, "check", more));
    let run = check(&["--rule", "ROT-01", "--format", "json"]).exits(1);
    let checked = run.json();
    assert_eq!(checked["schema_version"], 1);
    for member in ["run", "coverage", "results", "summary"] {
        assert!(!checked[member].is_null(), "{member}");
    }
    let severity = checked["results"][0]["severity"].as_str().unwrap();
    if severity != "critical" {
        check(&["--rule", "ROT-01", "--fail-on", "critical"]).exits(0);
    }
}

#[test]
fn undetermined_results_alone_are_clean_unless_asked_otherwise() {
    let bench = Bench::new();
    let check = |more: &[&str]| {
        let arguments = [&["--rule", "DC-01", "--rule", "ROT-01", "--fail-on", "critical"], more];
        Run::of(DEMO.judge(&bench, "check", &arguments.concat()))
    };
    let run = check(&["--undetermined", "fail", "--param", "ROT-01.period=9999d"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

#[test]
fn exit_code_2_means_wrong_usage_or_configuration() {
    let bench = Bench::new();
    let wrong: &[&[&str]] = &[
        &[],
        &["chek"],
        &["import"],
        &["check", "--period", "yesterday"],
        &["check", "--period", "2026-01-02..2026-01-01"],
        &["import", "--store", "s3://bucket", "x.json"],
        &["import", "--declare", "2026", "x.json"],
        &["--config", "absent.toml", "config", "show"],
    ];
    for arguments in wrong {
        let run = bench.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}\n{}{}", run.stdout, run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    Run::of(DEMO.judge(&bench, "check", &["--param", "nonsense"])).exits(2);
    // What is wrong with the command is told whether there is a store or not.
    for wrong in [
        ["--param", "ROT-01.period=banana"],
        ["--param", "ROT-01.perod=90d"],
        ["--rule", "NO-SUCH-*"],
        ["--people", "absent.csv"],
    ] {
        for command in ["check", "report"] {
            bench.run(&[&[command, "--store", "absent"], &wrong[..]].concat()).exits(2);
        }
    }
    bench.file("keytrail.toml", "stoer = \"x\"\n");
    let run = bench.run(&["config", "show"]).exits(2);
    assert!(run.stderr.contains("keytrail.toml") && run.stderr.contains("stoer"), "{}", run.stderr);
}

#[test]
fn exit_code_3_means_that_the_job_could_not_be_done() {
    let bench = Bench::new();
    let run = bench.run(&["check", "--store", "absent"]).exits(3);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.starts_with("error: ") && run.stderr.contains("hint: "), "{}", run.stderr);
    let run = bench.run(&["import", "absent.json"]).exits(3);
    assert!(run.stderr.contains("\n  caused by: "), "{}", run.stderr);
    assert!(run.stderr.contains("absent.json"), "{}", run.stderr);
}

#[test]
fn exit_code_4_means_done_in_part_and_outranks_findings() {
    let bench = Bench::new();
    let mut broken = trail_record(1, "DisableKey", KEY);
    broken["eventTime"] = Value::Null;
    bench.file("log.json", format!("{}\n{broken}\n", trail_record(0, "DisableKey", KEY)));
    let run = bench.run(&["import", "--format", "json", "log.json"]).exits(4);
    assert_eq!(run.json()["quarantined"], 1);
    assert_eq!(bench.number("SELECT count(*) AS n FROM events"), 1);
    bench.file("rules/BAD-01.sql", BROKEN_RULE);
    let run = Run::of(DEMO.judge(
        &bench,
        "check",
        &[
            "--rules",
            bench.path().join("rules").to_str().unwrap(),
            "--rule",
            "BAD-01",
            "--rule",
            "ROT-01",
            "--format",
            "json",
        ],
    ));
    let run = run.exits(4);
    assert_eq!(run.json()["summary"]["error"], 1, "{}", run.stdout);
}

/// A rule that can be read and not run.
const BROKEN_RULE: &str = r#"/*+++
id = "BAD-01"
title = "Divides by zero"
severity = "low"
needs = { aws = ["aws.kms"] }
rationale = "A rule in error stops neither the others nor the program."
remediation = "None."
+++*/
SELECT CAST('not a number' AS BIGINT) AS number FROM events
"#;

#[test]
fn a_check_that_neither_passed_nor_failed_anything_is_not_clean() {
    let bench = Bench::new();
    bench.file("empty.jsonl", trail_record(0, "DisableKey", KEY).to_string());
    bench.run(&["import", "empty.jsonl"]).exits(0);
    let run =
        bench.run(&["check", "--period", "2020-01-01..2020-02-01", "--format", "json"]).exits(4);
    let summary = &run.json()["summary"];
    assert_eq!((&summary["pass"], &summary["fail"]), (&0.into(), &0.into()), "{summary}");
}

#[test]
fn colour_is_for_terminals_and_never_where_no_color_is_set() {
    let bench = Bench::new();
    let run = bench.run(&["check", "--store", "absent"]);
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    let always = bench.run(&["--color", "always", "check", "--store", "absent"]);
    assert!(always.stderr.contains('\u{1b}'), "{}", always.stderr);
    let mut command = bench.command(&["check", "--store", "absent"]);
    command.env("NO_COLOR", "1");
    assert!(!Run::of(command).stderr.contains('\u{1b}'));
}

#[test]
fn a_mistyped_name_is_answered_with_the_nearest() {
    let bench = Bench::new();
    assert!(bench.run(&["imprt", "x"]).exits(2).stderr.contains("'import'"));
    let run = bench.run(&["rules", "show", "ROT-1"]).exits(2);
    assert!(run.stderr.contains("did you mean `ROT-01`?"), "{}", run.stderr);
    let run = Run::of(DEMO.judge(&bench, "check", &["--param", "ROT-01.perod=90d"])).exits(2);
    assert!(run.stderr.contains("period"), "{}", run.stderr);
}

#[test]
fn completions_and_the_manual_page_come_from_the_definitions() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = bench.run(&["completions", shell]).exits(0);
        assert!(run.stdout.contains("keytrail") && run.stdout.contains("import"), "{shell}");
    }
    let page = bench.run(&["man"]).exits(0).stdout;
    assert!(page.starts_with(".ie") || page.starts_with(".TH") || page.contains("\n.TH"), "{page}");
    assert!(page.contains("fail\\-on") && page.contains("130"), "options and exit codes");
}

#[test]
fn config_show_says_where_each_setting_comes_from() {
    let bench = Bench::new();
    bench.file("keytrail.toml", "store = \"elsewhere\"\n[params]\n\"ROT-01.period\" = \"90d\"\n");
    let shown = bench.run(&["config", "show"]).exits(0).stdout;
    assert!(shown.contains("elsewhere") && shown.contains("keytrail.toml"), "{shown}");
    let mut command = bench.command(&["config", "show"]);
    let shown = Run::of({
        command.env("KEYTRAIL_STORE", "from-environment");
        command
    });
    assert!(shown.stdout.contains("from-environment"), "{}", shown.stdout);
    let shown = bench.run(&["--store", "from-flag", "config", "show"]).exits(0).stdout;
    assert!(shown.contains("from-flag"), "{shown}");
}

#[test]
fn output_that_nobody_reads_on_is_no_error() {
    let bench = Bench::new();
    let mut command = bench.command(&["man"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_new_rule_is_scaffolded_with_fixtures_that_run() {
    let bench = Bench::new();
    bench.run(&["rules", "new", "ACME-01"]).exits(0);
    let run = bench.run(&["rules", "test", "--rules", "rules", "--fixtures", "fixtures/rules"]);
    assert!(run.stdout.contains("ACME-01") || run.code == Some(0), "{}{}", run.stdout, run.stderr);
}
