//! `verify`: keys are exercised, the result is kept, and the calls are held against the log.
//!
//! A log is delivered minutes after the calls. So the calls are stored, and every assessment looks
//! for them anew among the events that it sees.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::event::{Provider, sha256_hex};
use crate::finding::Period;
use crate::finding::verified::{Verified, VerifiedRow, VerifiedRun};
use crate::provider::inventory::Inventory;
use crate::rule::glob_matches;
use crate::store::{Appended, Logged, Page, Snapshot, StepRow, Store, StoreError, StoredRun};
use crate::verify::correlate::{
    Correlation, LogEvent, Place, Provider as Whose, correlate, expect, window,
};
use crate::verify::result::{Call, KeyFacts, Known};
use crate::verify::{CheckResult, Job, Level, Verification, VerifyError, run};

pub use self::page::page_of;

/// So many runs of a token are held against the log, the newest.
const RUNS: usize = 20;

/// What is said of a token beside what `verify` finds.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The section of the configuration that asks for the run.
    pub name: Option<String>,
    /// Whether keys of production are on the token.
    pub production: bool,
    /// Account, project or subscription.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
    /// Where the calls should stand.
    pub log: Place,
}

/// Exercises a token. With a store, fingerprints of earlier runs are taken from there, the result
/// is kept there, and what its log holds of the calls already is in the result.
///
/// # Errors
/// When the token could not be reached.
pub async fn exercise(
    mut job: Job<'_>,
    about: &About,
    store: Option<&mut Store>,
) -> Result<(Verification, Option<Appended>), ExerciseError> {
    let whose = job.policy.provider;
    let clock = job.clock;
    if let Some(store) = &store {
        let mut known = known(store).await?;
        // What was given for this run outweighs what is stored.
        known.retain(|stored| job.known.iter().all(|given| given.uri != stored.uri));
        job.known.extend(known);
    }
    let mut done = tokio::task::block_in_place(|| run(job))?;
    let Some(store) = store else { return Ok((done, None)) };
    let now = clock();
    let kept = store.append(page(&done, about, whose), now).await?;
    if about.log.clone().stored(whose).is_some() {
        let found = beside_log(store, now).await?;
        let own = found.into_iter().find(|(run, ..)| run.id == done.run.id);
        done.correlation = own.map(|(_, _, found)| found);
    }
    Ok((done, Some(kept)))
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ExerciseError {
    /// The token.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The store.
    #[error("the store of results cannot be used")]
    Store(#[from] StoreError),
}

/// What earlier runs kept of keys.
async fn known(store: &Store) -> Result<Vec<Known>, StoreError> {
    let known = store.known_keys().await?.into_values();
    Ok(known.filter_map(|value| serde_json::from_value(value).ok()).collect())
}

/// A run as a page of the store.
fn page(done: &Verification, about: &About, whose: Whose) -> Page {
    let verified = Verified { run: stored_run(done, about, whose), rows: stored_rows(done, whose) };
    let digest = sha256_hex(format!("{}\n{verified:?}", done.run.id).as_bytes());
    let snapshot = Snapshot {
        source: done.token.uri.clone(),
        digest,
        captured_at: Some(done.run.ended),
        inventory: Inventory::default(),
        verified: Some(verified),
    };
    Page { snapshots: vec![snapshot], ..Page::default() }
}

fn stored_run(done: &Verification, about: &About, whose: Whose) -> VerifiedRun {
    let info = &done.token.info;
    let provider = match whose {
        Whose::AwsCloudhsm => Provider::Aws,
        Whose::GcpKms => Provider::Gcp,
        Whose::AzureCloudHsm => Provider::Azure,
        Whose::None | Whose::Luna | Whose::Swtpm | Whose::Pkcs11Spy => Provider::Pkcs11,
    };
    VerifiedRun {
        id: done.run.id.clone(),
        name: about.name.clone(),
        production: about.production,
        level: done.run.level.as_str().to_owned(),
        started: done.run.started,
        ended: done.run.ended,
        tool_version: done.run.tool_version.clone(),
        module_sha256: done.run.module_sha256.clone(),
        provider,
        account: about.account.clone(),
        region: about.region.clone(),
        token: done.token.uri.clone(),
        token_serial: info.serial.clone(),
        token_model: format!("{} {}", info.manufacturer, info.model).trim().to_owned(),
        log: about.log.clone().stored(whose),
    }
}

/// A row for each check, and one for each private or secret key with what the token says of it.
fn stored_rows(done: &Verification, whose: Whose) -> Vec<VerifiedRow> {
    let keys: BTreeMap<&str, &KeyFacts> =
        done.keys.iter().map(|key| (key.uri.as_str(), key)).collect();
    let mut rows: Vec<VerifiedRow> = done
        .checks
        .iter()
        .map(|check| {
            let key = keys.get(check.subject.as_str()).copied();
            let calls = calls_of(done, check, whose);
            VerifiedRow { known: known_of(done, check), calls, ..stored_row(check, key) }
        })
        .collect();
    rows.extend(rest(done, whose));
    let protected = done.keys.iter().filter(|key| key.class != "public");
    rows.extend(protected.map(|key| key_row(key, done)));
    rows
}

fn stored_row(check: &CheckResult, key: Option<&KeyFacts>) -> VerifiedRow {
    VerifiedRow {
        check: check.id.clone(),
        version: i64::from(check.version),
        level: check.level.as_str().to_owned(),
        title: check.title.clone(),
        subject_kind: if key.is_some() { "key" } else { "token" },
        subject: check.subject.clone(),
        key_id: key.and_then(|key| key.key_id.clone()),
        key_spec: key.map(spec),
        verdict: check.verdict.as_str(),
        required: check.required,
        advisory: check.advisory,
        fails: check.fails(),
        function: check.function.clone(),
        rv: check.rv.clone(),
        message: check.message.clone(),
        evidence: check.evidence.clone(),
        known: None,
        calls: Vec::new(),
        started: check.started,
        ended: check.ended,
    }
}

/// What the token says of a key.
fn key_row(key: &KeyFacts, done: &Verification) -> VerifiedRow {
    VerifiedRow {
        check: "inventory.key".to_owned(),
        version: 1,
        level: Level::Inventory.as_str().to_owned(),
        title: "What the token says of the key".to_owned(),
        subject_kind: "key",
        subject: key.uri.clone(),
        key_id: key.key_id.clone(),
        key_spec: Some(spec(key)),
        verdict: "NOT_APPLICABLE",
        required: false,
        advisory: false,
        fails: false,
        function: None,
        rv: None,
        message: "Attributes are what the token says, not what it does.".to_owned(),
        evidence: key.attributes.clone().into_iter().collect(),
        known: None,
        calls: Vec::new(),
        started: done.run.started,
        ended: done.run.ended,
    }
}

fn spec(key: &KeyFacts) -> String {
    let name = key.key_type.trim_start_matches("CKK_");
    key.bits.map_or_else(|| name.to_owned(), |bits| format!("{name} {bits}"))
}

/// What is kept of a key goes to one row of it.
fn known_of(done: &Verification, check: &CheckResult) -> Option<Value> {
    let known = done.known.iter().find(|known| known.uri == check.subject)?;
    (check.id == "use.fingerprint").then(|| serde_json::to_value(known).ok()).flatten()
}

/// The calls of a check that a log should have.
fn calls_of(done: &Verification, check: &CheckResult, whose: Whose) -> Vec<Value> {
    let (first, end) = check.calls;
    steps(done, whose).filter(|call| (first..end).contains(&call.ordinal)).map(call_json).collect()
}

/// The calls that a log should have and that were made for no check: logins, and the removal of
/// what was left.
fn rest(done: &Verification, whose: Whose) -> Option<VerifiedRow> {
    let in_check = |call: &Call| {
        done.checks.iter().any(|check| (check.calls.0..check.calls.1).contains(&call.ordinal))
    };
    let calls: Vec<Value> =
        steps(done, whose).filter(|call| !in_check(call)).map(call_json).collect();
    (!calls.is_empty()).then(|| VerifiedRow {
        check: "run.session".to_owned(),
        version: 1,
        level: Level::Inventory.as_str().to_owned(),
        title: "Logins, and the removal of temporary keys".to_owned(),
        subject_kind: "token",
        subject: done.token.uri.clone(),
        key_id: None,
        key_spec: None,
        verdict: "NOT_APPLICABLE",
        required: false,
        advisory: false,
        fails: false,
        function: None,
        rv: None,
        message: "Calls that belong to the run as a whole.".to_owned(),
        evidence: Map::new(),
        known: None,
        calls,
        started: done.run.started,
        ended: done.run.ended,
    })
}

fn steps(done: &Verification, whose: Whose) -> impl Iterator<Item = &Call> {
    done.calls.iter().filter(move |call| expect::of(whose, &call.function).is_some())
}

fn call_json(call: &Call) -> Value {
    json!({
        "ordinal": call.ordinal, "at": call.at.to_string(), "check": call.check,
        "function": call.function, "rv": call.rv, "times": call.times, "key": call.key,
        "handle": call.handle,
    })
}

/// Reads a call as it was stored.
fn call_of(stored: &Value) -> Option<Call> {
    let text = |name: &str| stored.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| stored.get(name).and_then(Value::as_u64);
    Some(Call {
        ordinal: number("ordinal")?,
        at: text("at")?.parse().ok()?,
        check: text("check")?,
        function: text("function")?,
        rv: text("rv")?,
        times: number("times")?,
        mechanism: None,
        key: text("key"),
        handle: number("handle"),
    })
}

/// The newest runs of each token beside the log, as an assessment up to `as_of` sees them, also those
/// before its period: a rule may rest on them.
///
/// # Errors
/// When the store cannot be read.
pub async fn all_steps(store: &Store, as_of: Timestamp) -> Result<Vec<StepRow>, StoreError> {
    let found = beside_log(store, as_of).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ledgers = store.ledgers().await?;
    let rows = found
        .iter()
        .flat_map(|(run, place, found)| step_rows(run, found, &looked_at(place, &ledgers)));
    Ok(rows.collect())
}

/// The newest runs of each token beside the log, oldest first. An event is that of one run alone:
/// what an earlier one did is no trace of a later one, and no surprise to it.
async fn beside_log(
    store: &Store,
    as_of: Timestamp,
) -> Result<Vec<(StoredRun, Place, Correlation)>, StoreError> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut runs = store.verified_runs().await?;
    runs.retain(|run| run.ended <= as_of);
    runs.retain(|run| {
        let count = seen.entry(run.token.clone()).or_default();
        *count += 1;
        *count <= RUNS
    });
    runs.reverse();
    let (mut taken, mut all) = (BTreeSet::new(), Vec::new());
    for stored in runs {
        let calls: Vec<Call> = stored.calls.iter().filter_map(call_of).collect();
        let Some(place) = Place::read(&stored.log) else { continue };
        let events = events(store, &place, &calls, as_of).await?;
        let free = events.into_iter().filter(|event| !taken.contains(&event.event_id)).collect();
        let Some(found) = correlate(place.provider, &calls, &place.log(free)) else { continue };
        taken.extend(found.spoken_for.iter().cloned());
        all.push((stored, place, found));
    }
    // What a later run did is no surprise to the one before it.
    for (_, _, found) in &mut all {
        found.unexpected.retain(|event| !taken.contains(event));
    }
    Ok(all)
}

/// The events that may be those of calls, as far as the log reaches up to `as_of`.
async fn events(
    store: &Store,
    place: &Place,
    calls: &[Call],
    as_of: Timestamp,
) -> Result<Vec<LogEvent>, StoreError> {
    let Some((from, to)) = window(calls, &place.log(Vec::new())) else { return Ok(Vec::new()) };
    let wanted = |ledger: &str| place.ledgers.iter().any(|glob| glob_matches(ledger, glob));
    let events = store.logged(Period { from, to: to.min(as_of) }, wanted).await?;
    Ok(events.into_iter().map(log_event).collect())
}

/// The ledgers that a place names; the patterns themselves where the store has none of them, so
/// that nothing counts as read.
fn looked_at(place: &Place, ledgers: &BTreeSet<String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for pattern in &place.ledgers {
        let known: Vec<&String> =
            ledgers.iter().filter(|ledger| glob_matches(ledger, pattern)).collect();
        if known.is_empty() {
            found.insert(pattern.clone());
        }
        found.extend(known.into_iter().cloned());
    }
    found.into_iter().collect()
}

fn log_event(event: Logged) -> LogEvent {
    let success = match event.outcome.as_str() {
        "success" => Some(true),
        "denied" | "failure" => Some(false),
        _ => None,
    };
    // Google writes the service before the method.
    let action = event.native_action.rsplit('.').next().unwrap_or_default().to_owned();
    LogEvent {
        event_id: event.event_id,
        ledger: event.ledger,
        time: event.time,
        action,
        principal: event.actor,
        key: event.key,
        success,
    }
}

fn step_rows(stored: &StoredRun, found: &Correlation, ledgers: &[String]) -> Vec<StepRow> {
    let window = Period { from: found.from, to: found.to };
    let blank = StepRow {
        run: stored.id.clone(),
        token: stored.token.clone(),
        window,
        ledgers: ledgers.to_vec(),
        call: None,
        function: None,
        rv: None,
        key: None,
        trace: "unexpected",
        event: None,
    };
    let step = found.steps.iter().map(|step| StepRow {
        call: Some((step.check.clone(), i64::try_from(step.ordinal).unwrap_or(i64::MAX))),
        function: Some(step.function.clone()),
        rv: Some(step.rv.clone()),
        key: step.key.clone(),
        trace: step.trace.as_str(),
        event: step.event.clone(),
        ..blank.clone()
    });
    let surprise = found
        .unexpected
        .iter()
        .map(|event| StepRow { event: Some(event.clone()), ..blank.clone() });
    step.chain(surprise).collect()
}
