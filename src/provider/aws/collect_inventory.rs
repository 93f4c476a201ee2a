//! The source over AWS's inventory: keys with their rotations, policies, grants and aliases, custom
//! key stores, CloudHSM clusters and backups, trails with what they record, log groups.
//!
//! What is refused for one key, or one call, does not stop the rest: it is told at the end, with the
//! permission that is missing. Answers are what the aws command-line tool prints and go through the
//! same readers; where an answer does not name its subject, it is put beside the one that does.

mod keys;
mod places;
mod refused;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Json as _;
use super::super::http::Counts;
use super::super::inventory::{InventoryContext, InventoryKind};
use super::super::source::{Batch, History, Item, Source, SourceError, Tools, Window};
use super::api::{Api, CLOUDTRAIL, KMS, Operation, Paging};
use super::auth::AwsAccess;
use super::scope::{AwsEndpoints, Scope};
use crate::event::Provider;

use refused::Refused;

/// So many keys are asked about at once.
const AT_ONCE: usize = 8;

/// Public keys are asked for that were valid at any time in so many days: longer than digests are
/// looked back at.
const KEY_DAYS: i64 = 400;

/// A batch holds what was asked about so many keys.
const KEYS_A_BATCH: usize = 100;

/// The inventory of some accounts and regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InventoryConfig {
    /// What the source is called.
    pub name: String,
    /// Regions, or `["*"]` for all that are enabled.
    pub regions: Vec<String>,
    /// Roles to assume, one in each account (`arn:aws:iam::…:role/…`); the account of the credentials
    /// where none is named.
    pub accounts: Vec<String>,
    /// Whose credentials to use.
    pub access: AwsAccess,
    /// Where services are, if not where AWS has them.
    pub endpoints: AwsEndpoints,
}

/// Makes a source for each account and region.
///
/// # Errors
/// When the configuration cannot be used.
pub async fn sources(
    config: &InventoryConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let scope = Scope {
        name: &config.name,
        access: &config.access,
        accounts: &config.accounts,
        regions: &config.regions,
        endpoints: &config.endpoints,
    };
    scope.expand(tools, |name, api| Box::new(InventorySource::new(name, api))).await
}

/// What is asked about next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Lists of keys and aliases.
    Lists,
    /// Some keys, one by one.
    Keys,
    /// Key stores, clusters, backups, trails, log groups.
    Places,
    /// Nothing is left but what was refused.
    End,
}

struct InventorySource {
    name: String,
    api: Api,
    step: Option<Step>,
    keys: VecDeque<String>,
    captured_at: Timestamp,
    refused: Refused,
    public_keys: Option<String>,
}

/// A document and what it does not say itself.
type Document = (InventoryKind, Value, Option<String>);

impl InventorySource {
    fn new(name: String, api: Api) -> Self {
        let captured_at = Timestamp::UNIX_EPOCH;
        let refused = Refused::default();
        let keys = VecDeque::new();
        Self { name, api, step: None, keys, captured_at, refused, public_keys: None }
    }

    /// Keys and aliases. Without the list of keys there is nothing to ask about.
    async fn lists(&mut self) -> Result<Vec<Document>, SourceError> {
        let listed = self
            .api
            .listed(KMS.op("ListKeys"), &json!({"Limit": 1000}), (Paging::MARKER, "Keys"))
            .await?;
        self.keys = listed.iter().filter_map(|key| key.string(&["KeyArn"])).collect();
        let mut documents = vec![(InventoryKind::AwsListKeys, json!({"Keys": listed}), None)];
        let aliases = self
            .api
            .listed(KMS.op("ListAliases"), &json!({"Limit": 100}), (Paging::MARKER, "Aliases"))
            .await;
        if let Some(aliases) = self.refused.pass(KMS.op("ListAliases"), "", aliases)? {
            documents.push((InventoryKind::AwsListAliases, json!({"Aliases": aliases}), None));
        }
        Ok(documents)
    }

    /// The next keys, several at once.
    async fn some_keys(&mut self) -> Result<Vec<Document>, SourceError> {
        let count = self.keys.len().min(KEYS_A_BATCH);
        let keys: Vec<String> = self.keys.drain(..count).collect();
        let api = &self.api;
        let answers: Vec<_> = stream::iter(keys.into_iter().map(|key| keys::ask(api, key)))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut documents = Vec::new();
        for answer in answers {
            let (found, refused) = answer?;
            documents.extend(found);
            self.refused.add(refused);
        }
        Ok(documents)
    }

    /// The public keys that the digests of trails are signed with in this region; they are kept as
    /// a proof, since AWS gives them out for a limited time.
    async fn keys_of_digests(&mut self) -> Result<(), SourceError> {
        let operation = CLOUDTRAIL.op("ListPublicKeys");
        let start = self.captured_at.as_second().saturating_sub(KEY_DAYS * 86_400);
        let body = json!({"StartTime": start, "EndTime": self.captured_at.as_second()});
        let paging = (Paging::TOKEN, "PublicKeyList");
        let listed = self.api.listed(operation, &body, paging).await;
        if let Some(keys) = self.refused.pass(operation, "", listed)?
            && !keys.is_empty()
        {
            self.public_keys = Some(json!({"PublicKeyList": keys}).to_string());
        }
        Ok(())
    }

    fn batch(&mut self, documents: Vec<Document>) -> Batch {
        let item = |(kind, value, key_hint)| Item::Document {
            kind,
            value,
            context: InventoryContext {
                account: Some(self.api.account.clone()),
                region: Some(self.api.region.clone()),
                key_hint,
            },
            captured_at: self.captured_at,
        };
        let mut items: Vec<Item> = documents.into_iter().map(item).collect();
        if let Some(raw) = self.public_keys.take() {
            let address = format!("cloudtrail:ListPublicKeys/{}", self.api.region);
            items.push(Item::Proof { address, kind: "cloudtrail_public_keys".to_owned(), raw });
        }
        Batch { items, reached: Some(self.captured_at), ..Batch::default() }
    }
}

#[async_trait]
impl Source for InventorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Aws
    }

    fn counts(&self) -> Arc<Counts> {
        self.api.counts()
    }

    fn start(&mut self, _: &History, window: Window) {
        self.captured_at = window.now;
        self.step = Some(Step::Lists);
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(step) = self.step else { return Ok(None) };
        let documents = match step {
            Step::Lists => self.lists().await?,
            Step::Keys => self.some_keys().await?,
            Step::Places => {
                let documents = places::ask(&self.api, &mut self.refused).await?;
                self.keys_of_digests().await?;
                documents
            }
            Step::End => {
                self.step = None;
                let notes = std::mem::take(&mut self.refused).notes(&self.api.region);
                return Ok((!notes.is_empty()).then(|| Batch { notes, ..Batch::default() }));
            }
        };
        self.step = Some(match step {
            Step::Lists | Step::Keys if !self.keys.is_empty() => Step::Keys,
            Step::Lists | Step::Keys => Step::Places,
            Step::Places | Step::End => Step::End,
        });
        Ok(Some(self.batch(documents)))
    }
}

#[cfg(test)]
mod tests;
