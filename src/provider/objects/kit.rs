//! For tests: a bucket in memory some of whose objects cannot be read, and a run of a source.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, CopyOptions, Error, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use serde_json::Value;

use super::super::bucket::{Bucket, Rights};
use super::super::source::{Batch, History, Item, Source as _, SourceError, Window};
use super::{Layout, ObjectSource, Plan, Reach};

/// A bucket in memory.
#[derive(Debug, Default)]
pub(in crate::provider) struct Shelf {
    inner: InMemory,
    /// Keys that are listed and cannot be got: no longer there, or refused.
    pub(in crate::provider) gone: Mutex<BTreeSet<String>>,
    pub(in crate::provider) denied: Mutex<BTreeSet<String>>,
    pub(in crate::provider) got: Mutex<Vec<String>>,
}

impl Shelf {
    pub(in crate::provider) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(in crate::provider) async fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.put_with(key, content, &[]).await;
    }

    pub(in crate::provider) async fn put_with(
        &self,
        key: &str,
        content: impl Into<Bytes>,
        metadata: &[(&'static str, &'static str)],
    ) {
        let metadata = metadata.iter().map(|(name, value)| {
            (Attribute::Metadata((*name).into()), AttributeValue::from(*value))
        });
        let options = PutOptions { attributes: metadata.collect(), ..Default::default() };
        let path = Path::parse(key).unwrap();
        self.inner.put_opts(&path, content.into().into(), options).await.unwrap();
    }

    pub(in crate::provider) async fn delete_key(&self, key: &str) {
        self.inner.delete(&Path::parse(key).unwrap()).await.unwrap();
    }

    pub(in crate::provider) fn source(
        self: &Arc<Self>,
        address: &str,
        layout: impl Layout + 'static,
    ) -> ObjectSource {
        let store: Arc<dyn ObjectStore> = Arc::<Self>::clone(self);
        ObjectSource::new(Plan {
            name: "test".to_owned(),
            bucket: Bucket::new(store, address, &Rights::S3),
            layout: Box::new(layout),
            reach: Reach { first: 90, again: 3 },
            counts: Arc::default(),
        })
    }
}

impl std::fmt::Display for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn put_opts(&self, to: &Path, load: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(to, load, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let key = path.to_string();
        self.got.lock().unwrap().push(key.clone());
        if self.gone.lock().unwrap().contains(&key) {
            return Err(Error::NotFound { path: key, source: "404".into() });
        }
        if self.denied.lock().unwrap().contains(&key) {
            return Err(Error::PermissionDenied { path: key, source: "AccessDenied".into() });
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        of: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(of)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What a run of a source gave.
#[derive(Debug, Default)]
pub(in crate::provider) struct Run {
    pub(in crate::provider) batches: Vec<Batch>,
    pub(in crate::provider) error: Option<SourceError>,
}

impl Run {
    /// Address and content of each object.
    pub(in crate::provider) fn objects(&self) -> Vec<(&str, &[u8])> {
        let items = self.batches.iter().flat_map(|batch| &batch.items);
        items
            .filter_map(|item| match item {
                Item::Object { address, content, .. } => Some((address.as_str(), &content[..])),
                _ => None,
            })
            .collect()
    }

    pub(in crate::provider) fn addresses(&self) -> Vec<&str> {
        self.objects().into_iter().map(|(address, _)| address).collect()
    }

    pub(in crate::provider) fn proofs(&self) -> Vec<(&str, &str, Value)> {
        let items = self.batches.iter().flat_map(|batch| &batch.items);
        items
            .filter_map(|item| match item {
                Item::Proof { address, kind, raw } => {
                    Some((address.as_str(), kind.as_str(), serde_json::from_str(raw).unwrap()))
                }
                _ => None,
            })
            .collect()
    }

    pub(in crate::provider) fn notes(&self) -> String {
        let notes = self.batches.iter().flat_map(|batch| &batch.notes);
        notes.map(|note| note.message.clone()).collect::<Vec<_>>().join("\n")
    }
}

/// Runs a source up to `now`, at most `batches` batches, and adds their cursors to `history`, as the
/// store would.
pub(in crate::provider) async fn run_some(
    source: &mut ObjectSource,
    history: &mut History,
    window: (Option<&str>, &str),
    batches: usize,
) -> Run {
    let now = window.1.parse().unwrap();
    let since = window.0.map(|since| since.parse().unwrap());
    source.start(history, Window { since, until: now, now });
    let mut run = Run::default();
    while run.batches.len() < batches {
        match source.next().await {
            Ok(Some(batch)) => {
                assert!(batch.coverage.is_empty());
                history.cursors.extend(batch.cursor.clone());
                run.batches.push(batch);
            }
            Ok(None) => break,
            Err(error) => {
                run.error = Some(error);
                break;
            }
        }
    }
    run
}

/// Runs a source to its end.
pub(in crate::provider) async fn run(
    source: &mut ObjectSource,
    history: &mut History,
    window: (Option<&str>, &str),
) -> Run {
    run_some(source, history, window, usize::MAX).await
}
