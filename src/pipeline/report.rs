//! `report`: an assessment with the facts around it, ready to be rendered.

mod exercised;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::check::Checked;
use super::facts::{Row, quoted, rows};
use crate::finding::{Assessment, Gap, Period, RuleResult, Status};
use crate::report::{
    EvidenceRecord, KeyLine, LedgerCount, OperationLine, QuarantineCount, ReportData, RotationLine,
    UnclassifiedCount,
};
use crate::rule::{RuleError, Session};

/// How many cited events are fetched with their raw records.
const EVIDENCE: usize = 5_000;

/// Operations for which it matters whether two people acted.
const PRIVILEGED: &str = "action IN ('key.deletion.schedule', 'key.destroy', 'key.purge', \
    'key.disable', 'key.material.delete', 'key.policy.set', 'key.import', 'key.export', \
    'key.backup', 'key.release', 'key.restore', 'key.rotation.disable', 'key.rotation.change', \
    'grant.create', 'alias.delete', 'keystore.delete', 'hsm.user.create', 'hsm.user.delete', \
    'hsm.user.change', 'hsm.quorum.set', 'hsm.quorum.execute', 'hsm.delete', 'hsm.zeroize', \
    'hsm.backup.delete', 'hsm.backup.share', 'hsm.backup.restore', 'hsm.security_domain.backup', \
    'hsm.security_domain.restore', 'hsm.role.change', 'vault.delete', 'vault.purge', \
    'vault.policy.set', 'logging.stop', 'logging.change', 'logging.delete')";

/// Gathers what a report shows.
///
/// # Errors
/// When a view cannot be computed.
pub async fn report_data(checked: &Checked, title: &str) -> Result<ReportData, RuleError> {
    let (assessment, views) = (checked.assessment.clone(), &checked.views);
    let operations = operations(views).await?;
    let evidence = evidence(views, &assessment, &operations).await?;
    Ok(ReportData {
        title: title.to_owned(),
        population: population(views).await?,
        keys: keys(views).await?,
        rotations: rotations(views, &assessment).await?,
        exercised: exercised::exercised(views).await?,
        operations,
        evidence,
        quarantine: quarantine(views).await?,
        unclassified: unclassified(views).await?,
        assessment,
    })
}

async fn population(views: &Session) -> Result<Vec<LedgerCount>, RuleError> {
    let sql = "SELECT ledger, format, count(*) AS events, min(time) AS first, max(time) AS last \
               FROM events GROUP BY ledger, format ORDER BY ledger, format";
    let line = |row: &Row| {
        Some(LedgerCount {
            ledger: row.word("ledger"),
            format: row.word("format"),
            events: row.count("events"),
            first: row.time("first")?,
            last: row.time("last")?,
        })
    };
    Ok(rows(views, sql).await?.iter().filter_map(line).collect())
}

async fn keys(views: &Session) -> Result<Vec<KeyLine>, RuleError> {
    let sql = "SELECT key_id, key_alias, provider, account, region, state, key_spec, \
               protection_level, origin, created_at, known_from \
               FROM key_state ORDER BY provider, account, region, key_id";
    let line = |row: &Row| KeyLine {
        key_id: row.word("key_id"),
        alias: row.text("key_alias"),
        provider: row.word("provider"),
        account: row.text("account"),
        region: row.text("region"),
        state: row.text("state"),
        key_spec: row.text("key_spec"),
        protection: row.text("protection_level"),
        origin: row.text("origin"),
        created_at: row.time("created_at"),
        known_from: row.word("known_from"),
    };
    Ok(rows(views, sql).await?.iter().map(line).collect())
}

/// One line for each key that a rotation rule judged.
async fn rotations(
    views: &Session,
    assessment: &Assessment,
) -> Result<Vec<RotationLine>, RuleError> {
    let judged: BTreeSet<&str> = rotation_results(assessment).map(|(key, _)| key).collect();
    if judged.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT key_id, key_alias, provider, account, created_at, rotation_enabled \
               FROM key_state ORDER BY provider, account, key_id";
    let mut lines: Vec<RotationLine> = rows(views, sql)
        .await?
        .iter()
        .filter(|row| judged.contains(row.word("key_id").as_str()))
        .map(|row| rotation_line(row, assessment))
        .collect();
    let proven = by_key(rows(views, "SELECT key_id, time FROM key_rotations ORDER BY time").await?);
    let intervals = "SELECT key_id, started_at, ended_at, from_kind FROM key_intervals \
                     WHERE started_at IS NOT NULL AND ended_at > $period_from ORDER BY started_at";
    let intervals = by_key(rows(views, intervals).await?);
    for line in &mut lines {
        let times = proven.get(&line.key_id).into_iter().flatten();
        line.rotations = times.filter_map(|row| row.time("time")).collect();
        if line.status == Status::Fail.as_str() {
            let long = intervals.get(&line.key_id).into_iter().flatten();
            line.violations = long.filter_map(|row| violation(row, line.period_days)).collect();
        }
    }
    Ok(lines)
}

fn by_key(rows: Vec<Row>) -> BTreeMap<String, Vec<Row>> {
    let mut keys: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        keys.entry(row.word("key_id")).or_default().push(row);
    }
    keys
}

/// The results of the two rules that a rotation line sums up.
fn rotation_results(assessment: &Assessment) -> impl Iterator<Item = (&str, &RuleResult)> {
    assessment
        .results
        .iter()
        .filter(|result| ["ROT-01", "ROT-02"].contains(&result.rule.as_str()))
        .filter_map(|result| Some((result.subject.as_ref()?.id.as_str(), result)))
}

fn rotation_line(row: &Row, assessment: &Assessment) -> RotationLine {
    let key_id = row.word("key_id");
    let results: Vec<&RuleResult> = rotation_results(assessment)
        .filter(|(key, _)| *key == key_id)
        .map(|(_, result)| result)
        .collect();
    let worst = results.iter().min_by_key(|result| badness(result.status));
    let gaps =
        |result: &&RuleResult| result.gaps.iter().map(|gap: &Gap| gap.period).collect::<Vec<_>>();
    let uncovered: BTreeSet<Period> = results.iter().flat_map(gaps).collect();
    RotationLine {
        alias: row.text("key_alias"),
        provider: row.word("provider"),
        account: row.text("account"),
        created_at: row.time("created_at"),
        rotations: Vec::new(),
        period_days: longest_interval(assessment),
        configured: row.flag("rotation_enabled"),
        violations: Vec::new(),
        uncovered: uncovered.into_iter().collect(),
        status: worst.map_or("not_applicable", |result| result.status.as_str()).to_owned(),
        reason: worst.map(|result| result.reason.clone()).unwrap_or_default(),
        key_id,
    }
}

/// The order in which verdicts weigh, worst first.
fn badness(status: Status) -> u8 {
    match status {
        Status::Fail => 0,
        Status::Error => 1,
        Status::Undetermined => 2,
        Status::Pass => 3,
        Status::NotApplicable => 4,
    }
}

/// Period and grace of ROT-02 as it was run, in days.
fn longest_interval(assessment: &Assessment) -> Option<i64> {
    let rule = assessment.rules.iter().find(|rule| rule.id == "ROT-02")?;
    let days = |name: &str| {
        let param = rule.params.iter().find(|param| param.name == name)?;
        param.value.strip_suffix('d')?.parse::<i64>().ok()
    };
    Some(days("period")? + days("grace").unwrap_or(0))
}

fn violation(row: &Row, days: Option<i64>) -> Option<Period> {
    let (from, to) = (row.time("started_at")?, row.time("ended_at")?);
    let known = ["rotation", "creation"].contains(&row.word("from_kind").as_str());
    let length = to.as_second() - from.as_second();
    (known && length > days?.saturating_mul(86_400)).then_some(Period { from, to })
}

async fn operations(views: &Session) -> Result<Vec<OperationLine>, RuleError> {
    let sql = format!(
        "SELECT time, event_id, action, native_action, outcome, provider, object, \
         coalesce(actor_name, actor_id) AS actor, person, person_kind FROM operations \
         WHERE time >= $period_from AND time < $period_to AND {PRIVILEGED} \
         ORDER BY time, event_id"
    );
    let found = rows(views, &sql).await?;
    let sql = "SELECT event_id, basis, approver, reference, independent FROM approvals_matched \
               ORDER BY event_id, basis, approver";
    let mut approvals: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows(views, sql).await? {
        approvals.entry(row.word("event_id")).or_default().push(row);
    }
    let none = Vec::new();
    let line = |row: &Row| {
        let event_id = row.word("event_id");
        let approvals = approvals.get(&event_id).unwrap_or(&none);
        Some(OperationLine {
            time: row.time("time")?,
            action: row.word("action"),
            native_action: row.word("native_action"),
            outcome: row.word("outcome"),
            provider: row.word("provider"),
            object: row.text("object"),
            actor: row.text("actor"),
            person: row.text("person"),
            approvers: approvals.iter().map(approver).collect(),
            approval: approval(approvals, row.word("person_kind") == "unresolved").to_owned(),
            event_id,
        })
    };
    Ok(found.iter().filter_map(line).collect())
}

fn approver(row: &Row) -> String {
    let who =
        row.text("approver").unwrap_or_else(|| "a second officer, name not logged".to_owned());
    let basis = row.word("basis");
    match row.text("reference") {
        Some(reference) => format!("{who} ({basis}, {reference})"),
        None => format!("{who} ({basis})"),
    }
}

/// What two-person evidence there is, in the words of the report.
fn approval(approvals: &[Row], unresolved: bool) -> &'static str {
    let quorum = approvals.iter().any(|row| row.word("basis").contains("quorum"));
    let independent = approvals.iter().any(|row| row.flag("independent") == Some(true));
    let unsure = approvals.iter().any(|row| row.flag("independent").is_none());
    match (quorum, independent) {
        (true, _) => "quorum",
        (false, true) => "approval",
        (false, false) if unsure || unresolved => "unresolved",
        (false, false) => "none",
    }
}

/// The events that results and operations cite, findings first.
async fn evidence(
    views: &Session,
    assessment: &Assessment,
    operations: &[OperationLine],
) -> Result<BTreeMap<String, EvidenceRecord>, RuleError> {
    let mut results: Vec<&RuleResult> = assessment.results.iter().collect();
    results.sort_by_key(|result| badness(result.status));
    let cited = results.iter().flat_map(|result| result.evidence.iter());
    let mut ids = BTreeSet::new();
    for id in cited.chain(operations.iter().map(|operation| &operation.event_id)) {
        if ids.len() == EVIDENCE {
            break;
        }
        ids.insert(id.as_str());
    }
    let ids: Vec<String> = ids.into_iter().map(quoted).collect();
    let mut evidence = BTreeMap::new();
    for chunk in ids.chunks(500) {
        let sql = format!(
            "SELECT event_id, time, action, native_action, outcome, \
             coalesce(actor_name, actor_id) AS actor, coalesce(key_id, hsm_id, target) AS object, \
             ledger, leaf_index, raw FROM events WHERE event_id IN ({})",
            chunk.join(", ")
        );
        for row in rows(views, &sql).await? {
            evidence.extend(record(&row));
        }
    }
    Ok(evidence)
}

fn record(row: &Row) -> Option<(String, EvidenceRecord)> {
    let time: Timestamp = row.time("time")?;
    let record = EvidenceRecord {
        time,
        action: row.word("action"),
        native_action: row.word("native_action"),
        outcome: row.word("outcome"),
        actor: row.text("actor"),
        object: row.text("object"),
        ledger: row.word("ledger"),
        leaf_index: row.number("leaf_index"),
        raw: row.word("raw"),
    };
    Some((row.word("event_id"), record))
}

async fn quarantine(views: &Session) -> Result<Vec<QuarantineCount>, RuleError> {
    let sql = "SELECT reason, coalesce(format, '') AS format, count(*) AS records, \
               min(concat(source, ', ', coalesce(place, ''))) AS example \
               FROM quarantine GROUP BY reason, coalesce(format, '') ORDER BY reason, format";
    let line = |row: &Row| QuarantineCount {
        reason: row.word("reason"),
        format: row.word("format"),
        count: row.count("records"),
        example: row.word("example"),
    };
    Ok(rows(views, sql).await?.iter().map(line).collect())
}

async fn unclassified(views: &Session) -> Result<Vec<UnclassifiedCount>, RuleError> {
    let sql = "SELECT provider, service, native_action, count(*) AS records FROM events \
               WHERE action = 'other' GROUP BY provider, service, native_action \
               ORDER BY provider, service, native_action";
    let line = |row: &Row| UnclassifiedCount {
        provider: row.word("provider"),
        service: row.word("service"),
        native_action: row.word("native_action"),
        count: row.count("records"),
    };
    Ok(rows(views, sql).await?.iter().map(line).collect())
}
