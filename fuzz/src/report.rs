//! Reports over hostile text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::Timestamp;
use keytrail::finding::{
    Assessment, Control, ControlVerdict, Coverage, Gap, Grade, ParamInfo, Period, RuleInfo,
    RuleResult, RunInfo, Severity, Status, Strength, Subject, WaiverRef, WaiverState,
};
use keytrail::report::{
    EvidenceRecord, ExercisedLine, FailingCheck, KeyLine, LedgerCount, MissingCall, OperationLine,
    QuarantineCount, ReportData, RotationLine, UnclassifiedCount, csv, html, json,
};
use serde_json::Value;

/// Elements and attributes that harmless texts give.
static HARMLESS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    ["x", "", "https://example.org/a", "{\"a\":[1]}", &"long ".repeat(2000), "key", "aws.kms"]
        .iter()
        .flat_map(|text| tags(&page(text)))
        .collect()
});

/// A text that stands in every field of a report gives no element and no attribute that a harmless
/// one does not give; and every form of the report can be read back.
pub fn report(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let page = page(text);
    let foreign: Vec<String> = tags(&page).difference(&HARMLESS).cloned().collect();
    assert!(foreign.is_empty(), "{foreign:?} from {text:?}");
    for hidden in ['\0', '\u{202e}', '\u{feff}', '\u{1b}', '\r'] {
        assert!(!page.contains(hidden), "{hidden:?} stands in the page");
    }
    let filled = filled(text);
    let mut out = Vec::new();
    csv(&filled, &mut out).unwrap();
    let rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_reader(out.as_slice()).deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), filled.assessment.results.len());
    for cell in rows.iter().flat_map(BTreeMap::values) {
        let first = cell.chars().next();
        let runs = matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n'));
        assert!(!runs, "a spreadsheet would run {cell:?}");
    }
    let message = rows.first().unwrap().get("message").unwrap();
    assert_eq!(message.strip_prefix('\'').filter(|_| message != text).unwrap_or(message), text);
    let mut out = Vec::new();
    json(&filled, &mut out).unwrap();
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert!(value.to_string().contains(&Value::from(text).to_string()), "lost in JSON: {text:?}");
}

fn page(text: &str) -> String {
    let mut out = Vec::new();
    html(&filled(text), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Every element of a page with the names of its attributes, and how a link begins.
fn tags(page: &str) -> BTreeSet<String> {
    // The style sheet is one fixed text.
    let body = page.split_once("</style>").map_or(page, |(_, body)| body);
    body.split('<').skip(1).map(tag).collect()
}

/// An element's name and attributes; all of it where it is not written as ours are.
fn tag(from: &str) -> String {
    let Some((tag, _)) = from.split_once('>') else { return format!("<{from}") };
    let mut parts = tag.split('"');
    let mut shape = String::new();
    while let Some(names) = parts.next() {
        shape.push_str(names);
        let value = parts.next().unwrap_or_default();
        if names.trim_end().ends_with("href=") {
            let safe = value.starts_with('#') || value.starts_with("https://");
            shape.push_str(if safe { "link" } else { value });
        }
    }
    shape
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn period() -> Period {
    Period { from: time("2025-02-01T00:00:00Z"), to: time("2025-03-01T00:00:00Z") }
}

/// A report in which every text is `text`.
fn filled(text: &str) -> ReportData {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let at = || time("2025-02-02T00:00:00Z");
    ReportData {
        assessment: assessment(text),
        title: t(),
        population: vec![LedgerCount {
            ledger: t(),
            format: t(),
            events: 1,
            first: at(),
            last: at(),
        }],
        keys: vec![key(text)],
        rotations: vec![RotationLine {
            key_id: t(),
            alias: o(),
            provider: t(),
            account: o(),
            created_at: None,
            rotations: vec![at()],
            period_days: Some(1),
            configured: None,
            violations: vec![period()],
            uncovered: vec![period()],
            status: t(),
            reason: t(),
        }],
        exercised: vec![exercised(text)],
        operations: vec![OperationLine {
            time: at(),
            event_id: t(),
            action: t(),
            native_action: t(),
            outcome: t(),
            provider: t(),
            object: o(),
            actor: o(),
            person: o(),
            approvers: vec![t()],
            approval: t(),
        }],
        evidence: BTreeMap::from([(t(), evidence(text))]),
        quarantine: vec![QuarantineCount { reason: t(), format: t(), count: 1, example: t() }],
        unclassified: vec![UnclassifiedCount {
            provider: t(),
            service: t(),
            native_action: t(),
            count: 1,
        }],
    }
}

fn key(text: &str) -> KeyLine {
    let o = || Some(text.to_owned());
    KeyLine {
        key_id: text.to_owned(),
        alias: o(),
        provider: text.to_owned(),
        account: o(),
        region: o(),
        state: o(),
        key_spec: o(),
        protection: o(),
        origin: o(),
        created_at: None,
        known_from: text.to_owned(),
    }
}

fn evidence(text: &str) -> EvidenceRecord {
    EvidenceRecord {
        time: period().from,
        action: text.to_owned(),
        native_action: text.to_owned(),
        outcome: text.to_owned(),
        actor: Some(text.to_owned()),
        object: Some(text.to_owned()),
        ledger: text.to_owned(),
        leaf_index: 0,
        raw: text.to_owned(),
    }
}

fn assessment(text: &str) -> Assessment {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let waiver =
        || WaiverRef { id: t(), reason: t(), owner: t(), approver: t(), expires: period().to };
    let mut results: Vec<RuleResult> =
        Status::ALL.iter().map(|status| result(text, *status)).collect();
    results.push(RuleResult { waived: Some(waiver()), ..result(text, Status::Fail) });
    Assessment {
        run: RunInfo {
            tool_version: t(),
            store_version: BTreeMap::from([(t(), 1)]),
            as_of: period().to,
            period: period(),
            rules_digest: t(),
            inputs: BTreeMap::from([(t(), t())]),
            command: t(),
        },
        coverage: vec![Coverage {
            ledger: t(),
            region: o(),
            kind: t(),
            period: period(),
            method: t(),
            status: t(),
            detail: o(),
        }],
        rules: vec![rule(text, text), rule(text, "plain")],
        results,
        waivers: vec![WaiverState {
            waiver: waiver(),
            rule: t(),
            subject: t(),
            state: t(),
            matched: 1,
        }],
    }
}

fn control(text: &str) -> Control {
    Control {
        framework: text.to_owned(),
        control: text.to_owned(),
        strength: Strength::Direct,
        requires: Some(text.to_owned()),
    }
}

fn rule(text: &str, id: &str) -> RuleInfo {
    let t = || text.to_owned();
    RuleInfo {
        id: id.to_owned(),
        title: t(),
        severity: Severity::High,
        family: t(),
        needs: BTreeMap::from([(t(), vec![t()])]),
        params: vec![ParamInfo { name: t(), value: t(), default: t() }],
        rationale: t(),
        remediation: t(),
        references: vec![t(), format!("https://{text}")],
        controls: vec![control(text)],
        sql: t(),
        digest: t(),
    }
}

fn result(text: &str, status: Status) -> RuleResult {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    RuleResult {
        rule: t(),
        severity: Severity::High,
        subject: Some(Subject { kind: t(), id: t(), provider: t(), account: o(), region: o() }),
        status,
        waived: None,
        reason: t(),
        message: t(),
        grade: Some(Grade::D),
        controls: vec![ControlVerdict { control: control(text), verdict: status, note: o() }],
        evidence: vec![t()],
        evidence_count: 1000,
        inventory_refs: vec![t()],
        gaps: vec![Gap { ledger: t(), kind: t(), region: o(), period: period() }],
        facts: BTreeMap::from([(t(), Value::String(t()))]),
    }
}

fn exercised(text: &str) -> ExercisedLine {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let failing = FailingCheck { check: t(), verdict: t(), fails: true, key: o(), message: t() };
    ExercisedLine {
        token: t(),
        model: t(),
        name: o(),
        production: true,
        run: t(),
        level: t(),
        ended: time("2025-02-02T00:00:00Z"),
        passed: 1,
        failed: 1,
        advisory: 0,
        inconclusive: 0,
        other: 0,
        keys: 1,
        failing: vec![failing],
        traces: Some(vec![(t(), 1)]),
        missing: vec![MissingCall { check: t(), function: t(), key: o() }],
        unexpected: vec![t()],
    }
}
