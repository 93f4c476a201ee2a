//! The page of a run of `verify`, of a real token with hostile labels, in a browser; and what the
//! report says of the run.

use std::path::PathBuf;

use super::harness::{Bench, Run};
use super::peers;
use super::report::{HOSTILE, visit};
use super::softhsm;

/// A label of a token, which holds 32 bytes.
const LABEL: &str = "\"'><script>document.title=1//";

/// A token of `SoftHSM` with a hostile label that holds a key with one; gives its module.
fn token(bench: &Bench) -> Option<PathBuf> {
    let module = softhsm::token(bench, LABEL)?;
    let label = HOSTILE.replace('\0', "");
    let make = ["--keygen", "--key-type", "aes:32", "--label", &label, "--id", "01"];
    softhsm::tool(bench, (&module, LABEL), &[&make[..], &["--extractable"]].concat())?;
    Some(module)
}

fn verify(bench: &Bench, module: &PathBuf, arguments: &[&str]) -> Run {
    let level: &[&str] = if arguments.contains(&"--level") { &[] } else { &["--level", "drill"] };
    let mut command = bench.command(&[&["verify", "--token", LABEL], level].concat());
    command
        .arg("--module")
        .arg(module)
        .args(["--pin-source", "file:pin", "--store", "store"])
        .args(arguments)
        .env("SOFTHSM2_CONF", softhsm::conf(bench));
    Run::of(command)
}

#[test]
fn a_run_on_a_hostile_token_neither_runs_nor_fetches_in_a_browser() {
    let Some(chromium) = peers::chromium() else { return };
    let bench = Bench::new();
    let Some(module) = token(&bench) else { return };
    // The key may leave the token, and no policy allows that.
    verify(&bench, &module, &["--output", "run.html"]).exits(1);
    let page = bench.path().join("run.html");
    let seen = visit(&chromium, bench.path(), &page);
    assert!(seen.dom.contains("The key is not sensitive and is extractable."), "no finding");
    assert!(seen.dom.contains("class=\"answer fail\""), "the answer is not at the top");
    assert!(seen.dom.contains("&lt;script&gt;"), "the hostile label does not stand in the page");
    assert!(seen.dom.contains("<title>\"'&gt;&lt;script&gt;document.title=1//:"), "a script ran");
    assert_eq!(seen.fetched, Vec::<String>::new(), "the page fetched");
    assert_eq!(seen.console, Vec::<String>::new(), "the console is not silent");
    for tag in ["<script", "<iframe", "<img", "<link", "onerror=\"", "onload=\""] {
        assert!(!seen.dom.contains(tag), "the page holds {tag}");
    }
}

#[test]
fn a_report_tells_of_the_newest_run_and_of_an_older_one_that_went_further() {
    let bench = Bench::new();
    let Some(module) = token(&bench) else { return };
    let first = verify(&bench, &module, &["--format", "json"]).exits(1).json();
    verify(&bench, &module, &["--level", "inventory"]);
    let run = bench.run(&["report", "--store", "store", "--format", "json"]);
    let report = run.json();
    let lines = report["exercised"].as_array().unwrap();
    let levels: Vec<&str> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["inventory", "drill"], "{}", run.stderr);
    let drill = &lines[1];
    assert_eq!(drill["run"], first["run"]["id"]);
    for (member, counted) in [("passed", "pass"), ("failed", "fail"), ("advisory", "advisory")] {
        assert_eq!(drill[member], first["summary"][counted], "{member}");
    }
    let failing = drill["failing"].as_array().unwrap();
    let named = u64::try_from(failing.len()).unwrap();
    assert_eq!(drill["failed"], named, "each is named once");
    assert!(failing.iter().any(|row| row["check"] == "inventory.protection"), "{failing:?}");
    assert!(drill["traces"].is_null(), "no log was named");
}

#[test]
fn a_run_for_people_begins_with_what_failed_and_ends_with_what_to_do() {
    let bench = Bench::new();
    let Some(module) = token(&bench) else { return };
    let text = verify(&bench, &module, &[]).exits(1).stdout;
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words}:\n{text}"));
    assert!(place("FAIL: ") < place("inventory.protection"));
    assert!(place("inventory.protection") < place("drill.generate.aes"));
    assert!(text.lines().last().unwrap().len() > 10 && place("\nNext: ") > text.len() - 300);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "no colour, no tricks");
    // What cannot be broken may be wider: a key's label.
    let wide = |line: &&str| line.chars().count() > 100 && line.trim().contains(' ');
    assert_eq!(text.lines().find(wide), None);
}
