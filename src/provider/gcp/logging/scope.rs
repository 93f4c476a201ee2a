//! Whose log is read, and the filter that picks the entries that matter.
//!
//! Traps of the query language ("Logging query language" in the Cloud Logging documentation): `OR`
//! binds closer than `AND`, so that each alternative stands in brackets; the operators are upper
//! case, anything else is searched for as text; the slash in a log's id is written `%2F` within a
//! log's name; names are quoted.

use jiff::Timestamp;

use super::super::super::source::SourceError;
use super::super::api::check_project;
use crate::finding::Period;

/// The owner of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Project(String),
    Folder(String),
    Organization(String),
}

impl Scope {
    /// A project.
    ///
    /// # Errors
    /// When `id` is not the id of one.
    pub(super) fn project(id: &str) -> Result<Self, SourceError> {
        check_project(id)?;
        Ok(Self::Project(id.to_owned()))
    }

    /// A folder, by its number.
    ///
    /// # Errors
    /// When `id` is not the number of one.
    pub(super) fn folder(id: &str) -> Result<Self, SourceError> {
        Ok(Self::Folder(number(id, "folders/", "folder")?))
    }

    /// An organization, by its number.
    ///
    /// # Errors
    /// When `id` is not the number of one.
    pub(super) fn organization(id: &str) -> Result<Self, SourceError> {
        Ok(Self::Organization(number(id, "organizations/", "organization")?))
    }

    /// Its resource name: `projects/p`.
    pub(super) fn resource(&self) -> String {
        match self {
            Self::Project(id) => format!("projects/{id}"),
            Self::Folder(id) => format!("folders/{id}"),
            Self::Organization(id) => format!("organizations/{id}"),
        }
    }

    /// As events name the owner of their log: the id of a project, else the resource name.
    pub(super) fn account(&self) -> String {
        match self {
            Self::Project(id) => id.clone(),
            Self::Folder(_) | Self::Organization(_) => self.resource(),
        }
    }

    /// The ledger of the log.
    pub(super) fn ledger(&self) -> String {
        format!("gcp/{}", self.account())
    }

    /// The project, if it is one.
    pub(super) fn as_project(&self) -> Option<&str> {
        match self {
            Self::Project(id) => Some(id),
            Self::Folder(_) | Self::Organization(_) => None,
        }
    }

    /// The filter that picks the entries of `period`.
    pub(super) fn filter(&self, period: Period) -> String {
        let owner = self.resource();
        let log = |id: &str| format!("\"{owner}/logs/cloudaudit.googleapis.com%2F{id}\"");
        let logs = LOGS.iter().map(|id| log(id)).collect::<Vec<_>>().join(" OR ");
        let activity = log("activity");
        let (from, to) = (instant(period.from), instant(period.to));
        format!(
            "logName=({logs})\n\
             ((protoPayload.serviceName=(\"cloudkms.googleapis.com\" OR \"kmsinventory.googleapis.com\")) OR \
             (logName={activity} AND protoPayload.serviceName=\"logging.googleapis.com\") OR \
             (logName={activity} AND protoPayload.serviceName=\"cloudresourcemanager.googleapis.com\" \
             AND protoPayload.methodName:\"SetIamPolicy\"))\n\
             timestamp>=\"{from}\"\n\
             timestamp<\"{to}\""
        )
    }
}

/// The audit logs.
const LOGS: &[&str] = &["activity", "data_access", "system_event", "policy"];

fn instant(time: Timestamp) -> String {
    format!("{time:.9}")
}

fn number(id: &str, prefix: &str, what: &str) -> Result<String, SourceError> {
    let bare = id.strip_prefix(prefix).unwrap_or(id);
    if !bare.is_empty() && bare.len() <= 20 && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(bare.to_owned());
    }
    let detail = format!("`{}` is not the number of a {what}", id.escape_debug());
    Err(SourceError::config(detail, "write the number that `gcloud projects get-ancestors` shows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_quoted_bracketed_and_bounded() {
        let period = Period {
            from: "2026-11-20T00:00:00Z".parse().unwrap(),
            to: "2026-11-20T01:00:00.5Z".parse().unwrap(),
        };
        let filter = Scope::project("keys-prod").unwrap().filter(period);
        assert_eq!(
            filter,
            r#"logName=("projects/keys-prod/logs/cloudaudit.googleapis.com%2Factivity" OR "projects/keys-prod/logs/cloudaudit.googleapis.com%2Fdata_access" OR "projects/keys-prod/logs/cloudaudit.googleapis.com%2Fsystem_event" OR "projects/keys-prod/logs/cloudaudit.googleapis.com%2Fpolicy")
((protoPayload.serviceName=("cloudkms.googleapis.com" OR "kmsinventory.googleapis.com")) OR (logName="projects/keys-prod/logs/cloudaudit.googleapis.com%2Factivity" AND protoPayload.serviceName="logging.googleapis.com") OR (logName="projects/keys-prod/logs/cloudaudit.googleapis.com%2Factivity" AND protoPayload.serviceName="cloudresourcemanager.googleapis.com" AND protoPayload.methodName:"SetIamPolicy"))
timestamp>="2026-11-20T00:00:00.000000000Z"
timestamp<"2026-11-20T01:00:00.500000000Z""#
        );
        let long = Scope::Project("p".repeat(100)).filter(period);
        // Longer filters are refused by Cloud Logging.
        assert!(long.len() < 20_000, "{}", long.len());
    }

    #[test]
    fn a_scope_is_named_as_events_name_the_owner_of_their_log() {
        assert_eq!(Scope::project("p-1").unwrap().ledger(), "gcp/p-1");
        assert_eq!(Scope::folder("folders/12").unwrap().ledger(), "gcp/folders/12");
        assert_eq!(Scope::organization("34").unwrap().ledger(), "gcp/organizations/34");
        assert!(Scope::organization("example.com").is_err());
        assert!(Scope::folder("").is_err());
    }
}
