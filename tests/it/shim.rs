//! Runs the binary with a library before it that notes every call that changes the store's files,
//! and can end the process or fail at any of them. Needs the C compiler that Rust links with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::harness::Bench;

/// What happens at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// Nothing: the run is noted only.
    Noted,
    /// The process is killed before the step; a write is half done.
    Killed(usize),
    /// The step and all later ones fail with this error number.
    Failing(usize, i32),
}

/// "No space left on device".
pub(crate) const ENOSPC: i32 = 28;
/// "Read-only file system".
pub(crate) const EROFS: i32 = 30;
/// "Input/output error".
pub(crate) const EIO: i32 = 5;

/// One call, as noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) path: PathBuf,
    pub(crate) other: PathBuf,
}

/// The library, compiled once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shim.c");
        let built = folder.join(format!("shim-{}.so", std::process::id()));
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&built)
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("a C compiler, which Rust needs as well");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    })
}

/// A command below the library, about the store in `store`; its calls are noted in `<store>.calls`.
pub(crate) fn command(bench: &Bench, store: &str, arguments: &[&str], fate: Fate) -> Command {
    let root = bench.path().join(store);
    let notes = notes(bench, store);
    drop(fs::remove_file(&notes));
    let mut command = bench.command(&[&["--store", store], arguments].concat());
    command.env("LD_PRELOAD", library()).env("SHIM_ROOT", root).env("SHIM_LOG", notes);
    match fate {
        Fate::Noted => &mut command,
        Fate::Killed(step) => command.env("SHIM_KILL", step.to_string()),
        Fate::Failing(step, error) => {
            command.env("SHIM_FAIL", step.to_string()).env("SHIM_ERRNO", error.to_string())
        }
    };
    command
}

fn notes(bench: &Bench, store: &str) -> PathBuf {
    bench.path().join(format!("{store}.calls"))
}

/// The calls noted by the last command about a store.
pub(crate) fn calls(bench: &Bench, store: &str) -> Vec<Call> {
    let text = fs::read_to_string(notes(bench, store)).unwrap();
    text.lines()
        .map(|line| {
            let mut parts = line.split('\t').map(str::to_owned);
            let mut part = || parts.next().unwrap();
            Call { operation: part(), path: part().into(), other: part().into() }
        })
        .collect()
}

/// How many of them count as steps.
pub(crate) fn steps(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.operation != "ack").count()
}

/// Judges a record of calls by the rules of durability, and says what is wrong:
///
/// - a log entry is synced before it is linked under its name;
/// - a data file that it names is synced after its last write, and so is its folder and every
///   folder that was made above it, before the entry is linked;
/// - the folder of an entry is synced before anything is printed.
pub(crate) fn judge(root: &Path, calls: &[Call]) -> Vec<String> {
    let mut judge = Judge { root: root.to_owned(), ..Judge::default() };
    for call in calls {
        judge.see(call);
    }
    judge.wrong
}

#[derive(Default)]
struct Judge {
    root: PathBuf,
    /// Files with content that is not synced.
    dirty: BTreeSet<PathBuf>,
    /// Names that their folder does not hold durably yet.
    unnamed: BTreeSet<PathBuf>,
    wrong: Vec<String>,
}

impl Judge {
    fn see(&mut self, call: &Call) {
        let Call { operation, path, other } = call;
        match operation.as_str() {
            "create" | "mkdir" if operation == "mkdir" || !path.ends_with("lock") => {
                self.unnamed.insert(path.clone());
            }
            "write" => {
                self.dirty.insert(path.clone());
            }
            "fsync" => {
                self.dirty.remove(path);
                self.unnamed.retain(|name| name.parent() != Some(path));
            }
            "link" | "rename" => self.named(operation, path, other),
            "unlink" => {
                self.dirty.remove(path);
                self.unnamed.remove(path);
            }
            "ack" => {
                let open = self.unnamed.union(&self.dirty).filter(|path| is_lasting(path));
                let open: Vec<String> = open.map(|path| path.display().to_string()).collect();
                self.wrong.extend(open.iter().map(|path| format!("said done before {path} lasts")));
            }
            _ => {}
        }
    }

    fn named(&mut self, operation: &str, from: &Path, to: &Path) {
        let dirty = self.dirty.contains(from);
        if operation == "rename" {
            self.unnamed.remove(from);
            if self.dirty.remove(from) {
                self.dirty.insert(to.to_owned());
            }
        }
        if dirty && is_lasting(to) {
            self.wrong.push(format!("{} is visible before it is synced", to.display()));
        }
        self.unnamed.insert(to.to_owned());
        if is_entry(to) {
            for file in files_of(to) {
                self.check(to, &file);
            }
        }
    }

    /// Checks a file that an entry names, and the folders above it.
    fn check(&mut self, entry: &Path, file: &Path) {
        let entry = entry.file_name().unwrap().to_string_lossy().into_owned();
        if self.dirty.contains(file) {
            self.wrong.push(format!("{entry} names {} before it is synced", file.display()));
        }
        let inside = file.ancestors().take_while(|path| path.starts_with(&self.root));
        for path in inside.filter(|path| self.unnamed.contains(*path)) {
            let text = format!("{entry} needs {}, whose folder is not synced", path.display());
            self.wrong.push(text);
        }
    }
}

/// Whether a file must last once it is visible: a part of a log or a pin.
fn is_lasting(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kept =
        path.components().any(|part| ["_delta_log", "pins"].iter().any(|p| part.as_os_str() == *p));
    kept && !name.contains('#') && name != "lock"
}

fn is_entry(path: &Path) -> bool {
    is_lasting(path)
        && path.parent().is_some_and(|folder| folder.ends_with("_delta_log"))
        && path.extension().is_some_and(|extension| extension == "json")
}

/// The data files that a log entry adds.
fn files_of(entry: &Path) -> Vec<PathBuf> {
    let table = entry.parent().unwrap().parent().unwrap();
    let text = fs::read_to_string(entry).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|action| Some(table.join(action["add"]["path"].as_str()?)))
        .collect()
}

/// How often each operation occurs, for a message.
pub(crate) fn tally(calls: &[Call]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.operation.as_str()).or_default() += 1;
    }
    counts
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
