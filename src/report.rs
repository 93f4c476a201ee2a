//! Reports: an assessment and the facts beside it, written as HTML, JSON or CSV. Pure: what is
//! written depends on the arguments alone, and the same arguments give the same bytes.

mod csv;
mod html;
mod json;
#[cfg(test)]
mod sample;
mod timeline;
pub mod verification;

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;

pub use csv::csv;
pub use html::{html, verification_html};
pub use json::{SCHEMA_VERSION, assessment_json, json};
pub use verification::{ExercisedLine, FailingCheck, MissingCall};

use crate::event::words;
use crate::finding::{Assessment, Period};

words! {
    /// The forms that a report can take.
    Format {
        /// One file to read and to print, capped in length.
        Html = "html",
        /// Everything, for programs.
        Json = "json",
        /// One row for each result, for spreadsheets.
        Csv = "csv",
    }
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The place that it was to go to refused it.
    #[error("cannot write the report")]
    Write(#[from] std::io::Error),
    /// The template engine gave up.
    #[error("cannot lay out the report")]
    Layout(#[source] askama::Error),
}

/// Writes a report in the form asked for.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(format: Format, data: &ReportData, out: &mut dyn Write) -> Result<(), ReportError> {
    match format {
        Format::Html => html(data, out),
        Format::Json => json(data, out),
        Format::Csv => csv(data, out),
    }
}

/// Everything that a report shows.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportData {
    /// The verdicts.
    pub assessment: Assessment,
    /// Title shown on the first page: the organisation or scope.
    pub title: String,
    /// How many records there are, by source of log.
    pub population: Vec<LedgerCount>,
    /// Every key known from events or inventory.
    pub keys: Vec<KeyLine>,
    /// Rotation, one line a key.
    pub rotations: Vec<RotationLine>,
    /// Privileged operations, with who did and who approved, by time.
    pub operations: Vec<OperationLine>,
    /// The newest runs of `verify`, by token.
    pub exercised: Vec<ExercisedLine>,
    /// Evidence that results cite, by event id.
    pub evidence: BTreeMap<String, EvidenceRecord>,
    /// Quarantined records by reason: reason, format guess, count.
    pub quarantine: Vec<QuarantineCount>,
    /// Operations that are not classified: provider, service, native name, count.
    pub unclassified: Vec<UnclassifiedCount>,
}

/// How much of one ledger is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerCount {
    /// The owner of the log.
    pub ledger: String,
    /// The wire shape.
    pub format: String,
    /// Events in it, up to `as_of`.
    pub events: u64,
    /// Time of the first.
    pub first: Timestamp,
    /// Time of the last.
    pub last: Timestamp,
}

/// One key of the population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// Canonical identity.
    pub key_id: String,
    /// An alias, where one is known.
    pub alias: Option<String>,
    /// Whose key.
    pub provider: String,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// State as of the assessment.
    pub state: Option<String>,
    /// Algorithm and size.
    pub key_spec: Option<String>,
    /// Where the material is kept.
    pub protection: Option<String>,
    /// Where the material came from.
    pub origin: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// `events`, `inventory` or `both`: where it is known from.
    pub known_from: String,
}

/// How one key was rotated in the period.
#[derive(Debug, Clone, PartialEq)]
pub struct RotationLine {
    /// Canonical identity of the key.
    pub key_id: String,
    /// An alias, where one is known.
    pub alias: Option<String>,
    /// Whose key.
    pub provider: String,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// When the key was created, where known.
    pub created_at: Option<Timestamp>,
    /// Every proven rotation up to `as_of`, oldest first.
    pub rotations: Vec<Timestamp>,
    /// The longest rotation period allowed, in days, as the rule was run.
    pub period_days: Option<i64>,
    /// Whether automatic rotation is configured.
    pub configured: Option<bool>,
    /// Intervals longer than allowed.
    pub violations: Vec<Period>,
    /// Stretches within the period that no coverage proves.
    pub uncovered: Vec<Period>,
    /// The verdict of ROT-01 or ROT-02, the worse of both; the word of a `Status`.
    pub status: String,
    /// Its reason code.
    pub reason: String,
}

/// One privileged operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationLine {
    /// When.
    pub time: Timestamp,
    /// Its event.
    pub event_id: String,
    /// Canonical action.
    pub action: String,
    /// The provider's word.
    pub native_action: String,
    /// `success`, `denied`, …
    pub outcome: String,
    /// Whose log.
    pub provider: String,
    /// The key, HSM or other thing acted on.
    pub object: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The person behind the actor, where resolved.
    pub person: Option<String>,
    /// Who approved, and how that is known.
    pub approvers: Vec<String>,
    /// `quorum`, `approval`, `none`, `unresolved`: what two-person evidence there is.
    pub approval: String,
}

/// One cited event, down to the raw record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRecord {
    /// When it happened.
    pub time: Timestamp,
    /// Canonical action.
    pub action: String,
    /// The provider's word.
    pub native_action: String,
    /// `success`, `denied`, …
    pub outcome: String,
    /// Who did it.
    pub actor: Option<String>,
    /// The key or HSM.
    pub object: Option<String>,
    /// Place in the ledger.
    pub ledger: String,
    /// Index in the ledger.
    pub leaf_index: i64,
    /// The record, exactly as the provider wrote it.
    pub raw: String,
}

/// Quarantined records of one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineCount {
    /// Why.
    pub reason: String,
    /// What format it seemed to be; empty where nothing could be told.
    pub format: String,
    /// How many.
    pub count: u64,
    /// File and place of the first.
    pub example: String,
}

/// Operations of one name that are not classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclassifiedCount {
    /// Whose log.
    pub provider: String,
    /// Which service.
    pub service: String,
    /// The provider's word.
    pub native_action: String,
    /// How many.
    pub count: u64,
}
