//! Audit logs in Cloud Storage: the source `gcp.bucket` reads what a sink of Cloud Logging writes.
//!
//! A sink writes files of JSON lines every hour, `<log>/YYYY/MM/DD/HH:MM:SS_HH:MM:SS_S0.json`, and
//! further ones (`…_A0.json`, `…_S1.json`) for entries that came late or did not fit.
//! <https://cloud.google.com/logging/docs/export/storage>

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use super::super::Context;
use super::super::bucket::{self, Bucket};
use super::super::http::Endpoint;
use super::super::objects::{Days, Found, Layout, ObjectSource, Place, Plan, Reach, Role};
use super::super::source::{Item, Note, Source, SourceError, Tools};
use super::auth::{GcpAccess, GcpAuth};
use super::parts::{Part, Parts};
use crate::event::{Format, Provider};

/// A bucket that a sink writes audit logs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// The source's name; it must not change.
    pub name: String,
    /// The bucket: `my-logs` or `gs://my-logs`.
    pub bucket: String,
    /// What stands before the logs in the bucket: nothing where a sink writes, something where they
    /// were copied to.
    #[serde(default)]
    pub prefix: String,
    /// The audit logs to read: `activity`, `data_access`, `system_event`, `policy`; all of them
    /// where it is absent.
    #[serde(default = "all_logs")]
    pub logs: Vec<AuditLog>,
    /// Days before the newest one read that are listed again, for files that come late; 3.
    #[serde(default = "relist_days")]
    pub relist_days: u16,
    /// Where Cloud Storage is reached instead of `https://storage.googleapis.com`.
    pub endpoint: Option<String>,
    /// Whose credentials are used.
    #[serde(default)]
    pub access: GcpAccess,
}

/// One of the audit logs of Google Cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditLog {
    /// Administration.
    Activity,
    /// Use and reading of keys.
    DataAccess,
    /// What Google did itself.
    SystemEvent,
    /// What a policy refused.
    Policy,
}

impl AuditLog {
    fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::DataAccess => "data_access",
            Self::SystemEvent => "system_event",
            Self::Policy => "policy",
        }
    }
}

fn all_logs() -> Vec<AuditLog> {
    vec![AuditLog::Activity, AuditLog::DataAccess, AuditLog::SystemEvent, AuditLog::Policy]
}

fn relist_days() -> u16 {
    3
}

/// How many days are read back where nothing was read yet.
const FIRST_DAYS: u16 = 90;

/// What reading a bucket needs.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";

/// Makes the source of a sink's bucket.
///
/// # Errors
/// When the configuration cannot be used.
#[allow(clippy::unused_async, reason = "the sources of all providers are made alike")]
pub async fn sources(
    config: &BucketConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let endpoint = config.endpoint.as_deref().map(Endpoint::parse).transpose()?;
    let loopback = endpoint.as_ref().is_some_and(Endpoint::is_loopback);
    let auth = GcpAuth::load(&config.access, &[SCOPE], loopback)?;
    let counts = Arc::clone(tools.client.fresh().counts());
    let name = config.bucket.strip_prefix("gs://").unwrap_or(&config.bucket).trim_end_matches('/');
    let bucket = bucket::gcs(name, endpoint.as_ref(), auth, &counts)?;
    let plan = Plan {
        name: config.name.clone(),
        bucket,
        layout: Box::new(SinkLayout::new(config)),
        reach: Reach { first: FIRST_DAYS, again: config.relist_days },
        counts,
    };
    Ok(vec![Box::new(ObjectSource::new(plan))])
}

/// The folders of the audit logs.
#[derive(Debug)]
struct SinkLayout {
    prefix: String,
    logs: Vec<AuditLog>,
}

impl SinkLayout {
    fn new(config: &BucketConfig) -> Self {
        let prefix = config.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { prefix, logs: config.logs.clone() }
    }
}

#[async_trait]
impl Layout for SinkLayout {
    fn provider(&self) -> Provider {
        Provider::Gcp
    }

    async fn places(&self, _: &Bucket) -> Result<Found, SourceError> {
        let place = |log: &AuditLog| Place {
            prefix: format!("{}cloudaudit.googleapis.com/{}", self.prefix, log.name()),
            role: Role::Lines,
            days: Days::Plain,
            context: Context::default(),
        };
        Ok(Found { places: self.logs.iter().map(place).collect(), ..Found::default() })
    }

    fn is_file(&self, _: Role, name: &str) -> bool {
        name.strip_suffix(".json").is_some()
    }

    fn put_together(&self, content: &Bytes, known: &Context) -> Option<(Bytes, Vec<Item>)> {
        memchr::memmem::find(content, b"\"totalSplits\"")?;
        let text = std::str::from_utf8(content).ok()?;
        let (mut left, mut parts, mut records) = (String::new(), Parts::default(), Vec::new());
        for line in text.split_inclusive('\n') {
            match Part::of(line) {
                Some(place) => records.extend(parts.add(place, line.trim().to_owned(), None)),
                None => left += line,
            }
        }
        // What is not whole stays in its place, and is told of as a part.
        for part in parts.give_up() {
            left += &format!("{}\n{part}\n", if left.is_empty() { "" } else { "\n" });
        }
        let record = |raw| Item::Record {
            format: Format::GcpAudit,
            raw,
            transport: "file",
            context: known.clone(),
        };
        Some((left.into(), records.into_iter().map(record).collect()))
    }

    fn caveat(&self, bucket: &Bucket) -> Note {
        Note {
            message: format!(
                "listing {} does not show what the sink's filter left out or what was never \
                 delivered: reading it covers nothing",
                bucket.address()
            ),
            hint: Some("add a source `gcp.logging` for coverage".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::objects::kit::{Shelf, run};
    use super::super::super::source::History;
    use super::*;

    #[tokio::test]
    async fn files_that_a_sink_adds_to_an_hour_later_are_read_and_others_are_left() {
        let now = (None, "2020-01-20T12:00:00Z");
        let shelf = Shelf::new();
        let log = "copy/cloudaudit.googleapis.com/data_access/2020/01/20";
        shelf.put(&format!("{log}/09:00:00_09:59:59_S0.json"), "{\"a\":1}\n").await;
        shelf.put("copy/syslog/2020/01/20/09:00:00_09:59:59_S0.json", "{}").await;
        let config = r#"{"name": "sink", "bucket": "b", "prefix": "copy/"}"#;
        let layout = SinkLayout::new(&serde_json::from_str(config).unwrap());
        let (mut source, mut history) = (shelf.source("gs://b", layout), History::default());
        let first = run(&mut source, &mut history, now).await;
        assert_eq!(first.addresses(), [format!("gs://b/{log}/09:00:00_09:59:59_S0.json")]);
        shelf.put(&format!("{log}/08:00:00_08:59:59_A0.json"), "{\"b\":2}\n").await;
        let second = run(&mut source, &mut history, now).await;
        assert_eq!(second.addresses(), [format!("gs://b/{log}/08:00:00_08:59:59_A0.json")]);
        assert!(run(&mut source, &mut history, now).await.batches.is_empty());
    }

    #[tokio::test]
    async fn the_parts_of_a_split_entry_in_a_file_become_one_record_and_the_rest_stays() {
        let shelf = Shelf::new();
        let part = |uid: &str, index: u8| {
            format!(r#"{{"split":{{"uid":"{uid}","index":{index},"totalSplits":2}}}}"#)
        };
        let lines = [
            "{\"a\":1}".to_owned(),
            part("u", 1),
            part("v", 0),
            "{\"b\":2}".to_owned(),
            part("u", 0),
        ];
        let name = "cloudaudit.googleapis.com/activity/2020/01/20/09:00:00_09:59:59_S0.json";
        shelf.put(name, lines.join("\n")).await;
        let config = r#"{"name": "sink", "bucket": "b"}"#;
        let layout = SinkLayout::new(&serde_json::from_str(config).unwrap());
        let (mut source, mut history) = (shelf.source("gs://b", layout), History::default());
        let found = run(&mut source, &mut history, (None, "2020-01-20T12:00:00Z")).await;
        let (_, left) = found.objects()[0];
        let left: Vec<&str> =
            std::str::from_utf8(left).unwrap().lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(left, ["{\"a\":1}", "{\"b\":2}", &part("v", 0)]);
        let records =
            found.batches.iter().flat_map(|batch| &batch.items).filter_map(|item| match item {
                Item::Record { raw, .. } => Some(raw.clone()),
                _ => None,
            });
        assert_eq!(records.collect::<Vec<_>>(), [format!("[{},{}]", part("u", 0), part("u", 1))]);
    }
}
