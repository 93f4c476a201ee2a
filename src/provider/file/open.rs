//! Finding and opening files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file; `named` where it was given itself, not found in a folder.
    File {
        /// Where it is.
        path: PathBuf,
        /// Whether it was given itself.
        named: bool,
    },
}

impl Input {
    /// The name shown to people and kept as `source`.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Whether the user named it: an unrecognised one is an error then.
    pub fn is_named(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::File { named, .. } => *named,
        }
    }

    /// Whether it is, or lies below, `path`.
    pub fn is_below(&self, path: &Path) -> bool {
        match self {
            Self::Stdin => false,
            Self::File { path: file, .. } => file.starts_with(path),
        }
    }

    /// Size in bytes as it lies on disk; `None` for standard input.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File { path, .. } => fs::metadata(path).ok().map(|meta| meta.len()),
        }
    }
}

/// A path that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct FileError {
    /// Which.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Lists the files behind `paths` (`-` is standard input), folders to any depth, each once and
/// sorted by path within its folder. Links inside folders are not followed, so that a loop cannot
/// trap the walk.
///
/// # Errors
/// When a path does not exist or a folder cannot be listed.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Input>, FileError> {
    let mut inputs = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
            continue;
        }
        let meta = fs::metadata(path).map_err(|source| failed(path, source))?;
        if meta.is_dir() {
            let mut files = Vec::new();
            walk(path, &mut files)?;
            files.sort();
            inputs.extend(
                files
                    .into_iter()
                    .filter(|file| seen.insert(file.clone()))
                    .map(|path| Input::File { path, named: false }),
            );
        } else if seen.insert(path.clone()) {
            inputs.push(Input::File { path: path.clone(), named: true });
        }
    }
    Ok(inputs)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let entry = entry.map_err(|source| failed(folder, source))?;
        let kind = entry.file_type().map_err(|source| failed(&entry.path(), source))?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> FileError {
    FileError { path: path.display().to_string(), source }
}

/// Opens an input, unpacking gzip (told by its first two bytes, any number of members). At most
/// `limit` unpacked bytes can be read; the next read fails. `count` hears how many bytes were taken
/// from the disk.
///
/// # Errors
/// When it cannot be opened.
pub fn open(
    input: &Input,
    limit: u64,
    count: impl FnMut(u64) + 'static,
) -> Result<Box<dyn BufRead>, FileError> {
    let raw: Box<dyn Read> = match input {
        Input::Stdin => Box::new(io::stdin()),
        Input::File { path, .. } => {
            Box::new(File::open(path).map_err(|source| failed(path, source))?)
        }
    };
    unpack(Heard { inner: raw, count }, limit)
        .map_err(|source| FileError { path: input.name(), source })
}

/// Unpacks bytes if they are gzip, as [`open`] does.
///
/// # Errors
/// When they cannot be read at all.
pub fn unpack<'a>(raw: impl Read + 'a, limit: u64) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut reader = BufReader::with_capacity(256 << 10, raw);
    let head = reader.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let unpacked = Capped { inner: MultiGzDecoder::new(reader), left: limit };
        Ok(Box::new(BufReader::with_capacity(256 << 10, unpacked)))
    } else {
        Ok(Box::new(BufReader::with_capacity(256 << 10, Capped { inner: reader, left: limit })))
    }
}

/// A reader that tells how much is taken from it.
struct Heard<R, F> {
    inner: R,
    count: F,
}

impl<R: Read, F: FnMut(u64)> Read for Heard<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.count)(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// A reader that fails, rather than ends, at its limit: a cut file must not look complete.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(u64::try_from(count).unwrap_or(u64::MAX))
            .ok_or_else(|| io::Error::other("the file is larger than the limit for one file"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> io::Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        open(&Input::File { path, named: true }, limit, |_| {})
            .unwrap()
            .read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn several_gzip_members_are_read_as_one_file() {
        let both = [packed("one "), packed("two")].concat();
        assert_eq!(read(&both, 100).unwrap(), "one two");
        assert_eq!(read(b"plain", 100).unwrap(), "plain");
    }

    #[test]
    fn a_cut_gzip_file_and_one_beyond_the_limit_are_errors_not_ends() {
        let whole = packed(&"x".repeat(1000));
        assert!(read(&whole[..whole.len() - 9], 2000).is_err());
        assert!(read(&whole, 999).is_err());
        assert!(read(&whole, 1000).is_ok());
    }

    #[test]
    fn folders_are_listed_in_order_and_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("b");
        fs::create_dir(&inner).unwrap();
        for name in ["b/2.json", "a.json", "c.json"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = find(&[folder.path().to_owned(), folder.path().join("a.json")]).unwrap();
        let names: Vec<_> =
            found.iter().map(|i| i.name().rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.json", "2.json", "c.json"]);
        assert!(find(&[folder.path().join("absent")]).is_err());
    }
}
