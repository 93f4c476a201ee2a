//! One assessment: every selected rule over one period, and what the engine makes of the answers.
//!
//! The grade says what a verdict rests on: A events (or a covered absence of them) and inventory,
//! B inventory alone, C events (or a covered absence) alone, D coverage that is only declared or
//! facts that people attest. A verdict that cites nothing has none.
//!
//! A rule whose query gives no row gets one result without subject. It does not apply
//! (`no_subject`) where whoever looked would have seen a subject: of every provider that the rule
//! names and anything is known of, each kind of log it needs is covered over the whole period for
//! every ledger known to hold that kind, and there is at least one. A rule that needs no log at all
//! does not apply if any inventory was read. Otherwise the result is undetermined
//! (`no_population`), with the gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::thread;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use futures::StreamExt as _;
use futures::lock::Mutex;
use futures::stream;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::event::schema;
use crate::finding::{
    Control, ControlVerdict, Coverage, Gap, Grade, Period, RuleInfo, RuleResult, Status, Subject,
    WaiverState,
};

use super::contract;
use super::cut::Tables;
use super::error::RuleError;
use super::gate::{CoverageIndex, Gated, Needs, Trust, describe, gate};
use super::json::to_json;
use super::param::{ParamOverride, Params, resolve};
use super::requires;
use super::sandbox::{LIMIT, Limits, QueryError};
use super::sequence;
use super::session::{Frame, Session};
use super::set::{Rule, RuleSet};
use super::waiver::{Waiver, apply};
use super::worker::{Hire, Workers};

/// The most rules that are judged at once: they share the memory that they may use.
const AT_ONCE: usize = 4;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Nothing after it is looked at.
    pub as_of: Timestamp,
    /// The period judged.
    pub period: Period,
    /// Parameters set for this run.
    pub overrides: Vec<ParamOverride>,
    /// Globs on rule ids; all rules without any.
    pub rules: Vec<String>,
    /// Waivers.
    pub waivers: Vec<Waiver>,
    /// Who is behind which identity, from [`super::read_people`].
    pub people: Option<RecordBatch>,
    /// Who approved what, from [`super::read_approvals`].
    pub approvals: Option<RecordBatch>,
    /// What one query may use.
    pub limits: Limits,
    /// The process apart for rules of a user's own; in this process without it.
    pub hire: Option<Hire>,
}

impl Question {
    /// Asks all rules about a period, with nothing set.
    pub fn new(as_of: Timestamp, period: Period) -> Self {
        Self {
            as_of,
            period,
            overrides: Vec::new(),
            rules: Vec::new(),
            waivers: Vec::new(),
            people: None,
            approvals: None,
            limits: Limits::default(),
            hire: None,
        }
    }
}

/// What came out.
pub struct Answer {
    /// What was proven read, up to `as_of`.
    pub coverage: Vec<Coverage>,
    /// The rules that were run, by id.
    pub rules: Vec<RuleInfo>,
    /// The results, by rule and subject.
    pub results: Vec<RuleResult>,
    /// The waivers, as they were given.
    pub waivers: Vec<WaiverState>,
    /// SHA-256 over all rule and view files.
    pub rules_digest: String,
    /// The tables and views as the rules saw them, for the rest of a report.
    pub views: Session,
}

/// Runs the rules that the question selects. A rule that cannot be run gives an `error` result; the
/// error of this function is about the question.
pub async fn assess(
    set: &RuleSet,
    mut tables: Tables,
    question: Question,
) -> Result<Answer, RuleError> {
    let selected = set.select(&question.rules)?;
    for (name, given) in [("people", question.people), ("approvals", question.approvals)] {
        if let Some(batch) = given {
            tables
                .insert_batch(name, batch)
                .map_err(|error| RuleError::Query(error.strip_backtrace()))?;
        }
    }
    let Question { as_of, period, overrides, limits, .. } = question;
    let views = Session::open(set, &tables, Frame { as_of, period, overrides, limits })?;
    let mut coverage = read_coverage(&views).await?;
    let numbered = sequence::coverage(&views, &coverage).await;
    coverage.extend(numbered);
    coverage.sort();
    let workers = question.hire.map(|hire| Workers::new(hire, views.frame().limits));
    let index = CoverageIndex::new(&coverage);
    let judge = Judge::new(set, &views, index, workers);
    let mut results = judge.all(&selected).await?;
    let infos = selected.iter().map(|rule| set.info(rule, &views.frame().overrides));
    let rules = infos.collect::<Result<_, _>>()?;
    results.sort_by(|a, b| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)));
    let waivers = apply(&question.waivers, &mut results, as_of);
    let rules_digest = set.digest().to_owned();
    Ok(Answer { coverage, rules, results, waivers, rules_digest, views })
}

/// Reads the coverage as of the assessment.
async fn read_coverage(session: &Session) -> Result<Vec<Coverage>, RuleError> {
    let sql = "SELECT ledger, region, kind, \"from\", \"to\", method, status, detail FROM coverage";
    let mut coverage = Vec::new();
    let rows = session.query_own(sql).await.map_err(|error| RuleError::Query(error.message))?;
    for row in rows.iter().flat_map(to_json) {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = |name: &str| text(name).and_then(|text| text.parse::<Timestamp>().ok());
        // The schema requires all of these; a table that breaks it covers nothing.
        let (Some(from), Some(to)) = (time("from"), time("to")) else { continue };
        coverage.push(Coverage {
            ledger: text("ledger").unwrap_or_default(),
            region: text("region"),
            kind: text("kind").unwrap_or_default(),
            period: Period { from, to },
            method: text("method").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            detail: text("detail"),
        });
    }
    Ok(coverage)
}

/// What is known of whom besides coverage.
struct Population {
    /// Providers with events.
    events: BTreeSet<String>,
    /// Providers with inventory.
    inventory: BTreeSet<String>,
}

async fn population(session: &Session) -> Result<Population, QueryError> {
    let events = providers(session, "events").await?;
    let mut inventory = BTreeSet::new();
    for table in schema::INVENTORY {
        inventory.extend(providers(session, table).await?);
    }
    Ok(Population { events, inventory })
}

async fn providers(session: &Session, table: &str) -> Result<BTreeSet<String>, QueryError> {
    let rows = session.query_own(&format!("SELECT DISTINCT provider FROM {table}")).await?;
    let provider = |row: serde_json::Map<String, Value>| {
        row.get("provider").and_then(Value::as_str).map(str::to_owned)
    };
    Ok(rows.iter().flat_map(to_json).filter_map(provider).collect())
}

/// Runs rules over one session.
struct Judge<'a> {
    set: &'a RuleSet,
    session: &'a Session,
    index: CoverageIndex,
    /// Read when a rule first gives no row.
    population: OnceCell<Population>,
    workers: Option<Mutex<Workers>>,
}

/// A result's parts that do not come from its rule's header.
struct Outcome {
    subject: Option<Subject>,
    status: Status,
    reason: String,
    message: String,
    gaps: Vec<Gap>,
}

impl<'a> Judge<'a> {
    fn new(
        set: &'a RuleSet,
        session: &'a Session,
        index: CoverageIndex,
        workers: Option<Workers>,
    ) -> Self {
        let workers = workers.map(Mutex::new);
        Self { set, session, index, population: OnceCell::new(), workers }
    }

    /// The results of rules. As many of ours are judged at once as there are processors: planning
    /// takes as long as reading, and keeps one of them busy. One that ran into a limit meanwhile is
    /// judged once more by itself. Rules of a user's own are judged by themselves, after ours.
    async fn all(&self, rules: &[&Rule]) -> Result<Vec<RuleResult>, RuleError> {
        let (own, ours): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().partition(|rule| self.set.is_own(rule));
        let at_once = thread::available_parallelism().map_or(1, NonZero::get).min(AT_ONCE);
        let judged = ours.into_iter().map(|rule| async move { (rule, self.rule(rule).await) });
        let mut judged = stream::iter(judged).buffered(at_once);
        let (mut results, mut again) = (Vec::new(), Vec::new());
        while let Some((rule, outcome)) = judged.next().await {
            let outcome = outcome?;
            if outcome.iter().any(|result| result.reason == LIMIT) {
                again.push(rule);
            } else {
                results.extend(outcome);
            }
        }
        for rule in again {
            self.session.forget_limits();
            results.extend(self.rule(rule).await?);
        }
        for rule in own {
            results.extend(self.rule(rule).await?);
        }
        Ok(results)
    }

    async fn rule(&self, rule: &Rule) -> Result<Vec<RuleResult>, RuleError> {
        let started = Instant::now();
        let results = self.judge(rule).await;
        debug!(rule = rule.header.id, took = ?started.elapsed(), "judged");
        results
    }

    async fn judge(&self, rule: &Rule) -> Result<Vec<RuleResult>, RuleError> {
        let session = self.session;
        let frame = session.frame();
        let params = resolve(&rule.header.id, &rule.header.params, &frame.overrides)?;
        let error = |reason: &str, message: String, subject: Option<Subject>| {
            let message = format!("{}: {message}", rule.path);
            let status = Status::Error;
            let reason = reason.to_owned();
            let outcome = Outcome { subject, status, reason, message, gaps: Vec::new() };
            Ok(vec![plain(rule, &params, outcome)])
        };
        let answer = match &self.workers {
            Some(workers) if self.set.is_own(rule) => {
                workers.lock().await.query(self.set, rule).await
            }
            _ => session.query_with(&rule.sql, &params).await,
        };
        let batches = match answer {
            Ok(batches) => batches,
            Err(problem) => return error(problem.reason, problem.message, None),
        };
        let verdicts = match contract::read(&batches) {
            Ok(verdicts) => verdicts,
            Err(breach) => {
                return error("contract_broken", breach.message, breach.subject.map(|own| *own));
            }
        };
        if verdicts.is_empty() {
            return match self.without_rows(rule).await {
                Ok(outcome) => Ok(vec![plain(rule, &params, outcome)]),
                Err(problem) => error(problem.reason, problem.message, None),
            };
        }
        let result = |verdict| {
            let gated = gate(verdict, &rule.header.needs, &self.index, frame.as_of);
            judged(rule, &params, gated)
        };
        Ok(verdicts.into_iter().map(result).collect())
    }

    /// What it means that a rule found nothing to judge.
    async fn without_rows(&self, rule: &Rule) -> Result<Outcome, QueryError> {
        let population = self.population.get_or_try_init(|| population(self.session)).await?;
        Ok(self.empty(&rule.header.needs, population))
    }

    fn empty(&self, needs: &Needs, population: &Population) -> Outcome {
        let outcome = |status, reason: &str, message: String, gaps| Outcome {
            subject: None,
            status,
            reason: reason.to_owned(),
            message,
            gaps,
        };
        let unknown = |message, gaps| outcome(Status::Undetermined, "no_population", message, gaps);
        let none = |message: &str| {
            outcome(Status::NotApplicable, "no_subject", message.to_owned(), Vec::new())
        };
        if needs.is_empty() {
            return if population.inventory.is_empty() {
                unknown("Nothing to judge was found, and no inventory was read.".to_owned(), vec![])
            } else {
                none("The inventory that was read holds nothing to judge.")
            };
        }
        let covered = self.index.providers();
        let met = |provider: &str| {
            population.events.contains(provider)
                || population.inventory.contains(provider)
                || covered.contains(provider)
        };
        let known: Vec<(&String, &Vec<String>)> =
            needs.iter().filter(|(provider, _)| met(provider)).collect();
        if known.is_empty() {
            let names: Vec<&str> = needs.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return unknown(format!("Nothing to judge: nothing was read of {names}."), vec![]);
        }
        let kinds =
            known.iter().flat_map(|(provider, kinds)| kinds.iter().map(move |k| (provider, k)));
        let gaps: Vec<Gap> =
            kinds.flat_map(|(provider, kind)| self.population_gaps(provider, kind)).collect();
        if gaps.is_empty() {
            none("The logs are complete for the period and hold nothing to judge.")
        } else {
            let cause = describe(&gaps);
            unknown(format!("Nothing to judge was found, but {cause}."), gaps)
        }
    }

    /// The stretches of the period in which a subject could have gone unseen.
    fn population_gaps(&self, provider: &str, kind: &str) -> Vec<Gap> {
        let frame = self.session.frame();
        let period = Period { from: frame.period.from, to: frame.period.to.min(frame.as_of) };
        let ledgers = self.index.ledgers(kind);
        if ledgers.is_empty() {
            let ledger = format!("{provider}/*");
            return vec![Gap { ledger, kind: kind.to_owned(), region: None, period }];
        }
        ledgers
            .into_iter()
            .flat_map(|ledger| self.index.gaps((ledger, kind), None, period, Trust::Declared))
            .collect()
    }
}

/// A result without verdict of its own rule.
fn plain(rule: &Rule, params: &Params, outcome: Outcome) -> RuleResult {
    RuleResult {
        rule: rule.header.id.clone(),
        severity: rule.header.severity,
        subject: outcome.subject,
        status: outcome.status,
        waived: None,
        reason: outcome.reason,
        message: outcome.message,
        grade: None,
        controls: controls(&rule.header.controls, params, outcome.status),
        evidence: Vec::new(),
        evidence_count: 0,
        inventory_refs: Vec::new(),
        gaps: outcome.gaps,
        facts: BTreeMap::new(),
    }
}

/// The result of a verdict that has passed the gate.
fn judged(rule: &Rule, params: &Params, gated: Gated) -> RuleResult {
    let grade = grade(&gated);
    let Gated { verdict, gaps, .. } = gated;
    RuleResult {
        rule: rule.header.id.clone(),
        severity: rule.header.severity,
        subject: Some(verdict.subject),
        status: verdict.status,
        waived: None,
        reason: verdict.reason,
        message: verdict.message,
        grade,
        controls: controls(&rule.header.controls, params, verdict.status),
        evidence: verdict.evidence,
        evidence_count: verdict.evidence_count,
        inventory_refs: verdict.inventory_refs,
        gaps,
        facts: verdict.facts,
    }
}

fn grade(gated: &Gated) -> Option<Grade> {
    let verdict = &gated.verdict;
    let events = verdict.evidence_count > 0 || gated.rests_on_absence;
    let inventory = !verdict.inventory_refs.is_empty();
    let decided = verdict.status != Status::Undetermined;
    match (events, inventory) {
        _ if gated.declared => Some(Grade::D),
        (false, false) if decided && verdict.attested => Some(Grade::D),
        (false, false) => None,
        _ if verdict.attested => Some(Grade::D),
        (true, true) => Some(Grade::A),
        (false, true) => Some(Grade::B),
        (true, false) => Some(Grade::C),
    }
}

/// The verdict for each control: a pass under parameters weaker than the clause demands shows
/// nothing for that clause.
fn controls(controls: &[Control], params: &Params, status: Status) -> Vec<ControlVerdict> {
    let verdict = |control: &Control| {
        let weakness = control
            .requires
            .as_ref()
            .filter(|_| status == Status::Pass)
            .and_then(|condition| requires::weakness(condition, params));
        let verdict = if weakness.is_some() { Status::Undetermined } else { status };
        ControlVerdict { control: control.clone(), verdict, note: weakness }
    };
    controls.iter().map(verdict).collect()
}

#[cfg(test)]
mod tests;
