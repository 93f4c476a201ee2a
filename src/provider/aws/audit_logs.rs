//! CloudHSM audit logs, read from CloudWatch Logs: each account and region for itself.
//!
//! - A cluster writes to the group `/aws/cloudhsm/<cluster-id>`: each HSM to a stream named for it,
//!   and certificate storage to a stream named for the cluster ("Viewing HSM audit logs in
//!   CloudWatch Logs" in the AWS CloudHSM user guide).
//! - Each stream is read with `GetLogEvents` from its oldest event on. The end of a stream is where
//!   the token that was sent comes back; a page without events is no end.
//! - Each run reads the last [`OVERLAP`] of a stream again, since CloudWatch Logs orders events by
//!   the time that the sender gives, and takes them late.
//! - No coverage is claimed here: the HSM numbers its events, and these numbers prove what was read.

mod stand;
mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Json as _;
use super::super::http::Counts;
use super::super::source::{Batch, History, Note, Source, SourceError, Tools, Window};
use super::api::{Api, LOGS, Paging};
use super::auth::AwsAccess;
use super::cloudhsm::is_id;
use super::scope::{AwsEndpoints, Scope};
use crate::event::Provider;
use stand::Stands;
use stream::{Place, Stream};

/// What the names of clusters' groups begin with.
const PREFIX: &str = "/aws/cloudhsm/";

/// How much of a stream is read again by each run.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// The section of a source of type `aws.cloudhsm`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLogsConfig {
    /// The source's name; its parts are `<name>/<account>/<region>`.
    pub name: String,
    /// The regions to read, `["*"]` for all that the account has enabled.
    pub regions: Vec<String>,
    /// The roles to assume, one for each account; without any the account of the credentials.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The ids of the clusters to read (`cluster-…`); without any all that have a log group.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// Which credentials to use.
    #[serde(default)]
    pub access: AwsAccess,
    /// Where the services are, if not where AWS has them.
    #[serde(default)]
    pub endpoints: AwsEndpoints,
}

/// Makes the sources of a section: one for each account and region.
///
/// # Errors
/// When the section cannot be used. An account that cannot be reached becomes a source that says
/// so when it is read.
pub async fn sources(
    config: &AuditLogsConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    if let Some(odd) = config.clusters.iter().find(|cluster| !is_id(cluster, "cluster-")) {
        let hint = "write its id as AWS does: cluster-likphkxygsn";
        return Err(SourceError::config(format!("`{odd}` is no cluster"), hint));
    }
    let scope = Scope {
        name: &config.name,
        access: &config.access,
        accounts: &config.accounts,
        regions: &config.regions,
        endpoints: &config.endpoints,
    };
    scope.expand(tools, |name, api| Box::new(AuditLogs::new(name, api, &config.clusters))).await
}

/// The audit logs of one account's clusters in one region.
struct AuditLogs {
    name: String,
    api: Api,
    clusters: Vec<String>,
    stands: Stands,
    window: Option<Window>,
    /// The streams that are left; `None` before they were listed.
    left: Option<VecDeque<Place>>,
    reading: Option<Stream>,
    notes: Vec<Note>,
}

impl fmt::Debug for AuditLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLogs").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for AuditLogs {
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
        Stands::of(history).cursors()
    }

    fn start(&mut self, history: &History, window: Window) {
        self.stands = Stands::of(history);
        self.window = Some(window);
        (self.left, self.reading) = (None, None);
        self.notes.clear();
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let Some(window) = self.window else { return Ok(None) };
        if self.left.is_none() {
            self.left = Some(self.streams().await?);
        }
        loop {
            if self.reading.is_none() {
                let place = self.left.as_mut().and_then(VecDeque::pop_front);
                self.reading = place.map(|place| Stream::open(place, &self.stands, window));
            }
            let Some(stream) = self.reading.as_mut() else { break };
            if stream.is_past() {
                self.reading = None;
                continue;
            }
            let (mut batch, ended) = stream.read(&self.api).await?;
            if ended {
                self.reading = None;
            }
            batch.notes.append(&mut self.notes);
            if !batch.items.is_empty() || !batch.notes.is_empty() {
                return Ok(Some(batch));
            }
        }
        let notes = std::mem::take(&mut self.notes);
        Ok((!notes.is_empty()).then(|| Batch { notes, ..Batch::default() }))
    }
}

impl AuditLogs {
    fn new(name: String, api: Api, clusters: &[String]) -> Self {
        Self {
            name,
            api,
            clusters: clusters.to_vec(),
            stands: Stands::default(),
            window: None,
            left: None,
            reading: None,
            notes: Vec::new(),
        }
    }

    /// The streams to read, in order; what should be there and is not becomes a note.
    async fn streams(&mut self) -> Result<VecDeque<Place>, SourceError> {
        let groups = self.groups().await?;
        let wanted = self.clusters.iter().map(|cluster| format!("{PREFIX}{cluster}"));
        let mut expected: Vec<String> = wanted.chain(self.stands.groups(&self.clusters)).collect();
        expected.sort();
        expected.dedup();
        expected.retain(|group| !groups.contains(group));
        self.notes.extend(expected.iter().map(|group| absent_group(group, &self.api.region)));
        let mut places = VecDeque::new();
        for group in groups {
            let streams = self.streams_of(&group).await?;
            let gone = self.stands.streams(&group).filter(|stream| !streams.contains(*stream));
            self.notes.extend(gone.map(|stream| gone_stream(&group, stream)));
            if streams.is_empty() {
                self.notes.push(empty_group(&group));
            }
            let place = |stream| Place { group: group.clone(), stream };
            places.extend(streams.into_iter().map(place));
        }
        Ok(places)
    }

    /// The groups of clusters, in order (CloudWatch Logs API Reference, `DescribeLogGroups`).
    async fn groups(&mut self) -> Result<Vec<String>, SourceError> {
        let body = json!({"logGroupNamePrefix": PREFIX, "limit": 50});
        let listing = (Paging::LOGS, "logGroups");
        let listed = self.api.listed(LOGS.op("DescribeLogGroups"), &body, listing).await?;
        let mut groups = self.names(&listed, ("logGroupName", "DescribeLogGroups"))?;
        groups.retain(|group| {
            let cluster = group.strip_prefix(PREFIX).filter(|rest| is_id(rest, "cluster-"));
            let Some(cluster) = cluster else {
                self.notes.push(odd_group(group));
                return false;
            };
            self.clusters.is_empty() || self.clusters.iter().any(|wanted| wanted == cluster)
        });
        Ok(groups)
    }

    /// The streams of a group, in order (CloudWatch Logs API Reference, `DescribeLogStreams`).
    async fn streams_of(&self, group: &str) -> Result<Vec<String>, SourceError> {
        let body = json!({"logGroupName": group, "limit": 50});
        let listing = (Paging::LOGS, "logStreams");
        let listed = self.api.listed(LOGS.op("DescribeLogStreams"), &body, listing).await?;
        self.names(&listed, ("logStreamName", "DescribeLogStreams"))
    }

    fn names(
        &self,
        listed: &[Value],
        (member, operation): (&str, &'static str),
    ) -> Result<Vec<String>, SourceError> {
        let nameless =
            || SourceError::content(self.api.named(LOGS.op(operation)), format!("no `{member}`"));
        let names: Result<Vec<String>, SourceError> =
            listed.iter().map(|item| item.string(&[member]).ok_or_else(nameless)).collect();
        let mut names = names?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

fn absent_group(group: &str, region: &str) -> Note {
    Note {
        message: format!("the log group {group} is not there in {region}: nothing of it is read"),
        hint: Some(
            "clusters made before 2018-01-20 log only with the role AWSServiceRoleForCloudHSM; \
             else look for DeleteLogGroup in CloudTrail"
                .to_owned(),
        ),
    }
}

fn odd_group(group: &str) -> Note {
    Note {
        message: format!(
            "the log group {} is named for no cluster: not read",
            group.escape_debug()
        ),
        hint: None,
    }
}

fn empty_group(group: &str) -> Note {
    Note {
        message: format!("the log group {group} has no stream: its HSMs logged nothing"),
        hint: Some("look for DeleteLogStream in CloudTrail".to_owned()),
    }
}

fn gone_stream(group: &str, stream: &str) -> Note {
    let stream = stream.escape_debug();
    Note {
        message: format!("the log stream {stream} of {group} was there before and is gone"),
        hint: Some(
            "look for DeleteLogStream in CloudTrail; what was read of it is kept".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
