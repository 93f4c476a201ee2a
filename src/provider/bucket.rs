//! Buckets of the three clouds, opened for reading: listed as a stream, their objects got whole or in
//! part, within bounds.
//!
//! Requests are counted, tried again a bounded number of times, and never written to the bucket.
//! What a provider refuses is told with the permission that is missing.

mod access;
mod fault;
mod meter;
mod open;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::source::SourceError;

pub use fault::{Failure, Rights};
pub use open::{AzureEntry, azure, gcs, s3};

/// The longest object that is got whole, in bytes as it lies in the bucket.
pub const OBJECT_LIMIT: u64 = 256 << 20;

/// How many folders one listing of folders may hold.
const FOLDERS_LIMIT: usize = 100_000;

/// An opened bucket.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    address: String,
    rights: &'static Rights,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.address)
    }
}

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// What changes when its content does: its entity tag without quotes, else made from length and
    /// time.
    pub etag: String,
    /// When it was last written.
    pub modified: Timestamp,
}

/// An object that was got.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes, or the part of them that was asked for.
    pub content: Bytes,
    /// What its writer noted beside it: `signature` for the header `x-amz-meta-signature`.
    pub metadata: BTreeMap<String, String>,
}

impl Bucket {
    /// The bucket behind `store`, known as `address`: `s3://NAME`.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        address: impl Into<String>,
        rights: &'static Rights,
    ) -> Self {
        Self { store, address: address.into(), rights }
    }

    /// Its address: `s3://NAME`, `gs://NAME`, `az://ACCOUNT/CONTAINER`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of one of its objects.
    pub fn address_of(&self, key: &str) -> String {
        format!("{}/{key}", self.address)
    }

    /// Lists everything below the folder `prefix`, page after page as it is taken.
    ///
    /// # Errors
    /// When `prefix` is none, or a page cannot be read.
    pub fn list(
        &self,
        prefix: &str,
    ) -> Result<BoxStream<'static, Result<Listed, SourceError>>, SourceError> {
        let path = self.path(prefix)?;
        let (rights, address) = (self.rights, self.address_of(prefix));
        let listed = self.store.list(Some(&path)).map(move |meta| match meta {
            Ok(meta) => Ok(listed(&meta)),
            Err(error) => Err(fault::of_listing(error, rights, &address)),
        });
        Ok(listed.boxed())
    }

    /// The names of the folders straight below the folder `prefix`; `""` for the bucket itself.
    ///
    /// # Errors
    /// When they cannot be listed, or there are too many.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, SourceError> {
        let path = self.path(prefix)?;
        let below = (!prefix.is_empty()).then_some(&path);
        let result = self.store.list_with_delimiter(below).await;
        let result = result
            .map_err(|error| fault::of_listing(error, self.rights, &self.address_of(prefix)))?;
        if result.common_prefixes.len() > FOLDERS_LIMIT {
            let call = format!("listing {}", self.address_of(prefix));
            return Err(SourceError::content(call, format!("more than {FOLDERS_LIMIT} folders")));
        }
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(result.common_prefixes.iter().filter_map(name).collect())
    }

    /// Gets an object whole, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read, or is longer.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Object, Failure> {
        self.get_with(key, GetOptions::default(), limit).await
    }

    /// Gets the bytes `range` of an object.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Object, Failure> {
        let limit = range.end.saturating_sub(range.start);
        let options = GetOptions::default().with_range(Some(GetRange::Bounded(range)));
        self.get_with(key, options, limit).await
    }

    async fn get_with(
        &self,
        key: &str,
        options: GetOptions,
        limit: u64,
    ) -> Result<Object, Failure> {
        let failed = |error| fault::of_object(error, self.rights, &self.address_of(key));
        let path = self.path(key).map_err(Failure::Source)?;
        let got = self.store.get_opts(&path, options).await.map_err(failed)?;
        let length = got.range.end.saturating_sub(got.range.start);
        let too_long = || Failure::Object(format!("it has more than {limit} bytes"));
        if length > limit {
            return Err(too_long());
        }
        let metadata = got.attributes.iter().filter_map(|(name, value)| match name {
            Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
            _ => None,
        });
        let metadata = metadata.collect();
        let mut stream = got.into_stream();
        let mut content = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(part) = stream.try_next().await.map_err(failed)? {
            content.extend_from_slice(&part);
            if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
                return Err(too_long());
            }
        }
        if u64::try_from(content.len()).ok() != Some(length) {
            return Err(Failure::Object("the answer broke off".to_owned()));
        }
        Ok(Object { content: content.freeze(), metadata })
    }

    fn path(&self, key: &str) -> Result<Path, SourceError> {
        Path::parse(key).map_err(|error| {
            SourceError::config(
                format!("`{}` cannot be read: {error}", self.address_of(key).escape_debug()),
                "a prefix has no empty parts, no `.` and no `..`",
            )
        })
    }
}

fn listed(meta: &ObjectMeta) -> Listed {
    let modified = meta.last_modified;
    let nanos = i32::try_from(modified.timestamp_subsec_nanos()).unwrap_or_default();
    let etag = meta.e_tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
    Listed {
        key: meta.location.to_string(),
        size: meta.size,
        etag: etag.unwrap_or_else(|| format!("{}@{}", meta.size, modified.timestamp_millis())),
        modified: Timestamp::new(modified.timestamp(), nanos).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{Attributes, PutOptions};

    use super::*;

    async fn bucket(objects: &[(&str, &'static [u8])]) -> Bucket {
        let store = InMemory::new();
        for (key, content) in objects {
            let path = Path::parse(key).unwrap();
            let attributes = Attributes::from_iter([(
                Attribute::Metadata("signature".into()),
                object_store::AttributeValue::from("ab12"),
            )]);
            let options = PutOptions { attributes, ..PutOptions::default() };
            store.put_opts(&path, Bytes::from_static(content).into(), options).await.unwrap();
        }
        Bucket::new(Arc::new(store), "s3://b", &Rights::S3)
    }

    #[tokio::test]
    async fn objects_are_listed_by_folder_and_got_with_their_metadata() {
        let bucket =
            bucket(&[("a/2026:01/x.json", b"one"), ("a/y", b"two"), ("ab/z", b"three")]).await;
        let keys: Vec<_> =
            bucket.list("a").unwrap().map(|object| object.unwrap().key).collect().await;
        assert_eq!(keys, ["a/2026:01/x.json", "a/y"]);
        assert_eq!(bucket.folders("").await.unwrap(), ["a", "ab"]);
        let object = bucket.get("a/2026:01/x.json", 3).await.unwrap();
        assert_eq!(
            (object.content.as_ref(), object.metadata["signature"].as_str()),
            (b"one".as_slice(), "ab12")
        );
        assert_eq!(bucket.get_range("ab/z", 1..4).await.unwrap().content, "hre");
        assert_eq!(bucket.address_of("a/y"), "s3://b/a/y");
    }

    #[tokio::test]
    async fn what_is_gone_or_too_long_concerns_the_object_alone() {
        let bucket = bucket(&[("long", b"four")]).await;
        for (key, word) in [("long", "more than 3 bytes"), ("gone", "no longer there")] {
            match bucket.get(key, 3).await.unwrap_err() {
                Failure::Object(why) => assert!(why.contains(word), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_prefix_that_object_stores_cannot_hold_is_a_fault_of_the_configuration() {
        let bucket = bucket(&[]).await;
        for prefix in ["a//b", "a/../b"] {
            assert!(matches!(bucket.folders(prefix).await, Err(SourceError::Config { .. })));
        }
    }
}
