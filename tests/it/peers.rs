//! The programs that keytrail is compared with, as `scripts/peers.sh` installs them.

use std::path::{Path, PathBuf};

use super::harness::say;

/// The browser.
pub(crate) fn chromium() -> Option<PathBuf> {
    peer("chromium")
}

/// A Python with DuckDB and another reader of Delta tables.
pub(crate) fn python() -> Option<PathBuf> {
    peer("python3")
}

/// A Python with moto, ministack, awscli and clients of the clouds' stores.
pub(crate) fn servers() -> Option<PathBuf> {
    peer("servers")
}

/// The server that stands for Azure's Blob Storage.
pub(crate) fn azurite() -> Option<PathBuf> {
    peer("azurite")
}

/// The server that stands for Google's Cloud Storage.
pub(crate) fn fake_gcs() -> Option<PathBuf> {
    peer("fake-gcs-server")
}

fn peer(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".peers").join(name);
    if path.exists() {
        return Some(path);
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test} needs {name}: run `make peers`"
    );
    say(&format!("SKIPPED {test}: needs {name}, run `make peers`"));
    None
}
