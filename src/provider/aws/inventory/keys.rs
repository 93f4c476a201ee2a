//! Keys, their rotations, aliases and policies (AWS KMS API Reference).

use serde_json::{Map, Value};

use crate::event::{Origin, Protection, Provider};

use super::super::super::inventory::{Inventory, InventoryContext, KeyRow, KeyVersionRow};
use super::super::super::{Json as _, Reason, Reject};
use super::super::{dates, policy as key_policy};
use super::detail;
use super::identity::{KeyArn, Place, key_of};

/// `KeyState` (API Reference, `KeyMetadata`); other words pass in lower case.
const STATES: &[(&str, &str)] = &[
    ("Creating", "creating"),
    ("Disabled", "disabled"),
    ("Enabled", "enabled"),
    ("PendingDeletion", "pending_deletion"),
    ("PendingImport", "pending_import"),
    ("PendingReplicaDeletion", "pending_replica_deletion"),
    ("Unavailable", "unavailable"),
    ("Updating", "updating"),
];

/// `Origin`: where the material came from, and where it is kept. A shared HSM stands behind keys
/// of KMS itself, one of the customer's own behind a `CloudHSM` key store.
const ORIGINS: &[(&str, Origin, Protection)] = &[
    ("AWS_KMS", Origin::Generated, Protection::Hsm),
    ("EXTERNAL", Origin::Imported, Protection::Hsm),
    ("AWS_CLOUDHSM", Origin::Generated, Protection::Hsm),
    ("EXTERNAL_KEY_STORE", Origin::External, Protection::External),
];

/// At most so many principals and open statements of a policy go into a row's details.
const LISTED: usize = 50;

/// `describe-key`.
pub(super) fn described(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let metadata = value.at(&["KeyMetadata"]).ok_or_else(|| Reject::missing("KeyMetadata"))?;
    let key = metadata
        .text(&["Arn"])
        .or_else(|| metadata.text(&["KeyId"]))
        .ok_or_else(|| Reject::missing("KeyMetadata.Arn"))?;
    let mut place = Place::of(context);
    place.account = metadata.text(&["AWSAccountId"]).or(place.account);
    let mut row = KeyArn::complete(key, place)?.row();
    row.key_spec =
        metadata.string(&["KeySpec"]).or_else(|| metadata.string(&["CustomerMasterKeySpec"]));
    row.key_usage = metadata.string(&["KeyUsage"]);
    row.state = state(metadata);
    row.manager = metadata.text(&["KeyManager"]).and_then(manager);
    if let Some(origin) = metadata.text(&["Origin"]) {
        let known = ORIGINS.iter().find(|(word, _, _)| *word == origin);
        row.origin = Some(known.map_or(Origin::Unknown, |(_, origin, _)| *origin));
        row.protection = known.map(|(_, _, protection)| *protection);
    }
    row.created_at = metadata.at(&["CreationDate"]).and_then(dates::api_time);
    row.deletion_at = metadata.at(&["DeletionDate"]).and_then(dates::api_time);
    row.expires_at = metadata.at(&["ValidTo"]).and_then(dates::api_time);
    describe(&mut row.details, metadata);
    last_usage(&mut row.details, value);
    Ok(Inventory { keys: vec![row], ..Inventory::default() })
}

/// What `get-key-last-usage` tells, which the pollers put beside the key: also that the event of the
/// last use must be in the log.
fn last_usage(details: &mut Map<String, Value>, value: &Value) {
    let time = value.at(&["KeyLastUsage", "Timestamp"]).and_then(dates::api_time);
    detail(details, "last_used_at", time.map(|time| time.to_string()));
    detail(details, "last_used_for", value.text(&["KeyLastUsage", "Operation"]));
    detail(details, "last_used_event", value.text(&["KeyLastUsage", "CloudTrailEventId"]));
}

fn state(metadata: &Value) -> Option<String> {
    if let Some(word) = metadata.text(&["KeyState"]) {
        let known = STATES.iter().find(|(native, _)| *native == word);
        return Some(known.map_or_else(|| word.to_lowercase(), |(_, state)| (*state).to_owned()));
    }
    let enabled = metadata.flag(&["Enabled"])?;
    Some(if enabled { "enabled" } else { "disabled" }.to_owned())
}

fn manager(word: &str) -> Option<String> {
    let manager = match word {
        "CUSTOMER" => "customer",
        "AWS" => "provider",
        _ => return None,
    };
    Some(manager.to_owned())
}

fn describe(details: &mut Map<String, Value>, metadata: &Value) {
    const TEXTS: &[(&str, &[&str])] = &[
        ("native_origin", &["Origin"]),
        ("custom_key_store_id", &["CustomKeyStoreId"]),
        ("cluster_id", &["CloudHsmClusterId"]),
        ("xks_key_id", &["XksKeyConfiguration", "Id"]),
        ("current_key_material_id", &["CurrentKeyMaterialId"]),
        ("expiration_model", &["ExpirationModel"]),
        ("primary_key_arn", &["MultiRegionConfiguration", "PrimaryKey", "Arn"]),
    ];
    for (name, path) in TEXTS {
        detail(details, name, metadata.text(path));
    }
    let kind = metadata.text(&["MultiRegionConfiguration", "MultiRegionKeyType"]);
    detail(details, "multi_region", metadata.flag(&["MultiRegion"]));
    detail(details, "multi_region_type", kind.map(str::to_lowercase));
    detail(details, "pending_window_days", metadata.integer(&["PendingDeletionWindowInDays"]));
    let replicas: Vec<&str> = metadata
        .items(&["MultiRegionConfiguration", "ReplicaKeys"])
        .iter()
        .filter_map(|replica| replica.text(&["Region"]))
        .collect();
    detail(details, "replica_regions", (!replicas.is_empty()).then_some(replicas));
}

/// `list-key-rotations`. That a key's rotations were listed is a fact even when there are none.
pub(super) fn rotations(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut inventory = Inventory::default();
    let complete = !value.flag(&["Truncated"]).unwrap_or(false);
    let entries = value.items(&["Rotations"]);
    for entry in entries {
        let row = key_of(entry.text(&["KeyId"]), context)?.row();
        inventory.key_versions.push(version(entry, &row)?);
        if !inventory.keys.iter().any(|known| known.key_id == row.key_id) {
            inventory.keys.push(row);
        }
    }
    if entries.is_empty() {
        inventory.keys.push(key_of(None, context)?.row());
    }
    for row in &mut inventory.keys {
        row.details.insert("rotations_listed".to_owned(), Value::from(complete));
    }
    Ok(inventory)
}

fn version(entry: &Value, key: &KeyRow) -> Result<KeyVersionRow, Reject> {
    let rotated_at = entry.at(&["RotationDate"]).and_then(dates::api_time);
    let version = entry
        .string(&["KeyMaterialId"])
        .or_else(|| rotated_at.map(|date| format!("rotation-{date}")))
        .ok_or_else(|| {
            Reject::new(
                Reason::MissingField,
                "a rotation has neither a `KeyMaterialId` nor a `RotationDate` that can be read",
            )
        })?;
    let state = entry.text(&["KeyMaterialState"]);
    let mut details = Map::new();
    detail(&mut details, "import_state", entry.text(&["ImportState"]).map(str::to_lowercase));
    detail(&mut details, "expiration_model", entry.text(&["ExpirationModel"]));
    Ok(KeyVersionRow {
        provider: Provider::Aws,
        account: key.account.clone(),
        region: key.region.clone(),
        key_id: key.key_id.clone(),
        version,
        state: state.map(str::to_lowercase),
        is_primary: state.map(|state| state == "CURRENT"),
        created_at: None,
        rotated_at,
        rotation_type: entry.text(&["RotationType"]).map(str::to_lowercase),
        expires_at: entry.at(&["ValidTo"]).and_then(dates::api_time),
        key_spec: None,
        protection: None,
        details,
    })
}

/// `get-key-rotation-status`.
pub(super) fn rotation_status(
    value: &Value,
    context: &InventoryContext,
) -> Result<Inventory, Reject> {
    let mut row = key_of(value.text(&["KeyId"]), context)?.row();
    row.rotation_enabled = value.flag(&["KeyRotationEnabled"]);
    row.rotation_period_days = value.integer(&["RotationPeriodInDays"]);
    row.next_rotation_at = value.at(&["NextRotationDate"]).and_then(dates::api_time);
    let on_demand = value.at(&["OnDemandRotationStartDate"]).and_then(dates::api_time);
    detail(
        &mut row.details,
        "on_demand_rotation_started_at",
        on_demand.map(|date| date.to_string()),
    );
    Ok(Inventory { keys: vec![row], ..Inventory::default() })
}

/// `get-key-policy`. The answer does not say whose policy it is.
pub(super) fn policy(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let text = value.text(&["Policy"]).ok_or_else(|| Reject::missing("Policy"))?;
    let mut row = key_of(None, context)?.row();
    let analysis = key_policy::analyse(text);
    row.access = Some(analysis.access.as_str().to_owned());
    let open: Vec<Value> = analysis
        .findings
        .iter()
        .take(LISTED)
        .map(|finding| {
            let actions: Vec<&String> = finding.actions.iter().take(LISTED).collect();
            serde_json::json!({
                "statement": finding.statement(),
                "actions": actions,
                "reason": finding.reason.as_str(),
            })
        })
        .collect();
    let principals = key_policy::principals(text);
    let details = &mut row.details;
    detail(details, "policy_name", value.text(&["PolicyName"]));
    detail(details, "policy_unreadable", analysis.unreadable);
    detail(details, "open_statements", (!open.is_empty()).then_some(open));
    detail(details, "principal_count", Some(principals.len()));
    let listed: Vec<String> = principals.into_iter().take(LISTED).collect();
    detail(details, "principals", (!listed.is_empty()).then_some(listed));
    Ok(Inventory { keys: vec![row], ..Inventory::default() })
}

/// `list-aliases`. An alias without a key (one of AWS's own, not yet used) is no fact about a key.
pub(super) fn aliases(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut keys = Vec::new();
    for alias in value.items(&["Aliases"]) {
        let Some(target) = alias.text(&["TargetKeyId"]) else { continue };
        let place = Place::of(context).or_of_arn(alias.text(&["AliasArn"]));
        let mut row = KeyArn::complete(target, place)?.row();
        row.key_alias = alias.string(&["AliasName"]);
        let updated = alias.at(&["LastUpdatedDate"]).and_then(dates::api_time);
        detail(&mut row.details, "alias_updated_at", updated.map(|date| date.to_string()));
        keys.push(row);
    }
    Ok(Inventory { keys, ..Inventory::default() })
}

/// `list-keys`.
pub(super) fn listed(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut keys = Vec::new();
    for entry in value.items(&["Keys"]) {
        let key = entry
            .text(&["KeyArn"])
            .or_else(|| entry.text(&["KeyId"]))
            .ok_or_else(|| Reject::missing("KeyArn"))?;
        keys.push(KeyArn::complete(key, Place::of(context))?.row());
    }
    Ok(Inventory { keys, ..Inventory::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    const ID: &str = "0d990263-018e-4e65-a703-eff731de951e";
    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e";

    fn nowhere() -> InventoryContext {
        InventoryContext::default()
    }

    fn hinted(hint: &str) -> InventoryContext {
        InventoryContext { key_hint: Some(hint.to_owned()), ..nowhere() }
    }

    fn placed() -> InventoryContext {
        InventoryContext {
            account: Some("111122223333".to_owned()),
            region: Some("eu-west-1".to_owned()),
            key_hint: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn key(metadata: &Value) -> KeyRow {
        described(&json!({"KeyMetadata": metadata}), &nowhere()).unwrap().keys.remove(0)
    }

    #[test]
    fn a_described_key_has_its_facts_in_the_words_of_the_vocabulary() {
        let row = key(&json!({
            "AWSAccountId": "111122223333", "KeyId": ID, "Arn": ARN, "Enabled": true,
            "CreationDate": "2023-05-13T13:02:58.170000+02:00", "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": "Enabled", "Origin": "AWS_KMS", "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "MultiRegion": false,
            "CurrentKeyMaterialId": "5a34bc",
        }));
        assert_eq!(row.key_id, ARN);
        assert_eq!(row.account.as_deref(), Some("111122223333"));
        assert_eq!(row.region.as_deref(), Some("eu-west-1"));
        assert_eq!(row.key_group, None);
        assert_eq!(row.key_spec.as_deref(), Some("SYMMETRIC_DEFAULT"));
        assert_eq!(row.key_usage.as_deref(), Some("ENCRYPT_DECRYPT"));
        assert_eq!(row.state.as_deref(), Some("enabled"));
        assert_eq!(row.manager.as_deref(), Some("customer"));
        assert_eq!(row.origin, Some(Origin::Generated));
        assert_eq!(row.protection, Some(Protection::Hsm));
        assert_eq!(row.created_at, Some(at("2023-05-13T11:02:58.17Z")));
        assert_eq!(
            Value::Object(row.details),
            json!({"native_origin": "AWS_KMS", "multi_region": false, "current_key_material_id": "5a34bc"})
        );
        assert_eq!(row.access, None);
        assert_eq!(row.rotation_enabled, None);
    }

    #[test]
    fn a_replica_belongs_to_the_group_of_its_multi_region_id() {
        let id = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let primary = format!("arn:aws:kms:us-east-1:111122223333:key/{id}");
        let row = key(&json!({
            "KeyId": id, "Arn": format!("arn:aws:kms:eu-west-1:111122223333:key/{id}"),
            "KeyState": "PendingReplicaDeletion", "PendingDeletionWindowInDays": 7,
            "MultiRegion": true,
            "MultiRegionConfiguration": {
                "MultiRegionKeyType": "REPLICA",
                "PrimaryKey": {"Arn": primary, "Region": "us-east-1"},
                "ReplicaKeys": [{"Arn": "x", "Region": "eu-west-1"}],
            },
        }));
        assert_eq!(row.key_group.as_deref(), Some(id));
        assert_eq!(row.state.as_deref(), Some("pending_replica_deletion"));
        assert_eq!(
            Value::Object(row.details),
            json!({
                "multi_region": true, "multi_region_type": "replica", "primary_key_arn": primary,
                "replica_regions": ["eu-west-1"], "pending_window_days": 7,
            })
        );
    }

    #[test]
    fn origins_tell_where_material_came_from_and_where_it_is() {
        for (word, origin, protection) in [
            ("EXTERNAL", Origin::Imported, Some(Protection::Hsm)),
            ("AWS_CLOUDHSM", Origin::Generated, Some(Protection::Hsm)),
            ("EXTERNAL_KEY_STORE", Origin::External, Some(Protection::External)),
            ("QUANTUM", Origin::Unknown, None),
        ] {
            let row = key(&json!({"Arn": ARN, "Origin": word, "CustomKeyStoreId": "cks-1",
                "CloudHsmClusterId": "cluster-a", "XksKeyConfiguration": {"Id": "x1"}}));
            assert_eq!((row.origin, row.protection), (Some(origin), protection), "{word}");
            assert_eq!(row.details["custom_key_store_id"], "cks-1");
            assert_eq!(row.details["cluster_id"], "cluster-a");
            assert_eq!(row.details["xks_key_id"], "x1");
        }
    }

    #[test]
    fn states_and_dates_that_are_odd_stay_odd_or_absent() {
        let row = key(&json!({"Arn": ARN, "KeyState": "Melting", "DeletionDate": 1_704_164_645.5,
            "ValidTo": {"__class__": "datetime", "year": 2021}, "KeyManager": "NOBODY",
            "CreationDate": "yesterday", "KeySpec": 7}));
        assert_eq!(row.state.as_deref(), Some("melting"));
        assert_eq!(row.deletion_at, Some(at("2024-01-02T03:04:05.5Z")));
        assert_eq!(
            (row.expires_at, row.created_at, row.manager, row.key_spec),
            (None, None, None, None)
        );
        assert_eq!(key(&json!({"Arn": ARN, "Enabled": false})).state.as_deref(), Some("disabled"));
        assert_eq!(
            key(&json!({"Arn": ARN, "KeyManager": "AWS"})).manager.as_deref(),
            Some("provider")
        );
    }

    #[test]
    fn a_key_without_arn_is_completed_from_its_account_and_the_flag() {
        let document = json!({"KeyMetadata": {"KeyId": ID, "AWSAccountId": "111122223333"}});
        assert_eq!(described(&document, &placed()).unwrap().keys[0].key_id, ARN);
        let reject = described(&document, &nowhere()).unwrap_err();
        assert_eq!(reject.reason, Reason::MissingField);
        assert!(reject.detail.contains("`region`"), "{}", reject.detail);
    }

    #[test]
    fn rotations_become_versions_and_the_fact_that_they_were_listed() {
        let document = json!({"Rotations": [
            {"KeyId": ARN, "KeyMaterialId": "aa", "KeyMaterialState": "NON_CURRENT",
             "ImportState": "IMPORTED", "ValidTo": 1_735_689_600},
            {"KeyId": ARN, "KeyMaterialId": "bb", "KeyMaterialState": "CURRENT",
             "RotationDate": "2025-08-28T16:33:06.754000+00:00", "RotationType": "ON_DEMAND"},
            {"KeyId": ID, "RotationDate": 1_704_164_645.0, "RotationType": "AUTOMATIC"},
        ], "Truncated": false});
        let inventory = rotations(&document, &placed()).unwrap();
        assert_eq!(inventory.keys.len(), 1);
        assert_eq!(inventory.keys[0].key_id, ARN);
        assert_eq!(inventory.keys[0].details["rotations_listed"], true);
        let [first, second, third] = inventory.key_versions.as_slice() else { panic!() };
        assert_eq!((first.version.as_str(), first.is_primary), ("aa", Some(false)));
        assert_eq!(first.state.as_deref(), Some("non_current"));
        assert_eq!(first.expires_at, Some(at("2025-01-01T00:00:00Z")));
        assert_eq!((first.rotated_at, first.rotation_type.as_deref()), (None, None));
        assert_eq!(first.details["import_state"], "imported");
        assert_eq!((second.version.as_str(), second.is_primary), ("bb", Some(true)));
        assert_eq!(second.rotated_at, Some(at("2025-08-28T16:33:06.754Z")));
        assert_eq!(second.rotation_type.as_deref(), Some("on_demand"));
        assert_eq!(third.version, "rotation-2024-01-02T03:04:05Z");
        assert_eq!((third.is_primary, third.rotation_type.as_deref()), (None, Some("automatic")));
        assert_eq!(third.key_id, ARN);
    }

    #[test]
    fn an_empty_list_of_rotations_is_a_fact_about_the_key_that_the_file_names() {
        let document = json!({"Rotations": []});
        let inventory = rotations(&document, &hinted(ARN)).unwrap();
        assert_eq!(inventory.keys[0].key_id, ARN);
        assert_eq!(inventory.keys[0].details["rotations_listed"], true);
        assert!(inventory.key_versions.is_empty());
        assert_eq!(rotations(&document, &nowhere()).unwrap_err().reason, Reason::MissingField);
    }

    #[test]
    fn a_list_of_rotations_that_breaks_off_does_not_count_as_listed() {
        let document = json!({"Truncated": true, "NextMarker": "x",
            "Rotations": [{"KeyId": ARN, "KeyMaterialId": "aa"}]});
        let inventory = rotations(&document, &nowhere()).unwrap();
        assert_eq!(inventory.keys[0].details["rotations_listed"], false);
    }

    #[test]
    fn a_rotation_without_material_or_date_is_rejected() {
        let document = json!({"Rotations": [{"KeyId": ARN, "RotationType": "AUTOMATIC",
            "RotationDate": {"__class__": "datetime", "year": 2024}}]});
        assert_eq!(rotations(&document, &nowhere()).unwrap_err().reason, Reason::MissingField);
    }

    #[test]
    fn a_rotation_status_takes_its_key_from_the_document_or_the_file() {
        let status = json!({"KeyId": ID, "KeyRotationEnabled": true, "RotationPeriodInDays": 180,
            "NextRotationDate": "2025-01-01T00:00:00Z", "OnDemandRotationStartDate": 1_704_164_645});
        for context in [placed(), hinted(ARN)] {
            let row = rotation_status(&status, &context).unwrap().keys.remove(0);
            assert_eq!(row.key_id, ARN);
            assert_eq!(row.rotation_enabled, Some(true));
            assert_eq!(row.rotation_period_days, Some(180));
            assert_eq!(row.next_rotation_at, Some(at("2025-01-01T00:00:00Z")));
            assert_eq!(row.details["on_demand_rotation_started_at"], "2024-01-02T03:04:05Z");
        }
        let bare = json!({"KeyRotationEnabled": false});
        let row = rotation_status(&bare, &hinted(ARN)).unwrap().keys.remove(0);
        assert_eq!((row.rotation_enabled, row.rotation_period_days), (Some(false), None));
        assert_eq!(rotation_status(&bare, &placed()).unwrap_err().reason, Reason::MissingField);
    }

    #[test]
    fn a_policy_tells_whether_its_key_is_public_and_by_which_statement() {
        let text = json!({"Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*"},
            {"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt"},
        ]})
        .to_string();
        let document = json!({"Policy": text, "PolicyName": "default"});
        let row = policy(&document, &hinted(ARN)).unwrap().keys.remove(0);
        assert_eq!(row.access.as_deref(), Some("public"));
        assert_eq!(
            Value::Object(row.details),
            json!({
                "policy_name": "default",
                "open_statements": [
                    {"statement": "Open", "actions": ["kms:Decrypt"], "reason": "no_condition"},
                ],
                "principals": ["arn:aws:iam::111122223333:root", "*"],
                "principal_count": 2,
            })
        );
        assert_eq!(policy(&document, &placed()).unwrap_err().reason, Reason::MissingField);
    }

    #[test]
    fn a_policy_that_is_cut_off_is_told_as_unreadable() {
        let document = json!({"Policy": "{\"Statement\": [", "PolicyName": "default"});
        let row = policy(&document, &hinted(ARN)).unwrap().keys.remove(0);
        assert_eq!(row.access.as_deref(), Some("unreadable"));
        assert_eq!(row.details["policy_unreadable"], "truncated");
    }

    #[test]
    fn an_alias_is_a_row_of_the_key_that_it_points_to() {
        let document = json!({"Aliases": [
            {"AliasName": "alias/payments", "TargetKeyId": ID, "LastUpdatedDate": 1_704_164_645,
             "AliasArn": "arn:aws:kms:eu-west-1:111122223333:alias/payments"},
            {"AliasName": "alias/aws/ebs",
             "AliasArn": "arn:aws:kms:eu-west-1:111122223333:alias/aws/ebs"},
        ]});
        let other = InventoryContext { region: Some("us-east-1".to_owned()), ..nowhere() };
        let inventory = aliases(&document, &other).unwrap();
        assert_eq!(inventory.keys.len(), 1);
        assert_eq!(inventory.keys[0].key_id, ARN);
        assert_eq!(inventory.keys[0].key_alias.as_deref(), Some("alias/payments"));
        assert_eq!(inventory.keys[0].details["alias_updated_at"], "2024-01-02T03:04:05Z");
        let bare = json!({"Aliases": [{"AliasName": "alias/a", "TargetKeyId": ID}]});
        assert_eq!(aliases(&bare, &nowhere()).unwrap_err().reason, Reason::MissingField);
    }

    #[test]
    fn listed_keys_are_known_to_exist_and_no_more() {
        let document = json!({"Keys": [{"KeyId": ID, "KeyArn": ARN}]});
        let rows = listed(&document, &nowhere()).unwrap().keys;
        assert_eq!(rows, [KeyArn::parse(ARN).unwrap().row()]);
        assert!(listed(&json!({"Keys": [{}]}), &nowhere()).is_err());
    }
}
