//! The results as CSV: RFC 4180, UTF-8, a header row, then one row for each result in the order of
//! the assessment. Columns are only ever added, at the end. Several values in one cell are
//! separated by `; `. A cell that a spreadsheet would run as a formula begins with an apostrophe.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use ::csv::{Terminator, Writer, WriterBuilder};
use jiff::Timestamp;
use serde_json::Value;

use super::{ReportData, ReportError};
use crate::finding::{ControlVerdict, Gap, Grade, RuleInfo, RuleResult, RunInfo, Subject};

/// The columns, in order.
const COLUMNS: [&str; 28] = [
    "rule",
    "title",
    "severity",
    "status",
    "waived",
    "reason",
    "message",
    "subject_kind",
    "subject_id",
    "provider",
    "account",
    "region",
    "grade",
    "controls",
    "evidence",
    "evidence_count",
    "inventory_refs",
    "gaps",
    "facts",
    "waiver_id",
    "waiver_owner",
    "waiver_approver",
    "waiver_expires",
    "waiver_reason",
    "remediation",
    "period_from",
    "period_to",
    "as_of",
];

/// Writes the results of a report.
///
/// # Errors
/// When `out` cannot be written.
pub fn csv(data: &ReportData, out: &mut dyn Write) -> Result<(), ReportError> {
    let assessment = &data.assessment;
    let rules: BTreeMap<&str, &RuleInfo> =
        assessment.rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    write_row(&mut writer, COLUMNS.map(Cow::Borrowed))?;
    for result in &assessment.results {
        let rule = rules.get(result.rule.as_str()).copied();
        write_row(&mut writer, row(result, rule, &assessment.run))?;
    }
    Ok(writer.flush()?)
}

fn write_row<W: Write>(
    writer: &mut Writer<W>,
    cells: [Cow<'_, str>; COLUMNS.len()],
) -> Result<(), ReportError> {
    let guarded = cells.map(guard);
    let cells = guarded.iter().map(|cell| cell.as_bytes());
    Ok(writer.write_record(cells).map_err(std::io::Error::from)?)
}

/// Puts an apostrophe before what a spreadsheet would take for a formula.
fn guard(cell: Cow<'_, str>) -> Cow<'_, str> {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => Cow::Owned(format!("'{cell}")),
        _ => cell,
    }
}

fn row<'a>(
    result: &'a RuleResult,
    rule: Option<&'a RuleInfo>,
    run: &RunInfo,
) -> [Cow<'a, str>; COLUMNS.len()] {
    let subject = result.subject.as_ref();
    let waiver = result.waived.as_ref();
    let of = |field: fn(&Subject) -> &str| Cow::Borrowed(subject.map_or("", field));
    [
        Cow::Borrowed(result.rule.as_str()),
        Cow::Borrowed(rule.map_or("", |rule| rule.title.as_str())),
        Cow::Borrowed(result.severity.as_str()),
        Cow::Borrowed(result.status.as_str()),
        Cow::Borrowed(if waiver.is_some() { "true" } else { "false" }),
        Cow::Borrowed(result.reason.as_str()),
        Cow::Borrowed(result.message.as_str()),
        of(|subject| &subject.kind),
        of(|subject| &subject.id),
        of(|subject| &subject.provider),
        of(|subject| subject.account.as_deref().unwrap_or_default()),
        of(|subject| subject.region.as_deref().unwrap_or_default()),
        Cow::Borrowed(result.grade.map_or("", Grade::as_str)),
        joined(&result.controls, control),
        joined(&result.evidence, Clone::clone),
        Cow::Owned(result.evidence_count.to_string()),
        joined(&result.inventory_refs, Clone::clone),
        joined(&result.gaps, gap),
        facts(&result.facts),
        Cow::Borrowed(waiver.map_or("", |waiver| waiver.id.as_str())),
        Cow::Borrowed(waiver.map_or("", |waiver| waiver.owner.as_str())),
        Cow::Borrowed(waiver.map_or("", |waiver| waiver.approver.as_str())),
        waiver.map_or_else(Cow::default, |waiver| time(waiver.expires)),
        Cow::Borrowed(waiver.map_or("", |waiver| waiver.reason.as_str())),
        Cow::Borrowed(rule.map_or("", |rule| rule.remediation.as_str())),
        time(run.period.from),
        time(run.period.to),
        time(run.as_of),
    ]
}

fn joined<T>(items: &[T], text: impl Fn(&T) -> String) -> Cow<'static, str> {
    Cow::Owned(items.iter().map(text).collect::<Vec<_>>().join("; "))
}

fn time(time: Timestamp) -> Cow<'static, str> {
    Cow::Owned(time.to_string())
}

/// A control in one piece: framework, clause, strength and verdict.
fn control(verdict: &ControlVerdict) -> String {
    let control = &verdict.control;
    format!("{} {} {} {}", control.framework, control.control, control.strength, verdict.verdict)
}

/// A gap in one piece: ledger, kind, region (`*` for all) and stretch.
fn gap(gap: &Gap) -> String {
    let region = gap.region.as_deref().unwrap_or("*");
    format!("{} {} {region} {}..{}", gap.ledger, gap.kind, gap.period.from, gap.period.to)
}

/// The facts as a JSON object; empty where there are none.
fn facts(facts: &BTreeMap<String, Value>) -> Cow<'static, str> {
    if facts.is_empty() {
        return Cow::Borrowed("");
    }
    let object: serde_json::Map<String, Value> =
        facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Cow::Owned(Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{filled, sample};
    use super::*;

    fn written(data: &ReportData) -> Vec<u8> {
        let mut out = Vec::new();
        csv(data, &mut out).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
        ::csv::Reader::from_reader(bytes).deserialize().map(Result::unwrap).collect()
    }

    #[test]
    fn there_is_one_row_for_each_result() {
        let data = sample();
        let bytes = written(&data);
        assert!(bytes.starts_with(b"rule,title,severity,status,waived,reason,message,"));
        assert!(bytes.ends_with(b"\r\n"));
        let rows = read(&bytes);
        assert_eq!(rows.len(), data.assessment.results.len());
        assert_eq!(rows[0]["rule"], "DC-01");
        assert_eq!(rows[0]["title"], "No key is destroyed or disabled by one person alone");
        assert_eq!(rows[0]["period_from"], "2025-01-01T00:00:00Z");
        assert_eq!(
            rows[0]["controls"],
            "nist-800-53r5 AC-3(2) direct fail; pci-dss-4.0.1 3.7.5 supporting fail"
        );
        assert_eq!(rows[3]["subject_id"], "", "a rule in error has no subject");
        assert_eq!(
            (rows[6]["waived"].as_str(), rows[6]["waiver_expires"].as_str()),
            ("true", "2026-03-31T00:00:00Z")
        );
        assert!(rows[7]["gaps"].ends_with(" * 2025-05-02T00:00:00Z..2025-06-11T09:30:00Z"));
    }

    #[test]
    fn a_cell_that_would_run_as_a_formula_is_text() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            for row in read(&written(&filled(text))) {
                assert_eq!(row["message"], format!("'{text}"));
                for (column, cell) in row {
                    let first = cell.chars().next();
                    let runs = matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n'));
                    assert!(!runs, "{column}: {cell:?}");
                }
            }
        }
    }

    #[test]
    fn quotes_commas_and_line_breaks_stay_within_their_cell() {
        let text = "a \"b\", c\r\nd;<script>\0\u{202e}";
        for row in read(&written(&filled(text))) {
            assert_eq!(row["message"], text);
            assert_eq!(row["reason"], text);
        }
    }
}
