//! The Arrow schemas of every table that rules and other readers see: the journal, its views, and
//! the inventory beside it. Columns are only ever added; [`SCHEMA_VERSION`] is raised then.
//!
//! Times are `timestamp[us, UTC]`; `details` and `policy`-like columns are small JSON objects as
//! text (read them in SQL with `json_text`, `json_int`, `json_bool`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The version of these schemas, written into every table's metadata.
pub const SCHEMA_VERSION: i64 = 1;

/// One column: name, type, whether it may be null, meaning.
type Column = (&'static str, Kind, bool, &'static str);

/// The few types that the tables use.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Int,
    Small,
    Flag,
    Time,
    Date,
    Texts,
    Hash,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Small => DataType::Int32,
            Self::Flag => DataType::Boolean,
            Self::Time => timestamp(),
            Self::Date => DataType::Date32,
            Self::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Self::Hash => DataType::Binary,
        }
    }
}

/// The type of every time: microseconds, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

const EVENT: &[Column] = &[
    ("ledger", Kind::Text, false, "Owner of the log the record comes from"),
    ("leaf_index", Kind::Int, false, "Place in the ledger, dense and ascending from 0"),
    ("event_id", Kind::Text, false, "`<ledger>|<native id>`, unique"),
    (
        "conflicts_with",
        Kind::Text,
        true,
        "Event whose id this record came with, having other content",
    ),
    ("time", Kind::Time, false, "When it happened"),
    ("received_at", Kind::Time, true, "When the provider received or published it"),
    ("collected_at", Kind::Time, false, "When keytrail read it"),
    ("provider", Kind::Text, false, "aws, gcp, azure, pkcs11"),
    ("service", Kind::Text, false, "kms, cloudhsm, keyvault, managedhsm, cloudkms, …"),
    ("format", Kind::Text, false, "Wire shape of the record"),
    ("transport", Kind::Text, false, "How it was read"),
    ("source", Kind::Text, false, "Where it was read from"),
    ("account", Kind::Text, true, "Account, project or subscription"),
    ("region", Kind::Text, true, "Region or location"),
    ("action", Kind::Text, false, "Canonical action"),
    ("native_action", Kind::Text, false, "The provider's word for it"),
    ("category", Kind::Text, false, "Group of the action"),
    ("outcome", Kind::Text, false, "success, denied, failure, unknown"),
    ("error_code", Kind::Text, true, "The provider's error code"),
    ("error_message", Kind::Text, true, "The provider's error text"),
    ("actor_id", Kind::Text, true, "Stable identity of who acted"),
    ("actor_name", Kind::Text, true, "Name of who acted, an e-mail where known"),
    ("actor_kind", Kind::Text, false, "human, workload, service, root, hsm_user, unknown"),
    ("actor_account", Kind::Text, true, "Account, tenant or cluster of the actor"),
    ("on_behalf_of", Kind::Text, true, "Identity behind a delegation"),
    ("mfa", Kind::Flag, true, "Whether the session had a second factor"),
    ("source_ip", Kind::Text, true, "Caller's address, only real IP addresses"),
    ("source_host", Kind::Text, true, "Caller's host or service name"),
    ("user_agent", Kind::Text, true, "Caller's user agent"),
    ("request_id", Kind::Text, true, "The provider's id of the request"),
    ("session_id", Kind::Text, true, "What ties the calls of a session together"),
    ("key_id", Kind::Text, true, "Canonical key identity"),
    ("key_version", Kind::Text, true, "Version or key-material id"),
    ("key_alias", Kind::Text, true, "Alias that the caller named"),
    ("key_group", Kind::Text, true, "What ties replicas of a key together"),
    ("key_spec", Kind::Text, true, "Algorithm and size"),
    ("protection_level", Kind::Text, true, "software, hsm, hsm_single_tenant, external, unknown"),
    ("origin", Kind::Text, true, "generated, imported, external, unknown"),
    ("hsm_id", Kind::Text, true, "HSM or cluster"),
    ("target", Kind::Text, true, "User, role, grantee, trail or object acted on"),
    ("approvers", Kind::Texts, true, "Who approved, where the log says so"),
    ("read_only", Kind::Flag, true, "Whether the operation could change anything"),
    ("details", Kind::Text, true, "Provider specifics, a JSON object"),
    ("mapper_version", Kind::Small, false, "Version of the mapping that wrote the row"),
    ("raw", Kind::Text, false, "The record exactly as the provider wrote it"),
    ("leaf_hash", Kind::Hash, false, "RFC 6962 leaf hash, 32 bytes"),
];

const JOURNAL_HEAD: &[Column] = &[
    ("kind", Kind::Text, false, "event, quarantine, receipt"),
    ("event_day", Kind::Date, false, "Partition: day of the event, else of collection"),
];

const JOURNAL_TAIL: &[Column] = &[
    ("reason", Kind::Text, true, "Why a record is in quarantine, or what kind of receipt it is"),
    ("place", Kind::Text, true, "Place of a quarantined record within its source"),
];

const QUARANTINE: &[Column] = &[
    ("quarantine_id", Kind::Text, false, "SHA-256 of source, place and record"),
    ("collected_at", Kind::Time, false, "When keytrail read it"),
    ("source", Kind::Text, false, "Where it was read from"),
    ("place", Kind::Text, true, "Place within the source"),
    ("format", Kind::Text, true, "What format it seemed to be"),
    ("reason", Kind::Text, false, "Stable code"),
    ("message", Kind::Text, true, "One sentence"),
    ("raw", Kind::Text, false, "The record, cut at the limit"),
];

const COVERAGE: &[Column] = &[
    ("ledger", Kind::Text, false, "Owner of the log"),
    ("region", Kind::Text, true, "Region; null for all"),
    ("kind", Kind::Text, false, "aws.kms, gcp.kms.admin, azure.keyvault.audit, …"),
    ("from", Kind::Time, false, "First instant covered"),
    ("to", Kind::Time, false, "First instant after it"),
    ("method", Kind::Text, false, "digest, sequence, exhausted_pages, declared"),
    ("status", Kind::Text, false, "covered or gap"),
    ("detail", Kind::Text, true, "One sentence"),
];

const SNAPSHOT: &[Column] = &[
    ("snapshot_id", Kind::Text, false, "The reading that the row belongs to"),
    ("captured_at", Kind::Time, true, "As of when; null proves existence only"),
    ("inventory_ref", Kind::Text, false, "Identity of the row, cited by results"),
    ("provider", Kind::Text, false, "aws, gcp, azure"),
    ("account", Kind::Text, true, "Account, project or subscription"),
    ("region", Kind::Text, true, "Region or location"),
];

const KEYS: &[Column] = &[
    ("key_id", Kind::Text, false, "Canonical key identity"),
    ("key_alias", Kind::Text, true, "Alias"),
    ("key_group", Kind::Text, true, "What ties replicas together"),
    ("key_spec", Kind::Text, true, "Algorithm and size"),
    ("key_usage", Kind::Text, true, "What the key is for, the provider's word"),
    (
        "state",
        Kind::Text,
        true,
        "enabled, disabled, pending_deletion, pending_import, destroyed, …",
    ),
    ("manager", Kind::Text, true, "customer or provider"),
    ("origin", Kind::Text, true, "generated, imported, external, unknown"),
    ("protection_level", Kind::Text, true, "software, hsm, hsm_single_tenant, external, unknown"),
    ("created_at", Kind::Time, true, "When it was created"),
    ("deletion_at", Kind::Time, true, "When it will be, or was, destroyed"),
    ("expires_at", Kind::Time, true, "When it or its material expires"),
    ("rotation_enabled", Kind::Flag, true, "Whether automatic rotation is configured"),
    ("rotation_period_days", Kind::Int, true, "Configured rotation period"),
    ("next_rotation_at", Kind::Time, true, "When the provider says it will rotate"),
    ("access", Kind::Text, true, "public or restricted; null where no policy was read"),
    ("details", Kind::Text, true, "Specifics, a JSON object"),
];

const KEY_VERSIONS: &[Column] = &[
    ("key_id", Kind::Text, false, "The key it belongs to"),
    ("version", Kind::Text, false, "Version number or key-material id"),
    ("state", Kind::Text, true, "enabled, disabled, destroyed, …"),
    ("is_primary", Kind::Flag, true, "Whether new operations use it"),
    ("created_at", Kind::Time, true, "When it was created"),
    ("rotated_at", Kind::Time, true, "When it took over"),
    ("rotation_type", Kind::Text, true, "automatic, on_demand, import"),
    ("expires_at", Kind::Time, true, "When it expires"),
    ("key_spec", Kind::Text, true, "Algorithm and size"),
    ("protection_level", Kind::Text, true, "software, hsm, …"),
    ("details", Kind::Text, true, "Specifics, a JSON object"),
];

const HSMS: &[Column] = &[
    ("hsm_id", Kind::Text, false, "The HSM's id"),
    ("cluster_id", Kind::Text, true, "Cluster or pool it belongs to"),
    ("kind", Kind::Text, false, "cluster, hsm, pool, vault, instance; proposal, import_job"),
    ("state", Kind::Text, true, "The provider's word, lower case"),
    ("hsm_type", Kind::Text, true, "Hardware type or SKU"),
    ("mode", Kind::Text, true, "FIPS or NON_FIPS"),
    ("created_at", Kind::Time, true, "When it was created"),
    ("details", Kind::Text, true, "Specifics, a JSON object; secrets masked"),
];

const LOG_SETTINGS: &[Column] = &[
    ("setting_id", Kind::Text, false, "Trail ARN, log group, diagnostic setting"),
    (
        "kind",
        Kind::Text,
        false,
        "event_selectors, trail, log_group, log_bucket, diagnostic_setting, audit_config",
    ),
    ("resource_id", Kind::Text, true, "The resource whose logs it routes"),
    ("logs_keys", Kind::Flag, true, "Whether key events are recorded"),
    ("retention_days", Kind::Int, true, "Retention where limited"),
    ("details", Kind::Text, true, "Specifics, a JSON object"),
];

const VERIFICATIONS: &[Column] = &[
    ("run_id", Kind::Text, false, "The run"),
    ("name", Kind::Text, true, "The section of the configuration that asked for it"),
    ("production", Kind::Flag, false, "Whether keys of production are on the token"),
    ("level", Kind::Text, false, "How far the run went: inventory, use, drill, operator"),
    ("started", Kind::Time, false, "When the run began"),
    ("ended", Kind::Time, false, "When the run was over"),
    ("tool_version", Kind::Text, false, "Version of keytrail"),
    ("module_sha256", Kind::Text, false, "SHA-256 of the module's file"),
    ("token", Kind::Text, false, "The token's URI"),
    ("token_serial", Kind::Text, false, "The token's serial number"),
    ("token_model", Kind::Text, false, "Manufacturer and model"),
    ("log", Kind::Text, true, "Where the calls should stand in a log, a JSON object"),
    ("check_id", Kind::Text, false, "Which check; `inventory.key` tells a key's attributes"),
    ("check_version", Kind::Int, false, "Version of the check's procedure"),
    ("check_level", Kind::Text, false, "At which level the check is made"),
    ("title", Kind::Text, false, "What the check tests"),
    ("subject_kind", Kind::Text, false, "token or key"),
    ("subject_id", Kind::Text, false, "The token's URI, or the key's"),
    ("key_id", Kind::Text, true, "The key's name in the inventory and log of its cloud"),
    ("key_spec", Kind::Text, true, "Type and size"),
    (
        "verdict",
        Kind::Text,
        false,
        "PASS, FAIL, NOT_SUPPORTED, NOT_APPLICABLE, INCONCLUSIVE, SKIPPED",
    ),
    ("required", Kind::Flag, false, "Whether the policy asks for a pass"),
    ("advisory", Kind::Flag, false, "Whether the standard allows what it looks for"),
    ("fails", Kind::Flag, false, "Whether it makes the run a failed one"),
    ("function", Kind::Text, true, "The function that decided"),
    ("rv", Kind::Text, true, "What it returned"),
    ("message", Kind::Text, false, "One sentence"),
    ("evidence", Kind::Text, true, "What the verdict rests on, a JSON object"),
    ("known", Kind::Text, true, "What tells that the key is still the same, a JSON object"),
    ("calls", Kind::Text, true, "The calls that a log should have, a JSON list"),
    ("check_started", Kind::Time, false, "When the check began"),
    ("check_ended", Kind::Time, false, "When the check was over"),
];

const VERIFICATION_STEPS: &[Column] = &[
    ("run_id", Kind::Text, false, "The run"),
    ("token", Kind::Text, false, "The token's URI"),
    ("window_from", Kind::Time, false, "First instant of the log that was looked at"),
    ("window_to", Kind::Time, false, "Last instant of the log that was looked at"),
    ("ledgers", Kind::Texts, true, "The logs that were looked at"),
    ("check_id", Kind::Text, true, "For which check; null for an event that no call caused"),
    ("ordinal", Kind::Int, true, "Place of the call among all calls of the run"),
    ("function", Kind::Text, true, "The function called"),
    ("rv", Kind::Text, true, "What it returned"),
    ("key", Kind::Text, true, "The key's label"),
    (
        "trace",
        Kind::Text,
        false,
        "matched_by_key, matched_by_count, not_logged, logging_disabled, refused, missing, unexpected",
    ),
    ("event_id", Kind::Text, true, "The event that was matched, or that no call caused"),
];

const PEOPLE: &[Column] = &[
    ("person", Kind::Text, false, "The person's e-mail, case-folded, or the automation's name"),
    ("provider", Kind::Text, true, "Where the identity lives; null for any"),
    ("account", Kind::Text, true, "Account, tenant or cluster of the identity; null for any"),
    ("identity", Kind::Text, false, "Actor id or name as it stands in logs"),
    ("kind", Kind::Text, false, "human or automation"),
];

const APPROVALS: &[Column] = &[
    ("approval_id", Kind::Text, false, "Identity of the approval"),
    ("kind", Kind::Text, false, "ticket, pim, pam, quorum_record"),
    ("requester", Kind::Text, true, "Who asked"),
    ("approver", Kind::Text, false, "Who approved"),
    ("approved_at", Kind::Time, false, "When it was approved"),
    ("valid_until", Kind::Time, true, "Until when it holds"),
    ("scope", Kind::Text, false, "Key or HSM that it covers, `*` within it stands for anything"),
    (
        "action",
        Kind::Text,
        false,
        "Canonical action that it covers, `*` within it stands for anything",
    ),
    ("reference", Kind::Text, true, "Where it is recorded"),
];

/// One table: its name and groups of columns.
const TABLES: &[(&str, &[&[Column]])] = &[
    ("journal", &[JOURNAL_HEAD, EVENT, JOURNAL_TAIL]),
    ("events", &[EVENT]),
    ("quarantine", &[QUARANTINE]),
    ("coverage", &[COVERAGE]),
    ("keys", &[SNAPSHOT, KEYS]),
    ("key_versions", &[SNAPSHOT, KEY_VERSIONS]),
    ("hsms", &[SNAPSHOT, HSMS]),
    ("log_settings", &[SNAPSHOT, LOG_SETTINGS]),
    ("verifications", &[SNAPSHOT, VERIFICATIONS]),
    ("verification_steps", &[VERIFICATION_STEPS]),
    ("people", &[PEOPLE]),
    ("approvals", &[APPROVALS]),
];

/// The tables that rules and queries see, `journal` excepted, which is the physical one.
pub const VISIBLE: &[&str] = &[
    "events",
    "quarantine",
    "coverage",
    "keys",
    "key_versions",
    "hsms",
    "log_settings",
    "verifications",
    "verification_steps",
    "people",
    "approvals",
];

/// The inventory tables beside the journal.
pub const INVENTORY: &[&str] = &["keys", "key_versions", "hsms", "log_settings"];

/// The tables beside the journal whose rows become visible once a receipt names their snapshot.
pub const SNAPSHOTS: &[&str] = &["keys", "key_versions", "hsms", "log_settings", "verifications"];

/// The schema of a table by name; `None` for a name that is not known. In the journal every column
/// that only events fill may be null.
pub fn table(name: &str) -> Option<SchemaRef> {
    let (_, groups) = TABLES.iter().find(|(table, _)| *table == name)?;
    let physical = name == "journal";
    let fields: Vec<Field> = groups
        .iter()
        .flat_map(|group| group.iter())
        .map(|(column, kind, nullable, _)| {
            let required = !nullable && (!physical || ["kind", "event_day"].contains(column));
            Field::new(*column, kind.data_type(), !required)
        })
        .collect();
    Some(Arc::new(Schema::new(fields)))
}

/// The schema of the journal.
pub fn journal() -> SchemaRef {
    table("journal").unwrap_or_else(|| Arc::new(Schema::empty()))
}

/// The columns of a table with type and meaning, for the documentation.
pub fn describe(name: &str) -> Vec<(&'static str, String, bool, &'static str)> {
    TABLES
        .iter()
        .filter(|(table, _)| *table == name)
        .flat_map(|(_, groups)| groups.iter().flat_map(|group| group.iter()))
        .map(|(column, kind, nullable, meaning)| (*column, kind.words(), *nullable, *meaning))
        .collect()
}

impl Kind {
    fn words(self) -> String {
        match self {
            Self::Text => "text",
            Self::Int => "int64",
            Self::Small => "int32",
            Self::Flag => "boolean",
            Self::Time => "timestamp (us, UTC)",
            Self::Date => "date",
            Self::Texts => "list of text",
            Self::Hash => "binary (32 bytes)",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_table_has_a_schema_without_repeated_columns() {
        for name in VISIBLE.iter().chain(["journal"].iter()) {
            let schema = table(name).unwrap();
            let mut names: Vec<_> = schema.fields().iter().map(|f| f.name().clone()).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{name} repeats a column");
            assert_eq!(describe(name).len(), count);
        }
        assert!(table("nothing").is_none());
    }
}
