//! The public keys that digests are signed with.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use serde_json::Value;

use super::super::super::Json as _;
use super::super::dates::api_time;
use super::claim::Claim;
use super::stretch::{after, before};
use super::{Outcome, stretch};
use crate::event::to_hex;
use crate::finding::Period;

/// A digest is delivered up to so long after its end; AWS's own tool asks for keys until then.
const DELIVERY: SignedDuration = SignedDuration::from_hours(2);

/// Longer than any RSA key that is used, in base64 digits.
const KEY_DIGITS: usize = 8192;

/// More keys than AWS can have used.
const MOST: usize = 100_000;

/// Usable keys by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: BTreeMap<String, Key>,
    /// Keys that cannot be used, a sentence each.
    pub(super) refused: Vec<String>,
}

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    der: Vec<u8>,
    /// When it is valid; listed anew, it may say more.
    valid: Vec<Period>,
}

impl Keys {
    /// Reads answers of `ListPublicKeys`. A key is `RSAPublicKey` (PKCS #1) or
    /// `SubjectPublicKeyInfo`; its fingerprint is the MD5 of these bytes, which is checked.
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PublicKey.html>
    pub(super) fn read(lists: &[String]) -> Self {
        let mut keys = Self::default();
        for list in lists {
            let Ok(list) = serde_json::from_str::<Value>(list) else {
                keys.refused.push("a list of public keys is not JSON".to_owned());
                continue;
            };
            for members in ["PublicKeyList", "publicKeyList"] {
                list.items(&[members]).iter().take(MOST).for_each(|key| keys.add(key));
            }
        }
        keys.refused.sort();
        keys.refused.dedup();
        keys
    }

    fn add(&mut self, key: &Value) {
        let listed = key.text(&["Fingerprint"]).unwrap_or_default().to_ascii_lowercase();
        let value = key.text(&["Value"]).filter(|value| value.len() <= KEY_DIGITS);
        let Some(der) = value.and_then(|value| STANDARD.decode(value).ok()) else {
            self.refuse(&listed, "is no base64");
            return;
        };
        let fingerprint = to_hex(&Md5::digest(&der));
        if fingerprint != listed {
            self.refuse(&listed, &format!("has the fingerprint {fingerprint}"));
            return;
        }
        let valid = Period {
            from: time(key, "ValidityStartTime").unwrap_or(Timestamp::MIN),
            to: time(key, "ValidityEndTime").unwrap_or(Timestamp::MAX),
        };
        self.known
            .entry(fingerprint)
            .or_insert_with(|| Key { der, valid: Vec::new() })
            .valid
            .push(valid);
    }

    fn refuse(&mut self, listed: &str, why: &str) {
        let listed: String = listed.chars().take(64).collect();
        self.refused.push(format!("the public key that is listed as {listed:?} {why}: not used"));
    }

    /// The key that a digest names; what it is without one.
    pub(super) fn of(&self, claim: &Claim) -> Result<&Key, Outcome> {
        let named = &claim.fingerprint;
        // A backfill digest is written whenever it is needed, with the key of that day.
        let to = if claim.is_backfill { Timestamp::MAX } else { after(claim.period.to, DELIVERY) };
        let signed = Period { from: claim.period.from, to };
        match self.known.get(named) {
            Some(key) if key.is_valid(signed) => Ok(key),
            Some(_) => Err(Outcome::Refuted(format!(
                "the public key {named} that it names was not valid then"
            ))),
            // The keys of that time are known, and this is none of them.
            None if !claim.is_backfill && self.known.values().any(|key| key.is_valid(signed)) => {
                Err(Outcome::Refuted(format!(
                    "it names the public key {named}, which is none of the known ones of its time"
                )))
            }
            None => Err(Outcome::Unproven(format!("the public key {named} is not known"))),
        }
    }
}

impl Key {
    fn is_valid(&self, signed: Period) -> bool {
        let end = |valid: Period| after(valid.to, SignedDuration::from_secs(1));
        self.valid.iter().any(|valid| {
            let valid =
                Period { from: before(valid.from, SignedDuration::from_secs(1)), to: end(*valid) };
            stretch::common(valid, signed).is_some()
        })
    }

    /// Whether it made a signature (RSA PKCS #1 v1.5, SHA-256).
    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}

/// A time of the answer: a number, RFC 3339, or a number written as text as in AWS's own example.
fn time(key: &Value, name: &str) -> Option<Timestamp> {
    let value = key.at(&[name])?;
    let number = || api_time(&serde_json::from_str(value.as_str()?).ok()?);
    api_time(value).or_else(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two of the keys that AWS's documentation shows, one as PKCS #1 and one as
    /// `SubjectPublicKeyInfo`.
    const DOCUMENTED: [(&str, &str); 2] = [
        (
            "8eba5db5bea9b640d1c96a77256fe7f2",
            "MIIBCgKCAQEAn11L2YZ9h7onug2ILi1MWyHiMRsTQjfWE+pHVRLk1QjfWhirG+lpOa8NrwQ/r7Ah5bNL6HepznOU9XTDSfmmnP97mqyc7z/upfZdS/AHhYcGaz7n6Wc/RRBU6VmiPCrAUojuSk6/GjvA8iOPFsYDuBtviXarvuLPlrT9kAd4Lb+rFfR5peEgBEkhlzc5HuWO7S0y+KunqxX6jQBnXGMtxmPBPP0FylgWGNdFtks/4YSKcgqwH0YDcawP9GGGDAeCIqPWIXDLG1jOjRRzWfCmD0iJUkz8vTsn4hq/5ZxRFE7UBAUiVcGbdnDdvVfhF9C3dQiDq3k7adQIziLT0cShgQIDAQAB",
        ),
        (
            "31e8b5433410dfb61a9dc45cc65b22ff",
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqlzPJbvZJ42UdcmLfPUqXYNfOs6I8lCfao/tOs8CmzPOEdtLWugB9xoIUz78qVHdKIqxbaG4jWHfJBiOSSFBM0lt8cdVo4TnRa7oG9io5pysS6DJhBBAeXsicufsiFJR+wrUNh8RSLxL4k6G1+BhLX20tJkZ/erT97tDGBujAelqseGg3vPZbTx9SMfOLN65PdLFudLP7Gat0Z9p5jw/rjpclKfo9Bfc3heeBxWGKwBBOKnFAaN9V57pOaosCvPKmHd9bg7jsQkI9Xp22IzGLsTFJZYVA3KiTAElDMu80iFXPHEq9hKNbt9e4URFam+1utKVEiLkR2disdCmPTK0VQIDAQAB",
        ),
    ];

    #[test]
    fn the_fingerprint_of_a_documented_key_is_that_of_its_bytes() {
        for start in [json!("1436317441.0"), json!(1_436_317_441.0), json!("2015-07-08T01:04:01Z")]
        {
            let list: Vec<Value> = DOCUMENTED
                .iter()
                .map(|(fingerprint, value)| {
                    json!({"Fingerprint": fingerprint, "Value": value, "ValidityStartTime": start})
                })
                .collect();
            let keys = Keys::read(&[json!({ "PublicKeyList": list }).to_string()]);
            assert!(keys.refused.is_empty(), "{:?}", keys.refused);
            assert_eq!(keys.known.len(), 2);
            let from = keys.known.values().map(|key| key.valid[0].from.as_second());
            assert_eq!(from.collect::<Vec<_>>(), [1_436_317_441; 2]);
        }
    }

    #[test]
    fn a_key_with_anothers_fingerprint_or_no_bytes_is_refused() {
        let list = json!({"PublicKeyList": [
            {"Fingerprint": DOCUMENTED[1].0, "Value": DOCUMENTED[0].1},
            {"Fingerprint": "00", "Value": "?"},
            {"Fingerprint": "00"}, null, 7,
        ]});
        let keys = Keys::read(&[list.to_string(), "{".to_owned()]);
        assert!(keys.known.is_empty());
        assert!(keys.refused.iter().any(|why| why.contains(DOCUMENTED[0].0)), "{:?}", keys.refused);
    }
}
