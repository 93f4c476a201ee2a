//! Key Vault and Managed HSM audit events (category `AuditEvent`), whichever way they arrived.
//!
//! - The outcome comes from the HTTP status and `resultSignature`, never from `resultType`, which
//!   says `Success` of refused calls too. 202 and `Accepted` are the start of a longer operation:
//!   outcome unknown.
//! - The provider gives no id of a record: `native_id` is `None`.
//! - `KeyUpdate` logs the attributes that the key has after the call: with `enabled` among them
//!   it is `key.enable` or `key.disable`, else `key.update`.
//! - `KeyRotateIfDue` runs by schedule and may find nothing due. It is `key.rotate` only where
//!   the record names a version that the request did not name and does not say that this version
//!   is older than the call; else `key.rotation.request`. What the service logs there is
//!   documented nowhere, so rules should also ask that the version is new to the key.
//! - Details: the provider's facts in snake case (`appid`, `http_status_code`, `enabled`,
//!   `enable_purge_protection`, `soft_delete_retention_in_days`, …); of ours are `vault`,
//!   `notification`, `notice`, `scheduled`, `rotation_enabled`, `rotation_period_days`.

mod operations;

use serde_json::Value;

pub use operations::{OPERATIONS, Operation};

use super::super::json::object;
use super::super::{Context, Mapped, Reject};
use super::identity;
use super::record::{Record, flag, integer, ip, member, small, text, unpacked};
use super::resource::{Holder, ObjectKind, Resource, VaultObject, VaultUri};
use super::rotation::RotationPolicy;
use super::vault;
use crate::event::{Action, ActorKind, Event, Format, KeyRef, Origin, Outcome, Provider};

const TIME: &[&str] = &["time", "TimeGenerated"];
const RESOURCE: &[&str] = &["resourceId", "_ResourceId"];

/// Facts that go to the details as they are.
const FACTS: &[(&str, &str)] = &[
    ("httpStatusCode", "http_status_code"),
    ("resultSignature", "result_signature"),
    ("algorithm", "algorithm"),
    ("isRbacAuthorized", "is_rbac_authorized"),
    ("isAccessPolicyMatch", "is_access_policy_match"),
    ("appliedAssignmentId", "applied_assignment_id"),
    ("tlsVersion", "tls_version"),
    ("trustedService", "trusted_service"),
    ("addressAuthorizationType", "address_authorization_type"),
];

/// Attributes of a key that go to the details.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("enabled", "enabled"),
    ("exp", "exp"),
    ("nbf", "nbf"),
    ("exportable", "exportable"),
    ("hsmPlatform", "hsm_platform"),
];

/// Endings of the operations that only say what Event Grid was told.
const NOTICES: &[(&str, &str)] = &[
    ("nearexpiryeventgridnotification", "near_expiry"),
    ("expiredeventgridnotification", "expired"),
    ("eventgridnotification", "changed"),
];

/// Signatures of calls that were carried out, letters and digits only.
const SUCCESSES: &[&str] = &["ok", "created", "accepted", "nocontent"];

/// Signatures of calls that were refused.
const REFUSALS: &[&str] = &["forbidden", "unauthorized"];

/// Whether `value` is an audit event of a vault or Managed HSM, in any spelling.
pub fn looks_like(value: &Value) -> bool {
    let record = Record::new(value);
    let named = record.first(&["operationName"]).is_some_and(|name| !name.contains('/'));
    let timed = TIME.iter().any(|name| record.field(name).is_some());
    let audit = record.first(&["category"]).is_none_or(|c| c.eq_ignore_ascii_case("AuditEvent"));
    named && timed && audit && (is_of_key_vault(&record) || holder(&record).is_some())
}

fn is_of_key_vault(record: &Record<'_>) -> bool {
    let table = record.first(&["Type"]).is_some_and(|t| t.eq_ignore_ascii_case("AZKVAuditLogs"));
    let provider = record.first(&["resourceProvider"]);
    table || provider.is_some_and(|p| p.eq_ignore_ascii_case("Microsoft.KeyVault"))
}

/// What the record is about: by its resource id, else by the host of its URIs.
fn holder(record: &Record<'_>) -> Option<Holder> {
    let by_id = record.first(RESOURCE).and_then(|id| Resource::parse(id).holder);
    by_id.or_else(|| {
        let uri = |name| record.text(name).and_then(VaultUri::parse)?.holder();
        uri("id").or_else(|| uri("requestUri"))
    })
}

/// Translates one audit event.
///
/// # Errors
/// When it is no JSON object, or lacks time or operation name.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let value = object(raw)?;
    let record = Record::new(&value);
    let time = record.time(TIME)?;
    let name = record.first(&["operationName"]);
    let name = name.ok_or_else(|| Reject::missing("operationName"))?;
    let resource = record.first(RESOURCE).map(Resource::parse);
    let account = resource
        .as_ref()
        .and_then(|resource| resource.subscription.clone())
        .or_else(|| {
            record.first(&["_SubscriptionId", "SubscriptionId"]).map(str::to_ascii_lowercase)
        })
        .or_else(|| context.account.as_ref().map(|account| account.to_ascii_lowercase()));
    let ledger = format!("azure/{}", account.as_deref().unwrap_or("unknown"));

    let mut event = Event::new(ledger, time, Provider::Azure, Format::AzureKeyVault);
    event.account = account;
    event.region =
        record.first(&["location"]).map(str::to_ascii_lowercase).or_else(|| context.region.clone());
    name.clone_into(&mut event.native_action);
    set_outcome(&mut event, &record);
    set_actor(&mut event, &record);
    let uris = Uris::of(&record);
    set_subject(&mut event, &record, resource.as_ref(), &uris);
    set_action(&mut event, &record, &uris);
    set_details(&mut event, &record);
    Ok(Mapped::Event(Box::new(event)))
}

/// The URIs of a record: of the object it is about, and of the request.
struct Uris {
    id: Option<VaultUri>,
    request: Option<VaultUri>,
}

impl Uris {
    fn of(record: &Record<'_>) -> Self {
        let uri = |name| record.text(name).and_then(VaultUri::parse);
        Self { id: uri("id"), request: uri("requestUri") }
    }

    fn request_object(&self) -> Option<VaultObject> {
        self.request.as_ref().and_then(VaultUri::object)
    }

    fn id_object(&self) -> Option<VaultObject> {
        self.id.as_ref().and_then(VaultUri::object)
    }

    /// The object, under the id that the service logged, else under the one requested.
    fn object(&self) -> Option<VaultObject> {
        let requested = self.request_object();
        match self.id_object() {
            Some(mut object) => {
                let same = requested.filter(|requested| requested.id == object.id);
                object.version = object.version.or_else(|| same?.version);
                Some(object)
            }
            None => requested,
        }
    }

    /// The version that the service named and the caller did not.
    fn new_version(&self) -> Option<String> {
        let named = self.id_object()?.version?;
        let requested = self.request_object().and_then(|object| object.version);
        (requested.as_ref() != Some(&named)).then_some(named)
    }

    fn host(&self) -> Option<&str> {
        self.id.as_ref().or(self.request.as_ref()).map(|uri| uri.host.as_str())
    }

    fn holder(&self) -> Option<Holder> {
        let of = |uri: &Option<VaultUri>| uri.as_ref().and_then(VaultUri::holder);
        of(&self.id).or_else(|| of(&self.request))
    }
}

fn set_outcome(event: &mut Event, record: &Record<'_>) {
    let signature = record.text("resultSignature");
    let status = record.fact("httpStatusCode").and_then(integer);
    event.outcome = outcome(status, signature);
    if matches!(event.outcome, Outcome::Denied | Outcome::Failure) {
        let code = signature.filter(|signature| !is_one_of(signature, SUCCESSES));
        let status = || status.map(|status| format!("HTTP {status}"));
        event.error_code = code.map(str::to_owned).or_else(status);
        event.error_message = record.text("resultDescription").map(str::to_owned);
    }
}

/// The outcome by HTTP status and signature; the two may disagree, and then the worse one holds
/// (a call logged as `Forbidden` with status 200 was refused).
fn outcome(status: Option<i64>, signature: Option<&str>) -> Outcome {
    let status_in_signature = signature.and_then(|signature| signature.parse::<i64>().ok());
    let word = signature.filter(|_| status_in_signature.is_none());
    let statuses = [status, status_in_signature];
    let has = |test: fn(i64) -> bool| statuses.iter().flatten().any(|status| test(*status));
    let says = |words: &[&str]| word.is_some_and(|word| is_one_of(word, words));
    if has(|status| status == 401 || status == 403) || says(REFUSALS) {
        Outcome::Denied
    } else if has(|status| status >= 400) || word.is_some() && !says(SUCCESSES) {
        Outcome::Failure
    } else if has(|status| status == 202) || says(&["accepted"]) {
        Outcome::Unknown
    } else if has(|status| (200..400).contains(&status)) || says(SUCCESSES) {
        Outcome::Success
    } else {
        Outcome::Unknown
    }
}

fn is_one_of(signature: &str, words: &[&str]) -> bool {
    let plain: String = signature.chars().filter(char::is_ascii_alphanumeric).collect();
    words.iter().any(|word| word.eq_ignore_ascii_case(&plain))
}

fn set_actor(event: &mut Event, record: &Record<'_>) {
    // `AzureDiagnostics` spreads the claims over columns `identity_claim_<name>_<type>`.
    let spread = || Value::Object(record.with_prefix("identity_claim_"));
    let identity = record.field("identity").map(unpacked);
    let claims = identity.as_ref().map_or_else(spread, |found| identity::claims(found).clone());
    event.actor = identity::actor(&claims);
    event.detail("appid", identity::app_id(&claims));
    event.client.ip = record.first(&["callerIpAddress"]).and_then(ip);
    event.client.user_agent = record.text("clientInfo").map(str::to_owned);
    event.client.request_id = record.first(&["correlationId"]).map(str::to_owned);
}

fn set_subject(event: &mut Event, record: &Record<'_>, resource: Option<&Resource>, uris: &Uris) {
    let by_id = resource.and_then(|resource| resource.holder);
    let holder = by_id.or_else(|| uris.holder()).unwrap_or(Holder::Vault);
    holder.service().clone_into(&mut event.service);
    let id = resource.and_then(|resource| resource.holder_id.clone());
    if holder.is_hsm() {
        event.hsm_id.clone_from(&id);
    }
    event.detail("vault", id.clone().or_else(|| uris.host().map(str::to_owned)));
    match uris.object() {
        Some(object) if object.kind == ObjectKind::Key => {
            event.key = key(record, object, holder);
        }
        Some(object) => {
            event.target = Some(object.id);
            event.detail("version", object.version);
        }
        None => event.target = id,
    }
}

fn key(record: &Record<'_>, object: VaultObject, holder: Holder) -> KeyRef {
    let properties = record.fact("keyProperties").map(unpacked);
    let part = |name: &str| properties.as_deref().and_then(|p| member(p, name));
    let kind = part("type").and_then(text);
    let curve = part("curve").or_else(|| part("crv")).and_then(text).map(str::to_owned);
    let size = || part("size").and_then(integer).map(|size| size.to_string());
    let spec = kind.map(|kind| match curve.or_else(size) {
        Some(size) => format!("{kind} {size}"),
        None => kind.to_owned(),
    });
    KeyRef {
        id: Some(object.id),
        version: object.version,
        spec,
        protection: vault::protection(kind, holder),
        ..KeyRef::default()
    }
}

fn set_action(event: &mut Event, record: &Record<'_>, uris: &Uris) {
    let route = uris.request.as_ref().map(VaultUri::route);
    let named = operations::action(&event.native_action, route.as_deref());
    let name = event.native_action.to_ascii_lowercase();
    event.action = match named {
        _ if is_challenge(event, record) => Action::Authentication,
        Action::KeyUpdate => match attribute(record, "enabled").as_ref().and_then(flag) {
            Some(true) => Action::KeyEnable,
            Some(false) => Action::KeyDisable,
            None => Action::KeyUpdate,
        },
        Action::KeyRotationRequest if uris.new_version().is_some() && !is_older(event, record) => {
            Action::KeyRotate
        }
        // `VaultPut` answers 201 where it made the vault.
        Action::VaultUpdate if name == "vaultput" && is_created(record) => Action::VaultCreate,
        other => other,
    };
    if event.hsm_id.is_some() || event.service == Holder::ManagedHsm.service() {
        event.action = operations::of_an_hsm(event.action);
    }
    if event.outcome == Outcome::Success && event.key.id.is_some() {
        event.key.origin = match event.action {
            Action::KeyImport => Some(Origin::Imported),
            Action::KeyCreate | Action::KeyRotate => Some(Origin::Generated),
            _ => None,
        };
    }
    event.read_only = read_only(event.action);
    if let Some((_, notice)) = NOTICES.iter().find(|(ending, _)| name.ends_with(ending)) {
        event.detail("notification", true);
        event.detail("notice", *notice);
        event.actor.kind = ActorKind::Service;
    }
    event.detail("scheduled", (name == "keyrotateifdue").then_some(true));
}

/// A first call without a token is answered with 401 and a challenge; that is how clients learn
/// where to get one, and no attempt at anything.
fn is_challenge(event: &Event, record: &Record<'_>) -> bool {
    let anonymous = event.actor.id.is_none() && event.actor.name.is_none();
    anonymous && record.fact("httpStatusCode").and_then(integer) == Some(401)
}

fn is_created(record: &Record<'_>) -> bool {
    record.fact("httpStatusCode").and_then(integer) == Some(201)
        || record.text("resultSignature").is_some_and(|word| is_one_of(word, &["created"]))
}

/// Whether the record says that the version it names was made well before the call.
fn is_older(event: &Event, record: &Record<'_>) -> bool {
    let made = attribute(record, "created").as_ref().and_then(integer);
    made.is_some_and(|made| event.time.as_second().saturating_sub(made) > 3600)
}

/// An attribute of the key, as it is after the call.
fn attribute(record: &Record<'_>, name: &str) -> Option<Value> {
    let properties = record.fact("keyProperties").map(unpacked)?;
    let attributes = member(&properties, "attributes").map(unpacked)?;
    member(&attributes, name).and_then(small)
}

/// Whether an operation can change nothing; copies that leave the service are counted as change.
fn read_only(action: Action) -> Option<bool> {
    match action {
        Action::Other | Action::Authentication => None,
        Action::SecretRead | Action::CertificateRead => Some(true),
        other => Some(matches!(other.category(), "read" | "use")),
    }
}

fn set_details(event: &mut Event, record: &Record<'_>) {
    for (name, detail) in FACTS {
        event.detail(detail, record.fact(name).and_then(small));
    }
    for (name, detail) in ATTRIBUTES {
        event.detail(detail, attribute(record, name));
    }
    let inner = record.fact("properties").map(unpacked);
    let find = |name: &str| {
        let nested = inner.as_deref().and_then(|inner| member(inner, name));
        nested.or_else(|| record.fact(name)).cloned()
    };
    for (detail, value) in vault::settings(find) {
        event.detail(detail, value);
    }
    let is_policy = event.action == Action::KeyRotationChange;
    let policy = RotationPolicy::find(record.properties(), 3).filter(|_| is_policy);
    if let Some(policy) = policy {
        event.detail("rotation_enabled", policy.rotates);
        event.detail("rotation_period_days", policy.period_days);
        event.detail("lifetime_actions", policy.actions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Protection;
    use proptest::prelude::*;
    use serde_json::json;

    const VAULT: &str = "/SUBSCRIPTIONS/1A2B3C4D-0000-4000-8000-000000000001/RESOURCEGROUPS/PAY/\
        PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/PAYVAULT";
    const VERSION: &str = "5b1f0c6de57a4d0c9f5a8a4f8f1e2d3c";

    fn mapped(value: &Value) -> Event {
        assert!(looks_like(value), "not recognised: {value}");
        match map(&value.to_string(), &Context::default()) {
            Ok(Mapped::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    /// A blob record of a call on the key `kek`, with `changes` over its members and properties.
    fn record(operation: &str, changes: &Value, properties: &Value) -> Value {
        let mut value = json!({
            "time": "2026-03-04T05:06:07.1234567Z",
            "resourceId": VAULT,
            "operationName": operation,
            "operationVersion": "7.4",
            "category": "AuditEvent",
            "resultType": "Success",
            "resultSignature": "OK",
            "durationMs": "31",
            "callerIpAddress": "203.0.113.9",
            "correlationId": "0e1d2c3b-0000-4000-8000-00000000000a",
            "identity": {"claim": {"oid": "o-ann", "appid": "a-cli", "upn": "ann@example.com",
                "idtyp": "user", "amr": "pwd,mfa"}},
            "properties": {
                "id": "https://PayVault.vault.azure.net/keys/Kek",
                "requestUri": "https://payvault.vault.azure.net:8443/keys/kek?api-version=7.4",
                "clientInfo": "azsdk-python/1.0",
                "httpStatusCode": 200,
                "tlsVersion": "TLS1_3"
            }
        });
        merge(&mut value, changes);
        merge(&mut value["properties"], properties);
        value
    }

    fn merge(value: &mut Value, changes: &Value) {
        for (name, change) in changes.as_object().unwrap() {
            value[name] = change.clone();
        }
    }

    fn of(operation: &str, properties: &Value) -> Event {
        mapped(&record(operation, &json!({}), properties))
    }

    #[test]
    fn a_call_on_a_key_becomes_an_event_with_every_fact() {
        let id = format!("https://payvault.vault.azure.net/keys/kek/{VERSION}");
        let properties = json!({"id": id, "keyProperties": {"type": "RSA-HSM", "size": 3072,
            "attributes": {"enabled": true, "hsmPlatform": "2"}}});
        let event = of("KeyCreate", &properties);
        assert_eq!(event.ledger, "azure/1a2b3c4d-0000-4000-8000-000000000001");
        assert_eq!(event.account.as_deref(), Some("1a2b3c4d-0000-4000-8000-000000000001"));
        assert_eq!(event.native_id, None);
        assert_eq!(event.time.to_string(), "2026-03-04T05:06:07.1234567Z");
        assert_eq!((event.service.as_str(), event.action), ("keyvault", Action::KeyCreate));
        assert_eq!(event.outcome, Outcome::Success);
        assert_eq!(event.key.id.as_deref(), Some("https://payvault.vault.azure.net/keys/kek"));
        assert_eq!(event.key.version.as_deref(), Some(VERSION));
        assert_eq!(event.key.spec.as_deref(), Some("RSA-HSM 3072"));
        assert_eq!(event.key.protection, Some(Protection::Hsm));
        assert_eq!(event.key.origin, Some(Origin::Generated));
        assert_eq!(event.actor.id.as_deref(), Some("o-ann"));
        assert_eq!(event.actor.name.as_deref(), Some("ann@example.com"));
        assert_eq!((event.actor.kind, event.actor.mfa), (ActorKind::Human, Some(true)));
        assert_eq!(event.client.ip.as_deref(), Some("203.0.113.9"));
        assert_eq!(event.client.user_agent.as_deref(), Some("azsdk-python/1.0"));
        assert_eq!(event.read_only, Some(false));
        assert_eq!(event.details["appid"], "a-cli");
        assert_eq!(event.details["vault"], VAULT.to_ascii_lowercase());
        assert_eq!(event.details["hsm_platform"], "2");
        assert_eq!(event.hsm_id, None);
    }

    #[test]
    fn every_published_operation_gets_its_action() {
        let no_uri = json!({"id": null, "requestUri": null});
        for row in OPERATIONS {
            assert_eq!(of(row.name, &no_uri).action, row.action, "{}", row.name);
        }
    }

    #[test]
    fn a_refused_call_is_denied_whatever_result_type_says() {
        let cases = [
            (json!(200), "Forbidden", Outcome::Denied),
            (json!(403), "OK", Outcome::Denied),
            (json!(401), "Unauthorized", Outcome::Denied),
            (json!("403"), "", Outcome::Denied),
            (json!(404), "Not Found", Outcome::Failure),
            (json!(409), "Conflict", Outcome::Failure),
            (json!(400), "OK", Outcome::Failure),
            (json!(200), "Bad Request", Outcome::Failure),
            (json!(null), "429", Outcome::Failure),
            (json!(200), "OK", Outcome::Success),
            (json!(201), "Created", Outcome::Success),
            (json!(204), "No Content", Outcome::Success),
            (json!(204), "NoContent", Outcome::Success),
            (json!(200), "", Outcome::Success),
            (json!(202), "Accepted", Outcome::Unknown),
            (json!(202), "", Outcome::Unknown),
            (json!(null), "", Outcome::Unknown),
        ];
        for (status, signature, expected) in cases {
            let changes = json!({"resultSignature": signature, "resultDescription": "why"});
            let properties = json!({"httpStatusCode": status});
            let event = mapped(&record("KeyPurge", &changes, &properties));
            assert_eq!(event.outcome, expected, "{status} {signature}");
            let failed = matches!(expected, Outcome::Denied | Outcome::Failure);
            assert_eq!(event.error_message.is_some(), failed);
            assert_eq!(event.error_code.is_some(), failed);
        }
    }

    #[test]
    fn an_anonymous_401_is_a_challenge_and_a_known_caller_s_is_a_refusal() {
        let properties = json!({"httpStatusCode": 401});
        let changes = json!({"identity": {}, "resultSignature": "Unauthorized"});
        let challenge = mapped(&record("KeyGet", &changes, &properties));
        assert_eq!(challenge.action, Action::Authentication);
        assert_eq!(challenge.native_action, "KeyGet");
        let changes = json!({"resultSignature": "Unauthorized"});
        let refused = mapped(&record("KeyPurge", &changes, &properties));
        assert_eq!((refused.action, refused.outcome), (Action::KeyPurge, Outcome::Denied));
    }

    #[test]
    fn an_update_that_logs_enabled_switches_the_key() {
        let with = |enabled: Value| json!({"keyProperties": {"attributes": {"enabled": enabled}}});
        assert_eq!(of("KeyUpdate", &with(json!(false))).action, Action::KeyDisable);
        assert_eq!(of("KeyUpdate", &with(json!(true))).action, Action::KeyEnable);
        assert_eq!(of("KeyUpdate", &with(json!(null))).action, Action::KeyUpdate);
        assert_eq!(of("KeyUpdate", &json!({})).action, Action::KeyUpdate);
        assert_eq!(of("KeyUpdate", &with(json!(false))).details["enabled"], false);
    }

    #[test]
    fn a_scheduled_rotation_counts_only_with_a_new_version() {
        let id = format!("https://payvault.vault.azure.net/keys/kek/{VERSION}");
        assert_eq!(of("KeyRotateIfDue", &json!({})).action, Action::KeyRotationRequest);
        let rotated = of("KeyRotateIfDue", &json!({"id": id}));
        assert_eq!(rotated.action, Action::KeyRotate);
        assert_eq!(rotated.key.version.as_deref(), Some(VERSION));
        assert_eq!(rotated.details["scheduled"], true);
        let asked = json!({"id": id, "requestUri": format!("{id}/rotate?api-version=7.4")});
        assert_eq!(of("KeyRotateIfDue", &asked).action, Action::KeyRotationRequest);
        let old = json!({"id": id, "keyProperties": {"attributes": {"created": 1_700_000_000}}});
        assert_eq!(of("KeyRotateIfDue", &old).action, Action::KeyRotationRequest);
        assert_eq!(of("KeyRotate", &json!({})).action, Action::KeyRotate);
    }

    #[test]
    fn a_rotation_policy_s_actions_go_to_the_details() {
        let policy = json!({"keyRotationPolicy": {"lifetimeActions": [
            {"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}]}});
        let event = of("KeyRotationPolicySet", &policy);
        assert_eq!(event.action, Action::KeyRotationChange);
        assert_eq!(event.details["rotation_enabled"], true);
        assert_eq!(event.details["rotation_period_days"], 90);
        assert!(!of("KeyRotationPolicySet", &json!({})).details.contains_key("rotation_enabled"));
    }

    #[test]
    fn a_deleted_key_is_the_same_key() {
        let properties = json!({"id": "https://payvault.vault.azure.net/deletedkeys/kek"});
        let purge = of("KeyPurge", &properties);
        assert_eq!(purge.key.id.as_deref(), Some("https://payvault.vault.azure.net/keys/kek"));
        assert_eq!(purge.action, Action::KeyPurge);
    }

    #[test]
    fn the_version_may_stand_in_the_request_alone() {
        let uri = format!("https://payvault.vault.azure.net:8443/keys/kek/{VERSION}/sign");
        let event = of("KeySign", &json!({"id": null, "requestUri": uri}));
        assert_eq!(event.key.id.as_deref(), Some("https://payvault.vault.azure.net/keys/kek"));
        assert_eq!(event.key.version.as_deref(), Some(VERSION));
        assert_eq!(event.read_only, Some(true));
    }

    #[test]
    fn secrets_and_certificates_are_targets_not_keys() {
        let id = format!("https://payvault.vault.azure.net/secrets/Db/{VERSION}");
        let event = of("SecretGet", &json!({"id": id}));
        assert_eq!(event.target.as_deref(), Some("https://payvault.vault.azure.net/secrets/db"));
        assert_eq!(event.details["version"], VERSION);
        assert_eq!((event.key.id, event.read_only), (None, Some(true)));
    }

    #[test]
    fn a_notice_changes_nothing_and_comes_from_the_service() {
        let changes = json!({"identity": null, "callerIpAddress": null});
        let event = mapped(&record("KeyNearExpiryEventGridNotification", &changes, &json!({})));
        assert_eq!((event.action, event.read_only), (Action::KeyRead, Some(true)));
        assert_eq!(event.details["notification"], true);
        assert_eq!(event.details["notice"], "near_expiry");
        assert_eq!(event.actor.kind, ActorKind::Service);
    }

    #[test]
    fn a_vault_s_settings_go_to_the_details_flat_or_nested() {
        let settings = json!({"enableSoftDelete": true, "softDeleteRetentionInDays": 7,
            "enablePurgeProtection": false, "enableRbacAuthorization": true,
            "networkAcls": {"defaultAction": "Deny"}});
        let uri = "https://control-prod-wus.vaultcore.azure.net/subscriptions/x?api-version=1";
        let base = json!({"id": "https://payvault.vault.azure.net/", "requestUri": uri});
        let mut flat = base.clone();
        merge(&mut flat, &settings);
        let mut nested = base;
        nested["properties"] = settings;
        for properties in [flat, nested] {
            let event = of("VaultPatch", &properties);
            assert_eq!(event.action, Action::VaultUpdate);
            assert_eq!(event.details["soft_delete_retention_in_days"], 7);
            assert_eq!(event.details["enable_purge_protection"], false);
            assert_eq!(event.details["network_acls_default_action"], "Deny");
            assert_eq!(event.target, Some(VAULT.to_ascii_lowercase()));
            assert_eq!(event.key.id, None);
        }
        assert_eq!(of("VaultPut", &json!({"httpStatusCode": 201})).action, Action::VaultCreate);
        assert_eq!(of("VaultPut", &json!({"httpStatusCode": 200})).action, Action::VaultUpdate);
    }

    /// A Managed HSM record: facts at the top level, identity as JSON text.
    fn hsm_record(operation: &str, uri: &str, status: u16) -> Value {
        let identity = json!({"claim": {"appid": "a-job",
            "http_schemas_microsoft_com_identity": {"claims": {"objectidentifier": "o-job"}}}});
        json!({
            "TenantId": "t",
            "time": "2026-01-02T03:04:05.678Z",
            "resourceId": "/SUBSCRIPTIONS/5/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/MANAGEDHSMS/POOL",
            "operationName": operation,
            "category": "AuditEvent",
            "resultType": "Success",
            "properties": {"PoolType": "M-HSM"},
            "durationMs": 488,
            "callerIpAddress": "X.X.X.X",
            "identity": identity.to_string(),
            "clientInfo": "az/2",
            "httpStatusCode": status,
            "requestUri": uri
        })
    }

    #[test]
    fn a_managed_hsm_s_record_keeps_its_facts_at_the_top() {
        let value = hsm_record("BackupCreate", "https://pool.managedhsm.azure.net/backup", 202);
        let event = mapped(&value);
        assert_eq!((event.service.as_str(), event.action), ("managedhsm", Action::HsmBackupCreate));
        assert_eq!(event.outcome, Outcome::Unknown);
        let id = "/subscriptions/5/resourcegroups/r/providers/microsoft.keyvault/managedhsms/pool";
        assert_eq!(event.hsm_id.as_deref(), Some(id));
        assert_eq!(event.actor.id.as_deref(), Some("o-job"));
        assert_eq!(event.actor.kind, ActorKind::Workload);
        assert_eq!(event.client.ip, None);
        assert_eq!(event.client.user_agent.as_deref(), Some("az/2"));
    }

    #[test]
    fn unpublished_operations_of_a_managed_hsm_are_told_by_their_request() {
        let host = "https://pool.managedhsm.azure.net";
        let cases = [
            ("SecurityDomainDownload", "securitydomain/download", Action::HsmSecurityDomainBackup),
            ("SecurityDomainUpload", "securitydomain/upload", Action::HsmSecurityDomainRestore),
            (
                "RoleAssignmentCreate",
                "keys/providers/Microsoft.Authorization/roleAssignments/7",
                Action::HsmRoleChange,
            ),
            ("HsmKeyRelease", "keys/kek/0123/release", Action::KeyRelease),
            ("VaultPatch", "", Action::HsmUpdate),
            ("Unheard", "nowhere", Action::Other),
        ];
        for (operation, path, action) in cases {
            let event = mapped(&hsm_record(operation, &format!("{host}/{path}"), 200));
            assert_eq!(event.action, action, "{operation}");
            assert_eq!(event.native_action, operation);
        }
        let release = mapped(&hsm_record("X", &format!("{host}/keys/kek/0123/release"), 200));
        assert_eq!(release.key.id.as_deref(), Some("https://pool.managedhsm.azure.net/keys/kek"));
        assert_eq!(release.key.protection, Some(Protection::Hsm));
    }

    #[test]
    fn a_log_analytics_row_gives_the_same_event() {
        let row = json!({
            "TimeGenerated": "2026-03-04T05:06:07.1234567Z",
            "OperationName": "KeyDelete",
            "ResultType": "Success",
            "ResultSignature": "OK",
            "HttpStatusCode": 200,
            "CallerIpAddress": "203.0.113.9",
            "CorrelationId": "0e1d2c3b-0000-4000-8000-00000000000a",
            "ClientInfo": "azsdk-python/1.0",
            "Identity": "{\"claim\":{\"oid\":\"o-ann\",\"appid\":\"a-cli\",\"idtyp\":\"user\",\
                \"upn\":\"ann@example.com\",\"amr\":\"pwd,mfa\"}}",
            "Id": "https://payvault.vault.azure.net/keys/kek",
            "RequestUri": "https://payvault.vault.azure.net:8443/keys/kek?api-version=7.4",
            "Tlsversion": "TLS1_3",
            "IsAccessPolicyMatch": null,
            "_ResourceId": VAULT.to_ascii_lowercase()
        });
        assert_eq!(mapped(&row), of("KeyDelete", &json!({})));
    }

    #[test]
    fn an_azure_diagnostics_row_is_read_by_its_typed_columns() {
        let row = json!({
            "TimeGenerated": "2026-03-04T05:06:07Z",
            "ResourceId": VAULT, "Category": "AuditEvent", "ResourceProvider": "MICROSOFT.KEYVAULT",
            "OperationName": "KeyGet", "ResultSignature": "Forbidden", "httpStatusCode_d": 403.0,
            "requestUri_s": "https://payvault.vault.azure.net/keys/kek",
            "identity_claim_oid_g": "o-ann", "identity_claim_upn_s": "ann@example.com"
        });
        let event = mapped(&row);
        assert_eq!(event.outcome, Outcome::Denied);
        assert_eq!(event.actor.name.as_deref(), Some("ann@example.com"));
        assert_eq!(event.key.id.as_deref(), Some("https://payvault.vault.azure.net/keys/kek"));
    }

    #[test]
    fn without_a_subscription_the_context_or_unknown_names_the_ledger() {
        let changes = json!({"resourceId": "/SUBSCRIPTIONS/<subscription-id>/PROVIDERS/\
            MICROSOFT.KEYVAULT/VAULTS/V"});
        let raw = record("KeyGet", &changes, &json!({})).to_string();
        let ledger = |context: &Context| match map(&raw, context).unwrap() {
            Mapped::Event(event) => event.ledger,
            Mapped::Irrelevant => String::new(),
        };
        assert_eq!(ledger(&Context::default()), "azure/unknown");
        let context = Context { account: Some("SUB-1".to_owned()), ..Context::default() };
        assert_eq!(ledger(&context), "azure/sub-1");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        use super::super::super::Reason;
        let cases = [
            ("[]", Reason::BadType),
            ("{", Reason::BadJson),
            (r#"{"operationName":"KeyGet"}"#, Reason::BadTime),
            (r#"{"time":"2026-01-01T00:00:00Z"}"#, Reason::MissingField),
            (r#"{"time":"2026-01-01T00:00:00Z","operationName":7}"#, Reason::MissingField),
        ];
        for (raw, reason) in cases {
            assert_eq!(map(raw, &Context::default()).unwrap_err().reason, reason, "{raw}");
        }
    }

    #[test]
    fn other_logs_are_not_taken_for_audit_events() {
        for value in [
            json!({"time": "t", "operationName": "MICROSOFT.KEYVAULT/VAULTS/WRITE",
                "resourceId": VAULT, "category": "Administrative"}),
            json!({"time": "t", "operationName": "GetBlob", "category": "StorageRead",
                "resourceId": "/subscriptions/s/providers/Microsoft.Storage/storageAccounts/a"}),
            json!({"time": "t", "operationName": "X", "resourceId": VAULT,
                "category": "AzurePolicyEvaluationDetails"}),
            json!({"eventTimestamp": "t", "operationName": {"value": "x"}}),
            json!(null),
        ] {
            assert!(!looks_like(&value), "{value}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("https://h.vault.azure.net/keys//é/?")),
            Just(json!("{\"claim\":[{}]}")),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let name =
                prop_oneof![".{0,6}", "properties|identity|claim|id|keyProperties|attributes"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(name, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_record_makes_the_mapper_panic(
            operation in prop::sample::select(OPERATIONS),
            members in prop::collection::vec(
                (prop::sample::select(vec!["time", "resourceId", "identity", "properties",
                    "httpStatusCode", "resultSignature", "callerIpAddress", "requestUri"]),
                 any_json()), 0..6),
            inner in any_json(),
        ) {
            let mut value = record(operation.name, &json!({}), &json!({"keyProperties": inner}));
            for (name, member) in members {
                value[name] = member;
            }
            looks_like(&value);
            drop(map(&value.to_string(), &Context::default()));
        }

        #[test]
        fn no_text_makes_the_mapper_panic(text in ".{0,200}") {
            drop(map(&text, &Context::default()));
        }
    }
}
