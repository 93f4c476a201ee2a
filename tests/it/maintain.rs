//! `store maintain`, `store status` and pins: what they change, and what they must not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use serde_json::Value;
use url::Url;

use super::harness::{Bench, Run, trail_file};
use super::whole::{check_whole, events, journal, wait};

/// A bench with a store of `commits` commits of 20 events each, in the default place.
fn store_of(commits: u32) -> Bench {
    let bench = Bench::new();
    for n in 0..commits {
        bench.file(&format!("{n}.json"), trail_file(n * 20..n * 20 + 20));
        bench.run(&["import", &format!("{n}.json")]).exits(0);
    }
    bench
}

fn maintain(bench: &Bench, more: &[&str]) -> Run {
    bench.run(&[&["store", "maintain", "--format", "json"], more].concat())
}

fn store(bench: &Bench) -> PathBuf {
    bench.path().join("keytrail-store")
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path);
        }
    }
    files
}

fn data_files(bench: &Bench) -> usize {
    let is_data = |path: &&PathBuf| {
        !path.to_string_lossy().contains("_delta_log")
            && path.extension().is_some_and(|extension| extension == "parquet")
    };
    tree(&store(bench)).iter().filter(is_data).count()
}

#[test]
fn small_files_become_few_and_every_row_and_tree_head_stays() {
    let bench = store_of(4);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo");
    for part in ["logs", "inventory"] {
        let path = fixtures.join(part);
        let path = if path.exists() { path } else { fixtures.clone() };
        bench.run(&["import", "--captured-at", "2026-09-30T00:00:00Z", path.to_str().unwrap()]);
    }
    let before = (events(&store(&bench)), bench.query("SELECT * FROM keys ORDER BY inventory_ref"));
    let sql =
        "SELECT kind, ledger, event_id, reason, place, details FROM journal ORDER BY 1, 2, 3, 4";
    let rows = journal(&store(&bench), sql);
    let done = maintain(&bench, &["--today"]).exits(0).json();
    let table = &done["tables"][0];
    assert_eq!(table["table"], "journal");
    let (files, fewer) = (&table["files_before"], &table["files_after"]);
    assert!(files.as_u64().unwrap() > fewer.as_u64().unwrap(), "{done:#}");
    assert_eq!(table["checkpoint"], table["version_after"]);
    assert!(done["verified_ledgers"].as_u64().unwrap() > 1);
    assert_eq!(done["verified_events"], before.0.len());
    assert_eq!(journal(&store(&bench), sql), rows);
    let after = (events(&store(&bench)), bench.query("SELECT * FROM keys ORDER BY inventory_ref"));
    assert_eq!(after, before);
    check_whole(&store(&bench));
    // A second time there is nothing to do, and the first time can be gone back to.
    let again = maintain(&bench, &["--today"]).exits(0).json();
    assert_eq!(again["tables"][0]["version_after"], table["version_after"]);
    assert_eq!(again["tables"][0]["merged_files"], 0);
    assert_eq!(again["tables"][0]["removed_files"], 0);
}

#[test]
fn rewritten_files_are_written_like_those_of_imports() {
    let bench = store_of(3);
    let folder = store(&bench).join("journal");
    let imported: BTreeMap<_, _> = columns(&folder).into_iter().collect();
    maintain(&bench, &["--today", "--keep", "0s", "--orphans", "0s"]).exits(0);
    let rewritten = columns(&folder);
    assert!(rewritten.len() > 50);
    for (name, written) in rewritten {
        let (compression, bloom, dictionary) = &written;
        assert_eq!(*bloom, ["event_id", "key_id"].contains(&name.as_str()), "{name}");
        if ["event_id", "raw", "leaf_hash", "request_id"].contains(&name.as_str()) {
            assert!(!dictionary, "{name}");
        }
        let texts = ["raw", "details", "event_id", "key_id"].contains(&name.as_str());
        assert!(!texts || compression.contains("ZSTD"), "{name}: {compression}");
        assert_eq!(imported[&name].0, *compression, "{name}");
    }
    assert!(!fs::read_dir(folder.join("_delta_log")).unwrap().flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        text.contains("maxValues") && text.contains("\\\"raw\\\"")
    }));
}

/// How each column of each data file is written: its compression, whether it has a Bloom filter and
/// a dictionary.
fn columns(folder: &Path) -> Vec<(String, (String, bool, bool))> {
    use deltalake::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let data = tree(folder).into_iter().filter(|path| !path.starts_with(folder.join("_delta_log")));
    let of_file = |path: PathBuf| {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let columns = reader.metadata().row_group(0).columns().iter().map(|column| {
            let compression = format!("{:?}", column.compression());
            let written = (
                compression,
                column.bloom_filter_offset().is_some(),
                column.dictionary_page_offset().is_some(),
            );
            (column.column_path().string(), written)
        });
        columns.collect::<Vec<_>>()
    };
    data.flat_map(of_file).collect()
}

#[test]
fn what_was_collected_today_stays_unless_asked_for() {
    let bench = store_of(2);
    let done = maintain(&bench, &[]).exits(0).json();
    assert_eq!(done["tables"][0]["merged_files"], 0, "{done:#}");
    let status = bench.run(&["store", "status", "--format", "json"]).exits(0).json();
    assert_eq!(status["maintenance_due"], false);
    assert_eq!(status["tables"][0]["commits_since_checkpoint"], 0);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let bench = store_of(3);
    let before = tree(&store(&bench));
    let done = maintain(&bench, &["--today", "--dry-run"]).exits(0).json();
    assert!(done["tables"][0]["merged_files"].as_u64().unwrap() > 3);
    assert_eq!(done["dry_run"], true);
    assert_eq!(tree(&store(&bench)), before);
    let run = bench.run(&["store", "maintain", "--today", "--dry-run"]).exits(0);
    assert!(run.stdout.contains("would be put together"), "{}", run.stdout);
}

#[test]
fn a_pinned_version_stays_readable_and_goes_when_it_is_let_go() {
    let bench = store_of(2);
    let report = |pin: &[&str]| {
        let fixed = ["report", "--as-of", "2026-04-01", "--format", "csv"];
        bench.run(&[&fixed[..], pin].concat()).exits(0).stdout
    };
    let first = report(&["--pin", "audit-2026"]);
    let taken = bench.run(&["report", "--pin", "audit-2026", "--format", "csv"]).exits(3);
    assert!(taken.stderr.contains("there is a pin of that name"), "{}", taken.stderr);
    bench.file("more.json", trail_file(100..140));
    bench.run(&["import", "more.json"]).exits(0);
    let dry = maintain(&bench, &["--today", "--keep", "0s", "--dry-run"]).exits(0);
    assert_eq!(dry.json()["tables"][0]["removed_files"], 0);
    maintain(&bench, &["--today", "--keep", "0s"]).exits(0);
    maintain(&bench, &["--today", "--keep", "0s"]).exits(0);
    assert_eq!(report(&["--at-pin", "audit-2026"]), first);
    let status = bench.run(&["store", "status", "--format", "json"]).exits(0).json();
    assert_eq!(status["pins"][0]["name"], "audit-2026");
    assert_eq!(status["pins"][0]["versions"]["journal"], 2);
    let held = data_files(&bench);
    bench.run(&["store", "unpin", "audit-2026"]).exits(0);
    let missing = bench.run(&["store", "unpin", "audit-2026"]).exits(3);
    assert!(missing.stderr.contains("store status"), "{}", missing.stderr);
    let done = maintain(&bench, &["--today", "--keep", "0s"]).exits(0).json();
    assert!(done["tables"][0]["removed_files"].as_u64().unwrap() > 0, "{done:#}");
    assert!(data_files(&bench) < held);
    bench.run(&["report", "--at-pin", "audit-2026"]).exits(3);
    check_whole(&store(&bench));
}

#[test]
fn a_pin_that_cannot_be_read_stops_the_removal_of_files() {
    let bench = store_of(2);
    bench.run(&["report", "--pin", "a", "--format", "csv"]).exits(0);
    fs::write(store(&bench).join("pins/a.json"), "{").unwrap();
    let before = data_files(&bench);
    let run = bench.run(&["store", "maintain", "--today", "--keep", "0s"]).exits(3);
    assert!(run.stderr.contains("the pin \"a\""), "{}", run.stderr);
    assert!(data_files(&bench) >= before, "files of a version that may be pinned went");
}

#[test]
fn files_that_no_version_names_go_when_they_are_old_and_not_before() {
    let bench = store_of(1);
    let folder = store(&bench).join("journal");
    let age = |name: &str, hours: u64| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "left by a killed writer").unwrap();
        let then = fs::metadata(&path).unwrap().modified().unwrap();
        let then = then - Duration::from_secs(hours * 3_600);
        File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        path
    };
    let old = [
        age("event_day=2026-03-01/part-00000-x.zstd.parquet", 25),
        age("event_day=2026-03-01/part-00000-y.zstd.parquet#1", 25),
        age("_delta_log/00000000000000000002.json#1", 25),
    ];
    let young = [
        age("event_day=2026-03-01/part-00000-z.zstd.parquet", 23),
        age("event_day=2026-03-01/notes.txt", 900),
    ];
    let done = maintain(&bench, &[]).exits(0).json();
    assert_eq!(done["tables"][0]["removed_files"], 3);
    assert!(old.iter().all(|path| !path.exists()) && young.iter().all(|path| path.exists()));
    let told = maintain(&bench, &["--orphans", "1h"]).exits(0).json();
    assert_eq!(told["tables"][0]["removed_files"], 1);
    assert_eq!(check_whole(&store(&bench)), 20);
}

#[test]
fn versions_within_the_time_kept_can_be_read() {
    let bench = store_of(2);
    maintain(&bench, &["--today", "--keep", "1h"]).exits(0);
    assert_eq!(events_at(&bench, 2), 40);
    maintain(&bench, &["--today", "--keep", "0s"]).exits(0);
    assert!(std::panic::catch_unwind(|| events_at(&bench, 2)).is_err());
}

/// The events of an earlier version of the journal.
fn events_at(bench: &Bench, version: u64) -> usize {
    wait(async {
        let url = Url::from_directory_path(store(bench).join("journal")).unwrap();
        let table = deltalake::open_table_with_version(url, version).await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        table.update_datafusion_session(&context.state()).unwrap();
        context.register_table("journal", table.table_provider().await.unwrap()).unwrap();
        let sql = "SELECT raw FROM journal WHERE kind = 'event'";
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
    })
}

#[test]
fn a_ledger_whose_leaves_do_not_give_its_tree_head_is_an_error_that_removes_nothing() {
    let bench = store_of(2);
    let before = data_files(&bench);
    // Somebody commits an event past the store: a leaf that stands twice.
    wait(async {
        let url = Url::from_directory_path(store(&bench).join("journal")).unwrap();
        let mut table = deltalake::open_table(url).await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        table.update_datafusion_session(&context.state()).unwrap();
        context.register_table("journal", table.table_provider().await.unwrap()).unwrap();
        let sql = "SELECT * FROM journal WHERE kind = 'event' AND leaf_index = 7";
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut writer = RecordBatchWriter::for_table(&table).unwrap();
        // In the types that the table's writer takes: a query gives views of texts.
        let schema = keytrail::event::schema::table("journal").unwrap();
        for batch in rows.into_iter().filter(|batch| batch.num_rows() > 0) {
            let columns = schema.fields().iter().map(|field| {
                let column = batch.column_by_name(field.name()).unwrap();
                arrow::compute::cast(column, field.data_type()).unwrap()
            });
            let columns = columns.collect();
            let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns);
            writer.write(batch.unwrap()).await.unwrap();
        }
        writer.flush_and_commit(&mut table).await.unwrap();
    });
    let run = bench.run(&["store", "maintain", "--today", "--keep", "0s"]).exits(3);
    assert!(run.stderr.contains("aws/111122223333"), "{}", run.stderr);
    assert!(run.stderr.contains("leaf 7 stands where leaf 8 must"), "{}", run.stderr);
    assert!(data_files(&bench) > before, "nothing was removed");
    assert_eq!(events_at(&bench, 2), 40, "the version before can be read");
}

#[test]
fn the_ledgers_go_on_from_a_checkpoint_when_the_log_before_it_is_gone() {
    let bench = store_of(3);
    maintain(&bench, &["--today", "--keep", "0s"]).exits(0);
    let log = store(&bench).join("journal/_delta_log");
    let mut entries: Vec<PathBuf> = tree(&log)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    // The newest entry is the one that the next commit is made against.
    entries.pop();
    assert!(entries.len() > 3);
    for entry in &entries {
        fs::remove_file(entry).unwrap();
    }
    bench.file("more.json", trail_file(40..80));
    let counts = bench.import(&["more.json"]).0;
    assert_eq!((&counts["events"], &counts["duplicates"]), (&Value::from(20), &Value::from(20)));
    assert_eq!(check_whole(&store(&bench)), 80);
}

#[test]
fn the_state_of_a_store_can_be_seen_by_people_and_programs() {
    let bench = store_of(2);
    let status = bench.run(&["store", "status", "--format", "json"]).exits(0);
    assert_eq!(status.stderr, "");
    let status = status.json();
    assert_eq!(status["schema_version"], 1);
    assert_eq!(status["tables"][0]["version"], 2);
    assert_eq!(status["tables"][0]["commits_since_checkpoint"], 2);
    let events = status["rows"].as_array().unwrap().iter().find(|row| row["kind"] == "event");
    assert_eq!(events.unwrap()["rows"], 40);
    let text = bench.run(&["store", "status"]).exits(0).stdout;
    assert!(text.contains("maintenance is not due") && text.contains("aws/111122223333"), "{text}");
    let none = bench.run(&["--store", "nowhere", "store", "status"]).exits(3);
    assert!(none.stderr.contains("there is no store"), "{}", none.stderr);
    bench.run(&["store", "maintain", "--keep", "7"]).exits(2);
}
