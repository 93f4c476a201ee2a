//! Resource logs in Blob Storage: the source `azure.blobs` reads what diagnostic settings write to a
//! storage account.
//!
//! A container holds one category of logs: `insights-logs-auditevent` (Key Vault and Managed HSM),
//! `insights-activity-logs`, `insights-logs-hsmserviceoperations` (Cloud HSM). Its blobs are
//! `resourceId=/…/y=2026/m=11/d=20/h=09/m=00/PT1H.json`: JSON lines that are appended to, also after
//! their hour, since they are ordered by the time that logs were received.
//! <https://learn.microsoft.com/azure/azure-monitor/essentials/resource-logs#send-to-azure-storage>

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;

use super::super::Context;
use super::super::bucket::{self, AzureEntry, Bucket};
use super::super::http::Endpoint;
use super::super::objects::{Days, Found, Layout, ObjectSource, Place, Plan, Reach, Role};
use super::super::source::{Note, Source, SourceError, Tools};
use super::auth::{AzureAccess, AzureAuth, AzureCloud};
use crate::event::Provider;
use crate::secret::SecretRef;

/// A storage account that diagnostic settings write to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobsConfig {
    /// The source's name; it must not change. The name of the container is put behind it.
    pub name: String,
    /// The storage account's name.
    pub account: String,
    /// The containers to read; those that are known to hold logs of keys and HSMs where it is
    /// empty.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Days before the newest one read that are listed again, for what comes late; 3, as logs come
    /// up to 48 hours late.
    #[serde(default = "relist_days")]
    pub relist_days: u16,
    /// A key of the account, by reference; without it a token is used, which is better.
    pub account_key: Option<SecretRef>,
    /// Where the account is reached instead of `https://ACCOUNT.blob.core.windows.net`; with the
    /// account's name in the path where the server wants that.
    pub endpoint: Option<String>,
    /// Whose credentials are used.
    #[serde(default)]
    pub access: AzureAccess,
}

/// The containers that diagnostic settings make: `insights-logs-` and the category in lower case.
const CONTAINERS: &[&str] =
    &["insights-logs-auditevent", "insights-activity-logs", "insights-logs-hsmserviceoperations"];

/// The providers whose resources hold keys.
const PROVIDERS: &[&str] = &["microsoft.keyvault", "microsoft.hardwaresecuritymodules"];

/// How many days are read back where nothing was read yet.
const FIRST_DAYS: u16 = 90;

/// How deep resource ids go, and how many folders are looked into for them.
const DEPTH: usize = 16;
const LOOKS: usize = 100_000;

/// What a token is for, in all of Microsoft's clouds.
const SCOPE: &str = "https://storage.azure.com/.default";

fn relist_days() -> u16 {
    3
}

/// Makes the sources of a storage account: one for each container.
///
/// # Errors
/// When the configuration cannot be used.
#[allow(clippy::unused_async, reason = "the sources of all providers are made alike")]
pub async fn sources(
    config: &BlobsConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let endpoint = match (&config.endpoint, config.access.cloud) {
        (Some(endpoint), _) => Some(Endpoint::parse(endpoint)?),
        (None, AzureCloud::Public) => None,
        (None, cloud) => Some(Endpoint::parse(&host(&config.account, cloud))?),
    };
    let names: Vec<&str> = match config.containers.as_slice() {
        [] => CONTAINERS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let make = |container| source(config, tools, endpoint.as_ref(), container);
    names.into_iter().map(make).collect()
}

fn host(account: &str, cloud: AzureCloud) -> String {
    let suffix = match cloud {
        AzureCloud::Public => "windows.net",
        AzureCloud::UsGov => "usgovcloudapi.net",
        AzureCloud::China => "chinacloudapi.cn",
    };
    format!("https://{account}.blob.core.{suffix}")
}

fn source(
    config: &BlobsConfig,
    tools: &Tools,
    endpoint: Option<&Endpoint>,
    container: &str,
) -> Result<Box<dyn Source>, SourceError> {
    let loopback = endpoint.is_some_and(Endpoint::is_loopback);
    let entry = match &config.account_key {
        Some(key) => AzureEntry::Key(key, tools),
        None => AzureEntry::Token(AzureAuth::load(&config.access, tools, SCOPE, loopback)?),
    };
    let counts = Arc::clone(tools.client.fresh().counts());
    let bucket = bucket::azure((&config.account, container), endpoint, entry, &counts)?;
    Ok(Box::new(ObjectSource::new(Plan {
        name: format!("{}/{container}", config.name),
        bucket,
        layout: Box::new(BlobsLayout { named: !config.containers.is_empty() }),
        reach: Reach { first: FIRST_DAYS, again: config.relist_days },
        counts,
    })))
}

/// Finds the resources that a container holds logs of.
#[derive(Debug)]
struct BlobsLayout {
    /// Whether the configuration names the container.
    named: bool,
}

impl BlobsLayout {
    /// Walks down the resource ids to the folders that hold years.
    async fn walk(bucket: &Bucket) -> Result<Vec<Place>, SourceError> {
        let mut places = Vec::new();
        let mut looks = 0;
        let mut folders = vec![("resourceId=".to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            looks += 1;
            if looks > LOOKS {
                let call = format!("listing {}", bucket.address());
                return Err(SourceError::content(call, format!("more than {LOOKS} folders")));
            }
            let names = bucket.folders(&folder).await?;
            if names.iter().any(|name| name.starts_with("y=")) {
                places.push(place(folder.clone()));
            }
            let below = names.into_iter().filter(|name| is_wanted(&folder, name) && depth < DEPTH);
            folders.extend(below.map(|name| (format!("{folder}/{name}"), depth + 1)));
        }
        places.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        Ok(places)
    }

    /// A container that does not exist is an error where it is named.
    fn absent(&self, bucket: &Bucket) -> Result<Found, SourceError> {
        let message = format!("{} does not exist: nothing was read there", bucket.address());
        let hint = "a diagnostic setting makes it when it first writes there; name the containers \
                    that there are in `containers`";
        if self.named {
            return Err(SourceError::config(message, hint));
        }
        let notes = vec![Note { message, hint: Some(hint.to_owned()) }];
        Ok(Found { notes, ..Found::default() })
    }
}

/// Whether a folder below `parent` leads to resources that hold keys. The names of resource ids
/// are written in upper case, mostly.
fn is_wanted(parent: &str, name: &str) -> bool {
    let below_providers = parent.to_ascii_lowercase().ends_with("/providers");
    let ours = PROVIDERS.iter().any(|provider| name.eq_ignore_ascii_case(provider));
    !name.starts_with("y=") && (!below_providers || ours)
}

fn place(prefix: String) -> Place {
    let mut parts = prefix.split('/');
    let subscription = parts
        .find(|part| part.eq_ignore_ascii_case("subscriptions"))
        .and_then(|_| parts.next())
        .map(str::to_ascii_lowercase);
    let context = Context { account: subscription, ..Context::default() };
    Place { prefix, role: Role::Lines, days: Days::Named, context }
}

#[async_trait]
impl Layout for BlobsLayout {
    fn provider(&self) -> Provider {
        Provider::Azure
    }

    async fn places(&self, bucket: &Bucket) -> Result<Found, SourceError> {
        match Self::walk(bucket).await {
            Ok(places) => Ok(Found { places, ..Found::default() }),
            Err(SourceError::Answer { status: 404, .. }) => self.absent(bucket),
            Err(error) => Err(error),
        }
    }

    fn is_file(&self, _: Role, name: &str) -> bool {
        name.strip_suffix(".json").is_some()
    }

    fn caveat(&self, bucket: &Bucket) -> Note {
        Note {
            message: format!(
                "listing {} does not show what was never delivered to it, and resource logs may lose \
                 records: reading it covers nothing",
                bucket.address()
            ),
            hint: Some("check the diagnostic settings in the inventory".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
