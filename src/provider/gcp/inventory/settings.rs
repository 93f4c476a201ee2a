//! What is audited, and how long it is kept: audit configurations and log buckets.
//!
//! Who is exempted from auditing counts as much as what is audited: the union of all levels applies,
//! exemptions included ("`AuditConfig`" in the IAM API reference).

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::super::inventory::{Inventory, InventoryContext, LogSettingRow};
use super::super::super::{Json as _, Reject};
use super::super::proto;
use super::super::resource::{self, ResourceName};
use crate::event::Provider;

/// The types of entries that make up the use of keys.
const NEEDED: &[&str] = &["ADMIN_READ", "DATA_READ"];

/// Longer lists are cut in `details`.
const LONGEST_LIST: usize = 50;

/// What policies say about the auditing of Cloud KMS.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Auditing {
    /// `ADMIN_READ`, `DATA_READ`, …
    log_types: BTreeSet<String>,
    /// Who is exempted from any of it.
    exempted: BTreeSet<String>,
}

impl Auditing {
    /// Adds what a policy says.
    pub(in super::super) fn add(&mut self, policy: &Value) {
        for config in proto::items(policy, &["auditConfigs"]) {
            let service = config.text(&["service"]).unwrap_or_default();
            if !matches!(service, "allServices" | "cloudkms.googleapis.com") {
                continue;
            }
            for log in proto::items(config, &["auditLogConfigs"]) {
                self.log_types.extend(proto::text(log, &["logType"]).map(str::to_owned));
                let exempted = proto::items(log, &["exemptedMembers"]);
                self.exempted.extend(exempted.iter().filter_map(Value::as_str).map(str::to_owned));
            }
        }
    }

    /// Why not every use of a key is logged; `None` where it is.
    pub(in super::super) fn lack(&self) -> Option<String> {
        let missing: Vec<&str> =
            NEEDED.iter().copied().filter(|name| !self.log_types.contains(*name)).collect();
        if !missing.is_empty() {
            return Some(format!("{} is not logged for Cloud KMS", missing.join(" and ")));
        }
        let some: Vec<String> =
            self.exempted.iter().take(3).map(|member| member.escape_debug().to_string()).collect();
        (!some.is_empty()).then(|| {
            let count = self.exempted.len();
            format!("{count} members are exempted from it, such as {}", some.join(", "))
        })
    }
}

/// Reads the policy of a project for what it audits: `gcloud projects get-iam-policy`. The member
/// `unreadLevels`, where there is one, names what is above the project and could not be read.
///
/// # Errors
/// When the project is not told.
pub(super) fn audit_config(value: &Value, context: &InventoryContext) -> Result<Inventory, Reject> {
    let project = context.account.as_deref().ok_or_else(|| Reject::missing("account"))?;
    let mut auditing = Auditing::default();
    auditing.add(value);
    let unread = value.items(&["unreadLevels"]);
    // A level that was not read may log more, or exempt somebody.
    let logs_keys = match (auditing.lack(), unread.is_empty()) {
        (None, true) => Some(true),
        (Some(_), true) => Some(false),
        (Some(_), false) if !auditing.exempted.is_empty() => Some(false),
        (_, false) => None,
    };
    let resource = format!("projects/{project}");
    let mut row = LogSettingRow {
        provider: Provider::Gcp,
        account: Some(project.to_owned()),
        region: Some("*".to_owned()),
        setting_id: format!("{resource}/auditConfigs"),
        kind: "audit_config".to_owned(),
        resource_id: Some(resource),
        logs_keys,
        retention_days: None,
        details: serde_json::Map::new(),
    };
    let list = |items: &BTreeSet<String>| -> Value {
        items.iter().take(LONGEST_LIST).cloned().collect::<Vec<_>>().into()
    };
    row.details.insert("log_types".to_owned(), list(&auditing.log_types));
    row.details.insert("exempted_members".to_owned(), list(&auditing.exempted));
    row.details.insert("exempted_count".to_owned(), auditing.exempted.len().into());
    if !unread.is_empty() {
        let unread: Vec<Value> = unread.iter().take(LONGEST_LIST).cloned().collect();
        row.details.insert("unread_levels".to_owned(), unread.into());
    }
    Ok(Inventory { log_settings: vec![row], ..Inventory::default() })
}

/// Reads one item of `gcloud logging buckets list --format json`.
///
/// # Errors
/// When it is not named as a bucket.
pub(super) fn log_bucket(value: &Value) -> Result<Inventory, Reject> {
    let name = value.text(&["name"]).ok_or_else(|| Reject::missing("name"))?;
    let parsed = ResourceName::parse(name);
    let id = parsed.through(resource::LOG_BUCKET).ok_or_else(|| super::bad_name(name))?;
    let mut row = LogSettingRow {
        provider: Provider::Gcp,
        account: parsed.id("projects").map(str::to_owned),
        region: parsed.id("locations").map(str::to_owned),
        setting_id: id,
        kind: "log_bucket".to_owned(),
        resource_id: None,
        logs_keys: None,
        retention_days: value.integer(&["retentionDays"]),
        details: serde_json::Map::new(),
    };
    for (detail, path) in [
        ("locked", &["locked"][..]),
        ("lifecycle_state", &["lifecycleState"]),
        ("kms_key_name", &["cmekSettings", "kmsKeyName"]),
    ] {
        if let Some(fact) = value.at(path).filter(|fact| !fact.is_object() && !fact.is_array()) {
            row.details.insert(detail.to_owned(), fact.clone());
        }
    }
    Ok(Inventory { log_settings: vec![row], ..Inventory::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn auditing_is_the_union_of_all_levels_and_exemptions_count() {
        let mut auditing = Auditing::default();
        auditing.add(&json!({"auditConfigs": [
            {"service": "storage.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]},
            {"service": "cloudkms.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]},
        ]}));
        assert!(auditing.lack().unwrap().contains("ADMIN_READ"));
        auditing.add(&json!({"auditConfigs": [
            {"service": "allServices", "auditLogConfigs": [{"logType": "ADMIN_READ"}]},
        ]}));
        assert_eq!(auditing.lack(), None);
        auditing.add(&json!({"auditConfigs": [{"service": "allServices", "auditLogConfigs": [
            {"logType": "DATA_READ", "exemptedMembers": ["user:eve@example.com"]},
        ]}]}));
        assert!(auditing.lack().unwrap().contains("user:eve@example.com"));
    }

    #[test]
    fn what_is_not_read_above_a_project_leaves_open_what_it_logs() {
        let context =
            InventoryContext { account: Some("p".to_owned()), ..InventoryContext::default() };
        let all = json!([{"service": "allServices",
            "auditLogConfigs": [{"logType": "ADMIN_READ"}, {"logType": "DATA_READ"}]}]);
        let logs = |value: Value| {
            let rows = audit_config(&value, &context).unwrap();
            (rows.log_settings[0].logs_keys, rows.log_settings[0].setting_id.clone())
        };
        let id = "projects/p/auditConfigs".to_owned();
        assert_eq!(logs(json!({"auditConfigs": all})), (Some(true), id.clone()));
        assert_eq!(logs(json!({"etag": "x"})), (Some(false), id.clone()));
        let unread = json!({"auditConfigs": all, "unreadLevels": ["organizations/1"]});
        assert_eq!(logs(unread), (None, id));
        assert!(audit_config(&json!({}), &InventoryContext::default()).is_err());
    }

    #[test]
    fn a_bucket_tells_its_retention() {
        let rows = log_bucket(&json!({
            "name": "projects/p/locations/global/buckets/_Default", "retentionDays": 30,
            "lifecycleState": "ACTIVE",
        }))
        .unwrap();
        let row = &rows.log_settings[0];
        assert_eq!((row.kind.as_str(), row.retention_days), ("log_bucket", Some(30)));
        assert_eq!(row.account.as_deref(), Some("p"));
        assert!(log_bucket(&json!({"name": "x"})).is_err());
    }
}
