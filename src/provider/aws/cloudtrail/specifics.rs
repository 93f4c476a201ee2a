//! Facts beyond the common columns that rules need, put into `details`.

use super::super::super::Json as _;
use super::super::super::node::Node;
use super::super::dates;
use super::super::policy::{self, PolicyFinding};
use crate::event::{Action, Event};

/// Where a detail comes from: its name, and the paths that may hold it, best first.
type Source = (&'static str, &'static [&'static [&'static str]]);

const TEXTS: &[Source] = &[
    ("rotation_type", &[&["serviceEventDetails", "rotationType"]]),
    ("key_origin", &[&["serviceEventDetails", "keyOrigin"]]),
    ("previous_key_material_id", &[&["serviceEventDetails", "previousKeyMaterialId"]]),
    (
        "current_key_material_id",
        &[&["serviceEventDetails", "currentKeyMaterialId"], &["responseElements", "keyMaterialId"]],
    ),
    (
        "custom_key_store_id",
        &[
            &["additionalEventData", "customKeyStoreId"],
            &["requestParameters", "customKeyStoreId"],
            &["responseElements", "keyMetadata", "customKeyStoreId"],
        ],
    ),
    ("xks_key_id", &[&["additionalEventData", "xksKeyId"], &["requestParameters", "xksKeyId"]]),
    ("backing_keys", &[&["additionalEventData", "backingKeys"]]),
    ("replica_region", &[&["requestParameters", "replicaRegion"]]),
    ("replica_key_arn", &[&["responseElements", "replicaKeyMetadata", "arn"]]),
    ("primary_region", &[&["requestParameters", "primaryRegion"]]),
    ("wrapping_algorithm", &[&["requestParameters", "wrappingAlgorithm"]]),
    ("wrapping_key_spec", &[&["requestParameters", "wrappingKeySpec"]]),
    ("import_type", &[&["requestParameters", "importType"]]),
    ("expiration_model", &[&["requestParameters", "expirationModel"]]),
    (
        "key_usage",
        &[&["responseElements", "keyMetadata", "keyUsage"], &["requestParameters", "keyUsage"]],
    ),
    ("key_manager", &[&["responseElements", "keyMetadata", "keyManager"]]),
    ("grant_id", &[&["responseElements", "grantId"], &["requestParameters", "grantId"]]),
    ("shared_event_id", &[&["sharedEventID"]]),
    ("event_type", &[&["eventType"]]),
    ("role_arn", &[&["userIdentity", "sessionContext", "sessionIssuer", "arn"]]),
    ("amends", &[&["addendum", "originalEventID"]]),
    ("addendum_reason", &[&["addendum", "reason"]]),
    ("log_group", &[&["requestParameters", "logGroupName"]]),
    ("log_stream", &[&["requestParameters", "logStreamName"]]),
    ("bucket", &[&["requestParameters", "s3BucketName"]]),
    (
        "backup_id",
        &[&["requestParameters", "backupId"], &["responseElements", "backup", "backupId"]],
    ),
    ("hsm", &[&["requestParameters", "hsmId"], &["responseElements", "hsm", "hsmId"]]),
];

/// Where the paths of all details begin.
const ROOTS: &[&str] = &[
    "addendum",
    "additionalEventData",
    "eventType",
    "requestParameters",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "userIdentity",
];

const NUMBERS: &[Source] = &[
    (
        "pending_window_days",
        &[
            &["requestParameters", "pendingWindowInDays"],
            &["responseElements", "pendingWindowInDays"],
            &["requestParameters", "deleteKeyInDays"],
        ],
    ),
    ("rotation_period_days", &[&["requestParameters", "rotationPeriodInDays"]]),
    ("retention_days", &[&["requestParameters", "retentionInDays"]]),
];

const FLAGS: &[Source] = &[
    ("bypass_policy_lockout", &[&["requestParameters", "bypassPolicyLockoutSafetyCheck"]]),
    (
        "multi_region",
        &[
            &["responseElements", "keyMetadata", "multiRegion"],
            &["requestParameters", "multiRegion"],
        ],
    ),
    ("multi_region_trail", &[&["requestParameters", "isMultiRegionTrail"]]),
    ("log_file_validation", &[&["requestParameters", "enableLogFileValidation"]]),
    ("from_console", &[&["sessionCredentialFromConsole"]]),
];

/// The members of a record that hold details, each looked for once: most are absent or null.
struct Roots<'a>(Vec<(&'static str, &'a Node<'a>)>);

impl<'a> Roots<'a> {
    fn of(record: &'a Node<'a>) -> Self {
        let root = |name: &&'static str| Some((*name, record.at(&[name])?));
        Self(ROOTS.iter().filter_map(root).collect())
    }

    /// What `read` finds below the first of the paths where it finds something.
    fn find<T>(
        &self,
        paths: &[&[&str]],
        read: impl Fn(&'a Node<'a>, &[&str]) -> Option<T>,
    ) -> Option<T> {
        paths.iter().find_map(|path| {
            let (first, rest) = path.split_first()?;
            let (_, root) = self.0.iter().find(|(name, _)| name == first)?;
            read(root, rest)
        })
    }
}

/// Adds what the record tells beyond the common columns.
pub(super) fn add(event: &mut Event, record: &Node<'_>) {
    let roots = Roots::of(record);
    for (name, paths) in TEXTS {
        event.detail(name, roots.find(paths, Node::text));
    }
    for (name, paths) in NUMBERS {
        event.detail(name, roots.find(paths, Node::integer));
    }
    for (name, paths) in FLAGS {
        event.detail(name, roots.find(paths, Node::flag));
    }
    add_dates(event, record);
    event.target = target(event.action, record);
    if event.native_action == "PutEventSelectors" {
        event.detail("excludes_kms", excludes_kms(record));
    }
    if let Some(policy) = record.text(&["requestParameters", "policy"]) {
        add_policy(event, policy);
    }
}

/// What was acted on besides the key.
fn target(action: Action, record: &Node<'_>) -> Option<String> {
    let fields: &[&str] = match action {
        Action::GrantCreate => &["granteePrincipal", "granteeServicePrincipal"],
        Action::GrantRevoke => &["grantId"],
        Action::HsmBackupShare => &["resourceArn"],
        _ if action.category() == "logging" => {
            &["name", "trailName", "trailARN", "logGroupName", "eventDataStore", "servicePrincipal"]
        }
        _ => return None,
    };
    fields.iter().find_map(|field| record.string(&["requestParameters", field]))
}

/// Whether a trail's new selectors leave KMS out. "Excluding AWS KMS events" in the KMS developer
/// guide: basic selectors list the source under `excludeManagementEventSources`, advanced ones
/// exclude it by a `notEquals` on `eventSource`; a trail without management events has none of KMS
/// either. `None` where no selector is given.
fn excludes_kms(record: &Node<'_>) -> Option<bool> {
    let basic = record.items(&["requestParameters", "eventSelectors"]);
    let advanced = record.items(&["requestParameters", "advancedEventSelectors"]);
    if basic.is_empty() && advanced.is_empty() {
        return None;
    }
    let included =
        basic.iter().any(basic_includes_kms) || advanced.iter().any(advanced_includes_kms);
    Some(!included)
}

fn basic_includes_kms(selector: &Node<'_>) -> bool {
    let excluded = selector
        .items(&["excludeManagementEventSources"])
        .iter()
        .any(|source| source.as_text() == Some("kms.amazonaws.com"));
    !excluded && selector.flag(&["includeManagementEvents"]) != Some(false)
}

fn advanced_includes_kms(selector: &Node<'_>) -> bool {
    let names_kms = |field: &Node<'_>, list: &str| {
        field.items(&[list]).iter().any(|source| source.as_text() == Some("kms.amazonaws.com"))
    };
    let mut management = false;
    for field in selector.items(&["fieldSelectors"]) {
        match field.text(&["field"]) {
            Some("eventCategory") => {
                management |=
                    field.items(&["equals"]).iter().any(|c| c.as_text() == Some("Management"));
            }
            Some("eventSource") if names_kms(field, "notEquals") => return false,
            Some("eventSource")
                if !field.items(&["equals"]).is_empty() && !names_kms(field, "equals") =>
            {
                return false;
            }
            _ => {}
        }
    }
    management
}

/// Whether a policy given with the call lets anybody in, and by which statement. The record may
/// hold a cut policy (CloudTrail cuts long parameters); that is said, not guessed.
fn add_policy(event: &mut Event, policy: &str) {
    let analysis = policy::analyse(policy);
    event.detail("policy_access", analysis.access.as_str());
    event.detail("policy_statement", analysis.findings.first().map(PolicyFinding::statement));
    event.detail("policy_unreadable", analysis.unreadable);
}

/// Adds the dates of a call, which KMS writes in the form of Java.
fn add_dates(event: &mut Event, record: &Node<'_>) {
    for (name, path) in [
        ("deletion_date", ["responseElements", "deletionDate"]),
        ("valid_to", ["requestParameters", "validTo"]),
    ] {
        let date = record.text(&path).and_then(dates::java_date);
        event.detail(name, date.map(|date| date.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_a_detail_begins_at_a_root() {
        let sources = [TEXTS, NUMBERS, FLAGS].concat();
        let mut begun: Vec<&str> = sources
            .iter()
            .flat_map(|(_, paths)| *paths)
            .filter_map(|path| path.first())
            .copied()
            .collect();
        begun.sort_unstable();
        begun.dedup();
        assert_eq!(begun, ROOTS);
    }

    #[test]
    fn a_detail_that_is_a_member_of_the_record_itself_is_found() {
        let text = r#"{"eventType":"AwsApiCall","sharedEventID":null,"addendum":{"reason":"x"}}"#;
        let record = Node::parse(text).unwrap();
        let roots = Roots::of(&record);
        assert_eq!(
            roots.find(&[&["sharedEventID"], &["eventType"]], Node::text),
            Some("AwsApiCall")
        );
        assert_eq!(roots.find(&[&["addendum", "reason"]], Node::text), Some("x"));
        assert_eq!(roots.find(&[&["sharedEventID"]], Node::text), None);
    }
}
