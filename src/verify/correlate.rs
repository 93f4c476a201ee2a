//! The calls of a run, found again in the token's own audit log. Pure: the layer above reads the
//! log and hands over its events.
//!
//! Providers log differently, and some log nothing of what matters most; what each should have
//! logged is a table ([`expect`]). That a call is not in the log means something only where the log
//! should have it.

pub mod expect;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::expect::{Category, Expectation};
use super::result::Call;

/// How many calls alike in a row are looked for one by one; a stored run is not believed more.
const MOST_REPEATS: u64 = 10_000;

/// Whose audit log the calls should stand in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Nobody's.
    #[default]
    None,
    /// AWS CloudHSM: `CloudWatch` log streams of the HSMs.
    AwsCloudhsm,
    /// Google Cloud KMS through libkmsp11: Cloud Audit Logs.
    GcpKms,
    /// Azure Cloud HSM: `CloudHsmServiceOperationAuditLogs`.
    AzureCloudHsm,
    /// Thales Luna and Data Protection on Demand.
    Luna,
    /// A software TPM at log level 20, as a device's own log in tests.
    Swtpm,
    /// `pkcs11-spy`, which writes down every call.
    Pkcs11Spy,
}

impl Provider {
    /// The ledgers that its log goes to, as patterns; none where the store has no such log.
    pub fn ledgers(self) -> &'static [&'static str] {
        match self {
            Self::AwsCloudhsm => &["aws/cloudhsm/*"],
            Self::GcpKms => &["gcp/*"],
            Self::AzureCloudHsm => &["azure/*"],
            Self::None | Self::Luna | Self::Swtpm | Self::Pkcs11Spy => &[],
        }
    }
}

/// Where the calls should stand in a log: `[verify.NAME.log]`, and what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// Whose log; filled in from the policy.
    #[serde(skip_deserializing)]
    pub provider: Provider,
    /// Which ledgers, by name or pattern with `*`; all of the provider where none is named.
    pub ledgers: Vec<String>,
    /// The identity that the tool has towards the token, as the log writes it. Only where it is
    /// named, events that no call caused count against the token.
    pub principal: Option<String>,
    /// Categories that are not switched on.
    pub disabled: BTreeSet<Category>,
    /// The log's names of keys by label, where they differ.
    pub keys: BTreeMap<String, String>,
    /// By how much the clocks may differ, in seconds.
    pub skew_seconds: i64,
    /// How much later than the call an event may be dated, in seconds.
    pub delay_seconds: i64,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            provider: Provider::None,
            ledgers: Vec::new(),
            principal: None,
            disabled: BTreeSet::new(),
            keys: BTreeMap::new(),
            skew_seconds: 5,
            delay_seconds: 60,
        }
    }
}

impl Place {
    /// As it is stored; `None` where no log that the store holds has the calls.
    pub fn stored(mut self, provider: Provider) -> Option<Value> {
        if self.ledgers.is_empty() {
            self.ledgers = provider.ledgers().iter().map(|name| (*name).to_owned()).collect();
        }
        self.provider = provider;
        if provider == Provider::None || self.ledgers.is_empty() {
            return None;
        }
        serde_json::to_value(self).ok()
    }

    /// Reads what [`Self::stored`] gave.
    pub fn read(stored: &Value) -> Option<Self> {
        let mut fields = stored.as_object()?.clone();
        let provider = serde_json::from_value(fields.remove("provider")?).ok()?;
        let place: Self = serde_json::from_value(Value::Object(fields)).ok()?;
        Some(Self { provider, ..place })
    }

    /// The log, with events of its window.
    pub fn log(&self, events: Vec<LogEvent>) -> Log {
        Log {
            events,
            principal: self.principal.clone(),
            disabled: self.disabled.clone(),
            keys: self.keys.clone(),
            skew_seconds: self.skew_seconds,
            delay_seconds: self.delay_seconds,
        }
    }
}

/// An event of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Its id.
    pub event_id: String,
    /// Whose log holds it: each HSM of a cluster writes its own.
    pub ledger: String,
    /// When it happened.
    pub time: Timestamp,
    /// The provider's name of the operation.
    pub action: String,
    /// Who did it, where the log says so.
    pub principal: Option<String>,
    /// Which key, where the log says so.
    pub key: Option<String>,
    /// Whether it succeeded, where the log says so.
    pub success: Option<bool>,
}

/// What is known of the log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The events of the window and somewhat around it, in any order.
    pub events: Vec<LogEvent>,
    /// Whose events count: the identity that the tool has towards the token. `None` counts all.
    pub principal: Option<String>,
    /// Categories that the log does not hold, since nobody switched them on.
    pub disabled: BTreeSet<Category>,
    /// The log's names of keys by label, where they are known otherwise than by label or handle.
    pub keys: BTreeMap<String, String>,
    /// By how much the clocks may differ, in seconds.
    pub skew_seconds: i64,
    /// How much later than the call an event may be dated, in seconds.
    pub delay_seconds: i64,
}

/// What the log says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trace {
    /// An event names the operation and the key.
    MatchedByKey,
    /// There are as many events of the operation in the window as calls; the log names no keys.
    MatchedByCount,
    /// The provider does not log such calls.
    NotLogged,
    /// The provider would, but the category is not switched on.
    LoggingDisabled,
    /// The call was refused, and libraries refuse much before the token hears of it.
    Refused,
    /// The log should have it and does not.
    Missing,
}

impl Trace {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MatchedByKey => "matched_by_key",
            Self::MatchedByCount => "matched_by_count",
            Self::NotLogged => "not_logged",
            Self::LoggingDisabled => "logging_disabled",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }
}

/// A call and what the log says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The call's place among all calls.
    pub ordinal: u64,
    /// For which check it was made.
    pub check: String,
    /// The function.
    pub function: String,
    /// What it returned.
    pub rv: String,
    /// The key's label.
    pub key: Option<String>,
    /// What the log says.
    pub trace: Trace,
    /// The operations, one of which it should hold.
    pub expected: Vec<&'static str>,
    /// The event that was matched.
    pub event: Option<String>,
}

/// A run beside its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Correlation {
    /// Whose log.
    pub provider: Provider,
    /// The first instant looked at.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// The calls that change or use keys, and logins.
    pub steps: Vec<Step>,
    /// Events of the same principal in the window that no call caused.
    pub unexpected: Vec<String>,
    /// Events that are those of calls, copies of other HSMs with them.
    #[serde(skip)]
    pub spoken_for: BTreeSet<String>,
}

impl Correlation {
    /// How many calls have each trace.
    pub fn counts(&self) -> BTreeMap<Trace, u64> {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(step.trace).or_default() += 1;
        }
        counts
    }

    /// Whether the log has all that it should have, and nothing that nobody did.
    pub fn complete(&self) -> bool {
        self.unexpected.is_empty() && self.steps.iter().all(|step| step.trace != Trace::Missing)
    }
}

/// The stretch of the log that a run's calls may stand in; `None` without calls.
pub fn window(calls: &[Call], log: &Log) -> Option<(Timestamp, Timestamp)> {
    let (first, last) = (calls.iter().map(|c| c.at).min()?, calls.iter().map(|c| c.at).max()?);
    let skew = SignedDuration::from_secs(log.skew_seconds.max(0));
    let delay = SignedDuration::from_secs(log.delay_seconds.max(0));
    let from = first.checked_sub(skew).unwrap_or(Timestamp::MIN);
    let to = last.checked_add(skew).and_then(|t| t.checked_add(delay)).unwrap_or(Timestamp::MAX);
    Some((from, to))
}

/// Matches calls with events. Each event serves one call: first those that agree on the key, then
/// those where one side names none. What other HSMs of a cluster log of the same call are copies.
pub fn correlate(provider: Provider, calls: &[Call], log: &Log) -> Option<Correlation> {
    let (from, to) = window(calls, log)?;
    let mut events: Vec<&LogEvent> = log
        .events
        .iter()
        .filter(|event| event.time >= from && event.time <= to)
        .filter(|event| {
            log.principal.is_none() || event.principal.is_none() || event.principal == log.principal
        })
        .collect();
    events.sort_by(|a, b| (a.time, &a.event_id).cmp(&(b.time, &b.event_id)));
    let expected =
        calls.iter().filter_map(|call| Some((call, expect::of(provider, &call.function)?)));
    let mut wanted: Vec<Wanted> =
        expected.flat_map(|(call, expectation)| wanted_of(call, expectation, log)).collect();
    let mut matching = Matching { log, events, taken: BTreeSet::new() };
    for by_key in [true, false] {
        for step in &mut wanted {
            matching.find(step, by_key);
        }
    }
    for step in &wanted {
        matching.copies(step);
    }
    let unexpected = matching
        .events
        .iter()
        .enumerate()
        .filter(|(index, event)| {
            !matching.taken.contains(index) && !expect::background(provider, &event.action)
        })
        .map(|(_, event)| event.event_id.clone())
        .collect();
    let spoken_for = matching.taken.iter().filter_map(|at| matching.events.get(*at));
    let spoken_for = spoken_for.map(|event| event.event_id.clone()).collect();
    let steps = wanted.into_iter().map(|wanted| wanted.step).collect();
    Some(Correlation { provider, from, to, steps, unexpected, spoken_for })
}

/// A step under way.
struct Wanted {
    step: Step,
    at: Timestamp,
    handle: Option<u64>,
    keyed: bool,
}

/// The events, and which of them are spoken for.
struct Matching<'a> {
    log: &'a Log,
    events: Vec<&'a LogEvent>,
    taken: BTreeSet<usize>,
}

impl Matching<'_> {
    /// The first free event that may be that of a step.
    fn first(&self, wanted: &Wanted, by_key: Option<bool>, ledger: Option<&str>) -> Option<usize> {
        let slack = self.log.skew_seconds.max(0).saturating_add(self.log.delay_seconds.max(0));
        let slack = SignedDuration::from_secs(slack);
        let fits = |event: &LogEvent| {
            event.time.duration_since(wanted.at).abs() <= slack
                && wanted.step.expected.contains(&event.action.as_str())
                && ledger.is_none_or(|ledger| event.ledger == ledger)
                && by_key.is_none_or(|by_key| agrees(wanted, event, self.log, by_key))
        };
        let mut free = self.events.iter().enumerate().filter(|(at, _)| !self.taken.contains(at));
        free.find(|(_, event)| fits(event)).map(|(at, _)| at)
    }

    fn find(&mut self, wanted: &mut Wanted, by_key: bool) {
        let open = matches!(wanted.step.trace, Trace::Missing | Trace::Refused);
        if wanted.step.event.is_some() || !open {
            return;
        }
        let Some(at) = self.first(wanted, Some(by_key), None) else { return };
        self.taken.insert(at);
        wanted.step.event = self.events.get(at).map(|event| event.event_id.clone());
        wanted.step.trace = if by_key { Trace::MatchedByKey } else { Trace::MatchedByCount };
    }

    /// Takes what the other ledgers hold of a call that was found.
    fn copies(&mut self, wanted: &Wanted) {
        let Some(found) = &wanted.step.event else { return };
        let own = self.events.iter().find(|event| event.event_id == *found);
        let own = own.map(|event| event.ledger.as_str());
        let others: BTreeSet<&str> = self
            .events
            .iter()
            .map(|event| event.ledger.as_str())
            .filter(|ledger| Some(*ledger) != own)
            .collect();
        for ledger in others {
            if let Some(at) = self.first(wanted, None, Some(ledger)) {
                self.taken.insert(at);
            }
        }
    }
}

/// The steps of a call, before the log was looked at.
fn wanted_of(call: &Call, expectation: Expectation, log: &Log) -> Vec<Wanted> {
    let trace = match () {
        () if expectation.actions.is_empty() => Trace::NotLogged,
        () if log.disabled.contains(&expectation.category) => Trace::LoggingDisabled,
        () if call.rv != "CKR_OK" => Trace::Refused,
        () => Trace::Missing,
    };
    let step = |place: u64| Wanted {
        step: Step {
            ordinal: call.ordinal.saturating_add(place),
            check: call.check.clone(),
            function: call.function.clone(),
            rv: call.rv.clone(),
            key: call.key.clone(),
            trace,
            expected: expectation.actions.to_vec(),
            event: None,
        },
        at: call.at,
        handle: call.handle,
        keyed: expectation.keyed,
    };
    (0..call.times.min(MOST_REPEATS)).map(step).collect()
}

/// Whether an event may be that of a step, by its key or in spite of it.
fn agrees(wanted: &Wanted, event: &LogEvent, log: &Log, by_key: bool) -> bool {
    let Wanted { step, handle, keyed, .. } = wanted;
    let outcome = event.success.is_none_or(|success| success == (step.rv == "CKR_OK"));
    let same = event.key.as_ref().map(|logged| {
        let named = step.key.as_ref().is_some_and(|label| {
            log.keys.get(label).is_some_and(|name| name == logged)
                || logged == label
                || logged.split('/').any(|part| part == label)
        });
        // The log of an HSM writes `CLUSTER/key/HANDLE`.
        let last = logged.rsplit('/').next();
        named || handle.is_some_and(|handle| last == Some(handle.to_string().as_str()))
    });
    let fits = if by_key {
        same == Some(true)
    } else {
        // Where keys can be compared, another key is another operation.
        same.is_none() || !keyed || (step.key.is_none() && handle.is_none())
    };
    outcome && fits
}

#[cfg(test)]
mod tests;
