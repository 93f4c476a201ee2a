//! One stream, read page by page (CloudWatch Logs API Reference, `GetLogEvents`).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::Context;
use super::super::super::source::{Batch, Item, Note, SourceError, Window};
use super::super::api::{Api, LOGS, Operation};
use super::super::cloudhsm::is_id;
use super::stand::{Stand, Stands};
use crate::event::Format;

/// A batch is yielded when it holds so many records, or so many bytes of them.
const BATCH_RECORDS: usize = 5_000;
const BATCH_BYTES: usize = 8 << 20;

/// More pages of one stream than this are taken for a fault of the service.
const MOST_PAGES: usize = 1_000_000;

const GET: Operation = LOGS.op("GetLogEvents");

/// A stream's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) stream: String,
}

/// A stream that is being read.
#[derive(Debug)]
pub(super) struct Stream {
    place: Place,
    stand: Stand,
    /// Where it stood before; what no batch changes need not be told again.
    before: Option<i64>,
    /// Whether the token is one of an earlier run.
    inherited: bool,
    seen: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// Always there: an answer without it is none of this operation's.
    events: Vec<LogEvent>,
    next_forward_token: Option<String>,
}

#[derive(Deserialize)]
struct LogEvent {
    timestamp: Option<i64>,
    message: Option<String>,
}

impl Stream {
    /// Goes on where the stream stood.
    pub(super) fn open(place: Place, stands: &Stands, window: Window) -> Self {
        let old = stands.stand(&place);
        let stand = old.begin(window);
        let inherited = stand.token.is_some();
        Self { place, stand, before: old.newest, inherited, seen: BTreeSet::new() }
    }

    /// Whether nothing is wanted of it: what is asked for ends before where it stands.
    pub(super) fn is_past(&self) -> bool {
        self.stand.from.zip(self.stand.until).is_some_and(|(from, until)| from >= until)
    }

    /// Reads a batch; tells whether the stream came to its end.
    ///
    /// # Errors
    /// When a page cannot be read. A stream that is not there any more is a note.
    pub(super) async fn read(&mut self, api: &Api) -> Result<(Batch, bool), SourceError> {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        let ended = loop {
            if batch.items.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                break false;
            }
            let Some(page) = self.page(api, &mut batch).await? else { break true };
            let next = page.next_forward_token.filter(|token| !token.is_empty());
            for event in page.events {
                bytes += self.take(event, api, &mut batch);
            }
            if next.is_none() || next == self.stand.token {
                break true;
            }
            self.go_on(next, api)?;
        };
        if ended {
            self.stand.token = None;
        }
        let moved = self.before != self.stand.newest || self.inherited || !ended;
        if moved && !batch.items.is_empty() {
            batch.cursor = Some(self.stand.cursor(&self.place));
        }
        batch.reached = self.stand.newest.and_then(|time| Timestamp::from_millisecond(time).ok());
        Ok((batch, ended))
    }

    /// The next page; `None` where the stream is gone.
    async fn page(&mut self, api: &Api, batch: &mut Batch) -> Result<Option<Page>, SourceError> {
        match api.read(GET, &self.ask()).await {
            Ok(page) => Ok(Some(page)),
            Err(SourceError::Answer { detail, .. })
                if detail.starts_with("ResourceNotFoundException") =>
            {
                batch.notes.push(super::gone_stream(&self.place.group, &self.place.stream));
                Ok(None)
            }
            Err(SourceError::Answer { detail, .. })
                if self.inherited && detail.starts_with("InvalidParameterException") =>
            {
                // The token has aged; what it stood for is asked for by time.
                (self.stand.token, self.inherited) = (None, false);
                api.read(GET, &self.ask()).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    fn ask(&self) -> Value {
        let mut body = json!({
            "logGroupName": self.place.group,
            "logStreamName": self.place.stream,
            "startFromHead": true,
        });
        let members = [
            ("startTime", self.stand.from.map(Value::from)),
            ("endTime", self.stand.until.map(Value::from)),
            ("nextToken", self.stand.token.clone().map(Value::from)),
        ];
        if let Some(object) = body.as_object_mut() {
            let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
            object.extend(given.map(|(name, value)| (name.to_owned(), value)));
        }
        body
    }

    /// Takes the token of the next page; one that came before, other than the one just sent, would
    /// be the same pages for ever.
    fn go_on(&mut self, token: Option<String>, api: &Api) -> Result<(), SourceError> {
        if let Some(token) = &token
            && (self.seen.len() >= MOST_PAGES || !self.seen.insert(token.clone()))
        {
            let detail = "its pages do not end: a token came twice";
            return Err(SourceError::content(api.named(GET), detail));
        }
        self.stand.token = token;
        Ok(())
    }

    /// Puts an event into a batch; tells how many bytes it has.
    fn take(&mut self, event: LogEvent, api: &Api, batch: &mut Batch) -> usize {
        self.stand.newest = self.stand.newest.max(event.timestamp);
        let Some(raw) = event.message.filter(|message| !message.trim().is_empty()) else {
            batch.notes.push(empty_event(&self.place, event.timestamp));
            return 0;
        };
        let context = Context {
            account: Some(api.account.clone()),
            region: Some(api.region.clone()),
            log_group: Some(self.place.group.clone()),
            log_stream: Some(self.place.stream.clone()),
        };
        let bytes = raw.len();
        let format = format_of(&self.place.stream, &raw);
        batch.items.push(Item::Record { format, raw, transport: "cloudwatch_logs", context });
        bytes
    }
}

/// Certificate storage writes JSON, to a stream that is named for the cluster.
fn format_of(stream: &str, raw: &str) -> Format {
    if is_id(stream, "cluster-") || raw.trim_start().starts_with('{') {
        Format::CloudHsmCertificates
    } else {
        Format::CloudHsmAudit
    }
}

fn empty_event(place: &Place, time: Option<i64>) -> Note {
    let time = time.and_then(|time| Timestamp::from_millisecond(time).ok());
    let time = time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string());
    Note {
        message: format!(
            "{} of {} holds an event without text at {time}",
            place.stream, place.group
        ),
        hint: None,
    }
}
