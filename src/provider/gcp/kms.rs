//! The source over Cloud KMS's API: which keys, versions, import jobs and single-tenant HSMs there
//! are, who may use the keys, and what is audited.
//!
//! There is no list over all locations: locations, key rings, keys and versions are walked one after
//! the other. What is refused in one place does not stop the rest; it is told at the end, with the
//! permission that is missing. The answers equal what gcloud prints, and go through the same
//! readers. Methods: "Cloud KMS API" reference, v1.

mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use self::walk::{Listing, Of, Task};
use super::super::Json as _;
use super::super::http::{Counts, Endpoint};
use super::super::inventory::{InventoryContext, InventoryKind};
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{Api, GcpEndpoints, List, What, check_project, is_plain_name, object};
use super::auth::{GcpAccess, GcpAuth};
use super::hierarchy;
use crate::event::Provider;

/// What a token must allow; Cloud KMS has no scope for reading alone.
const SCOPES: &[&str] = &[
    "https://www.googleapis.com/auth/cloudkms",
    "https://www.googleapis.com/auth/logging.read",
    "https://www.googleapis.com/auth/cloud-platform.read-only",
];

/// "Cloud KMS quotas": 300 read requests a minute and project.
const CALLS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(299);

/// A batch is given once it holds so many documents.
const BATCH: usize = 500;

/// Inventory of Cloud KMS. Each project is a source of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcpInventory {
    /// What the source is called.
    pub name: String,
    /// Ids of projects (not their numbers).
    pub projects: Vec<String>,
    /// Locations to look at; all where none is named.
    pub locations: Vec<String>,
    /// Whether to read who may use each key, at one call a key. On if left out.
    pub iam_policies: bool,
    /// Whose credentials to use.
    pub access: GcpAccess,
    /// Where the services are, if not at Google's own addresses.
    pub endpoints: GcpEndpoints,
    /// Calls of Cloud KMS a minute, where the project's read quota is not 300.
    pub calls_per_minute: Option<NonZeroU32>,
}

impl Default for GcpInventory {
    fn default() -> Self {
        Self {
            name: String::new(),
            projects: Vec::new(),
            locations: Vec::new(),
            iam_policies: true,
            access: GcpAccess::default(),
            endpoints: GcpEndpoints::default(),
            calls_per_minute: None,
        }
    }
}

/// Makes one source for each project.
///
/// # Errors
/// When the configuration or the credentials cannot be used.
#[allow(clippy::unused_async, reason = "tokens are renewed on the runtime that this needs")]
pub async fn sources(
    config: &GcpInventory,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    if config.projects.is_empty() {
        let detail = format!("`{}` names no project", config.name);
        return Err(SourceError::config(detail, "write projects = [\"my-project\"]"));
    }
    for location in &config.locations {
        if !is_plain_name(location) || location.contains('/') {
            let detail = format!("`{}` is not a location", location.escape_debug());
            return Err(SourceError::config(
                detail,
                "write it as in locations = [\"europe-west3\"]",
            ));
        }
    }
    let rate = config.calls_per_minute.unwrap_or(CALLS_PER_MINUTE);
    let mut made: Vec<Box<dyn Source>> = Vec::new();
    for project in &config.projects {
        check_project(project)?;
        let client = tools.client.fresh();
        let owner = config.access.quota_owner();
        let service = |address: &Option<String>, host: &str, per_minute| {
            let usual = format!("https://{host}.googleapis.com");
            let endpoint = Endpoint::parse(address.as_deref().unwrap_or(&usual))?;
            let auth = GcpAuth::load(&config.access, SCOPES, endpoint.is_loopback())?;
            let quota = tools.quotas.get(&format!("gcp/{host}/{owner}"), per_minute);
            Ok::<_, SourceError>(Api { client: client.clone(), endpoint, auth, quota })
        };
        let slow = CALLS_PER_MINUTE.max(rate);
        made.push(Box::new(KmsSource {
            name: format!("{}/{project}", config.name),
            kms: service(&config.endpoints.kms, "cloudkms", rate)?,
            manager: service(&config.endpoints.resource_manager, "cloudresourcemanager", slow)?,
            logging: service(&config.endpoints.logging, "logging", slow)?,
            project: project.clone(),
            locations: config.locations.clone(),
            iam_policies: config.iam_policies,
            now: Timestamp::UNIX_EPOCH,
            tasks: VecDeque::new(),
            documents: Vec::new(),
            refused: BTreeMap::new(),
            notes: Vec::new(),
            rings_read: 0,
        }));
    }
    Ok(made)
}

/// The inventory of one project.
struct KmsSource {
    name: String,
    kms: Api,
    manager: Api,
    logging: Api,
    project: String,
    locations: Vec<String>,
    iam_policies: bool,
    now: Timestamp,
    tasks: VecDeque<Task>,
    documents: Vec<Item>,
    refused: BTreeMap<String, Refused>,
    notes: Vec<Note>,
    /// How many lists of key rings were read.
    rings_read: usize,
}

/// Where a permission was missing.
struct Refused {
    times: usize,
    call: String,
    detail: String,
}

#[async_trait]
impl Source for KmsSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Gcp
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.kms.client.counts())
    }

    fn start(&mut self, _: &History, window: Window) {
        self.now = window.now;
        let root = format!("projects/{}", self.project);
        self.tasks = if self.locations.is_empty() {
            VecDeque::from([Task::list(Of::Locations, root.clone())])
        } else {
            let place = |location: &String| Task::place(&format!("{root}/locations/{location}"));
            self.locations.iter().flat_map(place).collect()
        };
        self.tasks.push_back(Task::Auditing);
        self.tasks.push_back(Task::list(Of::Buckets, format!("{root}/locations/-")));
        self.documents.clear();
        self.refused.clear();
        (self.notes, self.rings_read) = (Vec::new(), 0);
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        while let Some(mut task) = self.tasks.pop_front() {
            if let Err(error) = self.run(&mut task).await {
                self.settle(task, error)?;
            }
            if self.documents.len() >= BATCH {
                return Ok(Some(self.batch()));
            }
        }
        self.tell_refused()?;
        let done = self.documents.is_empty() && self.notes.is_empty();
        Ok((!done).then(|| self.batch()))
    }
}

impl KmsSource {
    fn batch(&mut self) -> Batch {
        Batch {
            items: std::mem::take(&mut self.documents),
            notes: std::mem::take(&mut self.notes),
            ..Batch::default()
        }
    }

    /// Decides what an error of one task means for the rest.
    ///
    /// # Errors
    /// When nothing can be read without the task, or the service does not answer.
    fn settle(&mut self, task: Task, error: SourceError) -> Result<(), SourceError> {
        match error {
            _ if task.is_root() => Err(error),
            SourceError::Denied { call, detail, permission } => {
                if let Some(key) = task.unread_ring() {
                    self.tasks.push_front(key);
                }
                let times = 0;
                let refused =
                    self.refused.entry(permission).or_insert(Refused { times, call, detail });
                refused.times += 1;
                Ok(())
            }
            // Single-tenant HSMs are offered in some places alone.
            SourceError::Answer { status: 404 | 501, .. } if task.is_optional() => Ok(()),
            SourceError::Answer { status: 400..=499, .. } | SourceError::Content { .. } => {
                if let Some(key) = task.unread_ring() {
                    self.tasks.push_front(key);
                }
                let hint = Some("the inventory of this place is not complete".to_owned());
                self.notes.push(Note { message: error.to_string(), hint });
                Ok(())
            }
            error => {
                self.tasks.push_front(task);
                Err(error)
            }
        }
    }

    /// Tells what was refused, once for each permission.
    ///
    /// # Errors
    /// When no list of key rings could be read at all.
    fn tell_refused(&mut self) -> Result<(), SourceError> {
        let refused = std::mem::take(&mut self.refused);
        for (permission, Refused { times, call, detail }) in refused {
            if permission == Of::Rings.spec().permission && self.rings_read == 0 {
                return Err(SourceError::Denied { call, detail, permission });
            }
            let more =
                if times > 1 { format!(", and {} more calls", times - 1) } else { String::new() };
            self.notes.push(Note {
                message: format!(
                    "{call}{more} were refused: the inventory of project {} lacks what they tell",
                    self.project
                ),
                hint: Some(format!("grant {permission}")),
            });
        }
        Ok(())
    }

    async fn run(&mut self, task: &mut Task) -> Result<(), SourceError> {
        match task {
            Task::List(list) => self.list(list).await,
            Task::RingPolicy { ring } => {
                let call = format!("cloudkms keyRings.getIamPolicy of {ring}");
                let what = What::new(call, "cloudkms.keyRings.getIamPolicy");
                let policy = self.policy(&what, ring).await?;
                self.tasks.push_front(Task::keys(ring, Some(walk::inherited(&policy, ring))));
                Ok(())
            }
            Task::KeyPolicy { key, granted } => {
                let call = format!("cloudkms cryptoKeys.getIamPolicy of {key}");
                let what = What::new(call, "cloudkms.cryptoKeys.getIamPolicy");
                let own = self.policy(&what, key).await?;
                let policy = walk::effective(own, granted.as_ref().map(|all| all.as_slice()));
                self.keep(InventoryKind::GcpIamPolicy, policy, Some(key));
                Ok(())
            }
            Task::Auditing => self.auditing().await,
        }
    }

    async fn policy(&self, what: &What, resource: &str) -> Result<Value, SourceError> {
        let path = format!("/v1/{resource}:getIamPolicy?options.requestedPolicyVersion=3");
        object(what, &self.kms.get(what, &path).await?)
    }

    /// Reads one page of a list and plans what follows from it: what is below its items, then the
    /// next page, so that little waits at a time.
    async fn list(&mut self, list: &mut Listing) -> Result<(), SourceError> {
        let spec = list.of.spec();
        let what = What::new(format!("{} of {}", spec.call, list.parent), spec.permission);
        let path = format!("/{}/{}/{}", spec.version, list.parent, spec.collection);
        let asked = List { path: &path, member: spec.member, query: spec.query };
        let api = if list.of == Of::Buckets { &self.logging } else { &self.kms };
        let page = api.page(&what, &asked, list.tokens.current()).await?;
        let more = list.tokens.turn(&what, page.next)?;
        self.rings_read += usize::from(list.of == Of::Rings);
        let mut below = Vec::new();
        for item in page.items {
            let name = item.string(&["name"]).filter(|name| is_plain_name(name));
            let Some(name) = name else {
                let message = format!("{} gave something without a usable name", what.call);
                self.notes.push(Note { message, hint: None });
                continue;
            };
            below.extend(list.below(&name, self.iam_policies));
            if let Some(kind) = spec.kind {
                self.keep(kind, item, None);
            }
        }
        if more {
            self.tasks.push_front(Task::List(std::mem::take(list)));
        }
        for task in below.into_iter().rev() {
            self.tasks.push_front(task);
        }
        Ok(())
    }

    fn keep(&mut self, kind: InventoryKind, value: Value, key: Option<&str>) {
        let context = InventoryContext {
            account: Some(self.project.clone()),
            region: None,
            key_hint: key.map(str::to_owned),
        };
        self.documents.push(Item::Document { kind, value, context, captured_at: self.now });
    }

    /// What the project and everything above it have audited. A level that cannot be read leaves it
    /// open.
    async fn auditing(&mut self) -> Result<(), SourceError> {
        let mut policy =
            hierarchy::policy(&self.manager, &format!("projects/{}", self.project)).await?;
        let above = hierarchy::ancestors(&self.manager, &self.project).await?;
        for level in above {
            match hierarchy::policy(&self.manager, &level).await {
                Ok(other) => walk::add_audit_configs(&mut policy, &other),
                Err(
                    error @ (SourceError::Denied { .. }
                    | SourceError::Answer { status: 400..=499, .. }),
                ) => {
                    walk::add_unread(&mut policy, &level);
                    self.settle(Task::Auditing, error)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.keep(InventoryKind::GcpAuditConfig, policy, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
