//! `demo`: the shipped example, from recorded logs to a report.
//!
//! The files are in the binary; they are unpacked beside the store, so that a user can look at
//! them and run the same commands himself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use jiff::Timestamp;

use super::check::Check;
use super::import::{Import, Imported, Scope, import};
use crate::finding::{Coverage, Period};
use crate::provider::file::Origin;
use crate::store::{Page, Receipt, Store, StoreError};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fixtures/demo");

/// The end of the recorded logs, and of the period judged.
const AS_OF: &str = "2026-10-01T00:00:00Z";
/// The beginning of the period judged.
const FROM: &str = "2025-10-01T00:00:00Z";
/// When the inventory was captured.
const CAPTURED_AT: &str = "2026-09-30T06:00:00Z";

/// What of the fixtures is unpacked: logs, inventory and declarations, not what made them.
const PARTS: &[&str] = &[
    "aws",
    "gcp",
    "azure",
    "README.md",
    "people.csv",
    "approvals.csv",
    "waivers.toml",
    "declared.csv",
    "keytrail.toml",
];

/// Inventory that names no account: folder, account, region.
const INVENTORY: &[(&str, Option<&str>, Option<&str>)] = &[
    ("aws/inventory/111122223333/eu-central-1", Some("111122223333"), Some("eu-central-1")),
    ("aws/inventory/111122223333/eu-west-1", Some("111122223333"), Some("eu-west-1")),
    ("aws/inventory/444455556666/us-east-1", Some("444455556666"), Some("us-east-1")),
    ("gcp/inventory", Some("example-prod"), None),
    ("azure/inventory", Some("12345678-aaaa-bbbb-cccc-1234567890ab"), None),
];

/// A demo that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The files could not be unpacked.
    #[error("cannot write {path}")]
    Unpack {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The import failed.
    #[error("the example could not be imported")]
    Import(#[from] super::import::ImportError),
    /// The store failed.
    #[error("the example's store could not be written")]
    Store(#[from] StoreError),
    /// The shipped declaration cannot be read: a bug.
    #[error("the shipped file declared.csv is broken at line {0}; this is a bug, please report it")]
    Declared(usize),
}

/// Unpacks the example's files below `folder`.
///
/// # Errors
/// When they cannot be written.
pub fn unpack(folder: &Path) -> Result<(), DemoError> {
    for part in PARTS {
        match FILES.get_entry(part) {
            Some(include_dir::DirEntry::Dir(dir)) => unpack_dir(dir, folder)?,
            Some(include_dir::DirEntry::File(file)) => write(folder, file)?,
            None => {}
        }
    }
    Ok(())
}

fn unpack_dir(dir: &Dir<'_>, folder: &Path) -> Result<(), DemoError> {
    for file in dir.files() {
        write(folder, file)?;
    }
    dir.dirs().try_for_each(|inner| unpack_dir(inner, folder))
}

fn write(folder: &Path, file: &include_dir::File<'_>) -> Result<(), DemoError> {
    let path = folder.join(file.path());
    let failed = |source| DemoError::Unpack { path: path.display().to_string(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&path, file.contents()).map_err(failed)
}

/// Imports the unpacked files, with the stretches that their operator vouches for.
///
/// # Errors
/// When the store cannot be written.
pub async fn fill(store: &mut Store, folder: &Path) -> Result<Imported, DemoError> {
    let now = time(AS_OF);
    let logs: Vec<PathBuf> =
        ["aws", "gcp", "azure"].iter().map(|cloud| folder.join(cloud)).collect();
    let mut total = Imported::default();
    for job in jobs(folder, logs) {
        let done = import(store, &job, now, &mut |_| true).await?;
        total.add(done);
    }
    let page = Page { receipts: declared()?, ..Page::default() };
    store.append(page, now).await?;
    Ok(total)
}

/// The imports: inventory folder by folder with what it does not say itself, then all logs.
fn jobs(folder: &Path, logs: Vec<PathBuf>) -> Vec<Import> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let inventory = INVENTORY.iter().map(|(path, account, region)| Import {
        paths: vec![folder.join(path)],
        origin: Origin { account: owned(*account), region: owned(*region), stream: None },
        captured_at: Some(time(CAPTURED_AT)),
        ..Import::default()
    });
    let logs = Import {
        paths: logs,
        skip: INVENTORY.iter().map(|(path, ..)| folder.join(path)).collect(),
        ..Import::default()
    };
    inventory.chain([logs]).collect()
}

fn declared() -> Result<Vec<Receipt>, DemoError> {
    let text = FILES.get_file("declared.csv").and_then(|file| file.contents_utf8()).unwrap_or("");
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    lines.map(|(number, line)| declared_line(line).ok_or(DemoError::Declared(number + 1))).collect()
}

fn declared_line(line: &str) -> Option<Receipt> {
    let mut fields = line.split(',');
    let (ledger, region, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let period = Period { from: fields.next()?.parse().ok()?, to: fields.next()?.parse().ok()? };
    let scope: Scope =
        format!("{ledger}:{}:{kind}", if region == "-" { "*" } else { region }).parse().ok()?;
    Some(Receipt::Coverage(Coverage {
        ledger: scope.ledger,
        region: scope.region,
        kind: scope.kind,
        period,
        method: "declared".to_owned(),
        status: "covered".to_owned(),
        detail: Some("vouched for in declared.csv".to_owned()),
    }))
}

/// The check that the example is judged by.
pub fn question(folder: &Path) -> Check {
    Check {
        as_of: Some(time(AS_OF)),
        period: Some(Period { from: time(FROM), to: time(AS_OF) }),
        people: Some(folder.join("people.csv")),
        approvals: Some(folder.join("approvals.csv")),
        waivers: Some(folder.join("waivers.toml")),
        ..Check::default()
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_declarations_can_all_be_read() {
        assert!(declared().unwrap().len() > 10);
        assert_ne!(time(AS_OF), Timestamp::default());
    }
}
