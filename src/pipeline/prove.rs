//! Holds the digest files that were kept against the log files that were read: what they prove
//! becomes coverage.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::sha256_hex;
use crate::provider::aws::digest::{
    Change, DigestFile, Evidence, LogFiles, Outcome, Recorded, Selectors, Verified, news,
    selector_changes, verify,
};
use crate::store::{Page, Proof, Receipt, Store, StoreError};

/// What was proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proven {
    /// Digest files that were kept.
    pub digests: u64,
    /// Digests that are believed.
    pub verified: u64,
    /// Digests that can be neither believed nor refuted: key or signature is not known.
    pub unproven: u64,
    /// Digests that were changed, moved or made by somebody else.
    pub refuted: u64,
    /// Coverage rows that are new.
    pub covered: u64,
    /// Gaps that are new.
    pub gaps: u64,
    /// The first of the digests and keys that are not believed, a sentence each.
    pub problems: Vec<String>,
}

/// So many problems are named.
const PROBLEMS: usize = 20;

/// Judges all digest files of the store and appends what they newly prove; `now` is the time of
/// collection. A store without digest files is left alone.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn prove(store: &mut Store, now: Timestamp) -> Result<Proven, StoreError> {
    let proofs = store.proofs().await?;
    let digests = digest_files(proofs.iter());
    if digests.is_empty() {
        return Ok(Proven::default());
    }
    let keys = proofs.iter().filter(|proof| proof.kind == "cloudtrail_public_keys");
    let keys: Vec<String> = keys.map(|proof| proof.raw.clone()).collect();
    let mut logs = LogFiles::default();
    for file in store.objects_read().await?.into_iter().chain(store.files_read().await?) {
        logs.add(&file.name, &file.sha256);
    }
    let recorded = recorded(store).await?;
    let evidence = Evidence { digests: &digests, keys: &keys, logs: &logs, recorded: &recorded };
    // Thousands of signatures take a second.
    let verified = tokio::task::block_in_place(|| verify(&evidence));
    let mut proven = told(&verified);
    let rows = news(verified.coverage, &store.coverage().await?);
    let is_gap =
        |receipt: &&Receipt| matches!(receipt, Receipt::Coverage(row) if row.status == "gap");
    let receipts: Vec<Receipt> = rows.into_iter().map(Receipt::Coverage).collect();
    proven.gaps = count(receipts.iter().filter(is_gap).count());
    proven.covered = count(receipts.len()) - proven.gaps;
    if !receipts.is_empty() {
        store.append(Page { receipts, ..Page::default() }, now).await?;
    }
    Ok(proven)
}

/// The digest files with the signatures that stood beside them.
fn digest_files<'a>(proofs: impl Iterator<Item = &'a Proof> + Clone) -> Vec<DigestFile> {
    let mut signatures: BTreeMap<String, String> = BTreeMap::new();
    for proof in proofs.clone().filter(|proof| proof.kind == "cloudtrail_digest_signature") {
        let Ok(content) = serde_json::from_str::<Value>(&proof.raw) else { continue };
        let text = |name: &str| content.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(signature) = text("signature") else { continue };
        // A digest keeps its signature also where it was first read from a file.
        for name in ["digest", "sha256"].into_iter().filter_map(text) {
            signatures.insert(name, signature.clone());
        }
    }
    let digests = proofs.filter(|proof| proof.kind == "cloudtrail_digest");
    let file = |proof: &Proof| {
        let own = signatures.get(&sha256_hex(proof.raw.as_bytes()));
        let signature = own.or_else(|| signatures.get(&proof.address)).cloned();
        DigestFile { address: proof.address.clone(), raw: proof.raw.clone(), signature }
    };
    digests.map(file).collect()
}

/// What trails are known to record, from inventory and from the calls that change it.
async fn recorded(store: &Store) -> Result<Vec<Recorded>, StoreError> {
    let readings = store.event_selectors().await?;
    let readings: Vec<Selectors> = readings
        .into_iter()
        .map(|row| Selectors::new(row.trail, row.captured_at, row.logs_keys, &row.details))
        .collect();
    let changes = store.calls(selector_changes()).await?;
    let changes: Vec<Change> = changes
        .iter()
        .filter_map(|call| {
            Some(Change::read(call.ledger.strip_prefix("aws/")?, call.time, &call.raw))
        })
        .collect();
    Ok(Recorded::all(&readings, &changes))
}

/// Counts the verdicts and names the first that are bad.
fn told(verified: &Verified) -> Proven {
    let mut proven = Proven { digests: count(verified.verdicts.len()), ..Proven::default() };
    proven.problems.extend(verified.refused_keys.iter().take(PROBLEMS).cloned());
    for verdict in &verified.verdicts {
        let (counter, why) = match &verdict.outcome {
            Outcome::Verified(_) => (&mut proven.verified, None),
            Outcome::Unproven(why) => (&mut proven.unproven, Some(why)),
            Outcome::Refuted(why) => (&mut proven.refuted, Some(why)),
        };
        *counter += 1;
        if let Some(why) = why.filter(|_| proven.problems.len() < PROBLEMS) {
            proven.problems.push(format!("{}: {why}", verdict.address));
        }
    }
    proven
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
