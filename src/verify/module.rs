//! The module's file, before it is loaded: whose it is, and which one.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::outside::hex;

/// Why a module is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It cannot be read.
    #[error("cannot read the module {path}")]
    Read {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could have changed it.
    #[error("the module {path} is not safe to load: {why}")]
    Unsafe {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A module's file.
#[derive(Debug)]
pub(super) struct ModuleFile {
    /// Where it really is.
    pub(super) path: PathBuf,
    /// SHA-256 of it.
    pub(super) sha256: String,
    /// Whether it is one that writes calls down, PINs among them.
    pub(super) spies: bool,
}

/// Looks at a module: an absolute path to a regular file of root's or ours that nobody else may
/// write.
pub(super) fn examine(path: &Path) -> Result<ModuleFile, ModuleError> {
    let name = path.display().to_string();
    let failed = |source| ModuleError::Read { path: name.clone(), source };
    let not_safe = |why| ModuleError::Unsafe { path: name.clone(), why };
    if !path.is_absolute() {
        return Err(not_safe("its path is not absolute"));
    }
    let real = path.canonicalize().map_err(failed)?;
    let file = File::open(&real).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let ours = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err(not_safe("it is no regular file"));
    }
    if metadata.uid() != 0 && metadata.uid() != ours {
        return Err(not_safe("it belongs to somebody else"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(not_safe("others may write it"));
    }
    let sha256 = digest(file).map_err(failed)?;
    let spies = real.file_name().is_some_and(|name| name.to_string_lossy().contains("spy"));
    Ok(ModuleFile { path: real, sha256, spies })
}

fn digest(mut file: File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes @ [_, ..]) = buffer.get(..read) else { break };
        context.update(bytes);
    }
    Ok(hex(context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_module_that_others_may_write_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libtoken.so");
        fs::write(&path, "abc").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(examine(&path), Err(ModuleError::Unsafe { .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let file = examine(&path).unwrap();
        assert!(file.sha256.starts_with("ba7816bf") && !file.spies);
        assert!(matches!(examine(Path::new("libtoken.so")), Err(ModuleError::Unsafe { .. })));
    }
}
