//! PINs: read from a file that nobody else can read, kept in memory that is wiped, shown nowhere.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// The longest PIN that is taken.
const MOST_BYTES: u64 = 4096;

/// A PIN. Neither `Debug` nor an error shows it or its length.
#[derive(Clone)]
pub struct Pin(Zeroizing<Vec<u8>>);

/// Why a PIN cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file cannot be opened or read.
    #[error("cannot read the PIN from {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Others could have read or changed it.
    #[error("the PIN in {path} is not safe: {why}")]
    Unsafe {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is nothing in it, or too much.
    #[error("{path} holds no PIN: it is empty or longer than {MOST_BYTES} bytes")]
    Length {
        /// Which file.
        path: String,
    },
}

impl Pin {
    /// Takes over a PIN's bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a PIN from a regular file that only its owner, who must be the caller, may read. One
    /// line break at its end does not count.
    ///
    /// # Errors
    ///
    /// Where the file is a symbolic link, somebody else's, open to others, empty or too long.
    pub fn from_file(path: &Path) -> Result<Self, PinError> {
        let name = || path.display().to_string();
        let failed = |source| PinError::Read { path: name(), source };
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if let Some(why) = exposed(&metadata) {
            return Err(PinError::Unsafe { path: name(), why });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || u64::try_from(read).is_ok_and(|read| read > MOST_BYTES) {
            return Err(PinError::Length { path: name() });
        }
        Ok(Self::new(text.to_vec()))
    }

    /// The bytes, for the pipe to the worker.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

/// What lets others at a file.
fn exposed(metadata: &fs::Metadata) -> Option<&'static str> {
    if !metadata.is_file() {
        Some("it is no regular file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Some("it belongs to somebody else")
    } else if metadata.mode() & 0o077 != 0 {
        Some("others may read or write it; chmod 600")
    } else {
        None
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_pin_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        fs::write(&path, "123456\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Pin::from_file(&path), Err(PinError::Unsafe { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let pin = Pin::from_file(&path).unwrap();
        assert_eq!(pin.reveal(), b"123456");
        assert!(!format!("{pin:?}").contains("123456"));
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(Pin::from_file(&link), Err(PinError::Read { .. })));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(Pin::from_file(&path), Err(PinError::Length { .. })));
    }
}
