//! Who called.
//!
//! `principalEmail` names users and service accounts; a caller from a workforce or workload
//! identity pool has only `principalSubject`. Behind an impersonated service account stands the
//! first entry of `serviceAccountDelegationInfo`. Fields: `AuthenticationInfo` of
//! `google/cloud/audit/audit_log.proto`; shapes: "Service agents" in the IAM documentation.

use serde_json::Value;

use super::super::super::Json as _;
use super::Entry;
use crate::event::{Actor, ActorKind, Event};

/// The host part of every service account's address ends so.
const SERVICE_ACCOUNT: &str = "gserviceaccount.com";

/// Longer chains of delegation are cut in `details`.
const LONGEST_CHAIN: usize = 10;

/// Finds the caller of `entry`. `owner` is the id of the project that owns the log.
pub(super) fn actor(entry: &Entry<'_>, owner: Option<&str>) -> Actor {
    let email = entry.payload.text(&["authenticationInfo", "principalEmail"]);
    let subject = entry.payload.text(&["authenticationInfo", "principalSubject"]);
    let Some(id) = email.or(subject.map(bare)) else {
        return Actor { kind: kind_without_name(entry), ..Actor::default() };
    };
    let kind = kind(id, owner);
    Actor {
        id: Some(id.to_owned()),
        name: Some(name(id).to_owned()),
        kind,
        account: home_project(id),
        on_behalf_of: delegation(entry.payload).first().cloned(),
        mfa: None,
    }
}

/// Adds the whole chain of delegation where there is more than its origin.
pub(super) fn add_details(event: &mut Event, entry: &Entry<'_>) {
    let chain = delegation(entry.payload);
    if chain.len() > 1 {
        event.detail("delegation_chain", chain);
    }
    let key = entry.payload.string(&["authenticationInfo", "serviceAccountKeyName"]);
    event.detail("service_account_key", key);
}

/// A new version that nobody asked for is the scheduler's, and what stands in the log of system
/// events is the provider's; otherwise an entry without a name does not tell.
fn kind_without_name(entry: &Entry<'_>) -> ActorKind {
    let log = entry.envelope.text(&["logName"]).unwrap_or_default();
    if entry.method == "CreateCryptoKeyVersion" || log.ends_with("system_event") {
        ActorKind::Service
    } else {
        ActorKind::Unknown
    }
}

fn kind(id: &str, owner: Option<&str>) -> ActorKind {
    if id.starts_with("principal") && id.contains("://") {
        return if id.contains("/workforcePools/") {
            ActorKind::Human
        } else if id.contains("/workloadIdentityPools/") {
            ActorKind::Workload
        } else {
            ActorKind::Unknown
        };
    }
    if id.contains(".svc.id.goog[") {
        return ActorKind::Workload;
    }
    match id.rsplit_once('@') {
        Some((local, host)) if host.ends_with(SERVICE_ACCOUNT) => {
            if is_service_agent(local, host, owner) {
                ActorKind::Service
            } else {
                ActorKind::Workload
            }
        }
        Some(("system", "google.com")) => ActorKind::Service,
        Some((local, host)) if !local.is_empty() && host.contains('.') => ActorKind::Human,
        _ => ActorKind::Unknown,
    }
}

/// Whether the address is that of Google's own agent. Its home is a project of Google's: a
/// customer can name an account `service-1` too, but only in a project of his own.
fn is_service_agent(local: &str, host: &str, owner: Option<&str>) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if host == "cloudservices.gserviceaccount.com" {
        return digits(local);
    }
    let Some(home) = host.strip_suffix(".iam.gserviceaccount.com") else { return false };
    let number = ["service-org-", "service-folder-", "service-", "bq-"]
        .iter()
        .find_map(|start| local.strip_prefix(start));
    number.is_some_and(digits) && owner != Some(home)
}

/// The project that a service account lives in: `<name>@<project>.iam.gserviceaccount.com`,
/// `<project>@appspot.gserviceaccount.com`, `<number>-compute@developer.gserviceaccount.com`.
fn home_project(id: &str) -> Option<String> {
    let (local, host) = id.rsplit_once('@')?;
    let project = match host {
        "appspot.gserviceaccount.com" | "cloudservices.gserviceaccount.com" => local,
        "developer.gserviceaccount.com" => local.strip_suffix("-compute")?,
        _ => host.strip_suffix(".iam.gserviceaccount.com")?,
    };
    // A project id within a domain is written the other way round in addresses.
    (!project.is_empty() && !project.contains('.')).then(|| project.to_owned())
}

/// `user:ada@example.com` → `ada@example.com`; identities of pools stay as they are.
fn bare(subject: &str) -> &str {
    ["user:", "serviceAccount:"]
        .iter()
        .find_map(|start| subject.strip_prefix(start))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(subject)
}

/// What a person would recognise: the subject within its pool, else the id itself.
fn name(id: &str) -> &str {
    match id.split_once("/subject/") {
        Some((_, subject)) if !subject.is_empty() => subject,
        _ => id,
    }
}

/// The identities behind an impersonation, the original one first.
fn delegation(payload: &Value) -> Vec<String> {
    payload
        .items(&["authenticationInfo", "serviceAccountDelegationInfo"])
        .iter()
        .filter_map(|link| {
            link.text(&["firstPartyPrincipal", "principalEmail"])
                .or_else(|| link.text(&["principalSubject"]).map(bare))
                .or_else(|| link.text(&["thirdPartyPrincipal", "thirdPartyClaims", "sub"]))
        })
        .take(LONGEST_CHAIN)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_programs_and_googles_own_agents_are_told_apart() {
        for (id, expected) in [
            ("ada@example.com", ActorKind::Human),
            ("deploy@prod-keys.iam.gserviceaccount.com", ActorKind::Workload),
            ("1234-compute@developer.gserviceaccount.com", ActorKind::Workload),
            ("prod@appspot.gserviceaccount.com", ActorKind::Workload),
            ("prod.svc.id.goog[ns/app]", ActorKind::Workload),
            ("service-1234@gcp-sa-cloudkms.iam.gserviceaccount.com", ActorKind::Service),
            ("service-1234@compute-system.iam.gserviceaccount.com", ActorKind::Service),
            ("service-org-1234@gcp-sa-x.iam.gserviceaccount.com", ActorKind::Service),
            ("1234@cloudservices.gserviceaccount.com", ActorKind::Service),
            ("service-mesh@prod-keys.iam.gserviceaccount.com", ActorKind::Workload),
            (
                "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/ada",
                ActorKind::Human,
            ),
            (
                "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/ci",
                ActorKind::Workload,
            ),
            ("allUsers", ActorKind::Unknown),
            ("@", ActorKind::Unknown),
        ] {
            assert_eq!(kind(id, Some("prod-keys")), expected, "{id}");
        }
    }

    #[test]
    fn an_account_of_ones_own_project_cannot_pose_as_a_service_agent() {
        let id = "service-1234@prod-keys.iam.gserviceaccount.com";
        assert_eq!(kind(id, Some("prod-keys")), ActorKind::Workload);
        assert_eq!(home_project(id).as_deref(), Some("prod-keys"));
    }
}
