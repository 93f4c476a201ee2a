//! Inventory documents of the gcloud command-line tool.
//!
//! Account and region of a row come from the name of the key, which every document but a policy
//! holds. A key has no state of its own; its row takes that of its primary version. Fields:
//! `CryptoKey`, `CryptoKeyVersion` in the Cloud KMS API reference, `Policy` in that of IAM.

mod hsm;
mod settings;

#[cfg(feature = "collect")]
pub(super) use settings::Auditing;

use serde_json::{Value, json};

use super::super::inventory::{Inventory, InventoryContext, InventoryKind, KeyRow, KeyVersionRow};
use super::super::{Json as _, Reason, Reject};
use super::audit::policy::is_public;
use super::proto;
use super::resource::{self, ResourceName};
use crate::event::{Origin, Protection, Provider};

/// Longer lists of bindings are cut in `details`.
const LONGEST_LIST: usize = 50;

/// What `gcloud kms keys get-iam-policy` may hold.
const POLICY_FIELDS: &[&str] = &["auditConfigs", "bindings", "etag", "version"];

/// The collections in the name of a version.
const VERSION: &[&str] = &["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];

/// Documents that a name of these collections and one member tell.
const NAMED: &[(&[&str], &str, InventoryKind)] = &[
    (VERSION, "state", InventoryKind::GcpKeyVersion),
    (resource::IMPORT_JOB, "importMethod", InventoryKind::GcpImportJob),
    (resource::HSM, "state", InventoryKind::GcpHsmInstance),
    (resource::PROPOSAL, "state", InventoryKind::GcpHsmProposal),
    (resource::LOG_BUCKET, "lifecycleState", InventoryKind::GcpLogBucket),
];

/// Tells which inventory document `value` is; `None` when it is none.
pub fn detect(value: &Value) -> Option<InventoryKind> {
    let has = |name: &str| value.get(name).is_some();
    if let Some(name) = value.text(&["name"]).map(ResourceName::parse) {
        let is_key = ["purpose", "primary", "versionTemplate", "createTime"].into_iter().any(has);
        if is_key && name.is_exactly(resource::KEY) {
            return Some(InventoryKind::GcpKey);
        }
        let told = |(collections, member, kind): &(&[&str], &str, InventoryKind)| {
            (has(member) && name.is_exactly(collections)).then_some(*kind)
        };
        return NAMED.iter().find_map(told);
    }
    let members = value.as_object()?;
    let is_policy = members.keys().all(|name| POLICY_FIELDS.contains(&name.as_str()))
        && value.text(&["etag"]).is_some()
        && value.get("bindings").is_none_or(Value::is_array);
    // Only a project and what is above it say what is audited.
    let audits = !value.items(&["auditConfigs"]).is_empty();
    let kind = if audits { InventoryKind::GcpAuditConfig } else { InventoryKind::GcpIamPolicy };
    is_policy.then_some(kind)
}

/// Reads one inventory document.
///
/// # Errors
/// When it lacks what identifies its subject.
pub fn read(
    kind: InventoryKind,
    value: &Value,
    context: &InventoryContext,
) -> Result<Inventory, Reject> {
    match kind {
        InventoryKind::GcpKey => read_key(value),
        InventoryKind::GcpKeyVersion => {
            let row = version_row(value, None).ok_or_else(|| Reject::missing("name"))?;
            Ok(Inventory { key_versions: vec![row], ..Inventory::default() })
        }
        InventoryKind::GcpIamPolicy => read_policy(value, context),
        InventoryKind::GcpAuditConfig => settings::audit_config(value, context),
        InventoryKind::GcpLogBucket => settings::log_bucket(value),
        InventoryKind::GcpHsmInstance => hsm::instance(value),
        InventoryKind::GcpHsmProposal => hsm::proposal(value),
        InventoryKind::GcpImportJob => hsm::import_job(value),
        _ => Err(Reject::new(Reason::UnknownFormat, "not a document of gcloud")),
    }
}

/// The row of the key called `name`, with its place.
fn named_row(name: &str) -> Option<KeyRow> {
    let name = ResourceName::parse(name);
    let mut row = KeyRow::new(Provider::Gcp, name.through(resource::KEY)?);
    row.account = name.id("projects").map(str::to_owned);
    row.region = name.id("locations").map(str::to_owned);
    Some(row)
}

fn read_key(value: &Value) -> Result<Inventory, Reject> {
    let name = value.text(&["name"]).ok_or_else(|| Reject::missing("name"))?;
    let mut row = named_row(name).ok_or_else(|| bad_name(name))?;
    let primary = value.at(&["primary"]).filter(|primary| primary.is_object());
    let either = |name: &str| {
        value.string(&["versionTemplate", name]).or_else(|| value.string(&["primary", name]))
    };
    row.key_usage = value.string(&["purpose"]);
    row.manager = Some("customer".to_owned());
    row.created_at = value.time(&["createTime"]);
    row.key_spec = either("algorithm");
    row.protection = either("protectionLevel").as_deref().and_then(resource::protection);
    row.state = primary.and_then(|primary| primary.text(&["state"])).map(resource::state);
    row.deletion_at = primary.and_then(|primary| {
        primary.time(&["destroyEventTime"]).or_else(|| primary.time(&["destroyTime"]))
    });
    row.origin = key_origin(value, row.protection);
    add_rotation(&mut row, value);
    add_key_details(&mut row, value);
    let versions = primary.and_then(|primary| version_row(primary, Some(true)));
    Ok(Inventory {
        keys: vec![row],
        key_versions: versions.into_iter().collect(),
        ..Inventory::default()
    })
}

fn bad_name(name: &str) -> Reject {
    let name: String = name.chars().take(200).collect();
    Reject::new(Reason::BadText, format!("`{name}` is not the name of what it should be"))
}

fn key_origin(value: &Value, protection: Option<Protection>) -> Option<Origin> {
    let imported = value.flag(&["importOnly"]) == Some(true)
        || value.text(&["primary", "importJob"]).is_some();
    resource::origin(protection, imported, value.text(&["primary", "generateTime"]).is_some())
}

/// Rotation is automatic where a period is set; a next time alone makes one rotation.
fn add_rotation(row: &mut KeyRow, value: &Value) {
    let period = proto::seconds(value, &["rotationPeriod"]);
    row.rotation_enabled = match value.at(&["rotationPeriod"]) {
        None => Some(false),
        Some(_) => period.map(|seconds| seconds > 0),
    };
    row.rotation_period_days = proto::days_rounded_up(value, &["rotationPeriod"]);
    row.next_rotation_at = value.time(&["nextRotationTime"]);
}

fn add_key_details(row: &mut KeyRow, value: &Value) {
    let wait = proto::days_rounded_down(value, &["destroyScheduledDuration"]);
    let version = value.text(&["primary", "name"]).map(ResourceName::parse);
    let reasons = ["keyAccessJustificationsPolicy", "allowedAccessReasons"];
    for (name, fact) in [
        ("destroy_scheduled_duration_days", wait.map(Value::from)),
        ("purpose", value.string(&["purpose"]).map(Value::from)),
        ("import_only", value.flag(&["importOnly"]).map(Value::from)),
        ("crypto_key_backend", value.string(&["cryptoKeyBackend"]).map(Value::from)),
        (
            "protection_level",
            value.string(&["versionTemplate", "protectionLevel"]).map(Value::from),
        ),
        ("primary_version", version.and_then(|v| v.id("cryptoKeyVersions")).map(Value::from)),
        ("allowed_access_reasons", value.at(&reasons).filter(|v| v.is_array()).cloned()),
    ] {
        if let Some(fact) = fact {
            row.details.insert(name.to_owned(), fact);
        }
    }
}

/// The row of one version; `None` when it has no name of one.
fn version_row(value: &Value, is_primary: Option<bool>) -> Option<KeyVersionRow> {
    let name = ResourceName::parse(value.text(&["name"])?);
    let protection = value.text(&["protectionLevel"]).and_then(resource::protection);
    let imported = value.text(&["importJob"]).is_some();
    let mut row = KeyVersionRow {
        provider: Provider::Gcp,
        account: name.id("projects").map(str::to_owned),
        region: name.id("locations").map(str::to_owned),
        key_id: name.through(resource::KEY)?,
        version: name.id("cryptoKeyVersions")?.to_owned(),
        state: value.text(&["state"]).map(resource::state),
        is_primary,
        created_at: value.time(&["createTime"]),
        rotated_at: None,
        rotation_type: imported.then(|| "import".to_owned()),
        expires_at: None,
        key_spec: value.string(&["algorithm"]),
        protection,
        details: serde_json::Map::new(),
    };
    let generated = value.text(&["generateTime"]).is_some();
    if let Some(origin) = resource::origin(protection, imported, generated) {
        row.details.insert("origin".to_owned(), Value::from(origin.as_str()));
    }
    for (detail, field) in VERSION_DETAILS {
        if let Some(fact) = value.at(field).filter(|fact| !fact.is_object() && !fact.is_array()) {
            row.details.insert((*detail).to_owned(), fact.clone());
        }
    }
    Some(row)
}

/// Details of a version: name, and path in the document.
const VERSION_DETAILS: &[(&str, &[&str])] = &[
    ("generate_time", &["generateTime"]),
    ("destroy_time", &["destroyTime"]),
    ("destroy_event_time", &["destroyEventTime"]),
    ("import_job", &["importJob"]),
    ("import_time", &["importTime"]),
    ("import_failure_reason", &["importFailureReason"]),
    ("generation_failure_reason", &["generationFailureReason"]),
    ("external_destruction_failure_reason", &["externalDestructionFailureReason"]),
    ("external_key_uri", &["externalProtectionLevelOptions", "externalKeyUri"]),
    ("reimport_eligible", &["reimportEligible"]),
    ("trusted_wrapping_enabled", &["trustedWrappingEnabled"]),
    ("hsm_trusted", &["hsmTrusted"]),
    ("attestation_format", &["attestation", "format"]),
];

/// A policy names no key; who asks for it has to say whose it is.
fn read_policy(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let hint = context.key_hint.as_deref().ok_or_else(|| Reject::missing("key"))?;
    let mut row = named_row(hint).ok_or_else(|| bad_name(hint))?;
    let bindings = value.items(&["bindings"]);
    let members = |binding: &Value| {
        binding.items(&["members"]).iter().filter_map(Value::as_str).any(is_public)
    };
    let public: Vec<Value> =
        bindings.iter().filter(|binding| members(binding)).map(short).take(LONGEST_LIST).collect();
    // What the key ring grants counts for its keys too.
    let partly = value.flag(&["inheritedUnread"]) == Some(true);
    let access = match (public.is_empty(), partly) {
        (false, _) => "public",
        (true, true) => "unreadable",
        (true, false) => "restricted",
    };
    row.access = Some(access.to_owned());
    if !public.is_empty() {
        row.details.insert("public_bindings".to_owned(), Value::from(public));
    }
    let all: Vec<Value> = bindings.iter().map(short).take(LONGEST_LIST).collect();
    row.details.insert("bindings".to_owned(), Value::from(all));
    row.details.insert("binding_count".to_owned(), Value::from(bindings.len()));
    Ok(Inventory { keys: vec![row], ..Inventory::default() })
}

/// A binding with its members cut to a length that a row can hold.
fn short(binding: &Value) -> Value {
    let members: Vec<&Value> = binding.items(&["members"]).iter().take(LONGEST_LIST).collect();
    json!({
        "role": binding.text(&["role"]),
        "members": members,
        "condition": binding.text(&["condition", "expression"]),
        "inherited_from": binding.text(&["inheritedFrom"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_NAME: &str = "projects/keys-prod/locations/europe-west3/keyRings/pay/cryptoKeys/card";

    fn key() -> Value {
        json!({
            "name": KEY_NAME, "purpose": "ENCRYPT_DECRYPT", "createTime": "2025-01-02T03:04:05.678Z",
            "nextRotationTime": "2026-12-01T00:00:00Z", "rotationPeriod": "7776000s",
            "destroyScheduledDuration": "2592000s",
            "versionTemplate": {"protectionLevel": "HSM", "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION"},
            "primary": {
                "name": format!("{KEY_NAME}/cryptoKeyVersions/3"), "state": "ENABLED",
                "createTime": "2026-09-01T00:00:00Z", "generateTime": "2026-09-01T00:00:01Z",
                "protectionLevel": "HSM", "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
            },
        })
    }

    fn read_it(value: &Value) -> Inventory {
        read(detect(value).unwrap(), value, &InventoryContext::default()).unwrap()
    }

    #[test]
    fn a_key_gives_its_row_and_that_of_its_primary_version() {
        let inventory = read_it(&key());
        let row = &inventory.keys[0];
        assert_eq!(row.key_id, KEY_NAME);
        assert_eq!(row.account.as_deref(), Some("keys-prod"));
        assert_eq!(row.region.as_deref(), Some("europe-west3"));
        assert_eq!(row.state.as_deref(), Some("enabled"));
        assert_eq!((row.rotation_enabled, row.rotation_period_days), (Some(true), Some(90)));
        assert_eq!(row.protection, Some(Protection::Hsm));
        assert_eq!(row.origin, Some(Origin::Generated));
        assert_eq!(row.access, None);
        assert_eq!(row.details["destroy_scheduled_duration_days"], 30);
        let version = &inventory.key_versions[0];
        assert_eq!((version.version.as_str(), version.is_primary), ("3", Some(true)));
        assert_eq!(version.key_id, KEY_NAME);
        assert_eq!(version.created_at, "2026-09-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn a_key_without_period_or_primary_version_tells_no_more_than_that() {
        let inventory = read_it(&json!({"name": KEY_NAME, "purpose": "ASYMMETRIC_SIGN"}));
        let row = &inventory.keys[0];
        assert_eq!((row.rotation_enabled, row.rotation_period_days), (Some(false), None));
        assert_eq!((row.state.as_deref(), row.origin), (None, None));
        assert!(inventory.key_versions.is_empty());
    }

    #[test]
    fn an_unreadable_period_is_not_taken_for_none() {
        let mut value = key();
        value["rotationPeriod"] = json!("quarterly");
        let inventory = read_it(&value);
        assert_eq!(inventory.keys[0].rotation_enabled, None);
    }

    #[test]
    fn a_version_waiting_for_its_destruction_is_pending_deletion() {
        let value = json!({
            "name": format!("{KEY_NAME}/cryptoKeyVersions/2"), "state": "DESTROY_SCHEDULED",
            "destroyTime": "2026-12-01T00:00:00Z", "importJob": "projects/p/x",
            "protectionLevel": "HSM_SINGLE_TENANT", "attestation": {"format": "CAVIUM_V2_COMPRESSED"},
        });
        assert_eq!(detect(&value), Some(InventoryKind::GcpKeyVersion));
        let inventory = read_it(&value);
        let row = &inventory.key_versions[0];
        assert_eq!(row.state.as_deref(), Some("pending_deletion"));
        assert_eq!((row.is_primary, row.rotation_type.as_deref()), (None, Some("import")));
        assert_eq!(row.details["destroy_time"], "2026-12-01T00:00:00Z");
        assert_eq!(row.details["origin"], "imported");
        assert_eq!(row.protection, Some(Protection::HsmSingleTenant));
    }

    #[test]
    fn a_policy_is_public_when_anybody_stands_in_a_binding() {
        let name = format!("{KEY_NAME}/cryptoKeyVersions/1");
        let context = InventoryContext { key_hint: Some(name), ..InventoryContext::default() };
        for (member, access) in [
            ("allUsers", "public"),
            ("allAuthenticatedUsers", "public"),
            ("user:ada@example.com", "restricted"),
        ] {
            let value = json!({"etag": "x", "version": 1,
                "bindings": [{"role": "roles/cloudkms.viewer", "members": [7, member]}]});
            assert_eq!(detect(&value), Some(InventoryKind::GcpIamPolicy));
            let inventory = read(InventoryKind::GcpIamPolicy, &value, &context).unwrap();
            assert_eq!(inventory.keys[0].access.as_deref(), Some(access));
            assert_eq!(inventory.keys[0].key_id, KEY_NAME);
            assert_eq!(inventory.keys[0].rotation_enabled, None);
        }
    }

    #[test]
    fn an_empty_policy_lets_nobody_in() {
        let context =
            InventoryContext { key_hint: Some(KEY_NAME.to_owned()), ..InventoryContext::default() };
        let value = json!({"etag": "ACAB"});
        let inventory = read(detect(&value).unwrap(), &value, &context).unwrap();
        assert_eq!(inventory.keys[0].access.as_deref(), Some("restricted"));
    }

    #[test]
    fn a_policy_whose_key_is_not_told_is_refused() {
        let read_with = |key_hint: Option<String>| {
            let context = InventoryContext { key_hint, ..InventoryContext::default() };
            read(InventoryKind::GcpIamPolicy, &json!({"etag": "x"}), &context).unwrap_err().reason
        };
        assert_eq!(read_with(None), Reason::MissingField);
        assert_eq!(read_with(Some("card".to_owned())), Reason::BadText);
    }

    #[test]
    fn other_documents_are_not_taken_for_these() {
        for value in [
            json!({}),
            json!([]),
            json!(null),
            json!({"name": KEY_NAME}),
            json!({"name": "projects/p/locations/l/keyRings/r", "createTime": "x"}),
            json!({"name": format!("{KEY_NAME}/cryptoKeyVersions/1"), "pem": "x", "algorithm": "y"}),
            json!({"etag": "x", "id": "y"}),
            json!({"etag": "x", "bindings": 5}),
        ] {
            assert_eq!(detect(&value), None, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_odd_value_in_any_field_makes_it_panic(field in 0usize..9, odd in 0usize..7) {
            let odds = [json!(null), json!(7), json!([[]]), json!({"a": {}}), json!(""), json!("é/s"),
                json!("99999999999999999999s")];
            let names = ["name", "purpose", "createTime", "nextRotationTime", "rotationPeriod",
                "destroyScheduledDuration", "versionTemplate", "primary", "bindings"];
            let mut value = key();
            value[names[field]] = odds[odd].clone();
            let context = InventoryContext {
                key_hint: Some("projects/é/".to_owned()), ..InventoryContext::default()
            };
            let _kind = detect(&value);
            for kind in [InventoryKind::GcpKey, InventoryKind::GcpKeyVersion,
                InventoryKind::GcpIamPolicy, InventoryKind::AzureKey]
            {
                drop(read(kind, &value, &context));
            }
        }
    }
}
