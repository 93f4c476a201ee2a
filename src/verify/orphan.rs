//! What temporary objects are called, and the removal of those that a crashed run left behind.
//!
//! A label reads `keytrail-verify-<host>-<time>-<random>-<role>`: by it a later run knows its own.
//! What another host left may belong to a run that is still going on; it has to be old.

use std::fmt;

use cryptoki_sys::{
    CKA_CLASS, CKA_LABEL, CKA_TOKEN, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use jiff::Timestamp;

use super::outside;
use super::token::Token;
use super::token::trouble::Trouble;
use super::wire::{Attribute, Value};

/// What all labels begin with.
const PREFIX: &str = "keytrail-verify-";
/// How many objects are asked for their label at a time.
const BATCH: usize = 500;

/// A run's id: host, second, chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId {
    host: String,
    second: u64,
    chance: String,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}-{}", self.host, self.second, self.chance)
    }
}

impl RunId {
    /// Makes the id of a new run.
    pub(super) fn new(host: &str, now: Timestamp) -> Self {
        let digest = outside::hex(&outside::sha256(host.as_bytes()));
        let chance = outside::random(4).map_or_else(String::new, |random| outside::hex(&random));
        Self {
            host: digest.get(..4).unwrap_or("0000").to_owned(),
            second: u64::try_from(now.as_second()).unwrap_or_default(),
            chance: if chance.is_empty() { "00000000".to_owned() } else { chance },
        }
    }

    /// The label of a temporary object.
    pub(super) fn label(&self, role: &str) -> String {
        format!("{PREFIX}{self}-{role}")
    }

    /// The run that a label comes from; `None` for anything that is not surely ours.
    pub(super) fn of(label: &str) -> Option<Self> {
        let mut parts = label.strip_prefix(PREFIX)?.splitn(4, '-');
        let (host, second, chance) = (parts.next()?, parts.next()?, parts.next()?);
        let role = parts.next()?;
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let plain = !role.is_empty()
            && role.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit());
        let ours = digits(host, 4) && digits(second, 8) && digits(chance, 8) && plain;
        ours.then_some(())?;
        Some(Self {
            host: host.to_owned(),
            second: u64::from_str_radix(second, 16).ok()?,
            chance: chance.to_owned(),
        })
    }

    /// Whether this run may remove what another one made. The lock on the token keeps this host's
    /// other runs away.
    fn may_remove(&self, other: &Self, foreign_seconds: u64) -> bool {
        self.host == other.host || self.second.saturating_sub(other.second) >= foreign_seconds
    }
}

/// Removes what earlier runs, or a lost worker of this one, left; gives the labels of what was
/// removed and of what could not be.
pub(super) fn sweep(
    token: &mut Token<'_>,
    run: &RunId,
) -> Result<(Vec<String>, Vec<String>), Trouble> {
    let (session, age) = (token.main, token.access.limits.foreign_orphan_seconds);
    let (mut removed, mut remaining) = (Vec::new(), Vec::new());
    for class in [CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY] {
        let template = vec![Attribute::number(CKA_CLASS, class), Attribute::flag(CKA_TOKEN, true)];
        let objects = token.find_objects(session, template)?;
        for batch in objects.chunks(BATCH) {
            let labels = token.read(session, batch, &[CKA_LABEL])?;
            for (object, label) in batch.iter().zip(labels) {
                let Some(Value::Is { value }) = label.first() else { continue };
                let Ok(label) = std::str::from_utf8(&value.0) else { continue };
                if !RunId::of(label).is_some_and(|other| run.may_remove(&other, age)) {
                    continue;
                }
                match token.destroy(session, *object) {
                    Ok(()) => removed.push(label.to_owned()),
                    Err(Trouble::Lost(lost)) => return Err(Trouble::Lost(lost)),
                    Err(_) => remaining.push(label.to_owned()),
                }
            }
        }
    }
    Ok((removed, remaining))
}

/// The labels, of those given, that objects on the token still have.
pub(super) fn left(token: &mut Token<'_>, labels: &[String]) -> Result<Vec<String>, Trouble> {
    let mut left = Vec::new();
    for label in labels {
        let template =
            vec![Attribute::bytes(CKA_LABEL, label.as_bytes()), Attribute::flag(CKA_TOKEN, true)];
        if !token.find_objects(token.main, template)?.is_empty() {
            left.push(label.clone());
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_ours_and_not_a_running_neighbours_is_removed() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        let run = RunId::new("host-a", now);
        assert_eq!(RunId::of(&run.label("rotation-1")), Some(run.clone()));
        for label in [
            "keytrail-verify-",
            "keytrail-verify-prod",
            "keytrail-verify-key-of-mine-x",
            "keytrail-verify-abcd-0000000g-00000000-aes",
            "keytrail-verify-abcd-00000001-00000000-",
            "my keytrail-verify-abcd-00000001-00000000-aes",
            "keytrail-verify-abcd-00000001-00000000-AES KEY",
        ] {
            assert_eq!(RunId::of(label), None, "{label}");
        }
        let here = RunId::new("host-a", now);
        let there = RunId::new("host-b", now);
        let old = RunId { second: there.second - 3600, ..there.clone() };
        assert!(run.may_remove(&here, 3600));
        assert!(!run.may_remove(&there, 3600));
        assert!(run.may_remove(&old, 3600));
    }
}
