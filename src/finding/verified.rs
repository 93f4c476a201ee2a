//! What is stored of a run of `verify`: a row for each check and what it was made on.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::event::Provider;

/// What all rows of a run have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedRun {
    /// The run's id.
    pub id: String,
    /// The section of the configuration that asked for it.
    pub name: Option<String>,
    /// Whether keys of production are on the token, so that a drill there is no rehearsal.
    pub production: bool,
    /// `inventory`, `use`, `drill`, `operator`.
    pub level: String,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// The program's version.
    pub tool_version: String,
    /// SHA-256 of the module's file.
    pub module_sha256: String,
    /// Whose HSM the token is part of; `pkcs11` where that is nobody's cloud.
    pub provider: Provider,
    /// Account, project or subscription, where it was named.
    pub account: Option<String>,
    /// Region or location, where it was named.
    pub region: Option<String>,
    /// The token's URI.
    pub token: String,
    /// The token's serial number.
    pub token_serial: String,
    /// Manufacturer and model.
    pub token_model: String,
    /// Where the calls should stand: a JSON object with `provider`, `ledgers`, `principal`,
    /// `disabled`, `keys`, `skew_seconds`, `delay_seconds`; `None` where nobody logs them.
    pub log: Option<Value>,
}

/// A check's verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedRow {
    /// Which check.
    pub check: String,
    /// The version of its procedure.
    pub version: i64,
    /// At which level it is made.
    pub level: String,
    /// What it tests.
    pub title: String,
    /// `token` or `key`.
    pub subject_kind: &'static str,
    /// The token's URI, or the key's.
    pub subject: String,
    /// The key's name in the inventory and log of its cloud, where it is known.
    pub key_id: Option<String>,
    /// `AES 256`, `RSA 3072`, …
    pub key_spec: Option<String>,
    /// `PASS`, `FAIL`, `NOT_SUPPORTED`, `NOT_APPLICABLE`, `INCONCLUSIVE`, `SKIPPED`.
    pub verdict: &'static str,
    /// Whether the policy asks for a pass.
    pub required: bool,
    /// Whether the standard allows what it looks for.
    pub advisory: bool,
    /// Whether it makes the run a failed one.
    pub fails: bool,
    /// The function that decided.
    pub function: Option<String>,
    /// What it returned.
    pub rv: Option<String>,
    /// One sentence.
    pub message: String,
    /// What the verdict rests on; for a key's attributes, these.
    pub evidence: Map<String, Value>,
    /// What a later run needs to tell that the key is still the same.
    pub known: Option<Value>,
    /// The calls that a log should have, each a JSON object.
    pub calls: Vec<Value>,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
}

/// A run with its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The run.
    pub run: VerifiedRun,
    /// Its rows.
    pub rows: Vec<VerifiedRow>,
}
