//! Custom key stores and backups of clusters (AWS KMS API Reference, `DescribeCustomKeyStores`; AWS
//! CloudHSM API Reference, `DescribeBackups`, `GetResourcePolicy`).

use serde_json::{Map, Value};

use crate::event::Provider;

use super::super::super::inventory::{HsmRow, Inventory, InventoryContext};
use super::super::super::{Json as _, Reject};
use super::super::dates;
use super::detail;

/// `describe-custom-key-stores`.
pub(super) fn key_stores(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    const TEXTS: &[(&str, &[&str])] = &[
        ("name", &["CustomKeyStoreName"]),
        ("connection_error", &["ConnectionErrorCode"]),
        ("xks_connectivity", &["XksProxyConfiguration", "Connectivity"]),
        ("xks_endpoint", &["XksProxyConfiguration", "UriEndpoint"]),
    ];
    let mut hsms = Vec::new();
    for store in value.items(&["CustomKeyStores"]) {
        let id = store.text(&["CustomKeyStoreId"]);
        let id = id.ok_or_else(|| Reject::missing("CustomKeyStoreId"))?;
        let mut row = row(id, "key_store", context);
        row.cluster_id = store.string(&["CloudHsmClusterId"]);
        row.state = store.text(&["ConnectionState"]).map(str::to_lowercase);
        row.hsm_type = store.string(&["CustomKeyStoreType"]);
        row.created_at = store.at(&["CreationDate"]).and_then(dates::api_time);
        for (name, path) in TEXTS {
            detail(&mut row.details, name, store.text(path));
        }
        hsms.push(row);
    }
    Ok(Inventory { hsms, ..Inventory::default() })
}

/// `describe-backups`; the pollers put the backup's resource policy beside it.
pub(super) fn backups(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    const TEXTS: &[(&str, &str)] = &[
        ("source_region", "SourceRegion"),
        ("source_backup", "SourceBackup"),
        ("source_cluster", "SourceCluster"),
    ];
    let mut hsms = Vec::new();
    for backup in value.items(&["Backups"]) {
        let id = backup.text(&["BackupId"]).ok_or_else(|| Reject::missing("BackupId"))?;
        let mut row = row(id, "backup", context);
        row.cluster_id = backup.string(&["ClusterId"]);
        row.state = backup.text(&["BackupState"]).map(str::to_lowercase);
        row.hsm_type = backup.string(&["HsmType"]);
        row.mode = backup.string(&["Mode"]);
        row.created_at = backup.at(&["CreateTimestamp"]).and_then(dates::api_time);
        detail(&mut row.details, "never_expires", backup.flag(&["NeverExpires"]));
        let deleted = backup.at(&["DeleteTimestamp"]).and_then(dates::api_time);
        detail(&mut row.details, "deletion_at", deleted.map(|time| time.to_string()));
        for (name, member) in TEXTS {
            detail(&mut row.details, name, backup.text(&[member]));
        }
        detail(&mut row.details, "shared", backup.text(&["Policy"]).map(|_| true));
        hsms.push(row);
    }
    Ok(Inventory { hsms, ..Inventory::default() })
}

fn row(id: &str, kind: &str, context: &InventoryContext) -> HsmRow {
    HsmRow {
        provider: Provider::Aws,
        account: context.account.clone(),
        region: context.region.clone(),
        hsm_id: id.to_owned(),
        cluster_id: None,
        kind: kind.to_owned(),
        state: None,
        hsm_type: None,
        mode: None,
        created_at: None,
        details: Map::new(),
    }
}
