//! `check`: the rules over the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::worker;
use crate::event::sha256_hex;
use crate::finding::{Assessment, Period, RunInfo};
use crate::rule::{
    Answer, Frame, Limits, ParamOverride, Question, RuleError, RuleSet, Session, Tables, assess,
    glob_matches, read_approvals, read_people, read_waivers,
};
use crate::store::{Store, StoreError};

/// The period where none is given: so long before `as_of`.
const DEFAULT_PERIOD: SignedDuration = SignedDuration::from_hours(365 * 24);

/// What to judge, and by what.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// Nothing after it is looked at.
    pub as_of: Option<Timestamp>,
    /// The period judged.
    pub period: Option<Period>,
    /// Globs on rule ids; all rules without any.
    pub rules: Vec<String>,
    /// `RULE.param=value`.
    pub params: Vec<String>,
    /// A folder of the user's own rules.
    pub rules_folder: Option<PathBuf>,
    /// Who is behind which identity.
    pub people: Option<PathBuf>,
    /// Who approved what.
    pub approvals: Option<PathBuf>,
    /// Waivers.
    pub waivers: Option<PathBuf>,
    /// What is in scope.
    pub scope: Scope,
    /// What one rule may use.
    pub limits: Limits,
    /// The command line that makes the run again.
    pub command: String,
    /// This program, for judging rules of the user's own in a process apart; in this process
    /// without it.
    pub worker: Option<PathBuf>,
}

/// Which subjects are judged; an empty list means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Accounts of AWS.
    pub accounts: Vec<String>,
    /// Projects of Google Cloud.
    pub projects: Vec<String>,
    /// Subscriptions of Azure.
    pub subscriptions: Vec<String>,
    /// Globs on key identities.
    pub keys: Vec<String>,
}

/// A check that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store cannot be read.
    #[error("the check could not be made")]
    Store(#[from] StoreError),
    /// Something is wrong with rules, parameters, waivers or declarations.
    #[error("the check could not be set up")]
    Rule(#[from] RuleError),
    /// A file named in the configuration cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl CheckError {
    /// Whether the user can put it right in the command or its files: exit code 2, not 3.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Rule(error) => !matches!(error, RuleError::Query(_)),
            Self::File { .. } => true,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Rule(_) => None,
            Self::File { .. } => {
                Some("give an existing file, or leave it out of the configuration")
            }
        }
    }
}

/// An assessment, and the tables and views that it rests on.
pub struct Checked {
    /// The verdicts.
    pub assessment: Assessment,
    /// Tables and views as the rules saw them.
    pub views: Session,
    /// Results left out because their subject is not in scope.
    pub out_of_scope: u64,
    /// Shipped rules and views (`view NAME`) that a file of the user's own stands in for.
    pub replaced: Vec<String>,
}

/// The times of a run: as given, else up to `now` and the year before.
pub fn times(
    as_of: Option<Timestamp>,
    period: Option<Period>,
    now: Timestamp,
) -> (Timestamp, Period) {
    let as_of = as_of.unwrap_or_else(|| period.map_or(now, |period| period.to.min(now)));
    let year = Period { from: as_of.saturating_sub(DEFAULT_PERIOD).unwrap_or(as_of), to: as_of };
    (as_of, period.unwrap_or(year))
}

/// Says what is wrong with what is asked, as far as that can be told without a store: rule files,
/// names of rules, parameters, declarations, waivers.
///
/// # Errors
/// As [`check`], but for the store's.
pub fn validate(job: &Check, now: Timestamp) -> Result<(), CheckError> {
    let asked = Asked::read(job, now)?;
    asked.set.select(&asked.question.rules)?;
    Ok(asked.set.check_overrides(&asked.question.overrides)?)
}

/// What is asked, read.
pub(super) struct Asked {
    pub(super) set: RuleSet,
    pub(super) question: Question,
    /// SHA-256 by file that the run depends on.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn read(job: &Check, now: Timestamp) -> Result<Self, CheckError> {
        let (as_of, period) = times(job.as_of, job.period, now);
        let set = RuleSet::load(job.rules_folder.as_deref())?;
        let mut inputs = BTreeMap::new();
        let people = declared(job.people.as_ref(), &mut inputs, read_people)?;
        let approvals = declared(job.approvals.as_ref(), &mut inputs, read_approvals)?;
        let waivers = declared(job.waivers.as_ref(), &mut inputs, read_waivers)?;
        let question = Question {
            as_of,
            period,
            overrides: overrides(&job.params)?,
            rules: job.rules.clone(),
            waivers: waivers.unwrap_or_default(),
            people,
            approvals,
            limits: job.limits,
            hire: None,
        };
        Ok(Self { set, question, inputs })
    }
}

/// Runs the rules over the store at the version that is open.
///
/// # Errors
/// When the store cannot be read, or something is wrong with what was asked. A rule that fails is
/// no error: it is a result.
pub async fn check(store: &Store, job: &Check, now: Timestamp) -> Result<Checked, CheckError> {
    let mut asked = Asked::read(job, now)?;
    asked.question.hire = worker::hire(store, job, &asked);
    let Asked { set, question, inputs } = asked;
    let (as_of, period) = (question.as_of, question.period);
    let answer = assess(&set, tables(store, as_of).await?, question).await?;
    let mut checked = checked(store, job, answer, (as_of, period, inputs));
    checked.replaced = set.replaced().to_vec();
    Ok(checked)
}

/// Opens a session over the store for queries, with everything up to `as_of`.
///
/// # Errors
/// When the store or the rules cannot be read.
pub async fn session(store: &Store, job: &Check, now: Timestamp) -> Result<Session, CheckError> {
    let asked = Asked::read(job, now)?;
    Ok(opened(store, asked).await?.1)
}

/// Opens the session in which what is asked is judged.
pub(super) async fn opened(store: &Store, asked: Asked) -> Result<(RuleSet, Session), CheckError> {
    let Asked { set, question, .. } = asked;
    let mut tables = tables(store, question.as_of).await?;
    for (name, batch) in [("people", question.people), ("approvals", question.approvals)] {
        if let Some(batch) = batch {
            tables.insert_batch(name, batch).map_err(|e| RuleError::Query(e.to_string()))?;
        }
    }
    let Question { as_of, period, overrides, limits, .. } = question;
    let session = Session::open(&set, &tables, Frame { as_of, period, overrides, limits })?;
    Ok((set, session))
}

/// The store's tables, and what is computed from them before any rule: the calls of `verify` beside
/// the log.
async fn tables(store: &Store, as_of: Timestamp) -> Result<Tables, CheckError> {
    let mut tables = Tables::new();
    for (name, table) in store.tables().await? {
        tables.insert(&name, table);
    }
    #[cfg(feature = "verify")]
    {
        let steps = super::verify::all_steps(store, as_of).await?;
        let steps = crate::store::steps_table(&steps)?;
        let kept = tables.insert_batch("verification_steps", steps);
        kept.map_err(|error| RuleError::Query(error.to_string()))?;
    }
    #[cfg(not(feature = "verify"))]
    let _ = as_of;
    Ok(tables)
}

fn overrides(params: &[String]) -> Result<Vec<ParamOverride>, RuleError> {
    params.iter().map(|param| ParamOverride::parse(param)).collect()
}

/// Reads a file that the run depends on, and notes its digest.
fn declared<T>(
    path: Option<&PathBuf>,
    inputs: &mut BTreeMap<String, String>,
    read: fn(&str, &str) -> Result<T, RuleError>,
) -> Result<Option<T>, CheckError> {
    let Some(path) = path else { return Ok(None) };
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|source| CheckError::File { path: name.clone(), source })?;
    inputs.insert(name.clone(), sha256_hex(&bytes));
    let text = String::from_utf8(bytes).map_err(|error| CheckError::File {
        path: name.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
    })?;
    Ok(Some(read(&name, &text)?))
}

type Setting = (Timestamp, Period, BTreeMap<String, String>);

fn checked(
    store: &Store,
    job: &Check,
    answer: Answer,
    (as_of, period, inputs): Setting,
) -> Checked {
    let run = RunInfo {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        store_version: store.version(),
        as_of,
        period,
        rules_digest: answer.rules_digest,
        inputs,
        command: job.command.clone(),
    };
    let all = answer.results.len();
    let results: Vec<_> = answer
        .results
        .into_iter()
        .filter(|result| job.scope.holds(result.subject.as_ref()))
        .collect();
    let out_of_scope = u64::try_from(all - results.len()).unwrap_or(0);
    let (coverage, rules, waivers) = (answer.coverage, answer.rules, answer.waivers);
    let assessment = Assessment { run, coverage, rules, results, waivers };
    Checked { assessment, views: answer.views, out_of_scope, replaced: Vec::new() }
}

impl Scope {
    /// Whether a subject is in scope. What has no account, or is no key, is in.
    fn holds(&self, subject: Option<&crate::finding::Subject>) -> bool {
        let Some(subject) = subject else { return true };
        let owners = match subject.provider.as_str() {
            "aws" => &self.accounts,
            "gcp" => &self.projects,
            _ => &self.subscriptions,
        };
        let account = subject.account.as_ref().is_none_or(|account| {
            owners.is_empty() || owners.iter().any(|known| known.eq_ignore_ascii_case(account))
        });
        let key = subject.kind != "key"
            || self.keys.is_empty()
            || self.keys.iter().any(|glob| glob_matches(&subject.id, glob));
        account && key
    }
}
