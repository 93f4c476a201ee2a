//! The canonical actions: one table, from which the enum, its words and `docs/actions.md` come.

/// Declares the actions: variant, word, category and meaning.
macro_rules! actions {
    ($($variant:ident = $word:literal, $category:literal, $doc:literal;)*) => {
        /// What was done, in one vocabulary for all providers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Action { $(#[doc = $doc] $variant,)* }

        /// Every action with its word, category and meaning, in the order of the documentation.
        pub const ACTIONS: &[ActionInfo] = &[$(ActionInfo {
            action: Action::$variant, word: $word, category: $category, meaning: $doc,
        },)*];

        impl Action {
            /// The word as it stands in tables, rules and reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The group of actions that it belongs to.
            pub const fn category(self) -> &'static str {
                match self { $(Self::$variant => $category,)* }
            }

            /// Reads the word that [`Self::as_str`] writes.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// One row of the table of actions.
#[derive(Debug, Clone, Copy)]
pub struct ActionInfo {
    /// The action.
    pub action: Action,
    /// Its word.
    pub word: &'static str,
    /// Its category.
    pub category: &'static str,
    /// What it means, one sentence.
    pub meaning: &'static str,
}

actions! {
    KeyCreate = "key.create", "lifecycle", "A key was created.";
    KeyImport = "key.import", "material", "Key material was imported.";
    KeyRotate = "key.rotate", "rotation", "New key material took over: the proof of a rotation.";
    KeyRotationRequest = "key.rotation.request", "rotation",
        "A rotation was asked for; not yet proof that it happened.";
    KeyRotationEnable = "key.rotation.enable", "rotation", "Automatic rotation was switched on.";
    KeyRotationDisable = "key.rotation.disable", "rotation", "Automatic rotation was switched off.";
    KeyRotationChange = "key.rotation.change", "rotation",
        "The rotation schedule or policy was changed.";
    KeyEnable = "key.enable", "lifecycle", "A key or version was enabled.";
    KeyDisable = "key.disable", "lifecycle", "A key or version was disabled.";
    KeyDeletionSchedule = "key.deletion.schedule", "lifecycle",
        "A key or version was scheduled for destruction, or soft-deleted.";
    KeyDeletionCancel = "key.deletion.cancel", "lifecycle",
        "A scheduled destruction was called off.";
    KeyDestroy = "key.destroy", "lifecycle", "A key or version was destroyed.";
    KeyRestore = "key.restore", "lifecycle", "A key was restored from a backup.";
    KeyPurge = "key.purge", "lifecycle", "A soft-deleted key was destroyed for good.";
    KeyMaterialDelete = "key.material.delete", "material",
        "Imported key material was deleted; the key is unusable at once.";
    KeyBackup = "key.backup", "material", "A backup copy of a key left the service.";
    KeyExport = "key.export", "material", "Key material was exported, wrapped or not.";
    KeyRelease = "key.release", "material", "A key was released to an attested environment.";
    KeyReplicate = "key.replicate", "lifecycle", "A key was replicated to another region or HSM.";
    KeyUpdate = "key.update", "lifecycle", "An attribute of a key was changed.";
    KeyPolicySet = "key.policy.set", "policy", "Who may use or manage a key was changed.";
    KeyUseEncrypt = "key.use.encrypt", "use", "Data was encrypted.";
    KeyUseDecrypt = "key.use.decrypt", "use", "Data was decrypted.";
    KeyUseSign = "key.use.sign", "use", "Data was signed.";
    KeyUseVerify = "key.use.verify", "use", "A signature was verified.";
    KeyUseMac = "key.use.mac", "use", "A message authentication code was made or verified.";
    KeyUseWrap = "key.use.wrap", "use", "A key was wrapped for storage under this key.";
    KeyUseUnwrap = "key.use.unwrap", "use", "A wrapped key was unwrapped for use.";
    KeyUseDerive = "key.use.derive", "use", "A secret was derived or agreed.";
    KeyUseDataKey = "key.use.data_key", "use", "A data key was generated under this key.";
    KeyUseRandom = "key.use.random", "use", "Random bytes were drawn.";
    KeyRead = "key.read", "read", "Metadata of a key was read or listed.";
    GrantCreate = "grant.create", "policy", "A grant on a key was created.";
    GrantRevoke = "grant.revoke", "policy", "A grant on a key was revoked or retired.";
    AliasCreate = "alias.create", "lifecycle", "An alias was created.";
    AliasUpdate = "alias.update", "lifecycle", "An alias was pointed at another key.";
    AliasDelete = "alias.delete", "lifecycle", "An alias was deleted.";
    ImportPrepare = "import.prepare", "material",
        "An import was prepared: wrapping key and token were issued.";
    KeyStoreCreate = "keystore.create", "hsm",
        "A custom key store or external key connection was created.";
    KeyStoreUpdate = "keystore.update", "hsm",
        "A custom key store or external key connection was changed.";
    KeyStoreDelete = "keystore.delete", "hsm", "A custom key store was deleted.";
    KeyStoreConnect = "keystore.connect", "hsm", "A custom key store was connected.";
    KeyStoreDisconnect = "keystore.disconnect", "hsm", "A custom key store was disconnected.";
    HsmUserCreate = "hsm.user.create", "hsm", "A user of an HSM was created.";
    HsmUserDelete = "hsm.user.delete", "hsm", "A user of an HSM was deleted.";
    HsmUserChange = "hsm.user.change", "hsm", "A user of an HSM or its password was changed.";
    HsmLogin = "hsm.login", "hsm", "A user logged in to an HSM.";
    HsmLogout = "hsm.logout", "hsm", "A session of an HSM ended.";
    HsmQuorumSet = "hsm.quorum.set", "quorum", "The number of approvals needed was set.";
    HsmQuorumRequest = "hsm.quorum.request", "quorum", "An operation under quorum was proposed.";
    HsmQuorumApprove = "hsm.quorum.approve", "quorum", "An operation under quorum was approved.";
    HsmQuorumExecute = "hsm.quorum.execute", "quorum", "An approved operation was carried out.";
    HsmQuorumDelete = "hsm.quorum.delete", "quorum", "A proposal or quorum token was deleted.";
    HsmInit = "hsm.init", "hsm", "An HSM or cluster was initialised.";
    HsmCreate = "hsm.create", "hsm", "An HSM or cluster was created.";
    HsmUpdate = "hsm.update", "hsm", "An HSM or cluster was changed.";
    HsmDelete = "hsm.delete", "hsm", "An HSM or cluster was deleted.";
    HsmZeroize = "hsm.zeroize", "hsm", "An HSM erased its keys.";
    HsmBackupCreate = "hsm.backup.create", "hsm", "A backup of an HSM was made.";
    HsmBackupRestore = "hsm.backup.restore", "hsm", "An HSM was restored from a backup.";
    HsmBackupDelete = "hsm.backup.delete", "hsm", "A backup of an HSM was deleted.";
    HsmBackupCopy = "hsm.backup.copy", "hsm", "A backup of an HSM was copied elsewhere.";
    HsmBackupShare = "hsm.backup.share", "hsm", "Who may read a backup of an HSM was changed.";
    HsmSecurityDomainBackup = "hsm.security_domain.backup", "quorum",
        "The security domain of an HSM was downloaded.";
    HsmSecurityDomainRestore = "hsm.security_domain.restore", "quorum",
        "A security domain was uploaded to an HSM.";
    HsmRoleChange = "hsm.role.change", "policy",
        "A role on an HSM was granted, changed or taken away.";
    HsmRead = "hsm.read", "read", "The state of an HSM was read or listed.";
    HsmOther = "hsm.other", "hsm",
        "An internal operation of an HSM (start-up, certificates, synchronisation).";
    VaultCreate = "vault.create", "vault", "A vault or key ring was created.";
    VaultUpdate = "vault.update", "vault", "A vault was changed.";
    VaultDelete = "vault.delete", "vault", "A vault was deleted.";
    VaultPurge = "vault.purge", "vault", "A deleted vault was destroyed for good.";
    VaultRecover = "vault.recover", "vault", "A deleted vault was recovered.";
    VaultPolicySet = "vault.policy.set", "policy",
        "Who may use or manage a vault or key ring was changed.";
    VaultRead = "vault.read", "read", "The state of a vault was read or listed.";
    LoggingStart = "logging.start", "logging", "Logging was started.";
    LoggingStop = "logging.stop", "logging", "Logging was stopped.";
    LoggingChange = "logging.change", "logging",
        "What is logged, where to, or for how long was changed.";
    LoggingDelete = "logging.delete", "logging", "A log, trail, sink or its content was deleted.";
    LoggingRead = "logging.read", "read", "The state of logging was read.";
    SecretChange = "secret.change", "secret", "A secret of a vault was created or changed.";
    SecretDelete = "secret.delete", "secret", "A secret of a vault was deleted or purged.";
    SecretRead = "secret.read", "secret", "A secret of a vault was read or listed.";
    SecretBackup = "secret.backup", "secret",
        "A secret of a vault was backed up, restored or recovered.";
    CertificateChange = "certificate.change", "certificate",
        "A certificate of a vault was created or changed.";
    CertificateDelete = "certificate.delete", "certificate",
        "A certificate of a vault was deleted or purged.";
    CertificateRead = "certificate.read", "certificate",
        "A certificate of a vault was read or listed.";
    CertificateBackup = "certificate.backup", "certificate",
        "A certificate of a vault was backed up, restored or recovered.";
    TagChange = "tag.change", "lifecycle", "Tags were changed.";
    Authentication = "authentication", "other", "A caller was asked to authenticate.";
    Other = "other", "other", "Not classified; the native name is kept and counted in the report.";
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_its_action_and_stands_once() {
        for info in ACTIONS {
            assert_eq!(Action::parse(info.word), Some(info.action));
            assert_eq!(ACTIONS.iter().filter(|other| other.word == info.word).count(), 1);
        }
        assert_eq!(Action::parse("key.unknown"), None);
    }
}
