//! The vocabulary of judging: a rule judges subjects, each gets one [`RuleResult`]; all results of
//! one run over one period are an [`Assessment`]. No I/O, no clock.

pub mod verified;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::words;

words! {
    /// How bad a failed result is; ordered, least first.
    Severity {
        /// For information.
        Info = "info",
        /// Low.
        Low = "low",
        /// Medium.
        Medium = "medium",
        /// High.
        High = "high",
        /// Critical.
        Critical = "critical",
    }
}

words! {
    /// The verdict on one subject.
    Status {
        /// The evidence shows that the rule is kept.
        Pass = "pass",
        /// The evidence shows that it is broken.
        Fail = "fail",
        /// The log cannot support a verdict.
        Undetermined = "undetermined",
        /// The rule does not apply to the subject.
        NotApplicable = "not_applicable",
        /// The rule itself could not be run.
        Error = "error",
    }
}

words! {
    /// What kind of evidence a verdict rests on.
    Grade {
        /// Events and inventory agree.
        A = "A",
        /// Inventory alone.
        B = "B",
        /// Events alone.
        C = "C",
        /// Declared or attested by a person.
        D = "D",
    }
}

words! {
    /// How closely a rule shows that a control is kept.
    Strength {
        /// The rule tests what the control asks for.
        Direct = "direct",
        /// The rule supports the control.
        Supporting = "supporting",
        /// The rule covers a part of the control.
        Partial = "partial",
    }
}

/// The kinds of log that coverage is told of, a closed list.
pub const COVERAGE_KINDS: &[&str] = &[
    "aws.kms",
    "aws.cloudtrail",
    "aws.cloudhsm.api",
    "aws.cloudhsm.audit",
    "gcp.kms.admin",
    "gcp.kms.data",
    "gcp.logging",
    "azure.activity",
    "azure.keyvault.audit",
    "azure.managedhsm.audit",
    "azure.cloudhsm.audit",
    "pkcs11",
];

/// A stretch of time, half-open: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

/// What a rule judges.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `key`, `hsm`, `cluster`, `account`, `operation`, `person`, …
    pub kind: String,
    /// Identity within the kind.
    pub id: String,
    /// Whose it is; empty where it spans providers.
    pub provider: String,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
}

/// A clause of an outside framework that a rule speaks to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Control {
    /// Framework with its version, such as `pci-dss-4.0.1`.
    pub framework: String,
    /// The clause's number.
    pub control: String,
    /// How closely the rule shows it.
    pub strength: Strength,
    /// A condition on the rule's parameters, such as `period <= 365d`.
    pub requires: Option<String>,
}

/// The verdict of one result for one control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlVerdict {
    /// The clause.
    pub control: Control,
    /// The result's status, except that a pass under parameters weaker than the clause demands is
    /// `undetermined` for that clause.
    pub verdict: Status,
    /// Why the verdict differs from the result's status; `None` where it does not.
    pub note: Option<String>,
}

/// A stretch that a verdict needed and no coverage proves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Whose log.
    pub ledger: String,
    /// The kind of coverage that is missing (`aws.kms`, …).
    pub kind: String,
    /// Region; `None` for all.
    pub region: Option<String>,
    /// The uncovered stretch.
    pub period: Period,
}

/// The waiver that a result stands under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverRef {
    /// The waiver's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Who approved it; never the owner.
    pub approver: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// One subject's verdict under one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleResult {
    /// The rule's id.
    pub rule: String,
    /// The rule's severity.
    pub severity: Severity,
    /// What was judged; `None` where the rule found nothing to judge, or could not be run.
    pub subject: Option<Subject>,
    /// The verdict.
    pub status: Status,
    /// Set where a waiver in force covers a failed result.
    pub waived: Option<WaiverRef>,
    /// Stable code, such as `never_rotated`.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
    /// What the verdict rests on; `None` for errors and for undetermined results without evidence.
    pub grade: Option<Grade>,
    /// The verdict for each control.
    pub controls: Vec<ControlVerdict>,
    /// Event ids: the first 100 by time and id.
    pub evidence: Vec<String>,
    /// How many events there are in all.
    pub evidence_count: u64,
    /// Inventory rows relied on.
    pub inventory_refs: Vec<String>,
    /// What coverage is missing.
    pub gaps: Vec<Gap>,
    /// The rule's further columns, by name.
    pub facts: BTreeMap<String, Value>,
}

/// What stretch of a ledger is proven read, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coverage {
    /// The owner of the log.
    pub ledger: String,
    /// Region; `None` or `*` for all.
    pub region: Option<String>,
    /// The kind of log: `aws.kms`, `gcp.kms.admin`, …
    pub kind: String,
    /// The stretch.
    pub period: Period,
    /// `digest`, `sequence`, `exhausted_pages`, `declared`.
    pub method: String,
    /// `covered` or `gap`.
    pub status: String,
    /// One sentence.
    pub detail: Option<String>,
}

/// One rule as it was run, for the appendix of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInfo {
    /// `ROT-01`, …
    pub id: String,
    /// One sentence.
    pub title: String,
    /// How bad a failed result is.
    pub severity: Severity,
    /// The folder it lies in.
    pub family: String,
    /// Coverage kinds needed, by provider.
    pub needs: BTreeMap<String, Vec<String>>,
    /// The parameters used.
    pub params: Vec<ParamInfo>,
    /// Why the rule exists.
    pub rationale: String,
    /// What to do about a failed result.
    pub remediation: String,
    /// Pages to read.
    pub references: Vec<String>,
    /// The clauses it speaks to.
    pub controls: Vec<Control>,
    /// The query as it stands in the file.
    pub sql: String,
    /// SHA-256 of the file.
    pub digest: String,
}

/// One parameter of a rule as it was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamInfo {
    /// Its name.
    pub name: String,
    /// The value used, as written.
    pub value: String,
    /// The rule file's own value.
    pub default: String,
}

/// A waiver and what it did in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverState {
    /// The waiver.
    pub waiver: WaiverRef,
    /// Which rule it names.
    pub rule: String,
    /// Which subject it names.
    pub subject: String,
    /// `in_force`, `expired`, `unmatched`.
    pub state: String,
    /// How many results it covers.
    pub matched: u64,
}

/// How often each verdict was given. A waived result counts under `waived` alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Passed.
    pub pass: u64,
    /// Failed.
    pub fail: u64,
    /// Undetermined.
    pub undetermined: u64,
    /// Not applicable.
    pub not_applicable: u64,
    /// Rules that could not be run.
    pub error: u64,
    /// Failed under a waiver.
    pub waived: u64,
}

/// What identifies a run, so that it can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The program's version.
    pub tool_version: String,
    /// Table → version.
    pub store_version: BTreeMap<String, i64>,
    /// Nothing after it was looked at.
    pub as_of: Timestamp,
    /// The period judged.
    pub period: Period,
    /// SHA-256 over all rule and view files.
    pub rules_digest: String,
    /// SHA-256 by input file (people, approvals, waivers, configuration).
    pub inputs: BTreeMap<String, String>,
    /// The command line that makes the run again.
    pub command: String,
}

/// One run of the rules over one period.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// What identifies it.
    pub run: RunInfo,
    /// What was proven read.
    pub coverage: Vec<Coverage>,
    /// The rules that were run, by id.
    pub rules: Vec<RuleInfo>,
    /// The results, by rule and subject.
    pub results: Vec<RuleResult>,
    /// The waivers.
    pub waivers: Vec<WaiverState>,
}

impl Assessment {
    /// Counts the verdicts.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for result in &self.results {
            summary.count(result);
        }
        summary
    }
}

impl Summary {
    /// Counts one more result.
    pub fn count(&mut self, result: &RuleResult) {
        let counter = match result.status {
            _ if result.waived.is_some() => &mut self.waived,
            Status::Pass => &mut self.pass,
            Status::Fail => &mut self.fail,
            Status::Undetermined => &mut self.undetermined,
            Status::NotApplicable => &mut self.not_applicable,
            Status::Error => &mut self.error,
        };
        *counter += 1;
    }
}
