//! What is said of a vault or Managed HSM and of its keys alike in logs and inventory.

use serde_json::Value;

use super::record::{member, small, text};
use super::resource::Holder;
use crate::event::Protection;

/// Properties of a vault or Managed HSM that rules need, and their names in the details.
const SETTINGS: &[(&str, &str)] = &[
    ("enableSoftDelete", "enable_soft_delete"),
    ("softDeleteRetentionInDays", "soft_delete_retention_in_days"),
    ("enablePurgeProtection", "enable_purge_protection"),
    ("enableRbacAuthorization", "enable_rbac_authorization"),
    ("publicNetworkAccess", "public_network_access"),
];

/// The settings of a vault that `find` knows, under their names in the details; with
/// `network_acls_default_action`, and `public_network` where it can be told.
pub(super) fn settings(find: impl Fn(&str) -> Option<Value>) -> Vec<(&'static str, Value)> {
    let mut found: Vec<(&'static str, Value)> = SETTINGS
        .iter()
        .filter_map(|(name, detail)| Some((*detail, find(name).as_ref().and_then(small)?)))
        .collect();
    let networks = find("networkAcls");
    let default = networks.as_ref().and_then(|acls| member(acls, "defaultAction")).and_then(text);
    let access = find("publicNetworkAccess");
    let public = public_network(access.as_ref().and_then(text), default);
    found.extend(default.map(|action| ("network_acls_default_action", Value::from(action))));
    found.extend(public.map(|public| ("public_network", Value::from(public))));
    found
}

/// Whether the vault answers to the whole internet: public access is on and the firewall lets in
/// by default. A vault without firewall has no default action, and lets in.
fn public_network(access: Option<&str>, default_action: Option<&str>) -> Option<bool> {
    let is =
        |held: Option<&str>, word: &str| held.is_some_and(|held| held.eq_ignore_ascii_case(word));
    if is(access, "Disabled") || is(default_action, "Deny") {
        Some(false)
    } else if is(access, "Enabled") {
        Some(true)
    } else {
        None
    }
}

/// Where a key of this type is kept: key types of HSMs end in `-HSM` ("About keys"); a Managed
/// HSM holds no others.
pub(super) fn protection(kind: Option<&str>, holder: Holder) -> Option<Protection> {
    if holder.is_hsm() {
        return Some(Protection::Hsm);
    }
    let kind = kind?.to_ascii_uppercase();
    Some(if kind.ends_with("-HSM") { Protection::Hsm } else { Protection::Software })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_vault_is_public_only_where_access_and_firewall_both_let_in() {
        let cases = [
            (Some("Enabled"), None, Some(true)),
            (Some("enabled"), Some("Allow"), Some(true)),
            (Some("Enabled"), Some("Deny"), Some(false)),
            (Some("Disabled"), Some("Allow"), Some(false)),
            (None, Some("Deny"), Some(false)),
            (None, Some("Allow"), None),
            (None, None, None),
        ];
        for (access, action, expected) in cases {
            assert_eq!(public_network(access, action), expected, "{access:?} {action:?}");
        }
    }

    #[test]
    fn settings_of_the_wrong_type_are_left_out() {
        let held =
            json!({"enableSoftDelete": [1], "networkAcls": 7, "enablePurgeProtection": true});
        let found = settings(|name| held.get(name).cloned());
        assert_eq!(found, [("enable_purge_protection", Value::Bool(true))]);
    }

    #[test]
    fn the_type_of_a_key_tells_where_it_is_kept() {
        assert_eq!(protection(Some("EC-HSM"), Holder::Vault), Some(Protection::Hsm));
        assert_eq!(protection(Some("RSA"), Holder::Vault), Some(Protection::Software));
        assert_eq!(protection(None, Holder::Vault), None);
        assert_eq!(protection(None, Holder::ManagedHsm), Some(Protection::Hsm));
    }
}
