//! Inventory documents of the az command-line tool, and of the REST APIs, which nest in `properties`
//! what az flattens and count seconds where az writes times.
//!
//! - Key ids are those of events: `https://host/keys/name`, lower-case, without version.
//! - A key document names no subscription: the context's account is taken.
//! - A version that a document shows need not be the current one: `is_primary` stays unknown.
//! - Details of vaults: the settings as in events (`enable_purge_protection`, `public_network`,
//!   …), `name`, `uri`, `activation_status`. Of keys: `managed`, `exportable`, `hsm_platform`,
//!   `recovery_level`, `lifetime_actions`. Of log settings: `logs_administrative`, destinations.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::Reject;
use super::super::inventory::{
    HsmRow, Inventory, InventoryContext, InventoryKind, KeyRow, KeyVersionRow, LogSettingRow,
};
use super::activity::is_enabled_audit;
use super::record::{flag, integer, member, small, text};
use super::resource::{Holder, ObjectKind, Resource, VaultObject, VaultUri};
use super::rotation::RotationPolicy;
use super::vault;
use crate::event::Provider;

/// Destinations of a diagnostic setting, and their names in the details.
const DESTINATIONS: &[(&str, &str)] = &[
    ("workspaceId", "workspace_id"),
    ("storageAccountId", "storage_account_id"),
    ("eventHubAuthorizationRuleId", "event_hub_rule_id"),
    ("eventHubName", "event_hub_name"),
    ("marketplacePartnerId", "marketplace_partner_id"),
];

/// Tells which inventory document `value` is; `None` when it is none.
pub fn detect(value: &Value) -> Option<InventoryKind> {
    let has = |name: &str| member(value, name).is_some();
    let is_key = has("attributes") || has("lifetimeActions");
    if let Some(object) = key_uri(value).filter(|object| is_key && object.kind == ObjectKind::Key) {
        // A key that is shown has its material beside it, an item of a list has not.
        let is_listed_version = object.version.is_some()
            && !["key", "lifetimeActions", "recoveryId"].iter().any(|name| has(name));
        return Some(if is_listed_version {
            InventoryKind::AzureKeyVersion
        } else {
            InventoryKind::AzureKey
        });
    }
    let id = member(value, "id").and_then(text)?;
    let resource = Resource::parse(id);
    let last = resource.id.rsplit('/').nth(1).unwrap_or_default();
    if last == "diagnosticsettings" && setting_part(value, "logs").is_some() {
        return Some(InventoryKind::AzureDiagnosticSetting);
    }
    let typed = member(value, "type").and_then(text).is_some();
    let is_holder = resource.holder_id.as_ref() == Some(&resource.id);
    (is_holder && (typed || has("properties"))).then_some(InventoryKind::AzureVault)
}

/// Reads one inventory document.
///
/// # Errors
/// When it lacks what identifies its subject, or is of another provider.
pub fn read(
    kind: InventoryKind,
    value: &Value,
    context: &InventoryContext,
) -> Result<Inventory, Reject> {
    match kind {
        InventoryKind::AzureKey => key(value, context),
        // What it says of the version need not hold of the key.
        InventoryKind::AzureKeyVersion => {
            key(value, context).map(|rows| Inventory { keys: Vec::new(), ..rows })
        }
        InventoryKind::AzureVault => vault_row(value, context),
        InventoryKind::AzureDiagnosticSetting => setting(value, context),
        _ => Err(Reject::missing("id")),
    }
}

/// The key that a document is about: `kid` beside or in `key`, else the `id` of a rotation policy.
fn key_uri(value: &Value) -> Option<VaultObject> {
    let inner = member(value, "key").and_then(|key| member(key, "kid"));
    let named = inner.or_else(|| member(value, "kid")).or_else(|| member(value, "id"));
    named.and_then(text).and_then(VaultUri::parse)?.object()
}

fn key(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let object = key_uri(value).filter(|object| object.kind == ObjectKind::Key);
    let object = object.ok_or_else(|| Reject::missing("key.kid"))?;
    let mut row = KeyRow::new(Provider::Azure, &object.id);
    row.account = account(context, None);
    row.region.clone_from(&context.region);
    if let Some(policy) = RotationPolicy::find(value, 0) {
        row.rotation_enabled = Some(policy.rotates);
        row.rotation_period_days = policy.period_days;
        row.details.insert("lifetime_actions".to_owned(), policy.actions);
        return Ok(Inventory { keys: vec![row], ..Inventory::default() });
    }
    let attributes = member(value, "attributes").unwrap_or(&Value::Null);
    let material = member(value, "key");
    let part = |name: &str| material.and_then(|key| member(key, name)).and_then(text);
    let holder = VaultUri::parse(&object.id).and_then(|uri| uri.holder()).unwrap_or(Holder::Vault);
    row.key_spec = part("kty").map(|kind| spec(kind, part("crv"), part("n")));
    row.protection = vault::protection(part("kty"), holder);
    row.key_usage = usage(material);
    row.state = state(value, attributes);
    row.manager = Some("customer".to_owned());
    row.deletion_at = member(value, "scheduledPurgeDate").and_then(time);
    let at = |name: &str| member(attributes, name).and_then(time);
    row.expires_at = at("expires").or_else(|| at("exp"));
    // A list shows the key itself, a document of a version the making of that version.
    row.created_at = at("created").filter(|_| object.version.is_none());
    row.details = key_details(value, attributes);
    let versions = object.version.map(|version| version_row(&row, version, at("created")));
    Ok(Inventory {
        keys: vec![row],
        key_versions: versions.into_iter().collect(),
        ..Inventory::default()
    })
}

fn version_row(key: &KeyRow, version: String, created_at: Option<Timestamp>) -> KeyVersionRow {
    KeyVersionRow {
        provider: Provider::Azure,
        account: key.account.clone(),
        region: key.region.clone(),
        key_id: key.key_id.clone(),
        version,
        state: key.state.clone(),
        is_primary: None,
        created_at,
        rotated_at: None,
        rotation_type: None,
        expires_at: key.expires_at,
        key_spec: key.key_spec.clone(),
        protection: key.protection,
        details: Map::new(),
    }
}

/// Type and size as in events: `RSA-HSM 3072`, `EC P-256`. The size of an RSA key is that of its
/// modulus, which is written in base64.
fn spec(kind: &str, curve: Option<&str>, modulus: Option<&str>) -> String {
    let bits = || {
        let digits = modulus?.trim_end_matches('=').len();
        // A leading zero byte, where there is one, is no part of the number.
        let bits = digits * 6 / 64 * 64;
        (bits > 0).then(|| bits.to_string())
    };
    match curve.map(str::to_owned).or_else(bits) {
        Some(size) => format!("{kind} {size}"),
        None => kind.to_owned(),
    }
}

/// The operations that the key allows, sorted: `decrypt,encrypt`.
fn usage(material: Option<&Value>) -> Option<String> {
    let material = material?;
    let listed = member(material, "keyOps").or_else(|| member(material, "key_ops"))?;
    let mut words: Vec<&str> = listed.as_array()?.iter().filter_map(text).take(16).collect();
    words.sort_unstable();
    (!words.is_empty()).then(|| words.join(","))
}

fn state(value: &Value, attributes: &Value) -> Option<String> {
    let is_deleted =
        ["deletedDate", "scheduledPurgeDate"].iter().any(|name| member(value, name).is_some());
    if is_deleted {
        return Some("pending_deletion".to_owned());
    }
    let enabled = member(attributes, "enabled").and_then(flag)?;
    Some(if enabled { "enabled" } else { "disabled" }.to_owned())
}

fn key_details(value: &Value, attributes: &Value) -> Map<String, Value> {
    let facts = [
        ("managed", member(value, "managed")),
        ("exportable", member(attributes, "exportable")),
        ("hsm_platform", member(attributes, "hsmPlatform")),
        ("recovery_level", member(attributes, "recoveryLevel")),
        ("recoverable_days", member(attributes, "recoverableDays")),
    ];
    let mut details = kept(&facts);
    if member(value, "releasePolicy").is_some() {
        details.insert("has_release_policy".to_owned(), true.into());
    }
    details
}

/// The facts that are there and small.
fn kept(facts: &[(&str, Option<&Value>)]) -> Map<String, Value> {
    let small =
        |(name, value): &(&str, Option<&Value>)| Some(((*name).to_owned(), value.and_then(small)?));
    facts.iter().filter_map(small).collect()
}

fn vault_row(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let id = member(value, "id").and_then(text).ok_or_else(|| Reject::missing("id"))?;
    let resource = Resource::parse(id);
    let properties = member(value, "properties").unwrap_or(&Value::Null);
    let part = |name: &str| member(properties, name);
    let sku = member(value, "sku").or_else(|| part("sku")).and_then(|sku| member(sku, "name"));
    // A deleted vault's document stands for the vault that it was.
    let was = part("vaultId").or_else(|| part("mhsmId")).and_then(text).map(Resource::parse);
    let deleted = was.is_some();
    let hsm_id = was.map_or(resource.id, |was| was.id);
    let holder = resource.holder.unwrap_or(Holder::Vault);
    let kind = match holder {
        Holder::Vault => "vault",
        Holder::ManagedHsm => "pool",
        Holder::CloudHsm => "cluster",
    };
    let security_domain = part("securityDomainProperties");
    let mut details = kept(&[
        ("name", member(value, "name")),
        ("uri", part("vaultUri").or_else(|| part("hsmUri"))),
        (
            "activation_status",
            security_domain
                .and_then(|d| member(d, "activationStatus"))
                .or_else(|| part("activationState")),
        ),
        ("scheduled_purge_date", part("scheduledPurgeDate")),
        ("purge_protection_enabled", part("purgeProtectionEnabled")),
    ]);
    for (name, held) in vault::settings(|name| part(name).cloned()) {
        details.insert(name.to_owned(), held);
    }
    let state = part("provisioningState").and_then(text).map(str::to_ascii_lowercase);
    let row = HsmRow {
        provider: Provider::Azure,
        account: account(context, resource.subscription.as_deref()),
        region: region(value, context),
        cluster_id: holder.is_hsm().then(|| hsm_id.clone()),
        hsm_id,
        kind: kind.to_owned(),
        state: if deleted { Some("deleted".to_owned()) } else { state },
        hsm_type: sku.and_then(text).map(str::to_owned),
        mode: None,
        created_at: member(value, "systemData").and_then(|d| member(d, "createdAt")).and_then(time),
        details,
    };
    Ok(Inventory { hsms: vec![row], ..Inventory::default() })
}

fn setting(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let id = member(value, "id").and_then(text).ok_or_else(|| Reject::missing("id"))?;
    let resource = Resource::parse(id);
    let logs = setting_part(value, "logs").and_then(Value::as_array);
    let logs = logs.ok_or_else(|| Reject::missing("logs"))?;
    let audit = || logs.iter().filter(|log| is_enabled_audit(log));
    let mut details = Map::new();
    for (name, detail) in DESTINATIONS {
        if let Some(held) = setting_part(value, name).and_then(small) {
            details.insert((*detail).to_owned(), held);
        }
    }
    if resource.is_subscription() {
        details.insert("logs_administrative".to_owned(), logs.iter().any(is_administrative).into());
    }
    let row = LogSettingRow {
        provider: Provider::Azure,
        account: account(context, resource.subscription.as_deref()),
        region: region(value, context),
        kind: "diagnostic_setting".to_owned(),
        resource_id: Some(resource.extended().to_owned()),
        logs_keys: resource.holder.is_some().then(|| audit().next().is_some()),
        retention_days: audit().filter_map(retention).min(),
        setting_id: resource.id,
        details,
    };
    Ok(Inventory { log_settings: vec![row], ..Inventory::default() })
}

/// A member of a diagnostic setting: az flattens what the REST API holds in `properties`.
fn setting_part<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let nested = || member(value, "properties").and_then(|properties| member(properties, name));
    member(value, name).or_else(nested)
}

fn is_administrative(log: &Value) -> bool {
    let category = member(log, "category").and_then(text);
    let group = member(log, "categoryGroup").and_then(text);
    member(log, "enabled").and_then(flag).unwrap_or(false)
        && (category.is_some_and(|word| word.eq_ignore_ascii_case("Administrative"))
            || group.is_some_and(|word| word.eq_ignore_ascii_case("allLogs")))
}

/// Days that a storage account keeps a log; zero means for ever.
fn retention(log: &Value) -> Option<i64> {
    let policy = member(log, "retentionPolicy")?;
    let enabled = member(policy, "enabled").and_then(flag).unwrap_or(false);
    member(policy, "days").and_then(integer).filter(|days| enabled && *days > 0)
}

fn account(context: &InventoryContext, subscription: Option<&str>) -> Option<String> {
    subscription.or(context.account.as_deref()).map(str::to_ascii_lowercase)
}

fn region(value: &Value, context: &InventoryContext) -> Option<String> {
    let location = member(value, "location").and_then(text).map(str::to_ascii_lowercase);
    location.or_else(|| context.region.clone())
}

/// A time as az prints it, or in seconds since 1970 as the REST API does.
fn time(value: &Value) -> Option<Timestamp> {
    let seconds = || integer(value).and_then(|seconds| Timestamp::from_second(seconds).ok());
    text(value).and_then(|text| text.parse().ok()).or_else(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Protection;
    use proptest::prelude::*;
    use serde_json::json;

    const KEY: &str = "https://pay.vault.azure.net/keys/kek";
    const VAULT: &str =
        "/subscriptions/5A/resourceGroups/R/providers/Microsoft.KeyVault/vaults/Pay";

    fn read_as(kind: InventoryKind, value: &Value) -> Inventory {
        assert_eq!(detect(value), Some(kind), "{value}");
        read(kind, value, &InventoryContext::default()).unwrap()
    }

    #[test]
    fn a_shown_key_gives_the_key_and_its_version() {
        let value = json!({
            "attributes": {"created": "2026-01-02T03:04:05+00:00", "enabled": true,
                "expires": "2027-01-02T00:00:00+00:00", "exportable": false, "hsmPlatform": "2",
                "recoverableDays": 90, "recoveryLevel": "Recoverable+Purgeable"},
            "key": {"kid": format!("{}/0ABC", KEY.to_uppercase()), "kty": "RSA-HSM", "crv": null,
                "keyOps": ["wrapKey", "unwrapKey"], "n": "A".repeat(512)},
            "managed": null, "releasePolicy": null, "tags": {}
        });
        let inventory = read_as(InventoryKind::AzureKey, &value);
        let key = inventory.keys.first().unwrap();
        assert_eq!(key.key_id, KEY);
        assert_eq!(key.key_spec.as_deref(), Some("RSA-HSM 3072"));
        assert_eq!(key.key_usage.as_deref(), Some("unwrapKey,wrapKey"));
        assert_eq!(key.protection, Some(Protection::Hsm));
        assert_eq!(key.state.as_deref(), Some("enabled"));
        assert_eq!(key.expires_at.unwrap().to_string(), "2027-01-02T00:00:00Z");
        assert_eq!(key.created_at, None);
        assert_eq!(key.details["hsm_platform"], "2");
        let version = inventory.key_versions.first().unwrap();
        assert_eq!((version.version.as_str(), version.is_primary), ("0abc", None));
        assert_eq!(version.created_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_listed_key_has_no_version_and_the_rest_api_counts_seconds() {
        let value = json!({"attributes": {"enabled": false, "created": 1_767_323_045},
            "kid": KEY, "name": "kek", "managed": true});
        let inventory = read_as(InventoryKind::AzureKey, &value);
        let key = inventory.keys.first().unwrap();
        assert_eq!(key.state.as_deref(), Some("disabled"));
        assert_eq!(key.created_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(key.details["managed"], true);
        assert_eq!(key.protection, None);
        assert!(inventory.key_versions.is_empty());
    }

    #[test]
    fn a_listed_version_says_nothing_of_its_key() {
        let value = json!({"attributes": {"enabled": false, "created": 1_767_323_045,
            "exp": 1_798_859_045}, "kid": format!("{KEY}/0abc")});
        let inventory = read_as(InventoryKind::AzureKeyVersion, &value);
        assert!(inventory.keys.is_empty());
        let version = inventory.key_versions.first().unwrap();
        assert_eq!((version.key_id.as_str(), version.version.as_str()), (KEY, "0abc"));
        assert_eq!(version.state.as_deref(), Some("disabled"));
        assert_eq!(version.expires_at.unwrap().to_string(), "2027-01-02T03:04:05Z");
    }

    #[test]
    fn a_cluster_is_read_as_resource_manager_lists_it() {
        let value = json!({"id": "/subscriptions/5A/resourceGroups/R/providers/\
            Microsoft.HardwareSecurityModules/cloudHsmClusters/C1", "name": "C1",
            "type": "Microsoft.HardwareSecurityModules/cloudHsmClusters", "location": "ukSouth",
            "sku": {"family": "B", "name": "Standard_B1"},
            "properties": {"activationState": "Active", "provisioningState": "Succeeded",
                "publicNetworkAccess": "Disabled"}});
        let inventory = read_as(InventoryKind::AzureVault, &value);
        let row = inventory.hsms.first().unwrap();
        assert_eq!((row.kind.as_str(), row.hsm_type.as_deref()), ("cluster", Some("Standard_B1")));
        assert_eq!(row.details["activation_status"], "Active");
        assert_eq!(row.details["public_network"], false);
    }

    #[test]
    fn a_deleted_key_is_pending_deletion_under_its_live_name() {
        let value = json!({"attributes": {"enabled": true},
            "kid": "https://pool.managedhsm.azure.net/keys/kek",
            "deletedDate": "2026-01-01T00:00:00+00:00",
            "scheduledPurgeDate": "2026-04-01T00:00:00+00:00",
            "recoveryId": "https://pool.managedhsm.azure.net/deletedkeys/kek"});
        let inventory = read_as(InventoryKind::AzureKey, &value);
        let key = inventory.keys.first().unwrap();
        assert_eq!(key.state.as_deref(), Some("pending_deletion"));
        assert_eq!(key.deletion_at.unwrap().to_string(), "2026-04-01T00:00:00Z");
        assert_eq!(key.protection, Some(Protection::Hsm));
    }

    #[test]
    fn a_rotation_policy_tells_the_period_of_its_key() {
        let value = json!({"id": format!("{KEY}/rotationpolicy"), "expiryTime": null,
            "lifetimeActions": [{"action": "Rotate", "timeAfterCreate": "P90D"},
                {"action": "Notify", "timeBeforeExpiry": "P30D"}]});
        let inventory = read_as(InventoryKind::AzureKey, &value);
        let key = inventory.keys.first().unwrap();
        assert_eq!((key.key_id.as_str(), key.rotation_period_days), (KEY, Some(90)));
        assert_eq!(key.rotation_enabled, Some(true));
        assert_eq!(key.state, None);
    }

    #[test]
    fn the_spec_is_written_as_in_events() {
        assert_eq!(spec("EC", Some("P-256"), None), "EC P-256");
        assert_eq!(spec("RSA", None, Some(&"A".repeat(342))), "RSA 2048");
        assert_eq!(spec("RSA", None, Some(&format!("{}=", "A".repeat(343)))), "RSA 2048");
        assert_eq!(spec("oct-HSM", None, None), "oct-HSM");
    }

    #[test]
    fn a_vault_and_a_pool_are_read_with_their_settings() {
        let vault = json!({"id": VAULT, "location": "westEurope", "name": "Pay",
            "type": "Microsoft.KeyVault/vaults",
            "systemData": {"createdAt": "2025-01-01T00:00:00+00:00"},
            "properties": {"sku": {"family": "A", "name": "premium"}, "enableSoftDelete": true,
                "enablePurgeProtection": null, "softDeleteRetentionInDays": 90,
                "publicNetworkAccess": "Enabled", "networkAcls": null,
                "provisioningState": "Succeeded", "vaultUri": "https://pay.vault.azure.net/"}});
        let inventory = read_as(InventoryKind::AzureVault, &vault);
        let row = inventory.hsms.first().unwrap();
        assert_eq!(row.hsm_id, VAULT.to_ascii_lowercase());
        assert_eq!((row.kind.as_str(), row.hsm_type.as_deref()), ("vault", Some("premium")));
        assert_eq!(row.region.as_deref(), Some("westeurope"));
        assert_eq!(row.account.as_deref(), Some("5a"));
        assert_eq!(row.details["public_network"], true);
        assert!(!row.details.contains_key("enable_purge_protection"));
        assert_eq!(row.cluster_id, None);

        let pool = json!({"id": VAULT.replace("vaults", "managedHSMs"),
            "type": "Microsoft.KeyVault/managedHSMs", "sku": {"name": "Standard_B1"},
            "properties": {"enablePurgeProtection": true, "publicNetworkAccess": "Enabled",
                "networkAcls": {"defaultAction": "Deny"},
                "securityDomainProperties": {"activationStatus": "Active"}}});
        let inventory = read_as(InventoryKind::AzureVault, &pool);
        let row = inventory.hsms.first().unwrap();
        assert_eq!((row.kind.as_str(), row.hsm_type.as_deref()), ("pool", Some("Standard_B1")));
        assert_eq!(row.cluster_id.as_ref(), Some(&row.hsm_id));
        assert_eq!(row.details["public_network"], false);
        assert_eq!(row.details["activation_status"], "Active");
    }

    #[test]
    fn a_deleted_vault_stands_for_the_vault_that_it_was() {
        let value = json!({
            "id": "/subscriptions/5A/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/Pay",
            "type": "Microsoft.KeyVault/deletedVaults",
            "properties": {"vaultId": VAULT, "purgeProtectionEnabled": true}});
        let inventory = read_as(InventoryKind::AzureVault, &value);
        let row = inventory.hsms.first().unwrap();
        assert_eq!(row.hsm_id, VAULT.to_ascii_lowercase());
        assert_eq!(row.state.as_deref(), Some("deleted"));
    }

    #[test]
    fn a_setting_logs_keys_by_category_or_by_group() {
        let cases = [
            (json!({"category": "AuditEvent", "enabled": true}), Some(true)),
            (json!({"categoryGroup": "allLogs", "category": null, "enabled": true}), Some(true)),
            (json!({"categoryGroup": "audit", "enabled": true}), Some(true)),
            (json!({"category": "AuditEvent", "enabled": false}), Some(false)),
            (json!({"category": "Other", "enabled": true}), Some(false)),
        ];
        let id = format!("{VAULT}/providers/microsoft.insights/diagnosticSettings/Audit");
        for (mut log, expected) in cases {
            log["retentionPolicy"] = json!({"enabled": true, "days": 400});
            let flat = json!({"id": id, "logs": [log], "storageAccountId": "/x"});
            let nested = json!({"id": id, "properties": {"logs": [log], "storageAccountId": "/x"}});
            for value in [flat, nested] {
                let inventory = read_as(InventoryKind::AzureDiagnosticSetting, &value);
                let row = inventory.log_settings.first().unwrap();
                assert_eq!(row.logs_keys, expected, "{value}");
                assert_eq!(row.retention_days, expected.filter(|on| *on).map(|_| 400));
                assert_eq!(row.resource_id, Some(VAULT.to_ascii_lowercase()));
                assert_eq!(row.details["storage_account_id"], "/x");
            }
        }
    }

    #[test]
    fn a_subscription_s_setting_says_nothing_of_keys() {
        let value = json!({
            "id": "/subscriptions/5a/providers/microsoft.insights/diagnosticSettings/all",
            "logs": [{"category": "Administrative", "enabled": true}]});
        let inventory = read_as(InventoryKind::AzureDiagnosticSetting, &value);
        let row = inventory.log_settings.first().unwrap();
        assert_eq!(row.logs_keys, None);
        assert_eq!(row.details["logs_administrative"], true);
    }

    #[test]
    fn other_documents_are_none_of_these() {
        for value in [
            json!({"kid": KEY, "kty": "RSA"}),
            json!({"attributes": {}, "id": "https://pay.vault.azure.net/secrets/s"}),
            json!({"id": "/subscriptions/5a/providers/Microsoft.Storage/storageAccounts/a",
                "type": "x"}),
            json!({"time": "t", "resourceId": VAULT, "operationName": "KeyGet"}),
            json!({"Keys": []}),
            json!(null),
        ] {
            assert_eq!(detect(&value), None, "{value}");
        }
    }

    #[test]
    fn without_its_subject_a_document_is_refused() {
        for kind in [
            InventoryKind::AzureKey,
            InventoryKind::AzureKeyVersion,
            InventoryKind::AzureVault,
            InventoryKind::AzureDiagnosticSetting,
            InventoryKind::AwsListKeys,
        ] {
            assert!(read(kind, &json!({}), &InventoryContext::default()).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_document_makes_the_reader_panic(
            names in prop::collection::vec("id|kid|key|attributes|logs|properties|type", 0..6),
            texts in prop::collection::vec(".{0,20}", 6),
        ) {
            let mut value = json!({"id": VAULT, "attributes": {"created": -1e300}, "kid": KEY});
            for (name, text) in names.iter().zip(texts) {
                value[name] = serde_json::from_str(&text).unwrap_or_else(|_| json!([text]));
            }
            for kind in [
                InventoryKind::AzureKey,
                InventoryKind::AzureVault,
                InventoryKind::AzureDiagnosticSetting,
            ] {
                drop(read(kind, &value, &InventoryContext::default()));
            }
            let _: Option<InventoryKind> = detect(&value);
        }
    }
}
