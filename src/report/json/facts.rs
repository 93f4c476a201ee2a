//! The facts of a report beside its verdicts, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::{
    EvidenceRecord, ExercisedLine, FailingCheck, KeyLine, LedgerCount, MissingCall,
};
use super::super::{OperationLine, QuarantineCount};
use super::super::{ReportData, RotationLine, UnclassifiedCount};
use super::{AssessmentDto, ControlDto, PeriodDto, Time, WaiverDto, each};
use crate::finding::{ParamInfo, RuleInfo, WaiverState};

#[derive(Serialize)]
pub(super) struct ReportDto<'a> {
    #[serde(flatten)]
    assessment: AssessmentDto<'a>,
    title: &'a str,
    rules: Vec<RuleDto<'a>>,
    waivers: Vec<WaiverStateDto<'a>>,
    population: Vec<LedgerDto<'a>>,
    keys: Vec<KeyDto<'a>>,
    rotations: Vec<RotationDto<'a>>,
    operations: Vec<OperationDto<'a>>,
    exercised: Vec<ExercisedDto<'a>>,
    quarantine: Vec<QuarantineDto<'a>>,
    unclassified: Vec<UnclassifiedDto<'a>>,
    evidence: Vec<EvidenceDto<'a>>,
}

impl<'a> From<&'a ReportData> for ReportDto<'a> {
    fn from(data: &'a ReportData) -> Self {
        Self {
            assessment: (&data.assessment).into(),
            title: &data.title,
            rules: each(&data.assessment.rules),
            waivers: each(&data.assessment.waivers),
            population: each(&data.population),
            keys: each(&data.keys),
            rotations: each(&data.rotations),
            operations: each(&data.operations),
            exercised: each(&data.exercised),
            quarantine: each(&data.quarantine),
            unclassified: each(&data.unclassified),
            evidence: data.evidence.iter().map(EvidenceDto::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct RuleDto<'a> {
    id: &'a str,
    title: &'a str,
    severity: &'a str,
    family: &'a str,
    needs: &'a BTreeMap<String, Vec<String>>,
    params: Vec<ParamDto<'a>>,
    rationale: &'a str,
    remediation: &'a str,
    references: &'a [String],
    controls: Vec<ControlDto<'a>>,
    sql: &'a str,
    digest: &'a str,
}

impl<'a> From<&'a RuleInfo> for RuleDto<'a> {
    fn from(rule: &'a RuleInfo) -> Self {
        Self {
            id: &rule.id,
            title: &rule.title,
            severity: rule.severity.as_str(),
            family: &rule.family,
            needs: &rule.needs,
            params: each(&rule.params),
            rationale: &rule.rationale,
            remediation: &rule.remediation,
            references: &rule.references,
            controls: each(&rule.controls),
            sql: &rule.sql,
            digest: &rule.digest,
        }
    }
}

#[derive(Serialize)]
struct ParamDto<'a> {
    name: &'a str,
    value: &'a str,
    default: &'a str,
}

impl<'a> From<&'a ParamInfo> for ParamDto<'a> {
    fn from(param: &'a ParamInfo) -> Self {
        Self { name: &param.name, value: &param.value, default: &param.default }
    }
}

#[derive(Serialize)]
struct WaiverStateDto<'a> {
    #[serde(flatten)]
    waiver: WaiverDto<'a>,
    rule: &'a str,
    subject: &'a str,
    state: &'a str,
    matched: u64,
}

impl<'a> From<&'a WaiverState> for WaiverStateDto<'a> {
    fn from(state: &'a WaiverState) -> Self {
        Self {
            waiver: (&state.waiver).into(),
            rule: &state.rule,
            subject: &state.subject,
            state: &state.state,
            matched: state.matched,
        }
    }
}

#[derive(Serialize)]
struct LedgerDto<'a> {
    ledger: &'a str,
    format: &'a str,
    events: u64,
    first: Time,
    last: Time,
}

impl<'a> From<&'a LedgerCount> for LedgerDto<'a> {
    fn from(count: &'a LedgerCount) -> Self {
        Self {
            ledger: &count.ledger,
            format: &count.format,
            events: count.events,
            first: Time(count.first),
            last: Time(count.last),
        }
    }
}

#[derive(Serialize)]
struct KeyDto<'a> {
    key_id: &'a str,
    alias: Option<&'a str>,
    provider: &'a str,
    account: Option<&'a str>,
    region: Option<&'a str>,
    state: Option<&'a str>,
    key_spec: Option<&'a str>,
    protection: Option<&'a str>,
    origin: Option<&'a str>,
    created_at: Option<Time>,
    known_from: &'a str,
}

impl<'a> From<&'a KeyLine> for KeyDto<'a> {
    fn from(key: &'a KeyLine) -> Self {
        Self {
            key_id: &key.key_id,
            alias: key.alias.as_deref(),
            provider: &key.provider,
            account: key.account.as_deref(),
            region: key.region.as_deref(),
            state: key.state.as_deref(),
            key_spec: key.key_spec.as_deref(),
            protection: key.protection.as_deref(),
            origin: key.origin.as_deref(),
            created_at: key.created_at.map(Time),
            known_from: &key.known_from,
        }
    }
}

#[derive(Serialize)]
struct RotationDto<'a> {
    key_id: &'a str,
    alias: Option<&'a str>,
    provider: &'a str,
    account: Option<&'a str>,
    created_at: Option<Time>,
    rotations: Vec<Time>,
    period_days: Option<i64>,
    configured: Option<bool>,
    violations: Vec<PeriodDto>,
    uncovered: Vec<PeriodDto>,
    status: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a RotationLine> for RotationDto<'a> {
    fn from(line: &'a RotationLine) -> Self {
        Self {
            key_id: &line.key_id,
            alias: line.alias.as_deref(),
            provider: &line.provider,
            account: line.account.as_deref(),
            created_at: line.created_at.map(Time),
            rotations: line.rotations.iter().copied().map(Time).collect(),
            period_days: line.period_days,
            configured: line.configured,
            violations: each(&line.violations),
            uncovered: each(&line.uncovered),
            status: &line.status,
            reason: &line.reason,
        }
    }
}

#[derive(Serialize)]
struct OperationDto<'a> {
    time: Time,
    event_id: &'a str,
    action: &'a str,
    native_action: &'a str,
    outcome: &'a str,
    provider: &'a str,
    object: Option<&'a str>,
    actor: Option<&'a str>,
    person: Option<&'a str>,
    approvers: &'a [String],
    approval: &'a str,
}

impl<'a> From<&'a OperationLine> for OperationDto<'a> {
    fn from(line: &'a OperationLine) -> Self {
        Self {
            time: Time(line.time),
            event_id: &line.event_id,
            action: &line.action,
            native_action: &line.native_action,
            outcome: &line.outcome,
            provider: &line.provider,
            object: line.object.as_deref(),
            actor: line.actor.as_deref(),
            person: line.person.as_deref(),
            approvers: &line.approvers,
            approval: &line.approval,
        }
    }
}

#[derive(Serialize)]
struct QuarantineDto<'a> {
    reason: &'a str,
    format: &'a str,
    count: u64,
    example: &'a str,
}

impl<'a> From<&'a QuarantineCount> for QuarantineDto<'a> {
    fn from(row: &'a QuarantineCount) -> Self {
        Self { reason: &row.reason, format: &row.format, count: row.count, example: &row.example }
    }
}

#[derive(Serialize)]
struct UnclassifiedDto<'a> {
    provider: &'a str,
    service: &'a str,
    native_action: &'a str,
    count: u64,
}

impl<'a> From<&'a UnclassifiedCount> for UnclassifiedDto<'a> {
    fn from(row: &'a UnclassifiedCount) -> Self {
        Self {
            provider: &row.provider,
            service: &row.service,
            native_action: &row.native_action,
            count: row.count,
        }
    }
}

#[derive(Serialize)]
struct EvidenceDto<'a> {
    event_id: &'a str,
    time: Time,
    action: &'a str,
    native_action: &'a str,
    outcome: &'a str,
    actor: Option<&'a str>,
    object: Option<&'a str>,
    ledger: &'a str,
    leaf_index: i64,
    raw: &'a str,
}

impl<'a> From<(&'a String, &'a EvidenceRecord)> for EvidenceDto<'a> {
    fn from((event_id, record): (&'a String, &'a EvidenceRecord)) -> Self {
        Self {
            event_id,
            time: Time(record.time),
            action: &record.action,
            native_action: &record.native_action,
            outcome: &record.outcome,
            actor: record.actor.as_deref(),
            object: record.object.as_deref(),
            ledger: &record.ledger,
            leaf_index: record.leaf_index,
            raw: &record.raw,
        }
    }
}

/// A run of `verify`.
#[derive(Serialize)]
struct ExercisedDto<'a> {
    token: &'a str,
    model: &'a str,
    name: Option<&'a str>,
    production: bool,
    run: &'a str,
    level: &'a str,
    ended: Time,
    passed: u64,
    failed: u64,
    advisory: u64,
    inconclusive: u64,
    other: u64,
    keys: u64,
    failing: Vec<FailingDto<'a>>,
    traces: Option<BTreeMap<&'a str, u64>>,
    missing: Vec<MissingDto<'a>>,
    unexpected: &'a [String],
}

impl<'a> From<&'a ExercisedLine> for ExercisedDto<'a> {
    fn from(line: &'a ExercisedLine) -> Self {
        let traces = line.traces.as_ref();
        Self {
            token: &line.token,
            model: &line.model,
            name: line.name.as_deref(),
            production: line.production,
            run: &line.run,
            level: &line.level,
            ended: Time(line.ended),
            passed: line.passed,
            failed: line.failed,
            advisory: line.advisory,
            inconclusive: line.inconclusive,
            other: line.other,
            keys: line.keys,
            failing: each(&line.failing),
            traces: traces.map(|counts| counts.iter().map(|(t, n)| (t.as_str(), *n)).collect()),
            missing: each(&line.missing),
            unexpected: &line.unexpected,
        }
    }
}

#[derive(Serialize)]
struct FailingDto<'a> {
    check: &'a str,
    verdict: &'a str,
    fails: bool,
    key: Option<&'a str>,
    message: &'a str,
}

impl<'a> From<&'a FailingCheck> for FailingDto<'a> {
    fn from(row: &'a FailingCheck) -> Self {
        Self {
            check: &row.check,
            verdict: &row.verdict,
            fails: row.fails,
            key: row.key.as_deref(),
            message: &row.message,
        }
    }
}

#[derive(Serialize)]
struct MissingDto<'a> {
    check: &'a str,
    function: &'a str,
    key: Option<&'a str>,
}

impl<'a> From<&'a MissingCall> for MissingDto<'a> {
    fn from(call: &'a MissingCall) -> Self {
        Self { check: &call.check, function: &call.function, key: call.key.as_deref() }
    }
}
