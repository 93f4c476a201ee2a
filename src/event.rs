//! The vocabulary of the program: one [`Event`] is one provider record, normalized.
//!
//! Nothing in this module does I/O or reads a clock. An absent fact is `None`, never a guess.

mod action;
pub mod batch;
mod canonical;
mod identity;
pub mod schema;

pub use action::{ACTIONS, Action, ActionInfo};
pub use canonical::{canonical_json, canonical_value};
pub use identity::{content_id, leaf_hash, sha256_hex, to_hex, variant_id};

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Counts what a mapper writes: raised when the meaning of a column changes, so that a reader can
/// tell which rows were written under which meaning.
pub const MAPPER_VERSION: i32 = 1;

/// Declares an enum whose variants are written as fixed words in tables and reports.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as it stands in tables and reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word that [`Self::as_str`] writes.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Whose log a record comes from.
    Provider {
        /// Amazon Web Services.
        Aws = "aws",
        /// Google Cloud.
        Gcp = "gcp",
        /// Microsoft Azure.
        Azure = "azure",
        /// A PKCS#11 token that `verify` exercised.
        Pkcs11 = "pkcs11",
    }
}

words! {
    /// The wire shape of a record; each has one pure mapper.
    Format {
        /// One CloudTrail record.
        CloudTrail = "cloudtrail",
        /// One text block of an AWS CloudHSM audit log.
        CloudHsmAudit = "cloudhsm_audit",
        /// One JSON line of an AWS CloudHSM certificate-storage audit log.
        CloudHsmCertificates = "cloudhsm_certificates",
        /// One Google Cloud audit `LogEntry`.
        GcpAudit = "gcp_audit",
        /// One Azure Activity Log event, as the REST API gives it.
        AzureActivity = "azure_activity",
        /// One Azure Activity Log event, as a diagnostic setting exports it.
        AzureActivityExport = "azure_activity_export",
        /// One Key Vault or Managed HSM `AuditEvent`.
        AzureKeyVault = "azure_keyvault",
        /// One operation record of an Azure Cloud HSM cluster.
        AzureCloudHsm = "azure_cloudhsm",
    }
}

words! {
    /// How the operation ended. Rules count `success` alone.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was refused for lack of permission, or a login failed.
        Denied = "denied",
        /// It failed for any other reason.
        Failure = "failure",
        /// It was started or accepted, or the log does not say.
        Unknown = "unknown",
    }
}

words! {
    /// What kind of identity acted.
    ActorKind {
        /// A person.
        Human = "human",
        /// A program under an identity of the customer.
        Workload = "workload",
        /// The provider itself, or one of its services.
        Service = "service",
        /// The root user of an account.
        Root = "root",
        /// A user of an HSM.
        HsmUser = "hsm_user",
        /// The log does not tell.
        Unknown = "unknown",
    }
}

words! {
    /// Where key material is kept.
    Protection {
        /// In software.
        Software = "software",
        /// In a shared HSM.
        Hsm = "hsm",
        /// In an HSM of one tenant.
        HsmSingleTenant = "hsm_single_tenant",
        /// Outside the provider.
        External = "external",
        /// The provider named a level that is not known here.
        Unknown = "unknown",
    }
}

words! {
    /// Where key material came from.
    Origin {
        /// The provider's HSM or service generated it.
        Generated = "generated",
        /// It was imported.
        Imported = "imported",
        /// It stays in a key manager outside the provider.
        External = "external",
        /// The provider named an origin that is not known here.
        Unknown = "unknown",
    }
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Stable identity: an ARN, an object id, a principal e-mail, an HSM user name.
    pub id: Option<String>,
    /// The name that a person would recognise; an e-mail where the log holds one.
    pub name: Option<String>,
    /// What kind of identity it is.
    pub kind: ActorKind,
    /// The account, project, tenant or cluster that the identity belongs to.
    pub account: Option<String>,
    /// The identity behind a delegation or impersonation.
    pub on_behalf_of: Option<String>,
    /// Whether the session was opened with a second factor.
    pub mfa: Option<bool>,
}

impl Default for Actor {
    fn default() -> Self {
        Self {
            id: None,
            name: None,
            kind: ActorKind::Unknown,
            account: None,
            on_behalf_of: None,
            mfa: None,
        }
    }
}

/// The key that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRef {
    /// Canonical identity: AWS regional key ARN, GCP `CryptoKey` name without version, Azure
    /// lower-case `https://host/keys/name` without port or version, PKCS#11 or HSM handle.
    pub id: Option<String>,
    /// The version or key-material id within the key.
    pub version: Option<String>,
    /// An alias by which the caller named it.
    pub alias: Option<String>,
    /// What ties replicas of one key together (AWS `mrk-` id).
    pub group: Option<String>,
    /// Algorithm and size in the provider's words.
    pub spec: Option<String>,
    /// Where the material is kept.
    pub protection: Option<Protection>,
    /// Where the material came from.
    pub origin: Option<Origin>,
}

/// The network side of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The caller's address; only a real IP address.
    pub ip: Option<String>,
    /// The caller's host or service name where the log gives a name in place of an address.
    pub host: Option<String>,
    /// The caller's user agent.
    pub user_agent: Option<String>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// What ties the calls of one session together.
    pub session_id: Option<String>,
}

/// One record, normalized. `leaf_index`, `conflicts_with` and the times of collection are set when
/// the event is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The owner of the log: `aws/<account>`, `aws/cloudhsm/<hsm-id>`, `gcp/<project>`, …
    pub ledger: String,
    /// The provider's own id of the record; `None` makes the id the hash of the content.
    pub native_id: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// When the provider received or published it.
    pub received_at: Option<Timestamp>,
    /// Whose log it is.
    pub provider: Provider,
    /// Which service it is about: `kms`, `cloudhsm`, `keyvault`, `managedhsm`, `cloudkms`, …
    pub service: String,
    /// The wire shape it came in.
    pub format: Format,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// What was done, in one vocabulary for all providers.
    pub action: Action,
    /// What was done, in the provider's word.
    pub native_action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's error code.
    pub error_code: Option<String>,
    /// The provider's error text.
    pub error_message: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub client: Client,
    /// To which key.
    pub key: KeyRef,
    /// In which HSM or HSM cluster.
    pub hsm_id: Option<String>,
    /// The user, role, grantee, trail or object acted on.
    pub target: Option<String>,
    /// Who approved, where the log says so.
    pub approvers: Vec<String>,
    /// Whether the operation could change anything.
    pub read_only: Option<bool>,
    /// Provider specifics that rules need; small.
    pub details: Map<String, Value>,
}

impl Event {
    /// Starts an event with the facts that every record has; the rest is absent.
    pub fn new(ledger: String, time: Timestamp, provider: Provider, format: Format) -> Self {
        Self {
            ledger,
            native_id: None,
            time,
            received_at: None,
            provider,
            service: String::new(),
            format,
            account: None,
            region: None,
            action: Action::Other,
            native_action: String::new(),
            outcome: Outcome::Unknown,
            error_code: None,
            error_message: None,
            actor: Actor::default(),
            client: Client::default(),
            key: KeyRef::default(),
            hsm_id: None,
            target: None,
            approvers: Vec::new(),
            read_only: None,
            details: Map::new(),
        }
    }

    /// Adds a provider-specific fact unless it is absent (JSON null).
    pub fn detail(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            self.details.insert(name.to_owned(), value);
        }
    }
}
