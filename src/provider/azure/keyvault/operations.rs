//! Which canonical action an operation of a vault or Managed HSM is.
//!
//! Microsoft publishes the operation names of vaults ("Azure Key Vault logging") and none for
//! Managed HSM ("Managed HSM logging"). A name that is not in the table is told by the request's
//! path and the verb in the name, then by the family that the name starts with.

use crate::event::Action;

/// One operation name and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The name in the log; compared without regard to case.
    pub name: &'static str,
    /// The action.
    pub action: Action,
}

const fn op(name: &'static str, action: Action) -> Operation {
    Operation { name, action }
}

/// The published operation names, and those that Microsoft names elsewhere (`KeyRelease` in
/// "Secure keys", `VaultList`, `BackupCreate`, `BackupStatus`, `AccessPolicyMerge` and the
/// network ones in the Sentinel parser, the security domain's in "Secure Managed HSM",
/// `EkmProxyOperation` in the page on external keys).
///
/// `KeyCreate` makes a key or a new version of one: the log does not tell which. `VaultPut`
/// creates or updates. A near-expiry or expiry notice changes nothing and has no actor: it is a
/// reading, marked `notification` in the details.
pub const OPERATIONS: &[Operation] = &[
    op("Authentication", Action::Authentication),
    op("VaultGet", Action::VaultRead),
    op("VaultList", Action::VaultRead),
    op("VaultGetDeleted", Action::VaultRead),
    op("VaultListDeleted", Action::VaultRead),
    op("VaultCreate", Action::VaultCreate),
    op("VaultPut", Action::VaultUpdate),
    op("VaultPatch", Action::VaultUpdate),
    op("VaultDelete", Action::VaultDelete),
    op("VaultPurge", Action::VaultPurge),
    op("VaultRecover", Action::VaultRecover),
    op("VaultAccessPolicyChangedEventGridNotification", Action::VaultPolicySet),
    op("AccessPolicyMerge", Action::VaultPolicySet),
    op("ListNetworkSecurityPerimeterConfiguration", Action::VaultRead),
    op("ListPrivateEndpointConnections", Action::VaultRead),
    op("KeyCreate", Action::KeyCreate),
    op("KeyGet", Action::KeyRead),
    op("KeyImport", Action::KeyImport),
    op("KeyDelete", Action::KeyDeletionSchedule),
    op("KeySign", Action::KeyUseSign),
    op("KeyVerify", Action::KeyUseVerify),
    op("KeyWrap", Action::KeyUseWrap),
    op("KeyUnwrap", Action::KeyUseUnwrap),
    op("KeyEncrypt", Action::KeyUseEncrypt),
    op("KeyDecrypt", Action::KeyUseDecrypt),
    op("KeyUpdate", Action::KeyUpdate),
    op("KeyList", Action::KeyRead),
    op("KeyListVersions", Action::KeyRead),
    op("KeyPurge", Action::KeyPurge),
    op("KeyBackup", Action::KeyBackup),
    op("KeyRestore", Action::KeyRestore),
    op("KeyRecover", Action::KeyDeletionCancel),
    op("KeyGetDeleted", Action::KeyRead),
    op("KeyListDeleted", Action::KeyRead),
    op("KeyNearExpiryEventGridNotification", Action::KeyRead),
    op("KeyExpiredEventGridNotification", Action::KeyRead),
    op("KeyRotate", Action::KeyRotate),
    op("KeyRotateIfDue", Action::KeyRotationRequest),
    op("KeyRotationPolicyGet", Action::KeyRead),
    op("KeyRotationPolicySet", Action::KeyRotationChange),
    op("KeyRelease", Action::KeyRelease),
    op("SecretSet", Action::SecretChange),
    op("SecretGet", Action::SecretRead),
    op("SecretUpdate", Action::SecretChange),
    op("SecretDelete", Action::SecretDelete),
    op("SecretList", Action::SecretRead),
    op("SecretListVersions", Action::SecretRead),
    op("SecretPurge", Action::SecretDelete),
    op("SecretBackup", Action::SecretBackup),
    op("SecretRestore", Action::SecretBackup),
    op("SecretRecover", Action::SecretBackup),
    op("SecretGetDeleted", Action::SecretRead),
    op("SecretListDeleted", Action::SecretRead),
    op("SecretNearExpiryEventGridNotification", Action::SecretRead),
    op("SecretExpiredEventGridNotification", Action::SecretRead),
    op("CertificateGet", Action::CertificateRead),
    op("CertificateCreate", Action::CertificateChange),
    op("CertificateImport", Action::CertificateChange),
    op("CertificateUpdate", Action::CertificateChange),
    op("CertificateList", Action::CertificateRead),
    op("CertificateListVersions", Action::CertificateRead),
    op("CertificateDelete", Action::CertificateDelete),
    op("CertificatePurge", Action::CertificateDelete),
    op("CertificateBackup", Action::CertificateBackup),
    op("CertificateRestore", Action::CertificateBackup),
    op("CertificateRecover", Action::CertificateBackup),
    op("CertificateGetDeleted", Action::CertificateRead),
    op("CertificateListDeleted", Action::CertificateRead),
    op("CertificatePolicyGet", Action::CertificateRead),
    op("CertificatePolicyUpdate", Action::CertificateChange),
    op("CertificatePolicySet", Action::CertificateChange),
    op("CertificateContactsGet", Action::CertificateRead),
    op("CertificateContactsSet", Action::CertificateChange),
    op("CertificateContactsDelete", Action::CertificateChange),
    op("CertificateIssuerGet", Action::CertificateRead),
    op("CertificateIssuerSet", Action::CertificateChange),
    op("CertificateIssuerUpdate", Action::CertificateChange),
    op("CertificateIssuerDelete", Action::CertificateChange),
    op("CertificateIssuersList", Action::CertificateRead),
    op("CertificateEnroll", Action::CertificateChange),
    op("CertificateRenew", Action::CertificateChange),
    op("CertificatePendingGet", Action::CertificateRead),
    op("CertificatePendingMerge", Action::CertificateChange),
    op("CertificatePendingUpdate", Action::CertificateChange),
    op("CertificatePendingDelete", Action::CertificateChange),
    op("CertificateNearExpiryEventGridNotification", Action::CertificateRead),
    op("CertificateExpiredEventGridNotification", Action::CertificateRead),
    op("BackupCreate", Action::HsmBackupCreate),
    op("BackupStatus", Action::HsmRead),
    op("SecurityDomainBackup", Action::HsmSecurityDomainBackup),
    op("SecurityDomainBackupStatusGet", Action::HsmRead),
    op("EkmProxyOperation", Action::HsmOther),
];

/// What a request does, as far as an operation's name tells: the log holds no HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Read,
    Set,
    Update,
    Delete,
}

/// Words in operation names, first match wins.
const VERBS: &[(&str, Verb)] = &[
    ("get", Verb::Read),
    ("list", Verb::Read),
    ("status", Verb::Read),
    ("pending", Verb::Read),
    ("delete", Verb::Delete),
    ("remove", Verb::Delete),
    ("purge", Verb::Delete),
    ("update", Verb::Update),
    ("patch", Verb::Update),
    ("create", Verb::Set),
    ("set", Verb::Set),
    ("put", Verb::Set),
    ("import", Verb::Set),
];

/// One request path of the Key Vault and Managed HSM REST API, and what it does. `None` stands
/// for every verb.
struct Route {
    path: &'static str,
    verb: Option<Verb>,
    action: Action,
}

const fn any(path: &'static str, action: Action) -> Route {
    Route { path, verb: None, action }
}

const fn with(path: &'static str, verb: Verb, action: Action) -> Route {
    Route { path, verb: Some(verb), action }
}

const ROUTES: &[Route] = &[
    any("securitydomain/download", Action::HsmSecurityDomainBackup),
    any("securitydomain/download/pending", Action::HsmRead),
    any("securitydomain/transferkey", Action::HsmRead),
    with("securitydomain/upload", Verb::Read, Action::HsmRead),
    any("securitydomain/upload", Action::HsmSecurityDomainRestore),
    any("securitydomain/upload/pending", Action::HsmRead),
    any("backup", Action::HsmBackupCreate),
    any("backup/*/pending", Action::HsmRead),
    any("prebackup", Action::HsmRead),
    any("restore", Action::HsmBackupRestore),
    any("restore/*/pending", Action::HsmRead),
    any("prerestore", Action::HsmRead),
    any("providers/microsoft.authorization/roleassignments", Action::HsmRead),
    with("providers/microsoft.authorization/roleassignments/*", Verb::Read, Action::HsmRead),
    with("providers/microsoft.authorization/roleassignments/*", Verb::Set, Action::HsmRoleChange),
    with(
        "providers/microsoft.authorization/roleassignments/*",
        Verb::Update,
        Action::HsmRoleChange,
    ),
    with(
        "providers/microsoft.authorization/roleassignments/*",
        Verb::Delete,
        Action::HsmRoleChange,
    ),
    any("providers/microsoft.authorization/roledefinitions", Action::HsmRead),
    with("providers/microsoft.authorization/roledefinitions/*", Verb::Read, Action::HsmRead),
    with("providers/microsoft.authorization/roledefinitions/*", Verb::Set, Action::HsmRoleChange),
    with(
        "providers/microsoft.authorization/roledefinitions/*",
        Verb::Update,
        Action::HsmRoleChange,
    ),
    with(
        "providers/microsoft.authorization/roledefinitions/*",
        Verb::Delete,
        Action::HsmRoleChange,
    ),
    any("keys", Action::KeyRead),
    any("keys/restore", Action::KeyRestore),
    any("keys/*/restore", Action::KeyRestore),
    any("keys/*/create", Action::KeyCreate),
    any("keys/*/rotate", Action::KeyRotate),
    any("keys/*/release", Action::KeyRelease),
    any("keys/*/backup", Action::KeyBackup),
    any("keys/*/versions", Action::KeyRead),
    any("keys/*/attestation", Action::KeyRead),
    with("keys/*/rotationpolicy", Verb::Read, Action::KeyRead),
    with("keys/*/rotationpolicy", Verb::Set, Action::KeyRotationChange),
    with("keys/*/rotationpolicy", Verb::Update, Action::KeyRotationChange),
    any("keys/*/sign", Action::KeyUseSign),
    any("keys/*/verify", Action::KeyUseVerify),
    any("keys/*/wrapkey", Action::KeyUseWrap),
    any("keys/*/unwrapkey", Action::KeyUseUnwrap),
    any("keys/*/encrypt", Action::KeyUseEncrypt),
    any("keys/*/decrypt", Action::KeyUseDecrypt),
    with("keys/*", Verb::Read, Action::KeyRead),
    with("keys/*", Verb::Set, Action::KeyImport),
    with("keys/*", Verb::Update, Action::KeyUpdate),
    with("keys/*", Verb::Delete, Action::KeyDeletionSchedule),
    any("deletedkeys", Action::KeyRead),
    any("deletedkeys/*/recover", Action::KeyDeletionCancel),
    with("deletedkeys/*", Verb::Read, Action::KeyRead),
    with("deletedkeys/*", Verb::Delete, Action::KeyPurge),
    any("rng", Action::KeyUseRandom),
    any("settings", Action::HsmRead),
    with("settings/*", Verb::Read, Action::HsmRead),
    with("settings/*", Verb::Set, Action::HsmUpdate),
    with("settings/*", Verb::Update, Action::HsmUpdate),
    with("ekm", Verb::Read, Action::HsmRead),
    with("ekm", Verb::Update, Action::KeyStoreUpdate),
    with("ekm", Verb::Delete, Action::KeyStoreDelete),
    any("ekm/create", Action::KeyStoreCreate),
    any("ekm/check", Action::HsmRead),
    any("ekm/certificate", Action::HsmRead),
];

/// What Managed HSM names start with, for records that hold no request path. A name whose verb
/// reads is a reading whatever it starts with.
const FAMILIES: &[(&str, Action)] = &[
    ("securitydomainbackup", Action::HsmSecurityDomainBackup),
    ("securitydomaindownload", Action::HsmSecurityDomainBackup),
    ("securitydomainrestore", Action::HsmSecurityDomainRestore),
    ("securitydomainupload", Action::HsmSecurityDomainRestore),
    ("roleassignment", Action::HsmRoleChange),
    ("roledefinition", Action::HsmRoleChange),
    ("backup", Action::HsmBackupCreate),
    ("restore", Action::HsmBackupRestore),
    ("ekm", Action::HsmOther),
];

/// A Managed HSM is an HSM, not a vault, though it may share the vault's operation names.
const OF_AN_HSM: &[(Action, Action)] = &[
    (Action::VaultRead, Action::HsmRead),
    (Action::VaultCreate, Action::HsmCreate),
    (Action::VaultUpdate, Action::HsmUpdate),
    (Action::VaultDelete, Action::HsmDelete),
];

/// The action of an operation: by its name, else by `route` (the request's path with names and
/// versions of keys as `*`), else by the family of its name; [`Action::Other`] for the rest.
pub(super) fn action(name: &str, route: Option<&str>) -> Action {
    if let Some(known) = OPERATIONS.iter().find(|known| known.name.eq_ignore_ascii_case(name)) {
        return known.action;
    }
    let lower = name.to_ascii_lowercase();
    let verb = VERBS.iter().find(|(word, _)| lower.contains(word)).map(|(_, verb)| *verb);
    let routed = route.and_then(|path| {
        let fits = |route: &&Route| {
            matches(route.path, path) && (route.verb.is_none() || route.verb == verb)
        };
        ROUTES.iter().find(fits).map(|route| route.action)
    });
    let family = || {
        let (_, action) = FAMILIES.iter().find(|(start, _)| lower.starts_with(start))?;
        Some(if verb == Some(Verb::Read) { Action::HsmRead } else { *action })
    };
    routed.or_else(family).unwrap_or(Action::Other)
}

/// The action as it is called for an HSM.
pub(super) fn of_an_hsm(action: Action) -> Action {
    OF_AN_HSM.iter().find(|(vault, _)| *vault == action).map_or(action, |(_, hsm)| *hsm)
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut found = path.split('/');
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(want), Some(part)) if want == "*" || want == part => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        for row in OPERATIONS {
            let same = |other: &&Operation| other.name.eq_ignore_ascii_case(row.name);
            assert_eq!(OPERATIONS.iter().filter(same).count(), 1, "{}", row.name);
            assert_ne!(row.action, Action::Other, "{}", row.name);
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        assert_eq!(action("KEYPURGE", None), Action::KeyPurge);
    }

    #[test]
    fn an_unpublished_name_is_told_by_path_and_verb() {
        let cases = [
            ("SecurityDomainInit", "securitydomain/download", Action::HsmSecurityDomainBackup),
            ("SecurityDomainRestore", "securitydomain/upload", Action::HsmSecurityDomainRestore),
            ("TransferKeyGet", "securitydomain/upload", Action::HsmRead),
            ("Poll", "securitydomain/upload/pending", Action::HsmRead),
            ("FullRestore", "restore", Action::HsmBackupRestore),
            ("Job", "backup/17/pending", Action::HsmRead),
            ("KeySelectiveRestore", "keys/*/restore", Action::KeyRestore),
            ("KeyReleaseV2", "keys/*/release", Action::KeyRelease),
            ("PolicyUpdate", "keys/*/rotationpolicy", Action::KeyRotationChange),
            ("PolicyGet", "keys/*/rotationpolicy", Action::KeyRead),
            (
                "RoleAssignmentCreate",
                "providers/microsoft.authorization/roleassignments/1",
                Action::HsmRoleChange,
            ),
            (
                "RoleAssignmentGet",
                "providers/microsoft.authorization/roleassignments/1",
                Action::HsmRead,
            ),
            ("Purge", "deletedkeys/*", Action::KeyPurge),
            ("Mystery", "deletedkeys/*", Action::Other),
            ("Mystery", "not/there", Action::Other),
        ];
        for (name, route, expected) in cases {
            assert_eq!(action(name, Some(route)), expected, "{name} {route}");
        }
    }

    #[test]
    fn without_a_path_the_family_of_the_name_decides() {
        assert_eq!(action("RoleAssignmentDelete", None), Action::HsmRoleChange);
        assert_eq!(action("RoleDefinitionList", None), Action::HsmRead);
        assert_eq!(action("SecurityDomainUpload", None), Action::HsmSecurityDomainRestore);
        assert_eq!(action("RestoreStatus", None), Action::HsmRead);
        assert_eq!(action("Unheard", None), Action::Other);
    }
}
