//! An assessment and a whole report as JSON. The shapes are the DTOs below, versioned by
//! [`SCHEMA_VERSION`] and apart from the types in memory: members may be added under one version,
//! none is renamed, removed or given another meaning. Times are RFC 3339 in UTC, lists keep the
//! order of the assessment, and the text ends with a newline.

mod facts;

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ReportData, ReportError};
use crate::finding::{Assessment, Control, ControlVerdict, Coverage, Gap, Grade, Period};
use crate::finding::{RuleResult, RunInfo, Subject, Summary, WaiverRef};

/// The version of both shapes.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes a whole report: the members of [`assessment_json`], and the facts beside them (`title`,
/// `rules`, `waivers`, `population`, `keys`, `rotations`, `operations`, `exercised`, `quarantine`,
/// `unclassified`, `evidence`).
///
/// # Errors
/// When `out` cannot be written.
pub fn json(data: &ReportData, out: &mut dyn Write) -> Result<(), ReportError> {
    write(&facts::ReportDto::from(data), out)
}

/// Writes the assessment alone: what `check --format json` prints.
///
/// # Errors
/// When `out` cannot be written.
pub fn assessment_json(assessment: &Assessment, out: &mut dyn Write) -> Result<(), ReportError> {
    write(&AssessmentDto::from(assessment), out)
}

fn write(dto: &impl Serialize, out: &mut dyn Write) -> Result<(), ReportError> {
    // The serializer writes token by token; unbuffered files would suffer.
    let mut out = std::io::BufWriter::new(out);
    serde_json::to_writer_pretty(&mut out, dto).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A time as RFC 3339 in UTC, `Z` at the end.
struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn each<'a, T, D: From<&'a T>>(items: &'a [T]) -> Vec<D> {
    items.iter().map(D::from).collect()
}

#[derive(Serialize)]
struct AssessmentDto<'a> {
    schema_version: u32,
    run: RunDto<'a>,
    coverage: Vec<CoverageDto<'a>>,
    results: Vec<ResultDto<'a>>,
    summary: SummaryDto,
}

impl<'a> From<&'a Assessment> for AssessmentDto<'a> {
    fn from(assessment: &'a Assessment) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            run: (&assessment.run).into(),
            coverage: each(&assessment.coverage),
            results: each(&assessment.results),
            summary: assessment.summary().into(),
        }
    }
}

#[derive(Serialize)]
struct RunDto<'a> {
    tool_version: &'a str,
    store_version: &'a BTreeMap<String, i64>,
    as_of: Time,
    period: PeriodDto,
    rules_digest: &'a str,
    inputs: &'a BTreeMap<String, String>,
    command: &'a str,
}

impl<'a> From<&'a RunInfo> for RunDto<'a> {
    fn from(run: &'a RunInfo) -> Self {
        Self {
            tool_version: &run.tool_version,
            store_version: &run.store_version,
            as_of: Time(run.as_of),
            period: (&run.period).into(),
            rules_digest: &run.rules_digest,
            inputs: &run.inputs,
            command: &run.command,
        }
    }
}

#[derive(Serialize)]
struct PeriodDto {
    from: Time,
    to: Time,
}

impl From<&Period> for PeriodDto {
    fn from(period: &Period) -> Self {
        Self { from: Time(period.from), to: Time(period.to) }
    }
}

#[derive(Serialize)]
struct CoverageDto<'a> {
    ledger: &'a str,
    region: Option<&'a str>,
    kind: &'a str,
    from: Time,
    to: Time,
    method: &'a str,
    status: &'a str,
    detail: Option<&'a str>,
}

impl<'a> From<&'a Coverage> for CoverageDto<'a> {
    fn from(row: &'a Coverage) -> Self {
        Self {
            ledger: &row.ledger,
            region: row.region.as_deref(),
            kind: &row.kind,
            from: Time(row.period.from),
            to: Time(row.period.to),
            method: &row.method,
            status: &row.status,
            detail: row.detail.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ResultDto<'a> {
    rule: &'a str,
    severity: &'a str,
    subject: Option<SubjectDto<'a>>,
    status: &'a str,
    waived: bool,
    waiver: Option<WaiverDto<'a>>,
    reason: &'a str,
    message: &'a str,
    grade: Option<&'a str>,
    controls: Vec<ControlVerdictDto<'a>>,
    evidence: &'a [String],
    evidence_count: u64,
    inventory_refs: &'a [String],
    gaps: Vec<GapDto<'a>>,
    facts: &'a BTreeMap<String, Value>,
}

impl<'a> From<&'a RuleResult> for ResultDto<'a> {
    fn from(result: &'a RuleResult) -> Self {
        Self {
            rule: &result.rule,
            severity: result.severity.as_str(),
            subject: result.subject.as_ref().map(Into::into),
            status: result.status.as_str(),
            waived: result.waived.is_some(),
            waiver: result.waived.as_ref().map(Into::into),
            reason: &result.reason,
            message: &result.message,
            grade: result.grade.map(Grade::as_str),
            controls: each(&result.controls),
            evidence: &result.evidence,
            evidence_count: result.evidence_count,
            inventory_refs: &result.inventory_refs,
            gaps: each(&result.gaps),
            facts: &result.facts,
        }
    }
}

#[derive(Serialize)]
struct SubjectDto<'a> {
    kind: &'a str,
    id: &'a str,
    provider: &'a str,
    account: Option<&'a str>,
    region: Option<&'a str>,
}

impl<'a> From<&'a Subject> for SubjectDto<'a> {
    fn from(subject: &'a Subject) -> Self {
        Self {
            kind: &subject.kind,
            id: &subject.id,
            provider: &subject.provider,
            account: subject.account.as_deref(),
            region: subject.region.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ControlVerdictDto<'a> {
    #[serde(flatten)]
    control: ControlDto<'a>,
    verdict: &'a str,
    note: Option<&'a str>,
}

impl<'a> From<&'a ControlVerdict> for ControlVerdictDto<'a> {
    fn from(verdict: &'a ControlVerdict) -> Self {
        Self {
            control: (&verdict.control).into(),
            verdict: verdict.verdict.as_str(),
            note: verdict.note.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ControlDto<'a> {
    framework: &'a str,
    control: &'a str,
    strength: &'a str,
    requires: Option<&'a str>,
}

impl<'a> From<&'a Control> for ControlDto<'a> {
    fn from(control: &'a Control) -> Self {
        Self {
            framework: &control.framework,
            control: &control.control,
            strength: control.strength.as_str(),
            requires: control.requires.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct GapDto<'a> {
    ledger: &'a str,
    kind: &'a str,
    region: Option<&'a str>,
    from: Time,
    to: Time,
}

impl<'a> From<&'a Gap> for GapDto<'a> {
    fn from(gap: &'a Gap) -> Self {
        Self {
            ledger: &gap.ledger,
            kind: &gap.kind,
            region: gap.region.as_deref(),
            from: Time(gap.period.from),
            to: Time(gap.period.to),
        }
    }
}

#[derive(Serialize)]
struct WaiverDto<'a> {
    id: &'a str,
    reason: &'a str,
    owner: &'a str,
    approver: &'a str,
    expires: Time,
}

impl<'a> From<&'a WaiverRef> for WaiverDto<'a> {
    fn from(waiver: &'a WaiverRef) -> Self {
        Self {
            id: &waiver.id,
            reason: &waiver.reason,
            owner: &waiver.owner,
            approver: &waiver.approver,
            expires: Time(waiver.expires),
        }
    }
}

#[derive(Serialize)]
struct SummaryDto {
    pass: u64,
    fail: u64,
    undetermined: u64,
    not_applicable: u64,
    error: u64,
    waived: u64,
}

impl From<Summary> for SummaryDto {
    fn from(summary: Summary) -> Self {
        let Summary { pass, fail, undetermined, not_applicable, error, waived } = summary;
        Self { pass, fail, undetermined, not_applicable, error, waived }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{filled, sample};
    use super::*;

    fn written(data: &ReportData) -> String {
        let mut out = Vec::new();
        json(data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn names(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_assessment_has_the_members_that_are_promised() {
        let mut out = Vec::new();
        assessment_json(&sample().assessment, &mut out).unwrap();
        assert!(out.ends_with(b"}\n"));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(names(&value), ["coverage", "results", "run", "schema_version", "summary"]);
        assert_eq!(value["schema_version"], 1);
        for member in ["tool_version", "store_version", "as_of", "period", "rules_digest"] {
            assert!(!value["run"][member].is_null(), "{member}");
        }
        assert_eq!(value["run"]["period"]["from"], "2025-01-01T00:00:00Z");
        assert_eq!(value["run"]["store_version"]["journal"], 412);
        let promised = [
            "rule",
            "severity",
            "subject",
            "status",
            "waived",
            "reason",
            "message",
            "grade",
            "controls",
            "evidence",
            "evidence_count",
            "facts",
        ];
        for result in value["results"].as_array().unwrap() {
            for member in promised {
                assert!(result.get(member).is_some(), "{member}");
            }
        }
        assert_eq!(
            names(&value["results"][0]["subject"]),
            ["account", "id", "kind", "provider", "region"]
        );
        assert_eq!(value["summary"]["fail"], 2);
        assert_eq!(value["summary"]["waived"], 1);
    }

    #[test]
    fn a_control_carries_its_own_verdict_and_why() {
        let value: Value = serde_json::from_str(&written(&sample())).unwrap();
        let passed = value["results"]
            .as_array()
            .unwrap()
            .iter()
            .find(|result| result["rule"] == "ROT-02" && result["status"] == "pass");
        let control = &passed.unwrap()["controls"][2];
        assert_eq!(control["framework"], "iso-27001-2022");
        assert_eq!(control["verdict"], "undetermined");
        assert!(control["note"].as_str().unwrap().contains("period <= 90d"));
    }

    #[test]
    fn the_report_adds_its_sections_to_the_assessment() {
        let value: Value = serde_json::from_str(&written(&sample())).unwrap();
        for section in [
            "keys",
            "rotations",
            "operations",
            "exercised",
            "population",
            "quarantine",
            "unclassified",
        ] {
            assert!(!value[section].as_array().unwrap().is_empty(), "{section}");
        }
        assert_eq!(value["evidence"].as_array().unwrap().len(), 4);
        assert_eq!(value["rules"].as_array().unwrap().len(), 5);
        assert_eq!(value["waivers"][0]["state"], "in_force");
    }

    #[test]
    fn any_text_comes_back_as_it_was() {
        let text = "<script>\"\\\u{0}\u{202e}\r\n</style>";
        let value: Value = serde_json::from_str(&written(&filled(text))).unwrap();
        assert_eq!(value["title"], text);
        assert_eq!(value["results"][0]["message"], text);
        assert_eq!(value["evidence"][0]["raw"], text);
        assert_eq!(value["results"][0]["facts"][text], text);
    }
}
