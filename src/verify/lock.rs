//! One run at a time on a token, and one start at a time of a module: modules that keep their
//! tokens in files miss them when another process starts beside them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::outside::{hex, sha256};

/// How often a lock that is held is tried.
const STEP: Duration = Duration::from_millis(50);

/// A lock that is held until it is dropped, also by a process that dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why a lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be made.
    #[error("cannot make a lock file in {folder}")]
    File {
        /// Where.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// Another run holds it.
    #[error("another run uses {what}; it was waited for {seconds} s")]
    Held {
        /// The module or the token.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl Lock {
    /// Takes the lock of `what`, waiting so long for another run.
    pub(super) fn take(folder: &Path, what: &str, seconds: u64) -> Result<Self, LockError> {
        let failed = |source| LockError::File { folder: folder.display().to_string(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let digest = hex(&sha256(what.as_bytes()));
        let name = format!("pkcs11-{}.lock", digest.get(..32).unwrap_or_default());
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(folder.join(name)).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if begun.elapsed().as_secs() >= seconds => {
                    return Err(LockError::Held { what: what.to_owned(), seconds });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(STEP),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_use_is_waited_for_and_then_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = Lock::take(folder.path(), "token 1", 0).unwrap();
        assert!(matches!(Lock::take(folder.path(), "token 1", 0), Err(LockError::Held { .. })));
        assert!(Lock::take(folder.path(), "token 2", 0).is_ok());
        drop(held);
        assert!(Lock::take(folder.path(), "token 1", 0).is_ok());
    }
}
