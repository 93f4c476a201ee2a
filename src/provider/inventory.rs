//! Inventory: what keys and HSMs exist, as of a time, read from recorded output of the clouds'
//! command-line tools. Rows are partial: one file tells one fact of a key, another the next;
//! the view `key_state` puts the newest of each together.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::event::{Origin, Protection, Provider};

/// One fact or more about a key, as of `captured_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Whose key.
    pub provider: Provider,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// Canonical key identity, as in events.
    pub key_id: String,
    /// An alias of the key (one row an alias).
    pub key_alias: Option<String>,
    /// What ties replicas together.
    pub key_group: Option<String>,
    /// Algorithm and size in the provider's words.
    pub key_spec: Option<String>,
    /// What the key is for, in the provider's words: `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, …
    pub key_usage: Option<String>,
    /// `enabled`, `disabled`, `pending_deletion`, `pending_import`, `unavailable`, `destroyed`,
    /// or the provider's own word in lower case.
    pub state: Option<String>,
    /// `customer` or `provider`: who manages the key.
    pub manager: Option<String>,
    /// Where the material came from.
    pub origin: Option<Origin>,
    /// Where the material is kept.
    pub protection: Option<Protection>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it will be, or was, destroyed.
    pub deletion_at: Option<Timestamp>,
    /// When it, or its imported material, expires.
    pub expires_at: Option<Timestamp>,
    /// Whether automatic rotation is configured.
    pub rotation_enabled: Option<bool>,
    /// The configured rotation period in days.
    pub rotation_period_days: Option<i64>,
    /// When the provider says that it will rotate next.
    pub next_rotation_at: Option<Timestamp>,
    /// Whether the key policy or binding lets anybody in: `public`, `restricted`, `unreadable`
    /// (there is a policy, and it is cut off or is none); `None` when no policy was read.
    pub access: Option<String>,
    /// The policy statement or binding that lets anybody in, or other specifics; small.
    pub details: Map<String, Value>,
}

impl KeyRow {
    /// A row that names a key and nothing else.
    pub fn new(provider: Provider, key_id: impl Into<String>) -> Self {
        Self {
            provider,
            account: None,
            region: None,
            key_id: key_id.into(),
            key_alias: None,
            key_group: None,
            key_spec: None,
            key_usage: None,
            state: None,
            manager: None,
            origin: None,
            protection: None,
            created_at: None,
            deletion_at: None,
            expires_at: None,
            rotation_enabled: None,
            rotation_period_days: None,
            next_rotation_at: None,
            access: None,
            details: Map::new(),
        }
    }
}

/// One version of a key, or one piece of key material in it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyVersionRow {
    /// Whose key.
    pub provider: Provider,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// The key it belongs to.
    pub key_id: String,
    /// Version number or key-material id.
    pub version: String,
    /// `enabled`, `disabled`, `destroyed`, … or the provider's own word in lower case.
    pub state: Option<String>,
    /// Whether it is the version in use for new operations.
    pub is_primary: Option<bool>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it took over (AWS `RotationDate`); `None` where the provider has no such fact.
    pub rotated_at: Option<Timestamp>,
    /// How it came: `automatic`, `on_demand`, `import`; `None` where unknown.
    pub rotation_type: Option<String>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Algorithm and size.
    pub key_spec: Option<String>,
    /// Where the material is kept.
    pub protection: Option<Protection>,
    /// Specifics; small.
    pub details: Map<String, Value>,
}

/// One HSM, HSM cluster or pool.
#[derive(Debug, Clone, PartialEq)]
pub struct HsmRow {
    /// Whose HSM.
    pub provider: Provider,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// The HSM's id.
    pub hsm_id: String,
    /// The cluster or pool that it belongs to; its own id for a cluster row.
    pub cluster_id: Option<String>,
    /// `cluster`, `hsm`, `pool`, `vault`, `instance`; `proposal` (about an instance) and
    /// `import_job` are no HSMs, and stand here for want of a better place.
    pub kind: String,
    /// State in the provider's word, lower case.
    pub state: Option<String>,
    /// Hardware type or SKU.
    pub hsm_type: Option<String>,
    /// `FIPS` or `NON_FIPS` where the provider says.
    pub mode: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Specifics; small, secrets masked.
    pub details: Map<String, Value>,
}

/// What is logged, where to and for how long: a trail, a log group, a diagnostic setting.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettingRow {
    /// Whose setting.
    pub provider: Provider,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location; `*` for all.
    pub region: Option<String>,
    /// The setting's identity: trail ARN, log group, diagnostic setting id.
    pub setting_id: String,
    /// `event_selectors`, `trail`, `log_group`, `log_bucket`, `diagnostic_setting`, `audit_config`.
    pub kind: String,
    /// The resource whose logs it routes, where it is about one.
    pub resource_id: Option<String>,
    /// Whether it records key events: `Some(false)` where they are excluded.
    pub logs_keys: Option<bool>,
    /// Retention in days where it is limited.
    pub retention_days: Option<i64>,
    /// Specifics; small.
    pub details: Map<String, Value>,
}

/// The facts of one inventory document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    /// Keys.
    pub keys: Vec<KeyRow>,
    /// Versions of keys.
    pub key_versions: Vec<KeyVersionRow>,
    /// HSMs, clusters, pools, vaults.
    pub hsms: Vec<HsmRow>,
    /// Log settings.
    pub log_settings: Vec<LogSettingRow>,
}

impl Inventory {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.keys.len() + self.key_versions.len() + self.hsms.len() + self.log_settings.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is known about an inventory document besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryContext {
    /// `--account`, for documents that name none.
    pub account: Option<String>,
    /// `--region`, for documents that name none.
    pub region: Option<String>,
    /// A key named on the command line or by the file's name (UUID or ARN), for documents that
    /// name none (`get-key-policy`, `get-iam-policy`).
    pub key_hint: Option<String>,
}

/// The documents that are known, told apart by their content alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InventoryKind {
    /// `aws kms describe-key`: `{"KeyMetadata": {…}}`.
    AwsDescribeKey,
    /// `aws kms list-key-rotations`: `{"Rotations": […]}`.
    AwsListKeyRotations,
    /// `aws kms get-key-rotation-status`: `{"KeyRotationEnabled": …}`.
    AwsKeyRotationStatus,
    /// `aws kms get-key-policy`: `{"Policy": "…"}`.
    AwsKeyPolicy,
    /// `aws kms list-aliases`: `{"Aliases": […]}`.
    AwsListAliases,
    /// `aws kms list-keys`: `{"Keys": [{"KeyId", "KeyArn"}]}`.
    AwsListKeys,
    /// `aws cloudtrail get-event-selectors`: `{"TrailARN", "EventSelectors"|"AdvancedEventSelectors"}`.
    AwsEventSelectors,
    /// `aws cloudhsmv2 describe-clusters`: `{"Clusters": […]}`.
    AwsDescribeClusters,
    /// `aws cloudtrail describe-trails`: `{"trailList": […]}`, or `get-trail`: `{"Trail": {…}}`.
    AwsTrails,
    /// `aws logs describe-log-groups`: `{"logGroups": […]}`.
    AwsLogGroups,
    /// `aws kms list-grants`: `{"Grants": […]}`.
    AwsListGrants,
    /// `aws kms describe-custom-key-stores`: `{"CustomKeyStores": […]}`.
    AwsCustomKeyStores,
    /// `aws cloudhsmv2 describe-backups`: `{"Backups": […]}`.
    AwsBackups,
    /// One item of `gcloud kms keys list --format json`.
    GcpKey,
    /// One item of `gcloud kms keys versions list --format json`.
    GcpKeyVersion,
    /// `gcloud kms keys get-iam-policy --format json`: `{"bindings": […], "etag"}`.
    GcpIamPolicy,
    /// `gcloud projects get-iam-policy --format json`, for what it audits.
    GcpAuditConfig,
    /// One item of `gcloud logging buckets list --format json`.
    GcpLogBucket,
    /// One item of `gcloud kms import-jobs list --format json`.
    GcpImportJob,
    /// One item of `gcloud kms single-tenant-hsm list --format json`.
    GcpHsmInstance,
    /// One item of `gcloud kms single-tenant-hsm proposal list --format json`.
    GcpHsmProposal,
    /// `az keyvault key show`, or one item of `az keyvault key list`.
    AzureKey,
    /// One item of `az keyvault key list-versions`.
    AzureKeyVersion,
    /// `az keyvault show` (vault or Managed HSM).
    AzureVault,
    /// One item of `az monitor diagnostic-settings list`.
    AzureDiagnosticSetting,
}
