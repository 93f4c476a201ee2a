//! CloudHSM clusters and their HSMs (AWS CloudHSM API Reference, `DescribeClusters`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::event::Provider;

use super::super::super::inventory::{HsmRow, Inventory, InventoryContext};
use super::super::super::{Json as _, Reject};
use super::super::dates;
use super::detail;

/// Facts that are copied as they are. `PreCoPassword` and `Certificates` are not among them: the
/// first is a secret, of which only its presence counts, the second tell nothing about state.
const CLUSTER_TEXTS: &[(&str, &[&str])] = &[
    ("backup_policy", &["BackupPolicy"]),
    ("network_type", &["NetworkType"]),
    ("source_backup_id", &["SourceBackupId"]),
    ("vpc_id", &["VpcId"]),
    ("security_group", &["SecurityGroup"]),
    ("state_message", &["StateMessage"]),
];

const HSM_TEXTS: &[(&str, &[&str])] = &[
    ("availability_zone", &["AvailabilityZone"]),
    ("subnet_id", &["SubnetId"]),
    ("eni_id", &["EniId"]),
    ("state_message", &["StateMessage"]),
];

/// `describe-clusters`.
pub(super) fn read(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let mut hsms = Vec::new();
    for cluster in value.items(&["Clusters"]) {
        let id = cluster.text(&["ClusterId"]).ok_or_else(|| Reject::missing("ClusterId"))?;
        hsms.push(cluster_row(cluster, id, context));
        for hsm in cluster.items(&["Hsms"]) {
            hsms.push(hsm_row(hsm, cluster, id, context)?);
        }
    }
    Ok(Inventory { hsms, ..Inventory::default() })
}

fn cluster_row(cluster: &Value, id: &str, context: &InventoryContext) -> HsmRow {
    let mut details = Map::new();
    for (name, path) in CLUSTER_TEXTS {
        detail(&mut details, name, cluster.text(path));
    }
    detail(&mut details, "backup_retention_days", backup_retention(cluster));
    // The first crypto officer's password is given out until the cluster is activated with it.
    let inactive = cluster.at(&["PreCoPassword"]).is_some();
    detail(&mut details, "activated", inactive.then_some(false));
    let rollback = cluster.at(&["HsmTypeRollbackExpiration"]).and_then(dates::api_time);
    detail(&mut details, "hsm_type_rollback_until", rollback.map(|date| date.to_string()));
    let hsms = cluster.items(&["Hsms"]);
    let active: Vec<&Value> =
        hsms.iter().filter(|hsm| hsm.text(&["State"]) == Some("ACTIVE")).collect();
    let zones: BTreeSet<&str> =
        active.iter().filter_map(|hsm| hsm.text(&["AvailabilityZone"])).collect();
    detail(&mut details, "hsm_count", Some(hsms.len()));
    detail(&mut details, "active_hsm_count", Some(active.len()));
    detail(&mut details, "active_zones", Some(zones.into_iter().collect::<Vec<_>>()));
    HsmRow { details, ..row(id, id, "cluster", cluster, context) }
}

fn hsm_row(
    hsm: &Value,
    cluster: &Value,
    cluster_id: &str,
    context: &InventoryContext,
) -> Result<HsmRow, Reject> {
    let id = hsm.text(&["HsmId"]).ok_or_else(|| Reject::missing("HsmId"))?;
    let mut details = Map::new();
    for (name, path) in HSM_TEXTS {
        detail(&mut details, name, hsm.text(path));
    }
    let row = row(id, cluster_id, "hsm", hsm, context);
    Ok(HsmRow {
        hsm_type: row.hsm_type.or_else(|| cluster.string(&["HsmType"])),
        mode: cluster.string(&["Mode"]),
        details,
        ..row
    })
}

fn row(id: &str, cluster: &str, kind: &str, item: &Value, context: &InventoryContext) -> HsmRow {
    HsmRow {
        provider: Provider::Aws,
        account: context.account.clone(),
        region: context.region.clone(),
        hsm_id: id.to_owned(),
        cluster_id: Some(cluster.to_owned()),
        kind: kind.to_owned(),
        state: item.text(&["State"]).map(str::to_lowercase),
        hsm_type: item.string(&["HsmType"]),
        mode: item.string(&["Mode"]),
        created_at: item.at(&["CreateTimestamp"]).and_then(dates::api_time),
        details: Map::new(),
    }
}

/// `BackupRetentionPolicy` counts in days, the only unit that there is.
fn backup_retention(cluster: &Value) -> Option<i64> {
    let policy = cluster.at(&["BackupRetentionPolicy"])?;
    let in_days = policy.text(&["Type"]).is_none_or(|unit| unit == "DAYS");
    policy.integer(&["Value"]).filter(|_| in_days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context() -> InventoryContext {
        InventoryContext {
            account: Some("111122223333".to_owned()),
            region: Some("eu-west-1".to_owned()),
            key_hint: None,
        }
    }

    fn cluster() -> Value {
        json!({"Clusters": [{
            "ClusterId": "cluster-a1b2c3d4e5f", "State": "ACTIVE", "HsmType": "hsm2m.medium",
            "Mode": "FIPS", "BackupPolicy": "DEFAULT", "CreateTimestamp": 1_704_164_645.123,
            "BackupRetentionPolicy": {"Type": "DAYS", "Value": "90"}, "VpcId": "vpc-1",
            "Certificates": {"ClusterCertificate": "-----BEGIN"},
            "Hsms": [
                {"HsmId": "hsm-aaaaaaaaaaa", "State": "ACTIVE", "AvailabilityZone": "eu-west-1a",
                 "SubnetId": "subnet-1", "EniId": "eni-1", "EniIp": "10.0.0.7"},
                {"HsmId": "hsm-bbbbbbbbbbb", "State": "DEGRADED", "AvailabilityZone": "eu-west-1b",
                 "HsmType": "hsm1.medium"},
            ],
        }]})
    }

    #[test]
    fn a_cluster_is_a_row_and_so_is_each_of_its_hsms() {
        let rows = read(&cluster(), &context()).unwrap().hsms;
        let [cluster, first, second] = rows.as_slice() else { panic!() };
        assert_eq!(
            (cluster.kind.as_str(), cluster.hsm_id.as_str()),
            ("cluster", "cluster-a1b2c3d4e5f")
        );
        assert_eq!(cluster.cluster_id.as_deref(), Some("cluster-a1b2c3d4e5f"));
        assert_eq!(cluster.account.as_deref(), Some("111122223333"));
        assert_eq!(cluster.state.as_deref(), Some("active"));
        assert_eq!(cluster.mode.as_deref(), Some("FIPS"));
        assert_eq!(cluster.created_at, Some("2024-01-02T03:04:05.123Z".parse().unwrap()));
        assert_eq!(
            Value::Object(cluster.details.clone()),
            json!({
                "backup_policy": "DEFAULT", "backup_retention_days": 90, "vpc_id": "vpc-1",
                "hsm_count": 2, "active_hsm_count": 1, "active_zones": ["eu-west-1a"],
            })
        );
        assert_eq!((first.kind.as_str(), first.hsm_id.as_str()), ("hsm", "hsm-aaaaaaaaaaa"));
        assert_eq!(first.cluster_id.as_deref(), Some("cluster-a1b2c3d4e5f"));
        assert_eq!(first.hsm_type.as_deref(), Some("hsm2m.medium"));
        assert_eq!(first.mode.as_deref(), Some("FIPS"));
        assert_eq!(first.details["availability_zone"], "eu-west-1a");
        assert_eq!(second.state.as_deref(), Some("degraded"));
        assert_eq!(second.hsm_type.as_deref(), Some("hsm1.medium"));
    }

    #[test]
    fn the_first_officers_password_leaves_only_that_the_cluster_is_not_activated() {
        for secret in [json!("pre-secret-1"), json!({"Value": "pre-secret-1"}), json!("")] {
            let document = json!({"Clusters": [{"ClusterId": "cluster-a", "State": "INITIALIZED",
                "PreCoPassword": secret, "HsmType": "hsm1.medium"}]});
            let inventory = read(&document, &InventoryContext::default()).unwrap();
            assert_eq!(inventory.hsms[0].details["activated"], false);
            assert!(!format!("{inventory:?}").contains("pre-secret-1"));
            assert!(!inventory.hsms[0].details.keys().any(|name| name.contains("assword")));
        }
    }

    #[test]
    fn retention_counts_only_in_days_and_odd_members_are_absent() {
        for (policy, days) in [
            (json!({"Type": "DAYS", "Value": "379"}), json!(379)),
            (json!({"Value": 7}), json!(7)),
            (json!({"Type": "WEEKS", "Value": "7"}), json!(null)),
            (json!({"Type": "DAYS", "Value": "many"}), json!(null)),
            (json!("90"), json!(null)),
        ] {
            let document =
                json!({"Clusters": [{"ClusterId": "c", "BackupRetentionPolicy": policy}]});
            let rows = read(&document, &InventoryContext::default()).unwrap().hsms;
            let found = rows[0].details.get("backup_retention_days").cloned().unwrap_or_default();
            assert_eq!(found, days, "{policy}");
        }
    }

    #[test]
    fn a_cluster_or_hsm_without_id_is_rejected() {
        for document in [
            json!({"Clusters": [{"State": "ACTIVE"}]}),
            json!({"Clusters": [{"ClusterId": "c", "Hsms": [{"State": "ACTIVE"}]}]}),
        ] {
            assert!(read(&document, &InventoryContext::default()).is_err(), "{document}");
        }
    }
}
