//! The local disk below Delta Lake: what is put into a table's log is durable before it is visible.
//!
//! The library's own store renames and links without a sync, so that after a power loss the log
//! could name an entry whose bytes are gone, and the table could not be read. Here an entry is
//! written aside, synced, linked under its name, and the folder synced, all before the writer hears
//! that it committed: whoever sees an entry sees one that lasts. Data files pass through; who
//! writes them syncs them before the entry that names them. Errors name the path.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::Path;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

/// The disk refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub(super) struct DiskError {
    /// What was tried.
    pub(super) action: &'static str,
    /// Where.
    pub(super) path: PathBuf,
    /// Why.
    #[source]
    pub(super) source: io::Error,
}

/// The local file system, with durable logs.
#[derive(Debug, Default)]
pub(super) struct Disk {
    inner: LocalFileSystem,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let create = options.mode == PutMode::Create;
        if !is_log(&path) || !(create || options.mode == PutMode::Overwrite) {
            let done = self.inner.put_opts(location, payload, options).await;
            return done.map_err(|error| named("write", path, error));
        }
        let task = tokio::task::spawn_blocking(move || put(&path, &payload, create));
        match task.await {
            Ok(Ok(())) => Ok(PutResult { e_tag: None, version: None }),
            Ok(Err(error)) if create && error.source.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: Box::new(error) })
            }
            Ok(Err(error)) => Err(generic(error)),
            Err(error) => Err(Error::Generic { store: "disk", source: Box::new(error) }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        match self.inner.put_multipart_opts(location, options).await {
            Ok(inner) => Ok(Box::new(Upload { inner, path })),
            Err(error) => Err(named("create", path, error)),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// A file that is written in parts; one of a log is synced when it is complete.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, path) = (self.inner.put_part(data), self.path.clone());
        Box::pin(async move { part.await.map_err(|error| named("write", path, error)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let path = || self.path.clone();
        let done = self.inner.complete().await.map_err(|error| named("write", path(), error))?;
        if is_log(&self.path) {
            sync(&self.path).and_then(|()| sync_folder_of(&self.path)).map_err(generic)?;
        }
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Whether a path lies in the log of a table.
fn is_log(path: &FilePath) -> bool {
    path.components().any(|part| part.as_os_str() == "_delta_log")
}

/// Writes a file so that it appears whole and lasting, or not at all.
///
/// # Errors
/// With [`ErrorKind::AlreadyExists`] where `create` is asked for and the file is there.
pub(super) fn put(
    path: &FilePath,
    payload: &PutPayload,
    create: bool,
) -> std::result::Result<(), DiskError> {
    let (staging, file) = stage(path)?;
    let done = fill(file, payload, &staging).and_then(|()| {
        let made = if create { fs::hard_link(&staging, path) } else { fs::rename(&staging, path) };
        made.map_err(failed("write", path))
    });
    // The link is the file; where something failed, what was written aside is of no use.
    if create || done.is_err() {
        drop(fs::remove_file(&staging));
    }
    done.and_then(|()| sync_folder_of(path))
}

/// Opens a file beside `path` under a name that listings of the store leave out.
fn stage(path: &FilePath) -> std::result::Result<(PathBuf, File), DiskError> {
    let mut number = 1u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{number}"));
        let staging = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((staging, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == ErrorKind::NotFound && number == 1 => {
                number += 1;
                make_folder(path.parent().unwrap_or(path))?;
            }
            Err(error) => return Err(failed("create", path)(error)),
        }
    }
}

fn fill(
    mut file: File,
    payload: &PutPayload,
    staging: &FilePath,
) -> std::result::Result<(), DiskError> {
    let written = payload.iter().try_for_each(|bytes| file.write_all(bytes));
    written.and_then(|()| file.sync_all()).map_err(failed("write", staging))
}

/// Creates a folder and those above it that are missing, each named durably by the one above.
pub(super) fn make_folder(folder: &FilePath) -> std::result::Result<(), DiskError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("create the folder", folder)(error))
        }
        Ok(()) | Err(_) => sync_folder_of(folder),
    }
}

/// Syncs a file or a folder.
pub(super) fn sync(path: &FilePath) -> std::result::Result<(), DiskError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

/// Syncs the folder that names a file.
pub(super) fn sync_folder_of(path: &FilePath) -> std::result::Result<(), DiskError> {
    path.parent().map_or(Ok(()), sync)
}

/// Names what was tried and where.
pub(super) fn failed(action: &'static str, path: &FilePath) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { action, path, source }
}

fn generic(error: DiskError) -> Error {
    Error::Generic { store: "disk", source: Box::new(error) }
}

/// Adds the path to an error in which the system speaks; others stay as they are.
fn named(action: &'static str, path: PathBuf, error: Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        let code = found.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if let (Some(code), false) = (code, matches!(error, Error::AlreadyExists { .. })) {
            return generic(DiskError { action, path, source: io::Error::from_raw_os_error(code) });
        }
        cause = found.source();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_once_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("_delta_log/0.json");
        put(&path, &PutPayload::from_static(b"first"), true).unwrap();
        let again = put(&path, &PutPayload::from_static(b"second"), true).unwrap_err();
        assert_eq!(again.source.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        put(&path, &PutPayload::from_static(b"third"), false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_aside_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("_delta_log/0.json");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(path.with_file_name("0.json#1"), b"to").unwrap();
        put(&path, &PutPayload::from_static(b"whole"), true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
