//! Tells the inventory documents apart, and from those of other services that use the same member
//! names (`Clusters` of Redshift, `Aliases` of Lambda, `Keys` of Payment Cryptography, `Policy` of
//! S3).

use serde_json::{Map, Value};

use super::super::super::Json as _;
use super::super::super::inventory::InventoryKind;

type Test = fn(&Map<String, Value>, &Value) -> bool;

const KINDS: &[(InventoryKind, Test)] = &[
    (InventoryKind::AwsDescribeKey, |_, document| is_key_metadata(document)),
    (InventoryKind::AwsListKeyRotations, |members, _| is_list(members, "Rotations", is_rotation)),
    (InventoryKind::AwsKeyRotationStatus, |members, _| {
        members.get("KeyRotationEnabled").is_some_and(Value::is_boolean)
    }),
    (InventoryKind::AwsListAliases, |members, _| is_list(members, "Aliases", is_alias)),
    (InventoryKind::AwsListKeys, |members, _| is_list(members, "Keys", is_listed_key)),
    (InventoryKind::AwsEventSelectors, |_, document| is_selectors(document)),
    (InventoryKind::AwsTrails, |members, document| {
        is_list(members, "trailList", is_trail) || document.at(&["Trail"]).is_some_and(is_trail)
    }),
    (InventoryKind::AwsLogGroups, |members, _| is_list(members, "logGroups", is_log_group)),
    (InventoryKind::AwsDescribeClusters, |members, _| is_list(members, "Clusters", is_cluster)),
    (InventoryKind::AwsListGrants, |members, _| is_list(members, "Grants", is_grant)),
    (InventoryKind::AwsCustomKeyStores, |members, _| {
        is_list(members, "CustomKeyStores", |item| item.text(&["CustomKeyStoreId"]).is_some())
    }),
    (InventoryKind::AwsBackups, |members, _| is_list(members, "Backups", is_backup)),
    (InventoryKind::AwsKeyPolicy, is_key_policy),
];

/// Members that any answer may have beside its content.
const PAGING: &[&str] = &["Truncated", "NextMarker", "NextToken", "nextToken", "ResponseMetadata"];

pub(super) fn detect(document: &Value) -> Option<InventoryKind> {
    let members = document.as_object()?;
    let (kind, _) = KINDS.iter().find(|(_, test)| test(members, document))?;
    Some(*kind)
}

/// A list of items that each pass the test. An empty one must stand alone: it says nothing, but
/// its owner should not be told that the file is unknown.
fn is_list(members: &Map<String, Value>, name: &str, test: fn(&Value) -> bool) -> bool {
    match members.get(name).and_then(Value::as_array).map(Vec::as_slice) {
        None => false,
        Some([]) => has_only(members, name),
        Some(items) => items.iter().all(test),
    }
}

fn has_only(members: &Map<String, Value>, name: &str) -> bool {
    members.keys().all(|member| member == name || PAGING.contains(&member.as_str()))
}

fn is_arn_of(service: &str, arn: &str) -> bool {
    let mut parts = arn.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some(service)
}

fn has_arn_of(service: &str, value: &Value, name: &str) -> bool {
    value.text(&[name]).is_some_and(|arn| is_arn_of(service, arn))
}

fn is_key_metadata(document: &Value) -> bool {
    let Some(metadata) = document.at(&["KeyMetadata"]) else { return false };
    match metadata.text(&["Arn"]) {
        Some(arn) => is_arn_of("kms", arn),
        None => metadata.text(&["KeyId"]).is_some(),
    }
}

/// `ssm-contacts` lists `Rotations` too, which have a `RotationArn`.
fn is_rotation(item: &Value) -> bool {
    item.at(&["RotationArn"]).is_none()
        && ["RotationDate", "RotationType", "KeyMaterialId"]
            .iter()
            .any(|name| item.at(&[name]).is_some())
}

fn is_alias(item: &Value) -> bool {
    item.text(&["AliasName"]).is_some_and(|name| name.starts_with("alias/"))
        && item.text(&["AliasArn"]).is_none_or(|arn| is_arn_of("kms", arn))
}

fn is_listed_key(item: &Value) -> bool {
    item.text(&["KeyId"]).is_some() && has_arn_of("kms", item, "KeyArn")
}

fn is_trail(item: &Value) -> bool {
    has_arn_of("cloudtrail", item, "TrailARN")
}

fn is_selectors(document: &Value) -> bool {
    is_trail(document)
        && ["EventSelectors", "AdvancedEventSelectors"]
            .iter()
            .any(|name| document.at(&[name]).is_some_and(Value::is_array))
}

fn is_log_group(item: &Value) -> bool {
    item.text(&["logGroupName"]).is_some()
        && item.text(&["arn"]).is_none_or(|arn| is_arn_of("logs", arn))
}

/// License Manager lists `Grants` too, which have a `GrantArn`; those of S3 have a `Permission`.
fn is_grant(item: &Value) -> bool {
    item.text(&["GrantId"]).is_some() && item.at(&["Operations"]).is_some_and(Value::is_array)
}

/// The backups of `FSx`, `DynamoDB` and others have no `BackupState` beside a cluster.
fn is_backup(item: &Value) -> bool {
    item.text(&["BackupId"]).is_some_and(|id| id.starts_with("backup-"))
        && item.text(&["BackupState"]).is_some()
}

/// Redshift has `ClusterIdentifier`, EMR `Id`, `MemoryDB` has `Name`, ECS `clusterArn`.
fn is_cluster(item: &Value) -> bool {
    item.text(&["ClusterId"]).is_some()
        && ["HsmType", "Hsms", "PreCoPassword"].iter().any(|name| item.at(&[name]).is_some())
}

/// `PolicyName` came to this answer in 2023. Without it S3's `get-bucket-policy` looks alike, so
/// that the policy itself must speak of KMS, or apply to `*`, which a bucket's cannot.
fn is_key_policy(members: &Map<String, Value>, document: &Value) -> bool {
    let Some(policy) = document.text(&["Policy"]) else { return false };
    let named = members.contains_key("PolicyName");
    members
        .keys()
        .all(|name| name == "Policy" || name == "PolicyName" || PAGING.contains(&name.as_str()))
        && (named || speaks_of_kms(policy))
}

fn speaks_of_kms(policy: &str) -> bool {
    let Ok(parsed) = serde_json::from_str::<Value>(policy) else {
        return policy.contains("\"kms:");
    };
    let statements = match parsed.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => return false,
    };
    let any = |value: Option<&Value>, test: fn(&str) -> bool| match value {
        Some(Value::String(text)) => test(text),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(test),
        _ => false,
    };
    statements.iter().any(|statement| {
        let kms = |text: &str| text.to_ascii_lowercase().starts_with("kms:");
        let everything = |text: &str| text == "*";
        any(statement.get("Action"), kms)
            || any(statement.get("NotAction"), kms)
            || (any(statement.get("Action"), everything)
                && any(statement.get("Resource"), everything))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e";
    const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";

    #[test]
    fn every_known_document_is_told_by_its_members() {
        let policy = r#"{"Statement": {"Effect": "Allow", "Action": ["kms:Decrypt"]}}"#;
        let everything = r#"{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
        for (document, kind) in [
            (json!({"KeyMetadata": {"KeyId": "k", "Arn": ARN}}), InventoryKind::AwsDescribeKey),
            (json!({"KeyMetadata": {"KeyId": "k"}}), InventoryKind::AwsDescribeKey),
            (
                json!({"Rotations": [{"KeyId": ARN, "RotationType": "AUTOMATIC"}]}),
                InventoryKind::AwsListKeyRotations,
            ),
            (json!({"Rotations": [], "Truncated": false}), InventoryKind::AwsListKeyRotations),
            (json!({"KeyRotationEnabled": false}), InventoryKind::AwsKeyRotationStatus),
            (json!({"Policy": "{}", "PolicyName": "default"}), InventoryKind::AwsKeyPolicy),
            (json!({"Policy": policy}), InventoryKind::AwsKeyPolicy),
            (json!({"Policy": everything, "ResponseMetadata": {}}), InventoryKind::AwsKeyPolicy),
            (
                json!({"Policy": r#"{"Statement": [{"Action": "kms:Decr"#}),
                InventoryKind::AwsKeyPolicy,
            ),
            (json!({"Aliases": [{"AliasName": "alias/a"}]}), InventoryKind::AwsListAliases),
            (json!({"Aliases": []}), InventoryKind::AwsListAliases),
            (json!({"Keys": [{"KeyId": "k", "KeyArn": ARN}]}), InventoryKind::AwsListKeys),
            (json!({"TrailARN": TRAIL, "EventSelectors": []}), InventoryKind::AwsEventSelectors),
            (
                json!({"TrailARN": TRAIL, "AdvancedEventSelectors": [{}]}),
                InventoryKind::AwsEventSelectors,
            ),
            (json!({"trailList": [{"TrailARN": TRAIL}]}), InventoryKind::AwsTrails),
            (json!({"Trail": {"TrailARN": TRAIL}}), InventoryKind::AwsTrails),
            (
                json!({"logGroups": [{"logGroupName": "/aws/cloudhsm/cluster-a"}]}),
                InventoryKind::AwsLogGroups,
            ),
            (
                json!({"Clusters": [{"ClusterId": "cluster-a", "HsmType": "hsm2m.medium"}]}),
                InventoryKind::AwsDescribeClusters,
            ),
            (
                json!({"Clusters": [{"ClusterId": "c", "Hsms": []}]}),
                InventoryKind::AwsDescribeClusters,
            ),
        ] {
            assert_eq!(detect(&document), Some(kind), "{document}");
        }
    }

    #[test]
    fn documents_of_other_services_and_wrappers_are_not_claimed() {
        let bucket = r#"{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::b/*"}]}"#;
        for document in [
            json!({"status_code": 200, "data": {"KeyMetadata": {"KeyId": "k", "Arn": ARN}}}),
            json!([{"KeyMetadata": {"KeyId": "k"}}]),
            json!({"KeyMetadata": {"Arn": "arn:aws:payment-cryptography:eu-west-1:1:key/k"}}),
            json!({"KeyMetadata": "k"}),
            json!({"Rotations": [{"RotationArn": "arn:aws:ssm-contacts:…", "RotationType": "x"}]}),
            json!({"Rotations": {}}),
            json!({"Rotations": [], "Contacts": []}),
            json!({"KeyRotationEnabled": "yes"}),
            json!({"Policy": bucket}),
            json!({"Policy": "{}"}),
            json!({"Policy": "{\"Statement\": [{\"Action\": \"s3:Get"}),
            json!({"Policy": {"PolicyName": "x", "Arn": "arn:aws:iam::1:policy/x"}}),
            json!({"Policy": "{}", "PolicyName": "x", "RevisionId": "1"}),
            json!({"Aliases": [{"AliasArn": "arn:aws:lambda:…", "Name": "live"}]}),
            json!({"Aliases": [{"AliasName": "alias/pin", "AliasArn": ARN.replace("kms", "payment-cryptography")}]}),
            json!({"Keys": [{"KeyArn": "arn:aws:payment-cryptography:eu-west-1:1:key/k"}]}),
            json!({"Keys": [{"KeyId": "k", "KeyArn": ARN}, {"Key": "x"}]}),
            json!({"TrailARN": TRAIL}),
            json!({"TrailARN": "arn:aws:s3:::x", "EventSelectors": []}),
            json!({"Clusters": [{"ClusterIdentifier": "redshift-1"}]}),
            json!({"Clusters": [{"Id": "j-1", "Name": "emr"}]}),
            json!({"Records": []}),
            json!({}),
            json!(null),
            json!("KeyMetadata"),
        ] {
            assert_eq!(detect(&document), None, "{document}");
        }
    }
}
