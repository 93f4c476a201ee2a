//! The promises of the store: nothing doubled, nothing half visible, tree heads that hold, and rows
//! that other programs read alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use jiff::Timestamp;
use keytrail::event::leaf_hash;
use keytrail::pipeline::import::{Import, Imported, import};
use keytrail::store::{Location, Store};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::harness::{Bench, trail_file, trail_record};
use super::peers;

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn location(folder: &Path) -> Location {
    Location::parse(folder.to_str().unwrap()).unwrap()
}

/// Imports into the store at `folder`, as one process would.
fn import_into(folder: &Path, paths: &[PathBuf]) -> Imported {
    wait(async {
        let mut store = Store::create(location(folder)).await.unwrap();
        let job = Import { paths: paths.to_vec(), ..Import::default() };
        let now: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        import(&mut store, &job, now, &mut |_| true).await.unwrap()
    })
}

/// The rows of the journal as text, read past the store's own code.
fn journal(folder: &Path, sql: &str) -> Vec<Vec<String>> {
    wait(async {
        let url = Url::from_directory_path(folder.join("journal")).unwrap();
        let table = deltalake::open_table(url).await.unwrap();
        let context = SessionContext::new();
        table.update_datafusion_session(&context.state()).unwrap();
        context.register_table("journal", table.table_provider().await.unwrap()).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in batches {
            let options = FormatOptions::default().with_null("null");
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            rows.extend((0..batch.num_rows()).map(|row| {
                columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>()
            }));
        }
        rows
    })
}

fn events(folder: &Path) -> Vec<Vec<String>> {
    journal(
        folder,
        "SELECT ledger, CAST(leaf_index AS VARCHAR) AS leaf, event_id,
                CAST(CAST(time AS BIGINT) AS VARCHAR) AS micros, action, encode(leaf_hash, 'hex') AS hash, raw
         FROM journal WHERE kind = 'event' ORDER BY ledger, leaf_index",
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The definition of RFC 6962, straight: split at the largest power of two below n.
fn root(leaves: &[Vec<u8>]) -> Vec<u8> {
    match leaves {
        [] => Sha256::digest([]).to_vec(),
        [leaf] => leaf.clone(),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Sha256::digest([&[1u8][..], &root(left), &root(right)].concat()).to_vec()
        }
    }
}

/// Checks every promise about what is visible: ids are single, leaves dense and hashed as
/// documented, and each receipt of a ledger gives the root of its leaves. Gives the event count.
#[track_caller]
fn check_whole(folder: &Path) -> usize {
    let events = events(folder);
    let mut ledgers: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut ids: Vec<&str> = Vec::new();
    for row in &events {
        let [ledger, index, id, _, _, hash, raw] = row.as_slice() else { panic!("{row:?}") };
        let leaves = ledgers.entry(ledger).or_default();
        assert_eq!(*index, leaves.len().to_string(), "{ledger} has a gap or a double leaf");
        let leaf = leaf_hash(ledger, id, raw).to_vec();
        assert_eq!(*hash, hex(&leaf), "{id}");
        leaves.push(leaf);
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "an id stands twice");
    let receipts = journal(folder, "SELECT ledger, details FROM journal WHERE reason = 'ledger'");
    let mut largest: BTreeMap<&str, usize> = BTreeMap::new();
    for receipt in &receipts {
        let content: Value = serde_json::from_str(&receipt[1]).unwrap();
        let size = usize::try_from(content["size"].as_u64().unwrap()).unwrap();
        let leaves = &ledgers[receipt[0].as_str()];
        assert_eq!(content["root"], hex(&root(&leaves[..size])), "{} at {size}", receipt[0]);
        let most = largest.entry(&receipt[0]).or_default();
        *most = size.max(*most);
    }
    for (ledger, leaves) in &ledgers {
        assert_eq!(largest.get(ledger), Some(&leaves.len()), "the newest receipt of {ledger}");
    }
    events.len()
}

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

/// Numbers that look random and are the same in every run.
fn shuffled(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn an_import_killed_at_any_moment_leaves_nothing_half_visible_and_can_be_done_again() {
    let bench = Bench::new();
    let mut logs = Vec::new();
    for n in 0..10 {
        logs.push(bench.file(&format!("logs/{n}.json"), trail_file(n * 100..n * 100 + 120)));
    }
    let began = Instant::now();
    // Small pages, so that one import is many commits and kills fall between them too.
    let import = ["import", "--page-events", "200", "--store"];
    bench.run(&[&import[..], &["whole", "logs"]].concat()).exits(0);
    assert!(commits(&bench.path().join("whole")) > 5, "an import is one commit");
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let (mut killed, mut tried, mut state) = (0, 0, 0x9e37_79b9_7f4a_7c15);
    while killed < 20 {
        assert!(tried < 100, "of {tried} imports only {killed} were still running when killed");
        let name = format!("store-{}", tried / 4);
        let folder = bench.path().join(&name);
        // Each import reads some files more than the one before, so that there is something new.
        let paths: Vec<String> =
            logs[..=tried % 4 * 3].iter().map(|path| path.display().to_string()).collect();
        let mut arguments = [&import[..], &[&name]].concat();
        arguments.extend(paths.iter().map(String::as_str));
        let mut child = bench.command(&arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(shuffled(&mut state) % whole));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if folder.join("journal/_delta_log/00000000000000000000.json").exists() {
            check_whole(&folder);
        }
        tried += 1;
        if tried % 4 == 0 {
            bench.run(&["import", "--store", &name, "logs"]).exits(0);
            assert_eq!(check_whole(&folder), 1020, "{name}");
        }
    }
}
