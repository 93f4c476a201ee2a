//! Names of things in Azure: Resource Manager ids, and the URIs of a vault's keys, secrets and
//! certificates.
//!
//! Azure compares both without regard to case and its own logs write them in any; here they are
//! lower-case throughout.

/// The kinds of Azure resource that hold keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A Key Vault.
    Vault,
    /// A Managed HSM pool.
    ManagedHsm,
    /// A Cloud HSM cluster or a Dedicated HSM.
    CloudHsm,
}

impl Holder {
    /// The service of the events about it.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::Vault => "keyvault",
            Self::ManagedHsm => "managedhsm",
            Self::CloudHsm => "cloudhsm",
        }
    }

    /// Whether it is an HSM of its own, with an `hsm_id`.
    pub(super) const fn is_hsm(self) -> bool {
        matches!(self, Self::ManagedHsm | Self::CloudHsm)
    }
}

/// Resource types that hold keys, as `provider/type`.
const HOLDERS: &[(&str, &str, Holder)] = &[
    ("microsoft.keyvault", "vaults", Holder::Vault),
    ("microsoft.keyvault", "managedhsms", Holder::ManagedHsm),
    ("microsoft.keyvault", "deletedvaults", Holder::Vault),
    ("microsoft.keyvault", "deletedmanagedhsms", Holder::ManagedHsm),
    ("microsoft.hardwaresecuritymodules", "cloudhsmclusters", Holder::CloudHsm),
    ("microsoft.hardwaresecuritymodules", "dedicatedhsms", Holder::CloudHsm),
];

/// A Resource Manager id, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// The whole id, lower-case, without a trailing slash.
    pub(super) id: String,
    /// The subscription, unless it is missing or a placeholder.
    pub(super) subscription: Option<String>,
    /// The vault or HSM that the id names or lies in.
    pub(super) holder: Option<Holder>,
    /// The id of that vault or HSM.
    pub(super) holder_id: Option<String>,
    /// The name of that vault or HSM.
    pub(super) holder_name: Option<String>,
    /// What follows below the vault or HSM.
    pub(super) below: Vec<String>,
    /// The region, where the id names one (`/locations/<region>/`).
    pub(super) location: Option<String>,
}

impl Resource {
    /// Takes an id apart; never fails: what is not there is `None`.
    pub(super) fn parse(text: &str) -> Self {
        let id = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let segments: Vec<String> =
            id.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let after = |name: &str| {
            let at = segments.iter().position(|segment| segment == name)?;
            segments.get(at + 1).cloned()
        };
        let subscription = after("subscriptions").filter(|name| is_real_name(name));
        let location = after("locations");
        let mut resource = Self {
            id,
            subscription,
            holder: None,
            holder_id: None,
            holder_name: None,
            below: Vec::new(),
            location,
        };
        if let Some((holder, name_at)) = find_holder(&segments) {
            resource.holder = Some(holder);
            resource.holder_name = segments.get(name_at).cloned();
            let upto = segments.get(..=name_at).unwrap_or_default();
            resource.holder_id = Some(format!("/{}", upto.join("/")));
            resource.below = segments.get(name_at + 1..).unwrap_or_default().to_vec();
        }
        resource
    }

    /// The scope of an extension resource: what stands before its last `/providers/`. A
    /// diagnostic setting or role assignment of a vault is named so, below the vault's id.
    pub(super) fn extended(&self) -> &str {
        self.id.rsplit_once("/providers/").map_or(&self.id, |(scope, _)| scope)
    }

    /// Whether the id, or the scope that it extends, is a subscription itself.
    pub(super) fn is_subscription(&self) -> bool {
        let scope = self.extended().trim_matches('/');
        scope.split('/').count() == 2 && scope.starts_with("subscriptions/")
    }
}

/// Documentation and masked samples write `<subscription-id>` and the like in place of a name.
fn is_real_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Finds the innermost key holder: its kind, and where its name stands.
fn find_holder(segments: &[String]) -> Option<(Holder, usize)> {
    HOLDERS.iter().find_map(|(provider, kind, holder)| {
        let provider_at = segments.iter().position(|segment| segment == provider)?;
        let rest = segments.get(provider_at + 1..)?;
        let kind_at = match rest.first().map(String::as_str) {
            Some("locations") => 2,
            _ => 0,
        };
        let name_at = provider_at + kind_at + 2;
        (rest.get(kind_at)? == kind && segments.get(name_at).is_some())
            .then_some((*holder, name_at))
    })
}

/// What kind of object a URI of a vault names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    /// A key.
    Key,
    /// A secret.
    Secret,
    /// A certificate, or its issuers and contacts.
    Certificate,
}

/// First path segments: collection, kind, and the collection of the live object.
const COLLECTIONS: &[(&str, ObjectKind, &str)] = &[
    ("keys", ObjectKind::Key, "keys"),
    ("deletedkeys", ObjectKind::Key, "keys"),
    ("secrets", ObjectKind::Secret, "secrets"),
    ("deletedsecrets", ObjectKind::Secret, "secrets"),
    ("certificates", ObjectKind::Certificate, "certificates"),
    ("deletedcertificates", ObjectKind::Certificate, "certificates"),
];

/// Path segments after an object's name that are operations, not versions (Key Vault REST API).
const VERBS: &[&str] = &[
    "attestation",
    "backup",
    "completed",
    "create",
    "decrypt",
    "encrypt",
    "import",
    "pending",
    "policy",
    "recover",
    "release",
    "restore",
    "rotate",
    "rotationpolicy",
    "sign",
    "unwrapkey",
    "verify",
    "versions",
    "wrapkey",
];

/// A URI below a vault's or Managed HSM's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VaultUri {
    /// The host, lower-case, without port.
    pub(super) host: String,
    /// The path's segments, lower-case.
    pub(super) path: Vec<String>,
}

/// A key, secret or certificate that a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VaultObject {
    /// Key, secret or certificate.
    pub(super) kind: ObjectKind,
    /// `https://host/keys/name`: no port, no version, deleted objects under their live name.
    pub(super) id: String,
    /// The version.
    pub(super) version: Option<String>,
}

impl VaultUri {
    /// Takes a URI apart; `None` where it is not an absolute `http(s)` one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"))?;
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // Request URIs sometimes carry an internal port such as `:8443`.
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(legal) {
            return None;
        }
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Some(Self { host: host.to_owned(), path })
    }

    /// What the host serves, told by its second label (`name.vault.azure.net`,
    /// `name.managedhsm.usgovcloudapi.net`, `control-….vaultcore.azure.net`).
    pub(super) fn holder(&self) -> Option<Holder> {
        match self.host.split('.').nth(1)? {
            "vault" | "vaultcore" => Some(Holder::Vault),
            "managedhsm" => Some(Holder::ManagedHsm),
            _ => None,
        }
    }

    /// The object that the path names; `None` for lists and for anything else.
    pub(super) fn object(&self) -> Option<VaultObject> {
        let collection = self.path.first()?;
        let (_, kind, live) = COLLECTIONS.iter().find(|(word, _, _)| word == collection)?;
        let mut name = self.path.get(1)?.clone();
        // `POST /keys/restore` names no key: the backup blob in its body does. The scope of a role
        // of a Managed HSM may be all its keys: `/keys/providers/Microsoft.Authorization/…`.
        if name == "restore" && self.path.len() == 2 || name == "providers" {
            return None;
        }
        let issuer = *kind == ObjectKind::Certificate && name == "issuers";
        let no_version = |part: &str| VERBS.contains(&part) || part == "providers";
        let third = self.path.get(2).filter(|part| !no_version(part));
        if issuer {
            name = third.map_or(name, |issuer| format!("issuers/{issuer}"));
        }
        Some(VaultObject {
            kind: *kind,
            id: format!("https://{}/{live}/{name}", self.host),
            version: third.filter(|_| !issuer).cloned(),
        })
    }

    /// The path as a route: names and versions of keys as `*`, the scope of role operations
    /// dropped.
    pub(super) fn route(&self) -> String {
        let is_scope = |pair: &[String]| matches!(pair, [a, b] if a == "providers" && b == "microsoft.authorization");
        let from = self.path.windows(2).position(is_scope).unwrap_or(0);
        let path = self.path.get(from..).unwrap_or_default();
        if self.object().is_none() || from > 0 {
            return path.join("/");
        }
        let collection = path.first().map_or("", String::as_str);
        let verb = path.get(2..).unwrap_or_default().iter().find(|p| VERBS.contains(&p.as_str()));
        match verb {
            Some(verb) => format!("{collection}/*/{verb}"),
            None => format!("{collection}/*"),
        }
    }
}

/// Builds the canonical key id from the name of a vault or Managed HSM, where a record gives the
/// Resource Manager id alone. `cloud` is any text of the record that names the cloud's own
/// domain; Azure has one domain a cloud.
pub(super) fn key_id(holder: Holder, vault: &str, key: &str, cloud: &str) -> Option<String> {
    let label = match holder {
        Holder::Vault => "vault",
        Holder::ManagedHsm => "managedhsm",
        Holder::CloudHsm => return None,
    };
    let domain = if cloud.contains("usgovcloudapi.net") {
        "usgovcloudapi.net"
    } else if cloud.contains("chinacloudapi.cn") {
        "azure.cn"
    } else {
        "azure.net"
    };
    Some(format!("https://{vault}.{label}.{domain}/keys/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_s_id_gives_subscription_and_holder_in_lower_case() {
        let id =
            "/SUBSCRIPTIONS/0AAA-1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/Prod/";
        let resource = Resource::parse(id);
        assert_eq!(resource.subscription.as_deref(), Some("0aaa-1"));
        assert_eq!(resource.holder, Some(Holder::Vault));
        assert_eq!(resource.holder_name.as_deref(), Some("prod"));
        assert_eq!(resource.holder_id.as_deref(), Some(resource.id.as_str()));
        assert!(!resource.is_subscription());
    }

    #[test]
    fn a_placeholder_is_no_subscription() {
        for id in ["/SUBSCRIPTIONS/<subscription-id>/x", "", "/subscriptions", "/subscriptions//x"]
        {
            let found = Resource::parse(id).subscription;
            assert!(found.is_none() || found.as_deref() == Some("x"), "{id}: {found:?}");
        }
    }

    #[test]
    fn an_extension_resource_knows_what_it_extends() {
        let vault = "/subscriptions/s/resourceGroups/r/providers/Microsoft.KeyVault/vaults/v";
        let setting = format!("{vault}/providers/Microsoft.Insights/diagnosticSettings/audit");
        let resource = Resource::parse(&setting);
        assert_eq!(resource.extended(), vault.to_ascii_lowercase());
        assert_eq!(resource.holder, Some(Holder::Vault));
        assert_eq!(resource.holder_id.as_deref(), Some(resource.extended()));
        let of_subscription = "/subscriptions/s/providers/microsoft.insights/diagnosticSettings/x";
        assert!(Resource::parse(of_subscription).is_subscription());
        assert!(Resource::parse("/subscriptions/s").is_subscription());
    }

    #[test]
    fn a_deleted_vault_is_a_holder_with_a_location() {
        let id = "/subscriptions/s/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/v";
        let resource = Resource::parse(id);
        assert_eq!(resource.holder, Some(Holder::Vault));
        assert_eq!(resource.holder_name.as_deref(), Some("v"));
        assert_eq!(resource.location.as_deref(), Some("eastus"));
    }

    #[test]
    fn a_key_s_uri_loses_port_version_and_deletedkeys() {
        let cases = [
            ("https://V.vault.azure.net/keys/K/0123", Some("0123")),
            ("https://v.vault.azure.net:8443/keys/k/0123/sign?api-version=7.4", Some("0123")),
            ("https://v.vault.azure.net/deletedkeys/k", None),
            ("https://v.vault.azure.net/keys/k/rotate?api-version=7.4", None),
        ];
        for (text, version) in cases {
            let object = VaultUri::parse(text).unwrap().object().unwrap();
            assert_eq!(object.id, "https://v.vault.azure.net/keys/k", "{text}");
            assert_eq!(object.version.as_deref(), version, "{text}");
            assert_eq!(object.kind, ObjectKind::Key);
        }
    }

    #[test]
    fn lists_restores_and_other_paths_name_no_object() {
        for text in [
            "https://v.vault.azure.net/",
            "https://v.vault.azure.net/keys?maxresults=25",
            "https://v.vault.azure.net/keys/restore?api-version=7.4",
            "https://h.managedhsm.azure.net/backup",
        ] {
            assert_eq!(VaultUri::parse(text).unwrap().object(), None, "{text}");
        }
        assert_eq!(VaultUri::parse("keys/k"), None);
        assert_eq!(VaultUri::parse("https:///keys/k"), None);
        assert_eq!(VaultUri::parse("https://a b/keys/k"), None);
    }

    #[test]
    fn issuers_of_certificates_are_objects_without_version() {
        let uri = VaultUri::parse("https://v.vault.azure.net/certificates/issuers/ca").unwrap();
        let object = uri.object().unwrap();
        assert_eq!(object.id, "https://v.vault.azure.net/certificates/issuers/ca");
        assert_eq!(object.version, None);
    }

    #[test]
    fn the_scope_of_a_role_is_no_key_and_no_version() {
        let uri = "https://h.managedhsm.azure.net/keys/providers/Microsoft.Authorization/roleAssignments/1";
        assert_eq!(VaultUri::parse(uri).unwrap().object(), None);
        let uri = "https://h.managedhsm.azure.net/keys/k/providers/Microsoft.Authorization/roleAssignments/1";
        let object = VaultUri::parse(uri).unwrap().object().unwrap();
        assert_eq!(
            (object.id.as_str(), object.version),
            ("https://h.managedhsm.azure.net/keys/k", None)
        );
    }

    #[test]
    fn routes_hide_names_and_the_scope_of_roles() {
        let cases = [
            ("https://h/keys/backup/0123/sign", "keys/*/sign"),
            ("https://h/keys/k/0123", "keys/*"),
            ("https://h/keys", "keys"),
            ("https://h/deletedkeys/k/recover", "deletedkeys/*/recover"),
            (
                "https://h/keys/k/providers/Microsoft.Authorization/roleAssignments/1",
                "providers/microsoft.authorization/roleassignments/1",
            ),
            (
                "https://h//providers/Microsoft.Authorization/roleDefinitions",
                "providers/microsoft.authorization/roledefinitions",
            ),
        ];
        for (text, route) in cases {
            assert_eq!(VaultUri::parse(text).unwrap().route(), route);
        }
    }
}
