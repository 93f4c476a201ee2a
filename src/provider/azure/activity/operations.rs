//! Which canonical action a Resource Manager operation is.
//!
//! Names are `provider/type/…/verb`; they are compared lower-case, since the two wire shapes of
//! the Activity Log differ in case.

use super::super::resource::Holder;
use crate::event::Action;

/// One operation name and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The name in lower case.
    pub name: &'static str,
    /// The action.
    pub action: Action,
}

const fn op(name: &'static str, action: Action) -> Operation {
    Operation { name, action }
}

/// Control-plane operations on vaults and HSMs ("Azure permissions for Security").
///
/// `…/write` creates or updates: it stands here as the update, and the mapper makes it a creation
/// where the record says `Created`. Purging a deleted Managed HSM is `vault.purge` too: the rule
/// for it is the same, and `service` and `hsm_id` tell the two apart.
pub const OPERATIONS: &[Operation] = &[
    op("microsoft.keyvault/vaults/read", Action::VaultRead),
    op("microsoft.keyvault/vaults/write", Action::VaultUpdate),
    op("microsoft.keyvault/vaults/delete", Action::VaultDelete),
    op("microsoft.keyvault/vaults/accesspolicies/write", Action::VaultPolicySet),
    op("microsoft.keyvault/vaults/keys/read", Action::KeyRead),
    op("microsoft.keyvault/vaults/keys/write", Action::KeyCreate),
    op("microsoft.keyvault/vaults/keys/versions/read", Action::KeyRead),
    op("microsoft.keyvault/vaults/secrets/read", Action::SecretRead),
    op("microsoft.keyvault/vaults/secrets/write", Action::SecretChange),
    op("microsoft.keyvault/deletedvaults/read", Action::VaultRead),
    op("microsoft.keyvault/locations/deletedvaults/read", Action::VaultRead),
    op("microsoft.keyvault/locations/deletedvaults/purge/action", Action::VaultPurge),
    op("microsoft.keyvault/checknameavailability/read", Action::VaultRead),
    op("microsoft.keyvault/managedhsms/read", Action::HsmRead),
    op("microsoft.keyvault/managedhsms/write", Action::HsmUpdate),
    op("microsoft.keyvault/managedhsms/delete", Action::HsmDelete),
    op("microsoft.keyvault/managedhsms/keys/read", Action::KeyRead),
    op("microsoft.keyvault/managedhsms/keys/write", Action::KeyCreate),
    op("microsoft.keyvault/managedhsms/keys/versions/read", Action::KeyRead),
    op("microsoft.keyvault/deletedmanagedhsms/read", Action::HsmRead),
    op("microsoft.keyvault/locations/deletedmanagedhsms/read", Action::HsmRead),
    op("microsoft.keyvault/locations/deletedmanagedhsms/purge/action", Action::VaultPurge),
    op("microsoft.keyvault/locations/deletedmanagedhsms/delete", Action::VaultPurge),
    op("microsoft.hardwaresecuritymodules/cloudhsmclusters/read", Action::HsmRead),
    op("microsoft.hardwaresecuritymodules/cloudhsmclusters/write", Action::HsmUpdate),
    op("microsoft.hardwaresecuritymodules/cloudhsmclusters/delete", Action::HsmDelete),
    op("microsoft.hardwaresecuritymodules/cloudhsmclusters/backup/action", Action::HsmBackupCreate),
    op(
        "microsoft.hardwaresecuritymodules/cloudhsmclusters/restore/action",
        Action::HsmBackupRestore,
    ),
    op("microsoft.hardwaresecuritymodules/dedicatedhsms/read", Action::HsmRead),
    op("microsoft.hardwaresecuritymodules/dedicatedhsms/write", Action::HsmUpdate),
    op("microsoft.hardwaresecuritymodules/dedicatedhsms/delete", Action::HsmDelete),
];

/// Data-plane permissions of vaults. Azure checks them but does not write them to the Activity
/// Log; tools and exercises do, so they are understood and marked `data_action`.
pub const DATA_ACTIONS: &[Operation] = &[
    op("keys/create/action", Action::KeyCreate),
    op("keys/import/action", Action::KeyImport),
    op("keys/update/action", Action::KeyUpdate),
    op("keys/delete", Action::KeyDeletionSchedule),
    op("keys/purge/action", Action::KeyPurge),
    op("keys/recover/action", Action::KeyDeletionCancel),
    op("keys/restore/action", Action::KeyRestore),
    op("keys/backup/action", Action::KeyBackup),
    op("keys/rotate/action", Action::KeyRotate),
    op("keys/release/action", Action::KeyRelease),
    op("keys/read/action", Action::KeyRead),
    op("keys/encrypt/action", Action::KeyUseEncrypt),
    op("keys/decrypt/action", Action::KeyUseDecrypt),
    op("keys/sign/action", Action::KeyUseSign),
    op("keys/verify/action", Action::KeyUseVerify),
    op("keys/wrap/action", Action::KeyUseWrap),
    op("keys/unwrap/action", Action::KeyUseUnwrap),
    op("keyrotationpolicies/read", Action::KeyRead),
    op("keyrotationpolicies/write", Action::KeyRotationChange),
    op("secrets/getsecret/action", Action::SecretRead),
    op("secrets/readmetadata/action", Action::SecretRead),
    op("secrets/setsecret/action", Action::SecretChange),
    op("secrets/update/action", Action::SecretChange),
    op("secrets/delete", Action::SecretDelete),
    op("secrets/purge/action", Action::SecretDelete),
    op("secrets/recover/action", Action::SecretBackup),
    op("secrets/restore/action", Action::SecretBackup),
    op("secrets/backup/action", Action::SecretBackup),
    op("certificates/read", Action::CertificateRead),
    op("certificates/write", Action::CertificateChange),
    op("certificates/create/action", Action::CertificateChange),
    op("certificates/import/action", Action::CertificateChange),
    op("certificates/update/action", Action::CertificateChange),
    op("certificates/delete", Action::CertificateDelete),
    op("certificates/purge/action", Action::CertificateDelete),
    op("certificates/recover/action", Action::CertificateBackup),
    op("certificates/restore/action", Action::CertificateBackup),
    op("certificates/backup/action", Action::CertificateBackup),
];

/// Words in further operations of the key services that change how a vault or HSM is reached.
const NETWORK: &[&str] =
    &["/privateendpointconnection", "/networksecurityperimeter", "/eventgridfilters"];

/// What an operation is, and where its relevance depends on what it was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An operation of a key service.
    Key(Action),
    /// A data-plane operation of a key service, which the Activity Log does not hold by right.
    Data(Action),
    /// A change of a diagnostic setting: relevant for vaults, HSMs and subscriptions.
    Logging(Action),
    /// A change of who may use or manage: relevant within vaults and HSMs.
    Access,
    /// Another change to a vault or HSM (locks, policies, tags).
    Attached(Action),
    /// Something else.
    Unrelated,
}

/// Operations of other services that act on vaults and HSMs, by how they start.
const ELSEWHERE: &[(&str, Meaning)] = &[
    ("microsoft.insights/diagnosticsettings/write", Meaning::Logging(Action::LoggingChange)),
    ("microsoft.insights/diagnosticsettings/delete", Meaning::Logging(Action::LoggingDelete)),
    ("microsoft.insights/diagnosticsettings/", Meaning::Logging(Action::LoggingRead)),
    ("microsoft.authorization/roleassignments/", Meaning::Access),
    ("microsoft.authorization/roledefinitions/", Meaning::Access),
    ("microsoft.authorization/policyexemptions/", Meaning::Attached(Action::VaultUpdate)),
    ("microsoft.authorization/policyassignments/", Meaning::Attached(Action::VaultUpdate)),
    ("microsoft.authorization/locks/", Meaning::Attached(Action::VaultUpdate)),
    ("microsoft.resources/tags/", Meaning::Attached(Action::TagChange)),
];

/// What the operation `name` (lower-case) is.
pub(super) fn meaning(name: &str) -> Meaning {
    if let Some(known) = OPERATIONS.iter().find(|known| known.name == name) {
        return Meaning::Key(known.action);
    }
    let Some((provider, rest)) = name.split_once('/') else { return Meaning::Unrelated };
    match provider {
        "microsoft.keyvault" => key_vault(rest),
        "microsoft.hardwaresecuritymodules" if is_network(rest) => Meaning::Key(Action::HsmUpdate),
        "microsoft.hardwaresecuritymodules" => Meaning::Key(Action::Other),
        // A setting of a vault may be logged under the vault's id: `…/vaults/providers/…`.
        _ => elsewhere(name),
    }
}

fn key_vault(rest: &str) -> Meaning {
    if let Some((_, extension)) = rest.split_once("/providers/") {
        return elsewhere(extension);
    }
    let of_data = rest.strip_prefix("vaults/").or_else(|| rest.strip_prefix("managedhsm/"));
    let data = of_data.and_then(|rest| DATA_ACTIONS.iter().find(|known| known.name == rest));
    if let Some(known) = data {
        return Meaning::Data(known.action);
    }
    match rest {
        rest if is_network(rest) && rest.ends_with("/read") => Meaning::Key(Action::VaultRead),
        rest if is_network(rest) => Meaning::Key(Action::VaultUpdate),
        _ => Meaning::Key(Action::Other),
    }
}

fn is_network(rest: &str) -> bool {
    NETWORK.iter().any(|word| rest.contains(word))
}

fn elsewhere(name: &str) -> Meaning {
    let found = ELSEWHERE.iter().find(|(start, _)| name.starts_with(start));
    found.map_or(Meaning::Unrelated, |(_, meaning)| *meaning)
}

/// What changes access to a vault or HSM: below it, to one key.
pub(super) fn access(holder: Holder, is_of_a_key: bool) -> Action {
    match (is_of_a_key, holder.is_hsm()) {
        (true, _) => Action::KeyPolicySet,
        (false, true) => Action::HsmRoleChange,
        (false, false) => Action::VaultPolicySet,
    }
}

/// The action for an HSM where vaults have one of their own.
pub(super) fn of_holder(action: Action, holder: Option<Holder>) -> Action {
    match (action, holder.is_some_and(Holder::is_hsm)) {
        (Action::VaultUpdate, true) => Action::HsmUpdate,
        (Action::VaultRead, true) => Action::HsmRead,
        (other, _) => other,
    }
}

/// The creation that an update turns out to be.
pub(super) fn as_creation(action: Action) -> Action {
    match action {
        Action::VaultUpdate => Action::VaultCreate,
        Action::HsmUpdate => Action::HsmCreate,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_stand_once() {
        let all = OPERATIONS.iter().chain(DATA_ACTIONS);
        for row in all.clone() {
            assert_eq!(row.name, row.name.to_ascii_lowercase());
            assert_eq!(all.clone().filter(|other| other.name == row.name).count(), 1);
        }
    }

    #[test]
    fn operations_are_told_apart() {
        let cases = [
            ("microsoft.keyvault/vaults/delete", Meaning::Key(Action::VaultDelete)),
            ("microsoft.keyvault/vaults/keys/purge/action", Meaning::Data(Action::KeyPurge)),
            (
                "microsoft.keyvault/managedhsms/privateendpointconnections/write",
                Meaning::Key(Action::VaultUpdate),
            ),
            ("microsoft.keyvault/vaults/unheard/action", Meaning::Key(Action::Other)),
            (
                "microsoft.keyvault/vaults/providers/microsoft.insights/diagnosticsettings/write",
                Meaning::Logging(Action::LoggingChange),
            ),
            (
                "microsoft.insights/diagnosticsettings/delete",
                Meaning::Logging(Action::LoggingDelete),
            ),
            ("microsoft.authorization/roleassignments/delete", Meaning::Access),
            ("microsoft.authorization/policies/audit/action", Meaning::Unrelated),
            ("microsoft.storage/storageaccounts/delete", Meaning::Unrelated),
            ("", Meaning::Unrelated),
        ];
        for (name, meaning_of_it) in cases {
            assert_eq!(meaning(name), meaning_of_it, "{name}");
        }
    }
}
