//! What a `SetIamPolicy` granted, and what it changed about auditing.
//!
//! The request holds the whole policy, old grants included; only `policyDelta` tells what is new.
//! Where there is no delta, the whole policy is taken for granted. Shapes: `AuditData` and
//! `PolicyDelta` of `google/iam/v1`; the filter of CIS Google Cloud Foundations for audit changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::proto;
use super::Entry;
use crate::event::{Action, Event};

/// Longer lists are cut in `details`; `…_count` then tells the true length.
const LONGEST_LIST: usize = 100;

/// Whether a principal stands for anybody.
pub(in super::super) fn is_public(member: &str) -> bool {
    member == "allUsers" || member == "allAuthenticatedUsers"
}

/// Where the difference to the policy before may stand.
const DELTAS: &[&[&str]] = &[&["serviceData", "policyDelta"], &["metadata", "policyDelta"]];

/// Whether an entry of the resource manager changes what is audited. The delta decides where it
/// tells of any change; without one, a policy that holds audit settings may change them.
pub(super) fn changes_auditing(entry: &Entry<'_>) -> bool {
    let audit = deltas(entry, "auditConfigDeltas");
    if !audit.is_empty() || !deltas(entry, "bindingDeltas").is_empty() {
        return !audit.is_empty();
    }
    let masked = proto::mask(entry.request, &["updateMask"])
        .is_some_and(|mask| mask.iter().any(|path| path.starts_with("audit_configs")));
    masked || !proto::items(entry.request, &["policy", "auditConfigs"]).is_empty()
}

/// Adds who was let in by a change of a policy.
pub(super) fn add_grants(event: &mut Event, entry: &Entry<'_>) {
    let delta = deltas(entry, "bindingDeltas");
    let added: Vec<&Value> = delta.iter().filter(|change| is(change, "ADD")).collect();
    let members = distinct(added.iter().copied(), "member");
    let policy = proto::items(entry.request, &["policy", "bindings"]);
    let all: BTreeSet<&str> = policy
        .iter()
        .flat_map(|binding| proto::items(binding, &["members"]))
        .filter_map(Value::as_str)
        .collect();
    let anybody = |members: &BTreeSet<&str>| members.iter().any(|member| is_public(member));
    if delta.is_empty() {
        add_list(event, "policy_members", &all);
        add_list(event, "policy_roles", &distinct(policy.iter(), "role"));
    } else {
        add_list(event, "members_added", &members);
        add_list(event, "roles_added", &distinct(added.into_iter(), "role"));
        let removed = delta.iter().filter(|change| is(change, "REMOVE"));
        add_list(event, "members_removed", &distinct(removed, "member"));
        if let (1, Some(member), None) = (members.len(), members.first(), &event.target) {
            event.target = Some((*member).to_owned());
        }
    }
    // A policy without bindings lets nobody in; a request without a policy says nothing.
    let known = proto::field(entry.request, &["policy"]).is_some_and(Value::is_object);
    if known {
        event.detail("policy_public", anybody(&all));
    }
    let granted = if delta.is_empty() { anybody(&all) } else { anybody(&members) };
    if granted {
        event.detail("public", true);
    } else if known && !anybody(&all) {
        event.detail("public", false);
    }
}

/// Adds what changed about auditing: each change of the delta, or what the new policy audits.
pub(super) fn add_auditing(event: &mut Event, entry: &Entry<'_>) {
    if event.action != Action::LoggingChange || entry.service.name == "logging" {
        return;
    }
    event.detail("logging_object", "audit_config");
    let delta = deltas(entry, "auditConfigDeltas");
    let changes: Vec<Value> = delta.iter().take(LONGEST_LIST).map(audit_change).collect();
    if !changes.is_empty() {
        event.detail("audit_config_deltas", changes);
        event.detail("reduces_logging", delta.iter().any(reduces));
    }
    let configs = proto::items(entry.request, &["policy", "auditConfigs"]);
    let logged: BTreeSet<&str> = configs
        .iter()
        .filter(|config| {
            matches!(config.text(&["service"]), Some("allServices" | "cloudkms.googleapis.com"))
        })
        .flat_map(|config| proto::items(config, &["auditLogConfigs"]))
        .filter_map(|log| proto::text(log, &["logType"]))
        .collect();
    if !configs.is_empty() {
        event.detail("kms_log_types", logged.into_iter().collect::<Vec<_>>());
    }
}

fn audit_change(delta: &Value) -> Value {
    json!({
        "action": proto::text(delta, &["action"]),
        "service": proto::text(delta, &["service"]),
        "log_type": proto::text(delta, &["logType"]),
        "exempted_member": proto::text(delta, &["exemptedMember"]),
    })
}

/// Less is logged when a type of log is taken away, or a member is exempted from it.
fn reduces(delta: &Value) -> bool {
    let exempts = proto::text(delta, &["exemptedMember"]).is_some();
    is(delta, if exempts { "ADD" } else { "REMOVE" })
}

fn is(delta: &Value, action: &str) -> bool {
    delta.text(&["action"]) == Some(action)
}

fn deltas<'a>(entry: &Entry<'a>, kind: &str) -> &'a [Value] {
    DELTAS
        .iter()
        .filter_map(|path| proto::field(entry.payload, path))
        .map(|delta| proto::items(delta, &[kind]))
        .find(|items| !items.is_empty())
        .unwrap_or(&[])
}

fn distinct<'a>(items: impl Iterator<Item = &'a Value>, name: &str) -> BTreeSet<&'a str> {
    items.filter_map(|item| item.text(&[name])).collect()
}

fn add_list(event: &mut Event, name: &str, items: &BTreeSet<&str>) {
    if items.is_empty() {
        return;
    }
    event.detail(name, items.iter().take(LONGEST_LIST).copied().collect::<Vec<_>>());
    if items.len() > LONGEST_LIST {
        event.detail(&format!("{name}_count"), items.len());
    }
}
