//! The source over Cloud Logging's `entries:list`: Admin Activity and Data Access of Cloud KMS, and
//! what changes auditing and logging, for projects, folders and organizations.
//!
//! Admin Activity entries cannot be switched off, excluded or led elsewhere, so that a stretch read to
//! its last page covers `gcp.kms.admin` and `gcp.logging`. `gcp.kms.data` is covered only where two
//! collections prove that every use of a key was logged in between. Coverage ends an hour before
//! the time of collection, since entries may arrive late; what arrives later still is told.
//!
//! Method: "entries.list" in the Cloud Logging API reference: at most 1000 entries a page, ordered by
//! `timestamp`, pages may be empty; the read quota is 60 calls a minute and project.

mod auditing;
mod page;
mod plan;
mod scope;

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use self::auditing::{Changes, Look, Sight};
use self::page::{Page, cut};
use self::plan::{Cursor, LATENESS, MARGIN, Plan, Slice, earlier};
use self::scope::Scope;
use super::super::Context;
use super::super::http::{Client, Counts, Endpoint};
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{Api, GcpEndpoints, Tokens, What};
use super::auth::{GcpAccess, GcpAuth};
use super::parts::{Part, Parts};
use crate::event::{Format, Provider};
use crate::finding::{Coverage, Period};

/// What a token must allow.
const SCOPES: &[&str] = &[
    "https://www.googleapis.com/auth/logging.read",
    "https://www.googleapis.com/auth/cloud-platform.read-only",
];

/// More than 1000 is refused.
const PAGE_SIZE: u32 = 1000;

/// Cloud Logging's read quota was seen at 60 and at 120 calls a minute.
const CALLS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

const TRANSPORT: &str = "entries_list";

/// A body that is no JSON is asked for again this often.
const TORN_TRIES: usize = 3;

/// The kinds that the Admin Activity log covers.
const ADMIN_KINDS: &[&str] = &["gcp.kms.admin", "gcp.logging"];

/// Audit logs of Google Cloud, read from Cloud Logging. At least one project, folder or organization
/// is named; each is a source of its own. The log of a folder or organization does not hold those of
/// the projects in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcpLogging {
    /// What the source is called.
    pub name: String,
    /// Ids of projects (not their numbers).
    pub projects: Vec<String>,
    /// Numbers of folders.
    pub folders: Vec<String>,
    /// Numbers of organizations.
    pub organizations: Vec<String>,
    /// Whose credentials to use.
    pub access: GcpAccess,
    /// Where the services are, if not at Google's own addresses.
    pub endpoints: GcpEndpoints,
    /// Calls of Cloud Logging a minute, where the project's read quota is not 60.
    pub calls_per_minute: Option<NonZeroU32>,
}

/// Makes one source for each project, folder and organization.
///
/// # Errors
/// When the configuration or the credentials cannot be used.
#[allow(clippy::unused_async, reason = "tokens are renewed on the runtime that this needs")]
pub async fn sources(
    config: &GcpLogging,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let mut scopes = Vec::new();
    for id in &config.projects {
        scopes.push(Scope::project(id)?);
    }
    for id in &config.folders {
        scopes.push(Scope::folder(id)?);
    }
    for id in &config.organizations {
        scopes.push(Scope::organization(id)?);
    }
    if scopes.is_empty() {
        let detail = format!("`{}` names no project, folder or organization", config.name);
        return Err(SourceError::config(detail, "write projects = [\"my-project\"]"));
    }
    let services = Services::new(config, tools)?;
    let make = |scope| -> Box<dyn Source> {
        Box::new(LogSource::new(&config.name, scope, &services, &tools.client.fresh()))
    };
    Ok(scopes.into_iter().map(make).collect())
}

/// The services that a source calls, without a client.
struct Services {
    logging: Api,
    manager: Api,
}

impl Services {
    fn new(config: &GcpLogging, tools: &Tools) -> Result<Self, SourceError> {
        let owner = config.access.quota_owner();
        let service = |address: &Option<String>, usual: &str, quota| {
            let endpoint = Endpoint::parse(address.as_deref().unwrap_or(usual))?;
            let auth = GcpAuth::load(&config.access, SCOPES, endpoint.is_loopback())?;
            Ok::<_, SourceError>(Api { client: tools.client.clone(), endpoint, auth, quota })
        };
        let rate = config.calls_per_minute.unwrap_or(CALLS_PER_MINUTE);
        let quota = tools.quotas.get(&format!("gcp/logging-read/{owner}"), rate);
        let logging = service(&config.endpoints.logging, "https://logging.googleapis.com", quota)?;
        let manager = "https://cloudresourcemanager.googleapis.com";
        let quota = tools.quotas.get(
            &format!("gcp/resource-manager/{owner}"),
            rate.max(NonZeroU32::MIN.saturating_add(299)),
        );
        let manager = service(&config.endpoints.resource_manager, manager, quota)?;
        Ok(Self { logging, manager })
    }
}

/// One log.
struct LogSource {
    name: String,
    scope: Scope,
    logging: Api,
    manager: Api,
    plan: Option<Plan>,
    sights: Vec<Sight>,
    looked: bool,
    changes: Changes,
    logged_until: Option<Timestamp>,
    reading: Option<Reading>,
    parts: Parts,
    notes: Vec<Note>,
}

/// A slice that is being read.
struct Reading {
    slice: Slice,
    tokens: Tokens,
    pages: usize,
    /// The youngest entry so far; `None` once the order was broken.
    reached: Option<Timestamp>,
}

impl LogSource {
    fn new(name: &str, scope: Scope, services: &Services, client: &Client) -> Self {
        let with = |api: &Api| Api { client: client.clone(), ..api.clone() };
        let short = scope.account();
        Self {
            name: format!("{name}/{short}"),
            logging: with(&services.logging),
            manager: with(&services.manager),
            scope,
            plan: None,
            sights: Vec::new(),
            looked: false,
            changes: Changes::default(),
            logged_until: None,
            reading: None,
            parts: Parts::default(),
            notes: Vec::new(),
        }
    }

    /// Finds out, once a run, whether the use of keys is logged.
    async fn look(&mut self, now: Timestamp) -> Result<(), SourceError> {
        if self.looked {
            return Ok(());
        }
        if let Some(project) = self.scope.as_project() {
            let look = Look { project, logging: &self.logging, manager: &self.manager, now };
            let looked = look.take().await?;
            if looked.sight.on && !self.sights.iter().any(|sight| sight.on) {
                self.notes.push(Note {
                    message: format!(
                        "every use of a key in project {project} is logged now; it counts as \
                         covered from this collection to the next"
                    ),
                    hint: None,
                });
            }
            self.notes.extend(looked.notes);
            self.sights.push(looked.sight);
        }
        self.looked = true;
        Ok(())
    }

    fn what(&self) -> What {
        let call = format!("logging entries.list of {}", self.scope.resource());
        What::new(call, "logging.logEntries.list")
    }

    /// Gets the page of `reading` that comes next.
    async fn fetch(&self, reading: &Reading) -> Result<Page, SourceError> {
        let what = self.what();
        let period = Period { from: reading.slice.read_from, to: reading.slice.whole.to };
        let mut body = json!({
            "resourceNames": [self.scope.resource()],
            "filter": self.scope.filter(period),
            "orderBy": "timestamp asc",
            "pageSize": PAGE_SIZE,
        });
        if let (Some(token), Some(body)) = (reading.tokens.current(), body.as_object_mut()) {
            body.insert("pageToken".to_owned(), Value::from(token));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let answer =
                self.logging.post(&what, "/v2/entries:list?prettyPrint=false", &body).await?;
            match cut(&answer) {
                Ok(page) => return Ok(page),
                Err(_) if tries < TORN_TRIES => {}
                Err(detail) => return Err(SourceError::content(&what.call, detail)),
            }
        }
    }

    /// Takes a page in: what it says about order, lateness and changes of auditing. Parts of split
    /// entries are taken out of it until all parts of an entry are there, or none can come any more.
    fn take_in(&mut self, reading: &mut Reading, page: &mut Page) {
        reading.pages += 1;
        for entry in &page.entries {
            reading.reached = match (reading.reached, entry.time) {
                (Some(reached), Some(time)) if time >= reached => Some(time),
                _ => None,
            };
        }
        self.notes.extend(page::late_note(page, LATENESS));
        for entry in std::mem::take(&mut page.entries) {
            match Part::of(&entry.raw) {
                Some(place) => {
                    let more = self.parts.add(place, entry.raw, entry.time);
                    page.entries.extend(more.into_iter().map(page::Entry::from));
                }
                None => page.entries.push(entry),
            }
        }
        if page.next.is_none() {
            let rest = self.parts.give_up();
            // What is missing of entries that are so young is read by the next run.
            let rest = rest.into_iter().filter(|_| reading.slice.settled);
            page.entries.extend(rest.map(page::Entry::from));
        }
        let unknown = reading.slice.read_from;
        for entry in &page.entries {
            self.changes.found.extend(page::auditing_change(&entry.raw, unknown));
        }
    }

    /// What is proven read once `slice` is.
    fn coverage(&self, plan: &Plan, slice: Slice) -> Vec<Coverage> {
        if !slice.settled {
            return Vec::new();
        }
        let from = slice.whole.from.max(plan.floor);
        let whole = Period { from, to: slice.whole.to };
        let mut stretches: Vec<(&str, Period)> =
            ADMIN_KINDS.iter().map(|kind| (*kind, whole)).collect();
        for data in self.data_stretches(plan) {
            let period = Period { from: data.from.max(from), to: data.to.min(whole.to) };
            stretches.push(("gcp.kms.data", period));
        }
        let row = |(kind, period): (&str, Period)| Coverage {
            ledger: self.scope.ledger(),
            region: None,
            kind: kind.to_owned(),
            period,
            method: "exhausted_pages".to_owned(),
            status: "covered".to_owned(),
            detail: Some(format!(
                "entries.list of {}, read to the last page at {}",
                self.scope.resource(),
                plan.now()
            )),
        };
        stretches.into_iter().filter(|(_, period)| period.from < period.to).map(row).collect()
    }

    /// Where the use of keys is proven to have been logged, and not deleted since.
    fn data_stretches(&self, plan: &Plan) -> Vec<Period> {
        let on = self.sights.iter().filter(|sight| sight.on);
        // What was deleted under a shorter retention does not come back with a longer one.
        let days = on.map(|sight| sight.retention_days).min().unwrap_or(0).clamp(0, 100_000);
        let kept = SignedDuration::from_hours(days * 24).saturating_sub(MARGIN);
        let oldest = earlier(plan.now(), kept);
        let clip = |period: Period| Period { from: period.from.max(oldest), ..period };
        auditing::proven(&self.sights, &self.changes).into_iter().map(clip).collect()
    }

    fn batch(&mut self, page: Page, cursor: &Cursor, coverage: Vec<Coverage>) -> Batch {
        let account = Some(self.scope.account());
        let record = |raw: String| Item::Record {
            format: Format::GcpAudit,
            raw,
            transport: TRANSPORT,
            context: Context { account: account.clone(), ..Context::default() },
        };
        let logged_until = self.logged_until;
        let sight = self.sights.last().cloned();
        let cursor = Cursor { logged_until, sight, ..cursor.clone() };
        Batch {
            reached: cursor.part.map(|part| part.reached).or(cursor.settled),
            items: page.entries.into_iter().map(|entry| record(entry.raw)).collect(),
            coverage,
            cursor: serde_json::to_value(cursor).ok(),
            notes: std::mem::take(&mut self.notes),
        }
    }
}

#[async_trait]
impl Source for LogSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Gcp
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.logging.client.counts())
    }

    fn sum_up(&self, history: &History) -> Vec<Value> {
        let sights = auditing::ends(&sights_of(history));
        let mut cursors: Vec<Value> =
            sights.into_iter().map(|sight| json!({ "sight": sight })).collect();
        cursors.extend(history.newest().cloned());
        cursors
    }

    fn start(&mut self, history: &History, window: Window) {
        let plan = Plan::new(history, window);
        if let Some(asked) = plan.cut {
            self.notes.push(Note {
                message: format!(
                    "{} was asked for from {asked} on; Cloud Logging keeps 400 days, so that nothing \
                     before {} is covered",
                    self.scope.resource(),
                    plan.floor
                ),
                hint: Some("import older entries from the bucket that a sink wrote".to_owned()),
            });
        }
        self.sights = sights_of(history);
        self.changes = Changes { logged_until: plan.logged_until(), ..Changes::default() };
        self.changes.read_from = plan.began;
        self.logged_until = plan.logged_until();
        self.plan = Some(plan);
        (self.reading, self.looked) = (None, false);
        self.parts.give_up();
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(mut plan) = self.plan.take() else { return Ok(None) };
        let outcome = self.advance(&mut plan).await;
        self.plan = Some(plan);
        outcome
    }
}

impl LogSource {
    async fn advance(&mut self, plan: &mut Plan) -> Result<Option<Batch>, SourceError> {
        self.look(plan.now()).await?;
        loop {
            let mut reading = match self.reading.take() {
                Some(reading) => reading,
                None => match plan.next() {
                    Some(slice) => Reading::new(slice),
                    None => return Ok(self.last_words()),
                },
            };
            let mut page = match self.fetch(&reading).await {
                Ok(page) => page,
                Err(error) => {
                    self.reading = Some(reading);
                    return Err(error);
                }
            };
            self.take_in(&mut reading, &mut page);
            let slice = reading.slice;
            if reading.tokens.turn(&self.what(), page.next.clone())? {
                let cursor = plan.during(slice, self.parts.floor(reading.reached));
                self.reading = Some(reading);
                if page.entries.is_empty() {
                    continue;
                }
                return Ok(Some(self.batch(page, &cursor, Vec::new())));
            }
            let coverage = self.coverage(plan, slice);
            self.logged_until(&coverage, slice);
            let cursor = plan.done(slice, reading.pages);
            if slice.settled || !page.entries.is_empty() || !self.notes.is_empty() {
                return Ok(Some(self.batch(page, &cursor, coverage)));
            }
        }
    }

    /// Remembers how far the use of keys is proven to be logged, where that reaches the end of what
    /// is settled.
    fn logged_until(&mut self, coverage: &[Coverage], slice: Slice) {
        if !slice.settled {
            return;
        }
        let reaches =
            |row: &Coverage| row.kind == "gcp.kms.data" && row.period.to == slice.whole.to;
        self.logged_until = coverage.iter().any(reaches).then_some(slice.whole.to);
    }

    /// What is still to be told when everything is read.
    fn last_words(&mut self) -> Option<Batch> {
        let notes = std::mem::take(&mut self.notes);
        (!notes.is_empty()).then(|| Batch { notes, ..Batch::default() })
    }
}

impl Reading {
    fn new(slice: Slice) -> Self {
        let reached = Some(slice.read_from);
        Self { slice, tokens: Tokens::default(), pages: 0, reached }
    }
}

/// What earlier runs saw, oldest first.
fn sights_of(history: &History) -> Vec<Sight> {
    let of = |cursor: &Value| serde_json::from_value::<Sight>(cursor.get("sight")?.clone()).ok();
    let mut sights: Vec<Sight> = history.cursors.iter().filter_map(of).collect();
    sights.sort_by_key(|sight| sight.at);
    sights.dedup();
    sights
}

#[cfg(test)]
mod tests;
