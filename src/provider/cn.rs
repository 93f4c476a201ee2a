//! The `CN_*` operations of `LiquidSecurity` HSMs, as AWS CloudHSM and Azure Cloud HSM log them.
//!
//! [`OPERATIONS`] is the one table for both clouds; the list of operations in the documentation is
//! made from it. A name that is not in it is not classified ([`Action::Other`]), never guessed from
//! its number: numbers are unique within a command type only.
//!
//! Names come from the vendors' pages "AWS CloudHSM audit log reference" (its present and its 2023
//! table) and "Tutorial: Operation event logging for Azure Cloud HSM" (glossary).

use crate::event::{Action, Outcome};

/// One operation that the HSM's firmware can log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The name in the log.
    pub name: &'static str,
    /// What it means in the vocabulary of all providers.
    pub action: Action,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether it only begins what another operation ends; its success proves no completion.
    pub begins: bool,
    /// The name of a detail that is set to true on its events.
    pub fact: Option<&'static str>,
    /// What was done, one sentence.
    pub meaning: &'static str,
}

impl Operation {
    const fn fact(mut self, name: &'static str) -> Self {
        self.fact = Some(name);
        self
    }

    const fn begins(mut self) -> Self {
        self.begins = true;
        self
    }
}

const fn change(name: &'static str, action: Action, meaning: &'static str) -> Operation {
    Operation { name, action, read_only: false, begins: false, fact: None, meaning }
}

const fn read(name: &'static str, action: Action, meaning: &'static str) -> Operation {
    Operation { name, action, read_only: true, begins: false, fact: None, meaning }
}

/// Every known operation, grouped as in the documentation. The details that operations set:
/// `session_key` (the key lived in a session only), `masked_object` (the key travelled encrypted
/// under the cluster's masking key: synchronisation, or a copy of that form taken by hand),
/// `wrap_or_unwrap` and `sign_or_verify` (the log does not say which of the two it was).
pub const OPERATIONS: &[Operation] = &[
    // Sessions
    change("CN_LOGIN", Action::HsmLogin, "A user logged in."),
    change("CN_LOGOUT", Action::HsmLogout, "A user logged out."),
    change("CN_APP_FINALIZE", Action::HsmLogout, "A connection ended, with its session keys."),
    change("CN_CLOSE_SESSION", Action::HsmLogout, "A session ended, with its session keys."),
    change("CN_SESSION_CLOSE", Action::HsmLogout, "A session ended, with its session keys."),
    change("CN_CLOSE_PARTITION_SESSIONS", Action::HsmLogout, "All sessions were ended."),
    // No login: it lets a further session of a connection in that is logged in already.
    change("CN_AUTHORIZE_SESSION", Action::HsmOther, "A session was authorised."),
    // Users
    change("CN_CREATE_USER", Action::HsmUserCreate, "A crypto user was created."),
    change("CN_CREATE_CO", Action::HsmUserCreate, "A crypto officer was created."),
    change("CN_CREATE_APPLIANCE_USER", Action::HsmUserCreate, "An appliance user was created."),
    change("CN_DELETE_USER", Action::HsmUserDelete, "A user was deleted."),
    change("CN_CHANGE_PSWD", Action::HsmUserChange, "A user's password was changed."),
    read("CN_LIST_USERS", Action::HsmRead, "Users were listed."),
    // Quorum
    change("CN_SET_M_VALUE", Action::HsmQuorumSet, "The number of approvals needed was set."),
    change("CN_GET_TOKEN", Action::HsmQuorumRequest, "A quorum token was asked for."),
    change("CN_APPROVE_TOKEN", Action::HsmQuorumApprove, "A quorum token was approved."),
    change("CN_DELETE_TOKEN", Action::HsmQuorumDelete, "Quorum tokens were deleted."),
    read("CN_LIST_TOKENS", Action::HsmRead, "Quorum tokens were listed."),
    // Keys
    change("CN_GENERATE_KEY", Action::KeyCreate, "A symmetric key was generated."),
    change("CN_GENERATE_KEY_PAIR", Action::KeyCreate, "A key pair was generated."),
    change("CN_CREATE_OBJECT", Action::KeyImport, "A public key was imported unwrapped."),
    change("CN_MODIFY_OBJECT", Action::KeyUpdate, "An attribute of a key was set."),
    change("CN_DESTROY_OBJECT", Action::KeyDestroy, "A session key was deleted.")
        .fact("session_key"),
    change("CN_TOMBSTONE_OBJECT", Action::KeyDestroy, "A token key was deleted."),
    change("CN_SHARE_OBJECT", Action::KeyPolicySet, "A key was shared or unshared."),
    change("CN_WRAP_KEY", Action::KeyExport, "A key was exported wrapped."),
    change("CN_UNWRAP_KEY", Action::KeyImport, "A wrapped key was imported."),
    change("CN_DERIVE_KEY", Action::KeyUseDerive, "A key was derived."),
    read("CN_NIST_AES_WRAP", Action::KeyUseWrap, "An AES key wrapped or unwrapped another key.")
        .fact("wrap_or_unwrap"),
    change("CN_INSERT_MASKED_OBJECT_USER", Action::KeyReplicate, "A masked key came in.")
        .fact("masked_object"),
    change("CN_EXTRACT_MASKED_OBJECT_USER", Action::KeyExport, "A masked key went out.")
        .fact("masked_object"),
    read("CN_FIND_OBJECTS_FROM_INDEX", Action::KeyRead, "A key was looked up."),
    read("CN_FIND_OBJECTS_USING_COUNT", Action::KeyRead, "Keys were looked up."),
    read("CN_GET_OBJECT_INFO", Action::KeyRead, "With whom a key is shared was read."),
    read("CN_GET_ATTRIBUTE_VALUE", Action::KeyRead, "An attribute of a key was read."),
    read("CN_GET_ALL_ATTRIBUTE_VALUE", Action::KeyRead, "The attributes of a key were read."),
    read("CN_GET_ATTRIBUTE_SIZE", Action::KeyRead, "The size of an attribute was read."),
    read("CN_GET_ALL_ATTRIBUTE_SIZE", Action::KeyRead, "The sizes of attributes were read."),
    read("HASH_SINGLE_CALL", Action::KeyUseSign, "A signature was made or verified.")
        .fact("sign_or_verify"),
    read("ME_PKCS_PKCS1V15_CRT_ENCRYPT", Action::KeyUseSign, "A signature was made."),
    read("ME_PKCS_PKCS1V15_DECRYPT", Action::KeyUseVerify, "A signature was verified."),
    read("CN_FIPS_RAND", Action::KeyUseRandom, "Random bytes were drawn."),
    // Backups
    change("CN_BACKUP_BEGIN", Action::HsmBackupCreate, "A backup began.").begins(),
    change("CN_BACKUP_END", Action::HsmBackupCreate, "A backup was finished."),
    change("CN_RESTORE_BEGIN", Action::HsmBackupRestore, "A restore began.").begins(),
    change("CN_RESTORE_END", Action::HsmBackupRestore, "A restore was finished."),
    // The HSM itself
    change("CN_INIT_TOKEN", Action::HsmInit, "Initialisation began.").begins(),
    change("CN_INIT_DONE", Action::HsmInit, "Initialisation was finished."),
    change("CN_ZEROIZE", Action::HsmZeroize, "All keys and users were erased."),
    change("CN_GEN_KEY_ENC_KEY", Action::HsmOther, "The key encrypting keys was made."),
    change("CN_GEN_PSWD_ENC_KEY", Action::HsmOther, "The key encrypting passwords was made."),
    change("CN_STORE_KBK_SHARE", Action::HsmOther, "A share of the key backup key was stored."),
    change("CN_SET_NODEID", Action::HsmOther, "The number of the node was set."),
    change("CN_CLONE_SOURCE_STAGE1", Action::HsmOther, "This HSM was cloned from."),
    change("CN_CLONE_TARGET_INIT", Action::HsmOther, "Cloning to this HSM began.").begins(),
    change("CN_CLONE_TARGET_STAGE1", Action::HsmOther, "This HSM was cloned to."),
    change("CN_CERT_AUTH_STORE_CERT", Action::HsmOther, "The cluster certificate was stored."),
    change("CN_CERT_AUTH_VALIDATE_PEER_CERTS", Action::HsmOther, "A peer was authenticated."),
    change("CN_CERT_AUTH_SOURCE_KEY_EXCHANGE", Action::HsmOther, "Keys were agreed with a peer."),
    change("CN_CERT_AUTH_TARGET_KEY_EXCHANGE", Action::HsmOther, "Keys were agreed with a peer."),
    read("CN_TOKEN_INFO", Action::HsmRead, "Facts about the HSM were read."),
    read("CN_PARTITION_INFO", Action::HsmRead, "Facts about a partition were read."),
    read("END_MARKER_OPCODE", Action::HsmOther, "The end of a piece of the log was marked."),
];

/// Finds the operation called `name`, in whichever case it is written.
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name.eq_ignore_ascii_case(name))
}

/// Splits `CN_LOGIN (0xd)` into the name and the number as written; text without parentheses at
/// its end is all name.
pub fn named_code(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    text.strip_suffix(')')
        .and_then(|open| open.rsplit_once('('))
        .map(|(name, code)| (name.trim(), code.trim()))
        .filter(|(name, code)| !name.is_empty() && !code.is_empty())
        .map_or((text, None), |(name, code)| (name, Some(code)))
}

/// Reads a number written in hex after `0x`, and no other.
pub fn hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    // `from_str_radix` alone would let a sign through.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Reads a number written in decimal, or in hex after `0x`.
pub fn number(text: &str) -> Option<u64> {
    hex(text).or_else(|| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    })
}

/// Splits a response such as `163:HSM Error: RET_USER_LOGIN_FAILURE` into its code, 0 being
/// success, and its words.
pub fn response(text: &str) -> Option<(u64, &str)> {
    let (code, words) = text.split_once(':').unwrap_or((text, ""));
    Some((number(code.trim())?, words.trim()))
}

/// What the sessions of one connection share: the session handle without its low 12 bits, in hex.
///
/// The log does not say that; it holds for every example that AWS has published. What is told by
/// it (who used a key) is attributed, not stated.
pub fn session_group(handle: u64) -> String {
    format!("{:#x}", handle >> 12)
}

/// How an operation ended that the HSM answered with success or not. A refused login is denied;
/// that the first half of an operation succeeded leaves its end unknown.
pub fn outcome(operation: Option<&Operation>, success: bool) -> Outcome {
    match (operation, success) {
        (Some(operation), true) if operation.begins => Outcome::Unknown,
        (_, true) => Outcome::Success,
        (Some(operation), false) if operation.action == Action::HsmLogin => Outcome::Denied,
        (_, false) => Outcome::Failure,
    }
}

/// Which part a user plays that a record names beside an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedUser {
    /// He acted.
    Actor,
    /// His password was set: by himself, or by an officer for him.
    ActorAndTarget,
    /// He was acted on; who did it is not stated.
    Target,
    /// No vendor's page says which.
    Unstated,
}

/// Tells which part the user plays that a record of `action` names.
pub fn named_user(action: Action) -> NamedUser {
    match action {
        Action::HsmLogin | Action::HsmLogout => NamedUser::Actor,
        Action::HsmUserChange => NamedUser::ActorAndTarget,
        Action::HsmUserCreate | Action::HsmUserDelete => NamedUser::Target,
        _ => NamedUser::Unstated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_operation_stands_once_and_is_classified() {
        for operation in OPERATIONS {
            let same = OPERATIONS.iter().filter(|other| other.name == operation.name);
            assert_eq!(same.count(), 1, "{}", operation.name);
            assert_ne!(operation.action, Action::Other, "{}", operation.name);
            assert_eq!(operation.name, operation.name.to_ascii_uppercase());
            assert!(operation.meaning.ends_with('.'));
        }
    }

    #[test]
    fn operations_mean_what_the_vendors_say() {
        let cases = [
            ("CN_LOGIN", "hsm.login", false),
            ("CN_APP_FINALIZE", "hsm.logout", false),
            ("CN_CREATE_CO", "hsm.user.create", false),
            ("CN_CHANGE_PSWD", "hsm.user.change", false),
            ("CN_SET_M_VALUE", "hsm.quorum.set", false),
            ("CN_GET_TOKEN", "hsm.quorum.request", false),
            ("CN_APPROVE_TOKEN", "hsm.quorum.approve", false),
            ("CN_DELETE_TOKEN", "hsm.quorum.delete", false),
            ("CN_TOMBSTONE_OBJECT", "key.destroy", false),
            ("CN_DESTROY_OBJECT", "key.destroy", false),
            ("CN_INSERT_MASKED_OBJECT_USER", "key.replicate", false),
            ("CN_EXTRACT_MASKED_OBJECT_USER", "key.export", false),
            ("CN_WRAP_KEY", "key.export", false),
            ("CN_UNWRAP_KEY", "key.import", false),
            ("CN_SHARE_OBJECT", "key.policy.set", false),
            ("CN_MODIFY_OBJECT", "key.update", false),
            ("CN_ZEROIZE", "hsm.zeroize", false),
            ("CN_RESTORE_END", "hsm.backup.restore", false),
            ("CN_LIST_TOKENS", "hsm.read", true),
            ("cn_get_object_info", "key.read", true),
        ];
        for (name, action, read_only) in cases {
            let operation = operation(name).unwrap();
            assert_eq!((operation.action.as_str(), operation.read_only), (action, read_only));
        }
    }

    #[test]
    fn names_that_are_often_quoted_but_not_documented_are_not_classified() {
        for name in ["CN_REGISTER_MOFN_PUB_KEY", "CN_APPROVE", "CN_INIT", "CN_", ""] {
            assert_eq!(operation(name), None, "{name}");
        }
    }

    #[test]
    fn only_a_session_keys_end_is_marked_as_one() {
        assert_eq!(operation("CN_DESTROY_OBJECT").unwrap().fact, Some("session_key"));
        assert_eq!(operation("CN_TOMBSTONE_OBJECT").unwrap().fact, None);
    }

    #[test]
    fn a_name_is_told_from_its_number() {
        let cases = [
            ("CN_LOGIN (0xd)", ("CN_LOGIN", Some("0xd"))),
            (" CN_LOGIN(0xd) ", ("CN_LOGIN", Some("0xd"))),
            ("CN_LOGIN", ("CN_LOGIN", None)),
            ("(0xd)", ("(0xd)", None)),
            ("CN_LOGIN ()", ("CN_LOGIN ()", None)),
            ("", ("", None)),
        ];
        for (text, expected) in cases {
            assert_eq!(named_code(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_only_as_they_are_written() {
        assert_eq!(hex("0xe8"), Some(0xe8));
        assert_eq!(hex("0xffffffffffffffff"), Some(u64::MAX));
        for text in ["e8", "0x", "0x+1", "0x10000000000000000", "", "0xg"] {
            assert_eq!(hex(text), None, "{text}");
        }
        assert_eq!(number("131079"), Some(131_079));
        assert_eq!(number("0x10"), Some(16));
        for text in ["", "-1", "+1", "1f", " 1", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_response_is_split_at_its_first_colon() {
        assert_eq!(response("0:HSM Return: SUCCESS"), Some((0, "HSM Return: SUCCESS")));
        assert_eq!(response("163:HSM Error: X"), Some((163, "HSM Error: X")));
        assert_eq!(response("7"), Some((7, "")));
        assert_eq!(response("HSM Return: SUCCESS"), None);
    }

    #[test]
    fn a_refused_login_is_denied_and_a_first_half_proves_no_end() {
        let cases = [
            ("CN_LOGIN", true, Outcome::Success),
            ("CN_LOGIN", false, Outcome::Denied),
            ("CN_WRAP_KEY", false, Outcome::Failure),
            ("CN_BACKUP_BEGIN", true, Outcome::Unknown),
            ("CN_BACKUP_BEGIN", false, Outcome::Failure),
            ("CN_BACKUP_END", true, Outcome::Success),
            ("CN_NEVER_HEARD_OF", true, Outcome::Success),
        ];
        for (name, success, expected) in cases {
            assert_eq!(outcome(operation(name), success), expected, "{name} {success}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in ".{0,60}") {
            let (name, _) = named_code(&text);
            operation(name);
            number(&text);
            response(&text);
        }
    }
}
