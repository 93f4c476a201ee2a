//! What an Activity Log event was done to.

use std::borrow::Cow;

use serde_json::Value;

use super::super::record::{Record, flag, member, small, text, unpacked};
use super::super::resource::{self, Holder, Resource};
use super::super::vault;
use super::operations::{self, Meaning};
use crate::event::{Action, Event, KeyRef};

/// Names that a diagnostic setting gives what holds a vault's audit events.
const AUDIT_CATEGORIES: &[&str] = &["auditevent", "hsmserviceoperations"];

/// Names of category groups that hold them.
const AUDIT_GROUPS: &[&str] = &["audit", "alllogs"];

/// Whether an operation of this meaning on this resource has to do with keys. A resource that the
/// record does not name may be a vault: the record is kept.
pub(super) fn is_relevant(meaning: Meaning, resource: &Resource) -> bool {
    let of_a_holder = resource.holder.is_some() || resource.id.is_empty();
    match meaning {
        Meaning::Key(_) | Meaning::Data(_) => true,
        Meaning::Logging(_) => of_a_holder || resource.is_subscription(),
        Meaning::Access | Meaning::Attached(_) => of_a_holder,
        Meaning::Unrelated => false,
    }
}

/// Fills in action, service, key, HSM, target and the details of the request.
pub(super) fn fill(event: &mut Event, record: &Record<'_>, meaning: Meaning, resource: &Resource) {
    let holder = resource.holder.or_else(|| holder_of_name(&event.native_action));
    let service = match (holder, meaning) {
        (Some(holder), _) => holder.service(),
        (None, Meaning::Logging(_)) => "monitor",
        (None, _) => Holder::Vault.service(),
    };
    service.clone_into(&mut event.service);
    if holder.is_some_and(Holder::is_hsm) {
        event.hsm_id.clone_from(&resource.holder_id);
    }
    event.detail("vault", resource.holder_id.clone());
    event.key = key(record, resource, holder);
    let body = request(record);
    let properties = body.as_deref().map(|body| member(body, "properties").unwrap_or(body));
    event.target = (!resource.id.is_empty()).then(|| resource.id.clone());
    event.action = match meaning {
        Meaning::Key(action) | Meaning::Attached(action) => {
            let action = operations::of_holder(action, holder);
            if is_created(event, record) { operations::as_creation(action) } else { action }
        }
        Meaning::Data(action) => {
            event.detail("data_action", true);
            action
        }
        Meaning::Logging(action) => {
            logging(event, properties, resource);
            action
        }
        Meaning::Access => {
            access(event, properties);
            let is_read = event.native_action.to_ascii_lowercase().ends_with("/read");
            match operations::access(holder.unwrap_or(Holder::Vault), event.key.id.is_some()) {
                _ if is_read => operations::of_holder(Action::VaultRead, holder),
                action => action,
            }
        }
        Meaning::Unrelated => Action::Other,
    };
    let find = |name: &str| properties.and_then(|p| member(p, name)).cloned();
    for (detail, value) in vault::settings(find) {
        event.detail(detail, value);
    }
}

/// What an operation of a key service is about where the resource does not tell.
fn holder_of_name(name: &str) -> Option<Holder> {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix("microsoft.keyvault/");
    match rest {
        Some(rest) if rest.contains("managedhsm") => Some(Holder::ManagedHsm),
        Some(_) => Some(Holder::Vault),
        None if name.starts_with("microsoft.hardwaresecuritymodules/") => Some(Holder::CloudHsm),
        None => None,
    }
}

/// The request's body, an object or JSON text.
fn request<'r>(record: &'r Record<'_>) -> Option<Cow<'r, Value>> {
    record.fact("requestbody").map(unpacked).filter(|body| body.is_object())
}

/// Whether the record says that a `write` made the resource.
fn is_created(event: &Event, record: &Record<'_>) -> bool {
    let said = event.details.get("sub_status").and_then(Value::as_str);
    let codes = [said, record.text("statusCode")];
    codes.iter().flatten().any(|code| {
        let code = code.to_ascii_lowercase();
        code == "201" || code.starts_with("created")
    })
}

/// The key that the resource lies in: `…/vaults/<vault>/keys/<key>[/versions/<version>]`.
fn key(record: &Record<'_>, resource: &Resource, holder: Option<Holder>) -> KeyRef {
    let below: Vec<&str> = resource.below.iter().map(String::as_str).collect();
    let (name, rest) = match below.as_slice() {
        ["keys", name, rest @ ..] => (*name, rest),
        _ => return KeyRef::default(),
    };
    let version = match rest {
        ["versions", version, ..] => Some((*version).to_owned()),
        _ => None,
    };
    let cloud = cloud(record);
    let id = holder
        .zip(resource.holder_name.as_ref())
        .and_then(|(holder, vault)| resource::key_id(holder, vault, name, &cloud));
    KeyRef { id, version, ..KeyRef::default() }
}

/// The texts of a record that name the cloud's Resource Manager.
fn cloud(record: &Record<'_>) -> String {
    let claims = record
        .field("claims")
        .or_else(|| record.field("identity").and_then(|identity| member(identity, "claims")));
    let audience = claims.and_then(|claims| member(claims, "aud")).and_then(text);
    let uri = record.field("httpRequest").and_then(|http| member(http, "uri")).and_then(text);
    [audience, uri].into_iter().flatten().collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

/// A diagnostic setting: whose logs it routes, and whether audit events are among them.
fn logging(event: &mut Event, properties: Option<&Value>, resource: &Resource) {
    let scope = resource.extended();
    event.detail("resource", (!scope.is_empty()).then_some(scope));
    let logs = properties.and_then(|p| member(p, "logs")).and_then(Value::as_array);
    event.detail("logs_keys", logs.map(|logs| logs.iter().any(is_enabled_audit)));
    for (name, detail) in [
        ("workspaceId", "workspace_id"),
        ("storageAccountId", "storage_account_id"),
        ("eventHubAuthorizationRuleId", "event_hub_rule_id"),
    ] {
        event.detail(detail, properties.and_then(|p| member(p, name)).and_then(small));
    }
}

/// Whether an item of a diagnostic setting's `logs` switches a vault's audit events on: by
/// category or by category group, which are alternatives.
pub(in super::super) fn is_enabled_audit(log: &Value) -> bool {
    let named = |name: &str, words: &[&str]| {
        let word = member(log, name).and_then(text);
        word.is_some_and(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
    };
    let enabled = member(log, "enabled").and_then(flag).unwrap_or(false);
    enabled && (named("category", AUDIT_CATEGORIES) || named("categoryGroup", AUDIT_GROUPS))
}

/// A role assignment or definition: to whom, which role. A deletion's request names neither.
fn access(event: &mut Event, properties: Option<&Value>) {
    let part = |name: &str| properties.and_then(|p| member(p, name)).and_then(small);
    event.detail("assignment", event.target.clone());
    if let Some(Value::String(principal)) = part("principalId") {
        event.target = Some(principal);
    }
    for (name, detail) in [
        ("roleDefinitionId", "role_definition_id"),
        ("principalType", "principal_type"),
        ("scope", "scope"),
    ] {
        event.detail(detail, part(name));
    }
}
