//! Which CloudTrail operations matter, and what they mean.

use super::super::super::Json as _;
use super::super::super::node::Node;
use crate::event::Action::{
    self, AliasCreate, AliasDelete, AliasUpdate, GrantCreate, GrantRevoke, HsmBackupCopy,
    HsmBackupDelete, HsmBackupRestore, HsmBackupShare, HsmCreate, HsmDelete, HsmInit, HsmQuorumSet,
    HsmRead, HsmUpdate, ImportPrepare, KeyCreate, KeyDeletionCancel, KeyDeletionSchedule,
    KeyDestroy, KeyDisable, KeyEnable, KeyExport, KeyImport, KeyMaterialDelete, KeyPolicySet,
    KeyRead, KeyReplicate, KeyRotate, KeyRotationDisable, KeyRotationEnable, KeyRotationRequest,
    KeyStoreConnect, KeyStoreCreate, KeyStoreDelete, KeyStoreDisconnect, KeyStoreUpdate, KeyUpdate,
    KeyUseDataKey, KeyUseDecrypt, KeyUseDerive, KeyUseEncrypt, KeyUseMac, KeyUseRandom, KeyUseSign,
    KeyUseUnwrap, KeyUseVerify, KeyUseWrap, LoggingChange, LoggingDelete, LoggingRead,
    LoggingStart, LoggingStop, Other, TagChange,
};

/// The operations of one `eventSource`.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The value of `eventSource`.
    pub source: &'static str,
    /// The name used in the column `service`.
    pub name: &'static str,
    /// Whether every record of the source is kept, or only the operations listed.
    pub whole: bool,
    /// Operation → action.
    pub operations: &'static [(&'static str, Action)],
}

/// Every source of which records are kept.
pub const SERVICES: &[Service] = &[
    Service { source: "kms.amazonaws.com", name: "kms", whole: true, operations: KMS },
    Service {
        source: "cloudhsm.amazonaws.com",
        name: "cloudhsm",
        whole: true,
        operations: CLOUDHSM,
    },
    Service {
        source: "payment-cryptography.amazonaws.com",
        name: "payment-cryptography",
        whole: true,
        operations: PAYMENT,
    },
    Service {
        source: "cloudtrail.amazonaws.com",
        name: "cloudtrail",
        whole: true,
        operations: TRAIL,
    },
    Service { source: "logs.amazonaws.com", name: "logs", whole: false, operations: LOGS },
    Service {
        source: "organizations.amazonaws.com",
        name: "organizations",
        whole: false,
        operations: ORGANIZATIONS,
    },
];

const KMS: &[(&str, Action)] = &[
    ("CreateKey", KeyCreate),
    ("ReplicateKey", KeyReplicate),
    ("SynchronizeMultiRegionKey", KeyUpdate),
    ("UpdatePrimaryRegion", KeyUpdate),
    ("UpdateKeyDescription", KeyUpdate),
    ("EnableKey", KeyEnable),
    ("DisableKey", KeyDisable),
    ("ScheduleKeyDeletion", KeyDeletionSchedule),
    ("CancelKeyDeletion", KeyDeletionCancel),
    ("DeleteKey", KeyDestroy),
    ("EnableKeyRotation", KeyRotationEnable),
    ("DisableKeyRotation", KeyRotationDisable),
    ("RotateKeyOnDemand", KeyRotationRequest),
    ("RotateKey", KeyRotate),
    ("GetParametersForImport", ImportPrepare),
    ("ImportKeyMaterial", KeyImport),
    ("DeleteImportedKeyMaterial", KeyMaterialDelete),
    ("DeleteExpiredKeyMaterial", KeyMaterialDelete),
    ("PutKeyPolicy", KeyPolicySet),
    ("CreateGrant", GrantCreate),
    ("RetireGrant", GrantRevoke),
    ("RevokeGrant", GrantRevoke),
    ("CreateAlias", AliasCreate),
    ("UpdateAlias", AliasUpdate),
    ("DeleteAlias", AliasDelete),
    ("TagResource", TagChange),
    ("UntagResource", TagChange),
    ("CreateCustomKeyStore", KeyStoreCreate),
    ("UpdateCustomKeyStore", KeyStoreUpdate),
    ("DeleteCustomKeyStore", KeyStoreDelete),
    ("ConnectCustomKeyStore", KeyStoreConnect),
    ("DisconnectCustomKeyStore", KeyStoreDisconnect),
    ("DescribeCustomKeyStores", KeyRead),
    ("DescribeKey", KeyRead),
    ("ListKeys", KeyRead),
    ("ListAliases", KeyRead),
    ("ListGrants", KeyRead),
    ("ListRetirableGrants", KeyRead),
    ("ListKeyPolicies", KeyRead),
    ("ListKeyRotations", KeyRead),
    ("ListResourceTags", KeyRead),
    ("GetKeyPolicy", KeyRead),
    ("GetKeyRotationStatus", KeyRead),
    ("GetKeyLastUsage", KeyRead),
    ("GetPublicKey", KeyRead),
    ("Encrypt", KeyUseEncrypt),
    ("ReEncrypt", KeyUseEncrypt),
    ("Encapsulate", KeyUseWrap),
    ("Decapsulate", KeyUseUnwrap),
    ("Decrypt", KeyUseDecrypt),
    ("GenerateDataKey", KeyUseDataKey),
    ("GenerateDataKeyWithoutPlaintext", KeyUseDataKey),
    ("GenerateDataKeyPair", KeyUseDataKey),
    ("GenerateDataKeyPairWithoutPlaintext", KeyUseDataKey),
    ("GenerateRandom", KeyUseRandom),
    ("GenerateMac", KeyUseMac),
    ("VerifyMac", KeyUseMac),
    ("Sign", KeyUseSign),
    ("Verify", KeyUseVerify),
    ("DeriveSharedSecret", KeyUseDerive),
];

const CLOUDHSM: &[(&str, Action)] = &[
    ("CreateCluster", HsmCreate),
    ("CreateHsm", HsmCreate),
    ("DeleteCluster", HsmDelete),
    ("DeleteHsm", HsmDelete),
    ("ModifyCluster", HsmUpdate),
    ("InitializeCluster", HsmInit),
    ("CopyBackupToRegion", HsmBackupCopy),
    ("DeleteBackup", HsmBackupDelete),
    ("RestoreBackup", HsmBackupRestore),
    ("ModifyBackupAttributes", HsmUpdate),
    ("PutResourcePolicy", HsmBackupShare),
    ("DeleteResourcePolicy", HsmBackupShare),
    ("GetResourcePolicy", HsmRead),
    ("DescribeClusters", HsmRead),
    ("DescribeBackups", HsmRead),
    ("ListTags", HsmRead),
    ("TagResource", TagChange),
    ("UntagResource", TagChange),
];

const PAYMENT: &[(&str, Action)] = &[
    ("CreateKey", KeyCreate),
    ("DeleteKey", KeyDeletionSchedule),
    ("RestoreKey", KeyDeletionCancel),
    ("ImportKey", KeyImport),
    ("ExportKey", KeyExport),
    ("StartKeyUsage", KeyEnable),
    ("StopKeyUsage", KeyDisable),
    ("GetParametersForImport", ImportPrepare),
    ("GetParametersForExport", KeyRead),
    ("GetPublicKeyCertificate", KeyRead),
    ("GetKey", KeyRead),
    ("ListKeys", KeyRead),
    ("GetAlias", KeyRead),
    ("ListAliases", KeyRead),
    ("ListTagsForResource", KeyRead),
    ("CreateAlias", AliasCreate),
    ("UpdateAlias", AliasUpdate),
    ("DeleteAlias", AliasDelete),
    ("PutResourcePolicy", KeyPolicySet),
    ("DeleteResourcePolicy", KeyPolicySet),
    ("GetResourcePolicy", KeyRead),
    ("AddKeyReplicationRegions", KeyReplicate),
    ("RemoveKeyReplicationRegions", KeyUpdate),
    ("EnableDefaultKeyReplicationRegions", KeyUpdate),
    ("DisableDefaultKeyReplicationRegions", KeyUpdate),
    ("AssociateMpaTeam", HsmQuorumSet),
    ("DisassociateMpaTeam", HsmQuorumSet),
    ("TagResource", TagChange),
    ("UntagResource", TagChange),
    ("EncryptData", KeyUseEncrypt),
    ("ReEncryptData", KeyUseEncrypt),
    ("DecryptData", KeyUseDecrypt),
    ("GenerateMac", KeyUseMac),
    ("VerifyMac", KeyUseMac),
    ("TranslateKeyMaterial", KeyUseWrap),
];

const TRAIL: &[(&str, Action)] = &[
    ("CreateTrail", LoggingChange),
    ("UpdateTrail", LoggingChange),
    ("DeleteTrail", LoggingDelete),
    ("StartLogging", LoggingStart),
    ("StopLogging", LoggingStop),
    ("PutEventSelectors", LoggingChange),
    ("PutInsightSelectors", LoggingChange),
    ("PutEventConfiguration", LoggingChange),
    ("CreateEventDataStore", LoggingChange),
    ("UpdateEventDataStore", LoggingChange),
    ("DeleteEventDataStore", LoggingDelete),
    ("RestoreEventDataStore", LoggingChange),
    ("StartEventDataStoreIngestion", LoggingStart),
    ("StopEventDataStoreIngestion", LoggingStop),
    ("RegisterOrganizationDelegatedAdmin", LoggingChange),
    ("DeregisterOrganizationDelegatedAdmin", LoggingChange),
    ("PutResourcePolicy", LoggingChange),
    ("DeleteResourcePolicy", LoggingChange),
    ("AddTags", TagChange),
    ("RemoveTags", TagChange),
    ("DescribeTrails", LoggingRead),
    ("GetTrail", LoggingRead),
    ("GetTrailStatus", LoggingRead),
    ("GetEventSelectors", LoggingRead),
    ("GetInsightSelectors", LoggingRead),
    ("ListTrails", LoggingRead),
    ("ListTags", LoggingRead),
    ("ListPublicKeys", LoggingRead),
    ("ListEventDataStores", LoggingRead),
    ("GetEventDataStore", LoggingRead),
    ("ListChannels", LoggingRead),
    ("ListImports", LoggingRead),
    ("LookupEvents", LoggingRead),
    ("StartQuery", LoggingRead),
    ("GetQueryResults", LoggingRead),
    ("DescribeQuery", LoggingRead),
];

const LOGS: &[(&str, Action)] = &[
    ("CreateLogGroup", LoggingStart),
    ("DeleteLogGroup", LoggingDelete),
    ("DeleteLogStream", LoggingDelete),
    ("PutRetentionPolicy", LoggingChange),
    ("DeleteRetentionPolicy", LoggingChange),
    ("PutSubscriptionFilter", LoggingChange),
    ("DeleteSubscriptionFilter", LoggingChange),
    ("PutMetricFilter", LoggingChange),
    ("DeleteMetricFilter", LoggingChange),
    ("AssociateKmsKey", LoggingChange),
    ("DisassociateKmsKey", LoggingChange),
    ("PutDataProtectionPolicy", LoggingChange),
    ("PutLogGroupDeletionProtection", LoggingChange),
];

const ORGANIZATIONS: &[(&str, Action)] = &[
    ("EnableAWSServiceAccess", LoggingChange),
    ("DisableAWSServiceAccess", LoggingChange),
    ("RegisterDelegatedAdministrator", LoggingChange),
    ("DeregisterDelegatedAdministrator", LoggingChange),
];

fn service(source: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.source == source)
}

/// The action of an operation; `Other` where it is not classified.
pub fn action_of(source: &str, name: &str) -> Action {
    service(source)
        .and_then(|service| service.operations.iter().find(|(operation, _)| *operation == name))
        .map_or(Other, |(_, action)| *action)
}

/// The name of a source in the column `service`.
pub(super) fn service_of(source: &str) -> &str {
    service(source).map_or(source, |service| service.name)
}

/// Whether a record may matter, told from its two names alone.
pub(in crate::provider) fn is_candidate(source: &str, name: &str) -> bool {
    service(source).is_some_and(|service| {
        service.whole || service.operations.iter().any(|(operation, _)| *operation == name)
    })
}

/// Whether a candidate does matter. A log group matters where it holds an HSM's log or a trail's
/// copy; trusted access of an organisation where it is CloudTrail's.
pub(super) fn is_relevant(source: &str, name: &str, record: &Node<'_>) -> bool {
    match source {
        "logs.amazonaws.com" => {
            let group = record
                .text(&["requestParameters", "logGroupName"])
                .or_else(|| record.text(&["requestParameters", "resourceIdentifier"]))
                .or_else(|| record.text(&["requestParameters", "logGroupIdentifier"]))
                .unwrap_or_default()
                .to_ascii_lowercase();
            group.contains("/aws/cloudhsm/") || group.contains("cloudtrail") || group.is_empty()
        }
        "organizations.amazonaws.com" => record
            .text(&["requestParameters", "servicePrincipal"])
            .is_none_or(|principal| principal == "cloudtrail.amazonaws.com"),
        _ => is_candidate(source, name),
    }
}

/// The action of a record. `CreateKey` with an origin outside KMS waits for its material, and a
/// policy given with it is the first policy; both stay `key.create`.
pub(super) fn classify(source: &str, name: &str, record: &Node<'_>) -> Action {
    match action_of(source, name) {
        // CloudTrail read operations keep growing; those that say so change nothing.
        Other if record.flag(&["readOnly"]) == Some(true) => match service_of(source) {
            "kms" | "payment-cryptography" => KeyRead,
            "cloudhsm" => HsmRead,
            "cloudtrail" => LoggingRead,
            _ => Other,
        },
        action => action,
    }
}
