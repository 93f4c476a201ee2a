//! A report with the same text in every field.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{
    EvidenceRecord, ExercisedLine, FailingCheck, KeyLine, LedgerCount, MissingCall, OperationLine,
    QuarantineCount, ReportData, RotationLine, UnclassifiedCount,
};
use super::{at, span};
use crate::finding::{
    Assessment, Control, ControlVerdict, Coverage, Gap, Grade, ParamInfo, RuleInfo, RuleResult,
    RunInfo, Severity, Status, Strength, Subject, WaiverRef, WaiverState,
};

/// A report in which every text is `text`, and each list holds at least one of each kind.
#[expect(clippy::too_many_lines, reason = "a table of data")]
pub(in crate::report) fn filled(text: &str) -> ReportData {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let subject = || Subject { kind: t(), id: t(), provider: t(), account: o(), region: o() };
    let control =
        || Control { framework: t(), control: t(), strength: Strength::Direct, requires: o() };
    let waiver =
        || WaiverRef { id: t(), reason: t(), owner: t(), approver: t(), expires: at("2026-01-01") };
    let gap =
        || Gap { ledger: t(), kind: t(), region: o(), period: span("2025-02-01", "2025-03-01") };
    let result = |status, waived, subject| RuleResult {
        rule: t(),
        severity: Severity::High,
        subject,
        status,
        waived,
        reason: t(),
        message: t(),
        grade: Some(Grade::D),
        controls: vec![ControlVerdict { control: control(), verdict: status, note: o() }],
        evidence: vec![t(), format!("{text} unknown")],
        evidence_count: 1000,
        inventory_refs: vec![t()],
        gaps: vec![gap()],
        facts: BTreeMap::from([
            (t(), Value::String(t())),
            (format!("{text}2"), json!({ text: [text] })),
        ]),
    };
    let mut results: Vec<RuleResult> =
        Status::ALL.iter().map(|status| result(*status, None, Some(subject()))).collect();
    results.push(result(Status::Fail, Some(waiver()), None));
    results.push(result(Status::Pass, None, None));
    let covered = |status: &str, method: &str| Coverage {
        ledger: t(),
        region: o(),
        kind: t(),
        period: span("2025-01-01", "2025-02-01"),
        method: method.to_owned(),
        status: status.to_owned(),
        detail: o(),
    };
    let rule = |id: &str| RuleInfo {
        id: id.to_owned(),
        title: t(),
        severity: Severity::High,
        family: t(),
        needs: BTreeMap::from([(t(), vec![t(), format!("{text} unread")])]),
        params: vec![ParamInfo { name: t(), value: t(), default: format!("{text} once") }],
        rationale: t(),
        remediation: t(),
        references: vec![t()],
        controls: vec![control()],
        sql: t(),
        digest: t(),
    };
    let waiver_state =
        WaiverState { waiver: waiver(), rule: t(), subject: t(), state: t(), matched: 1 };
    ReportData {
        assessment: Assessment {
            run: RunInfo {
                tool_version: t(),
                store_version: BTreeMap::from([(t(), 1)]),
                as_of: at("2025-12-01"),
                period: span("2025-01-01", "2026-01-01"),
                rules_digest: t(),
                inputs: BTreeMap::from([(t(), t())]),
                command: t(),
            },
            coverage: vec![covered("covered", text), covered(text, text)],
            rules: vec![rule(text), rule("plain")],
            results,
            waivers: vec![waiver_state],
        },
        title: t(),
        population: vec![LedgerCount {
            ledger: t(),
            format: t(),
            events: 1,
            first: at("2025-01-01"),
            last: at("2025-01-02"),
        }],
        keys: vec![KeyLine {
            key_id: t(),
            alias: o(),
            provider: t(),
            account: o(),
            region: o(),
            state: o(),
            key_spec: o(),
            protection: o(),
            origin: o(),
            created_at: None,
            known_from: t(),
        }],
        rotations: vec![RotationLine {
            key_id: t(),
            alias: o(),
            provider: t(),
            account: o(),
            created_at: None,
            rotations: vec![at("2025-05-05")],
            period_days: Some(1),
            configured: None,
            violations: vec![span("2025-02-01", "2025-03-01")],
            uncovered: vec![span("2025-02-01", "2025-03-01")],
            status: t(),
            reason: t(),
        }],
        operations: vec![OperationLine {
            time: at("2025-05-05"),
            event_id: t(),
            action: t(),
            native_action: t(),
            outcome: t(),
            provider: t(),
            object: o(),
            actor: Some(format!("{text} actor")),
            person: o(),
            approvers: vec![t()],
            approval: t(),
        }],
        exercised: vec![exercised(text, "drill"), exercised(text, text)],
        evidence: BTreeMap::from([(
            t(),
            EvidenceRecord {
                time: at("2025-05-05"),
                action: t(),
                native_action: t(),
                outcome: t(),
                actor: o(),
                object: o(),
                ledger: t(),
                leaf_index: 0,
                raw: t(),
            },
        )]),
        quarantine: vec![QuarantineCount { reason: t(), format: t(), count: 1, example: t() }],
        unclassified: vec![UnclassifiedCount {
            provider: t(),
            service: t(),
            native_action: t(),
            count: 1,
        }],
    }
}

/// A run of `verify` in which every text is `text`.
fn exercised(text: &str, level: &str) -> ExercisedLine {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let failing = |fails| FailingCheck { check: t(), verdict: t(), fails, key: o(), message: t() };
    ExercisedLine {
        token: t(),
        model: t(),
        name: o(),
        production: true,
        run: t(),
        level: level.to_owned(),
        ended: at("2025-11-01"),
        passed: 1,
        failed: 1,
        advisory: 1,
        inconclusive: 1,
        other: 1,
        keys: 1,
        failing: vec![failing(true), failing(false)],
        traces: Some(vec![(t(), 1), ("missing".to_owned(), 1)]),
        missing: vec![MissingCall { check: t(), function: t(), key: o() }],
        unexpected: vec![t(), format!("{text} unknown")],
    }
}
