//! Opening a bucket of each cloud.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureAccessKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{
    BackoffConfig, ClientOptions, HeaderValue, ObjectStore, RetryConfig, StaticCredentialProvider,
};
use secrecy::ExposeSecret as _;

use super::super::aws::auth::AwsAuth;
use super::super::azure::auth::AzureAuth;
use super::super::gcp::GcpAuth;
use super::super::http::{Counts, Endpoint};
use super::super::source::{SourceError, Tools};
use super::access::Access;
use super::meter::Meter;
use super::{Bucket, Rights};
use crate::secret::SecretRef;

/// How often a request is tried, the first time included.
pub(super) const TRIES: usize = 8;

/// How long a request may take. An object of the greatest length takes it at 2 MiB/s.
const REQUEST_TIME: Duration = Duration::from_mins(2);
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// After this long a request is not tried again; signatures age.
const RETRY_TIME: Duration = Duration::from_mins(3);

/// Opens the bucket `name` of Amazon S3 in `region`, or of something that speaks its language at
/// `endpoint`; addressed by path, as names may hold dots.
///
/// # Errors
/// When the name or region cannot be one.
pub fn s3(
    name: &str,
    region: &str,
    endpoint: Option<&Endpoint>,
    auth: AwsAuth,
    counts: &Arc<Counts>,
) -> Result<Bucket, SourceError> {
    check(name, "._-", "a bucket")?;
    check(region, "-", "a region")?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(region)
        .with_virtual_hosted_style_request(false)
        .with_client_options(options(endpoint))
        .with_retry(retry())
        .with_http_connector(Meter(Arc::clone(counts)))
        .with_credentials(Arc::new(Access(auth)));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.join(""));
    } else if region.starts_with("cn-") {
        // https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html
        builder = builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn"));
    }
    opened(builder.build(), format!("s3://{name}"), &Rights::S3)
}

/// Opens the bucket `name` of Google Cloud Storage.
///
/// # Errors
/// When the name cannot be one.
pub fn gcs(
    name: &str,
    endpoint: Option<&Endpoint>,
    auth: GcpAuth,
    counts: &Arc<Counts>,
) -> Result<Bucket, SourceError> {
    check(name, "._-", "a bucket")?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(name)
        .with_client_options(options(endpoint))
        .with_retry(retry())
        .with_http_connector(Meter(Arc::clone(counts)))
        .with_credentials(Arc::new(Access(auth)));
    if let Some(endpoint) = endpoint {
        builder =
            builder.with_base_url(&endpoint.join("")).with_skip_signature(endpoint.is_loopback());
    }
    opened(builder.build(), format!("gs://{name}"), &Rights::GCS)
}

/// How a storage account of Azure is entered.
pub enum AzureEntry<'a> {
    /// With a token.
    Token(AzureAuth),
    /// With a key of the account.
    Key(&'a SecretRef, &'a Tools),
}

/// Opens a container of the storage account `account`.
///
/// # Errors
/// When a name cannot be one, or the account's key cannot be read.
pub fn azure(
    (account, container): (&str, &str),
    endpoint: Option<&Endpoint>,
    entry: AzureEntry<'_>,
    counts: &Arc<Counts>,
) -> Result<Bucket, SourceError> {
    check(account, "", "a storage account")?;
    check(container, "-$", "a container")?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_client_options(options(endpoint))
        .with_retry(retry())
        .with_http_connector(Meter(Arc::clone(counts)));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.join(""));
    }
    let unsigned = endpoint.is_some_and(Endpoint::is_loopback);
    builder = match entry {
        AzureEntry::Key(key, tools) => builder.with_credentials(account_key(account, key, tools)?),
        AzureEntry::Token(auth) => {
            builder.with_credentials(Arc::new(Access(auth))).with_skip_signature(unsigned)
        }
    };
    opened(builder.build(), format!("az://{account}/{container}"), &Rights::AZURE)
}

fn account_key(
    account: &str,
    key: &SecretRef,
    tools: &Tools,
) -> Result<Arc<StaticCredentialProvider<AzureCredential>>, SourceError> {
    let what = || format!("storage account {account}");
    let hint = || format!("`account_key` names {key}: it must hold a key of the account");
    let failed = |source| SourceError::Credentials { what: what(), hint: hint(), source };
    let secret = (tools.secrets)(key).map_err(|error| failed(Box::new(error)))?;
    // The library's own error may hold a part of the key.
    let key = AzureAccessKey::try_new(secret.expose_secret().trim())
        .map_err(|_| failed("it is not base64".into()))?;
    Ok(Arc::new(StaticCredentialProvider::new(AzureCredential::AccessKey(key))))
}

fn options(endpoint: Option<&Endpoint>) -> ClientOptions {
    let agent = HeaderValue::from_static(concat!("keytrail/", env!("CARGO_PKG_VERSION")));
    let plain = endpoint.is_some_and(|endpoint| endpoint.url().scheme() == "http");
    ClientOptions::new()
        .with_user_agent(agent)
        .with_timeout(REQUEST_TIME)
        .with_connect_timeout(CONNECT_TIME)
        .with_allow_http(plain)
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(20),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: TRIES - 1, retry_timeout: RETRY_TIME }
}

fn opened(
    store: object_store::Result<impl ObjectStore>,
    address: String,
    rights: &'static Rights,
) -> Result<Bucket, SourceError> {
    let store = store.map_err(|error| {
        SourceError::config(format!("{address} cannot be opened: {error}"), "check its name")
    })?;
    Ok(Bucket::new(Arc::new(store), address, rights))
}

/// A name goes into addresses: nothing but what names consist of.
fn check(name: &str, signs: &str, what: &str) -> Result<(), SourceError> {
    let good = |char: char| char.is_ascii_alphanumeric() || signs.contains(char);
    if (1..=222).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(SourceError::config(
        format!("`{}` is no name of {what}", name.escape_debug()),
        "give the name alone; what stands before the logs goes into `prefix`",
    ))
}
