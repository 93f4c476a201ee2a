//! The Activity Log of subscriptions, by its REST API.
//!
//! - `$filter` takes one grammar alone: `eventTimestamp ge '…' and eventTimestamp le '…'`, and one
//!   field more at most. None is sent: a filter by resource provider loses the role assignments and
//!   diagnostic settings of vaults, one by resource answers nothing at times. What has nothing to do
//!   with keys is told by the mapper.
//! - The API keeps 90 days and refuses an earlier start. What is older is not read and not covered.
//! - Events come in no order, and 3 to 20 minutes after what they tell ("Activity log insights");
//!   [`LATENESS`] is three times that. The last hour before the cursor is read again each time, for
//!   what came later still; an event that was read before is known by its `eventDataId`.
//!
//! The page "Activity Logs - List" of the Azure Monitor REST API.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::super::Context;
use super::super::http::{Client, Counts};
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{self, ARM, Api, Ask, AzureEndpoints, Pages};
use super::auth::AzureAccess;
use super::slices::{after, before, cursor, cut, resume};
use crate::event::{Format, Provider};
use crate::finding::{Coverage, Period};

/// How long after an event it may still appear.
pub const LATENESS: SignedDuration = SignedDuration::from_hours(1);

/// How far before the cursor is read again.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// How far back the API goes, less what the first calls take.
const KEPT: SignedDuration = SignedDuration::from_mins(90 * 24 * 60 - 10);

/// What is asked for at once.
const SLICE: SignedDuration = SignedDuration::from_hours(24);

/// A batch ends with the page that reaches one of these.
const BATCH_RECORDS: usize = 2_000;
const BATCH_BYTES: usize = 4 << 20;

const PERMISSION: &str = "Microsoft.Insights/eventtypes/values/read";

/// The Activity Log of some subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureActivityLog {
    /// What the source is called.
    pub name: String,
    /// The subscriptions' ids.
    pub subscriptions: Vec<String>,
    /// As whom to read.
    #[serde(default)]
    pub access: AzureAccess,
    /// Other addresses than those of the cloud.
    #[serde(default)]
    pub endpoints: AzureEndpoints,
}

/// A source for each subscription.
///
/// # Errors
/// When the configuration or its credentials cannot be used.
#[allow(clippy::unused_async, reason = "every kind of source is made by an async function")]
pub async fn sources(
    config: &AzureActivityLog,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let arm = config.endpoints.arm.as_deref();
    let auth = ARM.auth(&config.access, tools, arm)?;
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for subscription in &config.subscriptions {
        let subscription = api::subscription_id(subscription)?;
        let client = tools.client.fresh();
        let api = Api::new((&ARM, arm), &config.access, (tools, &client), &auth, &subscription)?;
        let name = format!("{}/{subscription}/activity", config.name);
        sources.push(Box::new(ActivitySource {
            name,
            subscription,
            client,
            api,
            way: None,
            notes: Vec::new(),
            failed: None,
        }));
    }
    Ok(sources)
}

struct ActivitySource {
    name: String,
    subscription: String,
    client: Client,
    api: Api,
    way: Option<Way>,
    notes: Vec<Note>,
    /// Why the batch before was the last.
    failed: Option<SourceError>,
}

/// How far the window has been read.
struct Way {
    at: Timestamp,
    until: Timestamp,
    now: Timestamp,
    slice: Option<(Pages, Timestamp)>,
}

#[async_trait]
impl Source for ActivitySource {
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
        super::slices::sum_up(history)
    }

    fn start(&mut self, history: &History, window: Window) {
        let floor = before(window.now, KEPT);
        let read_to = resume(history, floor);
        let wanted = window.since.or_else(|| Some(before(read_to?, OVERLAP)));
        let at = wanted.unwrap_or(floor).max(floor);
        let lost_from = window.since.or_else(|| super::slices::reached(history));
        if let Some(lost) = lost_from.filter(|from| *from < floor) {
            self.notes.push(Note {
                message: format!(
                    "the Activity Log of {} keeps 90 days: what happened from {lost} to {floor} \
                     cannot be read, and is not covered",
                    self.subscription
                ),
                hint: Some(
                    "route it to a storage account by a diagnostic setting of the subscription, \
                     and collect it at least monthly"
                        .to_owned(),
                ),
            });
        }
        let until = window.until.min(window.now);
        self.way = Some(Way { at, until, now: window.now, slice: None });
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if let Some(error) = self.failed.take() {
            self.way = None;
            return Err(error);
        }
        let Some(mut way) = self.way.take() else { return Ok(None) };
        let mut filling = Filling { from: way.at, ..Filling::default() };
        while filling.batch.items.len() < BATCH_RECORDS && filling.bytes < BATCH_BYTES {
            match self.step(&mut way, &mut filling).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        filling.batch.notes = std::mem::take(&mut self.notes);
        let batch = self.finished(&way, filling);
        let is_over = way.slice.is_none() && way.at >= way.until;
        self.way = (!is_over).then_some(way);
        let is_nothing = batch.items.is_empty() && batch.cursor.is_none() && batch.notes.is_empty();
        match self.failed.take() {
            Some(error) if is_nothing => {
                self.way = None;
                Err(error)
            }
            failed => {
                self.failed = failed;
                Ok((!is_nothing).then_some(batch))
            }
        }
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Filling {
    batch: Batch,
    bytes: usize,
    /// Where the first slice that it completes began.
    from: Timestamp,
    /// Up to where slices are complete.
    to: Option<Timestamp>,
}

impl ActivitySource {
    /// Reads one page more; false when the window is read.
    async fn step(&self, way: &mut Way, filling: &mut Filling) -> Result<bool, SourceError> {
        if way.slice.is_none() && way.at < way.until {
            let end = after(way.at, SLICE).min(way.until);
            way.slice = Some((self.pages(way.at, end), end));
        }
        let Some((pages, end)) = &mut way.slice else { return Ok(false) };
        let end = *end;
        let Some(records) = pages.next(&self.api).await? else {
            way.slice = None;
            way.at = end;
            filling.to = Some(end);
            return Ok(true);
        };
        for raw in records {
            filling.bytes += raw.len();
            filling.batch.items.push(self.record(raw));
        }
        Ok(true)
    }

    fn pages(&self, from: Timestamp, to: Timestamp) -> Pages {
        let ask = Ask::new(format!("azure:ActivityLogs in {}", self.subscription), PERMISSION);
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values\
             ?api-version=2015-04-01&$filter=eventTimestamp%20ge%20'{}'%20and%20eventTimestamp%20le%20'{}'",
            self.subscription,
            second(from, false),
            second(to, true)
        );
        Pages::new(&self.api, ask, &path)
    }

    fn record(&self, raw: String) -> Item {
        Item::Record {
            format: Format::AzureActivity,
            raw,
            transport: "activity_api",
            context: Context { account: Some(self.subscription.clone()), ..Context::default() },
        }
    }

    /// Tells what the slices that the batch completes prove: nothing of the last [`LATENESS`].
    fn finished(&self, way: &Way, filling: Filling) -> Batch {
        let Filling { mut batch, from, to, .. } = filling;
        batch.reached = to.or(Some(way.at));
        let read = to.and_then(|to| cut(Period { from, to }, before(way.now, LATENESS)));
        if let Some(period) = read {
            batch.cursor = Some(cursor(period));
            batch.coverage.push(Coverage {
                ledger: format!("azure/{}", self.subscription),
                region: None,
                kind: "azure.activity".to_owned(),
                period,
                method: "exhausted_pages".to_owned(),
                status: "covered".to_owned(),
                detail: Some(
                    "every page of the Activity Log API was read; Microsoft promises neither that \
                     an operation's last event is written nor when"
                        .to_owned(),
                ),
            });
        }
        batch
    }
}

/// A time in whole seconds, before or after: the filter's grammar shows no fractions.
fn second(time: Timestamp, up: bool) -> Timestamp {
    let more = i64::from(up && time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second().saturating_add(more)).unwrap_or(time)
}

#[cfg(test)]
mod tests;
