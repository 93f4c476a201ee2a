//! The door to the mappers: one record in, one event, "irrelevant" or a reason to quarantine out.

use serde_json::Value;

use super::inventory::{Inventory, InventoryContext, InventoryKind};
use super::{aws, azure, gcp};
use crate::event::{Event, Format, words};

/// What is known about a record besides its bytes. Everything is optional: names of files and
/// flags of the command line may give identity, never format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The account (project, subscription) to assume where a record names none.
    pub account: Option<String>,
    /// The region to assume where a record names none.
    pub region: Option<String>,
    /// The CloudWatch log group of a CloudHSM record: `/aws/cloudhsm/<cluster-id>`.
    pub log_group: Option<String>,
    /// The CloudWatch log stream of a CloudHSM record: the HSM id, or the cluster id.
    pub log_stream: Option<String>,
}

/// What a mapper made of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// It is about keys, HSMs, vaults or the logging of them.
    Event(Box<Event>),
    /// It is well formed and about something else.
    Irrelevant,
}

words! {
    /// Why a record was put into quarantine.
    Reason {
        /// It is not JSON where JSON was expected.
        BadJson = "bad_json",
        /// A field has a type that the format does not allow.
        BadType = "bad_type",
        /// A time is missing or cannot be read.
        BadTime = "bad_time",
        /// A field is missing without which the record means nothing.
        MissingField = "missing_field",
        /// A line or block of a text log cannot be read.
        BadText = "bad_text",
        /// It stands in a file of a known format and is of none.
        UnknownFormat = "unknown_format",
        /// It holds something that looks like a record inside a wrapper that is not known.
        UnknownEnvelope = "unknown_envelope",
        /// It is longer or nested deeper than the limits allow.
        TooLarge = "too_large",
        /// The file breaks off inside it.
        Truncated = "truncated",
        /// One part of an audit entry that the provider split.
        SplitPart = "split_part",
    }
}

/// A record that cannot be translated, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Reject {
    /// The stable code.
    pub reason: Reason,
    /// One sentence that names the field or place.
    pub detail: String,
}

impl Reject {
    /// Makes a reject.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The field `name` is missing.
    pub fn missing(name: &str) -> Self {
        Self::new(Reason::MissingField, format!("the field `{name}` is missing"))
    }
}

/// Translates one record. Pure: no I/O, no clock; the same record gives the same event.
///
/// # Errors
/// When the record cannot be translated; it belongs into quarantine then.
pub fn normalize(format: Format, raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let mapped = map(format, raw, context)?;
    if let Mapped::Event(event) = &mapped {
        check_ledger(&event.ledger)?;
    }
    Ok(mapped)
}

/// The ledger ends at the first `|` of an event's id, and at the end of its line in a leaf: one
/// that holds such a sign could be taken for another.
fn check_ledger(ledger: &str) -> Result<(), Reject> {
    let odd = |char: char| char == '|' || char.is_control() || char.is_whitespace();
    if ledger.contains(odd) {
        let detail = format!("`{}` is no owner of a log", ledger.escape_debug());
        return Err(Reject::new(Reason::BadType, detail));
    }
    Ok(())
}

fn map(format: Format, raw: &str, context: &Context) -> Result<Mapped, Reject> {
    match format {
        Format::CloudTrail => aws::cloudtrail::map(raw, context),
        Format::CloudHsmAudit => aws::cloudhsm::map(raw, context),
        Format::CloudHsmCertificates => aws::certificates::map(raw, context),
        Format::GcpAudit => gcp::audit::map(raw, context),
        Format::AzureActivity => azure::activity::map(raw, context),
        Format::AzureActivityExport => azure::activity::map_export(raw, context),
        Format::AzureKeyVault => azure::keyvault::map(raw, context),
        Format::AzureCloudHsm => azure::cloudhsm::map(raw, context),
    }
}

/// Reads one inventory document.
///
/// # Errors
/// When it lacks what identifies its subject.
pub fn inventory_rows(
    kind: InventoryKind,
    value: &Value,
    context: &InventoryContext,
) -> Result<Inventory, Reject> {
    match kind {
        InventoryKind::GcpKey
        | InventoryKind::GcpKeyVersion
        | InventoryKind::GcpIamPolicy
        | InventoryKind::GcpAuditConfig
        | InventoryKind::GcpLogBucket
        | InventoryKind::GcpImportJob
        | InventoryKind::GcpHsmInstance
        | InventoryKind::GcpHsmProposal => gcp::inventory::read(kind, value, context),
        InventoryKind::AzureKey
        | InventoryKind::AzureKeyVersion
        | InventoryKind::AzureVault
        | InventoryKind::AzureDiagnosticSetting => azure::inventory::read(kind, value, context),
        _ => aws::inventory::read(kind, value, context),
    }
}

/// The key that a file's name tells, for inventory that names none: an ARN or id of AWS, or a
/// resource name of Google with `__` in place of `/`, as file names cannot hold that.
pub fn key_hint(path: &str) -> Option<String> {
    let google = path.rsplit(['/', '\\']).find_map(|part| {
        let (_, name) = part.split_once("projects__")?;
        let name = name.strip_suffix(".gz").unwrap_or(name);
        Some(format!("projects/{}", name.strip_suffix(".json").unwrap_or(name).replace("__", "/")))
    });
    google.or_else(|| aws::inventory::key_hint_from_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_would_make_ids_ambiguous_is_refused() {
        let record = |project: &str| {
            serde_json::json!({
                "logName": format!("projects/{project}/logs/cloudaudit.googleapis.com%2Factivity"),
                "insertId": "1", "timestamp": "2026-01-02T03:04:05Z",
                "protoPayload": {
                    "serviceName": "cloudkms.googleapis.com", "methodName": "CreateCryptoKey",
                },
            })
            .to_string()
        };
        let outcome =
            |project: &str| normalize(Format::GcpAudit, &record(project), &Context::default());
        assert!(matches!(outcome("example.com:p"), Ok(Mapped::Event(_))));
        for odd in ["a|b", "a\nb", "a b", "a\u{0}"] {
            let reject = outcome(odd).unwrap_err();
            assert_eq!(reject.reason, Reason::BadType, "{odd:?}: {reject}");
            assert!(!reject.detail.contains('\n'), "{reject}");
        }
    }
}
