//! Resource logs of vaults, Managed HSMs and Cloud HSM clusters, from a Log Analytics workspace: the
//! other way than the blobs that a diagnostic setting writes. A subscription and kind of log is read by
//! one way alone, since the two share no identity of records.
//!
//! - Each table is asked for by slices of `TimeGenerated`. A slice with too many rows is halved; an
//!   answer that says that it is partial is never taken for whole. A table that does not exist has no
//!   rows.
//! - Rows come minutes late as a rule, hours at times. Coverage ends [`LATENESS`] before now, and each
//!   run also asks for rows that came since the last run and tell of any time before its slices.
//! - Resource logs are not lossless (Microsoft says so), and are written only while a diagnostic
//!   setting says so. A log of a subscription is covered only for the time between two runs, or more,
//!   that found the same vaults (HSMs, clusters), each with a setting that sends its audit events to
//!   this workspace, and only where the workspace neither transforms nor caps what it is sent. A vault
//!   that was made, deleted and purged between two runs is not seen; one that was only deleted is.
//! - What a row's raw record is: see the module `query`.

mod look;
mod query;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Context;
use super::super::http::{Client, Counts};
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{self, ARM, Api, Ask, AzureEndpoints, LOG_ANALYTICS, is_general, note};
use super::auth::AzureAccess;
use super::resource::Resource;
use super::slices::{after, before, cut, resume};
use crate::event::Provider;
use crate::finding::{Coverage, Period};
use look::{Look, TableState, Workspace, read_at, summary};
use query::{CLOUD_HSM, KEY_VAULT, Question, Rows, Table};

/// How long after an operation its row may still appear; ten minutes are usual.
pub const LATENESS: SignedDuration = SignedDuration::from_hours(2);

/// How far back late rows are looked for.
const LATEST: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How much before the last run's time rows may have come that it did not see.
const INGESTING: SignedDuration = SignedDuration::from_hours(1);

/// The widest and the narrowest stretch that is asked for at once.
const WIDEST: SignedDuration = SignedDuration::from_hours(24);
const NARROWEST: SignedDuration = SignedDuration::from_millis(1);

/// How many rows an answer may have: far below the API's 500,000, for memory's sake.
const MOST_ROWS: usize = 4_000;

/// A batch ends with the slice that reaches one of these.
const BATCH_RECORDS: usize = 2_000;
const BATCH_BYTES: usize = 4 << 20;

const READ_ROWS: &str =
    "Log Analytics Reader on the workspace (Microsoft.OperationalInsights/workspaces/query/*/read)";

/// A log that a workspace may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkspaceLog {
    /// Audit events of vaults.
    KeyVault,
    /// Audit events of Managed HSMs.
    ManagedHsm,
    /// Operations of Cloud HSM clusters.
    CloudHsm,
}

impl WorkspaceLog {
    const ALL: [Self; 3] = [Self::KeyVault, Self::ManagedHsm, Self::CloudHsm];

    /// A part of the lower-case ids of its resources.
    const fn resources(self) -> &'static str {
        match self {
            Self::KeyVault => "/providers/microsoft.keyvault/vaults/",
            Self::ManagedHsm => "/providers/microsoft.keyvault/managedhsms/",
            Self::CloudHsm => "/providers/microsoft.hardwaresecuritymodules/cloudhsmclusters/",
        }
    }
}

/// Logs of some subscriptions in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureWorkspace {
    /// What the source is called.
    pub name: String,
    /// The workspace's Resource Manager id:
    /// `/subscriptions/…/resourceGroups/…/providers/Microsoft.OperationalInsights/workspaces/…`.
    pub workspace: String,
    /// The subscriptions whose logs are wanted.
    pub subscriptions: Vec<String>,
    /// Which logs: `key_vault`, `managed_hsm`, `cloud_hsm`.
    #[serde(default = "all_logs")]
    pub logs: Vec<WorkspaceLog>,
    /// As whom to read.
    #[serde(default)]
    pub access: AzureAccess,
    /// Other addresses than those of the cloud.
    #[serde(default)]
    pub endpoints: AzureEndpoints,
}

fn all_logs() -> Vec<WorkspaceLog> {
    WorkspaceLog::ALL.to_vec()
}

/// A source for each subscription.
///
/// # Errors
/// When the configuration or its credentials cannot be used.
#[allow(clippy::unused_async, reason = "every kind of source is made by an async function")]
pub async fn sources(
    config: &AzureWorkspace,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let (access, set) = (&config.access, &config.endpoints);
    let workspace = workspace_id(&config.workspace)?;
    let arm_auth = ARM.auth(access, tools, set.arm.as_deref())?;
    let query_auth = LOG_ANALYTICS.auth(access, tools, set.log_analytics.as_deref())?;
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for subscription in &config.subscriptions {
        let subscription = api::subscription_id(subscription)?;
        let client = tools.client.fresh();
        let arm = (&ARM, set.arm.as_deref());
        let arm = Api::new(arm, access, (tools, &client), &arm_auth, &subscription)?;
        let queries = (&LOG_ANALYTICS, set.log_analytics.as_deref());
        let queries = Api::new(queries, access, (tools, &client), &query_auth, "")?;
        let short = workspace.rsplit('/').next().unwrap_or_default();
        sources.push(Box::new(WorkspaceSource {
            name: format!("{}/{subscription}/workspace/{short}", config.name),
            subscription,
            workspace: workspace.clone(),
            logs: config.logs.clone(),
            client,
            arm,
            queries,
            look: Look::default(),
            state: State::Over,
        }));
    }
    Ok(sources)
}

/// The lower-case id of a workspace, fit for a path.
fn workspace_id(text: &str) -> Result<String, SourceError> {
    let id = Resource::parse(text).id;
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '(' | ')');
    let parts: Vec<&str> = id.split('/').collect();
    let is_one = matches!(
        parts.as_slice(),
        ["", "subscriptions", _, "resourcegroups", _, "providers", provider, "workspaces", name]
            if *provider == "microsoft.operationalinsights" && !name.is_empty()
    );
    if is_one && id.chars().all(legal) && !id.contains("..") {
        return Ok(id);
    }
    let shown: String = text.chars().take(100).flat_map(char::escape_debug).collect();
    let hint = "`az monitor log-analytics workspace list --query [].id` shows the ids";
    Err(SourceError::config(format!("`{shown}` is no id of a Log Analytics workspace"), hint))
}

struct WorkspaceSource {
    name: String,
    subscription: String,
    workspace: String,
    logs: Vec<WorkspaceLog>,
    client: Client,
    arm: Api,
    queries: Api,
    look: Look,
    state: State,
}

enum State {
    /// What is wanted, and where earlier runs stood.
    Begun {
        history: History,
        window: Window,
    },
    Reading(Box<Reading>),
    /// What was read has been handed on; this follows.
    Failed(SourceError),
    Over,
}

/// A window that is being read.
struct Reading {
    guid: String,
    now: Timestamp,
    /// How far it is read.
    at: Timestamp,
    until: Timestamp,
    /// How much is asked for at once.
    width: SignedDuration,
    tables: Vec<&'static Table>,
    /// Stretches of rows that came late, and since when they came.
    late: VecDeque<(Period, Timestamp)>,
    notes: Vec<Note>,
    /// Whether a batch has told what was found about diagnostic settings.
    told: bool,
}

#[async_trait]
impl Source for WorkspaceSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Azure
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.client.counts())
    }

    fn sum_up(&self, history: &History) -> Vec<Value> {
        summary(history)
    }

    fn start(&mut self, history: &History, window: Window) {
        self.look = Look::last(history);
        self.state = State::Begun { history: history.clone(), window };
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let mut reading = match std::mem::replace(&mut self.state, State::Over) {
            State::Begun { history, window } => Box::new(self.begin(&history, window).await?),
            State::Reading(reading) => reading,
            State::Failed(error) => return Err(error),
            State::Over => return Ok(None),
        };
        let from = reading.at;
        let mut batch = Batch::default();
        let mut failed = None;
        let mut bytes = 0;
        while batch.items.len() < BATCH_RECORDS && bytes < BATCH_BYTES && !reading.is_over() {
            match self.slice(&mut reading).await {
                Ok(items) => {
                    bytes += items.iter().map(|(_, raw)| raw.len()).sum::<usize>();
                    batch.items.extend(items.into_iter().map(|(table, raw)| self.item(table, raw)));
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        batch.notes = std::mem::take(&mut reading.notes);
        self.finish(&mut batch, &mut reading, from);
        let is_nothing = batch.items.is_empty() && batch.cursor.is_none() && batch.notes.is_empty();
        match failed {
            Some(error) if is_nothing => return Err(error),
            Some(error) => self.state = State::Failed(error),
            None if reading.is_over() => {}
            None => self.state = State::Reading(reading),
        }
        Ok((!is_nothing).then_some(batch))
    }
}

impl Reading {
    fn is_over(&self) -> bool {
        self.late.is_empty() && self.at >= self.until
    }
}

impl WorkspaceSource {
    /// Finds the workspace and its tables, and what is known of those who write to it.
    async fn begin(&mut self, history: &History, window: Window) -> Result<Reading, SourceError> {
        let workspace = Workspace::find(&self.arm, &self.workspace).await?;
        let mut notes = Vec::new();
        let (days, is_known) = self.days(&workspace, &mut notes).await?;
        let now = window.now;
        for log in self.logs.clone() {
            let place = (&self.arm, self.subscription.as_str(), self.workspace.as_str());
            notes.extend(self.look.at(log, place, now).await?);
        }
        let unknown = (!is_known).then_some("not every table of it can be read in full");
        if let Some(reason) = workspace.loses.or(unknown) {
            self.look.forget();
            let message = format!("nothing of {} is covered: {reason}", self.workspace);
            notes.push(Note { message, hint: None });
        }
        let floor = before(now, SignedDuration::from_hours(24 * days - 1));
        let read_to = resume(history, floor);
        let at = window.since.or(read_to).unwrap_or(floor).max(floor);
        let lost = window.since.or_else(|| super::slices::reached(history));
        notes.extend(lost.filter(|lost| *lost < floor).map(|lost| self.gone(days, lost, floor)));
        Ok(Reading {
            guid: workspace.guid,
            now,
            at,
            until: window.until.min(now),
            width: WIDEST,
            tables: self.tables(),
            late: late(history, read_to.unwrap_or(at), floor),
            notes,
            told: false,
        })
    }

    fn gone(&self, days: i64, lost: Timestamp, floor: Timestamp) -> Note {
        Note {
            message: format!(
                "{} keeps rows for {days} days: those from {lost} to {floor} cannot be read, and \
                 are not covered",
                self.workspace
            ),
            hint: Some("keep its rows longer, or collect more often".to_owned()),
        }
    }

    fn tables(&self) -> Vec<&'static Table> {
        let wants = |log| self.logs.contains(&log);
        let key_vault = wants(WorkspaceLog::KeyVault) || wants(WorkspaceLog::ManagedHsm);
        let mut tables: Vec<&'static Table> = Vec::new();
        tables.extend(KEY_VAULT.iter().filter(|_| key_vault));
        tables.extend(CLOUD_HSM.iter().filter(|_| wants(WorkspaceLog::CloudHsm)));
        tables
    }

    /// For how many days all tables keep their rows, and whether that is known of each of them.
    async fn days(
        &self,
        workspace: &Workspace,
        notes: &mut Vec<Note>,
    ) -> Result<(i64, bool), SourceError> {
        let (mut least, mut is_known) = (None, true);
        for table in self.tables() {
            match workspace.table(&self.arm, &self.workspace, table).await {
                Ok(TableState::Absent) => {}
                Ok(TableState::Kept(days)) => {
                    least = Some(least.map_or(days, |least: i64| least.min(days)));
                }
                Ok(TableState::Limited) => is_known = false,
                Err(error) if is_general(&error) => return Err(error),
                Err(error) => {
                    let lost = format!("how long {} keeps its rows is not known", table.name);
                    notes.push(note(&lost, &error));
                    is_known = false;
                }
            }
        }
        Ok((least.unwrap_or(workspace.days), is_known))
    }

    /// Reads one slice of every table. With too many rows it is made narrower, and read next time.
    async fn slice(
        &self,
        reading: &mut Reading,
    ) -> Result<Vec<(&'static Table, String)>, SourceError> {
        let to = after(reading.at, reading.width).min(reading.until);
        let next = (Period { from: reading.at, to }, None);
        let late = reading.late.front().map(|(period, since)| (*period, Some(*since)));
        let (period, ingested_from) = late.unwrap_or(next);
        let found = self.ask(reading, period, ingested_from).await?;
        // Taken off once it is read, so that no cursor says so before.
        let late = reading.late.pop_front();
        let Some(items) = found else {
            let width = period.to.duration_since(period.from) / 2;
            if width < NARROWEST {
                let detail = format!("more than {MOST_ROWS} rows tell of {}", period.from);
                return Err(SourceError::content("azure:Query", detail));
            }
            let Some((_, since)) = late else {
                reading.width = width;
                return Ok(Vec::new());
            };
            let middle = after(period.from, width);
            reading.late.push_front((Period { from: middle, ..period }, since));
            reading.late.push_front((Period { to: middle, ..period }, since));
            return Ok(Vec::new());
        };
        if ingested_from.is_none() {
            reading.at = period.to;
            if items.len() < MOST_ROWS / 4 {
                reading.width = (reading.width * 2).min(WIDEST);
            }
        }
        Ok(items)
    }

    /// The rows of every table; `None` where there are too many.
    async fn ask(
        &self,
        reading: &mut Reading,
        period: Period,
        ingested_from: Option<Timestamp>,
    ) -> Result<Option<Vec<(&'static Table, String)>>, SourceError> {
        let resources: Vec<&'static str> = self.logs.iter().map(|log| log.resources()).collect();
        let question = Question {
            subscription: &self.subscription,
            resources: &resources,
            period,
            ingested_from,
            most: MOST_ROWS,
        };
        let mut all = Vec::new();
        for table in reading.tables.clone() {
            let name = format!("azure:Query {} for {}", table.name, self.subscription);
            let ask = Ask::new(name, READ_ROWS);
            let path = format!("/v1/workspaces/{}/query", reading.guid);
            let body = json!({"query": question.text(table)});
            let rows = match self.queries.post(&ask, &path, &body).await {
                Ok(answer) => query::rows(&ask, &answer, MOST_ROWS)?,
                Err(error) => query::refused(error, table)?,
            };
            match rows {
                Rows::All(rows) => all.extend(rows.into_iter().map(|raw| (table, raw))),
                Rows::TooMany => return Ok(None),
                Rows::NoTable => reading.tables.retain(|held| *held != table),
            }
        }
        Ok(Some(all))
    }

    fn item(&self, table: &Table, raw: String) -> Item {
        Item::Record {
            format: table.format,
            raw,
            transport: "log_analytics",
            context: Context { account: Some(self.subscription.clone()), ..Context::default() },
        }
    }

    /// Tells what the slices since `from` prove, and leaves what the next run needs.
    fn finish(&self, batch: &mut Batch, reading: &mut Reading, from: Timestamp) {
        let end = before(reading.now, LATENESS);
        let read = cut(Period { from, to: reading.at }, end);
        batch.reached = Some(reading.at);
        if read.is_none() && reading.told && !reading.is_over() {
            return;
        }
        reading.told = true;
        let mut cursor = json!({"logging": self.look.cursor()});
        if let (Some(period), Some(members)) = (read, cursor.as_object_mut()) {
            members.insert("from".to_owned(), period.from.to_string().into());
            members.insert("to".to_owned(), period.to.to_string().into());
        }
        // Until then, rows that came late have been asked for.
        if let Some(members) = cursor.as_object_mut().filter(|_| reading.late.is_empty()) {
            members.insert("read_at".to_owned(), reading.now.to_string().into());
        }
        batch.cursor = Some(cursor);
        for log in &self.logs {
            let since = self.look.since(log.kind());
            let whole = read.zip(since).and_then(|(period, since)| {
                cut(Period { from: period.from.max(since), ..period }, end)
            });
            batch.coverage.extend(whole.map(|period| self.coverage(*log, period)));
        }
    }

    fn coverage(&self, log: WorkspaceLog, period: Period) -> Coverage {
        Coverage {
            ledger: format!("azure/{}", self.subscription),
            region: None,
            kind: log.kind().to_owned(),
            period,
            method: "exhausted_pages".to_owned(),
            status: "covered".to_owned(),
            detail: Some(format!(
                "every row of the workspace was read, and each of the {} had a diagnostic setting \
                 for it before and after; Microsoft does not promise that resource logs are \
                 lossless, and a setting may have been away in between",
                log.listing().what
            )),
        }
    }
}

/// Rows before `at` that came since the last run.
fn late(history: &History, at: Timestamp, floor: Timestamp) -> VecDeque<(Period, Timestamp)> {
    let from = before(at, LATEST).max(floor);
    let period = (from < at).then_some(Period { from, to: at });
    let late = period.zip(read_at(history)).map(|(period, at)| (period, before(at, INGESTING)));
    late.into_iter().collect()
}

#[cfg(test)]
mod tests;
