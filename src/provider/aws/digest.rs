//! `CloudTrail` digest files: AWS's signed lists of every log file that a trail delivered.
//!
//! A digest is believed only where its signature verifies with a public key whose fingerprint it
//! names. The signature stands beside the digest in S3, or in the digest that follows. Believed
//! digests that follow on each other without a hole name every log file of a stretch; where each of
//! them was read with the hash that is named, nothing of that stretch is missing. Events are
//! delivered up to [`LATENESS`] after they happen, so that what is proven ends so long before the
//! last digest does. Pure: no I/O, no clock.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-custom-validation.html>

mod chain;
mod claim;
mod keys;
mod recorded;
mod stretch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::finding::{Coverage, Period};

use chain::Judged;
use claim::Claim;
use keys::Keys;

pub use claim::Trail;
pub use recorded::{Change, Recorded, Selectors, selector_changes};

/// How long after an event its log file may be delivered. AWS speaks of minutes "on average", and
/// promises nothing.
pub const LATENESS: SignedDuration = SignedDuration::from_hours(24);

/// A longer signature than any RSA key makes, in hexadecimal digits.
const SIGNATURE_DIGITS: usize = 4096;

/// So many digests that name one before them are asked for its signature; there is one.
const SIGNATURES: usize = 16;

/// A digest file as it was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DigestFile {
    /// Where it was found: `s3://bucket/key`, or the path of a file.
    pub address: String,
    /// Its text, exactly as it was after unpacking.
    pub raw: String,
    /// The signature that stood beside it, hexadecimal.
    pub signature: Option<String>,
}

/// The log files that were read, with the SHA-256 of their bytes after unpacking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFiles(BTreeMap<String, BTreeSet<String>>);

impl LogFiles {
    /// Adds a file by its name, S3 key or path, and the hash in hexadecimal digits. The last part
    /// of a key is single: it holds account, region, time and sixteen random characters.
    pub fn add(&mut self, name: &str, sha256: &str) {
        self.0.entry(bare_name(name).to_owned()).or_default().insert(sha256.to_ascii_lowercase());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hashes under which a file was read.
    fn hashes(&self, key: &str) -> Option<&BTreeSet<String>> {
        self.0.get(bare_name(key))
    }
}

/// The last part of a key or path, without `.gz`: files are kept unpacked as well.
fn bare_name(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".gz").unwrap_or(name)
}

/// What is to be judged, and by what.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The digest files, in any order.
    pub digests: &'a [DigestFile],
    /// Answers of `ListPublicKeys`, as JSON.
    pub keys: &'a [String],
    /// The log files that were read.
    pub logs: &'a LogFiles,
    /// What trails are known to record.
    pub recorded: &'a [Recorded],
}

/// What is known of one digest file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its signature verifies with the public key of this fingerprint.
    Verified(String),
    /// It can be neither believed nor refuted, and why.
    Unproven(String),
    /// It is not what AWS delivered there, and why.
    Refuted(String),
}

/// The verdict on one digest file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Where it was found.
    pub address: String,
    /// What is known of it.
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Digest by digest, in the order given.
    pub verdicts: Vec<Verdict>,
    /// What is thereby proven read, and what is proven missing.
    pub coverage: Vec<Coverage>,
    /// Public keys that cannot be used, a sentence each.
    pub refused_keys: Vec<String>,
}

/// Judges digest files and what they prove.
pub fn verify(evidence: &Evidence<'_>) -> Verified {
    let keys = Keys::read(evidence.keys);
    let claims: Vec<Result<Claim, String>> = evidence.digests.iter().map(Claim::read).collect();
    let mut later: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for claim in claims.iter().flatten() {
        if let (Some(previous), Some(signature)) = (&claim.previous, &claim.previous_signature) {
            later.entry(&previous.place).or_default().insert(signature);
        }
    }
    let mut outcomes: Vec<Outcome> = evidence
        .digests
        .iter()
        .zip(&claims)
        .map(|(file, claim)| match claim {
            Err(reason) => Outcome::Refuted(reason.clone()),
            Ok(claim) => {
                let later = later.get(claim.place.as_str()).into_iter().flatten().copied();
                judge(file, claim, later, &keys)
            }
        })
        .collect();
    refute_renamed(&claims, &mut outcomes);
    let mut trails: BTreeMap<&Trail, Vec<Judged<'_>>> = BTreeMap::new();
    for (claim, outcome) in claims.iter().zip(&outcomes) {
        if let Ok(claim) = claim {
            trails.entry(&claim.trail).or_default().push(Judged { claim, outcome });
        }
    }
    let coverage = trails.iter().flat_map(|(trail, digests)| {
        chain::coverage(trail, digests, (evidence.logs, evidence.recorded))
    });
    let coverage = coverage.collect::<BTreeSet<_>>().into_iter().collect();
    let addresses = evidence.digests.iter().map(|file| file.address.clone());
    let verdicts = addresses.zip(outcomes).map(|(address, outcome)| Verdict { address, outcome });
    Verified { verdicts: verdicts.collect(), coverage, refused_keys: keys.refused }
}

/// Judges one digest by its place and its signature.
fn judge<'a>(
    file: &'a DigestFile,
    claim: &Claim,
    later: impl Iterator<Item = &'a str>,
    keys: &Keys,
) -> Outcome {
    if !claim.is_at(&file.address) {
        let place = &claim.place;
        return Outcome::Refuted(format!(
            "it was moved: it was delivered to s3://{place}, not found there"
        ));
    }
    let key = match keys.of(claim) {
        Ok(key) => key,
        Err(outcome) => return outcome,
    };
    let later = later.take(SIGNATURES);
    let signatures: BTreeSet<&str> = file.signature.as_deref().into_iter().chain(later).collect();
    if signatures.is_empty() {
        return Outcome::Unproven(
            "its signature is not known: neither its own nor one in the digest after it".to_owned(),
        );
    }
    let signed = claim.signed_text();
    let verifies = |digits: &&str| {
        let digits = digits.trim();
        digits.len() <= SIGNATURE_DIGITS
            && from_hex(digits).is_some_and(|signature| key.verifies(&signed, &signature))
    };
    if signatures.iter().any(verifies) {
        Outcome::Verified(claim.fingerprint.clone())
    } else {
        Outcome::Refuted("its signature does not verify: it was changed".to_owned())
    }
}

/// Refutes digests whose hash is not the one that a believed digest after them names.
fn refute_renamed(claims: &[Result<Claim, String>], outcomes: &mut [Outcome]) {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (claim, outcome) in claims.iter().zip(outcomes.iter()) {
        if let (Ok(claim), Outcome::Verified(_)) = (claim, outcome)
            && let Some(previous) = &claim.previous
        {
            named.entry(&previous.place).or_default().insert(&previous.hash);
        }
    }
    for (claim, outcome) in claims.iter().zip(outcomes.iter_mut()) {
        let Ok(claim) = claim else { continue };
        let hashes = named.get(claim.place.as_str());
        if hashes.is_some_and(|hashes| !hashes.contains(claim.sha256.as_str()))
            && !matches!(outcome, Outcome::Refuted(_))
        {
            let reason = "the digest after it names another hash of it: it was changed";
            *outcome = Outcome::Refuted(reason.to_owned());
        }
    }
}

/// The rows that say more than the known ones: gaps that were not told of, and of covered stretches
/// what no digest covered before.
pub fn news(rows: Vec<Coverage>, known: &[Coverage]) -> Vec<Coverage> {
    let log = |row: &Coverage| (row.ledger.clone(), row.region.clone(), row.kind.clone());
    let is_covered = |row: &Coverage| row.method == "digest" && row.status == "covered";
    let mut covered: BTreeMap<_, Vec<Period>> = BTreeMap::new();
    for row in known.iter().filter(|row| is_covered(row)) {
        covered.entry(log(row)).or_default().push(row.period);
    }
    let known: BTreeSet<&Coverage> = known.iter().collect();
    let mut new = Vec::new();
    for row in rows {
        if is_covered(&row) {
            let covered = covered.get(&log(&row)).map_or(&[][..], Vec::as_slice);
            let parts = stretch::without(row.period, covered).into_iter();
            new.extend(parts.map(|period| Coverage { period, ..row.clone() }));
        } else if !known.contains(&row) {
            new.push(row);
        }
    }
    new
}

/// Bytes written as pairs of hexadecimal digits.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
