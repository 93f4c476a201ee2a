//! What a crash, a full disk or a power loss may do to a store: nothing that was acknowledged goes,
//! nothing is half visible, and the job can be done again.
//!
//! `make test` tries a sample of the steps, spread over the whole run; `make soak`
//! (`KEYTRAIL_SOAK=1`) tries every one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::harness::{Bench, Run, say, trail_file, trail_record};
use super::shim::{Call, EIO, ENOSPC, EROFS, Fate, calls, command, copy, judge, steps, tally};
use super::whole::check_whole;

/// An import in pages of 20 events.
const IMPORT: &[&str] = &["import", "--page-events", "20", "logs"];

/// Maintenance that finds something to compact and something to remove at once.
const MAINTAIN: &[&str] = &["store", "maintain", "--today", "--keep", "0s"];

pub(super) fn soak() -> bool {
    std::env::var_os("KEYTRAIL_SOAK").is_some_and(|value| value == "1")
}

/// The steps to try of `count`: all in a soak, else some, the first and last among them.
fn chosen(count: usize, sample: usize) -> Vec<usize> {
    if soak() || count <= sample {
        return (1..=count).collect();
    }
    let spread = (0..sample).map(|n| 1 + n * (count - 1) / (sample - 1));
    spread.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether the journal of a store was created.
pub(super) fn is_store(folder: &Path) -> bool {
    folder.join("journal/_delta_log/00000000000000000000.json").exists()
}

/// A bench with a store of 60 events in three commits, and 60 further events in `logs`.
fn prepared() -> Bench {
    let bench = Bench::new();
    bench.file("first.json", trail_file(0..60));
    bench.file("logs/1.json", trail_file(50..90));
    bench.file("logs/2.json", trail_file(90..120));
    let arguments = ["--store", "base", "import", "--page-events", "20", "first.json"];
    bench.run(&arguments).exits(0);
    assert_eq!(check_whole(&bench.path().join("base")), 60);
    bench
}

/// Kills `arguments` at the chosen steps, each time over a copy of `base` (or no store at all),
/// checks what is left with `check`, and does the job again to its end.
pub(super) fn kill_at_every_step(
    bench: &Bench,
    (base, arguments): (Option<&str>, &[&str]),
    sample: usize,
    check: impl Fn(usize, &str),
    complete: usize,
) {
    let fresh = |name: &str| {
        if let Some(base) = base {
            copy(&bench.path().join(base), &bench.path().join(name));
        }
    };
    fresh("counted");
    Run::of(command(bench, "counted", arguments, Fate::Noted)).exits(0);
    let noted = calls(bench, "counted");
    let count = steps(&noted);
    assert!(count > 20, "{:?}", tally(&noted));
    let (mut killed, steps) = (0, chosen(count, sample));
    for step in &steps {
        let name = format!("at-{step}");
        fresh(&name);
        let folder = bench.path().join(&name);
        let status = command(bench, &name, arguments, Fate::Killed(*step)).status().unwrap();
        killed += usize::from(status.signal() == Some(9));
        if is_store(&folder) {
            check(check_whole(&folder), &name);
        }
        bench.run(&[&["--store", &name], arguments].concat()).exits(0);
        assert_eq!(check_whole(&folder), complete, "{name}");
        fs::remove_dir_all(folder).unwrap();
    }
    // The last steps may be done in another order and number, since several threads work.
    assert!(killed + 3 >= steps.len(), "{killed} of {} were killed", steps.len());
    say(&format!("{arguments:?}: {count} steps, {killed} killed, {:?}", tally(&noted)));
}

#[test]
fn an_import_killed_at_any_step_shows_whole_pages_and_can_be_done_again() {
    let bench = prepared();
    let seen = |events: usize, name: &str| {
        assert!((60..=120).contains(&events), "{name}: {events}");
        // The first page of the new files holds ten events that are known.
        assert!([60, 70, 90, 110, 120].contains(&events), "{name}: {events} is half a page");
    };
    kill_at_every_step(&bench, (Some("base"), IMPORT), 24, seen, 120);
}

#[test]
fn a_store_whose_creation_is_killed_at_any_step_can_be_created_again() {
    let bench = Bench::new();
    bench.file("logs/1.json", trail_file(0..20));
    let seen = |events: usize, name: &str| assert!([0, 20].contains(&events), "{name}: {events}");
    kill_at_every_step(&bench, (None, &["import", "logs"]), 16, seen, 20);
}

#[test]
fn maintenance_killed_at_any_step_loses_nothing_and_goes_on() {
    let bench = prepared();
    let seen = |events: usize, name: &str| assert_eq!(events, 60, "{name}");
    kill_at_every_step(&bench, (Some("base"), MAINTAIN), 20, seen, 60);
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
    let import = ["import", "--page-events", "50", "--store"];
    let began = Instant::now();
    bench.run(&[&import[..], &["whole", "logs"]].concat()).exits(0);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let log = fs::read_dir(bench.path().join("whole/journal/_delta_log")).unwrap();
    assert!(log.count() > 5, "an import is one commit: no kill can fall between two");
    let wanted = if soak() { 200 } else { 20 };
    let (mut killed, mut tried, mut state) = (0, 0, 0x9e37_79b9_7f4a_7c15);
    while killed < wanted {
        assert!(tried < wanted * 5, "of {tried} imports only {killed} still ran when killed");
        let name = format!("store-{}", tried / 4);
        let folder = bench.path().join(&name);
        // Each import reads some files more than the one before, so that there is something new.
        let paths: Vec<String> =
            logs[..=tried % 4 * 3].iter().map(|path| path.display().to_string()).collect();
        let mut arguments = import.to_vec();
        arguments.push(&name);
        arguments.extend(paths.iter().map(String::as_str));
        let mut child = bench.command(&arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(shuffled(&mut state) % whole));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if is_store(&folder) {
            check_whole(&folder);
        }
        tried += 1;
        if tried % 4 == 0 {
            bench.run(&[&import[..], &[&name, "logs"]].concat()).exits(0);
            assert_eq!(check_whole(&folder), 1020, "{name}");
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// Lets `arguments` fail with `error` from the chosen steps on; each run must end with a clear
/// error or be complete, and the job is done again when the disk works.
pub(super) fn fail_at_every_step(bench: &Bench, arguments: &[&str], error: i32, sample: usize) {
    let words = match error {
        ENOSPC => ["No space left on device", "the disk is full"],
        EROFS => ["Read-only file system", "cannot be written"],
        _ => ["Input/output error", "hint"],
    };
    copy(&bench.path().join("base"), &bench.path().join("counted"));
    Run::of(command(bench, "counted", arguments, Fate::Noted)).exits(0);
    let count = steps(&calls(bench, "counted"));
    let complete = check_whole(&bench.path().join("counted"));
    let least = check_whole(&bench.path().join("base"));
    let mut failed = 0;
    for step in chosen(count, sample) {
        let name = format!("from-{step}");
        let folder = bench.path().join(&name);
        copy(&bench.path().join("base"), &folder);
        let run = Run::of(command(bench, &name, arguments, Fate::Failing(step, error)));
        if run.code != Some(0) {
            failed += 1;
            assert_eq!(run.code, Some(3), "step {step}: {}", run.stderr);
            for word in words.iter().chain([&folder.to_str().unwrap()]) {
                assert!(run.stderr.contains(word), "step {step} without {word:?}: {}", run.stderr);
            }
            assert_eq!(run.stdout, "", "step {step}");
        }
        let events = check_whole(&folder);
        assert!((least..=complete).contains(&events), "step {step}: {events}");
        let query = ["--store", &name, "query", "SELECT count(*) FROM events"];
        assert!(bench.run(&query).exits(0).stdout.contains(&events.to_string()));
        bench.run(&[&["--store", &name], arguments].concat()).exits(0);
        assert_eq!(check_whole(&folder), complete, "step {step}");
        fs::remove_dir_all(folder).unwrap();
    }
    say(&format!("{arguments:?}: {count} steps, {failed} failed with error {error}"));
    assert!(failed * 2 >= chosen(count, sample).len(), "only {failed} runs failed");
}

#[test]
fn a_disk_that_is_full_from_any_step_on_is_a_clear_error_and_harms_nothing() {
    let bench = prepared();
    fail_at_every_step(&bench, IMPORT, ENOSPC, 14);
    fs::remove_dir_all(bench.path().join("counted")).unwrap();
    fail_at_every_step(&bench, MAINTAIN, ENOSPC, 10);
}

#[test]
fn a_disk_that_breaks_or_becomes_read_only_is_a_clear_error_and_harms_nothing() {
    let bench = prepared();
    fail_at_every_step(&bench, IMPORT, EROFS, 6);
    fs::remove_dir_all(bench.path().join("counted")).unwrap();
    fail_at_every_step(&bench, IMPORT, EIO, 8);
}

#[test]
fn a_disk_that_is_really_full_is_a_clear_error_and_harms_nothing() {
    let bench = Bench::new();
    let disk = bench.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=600k", "keytrail-test"])
        .arg(&disk)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        say("SKIPPED a really full disk: mounting one needs root; the shim's ENOSPC was tried");
        return;
    }
    let _unmount = Unmount(&disk);
    bench.file("small.json", trail_file(2_000..2_020));
    bench.file("large.json", noise(2_000));
    bench.run(&["--store", "disk/store", "import", "small.json"]).exits(0);
    let import = ["--store", "disk/store", "import", "--page-events", "200", "large.json"];
    let run = bench.run(&import).exits(3);
    assert!(run.stderr.contains("the disk is full"), "{}", run.stderr);
    assert!(run.stderr.contains("disk/store/journal"), "{}", run.stderr);
    let store = disk.join("store");
    let events = check_whole(&store);
    assert!((20..2_020).contains(&events), "{events}");
    let status = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk).status();
    assert!(status.unwrap().success());
    bench.run(&import).exits(0);
    assert_eq!(check_whole(&store), 2_020);
}

/// A mounted disk that goes with the test.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

/// A trail file whose records do not compress well.
fn noise(count: u32) -> String {
    let mut state = 0x1234_5678_9abc_def1;
    let key = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let records: Vec<_> = (0..count)
        .map(|id| {
            let mut record = trail_record(id, "DisableKey", key);
            let words = (0..30).map(|_| format!("{:016x}", shuffled(&mut state)));
            record["userAgent"] = words.collect::<String>().into();
            record
        })
        .collect();
    serde_json::json!({ "Records": records }).to_string()
}

#[test]
fn processes_that_import_the_same_files_at_once_double_nothing() {
    let bench = Bench::new();
    for n in 0..6 {
        bench.file(&format!("logs/{n}.json"), trail_file(n * 20..n * 20 + 40));
    }
    let import = ["--store", "store", "import", "--format", "json", "--page-events", "30", "logs"];
    let children: Vec<_> = (0..3).map(|_| bench.command(&import).spawn().unwrap()).collect();
    let mut stored = 0;
    for child in children {
        let run = Run::from(child.wait_with_output().unwrap()).exits(0);
        let counts = run.json();
        assert_eq!(counts["records"], 240);
        stored += counts["events"].as_u64().unwrap();
    }
    assert_eq!(stored, 140, "each event is stored by one process");
    assert_eq!(check_whole(&bench.path().join("store")), 140);
}

#[test]
fn maintenance_beside_running_imports_loses_and_doubles_nothing() {
    let bench = Bench::new();
    for n in 0..8 {
        bench.file(&format!("logs/{n}.json"), trail_file(n * 40..n * 40 + 40));
    }
    bench.file("first.json", trail_file(0..10));
    bench.run(&["--store", "store", "import", "first.json"]).exits(0);
    let import = ["--store", "store", "import", "--page-events", "10", "logs"];
    let mut child = bench.command(&import).spawn().unwrap();
    let mut rounds = 0;
    while child.try_wait().unwrap().is_none() {
        // The default keeps what a running import may have open.
        let run = bench.run(&["--store", "store", "store", "maintain", "--today"]);
        assert!(run.code == Some(0) || run.stderr.contains("other processes"), "{}", run.stderr);
        rounds += 1;
    }
    Run::from(child.wait_with_output().unwrap()).exits(0);
    assert!(rounds > 0);
    assert_eq!(check_whole(&bench.path().join("store")), 320);
}

/// The record of a run, and what the judge says of it.
fn judged(bench: &Bench, store: &str, arguments: &[&str]) -> (Vec<Call>, Vec<String>) {
    Run::of(command(bench, store, arguments, Fate::Noted)).exits(0);
    let record = calls(bench, store);
    let wrong = judge(&bench.path().join(store), &record);
    (record, wrong)
}

#[test]
fn what_is_said_to_be_done_survives_a_power_loss() {
    let bench = prepared();
    for (store, arguments) in [
        ("new", &["import", "logs"][..]),
        ("base", IMPORT),
        ("base", MAINTAIN),
        ("base", &["report", "--pin", "audit", "--output", "report.html"]),
    ] {
        let (record, wrong) = judged(&bench, store, arguments);
        assert!(record.iter().any(|call| call.operation == "link"), "{:?}", tally(&record));
        assert!(wrong.is_empty(), "{arguments:?}:\n{}", wrong.join("\n"));
    }
    // Many commits, so that one of them writes a checkpoint on the way.
    bench.file("many.json", trail_file(200..420));
    let arguments = ["import", "--page-events", "2", "many.json"];
    let (record, wrong) = judged(&bench, "base", &arguments);
    let checkpoint = |call: &Call| call.other.to_string_lossy().ends_with("_last_checkpoint");
    assert!(record.iter().any(checkpoint), "no checkpoint was written");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_judge_of_power_loss_notices_each_kind_of_missing_sync() {
    let bench = prepared();
    let (record, wrong) = judged(&bench, "base", IMPORT);
    assert_eq!(wrong, Vec::<String>::new());
    let root = bench.path().join("base");
    let without = |gone: &dyn Fn(&Call) -> bool| {
        let doctored: Vec<Call> = record
            .iter()
            .filter(|call| !(call.operation == "fsync" && gone(call)))
            .cloned()
            .collect();
        assert!(doctored.len() < record.len(), "nothing was taken out");
        judge(&root, &doctored)
    };
    let log = root.join("journal/_delta_log");
    let is_data = |path: &Path| path.to_string_lossy().ends_with(".parquet");
    let data = without(&|call| is_data(&call.path));
    assert!(data.iter().any(|text| text.contains("before it is synced")), "{data:?}");
    let day = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("journal"));
    let folders = without(&|call| day(&call.path) && !call.path.ends_with("_delta_log"));
    assert!(folders.iter().any(|text| text.contains("whose folder is not synced")), "{folders:?}");
    let entry = without(&|call| call.path.starts_with(&log) && call.path != log);
    assert!(entry.iter().any(|text| text.contains("visible before")), "{entry:?}");
    let named = without(&|call| call.path == log);
    assert!(named.iter().any(|text| text.contains("said done before")), "{named:?}");
    // A sync that comes too late is as good as none.
    let mut late = record.clone();
    let at = late.iter().position(|call| call.operation == "fsync" && is_data(&call.path)).unwrap();
    let sync = late.remove(at);
    late.push(sync);
    assert!(!judge(&root, &late).is_empty());
}

#[test]
fn a_checkpoint_hint_that_is_torn_is_passed_over() {
    let bench = prepared();
    bench.run(&[&["--store", "base"], MAINTAIN].concat()).exits(0);
    let hint = bench.path().join("base/journal/_delta_log/_last_checkpoint");
    let whole = fs::read(&hint).unwrap();
    for torn in [&whole[..whole.len() / 2], b"", b"\0\0\0\0"] {
        fs::write(&hint, torn).unwrap();
        assert_eq!(check_whole(&bench.path().join("base")), 60);
        bench.run(&["--store", "base", "query", "SELECT count(*) FROM events"]).exits(0);
    }
    bench.run(&[&["--store", "base"], IMPORT].concat()).exits(0);
    assert_eq!(check_whole(&bench.path().join("base")), 120);
}
