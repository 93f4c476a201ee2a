//! The keys of one vault or Managed HSM, by its data plane (the page "Azure Key Vault REST API").

use serde_json::Value;

use super::super::super::inventory::{Inventory, InventoryContext, InventoryKind};
use super::super::super::source::SourceError;
use super::super::api::{Api, Ask, Pages, answered, is_name, value_of};
use super::super::inventory;
use super::super::record::{flag, member, text};
use super::super::resource::{Holder, VaultUri};
use super::Page;

const VERSION: &str = "api-version=7.4";

/// What is asked of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    /// Itself: type, operations, current version.
    Current,
    /// Its versions.
    Versions,
    /// Its rotation policy.
    Policy,
}

impl Fact {
    const ALL: [Self; 3] = [Self::Current, Self::Versions, Self::Policy];

    const fn what(self) -> &'static str {
        match self {
            Self::Current => "types and current versions of keys",
            Self::Versions => "versions of keys",
            Self::Policy => "rotation policies",
        }
    }
}

/// How far the keys of a vault or Managed HSM are read.
pub(super) struct Walk {
    api: Api,
    holder: Holder,
    id: String,
    context: InventoryContext,
    pages: Pages,
    is_deleted: bool,
    /// What was refused once and is not asked for again.
    refused: Vec<Fact>,
    keys: usize,
}

impl Walk {
    /// The keys of the resource `id` behind `api`.
    pub(super) fn new(api: Api, holder: Holder, id: &str, context: InventoryContext) -> Self {
        let pages = Self::pages(&api, holder, id, false);
        let id = id.to_owned();
        Self { api, holder, id, context, pages, is_deleted: false, refused: Vec::new(), keys: 0 }
    }

    fn pages(api: &Api, holder: Holder, id: &str, deleted: bool) -> Pages {
        let list = if deleted { "deletedkeys" } else { "keys" };
        let ask = Ask::new(format!("azure:List {list} of {id}"), permission(holder, "list"));
        Pages::new(api, ask, &format!("/{list}?{VERSION}&maxresults=25"))
    }

    /// How many keys were seen.
    pub(super) const fn keys(&self) -> usize {
        self.keys
    }

    /// Reads one page of keys; false when there is nothing left.
    ///
    /// # Errors
    /// When nothing else could be read either.
    pub(super) async fn step(&mut self, page: &mut Page) -> Result<bool, SourceError> {
        let items = match self.pages.next(&self.api).await {
            Ok(items) => items,
            // A vault without soft delete has no deleted keys.
            Err(error) if self.is_deleted && answered(&error).is_some() => None,
            Err(error) => {
                let list = if self.is_deleted { "deleted keys" } else { "keys" };
                page.lost(&format!("the {list} of {} are not known", self.id), error)?;
                None
            }
        };
        let Some(items) = items else {
            if self.is_deleted {
                return Ok(false);
            }
            self.is_deleted = true;
            self.pages = Self::pages(&self.api, self.holder, &self.id, true);
            return Ok(true);
        };
        for item in items {
            let value = value_of(self.pages.ask(), &item)?;
            self.keys += 1;
            if !self.is_deleted {
                self.facts(&value, page).await?;
            }
            page.document(InventoryKind::AzureKey, value, &self.context);
        }
        Ok(true)
    }

    /// Asks for what the list does not say of a key.
    async fn facts(&mut self, value: &Value, page: &mut Page) -> Result<(), SourceError> {
        let uri = member(value, "kid").and_then(text).and_then(VaultUri::parse);
        let object = uri.and_then(|uri| uri.object());
        let Some(name) = object.as_ref().and_then(|object| object.id.rsplit('/').next()) else {
            return Ok(());
        };
        // The key of a certificate is renewed with it, and has no policy of its own.
        let is_managed = member(value, "managed").and_then(flag) == Some(true);
        for fact in Fact::ALL {
            let skip = self.refused.contains(&fact) || (fact == Fact::Policy && is_managed);
            if skip || !is_name(name) {
                continue;
            }
            match self.fact(fact, name, page).await {
                Ok(()) => {}
                // Deleted while it was read, or without a policy.
                Err(error) if answered(&error).is_some_and(|(status, _)| status == 404) => {}
                Err(error) => {
                    self.refused.push(fact);
                    let what = format!("{} of {} are not known", fact.what(), self.id);
                    page.lost(&what, error)?;
                }
            }
        }
        Ok(())
    }

    async fn fact(&self, fact: Fact, name: &str, page: &mut Page) -> Result<(), SourceError> {
        let key = format!("{} of {}", name, self.id);
        match fact {
            Fact::Current => {
                let ask = Ask::new(format!("azure:Get key {key}"), permission(self.holder, "get"));
                let value = self.api.object(&ask, &format!("/keys/{name}?{VERSION}")).await?;
                self.current(&value, &ask, page)
            }
            Fact::Versions => {
                let ask = Ask::new(
                    format!("azure:List versions of key {key}"),
                    permission(self.holder, "list"),
                );
                let path = format!("/keys/{name}/versions?{VERSION}&maxresults=25");
                let versions = self.api.list(&ask, &path).await?;
                for version in versions {
                    page.document(InventoryKind::AzureKeyVersion, version, &self.context);
                }
                Ok(())
            }
            Fact::Policy => {
                let permission = permission(self.holder, "getrotationpolicy");
                let ask = Ask::new(format!("azure:Get rotation policy of key {key}"), permission);
                let path = format!("/keys/{name}/rotationpolicy?{VERSION}");
                let value = self.api.object(&ask, &path).await?;
                page.document(InventoryKind::AzureKey, value, &self.context);
                Ok(())
            }
        }
    }

    /// A key without its version stands for the newest one, which is the one in use.
    fn current(&self, value: &Value, ask: &Ask, page: &mut Page) -> Result<(), SourceError> {
        let mut rows: Inventory = inventory::read(InventoryKind::AzureKey, value, &self.context)
            .map_err(|reject| SourceError::content(ask.name.clone(), reject.to_string()))?;
        for version in &mut rows.key_versions {
            version.is_primary = Some(true);
        }
        let subject = rows.keys.first().map_or_else(|| self.id.clone(), |key| key.key_id.clone());
        page.rows(subject, rows);
        Ok(())
    }
}

/// What lets a caller do this, in the words of either way of granting it.
fn permission(holder: Holder, operation: &str) -> String {
    if holder == Holder::ManagedHsm {
        return "the local role Managed HSM Crypto Auditor on /keys \
                (Microsoft.KeyVault/managedHsm/keys/read/action)"
            .to_owned();
    }
    let kind = if operation == "getrotationpolicy" { "keyrotationpolicies" } else { "keys" };
    format!(
        "the role Key Vault Reader (Microsoft.KeyVault/vaults/{kind}/read), or in a vault with \
         access policies the key permission {operation}, and let this address through the vault's \
         firewall"
    )
}
