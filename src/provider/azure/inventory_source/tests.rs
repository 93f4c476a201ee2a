//! The inventory with what Resource Manager and vaults are known to answer.

use serde_json::{Value, json};

use super::super::super::inventory_rows;
use super::super::api::tests::{Reply, Seen, Server, tools};
use super::*;

const SUB: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn id(kind: &str, name: &str) -> String {
    format!("/subscriptions/{SUB}/resourceGroups/R/providers/{kind}/{name}")
}

fn vault(name: &str) -> Value {
    json!({"id": id("Microsoft.KeyVault/vaults", name), "name": name, "location": "westEurope",
        "type": "Microsoft.KeyVault/vaults", "properties": {"sku": {"name": "premium"},
            "enablePurgeProtection": true, "vaultUri": format!("https://{name}.vault.azure.net/")}})
}

fn empty() -> Reply {
    Reply::json(&json!({"value": []}))
}

/// What Resource Manager answers when the subscription holds `vaults`; `None` for other paths.
fn arm(seen: &Seen, vaults: &[Value]) -> Option<Reply> {
    let path = &seen.path;
    if path.contains("/providers/Microsoft.KeyVault/vaults?") {
        Some(Reply::json(&json!({"value": vaults})))
    } else if path.contains("cloudHsmClusters?") {
        Some(Reply::error(409, "MissingSubscriptionRegistration", "not registered"))
    } else if path.starts_with("/subscriptions/") && !path.contains("diagnosticSettings") {
        Some(empty())
    } else {
        None
    }
}

async fn run(server: &Server) -> Result<Vec<Batch>, SourceError> {
    let config: AzureInventory =
        serde_json::from_value(json!({"name": "prod", "subscriptions": [SUB]})).unwrap();
    let config = AzureInventory { endpoints: server.endpoints(), ..config };
    let mut source = sources(&config, &tools()).await.unwrap().remove(0);
    let now = "2026-11-20T12:00:00Z".parse().unwrap();
    source.start(&History::default(), Window { since: None, until: now, now });
    let mut batches = Vec::new();
    while let Some(batch) = source.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

/// All rows that the batches' items give.
fn rows(batches: &[Batch]) -> Inventory {
    let mut all = Inventory::default();
    for item in batches.iter().flat_map(|batch| &batch.items) {
        let rows = match item {
            Item::Document { kind, value, context, .. } => {
                inventory_rows(*kind, value, context).unwrap()
            }
            Item::Inventory { rows, .. } => rows.clone(),
            other => panic!("{other:?}"),
        };
        all.keys.extend(rows.keys);
        all.key_versions.extend(rows.key_versions);
        all.hsms.extend(rows.hsms);
        all.log_settings.extend(rows.log_settings);
    }
    all
}

fn notes(batches: &[Batch]) -> Vec<&Note> {
    batches.iter().flat_map(|batch| &batch.notes).collect()
}

const KEY: &str = "https://pay.vault.azure.net/keys/kek";

fn pay(seen: &Seen) -> Reply {
    let attributes = json!({"enabled": true, "created": 1_767_323_045});
    let key = |version: &str| json!({"kid": format!("{KEY}/{version}"), "attributes": attributes});
    let path = seen.path.strip_prefix("/vault/Pay").or(seen.path.strip_prefix("/vault/pay"));
    match path.unwrap_or(&seen.path) {
        "/keys?api-version=7.4&maxresults=25" => {
            let host = seen.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            Reply::json(&json!({"value": [],
                "nextLink": format!("http://{host}/vault/pay/keys?$skiptoken=x")}))
        }
        "/keys?$skiptoken=x" => {
            Reply::json(&json!({"value": [{"kid": KEY, "attributes": attributes}]}))
        }
        "/keys/kek?api-version=7.4" => Reply::json(&json!({"attributes": attributes,
            "key": {"kid": format!("{KEY}/2"), "kty": "RSA-HSM", "key_ops": ["wrapKey"],
                "n": "A".repeat(342), "e": "AQAB"}})),
        "/keys/kek/versions?api-version=7.4&maxresults=25" => {
            Reply::json(&json!({"value": [key("1"), key("2")]}))
        }
        "/keys/kek/rotationpolicy?api-version=7.4" => Reply::json(
            &json!({"id": format!("{KEY}/rotationpolicy"), "attributes": {"expiryTime": "P2Y"},
                "lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}]}),
        ),
        "/deletedkeys?api-version=7.4&maxresults=25" => Reply::json(&json!({"value": [{
            "kid": "https://pay.vault.azure.net/keys/old", "attributes": attributes,
            "recoveryId": "https://pay.vault.azure.net/deletedkeys/old",
            "deletedDate": 1_767_323_045, "scheduledPurgeDate": 1_775_099_045}]})),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_vault_is_read_with_keys_versions_policies_and_settings() {
    let server = Server::start(|seen, _| {
        if let Some(reply) = arm(seen, &[vault("Pay")]) {
            return reply;
        }
        if seen.path.contains("diagnosticSettings") {
            let of_vault = seen.path.contains("/vaults/pay/");
            let setting = json!({"id": format!("{}/providers/microsoft.insights/diagnosticSettings/a",
                    id("Microsoft.KeyVault/vaults", "Pay")),
                "properties": {"logs": [{"categoryGroup": "audit", "enabled": true}]}});
            let held = if of_vault { vec![setting] } else { Vec::new() };
            return Reply::json(&json!({"value": held}));
        }
        pay(seen)
    });
    let batches = run(&server).await.unwrap();
    assert!(notes(&batches).is_empty(), "{:?}", notes(&batches));
    let rows = rows(&batches);
    let vault = rows.hsms.first().unwrap();
    assert_eq!((vault.kind.as_str(), vault.hsm_type.as_deref()), ("vault", Some("premium")));
    assert_eq!(rows.log_settings.len(), 1);
    assert_eq!(rows.log_settings[0].logs_keys, Some(true));
    let versions: Vec<_> = rows
        .key_versions
        .iter()
        .map(|row| (row.key_id.as_str(), row.version.as_str(), row.is_primary))
        .collect();
    assert_eq!(versions, [(KEY, "2", Some(true)), (KEY, "1", None), (KEY, "2", None)]);
    assert!(rows.keys.iter().any(|row| row.key_spec.as_deref() == Some("RSA-HSM 2048")));
    assert!(rows.keys.iter().any(|row| row.rotation_period_days == Some(90)));
    let old = rows.keys.iter().find(|row| row.key_id.ends_with("/old")).unwrap();
    assert_eq!(old.state.as_deref(), Some("pending_deletion"));
    assert!(old.deletion_at.is_some());
    assert!(rows.keys.iter().all(|row| row.account.as_deref() == Some(SUB)));
    assert!(rows.keys.iter().all(|row| row.region.as_deref() == Some("westeurope")));
    let cursor = batches.last().unwrap().cursor.as_ref().unwrap();
    assert_eq!((&cursor["resources"], &cursor["keys"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_vault_without_setting_is_a_row_that_says_so() {
    let server = Server::start(|seen, _| {
        arm(seen, &[vault("Pay")]).unwrap_or_else(|| {
            if seen.path.contains("diagnosticSettings") { empty() } else { pay(seen) }
        })
    });
    let rows = rows(&run(&server).await.unwrap());
    let [setting] = rows.log_settings.as_slice() else { panic!("{:?}", rows.log_settings) };
    assert_eq!(setting.logs_keys, Some(false));
    assert_eq!(setting.resource_id, Some(id("Microsoft.KeyVault/vaults", "Pay").to_lowercase()));
    assert_eq!(setting.details["absent"], true);
}

#[tokio::test]
async fn a_vault_that_refuses_does_not_stop_the_rest() {
    let server = Server::start(|seen, _| {
        if let Some(reply) = arm(seen, &[vault("shut"), vault("Pay")]) {
            return reply;
        }
        if seen.path.contains("diagnosticSettings") {
            return empty();
        }
        if seen.path.starts_with("/vault/shut/") {
            let body = json!({"error": {"code": "Forbidden", "message": "Caller is not authorized. \
                Action: 'Microsoft.KeyVault/vaults/keys/read'", "innererror": {"code": "ForbiddenByRbac"}}});
            return Reply::status(403, &body.to_string());
        }
        pay(seen)
    });
    let batches = run(&server).await.unwrap();
    let rows = rows(&batches);
    assert_eq!(rows.hsms.len(), 2);
    assert!(rows.keys.iter().any(|row| row.key_id == KEY));
    let notes = notes(&batches);
    assert_eq!(notes.len(), 2, "{notes:?}");
    for note in notes {
        assert!(note.message.contains("vaults/shut are not known"), "{}", note.message);
        assert!(note.message.contains("ForbiddenByRbac"), "{}", note.message);
        assert!(note.hint.as_ref().unwrap().contains("Microsoft.KeyVault/vaults/keys/read"));
    }
}

#[tokio::test]
async fn what_is_refused_of_one_key_is_noted_once_and_the_rest_is_read() {
    let server = Server::start(|seen, _| {
        if let Some(reply) = arm(seen, &[vault("Pay")]) {
            return reply;
        }
        if seen.path.contains("diagnosticSettings") {
            return empty();
        }
        match seen.path.as_str() {
            path if path.contains("rotationpolicy") => Reply::error(403, "Forbidden", "no"),
            // Half a list of versions would pass for the whole one.
            path if path.contains("/versions") => Reply::status(200, "{\"value\": [{\"kid\""),
            _ => pay(seen),
        }
    });
    let batches = run(&server).await.unwrap();
    let told: Vec<_> = notes(&batches).iter().map(|note| note.message.clone()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("versions of keys of"), "{}", told[0]);
    assert!(told[1].contains("rotation policies of"), "{}", told[1]);
    let rows = rows(&batches);
    assert_eq!(rows.key_versions.len(), 1);
    assert!(rows.keys.iter().any(|row| row.key_spec.is_some()));
}

#[tokio::test]
async fn without_the_list_of_vaults_there_is_no_inventory() {
    let server = Server::start(|_, _| Reply::error(403, "AuthorizationFailed", "no"));
    let error = run(&server).await.unwrap_err();
    assert!(error.hint().contains("Microsoft.KeyVault/vaults/read"), "{}", error.hint());
}

#[tokio::test]
async fn other_lists_may_be_missing_and_an_inactive_hsm_is_not_asked() {
    let pool = json!({"id": id("Microsoft.KeyVault/managedHSMs", "pool"), "name": "pool",
        "type": "Microsoft.KeyVault/managedHSMs",
        "properties": {"securityDomainProperties": {"activationStatus": "NotActivated"}}});
    let server = Server::start(move |seen, _| match seen.path.as_str() {
        path if path.contains("deletedVaults") => Reply::error(403, "AuthorizationFailed", "no"),
        path if path.contains("managedHSMs?") => Reply::json(&json!({"value": [pool]})),
        path if path.starts_with("/hsm/") => panic!("{path}"),
        _ => empty(),
    });
    let batches = run(&server).await.unwrap();
    let told: Vec<_> = notes(&batches).iter().map(|note| note.message.clone()).collect();
    assert!(told.iter().any(|told| told.contains("deleted vaults")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("not active (NotActivated)")), "{told:?}");
    assert_eq!(rows(&batches).hsms[0].kind, "pool");
}
