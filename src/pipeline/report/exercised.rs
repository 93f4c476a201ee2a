//! The newest runs of `verify`, and what the log holds of their calls.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::{Row, rows};
use crate::report::{ExercisedLine, FailingCheck, MissingCall};
use crate::rule::{RuleError, Session};

/// The levels, lowest first.
const LEVELS: &[&str] = &["inventory", "use", "drill", "operator"];

/// Rows that are no checks.
const CHECKS: &str = "check_id NOT IN ('inventory.key', 'run.session')";

/// The newest run of each token, and an older one where it went further than all later ones: a
/// reading of today must not hide what yesterday's drill found.
pub(super) async fn exercised(views: &Session) -> Result<Vec<ExercisedLine>, RuleError> {
    let mut lines = runs(views).await?;
    if lines.is_empty() {
        return Ok(lines);
    }
    let mut failing = failing(views).await?;
    let mut steps = by_run(
        rows(
            views,
            "SELECT run_id, check_id, function, key, trace, event_id FROM verification_steps \
             ORDER BY run_id, ordinal, event_id",
        )
        .await?,
    );
    for line in &mut lines {
        line.failing = failing.remove(&line.run).unwrap_or_default();
        beside_log(line, &steps.remove(&line.run).unwrap_or_default());
    }
    Ok(lines)
}

async fn runs(views: &Session) -> Result<Vec<ExercisedLine>, RuleError> {
    let sql = format!(
        "SELECT token, run_id, level, max(ended) AS finished, max(token_model) AS model, \
         max(name) AS name, bool_or(production) AS production, \
         bool_or(log IS NOT NULL) AS logged, \
         sum(CASE WHEN {CHECKS} AND verdict = 'PASS' THEN 1 ELSE 0 END) AS passed, \
         sum(CASE WHEN {CHECKS} AND fails THEN 1 ELSE 0 END) AS failed, \
         sum(CASE WHEN {CHECKS} AND verdict = 'FAIL' AND NOT fails THEN 1 ELSE 0 END) AS advisory, \
         sum(CASE WHEN {CHECKS} AND verdict = 'INCONCLUSIVE' THEN 1 ELSE 0 END) AS inconclusive, \
         sum(CASE WHEN {CHECKS} AND NOT fails AND verdict NOT IN ('PASS', 'FAIL', 'INCONCLUSIVE') \
         THEN 1 ELSE 0 END) AS other, \
         count(DISTINCT CASE WHEN {CHECKS} AND subject_kind = 'key' \
         AND verdict IN ('PASS', 'FAIL') THEN subject_id END) AS keys \
         FROM verifications GROUP BY token, run_id, level ORDER BY token, finished DESC, run_id"
    );
    let mut furthest: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for row in rows(views, &sql).await? {
        let level = LEVELS.iter().position(|level| *level == row.word("level"));
        let reached = level.map_or(1, |place| place + 1);
        let token = row.word("token");
        if furthest.get(&token).is_none_or(|known| reached > *known) {
            lines.extend(line(&row));
            furthest.insert(token, reached);
        }
    }
    Ok(lines)
}

fn line(row: &Row) -> Option<ExercisedLine> {
    Some(ExercisedLine {
        token: row.word("token"),
        model: row.word("model"),
        name: row.text("name"),
        production: row.flag("production") == Some(true),
        run: row.word("run_id"),
        level: row.word("level"),
        ended: row.time("finished")?,
        passed: row.count("passed"),
        failed: row.count("failed"),
        advisory: row.count("advisory"),
        inconclusive: row.count("inconclusive"),
        other: row.count("other"),
        keys: row.count("keys"),
        failing: Vec::new(),
        traces: (row.flag("logged") == Some(true)).then(Vec::new),
        missing: Vec::new(),
        unexpected: Vec::new(),
    })
}

/// By run: the checks that failed it, then those that could not be told.
async fn failing(views: &Session) -> Result<BTreeMap<String, Vec<FailingCheck>>, RuleError> {
    let sql = format!(
        "SELECT run_id, check_id, verdict, fails, subject_kind, subject_id, message \
         FROM verifications WHERE {CHECKS} AND (fails OR verdict = 'INCONCLUSIVE') \
         ORDER BY run_id, fails DESC, check_started, check_id, subject_id"
    );
    let mut runs: BTreeMap<String, Vec<FailingCheck>> = BTreeMap::new();
    for row in rows(views, &sql).await? {
        runs.entry(row.word("run_id")).or_default().push(FailingCheck {
            check: row.word("check_id"),
            verdict: row.word("verdict"),
            fails: row.flag("fails") == Some(true),
            key: (row.word("subject_kind") == "key").then(|| row.word("subject_id")),
            message: row.word("message"),
        });
    }
    Ok(runs)
}

fn by_run(rows: Vec<Row>) -> BTreeMap<String, Vec<Row>> {
    let mut runs: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        runs.entry(row.word("run_id")).or_default().push(row);
    }
    runs
}

fn beside_log(line: &mut ExercisedLine, steps: &[Row]) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut unexpected = BTreeSet::new();
    for step in steps {
        let trace = step.word("trace");
        match trace.as_str() {
            "missing" => line.missing.push(MissingCall {
                check: step.word("check_id"),
                function: step.word("function"),
                key: step.text("key"),
            }),
            "unexpected" => unexpected.extend(step.text("event_id")),
            _ => {}
        }
        *counts.entry(trace).or_default() += 1;
    }
    line.unexpected = unexpected.into_iter().collect();
    if !steps.is_empty() {
        line.traces = Some(counts.into_iter().collect());
    }
}
