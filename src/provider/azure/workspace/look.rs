//! What must be known before a workspace's rows may count as a whole log: that each vault or HSM of
//! the subscription sends its audit events there, now and when the source was last read, and that the
//! workspace keeps what it is sent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::super::Json as _;
use super::super::super::source::{History, Note, SourceError};
use super::super::api::{Api, Ask, answered, is_general, note};
use super::super::estate::{
    self, CLUSTERS, DELETED_HSMS, DELETED_VAULTS, Listing, MANAGED_HSMS, VAULTS,
};
use super::super::record::{integer, member};
use super::WorkspaceLog;
use super::query::{Table, property};
use crate::event::sha256_hex;

const WORKSPACE_VERSION: &str = "api-version=2022-10-01";
const READ_WORKSPACE: &str = "Log Analytics Reader (Microsoft.OperationalInsights/workspaces/read)";
const READ_TABLES: &str =
    "Log Analytics Reader (Microsoft.OperationalInsights/workspaces/tables/read)";

/// The longest retention there is: twelve years.
const MOST_DAYS: i64 = 4383;

/// How many resources a note names.
const MOST_NAMED: usize = 5;

/// Since when each log is known to reach the workspace whole, and of which resources.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Look {
    since: BTreeMap<&'static str, (Timestamp, String)>,
}

/// A workspace as Resource Manager describes it.
#[derive(Debug)]
pub(super) struct Workspace {
    /// The id that queries name.
    pub(super) guid: String,
    /// How many days it keeps rows, for tables that say nothing else.
    pub(super) days: i64,
    /// Why rows that were sent there may be missing.
    pub(super) loses: Option<&'static str>,
}

impl WorkspaceLog {
    pub(super) const fn listing(self) -> &'static Listing {
        match self {
            Self::KeyVault => &VAULTS,
            Self::ManagedHsm => &MANAGED_HSMS,
            Self::CloudHsm => &CLUSTERS,
        }
    }

    /// The kind of coverage.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::KeyVault => "azure.keyvault.audit",
            Self::ManagedHsm => "azure.managedhsm.audit",
            Self::CloudHsm => "azure.cloudhsm.audit",
        }
    }
}

impl Look {
    /// What the last run found.
    pub(super) fn last(history: &History) -> Self {
        let mut cursors = history.cursors.iter().rev();
        let Some(held) = cursors.find_map(|cursor| cursor.at(&["logging"])) else {
            return Self::default();
        };
        let kinds = WorkspaceLog::ALL.iter().filter_map(|log| {
            let entry = held.at(&[log.kind()])?;
            Some((log.kind(), (entry.time(&["since"])?, entry.string(&["resources"])?)))
        });
        Self { since: kinds.collect() }
    }

    /// As it stands in a cursor.
    pub(super) fn cursor(&self) -> Value {
        let entries = self.since.iter().map(|(kind, (since, resources))| {
            ((*kind).to_owned(), json!({"since": since.to_string(), "resources": resources}))
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// Since when the log `kind` is known to reach the workspace.
    pub(super) fn since(&self, kind: &str) -> Option<Timestamp> {
        self.since.get(kind).map(|(since, _)| *since)
    }

    /// Nothing is known.
    pub(super) fn forget(&mut self) {
        self.since.clear();
    }

    /// Looks at the resources of one log now. It is whole from the time of the earliest of the looks
    /// in a row that found the same resources, each of them sending its audit events.
    ///
    /// # Errors
    /// When nothing else could be read either.
    pub(super) async fn at(
        &mut self,
        log: WorkspaceLog,
        (arm, subscription, workspace): (&Api, &str, &str),
        now: Timestamp,
    ) -> Result<Option<Note>, SourceError> {
        let before = self.since.remove(log.kind());
        let found = senders(log, arm, subscription, workspace).await;
        let (all, silent) = match found {
            Ok(found) => found,
            Err(error) if is_general(&error) => return Err(error),
            Err(error) => {
                let lost = format!(
                    "{} of {subscription} is not covered, since what sends it is not known",
                    log.kind()
                );
                return Ok(Some(note(&lost, &error)));
            }
        };
        if !silent.is_empty() {
            return Ok(Some(silence(log, &silent)));
        }
        if all.is_empty() {
            return Ok(None);
        }
        let digest = sha256_hex(all.join("\n").as_bytes());
        let same = before.filter(|(_, resources)| *resources == digest).map(|(since, _)| since);
        let since = match same {
            Some(since) if came_and_went(log, arm, subscription, since).await? => None,
            same => same,
        };
        let told = since.is_none().then(|| Note {
            message: format!(
                "{} of {subscription} is covered from now on: what was sent before this run, \
                 which is the first that finds exactly these {} and their diagnostic settings, is \
                 not known",
                log.kind(),
                log.listing().what
            ),
            hint: None,
        });
        self.since.insert(log.kind(), (since.unwrap_or(now), digest));
        Ok(told)
    }
}

/// The resources of a log, sorted, and those of them that do not send it to the workspace.
async fn senders(
    log: WorkspaceLog,
    arm: &Api,
    subscription: &str,
    workspace: &str,
) -> Result<(Vec<String>, Vec<String>), SourceError> {
    let listing = log.listing();
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for value in listing.read(arm, subscription).await? {
        let Some(resource) = estate::holder_id(&value, listing.holder) else {
            let detail = format!("an item of the {} has no usable id", listing.what);
            return Err(SourceError::content("azure:List", detail));
        };
        let settings = estate::settings(arm, &resource.id).await?;
        if !settings.iter().any(|setting| estate::sends_audit_to(setting, workspace)) {
            silent.push(resource.id.clone());
        }
        all.push(resource.id);
    }
    all.sort_unstable();
    Ok((all, silent))
}

/// Whether a resource that no look found was deleted after `since`: what it sent is not known. Where
/// that cannot be told, it may have been.
async fn came_and_went(
    log: WorkspaceLog,
    arm: &Api,
    subscription: &str,
    since: Timestamp,
) -> Result<bool, SourceError> {
    let listing = match log {
        WorkspaceLog::KeyVault => &DELETED_VAULTS,
        WorkspaceLog::ManagedHsm => &DELETED_HSMS,
        WorkspaceLog::CloudHsm => return Ok(false),
    };
    let deleted = match listing.read(arm, subscription).await {
        Ok(deleted) => deleted,
        Err(error) if is_general(&error) => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "what was deleted is not known");
            return Ok(true);
        }
    };
    let is_older = |value: &Value| {
        let time = value.time(&["properties", "deletionDate"]);
        time.is_some_and(|time| time < since)
    };
    Ok(!deleted.iter().all(is_older))
}

fn silence(log: WorkspaceLog, silent: &[String]) -> Note {
    let named: Vec<&str> = silent.iter().take(MOST_NAMED).map(String::as_str).collect();
    let more = silent.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Note {
        message: format!(
            "{} is not covered: {}{more} do not send their audit events to this workspace",
            log.kind(),
            named.join(", ")
        ),
        hint: Some(
            "make a diagnostic setting with category AuditEvent or category group audit; \
             docs/sources.md shows how"
                .to_owned(),
        ),
    }
}

impl Workspace {
    /// Asks Resource Manager for the workspace `id`.
    pub(super) async fn find(arm: &Api, id: &str) -> Result<Self, SourceError> {
        let ask = Ask::new(format!("azure:Get {id}"), READ_WORKSPACE);
        let value = arm.object(&ask, &format!("{id}?{WORKSPACE_VERSION}")).await?;
        let legal = |guid: &str| guid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let guid = property(&value, "customerId").filter(|guid| legal(guid) && guid.len() == 36);
        let guid = guid.ok_or_else(|| {
            SourceError::content(ask.name.clone(), "the workspace has no usable customerId")
        })?;
        let part = |name: &str| member(&value, "properties").and_then(|p| member(p, name));
        let capped = part("workspaceCapping")
            .and_then(|capping| member(capping, "dailyQuotaGb"))
            .is_some_and(|quota| quota.as_f64().is_none_or(|quota| quota >= 0.0));
        let loses = if part("defaultDataCollectionRuleResourceId").is_some() {
            Some("a data collection rule transforms what it is sent, and may drop rows")
        } else if capped {
            Some("it has a daily cap, beyond which it drops what it is sent")
        } else {
            None
        };
        let days = part("retentionInDays").and_then(integer).unwrap_or(30).clamp(1, MOST_DAYS);
        Ok(Self { guid: guid.into_owned(), days, loses })
    }

    /// Asks Resource Manager for a table.
    pub(super) async fn table(
        &self,
        arm: &Api,
        id: &str,
        table: &Table,
    ) -> Result<TableState, SourceError> {
        let ask = Ask::new(format!("azure:Get table {} of {id}", table.name), READ_TABLES);
        let path = format!("{id}/tables/{}?{WORKSPACE_VERSION}", table.name);
        let value = match arm.object(&ask, &path).await {
            Ok(value) => value,
            Err(error) if answered(&error).is_some_and(|(status, _)| status == 404) => {
                return Ok(TableState::Absent);
            }
            Err(error) => return Err(error),
        };
        let plan = property(&value, "plan").unwrap_or_default();
        if !plan.is_empty() && !plan.eq_ignore_ascii_case("Analytics") {
            return Ok(TableState::Limited);
        }
        let days = member(&value, "properties").and_then(|p| member(p, "retentionInDays"));
        let days = days.and_then(integer).filter(|days| *days > 0).unwrap_or(self.days);
        Ok(TableState::Kept(days.min(MOST_DAYS)))
    }
}

/// What Resource Manager says of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableState {
    /// There is none.
    Absent,
    /// Its plan (Basic, Auxiliary) does not let everything be queried.
    Limited,
    /// Its rows are kept for so many days.
    Kept(i64),
}

/// The stretches that were read, then what the newest cursors tell.
pub(super) fn summary(history: &History) -> Vec<Value> {
    let mut newest = json!({"logging": Look::last(history).cursor()});
    if let (Some(read_at), Some(members)) = (read_at(history), newest.as_object_mut()) {
        members.insert("read_at".to_owned(), read_at.to_string().into());
    }
    let mut cursors = super::super::slices::sum_up(history);
    cursors.push(newest);
    cursors
}

/// Until when rows that came late were asked for.
pub(super) fn read_at(history: &History) -> Option<Timestamp> {
    history.cursors.iter().filter_map(|cursor| cursor.time(&["read_at"])).max()
}
