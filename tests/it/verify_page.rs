//! The page of a run of `verify`, of a real token with hostile labels, in a browser; and what the
//! report says of the run.

use std::fs;
use std::path::PathBuf;

use super::harness::{Bench, Run, say};
use super::peers;
use super::report::{HOSTILE, visit};

/// A label of a token, which holds 32 bytes.
const LABEL: &str = "\"'><script>document.title=1//";

/// What `scripts/tokens.sh` wrote down of a tool or module.
fn token_peer(name: &str) -> Option<PathBuf> {
    let paths = fs::read_to_string(peers::tokens()?).unwrap();
    let found = paths.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if found.is_none() {
        say(&format!("SKIPPED: {name} is missing; run scripts/tokens.sh"));
    }
    found.map(PathBuf::from)
}

/// A token of `SoftHSM` with a hostile label that holds a key with one; gives its module.
fn token(bench: &Bench) -> Option<PathBuf> {
    let module = token_peer("softhsm")?;
    let (util, tool) = (token_peer("softhsm2-util")?, token_peer("pkcs11-tool")?);
    let tokens = bench.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    bench.file("softhsm2.conf", format!("directories.tokendir = {}\n", tokens.display()));
    let pin = bench.file("pin", "123456");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(pin, private).unwrap();
    let run = |program: &PathBuf, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(arguments).env("SOFTHSM2_CONF", bench.path().join("softhsm2.conf"));
        Run::of(command).exits(0)
    };
    run(
        &util,
        &["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", "123456"],
    );
    let key = HOSTILE.replace('\0', "");
    let module_text = module.to_str().unwrap();
    run(
        &tool,
        &[
            "--module",
            module_text,
            "--token-label",
            LABEL,
            "--login",
            "--pin",
            "123456",
            "--keygen",
            "--key-type",
            "aes:32",
            "--label",
            &key,
            "--id",
            "01",
            "--extractable",
        ],
    );
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
        .env("SOFTHSM2_CONF", bench.path().join("softhsm2.conf"));
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
