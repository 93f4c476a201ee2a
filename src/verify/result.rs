//! What a run says: a verdict per check and subject, with what it rests on, as one JSON document.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::correlate::Correlation;
use super::wire::{Library, TokenInfo};

/// The version of the JSON document.
pub const SCHEMA_VERSION: u32 = 1;

/// How far a run goes. Each level does what those below it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Reads.
    Inventory,
    /// Has existing keys work.
    Use,
    /// Makes keys of its own, and removes them.
    Drill,
    /// Tries what may cost the token: wrong PINs, the security officer's part.
    Operator,
}

impl Level {
    /// All, lowest first.
    pub const ALL: [Self; 4] = [Self::Inventory, Self::Use, Self::Drill, Self::Operator];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Use => "use",
            Self::Drill => "drill",
            Self::Operator => "operator",
        }
    }
}

/// The verdict of a check on a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// It holds, and a positive control shows that it could have failed.
    Pass,
    /// It does not hold.
    Fail,
    /// The token lacks what the check needs, and says so.
    NotSupported,
    /// There is nothing to check.
    NotApplicable,
    /// Neither could be shown.
    Inconclusive,
    /// The policy, or the level of what was allowed, left it out.
    Skipped,
}

impl Verdict {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotSupported => "NOT_SUPPORTED",
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// One row: a check's verdict on a subject.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// Which check: `drill.wrap.unextractable`.
    pub id: String,
    /// The version of its procedure.
    pub version: u32,
    /// At which level.
    pub level: Level,
    /// What it tests, in one sentence.
    pub title: String,
    /// A key's URI, or the token's.
    pub subject: String,
    /// What came out.
    pub verdict: Verdict,
    /// Whether the policy asks for a pass.
    pub required: bool,
    /// Whether the standard allows what the check looks for, so that a failure is a hint on how to
    /// set keys up and none on the token.
    pub advisory: bool,
    /// The function that decided.
    pub function: Option<String>,
    /// What it returned.
    pub rv: Option<String>,
    /// One sentence for a person.
    pub message: String,
    /// What the verdict rests on. No secret stands here.
    pub evidence: Map<String, Value>,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// Ordinals of its calls: the first, and the one after the last.
    pub calls: (u64, u64),
}

impl CheckResult {
    /// Whether the row makes the run a failed one.
    pub fn fails(&self) -> bool {
        let missed = self.required
            && matches!(
                self.verdict,
                Verdict::NotSupported | Verdict::NotApplicable | Verdict::Skipped
            );
        missed || (self.verdict == Verdict::Fail && (self.required || !self.advisory))
    }
}

/// A call, or several alike in a row, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The place of the first of them among all calls, from 0.
    pub ordinal: u64,
    /// When the request that holds it was sent.
    pub at: Timestamp,
    /// For which check.
    pub check: String,
    /// The function.
    pub function: String,
    /// What it returned.
    pub rv: String,
    /// How often in a row.
    pub times: u64,
    /// The mechanism, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// The label of the key, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The handle of the key or object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<u64>,
}

/// What identifies a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunInfo {
    /// The run's id; temporary objects carry it in their label.
    pub id: String,
    /// The program's version.
    pub tool_version: String,
    /// The level.
    pub level: Level,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// The module's path.
    pub module: String,
    /// SHA-256 of the module's file.
    pub module_sha256: String,
    /// Bytes that the module printed; they are not kept.
    pub printed: u64,
    /// What a reader should know: a spying module, a worker that was lost.
    pub warnings: Vec<String>,
}

/// The token as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenFacts {
    /// Its URI.
    pub uri: String,
    /// Its slot.
    pub slot: u64,
    /// What the library says of itself.
    pub library: Library,
    /// What the token says of itself.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The names of the flags that are set.
    pub flag_names: Vec<&'static str>,
    /// All mechanisms, the vendor's own too.
    pub mechanisms: Vec<MechanismFacts>,
}

/// A mechanism that a token names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MechanismFacts {
    /// Its name, or number.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// The smallest key.
    pub key_least: u64,
    /// The largest key.
    pub key_most: u64,
    /// What it is good for.
    pub flags: Vec<&'static str>,
}

/// A key as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyFacts {
    /// Its URI.
    pub uri: String,
    /// Its handle in this run.
    pub handle: u64,
    /// Its class: `secret-key`, `private`, `public`.
    pub class: &'static str,
    /// Its name in the inventory and log of its cloud, where it is known.
    pub key_id: Option<String>,
    /// Its type.
    pub key_type: String,
    /// Its size in bits, where it can be told.
    pub bits: Option<u64>,
    /// Attributes by name: a value, or `sensitive`, `absent`, `unavailable`, `error …`.
    pub attributes: BTreeMap<String, Value>,
}

/// What is stored of a key, so that a later run can tell that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The key's URI.
    pub uri: String,
    /// How the fingerprint was made: `spki-sha256`, `cmac`, `hmac-sha256`, `ecb`, `cbc`.
    pub method: String,
    /// The fingerprint: SHA-256, in hexadecimal digits.
    pub fingerprint: String,
    /// Something encrypted, which a later run has decrypted after a rotation.
    pub sample: Option<Sample>,
}

/// A ciphertext and the digest of what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The initialization vector, in hexadecimal digits.
    pub iv: String,
    /// The ciphertext (AES-CBC), in hexadecimal digits.
    pub ciphertext: String,
    /// SHA-256 of the plaintext, in hexadecimal digits.
    pub plaintext_sha256: String,
}

/// How often each verdict was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// PASS.
    pub pass: u64,
    /// FAIL, advisory ones aside.
    pub fail: u64,
    /// FAIL of what the standard allows.
    pub advisory: u64,
    /// `NOT_SUPPORTED`.
    pub not_supported: u64,
    /// `NOT_APPLICABLE`.
    pub not_applicable: u64,
    /// INCONCLUSIVE.
    pub inconclusive: u64,
    /// SKIPPED.
    pub skipped: u64,
    /// Required checks that were not run or not supported.
    pub required_missing: u64,
}

/// A run's document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run.
    pub run: RunInfo,
    /// The token.
    pub token: TokenFacts,
    /// The verdicts, in the order in which they were made.
    pub checks: Vec<CheckResult>,
    /// How often each verdict was given.
    pub summary: Summary,
    /// The keys found.
    pub keys: Vec<KeyFacts>,
    /// What to store of the keys that were exercised.
    pub known: Vec<Known>,
    /// Labels of temporary objects that may be left on the token.
    pub remains: Vec<String>,
    /// Labels of what earlier runs had left, which this one removed.
    pub removed: Vec<String>,
    /// All calls.
    pub calls: Vec<Call>,
    /// What the audit log says of them; the layer above adds it once it has the events.
    pub correlation: Option<Correlation>,
}

impl Verification {
    /// The exit code: 4 where something could not be told or may be left behind, else 1 where
    /// something failed, else 0.
    pub fn exit_code(&self) -> u8 {
        let partly = self.summary.inconclusive > 0 || !self.remains.is_empty();
        match () {
            () if partly => 4,
            () if self.checks.iter().any(CheckResult::fails) => 1,
            () => 0,
        }
    }

    /// Counts the verdicts anew.
    pub fn summarize(&mut self) {
        let mut summary = Summary::default();
        for check in &self.checks {
            let counter = match check.verdict {
                Verdict::Pass => &mut summary.pass,
                Verdict::Fail if check.fails() => &mut summary.fail,
                Verdict::Fail => &mut summary.advisory,
                Verdict::NotSupported => &mut summary.not_supported,
                Verdict::NotApplicable => &mut summary.not_applicable,
                Verdict::Inconclusive => &mut summary.inconclusive,
                Verdict::Skipped => &mut summary.skipped,
            };
            *counter += 1;
            if check.verdict != Verdict::Fail && check.fails() {
                summary.required_missing += 1;
            }
        }
        self.summary = summary;
    }
}
