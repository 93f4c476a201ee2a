//! Removing the files that no version needs: those that a compaction replaced, once they are old
//! enough, and those that killed writers left.
//!
//! What stays is decided by the files of the newest version, of every pinned version, and by the
//! log: a file that an entry added and none removed, or that was removed lately, stays. Files are
//! listed before the newest version is read, so that one that is committed meanwhile is either in
//! that version or too young.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::Value;

use super::{Maintenance, Tended};
use crate::store::disk::failed as disk_failed;
use crate::store::pin::Pin;
use crate::store::status::files;
use crate::store::table::{self, failed};
use crate::store::{Location, Store, StoreError};

/// A file below a table's folder.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    /// Its path below the folder, as the log has it.
    name: String,
    bytes: u64,
    modified: Timestamp,
}

/// What the log says about files, as far back as matters.
#[derive(Debug, Default)]
struct Logged {
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
    removed_lately: BTreeSet<String>,
}

impl Store {
    /// Removes files that no version needs and adds to `tended` how many; nothing in a dry run.
    pub(super) async fn sweep(
        &mut self,
        job: &Maintenance,
        now: Timestamp,
        tended: &mut [Tended],
    ) -> Result<(), StoreError> {
        let location = self.location.clone();
        // While this is held, nobody pins a version.
        let lock = if job.dry_run { None } else { Some(location.lock_pins()?) };
        let pins = self.pins()?;
        for (table, (name, delta)) in tended.iter_mut().zip(self.each()) {
            let folder = location.table_folder(name);
            let found = list(&folder)?;
            delta.update_state().await.map_err(failed("read", name))?;
            let mut needed: BTreeSet<String> = files(delta, name)?;
            needed.extend(pinned(&location, name, &pins).await?);
            let logged = read_log(&folder, (job, now))?;
            for file in &found {
                if needed.contains(&file.name) || !logged.releases(file, (job, now)) {
                    continue;
                }
                table.removed_files += 1;
                table.removed_bytes += file.bytes;
                if !job.dry_run {
                    remove(&file.path)?;
                }
            }
        }
        drop(lock);
        Ok(())
    }
}

impl Logged {
    /// Whether a file that no kept version names may go.
    fn releases(&self, file: &Found, (job, now): (&Maintenance, Timestamp)) -> bool {
        if self.removed_lately.contains(&file.name) {
            return false;
        }
        if self.removed.contains(&file.name) {
            return true;
        }
        !self.added.contains(&file.name) && now.duration_since(file.modified) >= job.orphans
    }
}

/// The files of every pinned version of a table. A pin that cannot be followed stops the sweep.
async fn pinned(
    location: &Location,
    name: &str,
    pins: &[Pin],
) -> Result<BTreeSet<String>, StoreError> {
    let versions: BTreeSet<i64> =
        pins.iter().filter_map(|pin| pin.versions.get(name).copied()).collect();
    let mut needed = BTreeSet::new();
    for version in versions {
        needed.extend(files(&table::open(location, name, Some(version)).await?, name)?);
    }
    Ok(needed)
}

/// The data files below a folder, and what was written aside and never named.
fn list(folder: &Path) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries = fs::read_dir(&current).map_err(disk_failed("list", &current))?;
        for entry in entries {
            let path = entry.map_err(disk_failed("list", &current))?.path();
            // What is gone since is nobody's concern.
            let Ok(data) = fs::symlink_metadata(&path) else { continue };
            if data.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(folder).ok().and_then(Path::to_str);
            let Some(name) = relative.filter(|name| is_ours(name)) else { continue };
            let modified = data.modified().ok().and_then(|time| time.try_into().ok());
            if let (true, Some(modified)) = (data.is_file(), modified) {
                let name = name.to_owned();
                found.push(Found { path, name, bytes: data.len(), modified });
            }
        }
    }
    Ok(found)
}

/// Whether a file is one that the store writes and may remove: data, never the log.
fn is_ours(name: &str) -> bool {
    let aside = name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    aside || (name.ends_with(".parquet") && !name.starts_with("_delta_log"))
}

/// Reads the log entries that are young enough to matter.
fn read_log(folder: &Path, (job, now): (&Maintenance, Timestamp)) -> Result<Logged, StoreError> {
    let log = folder.join("_delta_log");
    let mut logged = Logged::default();
    let reach = job.keep.max(job.orphans);
    for entry in fs::read_dir(&log).map_err(disk_failed("list", &log))? {
        let path = entry.map_err(disk_failed("list", &log))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let age = age(&path, now);
        if age.is_some_and(|age| age > reach) {
            continue;
        }
        let lately = age.is_none_or(|age| age < job.keep);
        let text = fs::read_to_string(&path).map_err(disk_failed("read", &path))?;
        for line in text.lines() {
            let Ok(action) = serde_json::from_str::<Value>(line) else { continue };
            let named = |kind: &str| Some(action.get(kind)?.get("path")?.as_str()?.to_owned());
            logged.added.extend(named("add"));
            if let Some(name) = named("remove") {
                if lately {
                    logged.removed_lately.insert(name.clone());
                }
                logged.removed.insert(name);
            }
        }
    }
    Ok(logged)
}

fn age(path: &Path, now: Timestamp) -> Option<jiff::SignedDuration> {
    let modified: SystemTime = fs::metadata(path).ok()?.modified().ok()?;
    Some(now.duration_since(Timestamp::try_from(modified).ok()?))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(disk_failed("remove", path)(error).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn only_data_and_what_was_written_aside_is_ever_removed() {
        assert!(is_ours("event_day=2026-01-01/part-0.zstd.parquet"));
        assert!(is_ours("event_day=2026-01-01/part-0.zstd.parquet#1"));
        assert!(is_ours("_delta_log/00000000000000000007.json#12"));
        assert!(!is_ours("_delta_log/00000000000000000007.json"));
        assert!(!is_ours("_delta_log/00000000000000000007.checkpoint.parquet"));
        assert!(!is_ours("_delta_log/_last_checkpoint"));
        assert!(!is_ours("notes.txt") && !is_ours("notes#"));
    }

    #[test]
    fn a_file_goes_when_its_removal_is_old_or_when_it_is_old_and_no_entry_names_it() {
        let now: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        let job = Maintenance::default();
        let file = |name: &str, hours: i64| Found {
            path: PathBuf::new(),
            name: name.to_owned(),
            bytes: 1,
            modified: now - SignedDuration::from_hours(hours),
        };
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let logged = Logged {
            added: set(&["late", "old", "new"]),
            removed: set(&["late", "old"]),
            removed_lately: set(&["late"]),
        };
        let goes = |name, hours| logged.releases(&file(name, hours), (&job, now));
        assert!(!goes("late", 900) && goes("old", 900));
        assert!(!goes("new", 900), "an entry that this sweep has not read as a version names it");
        assert!(goes("orphan", 25) && !goes("orphan", 23));
    }
}
