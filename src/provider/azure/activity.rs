//! Activity Log events: the control plane of vaults and HSMs, and the routing of their logs.
//!
//! - Two wire shapes: the REST API's ([`map`]) and that of a diagnostic setting ([`map_export`]).
//!   They share no identity: the REST one has `eventDataId`, the exported one nothing.
//! - One operation gives several events (`Started`, `Accepted`, then `Succeeded` or `Failed`).
//!   Only the last has an outcome; the others are `unknown`. `details.correlation_id` ties them.
//! - Names are compared without regard to case, as Azure does.
//! - Relevant are operations of the key services, and of others what is done to a vault or HSM
//!   (roles, locks, policies, tags) or to the diagnostic settings of a vault, an HSM or a
//!   subscription. Everything else is irrelevant.
//! - Keys are not destroyed here: Microsoft writes data-plane operations to the vault's own log.
//!   Where a record of such a name comes anyway it is marked `details.data_action`.

mod operations;
mod subject;

use std::borrow::Cow;

use serde_json::Value;

pub use operations::{DATA_ACTIONS, OPERATIONS, Operation};
pub(super) use subject::is_enabled_audit;

use super::super::json::object;
use super::super::{Context, Mapped, Reject};
use super::identity;
use super::record::{Record, integer, ip, member, text, unpacked};
use super::resource::Resource;
use crate::event::{Action, ActorKind, Event, Format, Outcome, Provider};
use operations::Meaning;

/// Categories of exported Activity Log events; older ones name the verb.
const CATEGORIES: &[&str] = &[
    "Action",
    "Administrative",
    "Alert",
    "Autoscale",
    "Delete",
    "Policy",
    "Recommendation",
    "ResourceHealth",
    "Security",
    "ServiceHealth",
    "Write",
];

/// Words for how an operation stands, in both wire shapes.
const STATES: &[(&str, Outcome)] = &[
    ("succeeded", Outcome::Success),
    ("success", Outcome::Success),
    ("failed", Outcome::Failure),
    ("failure", Outcome::Failure),
    ("canceled", Outcome::Failure),
];

/// Codes of refusals, from the resource provider or from Resource Manager.
const REFUSALS: &[&str] = &[
    "401",
    "403",
    "authorizationfailed",
    "forbidden",
    "linkedauthorizationfailed",
    "requestdisallowedbypolicy",
    "unauthorized",
];

/// Whether `value` is an Activity Log event as the REST API gives it.
pub fn looks_like_rest(value: &Value) -> bool {
    let record = Record::new(value);
    let has = |name: &str| record.field(name).is_some();
    let operation = record.field("operationName").and_then(localized);
    has("eventTimestamp") && (operation.is_some() || has("eventDataId"))
}

/// Whether `value` is an Activity Log event as a diagnostic setting exports it.
pub fn looks_like_export(value: &Value) -> bool {
    let record = Record::new(value);
    let slash = record.first(&["operationName"]).is_some_and(|name| name.contains('/'));
    let known = |category: &str| CATEGORIES.iter().any(|c| c.eq_ignore_ascii_case(category));
    let timed = record.field("time").is_some() && record.field("resourceId").is_some();
    slash && timed && record.first(&["category"]).is_none_or(known)
}

/// Translates one event of the REST API.
///
/// # Errors
/// When it is no JSON object, or lacks time or operation name.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let value = object(raw)?;
    let record = Record::new(&value);
    let Some(mut draft) = Draft::start(&record, "eventTimestamp", context)? else {
        return Ok(Mapped::Irrelevant);
    };
    let event = &mut draft.event;
    event.format = Format::AzureActivity;
    event.native_id = record.first(&["eventDataId"]).map(str::to_owned);
    event.received_at = record.first(&["submissionTimestamp"]).and_then(|time| time.parse().ok());
    let part = |name: &str| record.field(name).and_then(localized).map(str::to_owned);
    let sub_status = part("subStatus").or_else(|| record.text("statusCode").map(str::to_owned));
    set_outcome(event, &record, part("status").as_deref(), sub_status.as_deref());
    let claims = record.field("claims").map_or(Cow::Owned(Value::Null), unpacked);
    set_actor(event, &record, &claims);
    let http = record.field("httpRequest").map(unpacked);
    let http = |name: &str| http.as_deref().and_then(|http| member(http, name)).and_then(text);
    event.client.ip = http("clientIpAddress").and_then(ip);
    event.client.request_id = http("clientRequestId").map(str::to_owned);
    Ok(draft.finish(&record))
}

/// Translates one exported event.
///
/// # Errors
/// When it is no JSON object, or lacks time or operation name.
pub fn map_export(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let value = object(raw)?;
    let record = Record::new(&value);
    let Some(mut draft) = Draft::start(&record, "time", context)? else {
        return Ok(Mapped::Irrelevant);
    };
    let event = &mut draft.event;
    // `Succeeded.Created`, `Started.`; sometimes a bare HTTP status.
    let signature = record.first(&["resultSignature"]).unwrap_or_default();
    let (state, sub_status) = signature.split_once('.').unwrap_or(("", signature));
    let state = record.first(&["resultType"]).unwrap_or(state);
    set_outcome(event, &record, Some(state), Some(sub_status));
    let identity = record.field("identity").map_or(Cow::Owned(Value::Null), unpacked);
    set_actor(event, &record, identity::claims(&identity));
    event.client.ip = record.first(&["callerIpAddress"]).and_then(ip);
    Ok(draft.finish(&record))
}

/// An event under way, and what its record is about.
struct Draft {
    event: Event,
    meaning: Meaning,
    resource: Resource,
}

impl Draft {
    /// Starts an event with what both wire shapes have; `None` where the record is irrelevant.
    fn start(
        record: &Record<'_>,
        time_name: &str,
        context: &Context,
    ) -> Result<Option<Self>, Reject> {
        let time = record.time(&[time_name])?;
        let name = record.field("operationName").and_then(localized);
        let name = name.ok_or_else(|| Reject::missing("operationName"))?;
        let meaning = operations::meaning(&name.to_ascii_lowercase());
        let authorization = record.field("authorization").map(unpacked);
        let scope = || authorization.as_deref().and_then(|a| member(a, "scope")).and_then(text);
        let id = record.first(&["resourceId", "resourceUri"]).or_else(scope);
        let resource = Resource::parse(id.unwrap_or_default());
        if !subject::is_relevant(meaning, &resource) {
            return Ok(None);
        }
        let account = record
            .first(&["subscriptionId"])
            .map(str::to_ascii_lowercase)
            .or_else(|| resource.subscription.clone())
            .or_else(|| context.account.as_ref().map(|account| account.to_ascii_lowercase()));
        let ledger = format!("azure/{}", account.as_deref().unwrap_or("unknown"));
        let mut event = Event::new(ledger, time, Provider::Azure, Format::AzureActivityExport);
        event.account = account;
        let location = record.first(&["location"]).map(str::to_ascii_lowercase);
        event.region = resource.location.clone().or(location).or_else(|| context.region.clone());
        name.clone_into(&mut event.native_action);
        for (field, detail) in
            [("correlationId", "correlation_id"), ("operationId", "operation_id")]
        {
            event.detail(detail, record.first(&[field]));
        }
        event.detail("category", record.field("category").and_then(localized));
        Ok(Some(Self { event, meaning, resource }))
    }

    fn finish(self, record: &Record<'_>) -> Mapped {
        let Self { mut event, meaning, resource } = self;
        subject::fill(&mut event, record, meaning, &resource);
        event.read_only = match event.action {
            Action::Other => None,
            Action::SecretRead | Action::CertificateRead => Some(true),
            other => Some(matches!(other.category(), "read" | "use")),
        };
        Mapped::Event(Box::new(event))
    }
}

/// The value of a `{value, localizedValue}` pair, or plain text.
fn localized(value: &Value) -> Option<&str> {
    text(value).or_else(|| member(value, "value").and_then(text))
}

/// The outcome by the word for how the operation stands; what is neither success nor failure has
/// only begun.
fn set_outcome(
    event: &mut Event,
    record: &Record<'_>,
    state: Option<&str>,
    sub_status: Option<&str>,
) {
    let state = state.unwrap_or_default().to_ascii_lowercase();
    let named = STATES.iter().find(|(word, _)| *word == state).map(|(_, outcome)| *outcome);
    let sub_status = sub_status.filter(|word| !word.is_empty());
    let is_error = sub_status.and_then(|word| word.parse::<u16>().ok()).is_some_and(|s| s >= 400);
    let error = Failure::of(record);
    event.outcome = match named {
        Some(Outcome::Failure) => Outcome::Failure,
        _ if is_error => Outcome::Failure,
        Some(outcome) => outcome,
        None => Outcome::Unknown,
    };
    event.detail("sub_status", sub_status);
    if event.outcome != Outcome::Failure {
        return;
    }
    let codes = [sub_status, error.code.as_deref()];
    let refused = |code: &&str| REFUSALS.iter().any(|word| word.eq_ignore_ascii_case(code));
    if codes.iter().flatten().any(refused) {
        event.outcome = Outcome::Denied;
    }
    event.error_code = error.code.or_else(|| sub_status.map(str::to_owned));
    event.error_message = error.message;
}

/// The error that a failed operation logs, as an object or as JSON text in `statusMessage`.
#[derive(Default)]
struct Failure {
    code: Option<String>,
    message: Option<String>,
}

impl Failure {
    fn of(record: &Record<'_>) -> Self {
        let Some(status) = record.fact("statusMessage") else { return Self::default() };
        let message = unpacked(status);
        let error = member(&message, "error").unwrap_or(&message);
        let part = |name: &str| member(error, name).and_then(text).map(str::to_owned);
        Self {
            code: part("code"),
            message: part("message").or_else(|| text(&message).map(str::to_owned)),
        }
    }
}

fn set_actor(event: &mut Event, record: &Record<'_>, claims: &Value) {
    event.actor = identity::actor(claims);
    event.detail("appid", identity::app_id(claims));
    // The REST API names the caller by address, or a service principal by its id.
    if let Some(caller) = record.first(&["caller"]) {
        let is_address = caller.contains('@');
        let actor = &mut event.actor;
        if is_address && actor.name.is_none() {
            actor.name = Some(caller.to_owned());
        } else if !is_address && actor.id.is_none() {
            actor.id = Some(caller.to_owned());
        }
        if actor.kind == ActorKind::Unknown && is_address {
            actor.kind = ActorKind::Human;
        }
    }
    let kind = record.field("identity").map(unpacked);
    let kind = kind.as_deref().and_then(|identity| {
        let evidence = member(member(identity, "authorization")?, "evidence")?;
        member(evidence, "principalType").and_then(text)
    });
    if event.actor.kind == ActorKind::Unknown {
        event.actor.kind = match kind {
            Some("User") => ActorKind::Human,
            Some("ServicePrincipal") => ActorKind::Workload,
            _ => ActorKind::Unknown,
        };
    }
    let status = record.text("statusCode").or_else(|| record.text("status"));
    event.detail("status_code", status);
    event.detail("http_status_code", record.fact("httpStatusCode").and_then(integer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const VAULT: &str =
        "/subscriptions/5A/resourceGroups/pay/providers/Microsoft.KeyVault/vaults/Pay";

    /// A REST event of `operation` on `resource`.
    fn rest(operation: &str, resource: &str) -> Value {
        json!({
            "authorization": {"action": operation, "scope": resource},
            "caller": "ann@example.com",
            "claims": {
                "http://schemas.microsoft.com/identity/claims/objectidentifier": "o-ann",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ann@example.com",
                "http://schemas.microsoft.com/claims/authnmethodsreferences": "pwd,mfa",
                "appid": "a-portal", "ipaddr": "198.51.100.1"
            },
            "correlationId": "c-1",
            "eventDataId": "e-1",
            "eventName": {"value": null, "localizedValue": "End request"},
            "category": {"value": "Administrative"},
            "eventTimestamp": "2026-05-06T07:08:09.1234567Z",
            "httpRequest": {"clientRequestId": "r-1", "clientIpAddress": "203.0.113.4",
                "method": "PUT"},
            "level": "Information",
            "operationId": "op-1",
            "operationName": {"value": operation, "localizedValue": "…"},
            "resourceId": resource,
            "status": {"value": "Succeeded"},
            "subStatus": {"value": "OK"},
            "submissionTimestamp": "2026-05-06T07:12:00Z",
            "subscriptionId": "5A",
            "properties": {"statusCode": "OK"}
        })
    }

    fn exported(operation: &str, resource: &str) -> Value {
        json!({
            "time": "2026-05-06T07:08:09.1234567Z",
            "resourceId": resource.to_ascii_uppercase(),
            "operationName": operation.to_ascii_uppercase(),
            "category": "Administrative",
            "resultType": "Success",
            "resultSignature": "Succeeded.OK",
            "durationMs": 12,
            "callerIpAddress": "203.0.113.4",
            "correlationId": "c-1",
            "identity": {
                "authorization": {"scope": resource, "evidence": {"principalType": "User"}},
                "claims": {"appid": "a-portal", "idtyp": "app",
                    "http://schemas.microsoft.com/identity/claims/objectidentifier": "o-job"}
            },
            "level": "Information",
            "location": "GLOBAL"
        })
    }

    fn event_of(mapped: Result<Mapped, Reject>) -> Event {
        match mapped {
            Ok(Mapped::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn of_rest(value: &Value) -> Event {
        assert!(looks_like_rest(value) && !looks_like_export(value));
        event_of(map(&value.to_string(), &Context::default()))
    }

    fn of_export(value: &Value) -> Event {
        assert!(looks_like_export(value) && !looks_like_rest(value));
        event_of(map_export(&value.to_string(), &Context::default()))
    }

    #[test]
    fn a_rest_event_keeps_every_fact() {
        let event = of_rest(&rest("Microsoft.KeyVault/vaults/delete", VAULT));
        assert_eq!(event.ledger, "azure/5a");
        assert_eq!(event.native_id.as_deref(), Some("e-1"));
        assert_eq!(event.format, Format::AzureActivity);
        assert_eq!(event.received_at.unwrap().to_string(), "2026-05-06T07:12:00Z");
        assert_eq!((event.service.as_str(), event.action), ("keyvault", Action::VaultDelete));
        assert_eq!(event.outcome, Outcome::Success);
        assert_eq!(event.actor.id.as_deref(), Some("o-ann"));
        assert_eq!((event.actor.kind, event.actor.mfa), (ActorKind::Human, Some(true)));
        assert_eq!(event.client.ip.as_deref(), Some("203.0.113.4"));
        assert_eq!(event.details["correlation_id"], "c-1");
        assert_eq!(event.target, Some(VAULT.to_ascii_lowercase()));
    }

    #[test]
    fn an_exported_event_says_the_same_without_an_id() {
        let event = of_export(&exported("Microsoft.KeyVault/vaults/delete", VAULT));
        assert_eq!(event.format, Format::AzureActivityExport);
        assert_eq!((event.native_id, event.action), (None, Action::VaultDelete));
        assert_eq!((event.ledger.as_str(), event.outcome), ("azure/5a", Outcome::Success));
        assert_eq!(event.actor.kind, ActorKind::Workload);
        assert_eq!(event.region.as_deref(), Some("global"));
        assert_eq!(event.details["correlation_id"], "c-1");
    }

    #[test]
    fn an_operation_that_has_only_begun_has_no_outcome() {
        for (state, expected) in [
            ("Started", Outcome::Unknown),
            ("Accepted", Outcome::Unknown),
            ("Succeeded", Outcome::Success),
            ("Failed", Outcome::Failure),
            ("", Outcome::Unknown),
        ] {
            let mut value = rest("Microsoft.KeyVault/vaults/delete", VAULT);
            value["status"] = json!({"value": state});
            assert_eq!(of_rest(&value).outcome, expected, "{state}");
        }
        for (state, signature, expected) in [
            ("Start", "Started.", Outcome::Unknown),
            ("Accept", "Accepted.Accepted", Outcome::Unknown),
            ("Success", "Succeeded.Created", Outcome::Success),
            ("Failure", "Failed.Conflict", Outcome::Failure),
            ("Failure", "Failed.Forbidden", Outcome::Denied),
            ("Success", "403", Outcome::Denied),
            ("Succeeded", "200", Outcome::Success),
        ] {
            let mut value = exported("Microsoft.KeyVault/vaults/delete", VAULT);
            value["resultType"] = json!(state);
            value["resultSignature"] = json!(signature);
            assert_eq!(of_export(&value).outcome, expected, "{state} {signature}");
        }
    }

    #[test]
    fn a_failure_for_lack_of_permission_is_denied() {
        let message = r#"{"error":{"code":"AuthorizationFailed","message":"no"}}"#;
        for (sub_status, status_message) in
            [("Forbidden", json!(null)), ("", json!(message)), ("401", json!(null))]
        {
            let mut value = rest("Microsoft.KeyVault/vaults/write", VAULT);
            value["status"] = json!({"value": "Failed"});
            value["subStatus"] = json!({"value": sub_status});
            value["properties"] = json!({"statusMessage": status_message});
            let event = of_rest(&value);
            assert_eq!(event.outcome, Outcome::Denied, "{sub_status}");
            assert!(event.error_code.is_some());
        }
    }

    #[test]
    fn a_write_creates_only_where_the_record_says_so() {
        let mut value = rest("Microsoft.KeyVault/vaults/write", VAULT);
        assert_eq!(of_rest(&value).action, Action::VaultUpdate);
        value["subStatus"] = json!({"value": "Created"});
        assert_eq!(of_rest(&value).action, Action::VaultCreate);
        let hsm = VAULT.replace("vaults", "managedHSMs");
        let event = of_rest(&rest("Microsoft.KeyVault/managedHSMs/write", &hsm));
        assert_eq!((event.service.as_str(), event.action), ("managedhsm", Action::HsmUpdate));
        assert_eq!(event.hsm_id, Some(hsm.to_ascii_lowercase()));
    }

    #[test]
    fn a_request_s_settings_are_read_from_text_and_object() {
        let body = json!({"properties": {"enablePurgeProtection": true,
            "publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}});
        for body in [json!(body.to_string()), body] {
            let mut value = rest("Microsoft.KeyVault/vaults/write", VAULT);
            value["properties"]["requestbody"] = body;
            let event = of_rest(&value);
            assert_eq!(event.details["enable_purge_protection"], true);
            assert_eq!(event.details["public_network"], true);
        }
    }

    #[test]
    fn what_was_deleted_can_be_purged_by_its_location() {
        let id =
            "/subscriptions/5a/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/pay";
        let name = "Microsoft.KeyVault/locations/deletedVaults/purge/action";
        let event = of_export(&exported(name, id));
        assert_eq!(event.action, Action::VaultPurge);
        assert_eq!(event.region.as_deref(), Some("eastus"));
        let id = id.replace("deletedVaults", "deletedManagedHSMs");
        let name = name.replace("deletedVaults", "deletedManagedHSMs");
        let event = of_export(&exported(&name, &id));
        assert_eq!((event.service.as_str(), event.action), ("managedhsm", Action::VaultPurge));
        assert!(event.hsm_id.is_some());
    }

    #[test]
    fn a_key_is_named_by_its_uri_in_its_cloud() {
        let resource = format!("{VAULT}/keys/KEK/versions/0123");
        let mut value = rest("Microsoft.KeyVault/vaults/keys/write", &resource);
        let event = of_rest(&value);
        assert_eq!(event.action, Action::KeyCreate);
        assert_eq!(event.key.id.as_deref(), Some("https://pay.vault.azure.net/keys/kek"));
        assert_eq!(event.key.version.as_deref(), Some("0123"));
        value["claims"]["aud"] = json!("https://management.core.usgovcloudapi.net/");
        let id = of_rest(&value).key.id;
        assert_eq!(id.as_deref(), Some("https://pay.vault.usgovcloudapi.net/keys/kek"));
    }

    #[test]
    fn a_data_plane_name_is_understood_and_marked() {
        let name = "microsoft.keyvault/vaults/keys/purge/action";
        let event = of_export(&exported(name, &format!("{VAULT}/keys/kek")));
        assert_eq!(event.action, Action::KeyPurge);
        assert_eq!(event.details["data_action"], true);
        assert_eq!(event.key.id.as_deref(), Some("https://pay.vault.azure.net/keys/kek"));
    }

    #[test]
    fn diagnostic_settings_count_for_vaults_hsms_and_subscriptions() {
        let setting = "providers/microsoft.insights/diagnosticSettings/audit";
        let storage = VAULT.replace("Microsoft.KeyVault/vaults", "Microsoft.Storage/accounts");
        let hsm = "/subscriptions/5a/resourceGroups/r/providers/\
            Microsoft.HardwareSecurityModules/cloudHsmClusters/c";
        for (scope, relevant) in
            [(VAULT, true), (hsm, true), ("/subscriptions/5A", true), (storage.as_str(), false)]
        {
            for (verb, action) in
                [("write", Action::LoggingChange), ("delete", Action::LoggingDelete)]
            {
                let name = format!("Microsoft.Insights/diagnosticSettings/{verb}");
                let value = rest(&name, &format!("{scope}/{setting}"));
                match map(&value.to_string(), &Context::default()).unwrap() {
                    Mapped::Event(event) => {
                        assert!(relevant, "{scope}");
                        assert_eq!(event.action, action);
                        assert_eq!(event.details["resource"], scope.to_ascii_lowercase());
                    }
                    Mapped::Irrelevant => assert!(!relevant, "{scope}"),
                }
            }
        }
    }

    #[test]
    fn a_diagnostic_setting_s_request_tells_whether_audit_events_are_logged() {
        let id = format!("{VAULT}/providers/microsoft.insights/diagnosticSettings/audit");
        let cases = [
            (json!([{"category": "AuditEvent", "enabled": true}]), json!(true)),
            (json!([{"categoryGroup": "allLogs", "enabled": true}]), json!(true)),
            (json!([{"categoryGroup": "audit", "enabled": "true"}]), json!(true)),
            (json!([{"category": "AuditEvent", "enabled": false}]), json!(false)),
            (json!([{"category": "AzurePolicyEvaluationDetails", "enabled": true}]), json!(false)),
            (json!([]), json!(false)),
        ];
        for (logs, expected) in cases {
            let mut value = rest("Microsoft.Insights/diagnosticSettings/write", &id);
            let body = json!({"properties": {"logs": logs, "workspaceId": "w"}});
            value["properties"]["requestbody"] = json!(body.to_string());
            let event = of_rest(&value);
            assert_eq!(event.details["logs_keys"], expected);
            assert_eq!(event.details["workspace_id"], "w");
        }
    }

    #[test]
    fn roles_count_only_within_vaults_and_hsms() {
        let hsm = VAULT.replace("vaults", "managedHSMs");
        let key = format!("{VAULT}/keys/kek");
        let cases = [
            (VAULT, Some(Action::VaultPolicySet)),
            (key.as_str(), Some(Action::KeyPolicySet)),
            (hsm.as_str(), Some(Action::HsmRoleChange)),
            ("/subscriptions/5a", None),
            ("/subscriptions/5a/resourceGroups/r", None),
        ];
        for (scope, expected) in cases {
            let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/7");
            let mut value = rest("Microsoft.Authorization/roleAssignments/write", &id);
            value["properties"]["requestbody"] =
                json!({"properties": {"principalId": "p-1", "roleDefinitionId": "officer"}});
            match map(&value.to_string(), &Context::default()).unwrap() {
                Mapped::Event(event) => {
                    assert_eq!(Some(event.action), expected, "{scope}");
                    assert_eq!(event.target.as_deref(), Some("p-1"));
                    assert_eq!(event.details["role_definition_id"], "officer");
                }
                Mapped::Irrelevant => assert_eq!(None, expected, "{scope}"),
            }
        }
    }

    #[test]
    fn what_has_nothing_to_do_with_keys_is_irrelevant() {
        let disk = VAULT.replace("Microsoft.KeyVault/vaults", "Microsoft.Compute/disks");
        for (name, resource) in [
            ("Microsoft.Compute/disks/delete", disk.as_str()),
            ("Microsoft.OperationalInsights/workspaces/delete", disk.as_str()),
            ("Microsoft.Authorization/policies/audit/action", VAULT),
            (
                "Microsoft.RecoveryServices/vaults/delete",
                "/subscriptions/5a/providers/Microsoft.RecoveryServices/vaults/v",
            ),
        ] {
            let raw = rest(name, resource).to_string();
            assert_eq!(map(&raw, &Context::default()), Ok(Mapped::Irrelevant), "{name}");
        }
    }

    #[test]
    fn an_unknown_operation_of_a_key_service_is_kept() {
        for name in
            ["Microsoft.KeyVault/vaults/unheard/action", "Microsoft.HardwareSecurityModules/x/y"]
        {
            let event = of_rest(&rest(name, VAULT));
            assert_eq!((event.action, event.native_action.as_str()), (Action::Other, name));
        }
    }

    #[test]
    fn a_caller_without_claims_is_told_by_its_form() {
        let mut value = rest("Microsoft.KeyVault/vaults/delete", VAULT);
        value["claims"] = json!(null);
        let event = of_rest(&value);
        assert_eq!(event.actor.name.as_deref(), Some("ann@example.com"));
        assert_eq!(event.actor.kind, ActorKind::Human);
        value["caller"] = json!("0f0e0d0c-0000-4000-8000-000000000001");
        let event = of_rest(&value);
        assert_eq!(event.actor.id.as_deref(), Some("0f0e0d0c-0000-4000-8000-000000000001"));
        assert_eq!((event.actor.name, event.actor.kind), (None, ActorKind::Unknown));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        use super::super::super::Reason;
        for (raw, reason) in [
            ("7", Reason::BadType),
            (r#"{"operationName":"a/b"}"#, Reason::BadTime),
            (r#"{"eventTimestamp":"2026-01-01T00:00:00Z"}"#, Reason::MissingField),
            (
                r#"{"eventTimestamp":"2026-01-01T00:00:00Z","operationName":{"value":null}}"#,
                Reason::MissingField,
            ),
        ] {
            assert_eq!(map(raw, &Context::default()).unwrap_err().reason, reason, "{raw}");
        }
    }

    #[test]
    fn logs_of_other_kinds_are_not_taken_for_activity() {
        for value in [
            json!({"time": "t", "resourceId": VAULT, "operationName": "KeyGet",
                "category": "AuditEvent"}),
            json!({"time": "t", "resourceId": "/x", "category": "kube-audit",
                "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read"}),
            json!([]),
        ] {
            assert!(!looks_like_rest(&value) && !looks_like_export(&value), "{value}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("/subscriptions//providers/microsoft.keyvault/vaults/é/keys/")),
            Just(json!("{\"properties\":{\"logs\":[1]}}")),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let name = prop_oneof![".{0,6}", "value|properties|claims|requestbody|logs|error"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(name, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_record_makes_the_mappers_panic(
            operation in prop::sample::select(OPERATIONS),
            members in prop::collection::vec(
                (prop::sample::select(vec!["eventTimestamp", "time", "resourceId", "identity",
                    "claims", "properties", "status", "subStatus", "resultSignature", "caller",
                    "authorization", "httpRequest", "subscriptionId"]), any_json()), 0..6),
        ) {
            let mut values = [rest(operation.name, VAULT), exported(operation.name, VAULT)];
            for value in &mut values {
                for (name, member) in &members {
                    value[*name] = member.clone();
                }
                let raw = value.to_string();
                drop((map(&raw, &Context::default()), map_export(&raw, &Context::default())));
                let _: bool = looks_like_rest(value) || looks_like_export(value);
            }
        }

        #[test]
        fn no_text_makes_the_mappers_panic(text in ".{0,200}") {
            drop((map(&text, &Context::default()), map_export(&text, &Context::default())));
        }
    }
}
