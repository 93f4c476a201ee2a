//! `[[source]]` sections of the configuration made into sources.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Broken;
use crate::provider::http::{Client, Quotas};
use crate::provider::source::{ReadSecret, Source, SourceError, Tools};
use crate::provider::{aws, azure, gcp};

/// Declares the types of sources: the word in the configuration, the variant, its configuration and
/// what makes sources of it.
macro_rules! kinds {
    ($($word:literal => $variant:ident($config:ty), $make:path;)*) => {
        /// What a section asks for, by its type.
        #[derive(Debug, Clone)]
        enum Kind { $($variant(Box<$config>),)* }

        /// The types of sources, in order.
        pub const SOURCE_TYPES: &[&str] = &[$($word,)*];

        impl Kind {
            fn read(word: &str, section: Value) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant(read(section)?)),)*
                    _ => Err(format!("unknown type `{word}`, expected one of {}", SOURCE_TYPES.join(", "))),
                }
            }

            async fn sources(&self, tools: &Tools) -> Result<Vec<Box<dyn Source>>, SourceError> {
                match self { $(Self::$variant(config) => $make(config, tools).await,)* }
            }
        }
    };
}

kinds! {
    "aws.lookup_events" => AwsLookupEvents(aws::lookup::LookupConfig), aws::lookup::sources;
    "aws.trail" => AwsTrail(aws::trail::TrailConfig), aws::trail::sources;
    "aws.cloudhsm" => AwsCloudHsm(aws::audit_logs::AuditLogsConfig), aws::audit_logs::sources;
    "aws.inventory" => AwsInventory(aws::collect_inventory::InventoryConfig), aws::collect_inventory::sources;
    "gcp.logging" => GcpLogging(gcp::logging::GcpLogging), gcp::logging::sources;
    "gcp.bucket" => GcpBucket(gcp::bucket::BucketConfig), gcp::bucket::sources;
    "gcp.inventory" => GcpInventory(gcp::kms::GcpInventory), gcp::kms::sources;
    "azure.activity" => AzureActivity(azure::activity_log::AzureActivityLog), azure::activity_log::sources;
    "azure.blobs" => AzureBlobs(azure::blobs::BlobsConfig), azure::blobs::sources;
    "azure.workspace" => AzureWorkspace(azure::workspace::AzureWorkspace), azure::workspace::sources;
    "azure.inventory" => AzureInventory(azure::inventory_source::AzureInventory), azure::inventory_source::sources;
}

fn read<T: DeserializeOwned>(section: Value) -> Result<Box<T>, String> {
    serde_json::from_value(section).map(Box::new).map_err(|error| error.to_string())
}

/// One `[[source]]` section: a name, a type, and what the type asks for.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name, single in the configuration.
    pub name: String,
    /// Its type, one of [`SOURCE_TYPES`].
    pub kind: String,
    asked: Kind,
}

/// A section that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[source]] {name}: {detail}")]
pub struct SourceConfigError {
    /// The section's name, or its number where it has none.
    pub name: String,
    /// What is wrong with it.
    pub detail: String,
}

impl SourceConfig {
    /// Reads the sections, in order.
    ///
    /// # Errors
    /// When one lacks name or type, holds a member that its type does not know, or shares its name.
    pub fn read_all(sections: &[Map<String, Value>]) -> Result<Vec<Self>, SourceConfigError> {
        let mut sources: Vec<Self> = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            let text = |name| section.get(name).and_then(Value::as_str).unwrap_or_default();
            let name = text("name").to_owned();
            let refuse = |detail: &str| SourceConfigError {
                name: if name.is_empty() { format!("number {}", index + 1) } else { name.clone() },
                detail: detail.to_owned(),
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(refuse("it needs a `name` of letters, digits, `-`, `_` and `.`"));
            }
            if sources.iter().any(|other| other.name == name) {
                return Err(refuse("another section has this name"));
            }
            let kind = text("type").to_owned();
            let mut section = section.clone();
            section.remove("type");
            let asked = Kind::read(&kind, Value::Object(section)).map_err(|e| refuse(&e))?;
            sources.push(Self { name, kind, asked });
        }
        Ok(sources)
    }
}

/// What the sources of one run share.
///
/// # Errors
/// When TLS cannot be set up.
pub fn tools(secrets: ReadSecret) -> Result<Tools, SourceError> {
    Ok(Tools { client: Client::new()?, quotas: Quotas::default(), secrets })
}

/// Makes the sources of the sections; those that cannot be set up are named with the reason.
pub async fn build(configs: &[SourceConfig], tools: &Tools) -> (Vec<Box<dyn Source>>, Vec<Broken>) {
    let (mut sources, mut broken) = (Vec::new(), Vec::new());
    for config in configs {
        match config.asked.sources(tools).await {
            Ok(more) => sources.extend(more),
            Err(error) => broken.push(Broken { name: config.name.clone(), error }),
        }
    }
    (sources, broken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(sections: &Value) -> Result<Vec<SourceConfig>, SourceConfigError> {
        let sections: Vec<Map<String, Value>> = serde_json::from_value(sections.clone()).unwrap();
        SourceConfig::read_all(&sections)
    }

    #[test]
    fn a_section_that_cannot_be_used_is_named_with_what_is_wrong() {
        let good = json!({"name": "a", "type": "gcp.logging", "projects": ["p"]});
        assert_eq!(read(&json!([good])).unwrap()[0].kind, "gcp.logging");
        for (sections, wanted) in [
            (json!([{"type": "gcp.logging"}]), "number 1"),
            (json!([{"name": "a", "type": "gcp.loging"}]), "gcp.loging"),
            (json!([good, good]), "another section"),
            (json!([{"name": "a", "type": "gcp.logging", "project": ["p"]}]), "project"),
            (json!([{"name": "a/b", "type": "gcp.logging"}]), "letters"),
        ] {
            let error = read(&sections).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
