//! A run of `verify` as the facts of its page: `verify` and `report` do not know each other.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::report::verification::{
    CallView, CheckView, ClaimView, KeyView, LogStepView, LogView, MechanismView, PromiseView,
    Ruling, RunView, Shown, TokenView, Trace, VerificationPage,
};
use crate::verify::correlate::{self, Correlation, Step};
use crate::verify::result::{Call, KeyFacts, TokenFacts};
use crate::verify::{CheckResult, Level, Verdict, Verification};

/// What an attribute promises, and by which checks it is seen whether that is kept.
struct Promise {
    attribute: &'static str,
    /// The value that makes the promise.
    value: bool,
    meaning: &'static str,
    /// Whether a key that does not make it lies open.
    wanted: bool,
    /// Checks with keys made for the purpose.
    drills: &'static [&'static str],
    /// Checks of the key itself.
    own: &'static [&'static str],
}

const fn promise(
    attribute: &'static str,
    value: bool,
    meaning: &'static str,
    drills: &'static [&'static str],
) -> Promise {
    Promise { attribute, value, meaning, wanted: false, drills, own: &[] }
}

/// The check that tells of each attribute by itself, in its evidence.
const HISTORY: &str = "drill.import.history";

const PROMISES: &[Promise] = &[
    Promise {
        wanted: true,
        own: &["use.read"],
        ..promise(
            "CKA_SENSITIVE",
            true,
            "Nobody is shown the value.",
            &["drill.read.sensitive", "drill.copy.sensitive"],
        )
    },
    Promise {
        wanted: true,
        own: &["use.wrap"],
        ..promise(
            "CKA_EXTRACTABLE",
            false,
            "The key does not leave the token, in the clear or wrapped.",
            &["drill.wrap.unextractable", "drill.read.unextractable", "drill.copy.extractable"],
        )
    },
    promise(
        "CKA_ALWAYS_SENSITIVE",
        true,
        "Its value could never be shown, from its making on.",
        &[HISTORY],
    ),
    promise(
        "CKA_NEVER_EXTRACTABLE",
        true,
        "It could never leave, from its making on.",
        &[HISTORY, "drill.wrap.unextractable", "drill.copy.extractable"],
    ),
    promise("CKA_LOCAL", true, "It was made in the token.", &[HISTORY]),
    promise(
        "CKA_WRAP_WITH_TRUSTED",
        true,
        "Only a key that the security officer trusts wraps it.",
        &["drill.wrap.trusted"],
    ),
    promise("CKA_TRUSTED", true, "The security officer trusts it.", &["drill.trusted.user"]),
    promise(
        "CKA_ALWAYS_AUTHENTICATE",
        true,
        "Each use asks for a login of its own.",
        &["drill.usage.authenticate"],
    ),
    promise("CKA_WRAP", false, "It wraps no other key.", &["drill.wrap.flag"]),
    promise("CKA_MODIFIABLE", false, "It cannot be changed.", &["drill.modifiable"]),
    promise("CKA_DESTROYABLE", false, "It cannot be destroyed.", &["drill.destroyable"]),
];

/// The facts of a run's page.
pub fn page_of(done: &Verification) -> VerificationPage {
    let keys: BTreeMap<&str, &KeyFacts> =
        done.keys.iter().map(|key| (key.uri.as_str(), key)).collect();
    let protected = done.keys.iter().filter(|key| key.class != "public");
    VerificationPage {
        token: token(&done.token),
        run: run(done),
        checks: done.checks.iter().map(|check| check_view(check, done, &keys)).collect(),
        promises: PROMISES.iter().map(|promise| promise_view(promise, done)).collect(),
        keys: protected.map(|key| key_view(key, done)).collect(),
        log: done.correlation.as_ref().map(log),
        calls: done.calls.iter().map(call).collect(),
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn token(facts: &TokenFacts) -> TokenView {
    let (info, library) = (&facts.info, &facts.library);
    let made = |by: &str, version: &str| format!("{by} {version}").trim().to_owned();
    let mechanism = |row: &crate::verify::result::MechanismFacts| MechanismView {
        name: row.name.clone(),
        sizes: (row.key_least, row.key_most),
        flags: texts(&row.flags),
    };
    TokenView {
        uri: facts.uri.clone(),
        label: info.label.clone(),
        facts: vec![
            ("Manufacturer, model", made(&info.manufacturer, &info.model)),
            ("Serial number", info.serial.clone()),
            ("Hardware, firmware", format!("{}, {}", info.hardware, info.firmware)),
            ("Slot", facts.slot.to_string()),
            ("Its clock", info.utc_time.clone()),
            ("Library", made(&library.description, &library.version)),
            ("Library made by", library.manufacturer.clone()),
            ("PKCS #11", library.interface.clone().unwrap_or_else(|| library.cryptoki.clone())),
        ],
        flags: texts(&facts.flag_names),
        mechanisms: facts.mechanisms.iter().map(mechanism).collect(),
    }
}

fn run(done: &Verification) -> RunView {
    let run = &done.run;
    RunView {
        id: run.id.clone(),
        tool_version: run.tool_version.clone(),
        level: run.level.as_str().to_owned(),
        exercised: run.level > Level::Inventory && exercised(done),
        started: run.started,
        ended: run.ended,
        module: run.module.clone(),
        module_sha256: run.module_sha256.clone(),
        warnings: run.warnings.clone(),
        remains: done.remains.clone(),
        removed: done.removed.clone(),
    }
}

/// Whether any check above the lowest level came to a verdict: without keys chosen, the level
/// `use` exercises nothing.
fn exercised(done: &Verification) -> bool {
    let judged = |check: &&CheckResult| matches!(check.verdict, Verdict::Pass | Verdict::Fail);
    let above = |check: &&CheckResult| check.level > Level::Inventory;
    done.checks.iter().filter(above).any(|check| judged(&check))
}

fn ruling(check: &CheckResult) -> Ruling {
    match check.verdict {
        Verdict::Fail if check.fails() => Ruling::Fail,
        Verdict::Fail => Ruling::Advisory,
        Verdict::Pass => Ruling::Pass,
        Verdict::Inconclusive => Ruling::Inconclusive,
        _ if check.fails() => Ruling::Missing,
        Verdict::NotSupported => Ruling::NotSupported,
        Verdict::NotApplicable => Ruling::NotApplicable,
        Verdict::Skipped => Ruling::Skipped,
    }
}

fn check_view(
    check: &CheckResult,
    done: &Verification,
    keys: &BTreeMap<&str, &KeyFacts>,
) -> CheckView {
    let about_key = keys.contains_key(check.subject.as_str()) || check.subject != done.token.uri;
    CheckView {
        id: (check.id.clone(), check.version),
        level: check.level.as_str().to_owned(),
        title: check.title.clone(),
        key: about_key.then(|| check.subject.clone()),
        ruling: ruling(check),
        required: check.required,
        decided: (check.function.clone(), check.rv.clone()),
        message: check.message.clone(),
        evidence: check.evidence.iter().flat_map(|(name, value)| fact(name, value)).collect(),
        started: check.started,
        calls: check.calls,
    }
}

/// A fact of the evidence; the members of an object each on a line.
fn fact(name: &str, value: &Value) -> Vec<(String, String)> {
    let text = match value {
        Value::Object(members) => {
            let line = |(name, value): (&String, &Value)| format!("{name}: {}", plain(value));
            members.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        other => plain(other),
    };
    vec![(name.to_owned(), text)]
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn promise_view(promise: &Promise, done: &Verification) -> PromiseView {
    let made = |check: &&&str| done.checks.iter().any(|row| row.id == **check);
    PromiseView {
        attribute: promise.attribute.trim_start_matches("CKA_").to_owned(),
        value: promise.value,
        meaning: promise.meaning.to_owned(),
        wanted: promise.wanted,
        shown: seen(promise, done),
        checks: promise.drills.iter().filter(made).map(|check| (*check).to_owned()).collect(),
    }
}

/// What drills showed of a promise. One check that fails breaks it; it is kept where all passed.
fn seen(promise: &Promise, done: &Verification) -> Shown {
    let rows = done.checks.iter().filter(|row| promise.drills.contains(&row.id.as_str()));
    let verdicts: Vec<Verdict> = rows.map(|row| verdict_on(promise, row)).collect();
    let passed = verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count();
    match () {
        () if verdicts.contains(&Verdict::Fail) => Shown::Broken,
        () if passed == 0 => Shown::Untold,
        () if passed == promise.drills.len() => Shown::Kept,
        () => Shown::Partly,
    }
}

/// A check's verdict, as far as this promise goes.
fn verdict_on(promise: &Promise, row: &CheckResult) -> Verdict {
    let other =
        row.id == HISTORY && row.evidence.get(promise.attribute) != Some(&Value::Bool(true));
    if other && row.verdict == Verdict::Fail { Verdict::Pass } else { row.verdict }
}

fn key_view(key: &KeyFacts, done: &Verification) -> KeyView {
    let kind = key.key_type.trim_start_matches("CKK_");
    let label = key.attributes.get("CKA_LABEL").and_then(Value::as_str).unwrap_or_default();
    KeyView {
        uri: key.uri.clone(),
        label: if label.is_empty() { nameless(key) } else { label.to_owned() },
        class: key.class.to_owned(),
        kind: key.bits.map_or_else(|| kind.to_owned(), |bits| format!("{kind} {bits}")),
        claims: PROMISES.iter().map(|promise| claim(promise, key, done)).collect(),
        attributes: key.attributes.iter().map(|(name, v)| (name.clone(), plain(v))).collect(),
    }
}

/// A name for a key without label.
fn nameless(key: &KeyFacts) -> String {
    match key.attributes.get("CKA_ID").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => format!("id {id}"),
        _ => "neither label nor id".to_owned(),
    }
}

fn claim(promise: &Promise, key: &KeyFacts, done: &Verification) -> ClaimView {
    let about =
        |row: &&CheckResult| row.subject == key.uri && promise.own.contains(&row.id.as_str());
    let any = |verdict| done.checks.iter().filter(about).any(|row| row.verdict == verdict);
    let shown = match () {
        () if any(Verdict::Fail) => Shown::Broken,
        // One way was tried on the key itself; drills try the others.
        () if any(Verdict::Pass) && seen(promise, done) == Shown::Untold => Shown::Partly,
        () => Shown::Untold,
    };
    ClaimView { value: key.attributes.get(promise.attribute).and_then(Value::as_bool), shown }
}

fn log(found: &Correlation) -> LogView {
    let provider = serde_json::to_value(found.provider).ok();
    LogView {
        provider: provider.as_ref().map(plain).unwrap_or_default(),
        window: (found.from, found.to),
        steps: found.steps.iter().map(step).collect(),
        unexpected: found.unexpected.clone(),
    }
}

fn step(step: &Step) -> LogStepView {
    LogStepView {
        ordinal: step.ordinal,
        check: step.check.clone(),
        function: step.function.clone(),
        rv: step.rv.clone(),
        key: step.key.clone(),
        trace: match step.trace {
            correlate::Trace::MatchedByKey => Trace::MatchedByKey,
            correlate::Trace::MatchedByCount => Trace::MatchedByCount,
            correlate::Trace::NotLogged => Trace::NotLogged,
            correlate::Trace::LoggingDisabled => Trace::LoggingDisabled,
            correlate::Trace::Refused => Trace::Refused,
            correlate::Trace::Missing => Trace::Missing,
        },
        expected: texts(&step.expected),
    }
}

fn call(call: &Call) -> CallView {
    CallView {
        ordinal: call.ordinal,
        at: call.at,
        check: call.check.clone(),
        function: call.function.clone(),
        rv: call.rv.clone(),
        times: call.times,
        mechanism: call.mechanism.clone(),
        key: call.key.clone(),
    }
}
