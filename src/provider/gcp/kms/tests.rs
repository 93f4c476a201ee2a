use serde_json::json;

use super::super::double::{Double, tools};
use super::*;
use crate::provider::inventory::Inventory;
use crate::provider::inventory_rows;

const PLACE: &str = "projects/p-1/locations/us-east1";

fn window() -> Window {
    let now = "2026-11-27T12:00:00Z".parse().unwrap();
    Window { since: None, until: now, now }
}

fn config(double: &Double) -> GcpInventory {
    let address = Some(double.address.clone());
    GcpInventory {
        name: "keys".to_owned(),
        projects: vec!["p-1".to_owned()],
        endpoints: GcpEndpoints {
            logging: address.clone(),
            kms: address.clone(),
            resource_manager: address,
        },
        calls_per_minute: NonZeroU32::new(600_000),
        ..GcpInventory::default()
    }
}

#[derive(Default)]
struct Run {
    rows: Inventory,
    documents: Vec<Value>,
    notes: Vec<Note>,
    error: Option<SourceError>,
}

async fn collect(config: &GcpInventory) -> Run {
    let mut source = sources(config, &tools()).await.unwrap().remove(0);
    source.start(&History::default(), window());
    let mut run = Run::default();
    loop {
        let batch = match source.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return run,
            Err(error) => {
                run.error = Some(error);
                return run;
            }
        };
        run.notes.extend(batch.notes);
        for item in batch.items {
            let Item::Document { kind, value, context, captured_at } = item else { panic!() };
            assert_eq!(captured_at, window().now);
            let rows = inventory_rows(kind, &value, &context).unwrap();
            run.rows.keys.extend(rows.keys);
            run.rows.key_versions.extend(rows.key_versions);
            run.rows.hsms.extend(rows.hsms);
            run.rows.log_settings.extend(rows.log_settings);
            run.documents.push(value);
        }
    }
}

/// A project with two locations, one ring, two keys on two pages, and a single-tenant HSM.
fn project(path: &str) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path =
        path.trim_start_matches("/v1/").trim_start_matches("/v2/").trim_start_matches("/v3/");
    let ring = format!("{PLACE}/keyRings/r");
    let key = |name: &str| format!("{ring}/cryptoKeys/{name}");
    let answer = match path.strip_prefix(PLACE) {
        Some("/keyRings") if query.contains("pageToken=again") => {
            json!({"keyRings": [{"name": ring}]})
        }
        Some("/keyRings") => json!({"nextPageToken": "again"}),
        Some("/keyRings/r:getIamPolicy") => json!({"etag": "r", "bindings": [
            {"role": "roles/cloudkms.cryptoKeyDecrypter", "members": ["allUsers"]}]}),
        Some("/keyRings/r/cryptoKeys") if query.contains("pageToken=2") => json!({
            "cryptoKeys": [{"name": key("b"), "purpose": "ASYMMETRIC_SIGN"}], "totalSize": 2}),
        Some("/keyRings/r/cryptoKeys") => json!({"cryptoKeys": [{"name": key("a"),
            "purpose": "ENCRYPT_DECRYPT", "rotationPeriod": "7776000s"}], "nextPageToken": "2"}),
        Some("/keyRings/r/cryptoKeys/a/cryptoKeyVersions") => {
            assert!(query.contains("view=FULL"), "{query}");
            json!({"cryptoKeyVersions": [{"name": format!("{}/cryptoKeyVersions/1", key("a")),
                "state": "ENABLED", "attestation": {"format": "CAVIUM_V2_COMPRESSED"}}]})
        }
        Some("/keyRings/r/importJobs") => json!({"importJobs": [
            {"name": format!("{ring}/importJobs/j"), "importMethod": "X", "state": "ACTIVE"}]}),
        Some("/keyRings/r/cryptoKeys/a:getIamPolicy") => json!({"etag": "a"}),
        Some("/singleTenantHsmInstances") => {
            assert!(query.contains("showDeleted=true"), "{query}");
            json!({"singleTenantHsmInstances": [
                {"name": format!("{PLACE}/singleTenantHsmInstances/h"), "state": "ACTIVE"}]})
        }
        Some("/singleTenantHsmInstances/h/proposals") => json!({
            "singleTenantHsmInstanceProposals": [{"state": "DELETED",
                "name": format!("{PLACE}/singleTenantHsmInstances/h/proposals/1")}]}),
        Some(_) => json!({}),
        None => return outside(path),
    };
    (200, answer.to_string())
}

fn outside(path: &str) -> (u16, String) {
    let answer = match path {
        "projects/p-1/locations" => json!({"locations": [{"name": "projects/p-1/locations/eu"},
            {"name": PLACE}]}),
        "projects/p-1/locations/eu/singleTenantHsmInstances" => return (501, String::new()),
        "projects/p-1:getIamPolicy" => json!({"etag": "p", "auditConfigs": [{
            "service": "cloudkms.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}]}),
        "projects/p-1:getAncestry" => json!({"ancestor": [
            {"resourceId": {"type": "folder", "id": "7"}}]}),
        "folders/7:getIamPolicy" => json!({"etag": "f", "auditConfigs": [{
            "service": "allServices", "auditLogConfigs": [{"logType": "ADMIN_READ"}]}]}),
        "projects/p-1/locations/-/buckets" => json!({"buckets": [
            {"name": "projects/p-1/locations/global/buckets/_Default", "retentionDays": 30}]}),
        _ => json!({}),
    };
    (200, answer.to_string())
}

fn refused() -> (u16, String) {
    (403, json!({"error": {"status": "PERMISSION_DENIED", "message": "no"}}).to_string())
}

#[tokio::test]
async fn everything_of_a_project_is_walked_page_by_page() {
    let double = Double::start(|asked| project(&asked.path));
    let run = collect(&config(&double)).await;
    assert!(run.error.is_none(), "{:?}", run.error);
    assert_eq!(run.notes, []);
    let ids: Vec<&str> = run.rows.keys.iter().map(|row| row.key_id.as_str()).collect();
    assert!(ids.iter().any(|id| id.ends_with("/a")) && ids.iter().any(|id| id.ends_with("/b")));
    let version = &run.rows.key_versions[0];
    assert_eq!(version.details["attestation_format"], "CAVIUM_V2_COMPRESSED");
    let kinds: Vec<&str> = run.rows.hsms.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["import_job", "instance", "proposal"]);
    let audit = run.rows.log_settings.iter().find(|row| row.kind == "audit_config").unwrap();
    assert_eq!(audit.logs_keys, Some(true), "the folder adds what the project lacks");
    let bucket = run.rows.log_settings.iter().find(|row| row.kind == "log_bucket").unwrap();
    assert_eq!(bucket.retention_days, Some(30));
    assert!(double.asked().iter().all(|asked| !asked.authorized));
}

#[tokio::test]
async fn what_the_ring_grants_counts_for_its_keys() {
    let double = Double::start(|asked| project(&asked.path));
    let run = collect(&config(&double)).await;
    let access: Vec<&str> = run.rows.keys.iter().filter_map(|row| row.access.as_deref()).collect();
    assert_eq!(access, ["public", "public"]);
}

#[tokio::test]
async fn a_ring_whose_policy_is_refused_leaves_open_who_may_use_its_keys() {
    let double = Double::start(|asked| {
        if asked.path.contains("keyRings/r:getIamPolicy") {
            refused()
        } else {
            project(&asked.path)
        }
    });
    let run = collect(&config(&double)).await;
    assert!(run.rows.keys.iter().any(|row| row.access.as_deref() == Some("unreadable")));
    assert!(run.rows.keys.iter().all(|row| row.access.as_deref() != Some("restricted")));
    assert!(run.notes[0].hint.as_ref().unwrap().contains("cloudkms.keyRings.getIamPolicy"));
}

#[tokio::test]
async fn a_refused_location_does_not_stop_the_rest_and_is_told_with_the_permission() {
    let double = Double::start(|asked| {
        if asked.path.contains("locations/eu/keyRings") { refused() } else { project(&asked.path) }
    });
    let run = collect(&config(&double)).await;
    assert!(run.error.is_none(), "{:?}", run.error);
    assert!(!run.rows.keys.is_empty());
    assert_eq!(run.notes.len(), 1);
    assert!(run.notes[0].message.contains("projects/p-1/locations/eu"), "{:?}", run.notes);
    assert_eq!(run.notes[0].hint.as_deref(), Some("grant cloudkms.keyRings.list"));
}

#[tokio::test]
async fn a_project_in_which_everything_is_refused_is_an_error() {
    let double = Double::start(|asked| {
        if asked.path.contains("/keyRings") { refused() } else { project(&asked.path) }
    });
    let run = collect(&config(&double)).await;
    assert!(matches!(run.error, Some(SourceError::Denied { .. })), "{:?}", run.error);
    let double = Double::start(|_| refused());
    let error = collect(&config(&double)).await.error.unwrap();
    assert!(error.hint().contains("cloudkms.locations.list"), "{}", error.hint());
}

#[tokio::test]
async fn a_list_under_another_name_is_not_taken_for_an_empty_one() {
    let double = Double::start(|asked| {
        if asked.path.contains("us-east1/keyRings?") {
            (200, json!({"key_rings": [{"name": "x"}]}).to_string())
        } else {
            project(&asked.path)
        }
    });
    let run = collect(&config(&double)).await;
    assert!(run.notes.iter().any(|note| note.message.contains("key_rings")), "{:?}", run.notes);
}

#[tokio::test]
async fn a_hostile_name_is_not_put_into_an_address() {
    let double = Double::start(|asked| {
        if asked.path.contains("us-east1/keyRings?") {
            (200, json!({"keyRings": [{"name": "a/../b?c"}, {}, 7]}).to_string())
        } else {
            project(&asked.path)
        }
    });
    let run = collect(&config(&double)).await;
    assert_eq!(run.notes.len(), 3);
    assert!(double.asked().iter().all(|asked| !asked.path.contains("..")));
}

#[tokio::test]
async fn only_the_locations_that_are_named_are_looked_at_and_policies_only_if_wanted() {
    let double = Double::start(|asked| project(&asked.path));
    let mut config = config(&double);
    config.locations = vec!["us-east1".to_owned()];
    config.iam_policies = false;
    let run = collect(&config).await;
    assert!(!run.rows.keys.is_empty());
    let asked = double.asked();
    assert!(asked.iter().all(|asked| !asked.path.contains("/eu/")));
    assert!(asked.iter().all(|asked| !asked.path.contains("keyRings/r:getIamPolicy")));
    config.locations = vec!["../x".to_owned()];
    assert!(sources(&config, &tools()).await.is_err());
}
