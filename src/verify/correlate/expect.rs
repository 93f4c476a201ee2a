//! What each provider logs of a call.
//!
//! Sources: AWS `CloudHSM` user guide, "Audit log reference"; Google Cloud KMS, "Audit logging
//! information"; Azure Cloud HSM, "Monitoring"; Thales Luna, "Audit logging categories"; for tests,
//! what swtpm 0.7 and `OpenSC`'s pkcs11-spy were seen to write.

use serde::{Deserialize, Serialize};

use super::Provider;

/// What is switched on or off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Logins.
    Access,
    /// Keys made, changed, destroyed.
    Management,
    /// Keys at work.
    Use,
}

/// What is expected of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// Names of operations, any of which may stand for it; none where it is not logged.
    pub actions: &'static [&'static str],
    /// The category.
    pub category: Category,
    /// Whether the log names keys in a way that can be compared.
    pub keyed: bool,
}

/// A function, its category, and what each of AWS `CloudHSM`, Google, Azure and Luna log of it.
type Row = (&'static str, Category, [&'static [&'static str]; 4]);

use Category::{Access, Management, Use};

const TABLE: &[Row] = &[
    ("C_Login", Access, [&["CN_LOGIN"], &[], &["CN_LOGIN"], &["LUNA_LOGIN"]]),
    ("C_Logout", Access, [&["CN_LOGOUT"], &[], &["CN_LOGOUT"], &["LUNA_LOGOUT"]]),
    (
        "C_GenerateKey",
        Management,
        [
            &["CN_GENERATE_KEY"],
            &["CreateCryptoKey", "CreateCryptoKeyVersion"],
            &["CN_GENERATE_KEY"],
            &["LUNA_GENERATE_KEY"],
        ],
    ),
    (
        "C_GenerateKeyPair",
        Management,
        [
            &["CN_GENERATE_KEY_PAIR"],
            &["CreateCryptoKey", "CreateCryptoKeyVersion"],
            &["CN_GENERATE_KEY_PAIR"],
            &["LUNA_GENERATE_KEY_PAIR"],
        ],
    ),
    (
        "C_CreateObject",
        Management,
        // A secret is brought in wrapped under a key of the client's.
        [
            &["CN_CREATE_OBJECT", "CN_UNWRAP_KEY"],
            &[],
            &["CN_CREATE_OBJECT", "CN_UNWRAP_KEY"],
            &["LUNA_CREATE_OBJECT", "LUNA_UNWRAP_KEY"],
        ],
    ),
    ("C_CopyObject", Management, [&[], &[], &[], &["LUNA_COPY_OBJECT"]]),
    (
        "C_UnwrapKey",
        Management,
        [&["CN_UNWRAP_KEY"], &[], &["CN_UNWRAP_KEY"], &["LUNA_UNWRAP_KEY"]],
    ),
    (
        "C_WrapKey",
        Management,
        [
            &["CN_WRAP_KEY", "CN_NIST_AES_WRAP"],
            &[],
            &["CN_WRAP_KEY", "CN_NIST_AES_WRAP"],
            &["LUNA_WRAP_KEY"],
        ],
    ),
    (
        "C_DeriveKey",
        Management,
        [&["CN_DERIVE_KEY"], &[], &["CN_DERIVE_KEY"], &["LUNA_DERIVE_KEY"]],
    ),
    (
        "C_SetAttributeValue",
        Management,
        [&["CN_MODIFY_OBJECT"], &[], &["CN_MODIFY_OBJECT"], &["LUNA_MODIFY_OBJECT"]],
    ),
    (
        "C_DestroyObject",
        Management,
        [
            &["CN_TOMBSTONE_OBJECT", "CN_DESTROY_OBJECT"],
            &["DestroyCryptoKeyVersion"],
            &["CN_TOMBSTONE_OBJECT", "CN_DESTROY_OBJECT"],
            &["LUNA_DESTROY_OBJECT"],
        ],
    ),
    ("C_Sign", Use, [&[], &["AsymmetricSign", "MacSign"], &[], &["LUNA_SIGN"]]),
    ("C_Decrypt", Use, [&[], &["AsymmetricDecrypt", "RawDecrypt"], &[], &["LUNA_DECRYPT"]]),
    ("C_Encrypt", Use, [&[], &["RawEncrypt"], &[], &["LUNA_ENCRYPT"]]),
];

/// Functions and the commands that a TPM sees of them.
const SWTPM: &[(&str, Category, &[&str])] = &[
    ("C_Login", Access, &["TPM2_Unseal"]),
    ("C_GenerateKeyPair", Management, &["TPM2_Create", "TPM2_CreateLoaded"]),
    ("C_Sign", Use, &["TPM2_Sign"]),
    ("C_DestroyObject", Management, &[]),
];

/// What a TPM does beside that for any call.
const SWTPM_BACKGROUND: &[&str] = &[
    "TPM2_StartAuthSession",
    "TPM2_Load",
    "TPM2_LoadExternal",
    "TPM2_FlushContext",
    "TPM2_GetCapability",
    "TPM2_ReadPublic",
    "TPM2_GetRandom",
    "TPM2_ContextLoad",
    "TPM2_ContextSave",
];

/// What a client library of the providers does beside the calls that are made of it.
const BACKGROUND: &[&str] = &[
    "CN_AUTHORIZE_SESSION",
    "CN_SESSION_CLOSE",
    "CN_CLOSE_SESSION",
    "CN_APP_FINALIZE",
    "CN_LOGOUT",
    "CN_GENERATE_KEY_ENC_KEY",
    "CN_GEN_KEY_ENC_KEY",
    "CN_INSERT_MASKED_OBJECT_USER",
    "CN_EXTRACT_MASKED_OBJECT_USER",
    "CN_FIND_OBJECTS_USING_COUNT",
    "CN_GET_OBJECT_INFO",
    "CN_GET_ATTRIBUTE_VALUE",
    "CN_GET_ALL_ATTRIBUTE_VALUE",
    "GetPublicKey",
    "ListCryptoKeys",
    "ListCryptoKeyVersions",
    "GetCryptoKey",
    "GetKeyRing",
];

/// What a provider logs of a call of a function; `None` for functions that are no step: nobody
/// logs that attributes were read.
pub fn of(provider: Provider, function: &str) -> Option<Expectation> {
    let column = match provider {
        Provider::None => return None,
        Provider::AwsCloudhsm => 0,
        Provider::GcpKms => 1,
        Provider::AzureCloudHsm => 2,
        Provider::Luna => 3,
        Provider::Swtpm => {
            let (_, category, actions) = SWTPM.iter().find(|row| row.0 == function)?;
            return Some(Expectation { actions, category: *category, keyed: false });
        }
        Provider::Pkcs11Spy => {
            let (name, category, _) = TABLE.iter().find(|row| row.0 == function)?;
            let actions = std::slice::from_ref(name);
            return Some(Expectation { actions, category: *category, keyed: false });
        }
    };
    let (_, category, columns) = TABLE.iter().find(|row| row.0 == function)?;
    let actions = columns.get(column).copied().unwrap_or_default();
    // CloudHSM names handles; whether PKCS #11 has the same ones is not documented. Azure and TPMs
    // name no keys at all.
    let keyed = matches!(provider, Provider::GcpKms | Provider::Luna);
    Some(Expectation { actions, category: *category, keyed })
}

/// Whether an operation is one that comes with others, so that it is no sign of somebody else.
pub fn background(provider: Provider, action: &str) -> bool {
    match provider {
        Provider::Swtpm => SWTPM_BACKGROUND.contains(&action),
        Provider::Pkcs11Spy => TABLE.iter().all(|row| row.0 != action),
        _ => BACKGROUND.contains(&action),
    }
}
