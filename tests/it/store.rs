//! The promises of the store: nothing doubled, nothing half visible, tree heads that hold, and rows
//! that other programs read alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::harness::{Bench, trail_file, trail_record};
use super::peers;
use super::whole::{check_whole, events, hex, import_into, journal};

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn importing_again_changes_nothing() {
    let bench = Bench::new();
    let store = bench.path().join("store");
    let first = bench.file("logs/a.json", trail_file(0..60));
    let overlap = bench.file("logs/b.json", trail_file(40..100));
    let done = import_into(&store, &[first.clone(), overlap.clone()]);
    assert_eq!((done.records, done.events, done.duplicates), (120, 100, 20));
    let before = events(&store);
    let again = import_into(&store, &[overlap, first]);
    assert_eq!((again.records, again.events, again.duplicates), (120, 0, 120));
    assert_eq!(events(&store), before);
    assert_eq!(check_whole(&store), 100);
}

#[test]
fn an_id_that_comes_with_other_content_is_kept_beside_the_first() {
    let bench = Bench::new();
    let store = bench.path().join("store");
    let honest = trail_record(7, "DisableKey", KEY);
    let mut edited = honest.clone();
    edited["userIdentity"]["userName"] = "somebody else".into();
    let first = bench.file("1.json", honest.to_string());
    let second = bench.file("2.json", edited.to_string());
    // The same content in another spelling is no conflict.
    let spaced = bench.file("3.json", serde_json::to_string_pretty(&honest).unwrap());
    let done = import_into(&store, &[first, second.clone(), spaced]);
    assert_eq!((done.events, done.duplicates, done.conflicts), (2, 1, 1));
    let rows = journal(
        &store,
        "SELECT event_id, coalesce(conflicts_with, '') AS other FROM journal WHERE kind = 'event' ORDER BY 1",
    );
    let id = "aws/111122223333|00000000-0000-4000-8000-000000000007";
    assert_eq!(rows[0], [id, ""]);
    assert!(
        rows[1][0].starts_with(&format!("{id}~")) && rows[1][0].len() == id.len() + 9,
        "{rows:?}"
    );
    assert_eq!(rows[1][1], id);
    let again = import_into(&store, &[second]);
    assert_eq!((again.events, again.duplicates), (0, 1));
    assert_eq!(check_whole(&store), 2);
}

#[test]
fn receipts_hold_the_tree_heads_of_every_ledger_after_every_commit() {
    let bench = Bench::new();
    let store = bench.path().join("store");
    for round in 0..5 {
        let file = bench.file(&format!("{round}.json"), trail_file(round * 13..round * 13 + 17));
        import_into(&store, &[file]);
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo");
    import_into(&store, &[fixtures]);
    assert!(check_whole(&store) > 69);
    let ledgers = journal(&store, "SELECT DISTINCT ledger FROM journal WHERE kind = 'event'");
    assert!(ledgers.len() >= 5, "{ledgers:?}");
}

#[test]
fn importers_that_run_at_once_double_nothing() {
    let bench = Bench::new();
    let store = bench.path().join("store");
    let files: Vec<PathBuf> =
        (0..6).map(|n| bench.file(&format!("{n}.json"), trail_file(n * 20..n * 20 + 40))).collect();
    let events: u64 = std::thread::scope(|scope| {
        let imports: Vec<_> = (0..4)
            .map(|n| {
                let mut files = files.clone();
                files.rotate_left(n);
                let store = &store;
                scope.spawn(move || {
                    files
                        .iter()
                        .map(|file| import_into(store, std::slice::from_ref(file)).events)
                        .sum()
                })
            })
            .collect();
        imports.into_iter().map(|import| -> u64 { import.join().unwrap() }).sum()
    });
    assert_eq!(events, 140, "each event is stored by one importer");
    assert_eq!(check_whole(&store), 140);
}

/// How many commits the journal has seen.
fn commits(folder: &Path) -> usize {
    let log = fs::read_dir(folder.join("journal/_delta_log")).unwrap();
    log.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("json".as_ref())).count()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let bench = Bench::new();
    for n in 0..9 {
        bench.file(&format!("logs/{n}.json"), trail_file(n * 90..n * 90 + 100));
    }
    bench.file("logs/torn.json", &trail_file(900..950).as_bytes()[..9000]);
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo");
    let import = |store: &str, threads: &str| {
        let flags = ["--threads", threads, "--page-events", "70", "--store", store];
        let run =
            bench.run(&[&["import", "--format", "json"], &flags[..], &["logs", fixtures]].concat());
        let mut printed = run.exits(4).json();
        printed["elapsed_ms"] = Value::Null;
        printed
    };
    assert_eq!(import("one", "1"), import("many", "7"));
    let (one, many) = (bench.path().join("one"), bench.path().join("many"));
    assert!(check_whole(&one) > 820);
    assert_eq!(check_whole(&many), check_whole(&one));
    assert_eq!(events(&many), events(&one));
    assert_eq!(commits(&many), commits(&one));
    let rest = "SELECT kind, ledger, event_id, coalesce(reason, '') AS reason, coalesce(place, '') AS place
         FROM journal WHERE kind = 'quarantine' OR reason IN ('ledger', 'snapshot', 'proof') ORDER BY 1, 2, 3";
    assert_eq!(journal(&many, rest), journal(&one, rest));
}

#[test]
fn other_readers_see_the_same_rows() {
    let Some(python) = peers::python() else { return };
    let bench = Bench::new();
    let store = bench.path().join("store");
    import_into(&store, &[Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo")]);
    import_into(&store, &[bench.file("more.json", trail_file(0..50))]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/readers.py");
    let output = Command::new(python).arg(script).arg(&store).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["same_files"], true);
    let theirs: Vec<Vec<String>> = serde_json::from_value(seen["rows"].clone()).unwrap();
    let ours: Vec<Vec<String>> = events(&store)
        .into_iter()
        .map(|mut row| {
            let raw = row.pop().unwrap();
            row.push(hex(&Sha256::digest(raw)));
            row
        })
        .collect();
    assert!(ours.len() > 50);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}
