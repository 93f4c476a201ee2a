//! The promises of the fuzz targets, kept for every input in `fixtures/fuzz` and for random ones.
//! The targets themselves run with `make soak`.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[expect(unreachable_pub, reason = "the fuzz targets are a crate of their own")]
#[path = "../../fuzz/src/lib.rs"]
mod checks;

/// A target: its name, and what it checks.
type Target = (&'static str, fn(&[u8]));

/// Every target by the name of its folder.
const TARGETS: &[Target] = &[
    ("canonical", checks::canonical),
    ("classify", checks::classify),
    ("cloudhsm", checks::cloudhsm),
    ("declared", checks::declared),
    ("inventory", checks::inventory),
    ("normalize", checks::normalize),
    ("open", checks::open),
    ("report", checks::report),
    ("rules", checks::rules),
    ("split", checks::split),
];

/// Words that stand in what is read; random texts are made of them too, so that they come further
/// than the first byte.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\n",
    " ",
    "null",
    "true",
    "1",
    "-0.0",
    "1e300",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{1e}",
    "\r\n",
    "é",
    "<",
    "&",
    "=",
    "'",
    "--",
    "/*+++",
    "+++*/",
    "\"Records\":[",
    "\"events\":[",
    "\"value\":[",
    "{\"a\":1}",
    "\"eventSource\":",
    "\"kms.amazonaws.com\"",
    "\"eventName\":",
    "\"Decrypt\"",
    "\"eventTime\":",
    "\"2026-01-02T03:04:05Z\"",
    "\"CloudTrailEvent\":",
    "\"message\":",
    "\"protoPayload\":",
    "\"logName\":",
    "\"insertId\":",
    "\"operationName\":",
    "\"resourceId\":",
    "\"category\":",
    "\"KeyMetadata\":",
    "\"Clusters\":",
    "\"PreCoPassword\":",
    "Time: 01/24/26 13:03:59.000000, usecs:1",
    "Reboot counter: 0x1",
    "Sequence No: 0x2",
    "Opcode : CN_LOGIN (0xd)",
    "Response : 0",
    "SELECT",
    "(",
    ")",
    "FROM",
    "keys",
    "[[waiver]]",
    "id = \"x\"",
    "person,identity,kind",
    "ROT-01.period=90d",
    "aws/1:aws.kms",
    "2026-01-01",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz")
}

#[test]
fn the_inputs_that_fuzzing_found_keep_every_promise() {
    let mut folders: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(folders, names, "each target has its folder of inputs, and each folder its target");
    for (name, check) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(root().join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let kept = std::panic::catch_unwind(|| check(&input));
            assert!(kept.is_ok(), "{} breaks a promise", path.display());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no inputs");
    }
}

/// Runs one target over random bytes and over random texts made of words.
fn random(name: &str, cases: u32) {
    let (_, check) = TARGETS.iter().find(|(own, _)| *own == name).unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let bytes = vec(any::<u8>(), 0..200);
    let run = |input: &[u8]| {
        check(input);
        Ok(())
    };
    runner.run(&bytes, |bytes| run(&bytes)).unwrap();
    let words = vec(proptest::sample::select(WORDS), 0..60);
    runner
        .run(&(any::<u8>(), words), |(setting, words)| {
            let mut input = vec![setting];
            input.extend(words.concat().bytes());
            run(&input)
        })
        .unwrap();
}

#[test]
fn random_files_are_cut_and_told_apart_without_losing_anything() {
    random("split", 400);
    random("classify", 400);
    random("open", 50);
}

#[test]
fn random_records_are_translated_or_refused() {
    random("normalize", 400);
    random("cloudhsm", 400);
    random("inventory", 200);
    random("canonical", 400);
}

#[test]
fn random_declarations_and_rules_are_read_or_refused() {
    random("declared", 100);
    random("rules", 100);
}

#[test]
fn random_texts_stay_text_in_a_report() {
    random("report", 25);
}
