//! The inventory of subscriptions: vaults, Managed HSMs, Cloud HSM clusters and what is left of deleted
//! ones, from Resource Manager; where their logs go; and the keys that vaults and Managed HSMs hold,
//! with versions and rotation policies, from their data plane.
//!
//! - A resource without any diagnostic setting gets a row that says that nothing records its keys.
//! - A list of keys shows neither type nor versions: each key is asked for both, and for its rotation
//!   policy. Versions are told only when all of them were read.
//! - One vault that refuses, or that its firewall hides, does not stop the rest: a note names it and
//!   what it wants. Cloud HSM clusters tell nothing of their keys to anybody but their own users.

mod keys;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::http::{Client, Counts};
use super::super::inventory::{Inventory, InventoryContext, InventoryKind, LogSettingRow};
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{self, ARM, Api, AzureEndpoints, MANAGED_HSM, VAULT, is_general, is_name, note};
use super::auth::{AzureAccess, AzureAuth};
use super::estate::{self, CLUSTERS, DELETED_HSMS, DELETED_VAULTS, Listing, MANAGED_HSMS, VAULTS};
use super::record::{member, text};
use super::resource::{Holder, Resource};
use crate::event::Provider;
use keys::Walk;

/// A batch ends with what reaches this.
const BATCH_ITEMS: usize = 1_000;

/// The inventory of some subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureInventory {
    /// What the source is called.
    pub name: String,
    /// The subscriptions' ids.
    pub subscriptions: Vec<String>,
    /// Whether vaults and Managed HSMs are asked for their keys, which needs roles on their data
    /// plane; otherwise they and their diagnostic settings are all.
    #[serde(default = "yes")]
    pub keys: bool,
    /// As whom to read.
    #[serde(default)]
    pub access: AzureAccess,
    /// Other addresses than those of the cloud.
    #[serde(default)]
    pub endpoints: AzureEndpoints,
}

fn yes() -> bool {
    true
}

/// A source for each subscription.
///
/// # Errors
/// When the configuration or its credentials cannot be used.
#[allow(clippy::unused_async, reason = "every kind of source is made by an async function")]
pub async fn sources(
    config: &AzureInventory,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let (access, set) = (&config.access, &config.endpoints);
    let arm_auth = ARM.auth(access, tools, set.arm.as_deref())?;
    let vault_auth = VAULT.auth(access, tools, set.vault.as_deref())?;
    let hsm_auth = MANAGED_HSM.auth(access, tools, set.managed_hsm.as_deref())?;
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for subscription in &config.subscriptions {
        let subscription = api::subscription_id(subscription)?;
        let client = tools.client.fresh();
        let place = (&ARM, set.arm.as_deref());
        let arm = Api::new(place, access, (tools, &client), &arm_auth, &subscription)?;
        sources.push(Box::new(InventorySource {
            name: format!("{}/{subscription}/inventory", config.name),
            subscription,
            config: config.clone(),
            tools: tools.clone(),
            client,
            arm,
            vault_auth: vault_auth.clone(),
            hsm_auth: hsm_auth.clone(),
            now: None,
            left: VecDeque::new(),
            tally: Tally::default(),
        }));
    }
    Ok(sources)
}

struct InventorySource {
    name: String,
    subscription: String,
    config: AzureInventory,
    tools: Tools,
    client: Client,
    arm: Api,
    vault_auth: AzureAuth,
    hsm_auth: AzureAuth,
    /// The time of collection, until everything is read.
    now: Option<Timestamp>,
    /// What is left to do.
    left: VecDeque<Step>,
    tally: Tally,
}

/// What was seen, for the receipt.
#[derive(Debug, Default)]
struct Tally {
    resources: usize,
    keys: usize,
    notes: usize,
}

/// One thing to do.
enum Step {
    /// List resources of one kind.
    List(&'static Listing),
    /// Read the subscription's own diagnostic settings.
    OwnSettings,
    /// Read a resource's diagnostic settings.
    Settings(Resource, Option<String>),
    /// Read the keys of a vault or Managed HSM.
    Keys(Box<Walk>),
}

#[async_trait]
impl Source for InventorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Azure
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.client.counts())
    }

    fn start(&mut self, _: &History, window: Window) {
        self.now = Some(window.now);
        let lists = [&VAULTS, &MANAGED_HSMS, &CLUSTERS, &DELETED_VAULTS, &DELETED_HSMS];
        self.left = lists.into_iter().map(Step::List).collect();
        self.left.push_back(Step::OwnSettings);
        self.tally = Tally::default();
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(now) = self.now else { return Ok(None) };
        let mut page = Page { now, batch: Batch::default() };
        while page.batch.items.len() < BATCH_ITEMS {
            let Some(step) = self.left.pop_front() else {
                self.now = None;
                break;
            };
            self.take(step, &mut page).await?;
        }
        let mut batch = page.batch;
        self.tally.notes += batch.notes.len();
        if self.now.is_none() {
            let Tally { resources, keys, notes } = self.tally;
            batch.cursor = Some(json!({
                "captured_at": now.to_string(), "resources": resources, "keys": keys, "notes": notes,
            }));
            batch.reached = Some(now);
        }
        Ok(Some(batch))
    }
}

/// A batch that is being filled.
struct Page {
    now: Timestamp,
    batch: Batch,
}

impl Page {
    fn document(&mut self, kind: InventoryKind, value: Value, context: &InventoryContext) {
        self.batch.items.push(Item::Document {
            kind,
            value,
            context: context.clone(),
            captured_at: self.now,
        });
    }

    fn rows(&mut self, subject: String, rows: Inventory) {
        self.batch.items.push(Item::Inventory { subject, rows, captured_at: self.now });
    }

    /// Notes that something is lost, unless it is everything.
    fn lost(&mut self, what: &str, error: SourceError) -> Result<(), SourceError> {
        if is_general(&error) {
            return Err(error);
        }
        self.batch.notes.push(note(what, &error));
        Ok(())
    }
}

impl InventorySource {
    async fn take(&mut self, step: Step, page: &mut Page) -> Result<(), SourceError> {
        match step {
            Step::List(listing) => self.list(listing, page).await,
            Step::OwnSettings => {
                let id = format!("/subscriptions/{}", self.subscription);
                match estate::settings(&self.arm, &id).await {
                    Ok(settings) => self.settings(settings, None, page),
                    Err(error) => {
                        let what = format!("the diagnostic settings of {id} are not known");
                        page.lost(&what, error)?;
                    }
                }
                Ok(())
            }
            Step::Settings(resource, region) => {
                match estate::settings(&self.arm, &resource.id).await {
                    Ok(settings) if settings.is_empty() => {
                        page.rows(resource.id.clone(), self.unlogged(&resource.id, region));
                    }
                    Ok(settings) => self.settings(settings, region, page),
                    Err(error) => {
                        let what = format!("whether {} logs its keys is not known", resource.id);
                        page.lost(&what, error)?;
                    }
                }
                Ok(())
            }
            Step::Keys(mut walk) => {
                let before = walk.keys();
                let more = walk.step(page).await?;
                self.tally.keys += walk.keys() - before;
                if more {
                    self.left.push_front(Step::Keys(walk));
                }
                Ok(())
            }
        }
    }

    async fn list(
        &mut self,
        listing: &'static Listing,
        page: &mut Page,
    ) -> Result<(), SourceError> {
        let found = match listing.read(&self.arm, &self.subscription).await {
            Ok(found) => found,
            // Without this list there is no inventory at all.
            Err(error) if listing.what == VAULTS.what => return Err(error),
            Err(error) => {
                let what = format!("the {} of {} are not known", listing.what, self.subscription);
                return page.lost(&what, error);
            }
        };
        for value in found {
            self.tally.resources += 1;
            if let Some(resource) = estate::holder_id(&value, listing.holder) {
                self.plan(&resource, &value, page)?;
            }
            page.document(InventoryKind::AzureVault, value, &self.context(None));
        }
        Ok(())
    }

    /// What is to be read about a vault or HSM that was listed.
    fn plan(
        &mut self,
        resource: &Resource,
        value: &Value,
        page: &mut Page,
    ) -> Result<(), SourceError> {
        let (Some(holder), Some(name)) = (resource.holder, resource.holder_name.as_deref()) else {
            return Ok(());
        };
        if resource.id.contains("/deleted") {
            return Ok(());
        }
        let region = member(value, "location").and_then(text).map(str::to_ascii_lowercase);
        self.left.push_back(Step::Settings(resource.clone(), region.clone()));
        if !self.config.keys || holder == Holder::CloudHsm || !is_name(name) {
            return Ok(());
        }
        let state = member(value, "properties")
            .and_then(|inner| member(inner, "securityDomainProperties"))
            .and_then(|domain| member(domain, "activationStatus"))
            .and_then(text);
        if let Some(state) = state.filter(|state| !state.eq_ignore_ascii_case("Active")) {
            page.batch.notes.push(Note {
                message: format!(
                    "the Managed HSM {name} is not active ({state}): it has no keys yet"
                ),
                hint: None,
            });
            return Ok(());
        }
        let api = self.data_plane(holder, name)?;
        let walk = Walk::new(api, holder, &resource.id, self.context(region));
        self.left.push_back(Step::Keys(Box::new(walk)));
        Ok(())
    }

    fn data_plane(&self, holder: Holder, name: &str) -> Result<Api, SourceError> {
        let set = &self.config.endpoints;
        let (place, auth) = match holder {
            Holder::ManagedHsm => ((&MANAGED_HSM, set.managed_hsm.as_deref()), &self.hsm_auth),
            _ => ((&VAULT, set.vault.as_deref()), &self.vault_auth),
        };
        Api::new(place, &self.config.access, (&self.tools, &self.client), auth, name)
    }

    fn context(&self, region: Option<String>) -> InventoryContext {
        let account = Some(self.subscription.clone());
        InventoryContext { account, region, ..InventoryContext::default() }
    }

    fn settings(&self, settings: Vec<Value>, region: Option<String>, page: &mut Page) {
        let context = self.context(region);
        for value in settings {
            page.document(InventoryKind::AzureDiagnosticSetting, value, &context);
        }
    }

    /// The row of a resource without any diagnostic setting; it takes the place where they are kept
    /// for an id.
    fn unlogged(&self, id: &str, region: Option<String>) -> Inventory {
        let row = LogSettingRow {
            provider: Provider::Azure,
            account: Some(self.subscription.clone()),
            region,
            setting_id: format!("{id}/providers/microsoft.insights/diagnosticsettings"),
            kind: "diagnostic_setting".to_owned(),
            resource_id: Some(id.to_owned()),
            logs_keys: Some(false),
            retention_days: None,
            details: Map::from_iter([("absent".to_owned(), Value::Bool(true))]),
        };
        Inventory { log_settings: vec![row], ..Inventory::default() }
    }
}

#[cfg(test)]
mod tests;
