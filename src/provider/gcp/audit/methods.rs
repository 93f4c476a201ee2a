//! Which methods of Google Cloud matter, and what they mean.
//!
//! A method is known by the last part of its name: `KeyManagementService` writes bare words
//! (`Encrypt`), Autokey and `HsmManagement` full names (`google.cloud.kms.v1.Autokey.CreateKeyHandle`).
//! Names: "Cloud KMS audit logging", "Cloud Logging audit logging" in the Google Cloud documentation.

use super::change;
use super::subject::Kind;
use super::{Entry, logging, policy};
use crate::event::Action;

/// The methods of one service.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The value of `serviceName`.
    pub source: &'static str,
    /// The name used in the column `service`.
    pub name: &'static str,
    /// Whether every entry of the service is kept, or only the methods listed.
    pub whole: bool,
    /// Last part of the method's name → action. Where the request decides, this is the action of
    /// a request that says nothing in particular.
    pub methods: &'static [(&'static str, Action)],
}

/// Every service of which entries are kept.
pub const SERVICES: &[Service] = &[
    Service { source: "cloudkms.googleapis.com", name: "cloudkms", whole: true, methods: KMS },
    Service {
        source: "kmsinventory.googleapis.com",
        name: "kmsinventory",
        whole: true,
        methods: INVENTORY,
    },
    Service { source: "logging.googleapis.com", name: "logging", whole: false, methods: LOGGING },
    Service {
        source: "cloudresourcemanager.googleapis.com",
        name: "cloudresourcemanager",
        whole: false,
        methods: RESOURCE_MANAGER,
    },
];

const KMS: &[(&str, Action)] = &[
    // KeyManagementService. A new version is not yet the primary one: no proof of a rotation.
    ("CreateKeyRing", Action::VaultCreate),
    ("CreateCryptoKey", Action::KeyCreate),
    ("CreateCryptoKeyVersion", Action::KeyRotationRequest),
    ("ImportCryptoKeyVersion", Action::KeyImport),
    ("ImportTrustedKeyWrappedCryptoKeyVersion", Action::KeyImport),
    ("ExportTrustedKeyWrappedCryptoKeyVersion", Action::KeyExport),
    ("CreateImportJob", Action::ImportPrepare),
    ("UpdateCryptoKey", Action::KeyUpdate),
    ("UpdateCryptoKeyVersion", Action::KeyUpdate),
    ("UpdateCryptoKeyPrimaryVersion", Action::KeyRotate),
    // The end of the waiting time is not logged.
    ("DestroyCryptoKeyVersion", Action::KeyDeletionSchedule),
    ("RestoreCryptoKeyVersion", Action::KeyDeletionCancel),
    ("DeleteCryptoKey", Action::KeyDestroy),
    ("DeleteCryptoKeyVersion", Action::KeyDestroy),
    ("Encrypt", Action::KeyUseEncrypt),
    ("RawEncrypt", Action::KeyUseEncrypt),
    ("Decrypt", Action::KeyUseDecrypt),
    ("RawDecrypt", Action::KeyUseDecrypt),
    ("AsymmetricDecrypt", Action::KeyUseDecrypt),
    ("AsymmetricSign", Action::KeyUseSign),
    ("MacSign", Action::KeyUseMac),
    ("MacVerify", Action::KeyUseMac),
    ("Decapsulate", Action::KeyUseDerive),
    ("GenerateRandomBytes", Action::KeyUseRandom),
    ("GetPublicKey", Action::KeyRead),
    ("GetKeyRing", Action::VaultRead),
    ("ListKeyRings", Action::VaultRead),
    ("GetImportJob", Action::VaultRead),
    ("ListImportJobs", Action::VaultRead),
    ("SetIamPolicy", Action::KeyPolicySet),
    // EkmService.
    ("CreateEkmConnection", Action::KeyStoreCreate),
    ("UpdateEkmConnection", Action::KeyStoreUpdate),
    ("UpdateEkmConfig", Action::KeyStoreUpdate),
    ("GetEkmConfig", Action::HsmRead),
    ("GetEkmConnection", Action::HsmRead),
    ("ListEkmConnections", Action::HsmRead),
    ("VerifyConnectivity", Action::HsmRead),
    // Autokey: the configuration says in which project key rings and keys are made.
    ("CreateKeyHandle", Action::KeyCreate),
    ("UpdateAutokeyConfig", Action::VaultUpdate),
    ("GetAutokeyConfig", Action::VaultRead),
    ("ShowEffectiveAutokeyConfig", Action::VaultRead),
    // HsmManagement.
    ("CreateSingleTenantHsmInstance", Action::HsmCreate),
    ("CreateSingleTenantHsmInstanceProposal", Action::HsmQuorumRequest),
    ("ApproveSingleTenantHsmInstanceProposal", Action::HsmQuorumApprove),
    ("ExecuteSingleTenantHsmInstanceProposal", Action::HsmQuorumExecute),
    ("DeleteSingleTenantHsmInstanceProposal", Action::HsmQuorumDelete),
    ("GetSingleTenantHsmInstance", Action::HsmRead),
    ("ListSingleTenantHsmInstances", Action::HsmRead),
    ("GetSingleTenantHsmInstanceProposal", Action::HsmRead),
    ("ListSingleTenantHsmInstanceProposals", Action::HsmRead),
];

const INVENTORY: &[(&str, Action)] = &[
    ("ListCryptoKeys", Action::KeyRead),
    ("GetProtectedResourcesSummary", Action::KeyRead),
    ("SearchProtectedResources", Action::KeyRead),
];

const LOGGING: &[(&str, Action)] = &[
    ("CreateSink", Action::LoggingStart),
    ("UpdateSink", Action::LoggingChange),
    ("DeleteSink", Action::LoggingDelete),
    ("CreateExclusion", Action::LoggingChange),
    ("UpdateExclusion", Action::LoggingChange),
    ("DeleteExclusion", Action::LoggingChange),
    ("CreateBucket", Action::LoggingStart),
    ("CreateBucketAsync", Action::LoggingStart),
    ("UpdateBucket", Action::LoggingChange),
    ("UpdateBucketAsync", Action::LoggingChange),
    ("DeleteBucket", Action::LoggingDelete),
    ("UndeleteBucket", Action::LoggingStart),
    ("CreateLink", Action::LoggingChange),
    ("DeleteLink", Action::LoggingChange),
    ("UpdateSettings", Action::LoggingChange),
    ("UpdateCmekSettings", Action::LoggingChange),
    ("DeleteLog", Action::LoggingDelete),
];

/// Methods of the logging configuration that leave untouched what is logged, where to and how long.
const NO_CHANGE_OF_LOGGING: &[&str] = &[
    "CreateView",
    "UpdateView",
    "DeleteView",
    "CreateLogScope",
    "UpdateLogScope",
    "DeleteLogScope",
    "CreateSavedQuery",
    "UpdateSavedQuery",
    "DeleteSavedQuery",
    "CopyLogEntries",
];

const RESOURCE_MANAGER: &[(&str, Action)] = &[("SetIamPolicy", Action::LoggingChange)];

/// How the names of methods begin that only read.
const READS: &[&str] = &["BatchGet", "Get", "List", "Search", "Show", "TestIamPermissions"];

/// The service with this `serviceName`, if its entries matter.
pub(super) fn service(source: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.source == source)
}

/// The action of a method, given by the last part of its name; `Other` where it is not classified.
pub fn action_of(source: &str, method: &str) -> Action {
    listed(source, method).unwrap_or(Action::Other)
}

fn listed(source: &str, method: &str) -> Option<Action> {
    let methods = service(source)?.methods;
    methods.iter().find(|(name, _)| *name == method).map(|(_, action)| *action)
}

fn only_reads(method: &str) -> bool {
    READS.iter().any(|start| method.starts_with(start))
}

/// Whether an entry of a watched service matters. A method of the logging configuration that is
/// not known matters unless it only reads; a policy of a project, folder or organisation matters
/// where it changes what is audited.
pub(super) fn is_relevant(entry: &Entry<'_>) -> bool {
    match entry.service.source {
        "logging.googleapis.com" => {
            let configures = entry.full_method.contains("ConfigServiceV2")
                && !only_reads(entry.method)
                && !entry.method.ends_with("IamPolicy")
                && !NO_CHANGE_OF_LOGGING.contains(&entry.method);
            configures || listed(entry.service.source, entry.method).is_some()
        }
        "cloudresourcemanager.googleapis.com" => {
            // The part of a split entry that tells of the change may be another one.
            entry.method == "SetIamPolicy"
                && (super::is_part(entry.envelope) || policy::changes_auditing(entry))
        }
        _ => entry.service.whole,
    }
}

/// The action of an entry about a resource of `kind`.
pub(super) fn classify(entry: &Entry<'_>, kind: Kind) -> Action {
    let usual = listed(entry.service.source, entry.method);
    if entry.service.name == "logging" {
        return logging::classify(entry, usual.unwrap_or(Action::Other));
    }
    if !entry.service.whole {
        return usual.unwrap_or(Action::Other);
    }
    match entry.method {
        "SetIamPolicy" => policy_action(kind),
        "UpdateCryptoKey" => change::of_key(entry),
        "UpdateCryptoKeyVersion" => change::of_version(entry),
        "CreateCryptoKeyVersion" if change::became_primary(entry) => Action::KeyRotate,
        method => {
            usual.unwrap_or(if only_reads(method) { read_action(kind) } else { Action::Other })
        }
    }
}

fn policy_action(kind: Kind) -> Action {
    match kind {
        Kind::Key => Action::KeyPolicySet,
        Kind::KeyRing => Action::VaultPolicySet,
        Kind::Hsm | Kind::KeyStore => Action::HsmRoleChange,
        Kind::Unknown => Action::Other,
    }
}

fn read_action(kind: Kind) -> Action {
    match kind {
        Kind::Key | Kind::Unknown => Action::KeyRead,
        Kind::KeyRing => Action::VaultRead,
        Kind::Hsm | Kind::KeyStore => Action::HsmRead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_stands_once_in_its_service() {
        for service in SERVICES {
            for (name, _) in service.methods {
                let count = service.methods.iter().filter(|(other, _)| other == name).count();
                assert_eq!(count, 1, "{name}");
            }
        }
    }

    #[test]
    fn a_method_that_is_not_classified_is_other() {
        assert_eq!(action_of("cloudkms.googleapis.com", "Teleport"), Action::Other);
        assert_eq!(action_of("compute.googleapis.com", "Encrypt"), Action::Other);
        assert_eq!(action_of("cloudkms.googleapis.com", "Encrypt"), Action::KeyUseEncrypt);
    }
}
