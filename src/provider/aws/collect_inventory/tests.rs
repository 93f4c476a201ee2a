//! An account with a few keys, asked about over HTTP.

use super::super::server::{Asked, Reply, Server};
use super::*;
use crate::provider::inventory_rows;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e";
const HIDDEN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1d990263-018e-4e65-a703-eff731de951e";
const IMPORTED: &str =
    "arn:aws:kms:eu-west-1:111122223333:key/2d990263-018e-4e65-a703-eff731de951e";
const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";

fn answer(asked: &Asked) -> Reply {
    let body = asked.json();
    let key = body.text(&["KeyId"]).unwrap_or_default();
    match asked.operation() {
        "ListKeys" if body.at(&["Marker"]).is_none() => Reply::json(
            json!({"Keys": [{"KeyId": "x", "KeyArn": KEY}], "Truncated": true, "NextMarker": "m"}),
        ),
        "ListKeys" => Reply::json(json!({"Keys": [{"KeyId": "y", "KeyArn": HIDDEN},
            {"KeyId": "z", "KeyArn": IMPORTED}], "Truncated": false})),
        "ListAliases" => Reply::json(json!({"Aliases": [{"AliasName": "alias/a",
            "AliasArn": "arn:aws:kms:eu-west-1:111122223333:alias/a", "TargetKeyId": KEY,
            "LastUpdatedDate": 1_704_164_645.123}]})),
        "DescribeKey" if key == HIDDEN => Reply::error(400, "AccessDeniedException", "no"),
        "DescribeKey" => Reply::json(json!({"KeyMetadata": {"Arn": key, "KeyManager": "CUSTOMER",
            "KeyState": if key == KEY { "Enabled" } else { "PendingImport" },
            "Origin": if key == KEY { "AWS_KMS" } else { "EXTERNAL" },
            "KeySpec": "SYMMETRIC_DEFAULT", "CreationDate": 1_704_164_645.123}})),
        "GetKeyLastUsage" => Reply::error(400, "UnknownOperationException", ""),
        "ListKeyPolicies" => Reply::json(json!({"PolicyNames": ["default"], "Truncated": false})),
        "GetKeyPolicy" => Reply::json(json!({"Policy": "{\"Statement\":[]}"})),
        "ListGrants" => Reply::json(json!({"Grants": [{"KeyId": key, "GrantId": "g",
            "GranteePrincipal": "arn:aws:iam::444455556666:root", "Operations": ["Decrypt"],
            "CreationDate": 1_704_164_645}]})),
        "GetKeyRotationStatus" => {
            Reply::json(json!({"KeyRotationEnabled": true, "RotationPeriodInDays": 90}))
        }
        "ListKeyRotations" => Reply::json(json!({"Rotations": [{"KeyId": key,
            "RotationDate": 1_704_164_645.5, "RotationType": "AUTOMATIC"}], "Truncated": false})),
        "DescribeCustomKeyStores" => Reply::json(json!({"CustomKeyStores": [{
            "CustomKeyStoreId": "cks-1", "CustomKeyStoreName": "hsm", "CloudHsmClusterId": "cluster-a",
            "ConnectionState": "FAILED", "ConnectionErrorCode": "USER_LOCKED_OUT",
            "CustomKeyStoreType": "AWS_CLOUDHSM", "CreationDate": 1_704_164_645}]})),
        "DescribeClusters" => Reply::json(json!({"Clusters": [{"ClusterId": "cluster-a",
            "State": "ACTIVE", "HsmType": "hsm2m.medium", "PreCoPassword": "very secret", "Hsms": []}]})),
        "DescribeBackups" => Reply::json(json!({"Backups": [{"BackupId": "backup-1",
            "BackupArn": "arn:aws:cloudhsm:eu-west-1:111122223333:backup/backup-1",
            "BackupState": "READY", "ClusterId": "cluster-a", "NeverExpires": true,
            "CreateTimestamp": 1_704_164_645}]})),
        "GetResourcePolicy" => {
            Reply::json(json!({"Policy": "{\"Statement\":[{\"Principal\":\"*\"}]}"}))
        }
        "DescribeTrails" => {
            Reply::json(json!({"trailList": [{"TrailARN": TRAIL, "Name": "main"}]}))
        }
        "GetTrailStatus" => {
            Reply::json(json!({"IsLogging": false, "StopLoggingTime": 1_704_164_645,
            "LatestDeliveryTime": 1_704_164_700}))
        }
        "GetEventSelectors" => Reply::json(json!({"TrailARN": TRAIL, "EventSelectors": [{
            "IncludeManagementEvents": true, "ReadWriteType": "All",
            "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]})),
        "DescribeLogGroups" => Reply::json(json!({"logGroups": []})),
        other => Reply::error(400, "UnknownOperationException", other),
    }
}

/// Reads all of it: what the readers make of the documents, and what is told.
async fn collected()
-> (Vec<(InventoryKind, crate::provider::inventory::Inventory)>, Vec<String>, String) {
    let server = Server::start(answer);
    let mut source = InventorySource::new("inv/111122223333/eu-west-1".to_owned(), server.api());
    let now: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
    source.start(&History::default(), Window { since: None, until: now, now });
    let (mut rows, mut notes, mut all) = (Vec::new(), Vec::new(), String::new());
    while let Some(batch) = source.next().await.unwrap() {
        notes.extend(batch.notes.into_iter().map(|note| note.message));
        for item in batch.items {
            let Item::Document { kind, value, context, captured_at } = item else { panic!() };
            assert_eq!(captured_at, now);
            all += &value.to_string();
            rows.push((kind, inventory_rows(kind, &value, &context).unwrap()));
        }
    }
    (rows, notes, all)
}

#[tokio::test]
async fn an_account_is_read_with_what_is_refused_in_it() {
    let (rows, notes, all) = collected().await;
    let of = |kind| rows.iter().filter(move |(k, _)| *k == kind).map(|(_, rows)| rows);
    assert_eq!(of(InventoryKind::AwsListKeys).next().unwrap().keys.len(), 3);
    assert_eq!(of(InventoryKind::AwsDescribeKey).count(), 2);
    let status = of(InventoryKind::AwsKeyRotationStatus).next().unwrap();
    assert_eq!(
        (status.keys[0].key_id.as_str(), status.keys[0].rotation_period_days),
        (KEY, Some(90))
    );
    assert_eq!(of(InventoryKind::AwsListKeyRotations).next().unwrap().key_versions.len(), 1);
    // A key whose material is still to be imported has no rotation to ask about.
    assert_eq!(of(InventoryKind::AwsKeyRotationStatus).count(), 1);
    let grants = &of(InventoryKind::AwsListGrants).next().unwrap().keys[0].details;
    assert_eq!(grants["grant_count"], 1);
    let store = &of(InventoryKind::AwsCustomKeyStores).next().unwrap().hsms[0];
    assert_eq!((store.kind.as_str(), store.state.as_deref()), ("key_store", Some("failed")));
    let backup = &of(InventoryKind::AwsBackups).next().unwrap().hsms[0];
    assert_eq!((backup.kind.as_str(), backup.details["shared"].as_bool()), ("backup", Some(true)));
    let trail = &of(InventoryKind::AwsTrails).next().unwrap().log_settings[0];
    assert_eq!(trail.details["is_logging"], false);
    let selectors = &of(InventoryKind::AwsEventSelectors).next().unwrap().log_settings[0];
    assert_eq!(selectors.logs_keys, Some(false));
    assert!(!all.contains("very secret"));
    assert!(
        notes.iter().any(|n| n.contains("kms:DescribeKey was refused") && n.contains(HIDDEN)),
        "{notes:?}"
    );
    assert!(notes.iter().any(|n| n.contains("kms:GetKeyLastUsage is not answered")), "{notes:?}");
}

#[tokio::test]
async fn without_the_list_of_keys_there_is_an_error_and_no_empty_inventory() {
    let server = Server::start(|_| Reply::error(400, "AccessDeniedException", "no"));
    let mut source = InventorySource::new("inv".to_owned(), server.api());
    let now = Timestamp::UNIX_EPOCH;
    source.start(&History::default(), Window { since: None, until: now, now });
    let error = source.next().await.unwrap_err();
    assert!(error.hint().contains("kms:ListKeys"), "{}", error.hint());
}
