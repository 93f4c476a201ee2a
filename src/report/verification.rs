//! What the page of a run of `verify` shows, as plain facts: the layer above makes them, since this
//! one knows nothing of tokens. Every text in them may come from a token, and is hostile.

use jiff::Timestamp;

use crate::event::words;

words! {
    /// How a check came out, as the page counts it; worst first.
    Ruling {
        /// It does not hold.
        Fail = "fail",
        /// The policy asks for a pass, and there is none.
        Missing = "required, not shown",
        /// Neither could be shown.
        Inconclusive = "inconclusive",
        /// It does not hold, and the standard allows that.
        Advisory = "advisory",
        /// It holds.
        Pass = "pass",
        /// The token lacks what the check needs, and says so.
        NotSupported = "not supported",
        /// There is nothing to check.
        NotApplicable = "not applicable",
        /// It was left out.
        Skipped = "skipped",
    }
}

words! {
    /// What was seen of a promise that an attribute makes.
    Shown {
        /// The token does not keep it.
        Broken = "broken",
        /// Every check of it passed.
        Kept = "kept",
        /// Checks of it passed, as far as the token could be asked.
        Partly = "kept as far as it could be tried",
        /// It was not tried, or could not be told.
        Untold = "not tried",
    }
}

words! {
    /// What the log holds of a call; the words of `verification_steps`.
    Trace {
        /// The log should have it and does not.
        Missing = "missing",
        /// The category is not switched on.
        LoggingDisabled = "logging_disabled",
        /// There are as many events as calls; the log names no keys.
        MatchedByCount = "matched_by_count",
        /// An event names operation and key.
        MatchedByKey = "matched_by_key",
        /// Refused; libraries refuse much before the token hears of it.
        Refused = "refused",
        /// The provider logs no such calls.
        NotLogged = "not_logged",
    }
}

/// A run of `verify`.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationPage {
    /// The token.
    pub token: TokenView,
    /// The run.
    pub run: RunView,
    /// The checks, in the order in which they were made.
    pub checks: Vec<CheckView>,
    /// What attributes promise, and whether the token keeps it.
    pub promises: Vec<PromiseView>,
    /// The keys found.
    pub keys: Vec<KeyView>,
    /// The calls beside the log, where there is one.
    pub log: Option<LogView>,
    /// All calls.
    pub calls: Vec<CallView>,
}

/// The token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenView {
    /// Its URI.
    pub uri: String,
    /// Its label.
    pub label: String,
    /// Facts by name: serial number, versions, clock.
    pub facts: Vec<(&'static str, String)>,
    /// The names of the flags that are set.
    pub flags: Vec<String>,
    /// Mechanisms.
    pub mechanisms: Vec<MechanismView>,
}

/// A mechanism that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MechanismView {
    /// Its name, or number.
    pub name: String,
    /// Sizes of keys, in the mechanism's own unit: smallest and largest.
    pub sizes: (u64, u64),
    /// What it is good for.
    pub flags: Vec<String>,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The program's version.
    pub tool_version: String,
    /// How far it went: `inventory`, `use`, `drill`, `operator`.
    pub level: String,
    /// Whether keys were exercised, at this level.
    pub exercised: bool,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// The module's path.
    pub module: String,
    /// SHA-256 of the module's file.
    pub module_sha256: String,
    /// What a reader should know of the run.
    pub warnings: Vec<String>,
    /// Labels of what may be left on the token.
    pub remains: Vec<String>,
    /// Labels of what earlier runs had left, and this one removed.
    pub removed: Vec<String>,
}

/// One check of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckView {
    /// Its id and the version of its procedure.
    pub id: (String, u32),
    /// The level at which it is made.
    pub level: String,
    /// What it tests.
    pub title: String,
    /// The key's URI; `None` for the token.
    pub key: Option<String>,
    /// How it came out.
    pub ruling: Ruling,
    /// Whether the policy asks for a pass.
    pub required: bool,
    /// The function that decided, and what it returned.
    pub decided: (Option<String>, Option<String>),
    /// One sentence.
    pub message: String,
    /// What the verdict rests on.
    pub evidence: Vec<(String, String)>,
    /// When it began.
    pub started: Timestamp,
    /// Its calls: the first, and the one after the last.
    pub calls: (u64, u64),
}

/// What an attribute promises, and what was seen of it on keys made for the purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromiseView {
    /// The attribute, without `CKA_`.
    pub attribute: String,
    /// The value that makes the promise.
    pub value: bool,
    /// What it promises.
    pub meaning: String,
    /// Whether a key that does not make it lies open.
    pub wanted: bool,
    /// What was seen.
    pub shown: Shown,
    /// The checks that were made of it.
    pub checks: Vec<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its URI.
    pub uri: String,
    /// Its label.
    pub label: String,
    /// Its class.
    pub class: String,
    /// Its type, and its size where it can be told.
    pub kind: String,
    /// What it says of each promise, in their order.
    pub claims: Vec<ClaimView>,
    /// All attributes.
    pub attributes: Vec<(String, String)>,
}

/// What a key says of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimView {
    /// The attribute: `None` where the key has none, or it could not be read.
    pub value: Option<bool>,
    /// What was seen on this very key.
    pub shown: Shown,
}

/// A run beside the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// Whose log.
    pub provider: String,
    /// The first and the last instant looked at.
    pub window: (Timestamp, Timestamp),
    /// The calls, each with what the log holds of it.
    pub steps: Vec<LogStepView>,
    /// Events that no call caused.
    pub unexpected: Vec<String>,
}

/// A call beside the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStepView {
    /// The call's place among all calls.
    pub ordinal: u64,
    /// For which check.
    pub check: String,
    /// The function.
    pub function: String,
    /// What it returned.
    pub rv: String,
    /// The key's label.
    pub key: Option<String>,
    /// What the log holds.
    pub trace: Trace,
    /// What the log should hold, one of these.
    pub expected: Vec<String>,
}

/// A call, or several alike in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// The place of the first among all calls.
    pub ordinal: u64,
    /// When.
    pub at: Timestamp,
    /// For which check.
    pub check: String,
    /// The function.
    pub function: String,
    /// What it returned.
    pub rv: String,
    /// How often in a row.
    pub times: u64,
    /// The mechanism.
    pub mechanism: Option<String>,
    /// The key's label.
    pub key: Option<String>,
}

/// A run of `verify` as the report on everything shows it: the newest of a token, or the newest
/// that went further than all later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExercisedLine {
    /// The token's URI.
    pub token: String,
    /// Manufacturer and model.
    pub model: String,
    /// The section of the configuration that asked for it.
    pub name: Option<String>,
    /// Whether keys of production are on the token.
    pub production: bool,
    /// The run's id.
    pub run: String,
    /// How far it went.
    pub level: String,
    /// When it was over.
    pub ended: Timestamp,
    /// Checks that passed.
    pub passed: u64,
    /// Checks that failed the run.
    pub failed: u64,
    /// Checks that failed and that the standard allows to.
    pub advisory: u64,
    /// Checks that could not be told.
    pub inconclusive: u64,
    /// Checks that were not supported, not applicable or left out.
    pub other: u64,
    /// Keys on which a check was made.
    pub keys: u64,
    /// The checks that failed or could not be told, those first that failed.
    pub failing: Vec<FailingCheck>,
    /// What the log holds of the calls: how many of each; `None` where no log should have them.
    pub traces: Option<Vec<(String, u64)>>,
    /// Calls that the log should have and does not.
    pub missing: Vec<MissingCall>,
    /// Events that no call caused, by id.
    pub unexpected: Vec<String>,
}

/// A check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingCheck {
    /// Which.
    pub check: String,
    /// `FAIL`, `INCONCLUSIVE`, …
    pub verdict: String,
    /// Whether it makes the run a failed one.
    pub fails: bool,
    /// The key's URI; `None` for the token.
    pub key: Option<String>,
    /// One sentence.
    pub message: String,
}

/// A call that the log should have and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingCall {
    /// For which check.
    pub check: String,
    /// The function.
    pub function: String,
    /// The key's label.
    pub key: Option<String>,
}
