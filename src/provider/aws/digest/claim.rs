//! What a digest file says of itself.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::event::sha256_hex;
use crate::finding::Period;

use super::{DigestFile, bare_name};

/// What stands between account and region in the name of a digest file.
const MARK: &str = "_CloudTrail-Digest_";

/// The members of a digest file. Those of its predecessor are null in the first of a chain.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    aws_account_id: String,
    digest_start_time: String,
    digest_end_time: String,
    #[serde(rename = "digestS3Bucket")]
    digest_bucket: String,
    #[serde(rename = "digestS3Object")]
    digest_object: String,
    digest_public_key_fingerprint: String,
    digest_signature_algorithm: String,
    #[serde(rename = "previousDigestS3Bucket")]
    previous_bucket: Option<String>,
    #[serde(rename = "previousDigestS3Object")]
    previous_object: Option<String>,
    previous_digest_hash_value: Option<String>,
    previous_digest_hash_algorithm: Option<String>,
    previous_digest_signature: Option<String>,
    log_files: Vec<LogFile>,
}

/// A log file that a digest names.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogFile {
    #[serde(rename = "s3Bucket")]
    pub(super) bucket: String,
    #[serde(rename = "s3Object")]
    pub(super) object: String,
    pub(super) hash_value: String,
    pub(super) hash_algorithm: String,
    pub(super) newest_event_time: Option<String>,
    pub(super) oldest_event_time: Option<String>,
}

impl LogFile {
    /// Whether it may hold management events: files of Insights and of network activity are named
    /// after their category.
    pub(super) fn holds_management_events(&self) -> bool {
        !bare_name(&self.object).contains("_CloudTrail-")
    }
}

/// A trail's digests of one account and region: they follow on each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trail {
    /// Whose log.
    pub account: String,
    /// Of which region.
    pub region: String,
    /// The organization, where the trail is one of an organization.
    pub organization: Option<String>,
    /// The trail's name.
    pub name: String,
    /// The trail's home region.
    pub home: String,
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trail {} of {}", self.name, self.home)
    }
}

impl Trail {
    /// Reads the key of a digest file:
    /// `…/AWSLogs/[o-…/]ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOME_TIME.json.gz`.
    fn of(object: &str, account: &str) -> Option<Self> {
        let name = bare_name(object).strip_suffix(".json")?;
        let (_, rest) = name.strip_suffix("_backfill").unwrap_or(name).split_once(MARK)?;
        let (rest, _) = rest.rsplit_once('_')?;
        let (rest, home) = rest.rsplit_once('_')?;
        let (region, name) = rest.split_once('_')?;
        let inside = object.rsplit_once("AWSLogs/").map_or("", |(_, inside)| inside);
        let organization = inside.split('/').find(|part| part.starts_with("o-"));
        let whole = [account, region, name, home].iter().all(|part| !part.is_empty());
        whole.then(|| Self {
            account: account.to_owned(),
            region: region.to_owned(),
            organization: organization.map(str::to_owned),
            name: name.to_owned(),
            home: home.to_owned(),
        })
    }
}

/// The digest before another.
#[derive(Debug, Clone)]
pub(super) struct Previous {
    /// Bucket and key.
    pub(super) place: String,
    /// SHA-256 of its content.
    pub(super) hash: String,
}

/// What a digest file says of itself.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) trail: Trail,
    /// Bucket and key that it was delivered to.
    pub(super) place: String,
    /// The stretch whose deliveries it names.
    pub(super) period: Period,
    pub(super) fingerprint: String,
    /// SHA-256 of its content.
    pub(super) sha256: String,
    pub(super) previous: Option<Previous>,
    pub(super) previous_signature: Option<String>,
    /// Whether it names what an earlier digest of the same stretch left out.
    pub(super) is_backfill: bool,
    pub(super) logs: Vec<LogFile>,
    /// The end as it is written, which is signed.
    end: String,
    object: String,
}

impl Claim {
    /// Reads a digest file.
    pub(super) fn read(file: &DigestFile) -> Result<Self, String> {
        let members: Members = serde_json::from_str(&file.raw)
            .map_err(|error| format!("it is not a digest file as AWS writes them: {error}"))?;
        let Members { digest_bucket: bucket, digest_object: object, .. } = members;
        let trail = Trail::of(&object, &members.aws_account_id)
            .ok_or_else(|| format!("it names no trail: {object:?}"))?;
        let time = |text: &str| -> Result<Timestamp, String> {
            text.parse().map_err(|_| format!("its time cannot be read: {text:?}"))
        };
        let from = time(&members.digest_start_time)?;
        let period = Period { from, to: time(&members.digest_end_time)? };
        if period.from >= period.to {
            return Err("it ends before it begins".to_owned());
        }
        if members.digest_signature_algorithm != "SHA256withRSA" {
            let algorithm = members.digest_signature_algorithm;
            return Err(format!("it is signed by an algorithm that is not known: {algorithm:?}"));
        }
        let previous = match (members.previous_bucket, members.previous_object) {
            (Some(bucket), Some(object)) => Some(Previous {
                place: format!("{bucket}/{object}"),
                hash: members
                    .previous_digest_hash_value
                    .filter(|_| {
                        members.previous_digest_hash_algorithm.as_deref() == Some("SHA-256")
                    })
                    .map(|hash| hash.to_ascii_lowercase())
                    .ok_or("it names a digest before it without its SHA-256")?,
            }),
            _ => None,
        };
        Ok(Self {
            trail,
            place: format!("{bucket}/{object}"),
            period,
            fingerprint: members.digest_public_key_fingerprint.to_ascii_lowercase(),
            sha256: sha256_hex(file.raw.as_bytes()),
            previous,
            previous_signature: members.previous_digest_signature,
            is_backfill: bare_name(&object).ends_with("_backfill.json"),
            logs: members.log_files,
            end: members.digest_end_time,
            object,
        })
    }

    /// What its signature signs.
    pub(super) fn signed_text(&self) -> String {
        let previous = self.previous_signature.as_deref().unwrap_or("null");
        format!("{}\n{}\n{}\n{previous}", self.end, self.place, self.sha256)
    }

    /// Whether an address is where it was delivered to. Of a file the path tells what follows
    /// `AWSLogs`, or its name alone; a file that is not named like a digest tells nothing.
    pub(super) fn is_at(&self, address: &str) -> bool {
        if let Some(place) = address.strip_prefix("s3://") {
            return place == self.place;
        }
        let path = address.replace('\\', "/");
        if !bare_name(&path).contains(MARK) {
            return true;
        }
        let bare = |path: &str| path.strip_suffix(".gz").unwrap_or(path).to_owned();
        let (path, object) = (bare(&path), bare(&self.object));
        match (path.rsplit_once("AWSLogs/"), object.rsplit_once("AWSLogs/")) {
            (Some((_, path)), Some((_, object))) => path == object,
            _ => bare_name(&path) == bare_name(&object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_read_from_the_key_also_where_its_name_holds_underscores() {
        let key = |name: &str| {
            let folder = "p/AWSLogs/o-abc/111122223333/CloudTrail-Digest/us-east-2/2015/08/17";
            format!("{folder}/111122223333_CloudTrail-Digest_us-east-2_{name}.json.gz")
        };
        for (name, trail) in [
            ("main_eu-west-1_20150817T150131Z", Some("main")),
            ("my_own_trail_eu-west-1_20150817T150131Z", Some("my_own_trail")),
            ("main_eu-west-1_20150817T150131Z_backfill", Some("main")),
            ("eu-west-1_20150817T150131Z", None),
            ("", None),
        ] {
            let found = Trail::of(&key(name), "111122223333");
            assert_eq!(found.as_ref().map(|found| found.name.as_str()), trail, "{name}");
            if let Some(found) = found {
                assert_eq!(
                    (found.region.as_str(), found.home.as_str()),
                    ("us-east-2", "eu-west-1")
                );
                assert_eq!(found.organization.as_deref(), Some("o-abc"));
            }
        }
    }
}
