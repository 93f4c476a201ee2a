//! CloudTrail's event history, read with `LookupEvents`: each account and region for itself.
//!
//! - One lookup takes one attribute, so that each kind of log is a list of lookups (`topic`). A
//!   stretch of a kind is covered once all its lookups have been read to their last page.
//! - The history goes back 90 days ("Working with CloudTrail Event history" in the AWS CloudTrail
//!   user guide). Nothing older is read or covered, and a [`Note`] says what was out of reach.
//! - Events may come late: the last [`LATENESS`] before the time of collection are read and not
//!   covered, and each run reads again the last [`OVERLAP`] of what the one before it read.
//! - The history holds management events, which all calls of KMS are, whatever the trails select.
//!   Data events of Payment Cryptography are not in it.

mod page;
mod plan;
mod topic;

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Context;
use super::super::http::Counts;
use super::super::source::{Batch, History, Item, Note, Source, SourceError, Tools, Window};
use super::api::{Api, CLOUDTRAIL, Operation, Paging, Tokens};
use super::auth::AwsAccess;
use super::scope::{AwsEndpoints, Scope};
use crate::event::{Format, Provider};
use crate::finding::{Coverage, Period};
use page::Page;
use plan::{Part, before};
use topic::topics;

/// How late an event may come: "typically within 15 minutes of an API call" (AWS CloudTrail FAQs).
pub const LATENESS: SignedDuration = SignedDuration::from_mins(15);

/// How much of what was read is read again, for events that came later than that.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// How far back the history goes, less an hour for clocks that differ.
pub const REACH: SignedDuration = SignedDuration::from_hours(90 * 24 - 1);

/// A batch is yielded when it holds so many records, or so many bytes of them.
const BATCH_RECORDS: usize = 2_000;
const BATCH_BYTES: usize = 8 << 20;

const LOOKUP: Operation = CLOUDTRAIL.op("LookupEvents");

/// The section of a source of type `aws.lookup_events`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupConfig {
    /// The source's name; its parts are `<name>/<account>/<region>`.
    pub name: String,
    /// The regions to read, `["*"]` for all that the account has enabled.
    pub regions: Vec<String>,
    /// The roles to assume, one for each account; without any the account of the credentials.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Which credentials to use.
    #[serde(default)]
    pub access: AwsAccess,
    /// Where the services are, if not where AWS has them.
    #[serde(default)]
    pub endpoints: AwsEndpoints,
    /// Lookups a minute, where the quota of the account is not 120.
    #[serde(default)]
    pub calls_per_minute: Option<NonZeroU32>,
}

/// Makes the sources of a section: one for each account and region.
///
/// # Errors
/// When the section cannot be used. An account that cannot be reached becomes a source that says
/// so when it is read.
pub async fn sources(
    config: &LookupConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let scope = Scope {
        name: &config.name,
        access: &config.access,
        accounts: &config.accounts,
        regions: &config.regions,
        endpoints: &config.endpoints,
    };
    let rate = config.calls_per_minute;
    let made = |name, api| Box::new(Lookup::new(name, Api { per_minute: rate, ..api }));
    scope.expand(tools, |name, api| -> Box<dyn Source> { made(name, api) }).await
}

/// One account's event history in one region.
struct Lookup {
    name: String,
    api: Api,
    /// When it was made, which is before the time of collection: tells how old that time is.
    made: Instant,
    now: Timestamp,
    parts: Vec<Part>,
    slice: Option<Slice>,
    notes: Vec<Note>,
}

/// A stretch of one topic that is being read.
struct Slice {
    /// Which part.
    part: usize,
    period: Period,
    /// The lookups that are left; the first is being read.
    left: VecDeque<Lookups>,
    pages: usize,
    /// What is missing in it.
    missing: Option<String>,
}

/// One lookup of a slice.
struct Lookups {
    attribute: &'static str,
    value: &'static str,
    /// The end of what is asked for, in seconds, inclusive.
    end: i64,
    tokens: Tokens,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for Lookup {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Aws
    }

    fn counts(&self) -> Arc<Counts> {
        self.api.counts()
    }

    fn sum_up(&self, history: &History) -> Vec<Value> {
        plan::sum_up(history)
    }

    fn start(&mut self, history: &History, window: Window) {
        self.now = window.now;
        self.slice = None;
        let oldest = before(window.now, REACH);
        let parts = topics().into_iter().map(|topic| Part::new(topic, history, window, oldest));
        self.parts = parts.collect();
        self.notes = plan::out_of_reach(&self.parts).into_iter().collect();
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch { notes: std::mem::take(&mut self.notes), ..Batch::default() };
        let Some(mut slice) = self.slice.take().or_else(|| self.begin()) else {
            return Ok((!batch.notes.is_empty()).then_some(batch));
        };
        let mut bytes = 0;
        while !slice.left.is_empty() {
            if batch.items.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                self.slice = Some(slice);
                return Ok(Some(batch));
            }
            let page = self.page(&mut slice).await?;
            bytes += self.take(page, &mut slice, &mut batch);
        }
        self.end(&slice, &mut batch);
        Ok(Some(batch))
    }
}

impl Lookup {
    fn new(name: String, api: Api) -> Self {
        let (parts, notes) = (Vec::new(), Vec::new());
        let now = Timestamp::UNIX_EPOCH;
        Self { name, api, made: Instant::now(), now, parts, slice: None, notes }
    }

    /// The next slice, of the part that is furthest behind.
    fn begin(&self) -> Option<Slice> {
        let behind = self.parts.iter().enumerate().filter(|(_, part)| !part.is_done());
        let (index, part) = behind.min_by_key(|(_, part)| part.at)?;
        let period = part.slice();
        let lookup = |&(attribute, value): &(&'static str, &'static str)| Lookups {
            attribute,
            value,
            end: period.to.as_second(),
            tokens: Tokens::default(),
        };
        let left = part.topic.lookups.iter().map(lookup).collect();
        Some(Slice { part: index, period, left, pages: 0, missing: None })
    }

    /// Reads the next page of a slice.
    async fn page(&self, slice: &mut Slice) -> Result<Page, SourceError> {
        let from = slice.period.from.as_second();
        let Some(lookup) = slice.left.front_mut() else { return Ok(Page::default()) };
        let answer = self.api.json(LOOKUP, &lookup.ask(from)).await?;
        let call = self.api.named(LOOKUP);
        let page = Page::read(&answer, &call)?;
        slice.pages += 1;
        if lookup.tokens.advance(&call, page.token.as_deref())? {
            return Ok(page);
        }
        match page.goes_on_before(lookup.end).filter(|end| *end >= from) {
            Some(end) => (lookup.end, lookup.tokens) = (end, Tokens::default()),
            None => drop(slice.left.pop_front()),
        }
        Ok(page)
    }

    /// Puts the records of a page into a batch; tells how many bytes they have.
    fn take(&self, page: Page, slice: &mut Slice, batch: &mut Batch) -> usize {
        let mut bytes = 0;
        for found in page.events {
            match found {
                Ok(raw) => {
                    bytes += raw.len();
                    batch.items.push(self.item(raw));
                }
                Err(problem) => slice.missing = Some(problem),
            }
        }
        bytes
    }

    fn item(&self, raw: String) -> Item {
        let context = Context {
            account: Some(self.api.account.clone()),
            region: Some(self.api.region.clone()),
            ..Context::default()
        };
        Item::Record { format: Format::CloudTrail, raw, transport: "lookup_events", context }
    }

    /// Tells what a slice that was read to its end proves, and goes on.
    fn end(&mut self, slice: &Slice, batch: &mut Batch) {
        // Time has passed since the time of collection, and the history's beginning with it.
        let passed = SignedDuration::try_from(self.made.elapsed()).unwrap_or(SignedDuration::MAX);
        let oldest = before(self.now.checked_add(passed).unwrap_or(Timestamp::MAX), REACH);
        let Some(part) = self.parts.get_mut(slice.part) else { return };
        batch.reached = Some(slice.period.to);
        let settled = Period { to: slice.period.to.min(part.settled), ..slice.period };
        if settled.from < settled.to {
            batch.cursor = Some(part.cursor(settled));
            let seen = Period { from: settled.from.max(oldest), ..settled };
            match &slice.missing {
                Some(problem) => batch.notes.push(incomplete(problem, part.topic.word, settled)),
                None if seen.from < seen.to => batch.coverage.extend(self.api.covered(part, seen)),
                None => {}
            }
            // What grew too old while this was running is the history's moving edge, no loss.
            if seen.from.duration_since(settled.from) > OVERLAP {
                batch.notes.extend(plan::lost(settled.from, seen.from));
            }
        }
        part.advance(slice.period, slice.pages);
    }
}

impl Lookups {
    fn ask(&self, from: i64) -> Value {
        let mut body = json!({
            "LookupAttributes": [{"AttributeKey": self.attribute, "AttributeValue": self.value}],
            "StartTime": from,
            "EndTime": self.end,
            "MaxResults": page::SIZE,
        });
        if let (Some(members), Some(token)) = (body.as_object_mut(), self.tokens.next()) {
            members.insert(Paging::TOKEN.ask.to_owned(), Value::from(token));
        }
        body
    }
}

impl Api {
    /// That a stretch of a part has been read; `None` for what coverage is not told of.
    fn covered(&self, part: &Part, period: Period) -> Option<Coverage> {
        Some(Coverage {
            ledger: self.ledger(),
            region: Some(self.region.clone()),
            kind: part.topic.kind?.to_owned(),
            period,
            method: "exhausted_pages".to_owned(),
            status: "covered".to_owned(),
            detail: Some("CloudTrail's event history was read to its last page".to_owned()),
        })
    }
}

fn incomplete(problem: &str, word: &str, period: Period) -> Note {
    Note {
        message: format!("{word} from {} to {} is not covered: {problem}", period.from, period.to),
        hint: Some("read the trail's bucket, which holds every event whole".to_owned()),
    }
}

#[cfg(test)]
mod tests;
