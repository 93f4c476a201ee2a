//! What Resource Manager lists of a subscription: its vaults, Managed HSMs and Cloud HSM clusters, and
//! the diagnostic settings that say where their logs go.

use serde_json::Value;

use super::super::source::SourceError;
use super::activity::is_enabled_audit;
use super::api::{Api, Ask, answered};
use super::record::{member, text};
use super::resource::{Holder, Resource};

/// One list of Resource Manager.
pub(super) struct Listing {
    /// What it lists, for people.
    pub(super) what: &'static str,
    /// What its items are.
    pub(super) holder: Holder,
    path: &'static str,
    permission: &'static str,
}

/// Vaults.
pub(super) const VAULTS: Listing = Listing {
    what: "vaults",
    holder: Holder::Vault,
    path: "Microsoft.KeyVault/vaults?api-version=2023-07-01",
    permission: "Microsoft.KeyVault/vaults/read",
};

/// Managed HSMs.
pub(super) const MANAGED_HSMS: Listing = Listing {
    what: "Managed HSMs",
    holder: Holder::ManagedHsm,
    path: "Microsoft.KeyVault/managedHSMs?api-version=2023-07-01",
    permission: "Microsoft.KeyVault/managedHSMs/read",
};

/// Cloud HSM clusters.
pub(super) const CLUSTERS: Listing = Listing {
    what: "Cloud HSM clusters",
    holder: Holder::CloudHsm,
    path: "Microsoft.HardwareSecurityModules/cloudHsmClusters?api-version=2025-03-31",
    permission: "Microsoft.HardwareSecurityModules/cloudHsmClusters/read",
};

/// Deleted vaults that can be recovered.
pub(super) const DELETED_VAULTS: Listing = Listing {
    what: "deleted vaults",
    holder: Holder::Vault,
    path: "Microsoft.KeyVault/deletedVaults?api-version=2023-07-01",
    permission: "Microsoft.KeyVault/deletedVaults/read",
};

/// Deleted Managed HSMs that can be recovered.
pub(super) const DELETED_HSMS: Listing = Listing {
    what: "deleted Managed HSMs",
    holder: Holder::ManagedHsm,
    path: "Microsoft.KeyVault/deletedManagedHSMs?api-version=2023-07-01",
    permission: "Microsoft.KeyVault/deletedManagedHSMs/read",
};

const SETTINGS: &str = "providers/Microsoft.Insights/diagnosticSettings";

impl Listing {
    /// The list's items in `subscription`. A subscription that never registered the resource
    /// provider has none.
    pub(super) async fn read(
        &self,
        arm: &Api,
        subscription: &str,
    ) -> Result<Vec<Value>, SourceError> {
        let ask = Ask::new(format!("azure:List {} of {subscription}", self.what), self.permission);
        let path = format!("/subscriptions/{subscription}/providers/{}", self.path);
        match arm.list(&ask, &path).await {
            Err(error) if is_unregistered(&error) => Ok(Vec::new()),
            other => other,
        }
    }
}

fn is_unregistered(error: &SourceError) -> bool {
    answered(error).is_some_and(|(status, detail)| {
        matches!(status, 404 | 409) && detail.contains("MissingSubscriptionRegistration")
    })
}

/// The diagnostic settings of a resource, or of a subscription, by its lower-case id.
pub(super) async fn settings(arm: &Api, id: &str) -> Result<Vec<Value>, SourceError> {
    let permission = "Microsoft.Insights/diagnosticSettings/read";
    let ask = Ask::new(format!("azure:DiagnosticSettings of {id}"), permission);
    arm.list(&ask, &format!("{id}/{SETTINGS}?api-version=2021-05-01-preview")).await
}

/// The lower-case id of a resource of `kind` that a document is about, if it may stand in a path.
pub(super) fn holder_id(value: &Value, kind: Holder) -> Option<Resource> {
    let resource = Resource::parse(member(value, "id").and_then(text)?);
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '(' | ')');
    let is_own = resource.holder == Some(kind) && resource.holder_id.as_ref() == Some(&resource.id);
    let is_path = resource.id.starts_with("/subscriptions/")
        && resource.id.chars().all(legal)
        && !resource.id.contains("..");
    (is_own && is_path).then_some(resource)
}

/// Whether a diagnostic setting sends a vault's or HSM's audit events to a workspace, given by its
/// lower-case id.
pub(super) fn sends_audit_to(setting: &Value, workspace: &str) -> bool {
    let part = |name: &str| {
        let nested = member(setting, "properties").and_then(|inner| member(inner, name));
        member(setting, name).or(nested)
    };
    let target = part("workspaceId").and_then(text).map(|id| Resource::parse(id).id);
    let logs = part("logs").and_then(Value::as_array);
    target.as_deref() == Some(workspace)
        && logs.is_some_and(|logs| logs.iter().any(is_enabled_audit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn audit_events_reach_a_workspace_by_category_or_group_in_either_shape() {
        let workspace = "/subscriptions/5a/resourcegroups/r/providers/microsoft.operationalinsights/workspaces/w";
        let to = workspace.to_uppercase();
        let on = json!([{"categoryGroup": "allLogs", "enabled": true}]);
        let off = json!([{"category": "AuditEvent", "enabled": false}]);
        let cases = [
            (json!({"properties": {"workspaceId": to, "logs": on}}), true),
            (json!({"workspaceId": to, "logs": on}), true),
            (json!({"workspaceId": to, "logs": off}), false),
            (json!({"workspaceId": format!("{to}2"), "logs": on}), false),
            (json!({"storageAccountId": to, "logs": on}), false),
            (json!({"workspaceId": to}), false),
        ];
        for (setting, expected) in cases {
            assert_eq!(sends_audit_to(&setting, workspace), expected, "{setting}");
        }
    }

    #[test]
    fn only_ids_of_the_kind_that_may_stand_in_a_path_are_taken() {
        let id = "/subscriptions/5A/resourceGroups/R/providers/Microsoft.KeyVault/vaults/Pay";
        let of = |id: &str| holder_id(&json!({"id": id}), Holder::Vault);
        assert_eq!(of(id).unwrap().id, id.to_ascii_lowercase());
        for odd in [
            format!("{id}/keys/k"),
            format!("{id}?x=1"),
            format!("{id}/../../x"),
            id.replace("vaults", "managedHSMs"),
            "https://evil.example/".to_owned(),
        ] {
            assert_eq!(of(&odd), None, "{odd}");
        }
    }
}
