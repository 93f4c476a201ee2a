//! Kinds of coverage: which stretch of which log an event belongs to.

use std::str::FromStr;

use crate::event::{Event, Format};
use crate::finding::COVERAGE_KINDS;

/// One stretch's owner: a ledger, a region of it, a kind of log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Whose log.
    pub ledger: String,
    /// Region; `None` for all.
    pub region: Option<String>,
    /// Kind of log, one of [`COVERAGE_KINDS`].
    pub kind: String,
}

/// A scope that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope: write LEDGER:KIND or LEDGER:REGION:KIND, with a kind of: {kinds}", kinds = COVERAGE_KINDS.join(", "))]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let refuse = || ScopeError(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        let (ledger, region, kind) = match parts.as_slice() {
            [ledger, kind] => (*ledger, None, *kind),
            [ledger, region, kind] => (*ledger, Some((*region).to_owned()), *kind),
            _ => return Err(refuse()),
        };
        if !ledger.contains('/') || !COVERAGE_KINDS.contains(&kind) {
            return Err(refuse());
        }
        let region = region.filter(|region| region != "*");
        Ok(Self { ledger: ledger.to_owned(), region, kind: kind.to_owned() })
    }
}

impl Scope {
    /// The scope of an event.
    pub fn of(event: &Event) -> Self {
        let (kind, regional) = kind_of(event);
        let region = if regional { event.region.clone() } else { None };
        Self { ledger: event.ledger.clone(), region, kind: kind.to_owned() }
    }

    /// Whether it is the scope of an event.
    pub fn holds(&self, event: &Event) -> bool {
        let (kind, regional) = kind_of(event);
        let region = if regional { event.region.as_deref() } else { None };
        self.kind == kind && self.ledger == event.ledger && self.region.as_deref() == region
    }
}

/// The kind of log that an event stands in, and whether that log is one of a region.
fn kind_of(event: &Event) -> (&'static str, bool) {
    match event.format {
        Format::CloudTrail => match event.service.as_str() {
            "kms" | "payment-cryptography" => ("aws.kms", true),
            "cloudhsm" => ("aws.cloudhsm.api", true),
            _ => ("aws.cloudtrail", true),
        },
        Format::CloudHsmAudit | Format::CloudHsmCertificates => ("aws.cloudhsm.audit", false),
        Format::GcpAudit if !event.service.contains("kms") => ("gcp.logging", false),
        Format::GcpAudit if is_data_access(event) => ("gcp.kms.data", false),
        Format::GcpAudit => ("gcp.kms.admin", false),
        Format::AzureActivity | Format::AzureActivityExport => ("azure.activity", false),
        Format::AzureKeyVault if event.service == "managedhsm" => ("azure.managedhsm.audit", false),
        Format::AzureKeyVault => ("azure.keyvault.audit", false),
        Format::AzureCloudHsm => ("azure.cloudhsm.audit", false),
    }
}

/// Google writes key use and reads to the Data Access log, which is off unless it is configured;
/// everything else is in the Admin Activity log, which cannot be switched off.
fn is_data_access(event: &Event) -> bool {
    event.native_id.as_deref().is_some_and(|id| id.contains("%2Fdata_access"))
        || matches!(event.action.category(), "use" | "read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_with_and_without_region() {
        let scope: Scope = "aws/1:eu-west-1:aws.kms".parse().unwrap();
        assert_eq!(scope.region.as_deref(), Some("eu-west-1"));
        let scope: Scope = "gcp/p:gcp.kms.admin".parse().unwrap();
        assert_eq!((scope.ledger.as_str(), scope.region), ("gcp/p", None));
        let scope: Scope = "aws/1:*:aws.kms".parse().unwrap();
        assert_eq!(scope.region, None);
        for bad in ["aws/1", "aws/1:aws.nothing", "1:aws.kms", "a/1:b:c:aws.kms"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }
}
