//! What attributes, mechanisms and flags say. Attributes are claims: the levels above test them.

use std::collections::BTreeMap;

use cryptoki_sys::{
    CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE, CKA_COPYABLE,
    CKA_DECRYPT, CKA_DESTROYABLE, CKA_ENCRYPT, CKA_END_DATE, CKA_EXTRACTABLE, CKA_LOCAL,
    CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE, CKA_SENSITIVE, CKA_START_DATE, CKA_UNWRAP, CKA_WRAP,
    CKA_WRAP_WITH_TRUSTED, CKF_ERROR_STATE, CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY,
    CKF_SO_PIN_LOCKED, CKF_SO_PIN_TO_BE_CHANGED, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED, CKF_USER_PIN_TO_BE_CHANGED,
};

use crate::verify::bench::Outcome;
use crate::verify::names;
use crate::verify::policy::pack::{self, Broken, Standing};
use crate::verify::policy::{KeyPolicy, Policy};
use crate::verify::result::Verdict;
use crate::verify::survey::Key;
use crate::verify::uri::{Class, Uri};
use crate::verify::wire::{MechanismInfo, TokenInfo, Value};

/// What the checks of this level look at.
pub(in crate::verify) struct Findings<'a> {
    pub(in crate::verify) info: &'a TokenInfo,
    pub(in crate::verify) mechanisms: &'a [MechanismInfo],
    pub(in crate::verify) keys: &'a [Key],
    pub(in crate::verify) policy: &'a Policy,
    /// Keys asked for beside those that the policy names.
    pub(in crate::verify) chosen: &'a [Uri],
    /// The day on which the rules are asked, `YYYY-MM-DD`.
    pub(in crate::verify) day: &'a str,
}

/// Judges the keys that `judge` has something to say on: a row for each that fails, one for all
/// that pass.
fn each<'a>(
    keys: impl Iterator<Item = &'a Key>,
    passed: &str,
    judge: impl Fn(&Key) -> Option<String>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut good = 0_u64;
    for key in keys {
        match judge(key) {
            Some(message) => outcomes.push(Outcome::fail(message).about(&key.uri)),
            None => good += 1,
        }
    }
    if good > 0 {
        outcomes.push(Outcome::pass(passed).with("keys", good));
    } else if outcomes.is_empty() {
        outcomes.push(Outcome::not_applicable("There is no such key."));
    }
    outcomes
}

fn policy_of(policy: &Policy, key: &Key) -> KeyPolicy {
    let found =
        policy.key.iter().find(|p| p.uri.selects_object(&key.label, &key.id, Some(key.class)));
    found.cloned().unwrap_or_default()
}

pub(super) fn token(findings: &Findings<'_>) -> Vec<Outcome> {
    let bad = [
        (CKF_ERROR_STATE, "its self-test has failed"),
        (CKF_USER_PIN_TO_BE_CHANGED, "the user's PIN is the default one or has expired"),
        (CKF_SO_PIN_TO_BE_CHANGED, "the security officer's PIN is the default one or has expired"),
        (CKF_USER_PIN_LOCKED, "the user's PIN is locked"),
        (CKF_SO_PIN_LOCKED, "the security officer's PIN is locked"),
        (CKF_USER_PIN_FINAL_TRY, "one more wrong PIN locks the user out"),
        (CKF_SO_PIN_FINAL_TRY, "one more wrong PIN locks the security officer out"),
        (CKF_USER_PIN_COUNT_LOW, "somebody has entered a wrong user PIN since the last login"),
        (CKF_SO_PIN_COUNT_LOW, "somebody has entered a wrong officer's PIN since the last login"),
    ];
    let flags = findings.info.flags;
    let mut said: Vec<&str> =
        bad.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, text)| *text).collect();
    if flags & CKF_TOKEN_INITIALIZED == 0 {
        said.push("it is not initialized");
    }
    let outcome = if said.is_empty() {
        Outcome::pass("The token's flags show nothing amiss.")
    } else {
        Outcome::fail(format!("Of the token: {}.", said.join("; ")))
    };
    vec![outcome.with("flags", names::token_flags(flags))]
}

fn clause(broken: &Broken) -> String {
    format!(
        "{} since {} ({}, {})",
        broken.clause.standing.as_str(),
        broken.clause.from,
        broken.pack.title,
        broken.clause.source
    )
}

pub(super) fn mechanisms(findings: &Findings<'_>) -> Vec<Outcome> {
    let packs = &findings.policy.packs;
    let mut bad = BTreeMap::new();
    for info in findings.mechanisms {
        let name = names::mechanism(info.kind);
        if let Some(broken) = pack::mechanism_broken(packs, findings.day, &name)
            && broken.clause.standing == Standing::Disallowed
        {
            bad.insert(name, clause(&broken));
        }
    }
    let count = findings.mechanisms.len();
    let outcome = if bad.is_empty() {
        Outcome::pass("The token offers no mechanism that the rules disallow.")
    } else {
        Outcome::fail(format!("The token offers {} mechanisms that the rules disallow.", bad.len()))
            .with("disallowed", serde_json::json!(bad))
    };
    vec![outcome.with("mechanisms", count).with("packs", packs.clone())]
}

pub(super) fn algorithms(findings: &Findings<'_>) -> Vec<Outcome> {
    let packs = &findings.policy.packs;
    let sized = findings.keys.iter().filter(|key| key.bits().is_some());
    each(sized, "The rules allow the type and size of these keys.", |key| {
        let bits = key.bits()?;
        let broken = pack::key_broken(packs, findings.day, key.algorithm, bits)?;
        (broken.clause.standing == Standing::Disallowed).then(|| {
            format!("{} of {bits} bits: {}.", names::key_type(key.algorithm), clause(&broken))
        })
    })
}

pub(super) fn protection(findings: &Findings<'_>) -> Vec<Outcome> {
    let keys = findings.keys.iter().filter(|key| key.protected());
    each(keys, "These keys say that they are sensitive and not extractable.", |key| {
        let policy = policy_of(findings.policy, key);
        let mut wrong = Vec::new();
        if policy.sensitive && key.flag(CKA_SENSITIVE) != Some(true) {
            wrong.push("is not sensitive");
        }
        if !policy.extractable && key.flag(CKA_EXTRACTABLE) != Some(false) {
            wrong.push("is extractable");
        }
        (!wrong.is_empty()).then(|| format!("The key {}.", wrong.join(" and ")))
    })
}

pub(super) fn birth(findings: &Findings<'_>) -> Vec<Outcome> {
    let wanted = |key: &&Key| key.protected() && policy_of(findings.policy, key).born;
    let keys = findings.keys.iter().filter(wanted);
    each(keys, "These keys say that they were born in the token and never left.", |key| {
        let claims = [
            (CKA_LOCAL, "CKA_LOCAL"),
            (CKA_ALWAYS_SENSITIVE, "CKA_ALWAYS_SENSITIVE"),
            (CKA_NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE"),
        ];
        let lacking: Vec<&str> = claims
            .iter()
            .filter(|(kind, _)| key.flag(*kind) != Some(true))
            .map(|(_, name)| *name)
            .collect();
        (!lacking.is_empty()).then(|| format!("Not true of the key: {}.", lacking.join(", ")))
    })
}

pub(super) fn wrap_and_decrypt(findings: &Findings<'_>) -> Vec<Outcome> {
    let keys = findings.keys.iter().filter(|key| key.class == Class::SecretKey);
    each(keys, "None of these keys may both wrap and decrypt.", |key| {
        let both = |a, b| key.flag(a) == Some(true) && key.flag(b) == Some(true);
        if both(CKA_WRAP, CKA_DECRYPT) {
            Some("The key may wrap and decrypt: what it wraps, it can show.".to_owned())
        } else if both(CKA_UNWRAP, CKA_ENCRYPT) {
            Some("The key may encrypt and unwrap: anybody's value can become a key.".to_owned())
        } else {
            None
        }
    })
}

pub(super) fn settings(findings: &Findings<'_>) -> Vec<Outcome> {
    let keys = findings.keys.iter().filter(|key| key.protected());
    each(keys, "These keys are set up as the policy says.", |key| {
        let policy = policy_of(findings.policy, key);
        let wanted = [
            (CKA_MODIFIABLE, policy.modifiable),
            (CKA_COPYABLE, policy.copyable),
            (CKA_DESTROYABLE, policy.destroyable),
            (CKA_WRAP_WITH_TRUSTED, policy.wrap_with_trusted),
            (CKA_ALWAYS_AUTHENTICATE, policy.always_authenticate),
        ];
        let mut wrong: Vec<String> = wanted
            .iter()
            .filter(|(kind, wanted)| wanted.is_some() && key.flag(*kind) != *wanted)
            .map(|(kind, _)| names::attribute(*kind))
            .collect();
        if policy.allowed_mechanisms && !key.filled(CKA_ALLOWED_MECHANISMS) {
            wrong.push("CKA_ALLOWED_MECHANISMS".to_owned());
        }
        (!wrong.is_empty()).then(|| format!("Not as the policy says: {}.", wrong.join(", ")))
    })
}

pub(super) fn dates(findings: &Findings<'_>) -> Vec<Outcome> {
    let dated = |key: &&Key| key.filled(CKA_START_DATE) || key.filled(CKA_END_DATE);
    let today = findings.day.replace('-', "");
    let text = |key: &Key, kind| match key.values.get(&kind) {
        Some(Value::Is { value }) if value.0.len() == 8 => String::from_utf8(value.0.to_vec()).ok(),
        _ => None,
    };
    each(findings.keys.iter().filter(dated), "These keys are within their dates.", |key| {
        let early = text(key, CKA_START_DATE).filter(|start| *start > today);
        let late = text(key, CKA_END_DATE).filter(|end| *end < today);
        early
            .map(|start| format!("The key is not to be used before {start}."))
            .or_else(|| late.map(|end| format!("The key was to be used until {end}.")))
    })
}

pub(super) fn identity(findings: &Findings<'_>) -> Vec<Outcome> {
    let mut count: BTreeMap<(Class, &[u8]), u64> = BTreeMap::new();
    for key in findings.keys {
        *count.entry((key.class, key.id.as_slice())).or_default() += 1;
    }
    each(findings.keys.iter(), "These keys have an id of their own.", |key| {
        if key.id.is_empty() {
            return Some(
                "The key has no CKA_ID: it cannot be told from others for sure.".to_owned(),
            );
        }
        let same = count.get(&(key.class, key.id.as_slice())).copied().unwrap_or_default();
        (same > 1).then(|| format!("{same} keys of this class have the same CKA_ID."))
    })
}

pub(super) fn pairs(findings: &Findings<'_>) -> Vec<Outcome> {
    let publics: BTreeMap<(&[u8], u64), &Key> = findings
        .keys
        .iter()
        .filter(|key| key.class == Class::Public)
        .map(|key| ((key.id.as_slice(), key.algorithm), key))
        .collect();
    let partner = |key: &Key| publics.get(&(key.id.as_slice(), key.algorithm)).copied();
    let paired = |key: &&Key| key.class == Class::Private && partner(key).is_some();
    each(findings.keys.iter().filter(paired), "Private and public keys belong together.", |key| {
        let other = partner(key)?;
        (key.public.is_some() && other.public.is_some() && key.public != other.public)
            .then(|| "The public key of the same id belongs to another private key.".to_owned())
    })
}

/// Whoever asks for a key must not be told that all is well without it.
pub(super) fn present(findings: &Findings<'_>) -> Vec<Outcome> {
    let named = findings.policy.key.iter().filter(|policy| policy.exercise);
    let wanted: Vec<&Uri> = named.map(|policy| &policy.uri).chain(findings.chosen).collect();
    if wanted.is_empty() {
        return vec![Outcome::not_applicable("No existing key was chosen.")];
    }
    let found = |uri: &Uri| {
        let keys = findings.keys.iter().filter(|key| key.protected());
        keys.filter(|key| uri.selects_object(&key.label, &key.id, Some(key.class))).count()
    };
    let outcome = |uri: &&Uri| match found(uri) {
        0 => Outcome::fail("No key on the token, as far as it is seen, is meant by this."),
        keys => Outcome::pass("The token has it.").with("keys", keys),
    };
    wanted.iter().map(|uri| outcome(uri).about(&uri.to_string())).collect()
}

/// What is said at a level that could not see everything.
pub(in crate::verify) fn blind(reason: &str) -> Outcome {
    Outcome::new(Verdict::Inconclusive, reason)
}
