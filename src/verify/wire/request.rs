//! The calls that can be asked for.

use serde::{Deserialize, Serialize};

use super::{Attribute, Bytes, Mechanism};

/// What a session does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `C_Encrypt…`
    Encrypt,
    /// `C_Decrypt…`
    Decrypt,
    /// `C_Sign…`
    Sign,
    /// `C_Digest…`; the key does not count.
    Digest,
}

impl Operation {
    /// The function that begins it.
    pub fn init(self) -> &'static str {
        match self {
            Self::Encrypt => "C_EncryptInit",
            Self::Decrypt => "C_DecryptInit",
            Self::Sign => "C_SignInit",
            Self::Digest => "C_DigestInit",
        }
    }

    /// The function that does it at once.
    pub fn perform(self) -> &'static str {
        match self {
            Self::Encrypt => "C_Encrypt",
            Self::Decrypt => "C_Decrypt",
            Self::Sign => "C_Sign",
            Self::Digest => "C_Digest",
        }
    }
}

/// Who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// The normal user, with his PIN.
    User,
    /// The security officer, with his.
    So,
    /// The normal user once more, for one operation.
    Context,
    /// The normal user with a PIN that is surely wrong. Only tokens that may be lost see it.
    Wrong,
}

/// One call. Each stands for one function of PKCS #11, except where it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Request {
    /// Opens the library and takes its function list.
    Load {
        /// Absolute path.
        module: String,
    },
    /// `C_Initialize`
    Initialize {
        /// What `pReserved` points to.
        reserved: Option<String>,
    },
    /// `C_Finalize`; the worker answers, sends `Reply::done` and ends.
    Finalize,
    /// `C_GetInfo`
    Info,
    /// `C_GetSlotList` of slots with a token.
    Slots,
    /// `C_GetTokenInfo`
    Token {
        /// Which slot.
        slot: u64,
    },
    /// `C_GetMechanismList`
    Mechanisms {
        /// Which slot.
        slot: u64,
    },
    /// `C_GetMechanismInfo` of each.
    MechanismInfo {
        /// Which slot.
        slot: u64,
        /// Which mechanisms.
        kinds: Vec<u64>,
    },
    /// `C_OpenSession`
    OpenSession {
        /// Which slot.
        slot: u64,
        /// Whether objects may be written.
        write: bool,
    },
    /// `C_CloseSession`
    CloseSession {
        /// Which.
        session: u64,
    },
    /// `C_Login`
    Login {
        /// In which session.
        session: u64,
        /// Who.
        login: Login,
    },
    /// `C_Logout`
    Logout {
        /// In which session.
        session: u64,
    },
    /// `C_InitPIN` with the PIN that the user has already.
    InitPin {
        /// In which session.
        session: u64,
    },
    /// `C_FindObjectsInit`, `C_FindObjects` until there are no more, `C_FindObjectsFinal`.
    Find {
        /// In which session.
        session: u64,
        /// What the objects have.
        template: Vec<Attribute>,
        /// How many are returned at most.
        most: usize,
    },
    /// `C_GetAttributeValue` for each object, as often as the tri-state of each attribute takes.
    Attributes {
        /// In which session.
        session: u64,
        /// Whose.
        objects: Vec<u64>,
        /// Which.
        kinds: Vec<u64>,
    },
    /// `C_SetAttributeValue`
    SetAttributes {
        /// In which session.
        session: u64,
        /// Whose.
        object: u64,
        /// What to.
        template: Vec<Attribute>,
    },
    /// `C_CreateObject`
    Create {
        /// In which session.
        session: u64,
        /// What.
        template: Vec<Attribute>,
    },
    /// `C_CopyObject`
    Copy {
        /// In which session.
        session: u64,
        /// Of what.
        object: u64,
        /// What differs.
        template: Vec<Attribute>,
    },
    /// `C_DestroyObject`
    Destroy {
        /// In which session.
        session: u64,
        /// Which.
        object: u64,
    },
    /// `C_GenerateKey`
    Generate {
        /// In which session.
        session: u64,
        /// How.
        mechanism: Mechanism,
        /// What.
        template: Vec<Attribute>,
    },
    /// `C_GenerateKeyPair`
    GeneratePair {
        /// In which session.
        session: u64,
        /// How.
        mechanism: Mechanism,
        /// The public half.
        public: Vec<Attribute>,
        /// The private half.
        private: Vec<Attribute>,
    },
    /// `C_…Init` of an operation.
    Begin {
        /// In which session.
        session: u64,
        /// What is done.
        operation: Operation,
        /// How.
        mechanism: Mechanism,
        /// With which key.
        key: u64,
    },
    /// The operation at once.
    Perform {
        /// In which session.
        session: u64,
        /// What is done.
        operation: Operation,
        /// To what.
        data: Bytes,
    },
    /// `C_WrapKey`
    Wrap {
        /// In which session.
        session: u64,
        /// How.
        mechanism: Mechanism,
        /// By which key.
        by: u64,
        /// Which key.
        key: u64,
    },
    /// `C_UnwrapKey`
    Unwrap {
        /// In which session.
        session: u64,
        /// How.
        mechanism: Mechanism,
        /// By which key.
        by: u64,
        /// The wrapped key.
        wrapped: Bytes,
        /// What becomes of it.
        template: Vec<Attribute>,
    },
    /// `C_GenerateRandom`
    Random {
        /// In which session.
        session: u64,
        /// How many bytes.
        bytes: usize,
    },
}

impl Request {
    /// The function of PKCS #11 that it begins with.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Load { .. } => "dlopen",
            Self::Initialize { .. } => "C_Initialize",
            Self::Finalize => "C_Finalize",
            Self::Info => "C_GetInfo",
            Self::Slots => "C_GetSlotList",
            Self::Token { .. } => "C_GetTokenInfo",
            Self::Mechanisms { .. } => "C_GetMechanismList",
            Self::MechanismInfo { .. } => "C_GetMechanismInfo",
            Self::OpenSession { .. } => "C_OpenSession",
            Self::CloseSession { .. } => "C_CloseSession",
            Self::Login { .. } => "C_Login",
            Self::Logout { .. } => "C_Logout",
            Self::InitPin { .. } => "C_InitPIN",
            Self::Find { .. } => "C_FindObjectsInit",
            Self::Attributes { .. } => "C_GetAttributeValue",
            Self::SetAttributes { .. } => "C_SetAttributeValue",
            Self::Create { .. } => "C_CreateObject",
            Self::Copy { .. } => "C_CopyObject",
            Self::Destroy { .. } => "C_DestroyObject",
            Self::Generate { .. } => "C_GenerateKey",
            Self::GeneratePair { .. } => "C_GenerateKeyPair",
            Self::Begin { operation, .. } => operation.init(),
            Self::Perform { operation, .. } => operation.perform(),
            Self::Wrap { .. } => "C_WrapKey",
            Self::Unwrap { .. } => "C_UnwrapKey",
            Self::Random { .. } => "C_GenerateRandom",
        }
    }

    /// Whether a key comes to be: what a token limits most.
    pub fn creates(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Copy { .. }
                | Self::Generate { .. }
                | Self::GeneratePair { .. }
                | Self::Unwrap { .. }
        )
    }
}
