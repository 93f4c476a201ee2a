//! Trails in S3: the source `aws.trail` reads the log files and digest files that `CloudTrail`
//! delivers to a bucket.
//!
//! Files lie below `[prefix/]AWSLogs/[o-…/]<account>/CloudTrail/<region>/YYYY/MM/DD/`, digest files
//! beside them below `CloudTrail-Digest`. Accounts and regions are found by listing, so that a new
//! one is not missed.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>

mod layout;

use std::sync::Arc;

use serde::Deserialize;

use super::super::bucket;
use super::super::http::Endpoint;
use super::super::objects::{ObjectSource, Plan, Reach};
use super::super::source::{Source, SourceError, Tools};
use super::auth::{AwsAccess, AwsAuth};

use layout::TrailLayout;

/// A bucket that trails are delivered to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailConfig {
    /// The source's name; it must not change.
    pub name: String,
    /// The bucket: `my-trail` or `s3://my-trail`.
    pub bucket: String,
    /// The region that the bucket is in.
    pub region: String,
    /// What stands before `AWSLogs` in the bucket.
    #[serde(default)]
    pub prefix: String,
    /// Organizations to read (`o-…`); all that are found where it is empty.
    #[serde(default)]
    pub organizations: Vec<String>,
    /// Accounts to read; all that are found where it is empty.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Regions whose logs are read; all that are found where it is empty.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether digest files are read, which prove that no log file is missing; they are.
    #[serde(default = "yes")]
    pub digests: bool,
    /// Days before the newest one read that are listed again, for files that come late; 3.
    #[serde(default = "relist_days")]
    pub relist_days: u16,
    /// Where S3 is reached instead of the region's own endpoint; the bucket follows in the path.
    pub endpoint: Option<String>,
    /// Whose credentials are used.
    #[serde(default)]
    pub access: AwsAccess,
}

fn yes() -> bool {
    true
}

fn relist_days() -> u16 {
    3
}

/// How many days are read back where nothing was read yet: as far as the event history goes.
const FIRST_DAYS: u16 = 90;

/// Makes the source of a trail's bucket.
///
/// # Errors
/// When the configuration cannot be used.
#[allow(clippy::unused_async, reason = "the sources of all providers are made alike")]
pub async fn sources(
    config: &TrailConfig,
    tools: &Tools,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let endpoint = config.endpoint.as_deref().map(Endpoint::parse).transpose()?;
    let loopback = endpoint.as_ref().is_some_and(Endpoint::is_loopback);
    let auth = AwsAuth::load(&config.access, &config.region, loopback)?;
    let counts = Arc::clone(tools.client.fresh().counts());
    let name = config.bucket.strip_prefix("s3://").unwrap_or(&config.bucket).trim_end_matches('/');
    let bucket = bucket::s3(name, &config.region, endpoint.as_ref(), auth, &counts)?;
    let plan = Plan {
        name: config.name.clone(),
        bucket,
        layout: Box::new(TrailLayout::new(config)),
        reach: Reach { first: FIRST_DAYS, again: config.relist_days },
        counts,
    };
    Ok(vec![Box::new(ObjectSource::new(plan))])
}
