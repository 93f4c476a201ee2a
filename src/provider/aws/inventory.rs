//! Inventory documents of the aws command-line tool: keys, their rotations, aliases and policies,
//! trails and log groups, CloudHSM clusters.
//!
//! A document is told by its own members, never by its file's name, and only where no other
//! service writes the same shape. A key is always named by its regional ARN: an id alone is
//! completed from `--account` and `--region`, or the document is rejected. Dates that cannot be
//! read are absent. `PreCoPassword` of a cluster is never kept.

mod clusters;
mod grants;
mod identity;
mod keys;
mod kind;
mod logs;
mod selectors;
mod stores;

use serde_json::Value;

use super::super::Reject;
use super::super::inventory::{Inventory, InventoryContext, InventoryKind};

pub use identity::key_hint_from_path;

/// Tells which inventory document `value` is; `None` when it is none, or has a wrapper.
pub fn detect(value: &Value) -> Option<InventoryKind> {
    kind::detect(value)
}

/// Reads one inventory document. A kind that is not of AWS has no rows here.
///
/// # Errors
/// When it lacks what identifies its subject: the key of a policy, the account and region of a
/// key id.
pub fn read(
    kind: InventoryKind,
    value: &Value,
    context: &InventoryContext,
) -> Result<Inventory, Reject> {
    match kind {
        InventoryKind::AwsDescribeKey => keys::described(value, context),
        InventoryKind::AwsListKeyRotations => keys::rotations(value, context),
        InventoryKind::AwsKeyRotationStatus => keys::rotation_status(value, context),
        InventoryKind::AwsKeyPolicy => keys::policy(value, context),
        InventoryKind::AwsListAliases => keys::aliases(value, context),
        InventoryKind::AwsListKeys => keys::listed(value, context),
        InventoryKind::AwsEventSelectors => selectors::read(value),
        InventoryKind::AwsTrails => logs::trails(value),
        InventoryKind::AwsLogGroups => logs::groups(value, context),
        InventoryKind::AwsListGrants => grants::read(value, context),
        InventoryKind::AwsCustomKeyStores => stores::key_stores(value, context),
        InventoryKind::AwsBackups => stores::backups(value, context),
        InventoryKind::AwsDescribeClusters => clusters::read(value, context),
        _ => Ok(Inventory::default()),
    }
}

/// Adds a fact to a row's details unless it is absent.
fn detail(
    details: &mut serde_json::Map<String, Value>,
    name: &str,
    fact: Option<impl Into<Value>>,
) {
    if let Some(fact) = fact {
        details.insert(name.to_owned(), fact.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KINDS: &[InventoryKind] = &[
        InventoryKind::AwsDescribeKey,
        InventoryKind::AwsListKeyRotations,
        InventoryKind::AwsKeyRotationStatus,
        InventoryKind::AwsKeyPolicy,
        InventoryKind::AwsListAliases,
        InventoryKind::AwsListKeys,
        InventoryKind::AwsEventSelectors,
        InventoryKind::AwsTrails,
        InventoryKind::AwsLogGroups,
        InventoryKind::AwsListGrants,
        InventoryKind::AwsCustomKeyStores,
        InventoryKind::AwsBackups,
        InventoryKind::AwsDescribeClusters,
    ];

    #[test]
    fn a_document_of_another_cloud_has_no_rows_here() {
        let read = read(InventoryKind::GcpKey, &json!({}), &InventoryContext::default());
        assert_eq!(read, Ok(Inventory::default()));
    }

    /// Names that the readers look for, so that arbitrary documents reach into them.
    const NAMES: &[&str] = &[
        "KeyMetadata",
        "KeyId",
        "Arn",
        "KeyState",
        "Rotations",
        "RotationDate",
        "KeyMaterialId",
        "KeyRotationEnabled",
        "Policy",
        "PolicyName",
        "Aliases",
        "AliasName",
        "AliasArn",
        "TargetKeyId",
        "Keys",
        "KeyArn",
        "TrailARN",
        "EventSelectors",
        "AdvancedEventSelectors",
        "FieldSelectors",
        "Field",
        "Equals",
        "trailList",
        "logGroups",
        "logGroupName",
        "Clusters",
        "ClusterId",
        "Hsms",
        "HsmId",
        "PreCoPassword",
        "BackupRetentionPolicy",
        "Value",
    ];

    fn any_document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "\\PC{0,12}".prop_map(Value::from),
            Just(json!("arn:aws:kms:eu-west-1:111122223333:key/k")),
            Just(json!("arn:aws:cloudtrail:eu-west-1:111122223333:trail/t")),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        let name = prop::sample::select(NAMES).prop_map(str::to_owned);
        leaf.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_document_makes_a_reader_panic(value in any_document(), hint in "\\PC{0,40}") {
            detect(&value);
            for context in [
                InventoryContext::default(),
                InventoryContext {
                    account: Some("111122223333".to_owned()),
                    region: Some("eu-west-1".to_owned()),
                    key_hint: Some(hint),
                },
            ] {
                for kind in KINDS {
                    // Rows or a reason: both are fine, as long as it is one of them.
                    let _read = read(*kind, &value, &context);
                }
            }
        }
    }
}
