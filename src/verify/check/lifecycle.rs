//! A key's life: made or brought in, seen to work as its value does outside, rotated, destroyed and
//! seen to be gone.

use cryptoki_sys::{
    CKA_CLASS, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_LABEL, CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE_LEN,
    CKG_MGF1_SHA1, CKG_MGF1_SHA256, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA,
    CKM_EDDSA, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS_OAEP, CKM_SHA_1, CKM_SHA256, CKO_SECRET_KEY,
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
};

pub(super) use super::signing::sign_with;
use super::signing::{Signing, prove, public_of};
use super::usage::{NO_SET, NO_USE};
use crate::verify::bench::{Attempt, Bench, Outcome, attempt, number_of};
use crate::verify::outside;
use crate::verify::outside::public::{ED25519_NAME, ED25519_OID, P256};
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Attribute, Mechanism, Param, Value};

type Result = std::result::Result<Outcome, Trouble>;
type Pair = (u64, u64, Signing);

/// An RSA pair of 2048 bits.
fn rsa_pair(
    bench: &mut Bench<'_, '_>,
    role: &str,
    (public, private): (&str, &str),
    (kept, change): (bool, &dyn Fn(Template) -> Template),
) -> std::result::Result<Pair, Trouble> {
    let (label, id) = bench.name(role)?;
    let name = (label.as_str(), id.as_slice());
    let public = Template::rsa_public(name, 2048, public).flag(CKA_TOKEN, kept);
    let private = change(Template::private(name, private).flag(CKA_TOKEN, kept));
    let (public, private) = bench.pair(CKM_RSA_PKCS_KEY_PAIR_GEN, public, private)?;
    let how = if bench.has(Signing::Pkcs1.kind(), 0) { Signing::Pkcs1 } else { Signing::Pkcs1Raw };
    Ok((public, private, how))
}

fn ec_pair(
    bench: &mut Bench<'_, '_>,
    role: &str,
    (kept, change): (bool, &dyn Fn(Template) -> Template),
) -> std::result::Result<Pair, Trouble> {
    bench.needs(&[CKM_ECDSA])?;
    let (label, id) = bench.name(role)?;
    let name = (label.as_str(), id.as_slice());
    let public = Template::ec_public(name, P256.params).flag(CKA_TOKEN, kept);
    let private = change(Template::ec_private(name).flag(CKA_TOKEN, kept));
    let (public, private) = bench.pair(CKM_EC_KEY_PAIR_GEN, public, private)?;
    Ok((public, private, Signing::Ecdsa(&P256)))
}

/// A pair that signs, on a curve where there are curves, and otherwise of RSA. Tokens that make no
/// keys for a session alone make one that stays.
pub(super) fn any_pair_with(
    bench: &mut Bench<'_, '_>,
    role: &str,
    kept: bool,
    change: &dyn Fn(Template) -> Template,
) -> std::result::Result<Pair, Trouble> {
    let result = match ec_pair(bench, role, (kept, change)) {
        Err(Trouble::Missing(_)) => rsa_pair(bench, role, ("v", "s"), (kept, change)),
        result => result,
    };
    match result {
        Err(Trouble::Refused {
            rv: CKR_ATTRIBUTE_VALUE_INVALID | CKR_TEMPLATE_INCONSISTENT,
            ..
        }) if !kept => any_pair_with(bench, role, true, change),
        result => result,
    }
}

pub(super) fn any_pair(
    bench: &mut Bench<'_, '_>,
    role: &str,
    kept: bool,
) -> std::result::Result<Pair, Trouble> {
    any_pair_with(bench, role, kept, &|private| private)
}

pub(super) fn generate_aes(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("aes")?;
    let key = bench.generate(Template::aes((&label, &id)).flag(CKA_TOKEN, true).uses("ed"))?;
    let kinds = [CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_VALUE_LEN];
    let values = bench.token.read(bench.session, &[key], &kinds)?;
    let values: Vec<Value> = values.into_iter().flatten().collect();
    let length = values.get(2).and_then(number_of);
    let (data, iv) = (Bench::random(64)?, [4; 16]);
    let sealed = bench.encrypt(key, &iv, &data)?;
    let opened = bench.decrypt(key, &iv, &sealed.0)?;
    let alike = opened.0.as_slice() == data.as_slice() && sealed.0.as_slice() != data.as_slice();
    let protected = bench.flag(key, CKA_SENSITIVE)? == Some(true)
        && bench.flag(key, CKA_EXTRACTABLE)? == Some(false);
    bench.destroy(key)?;
    Ok(match (alike, protected, length) {
        (true, true, Some(32) | None) => {
            Outcome::pass("An AES key was made as asked for; what it encrypts it decrypts.")
        }
        (false, ..) => Outcome::fail("What the key encrypts it does not decrypt."),
        _ => Outcome::fail("The key is not what was asked for."),
    }
    .with("value_bytes", length))
}

fn prove_pair(bench: &mut Bench<'_, '_>, (public, private, how): Pair) -> Result {
    let key = public_of(bench, public)?;
    let outcome = prove(bench, private, &key, how)?;
    bench.destroy(private)?;
    bench.destroy(public)?;
    Ok(outcome.with("bits", key.bits()))
}

pub(super) fn generate_rsa(bench: &mut Bench<'_, '_>) -> Result {
    let pair = rsa_pair(bench, "rsa", ("v", "s"), (true, &|private| private))?;
    prove_pair(bench, pair)
}

pub(super) fn generate_ec(bench: &mut Bench<'_, '_>) -> Result {
    let pair = ec_pair(bench, "ec", (true, &|private| private))?;
    prove_pair(bench, pair)
}

pub(super) fn generate_ed25519(bench: &mut Bench<'_, '_>) -> Result {
    bench.needs(&[CKM_EDDSA])?;
    let (label, id) = bench.name("ed25519")?;
    let name = (label.as_str(), id.as_slice());
    let mut last = Trouble::Missing("the token does not know the curve".to_owned());
    for curve in [&ED25519_NAME, &ED25519_OID] {
        let public = Template::ec_public(name, curve.params).flag(CKA_TOKEN, true);
        let private = Template::ec_private(name).flag(CKA_TOKEN, true);
        match bench.pair(CKM_EC_EDWARDS_KEY_PAIR_GEN, public, private) {
            Ok((public, private)) => return prove_pair(bench, (public, private, Signing::Ed25519)),
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

pub(super) fn import_object(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("import")?;
    let value = Bench::random(32)?;
    let template = Template::aes_of((&label, &id), &value).flag(CKA_TOKEN, true).uses("ed");
    let key = bench.create(template)?;
    let alike = bench.encrypts_alike(key, &value)?;
    bench.destroy(key)?;
    Ok(imported(alike, "C_CreateObject"))
}

fn imported(alike: bool, function: &str) -> Outcome {
    if alike {
        Outcome::pass("An imported key encrypts as its value does outside of the token.")
    } else {
        Outcome::fail("An imported key encrypts otherwise than its value does outside.")
    }
    .at(function, 0)
    .with("verified_by", outside::NAME)
}

/// A key brought in under the token's own RSA key, as one brings a key of one's own to a cloud.
pub(super) fn import_wrapped(bench: &mut Bench<'_, '_>) -> Result {
    bench.needs(&[CKM_RSA_PKCS_OAEP])?;
    let (public, private, _) =
        rsa_pair(bench, "transport", ("ew", "du"), (false, &|private| private))?;
    let public = public_of(bench, public)?;
    let value = Bench::random(32)?;
    let mut last = Trouble::Missing("the token unwraps by no OAEP".to_owned());
    let hashes = [(true, CKM_SHA256, CKG_MGF1_SHA256), (false, CKM_SHA_1, CKG_MGF1_SHA1)];
    for (sha256, hash, mgf) in hashes {
        let Some(wrapped) = public.oaep(sha256, &value) else { continue };
        let (label, id) = bench.name("unwrapped")?;
        let template = Template::aes_wrapped((&label, &id)).uses("ed").done();
        let how = Mechanism { kind: CKM_RSA_PKCS_OAEP, param: Param::Oaep { hash, mgf } };
        match bench.token.unwrap(bench.session, (how, private), &wrapped, template) {
            Ok(key) => {
                let alike = bench.encrypts_alike(key, &value)?;
                let hash = if sha256 { "SHA-256" } else { "SHA-1" };
                return Ok(imported(alike, "C_UnwrapKey").with("oaep", hash));
            }
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            // Some tokens know one hash alone, and refuse the other in their own way.
            Err(Trouble::Refused { rv: cryptoki_sys::CKR_ARGUMENTS_BAD, .. }) => {}
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

pub(super) fn destroy(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("destroy")?;
    let template = Template::aes((&label, &id)).flag(CKA_TOKEN, true).uses("ed");
    let (key, label) = match bench.generate(template) {
        Ok(key) => (key, label),
        Err(trouble) if trouble.unsupported() => {
            let (public, private, _) = any_pair(bench, "destroy", true)?;
            bench.destroy(public)?;
            let label = bench.token.labels.get(&private).cloned();
            (private, label.unwrap_or_default())
        }
        Err(trouble) => return Err(trouble),
    };
    let named = || vec![Attribute::bytes(CKA_LABEL, label.as_bytes())];
    let before = bench.token.find_objects(bench.session, named())?;
    if before != [key] {
        return Err(Trouble::Unclear(format!("{} objects have the new label", before.len())));
    }
    bench.destroy(key)?;
    gone(bench, key, &label)
}

/// Sees that an object is gone: no search finds it, and its old handle leads nowhere.
fn gone(bench: &mut Bench<'_, '_>, key: u64, label: &str) -> Result {
    let named = vec![Attribute::bytes(CKA_LABEL, label.as_bytes())];
    let after = bench.token.find_objects(bench.session, named)?;
    let dead = [CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID];
    let read = bench.token.read_one(bench.session, key, CKA_CLASS)?;
    let outcome = match (&read, after.contains(&key)) {
        (Value::Error { rv }, false) if dead.contains(rv) => {
            Outcome::pass("The key was found, destroyed, and is found no more.")
                .at("C_GetAttributeValue", *rv)
        }
        (_, true) => Outcome::fail("The destroyed key is still found."),
        _ => Outcome::fail("The handle of the destroyed key still answers."),
    };
    Ok(outcome.with("control", "before its destruction a search found it"))
}

/// Rotation as an operator does it: a successor with the same name, what the old key protected
/// moved over, the old one kept for decryption alone, then destroyed.
pub(super) fn rotation(bench: &mut Bench<'_, '_>) -> Result {
    let (label, first_id) = bench.name("rotation")?;
    let (_, second_id) = bench.name("rotation")?;
    let iv = [8; 16];
    let make = |id: &[u8]| Template::aes((&label, id)).flag(CKA_TOKEN, true).uses("ed");
    let old = bench.generate(make(&first_id))?;
    let data = Bench::random(64)?;
    let before = bench.encrypt(old, &iv, &data)?;
    let new = bench.generate(make(&second_id))?;
    let named = vec![
        Attribute::bytes(CKA_LABEL, label.as_bytes()),
        Attribute::number(CKA_CLASS, CKO_SECRET_KEY),
    ];
    let versions = bench.token.find_objects(bench.session, named)?.len();
    let moved = bench.decrypt(old, &iv, &before.0)?;
    let after = bench.encrypt(new, &iv, &moved.0)?;
    let retire = vec![Attribute::flag(CKA_ENCRYPT, false)];
    let retired = attempt(bench.token.set(bench.session, old, retire), NO_SET)?;
    let mut outcome = match retired {
        Attempt::Allowed(()) => retired_key(bench, old, &iv)?,
        // Tokens without changes of attributes cannot retire; the rest of the rotation counts.
        Attempt::Refused { .. } => Outcome::pass("").with("retired", false),
    };
    let still = bench.decrypt(old, &iv, &before.0)?.0.as_slice() == data.as_slice();
    bench.destroy(old)?;
    let dead = bench.token.read_one(bench.session, old, CKA_CLASS)?;
    let works = bench.decrypt(new, &iv, &after.0)?.0.as_slice() == data.as_slice();
    bench.destroy(new)?;
    let kept = matches!(dead, Value::Error { .. });
    let good = versions == 2 && still && kept && works && before.0 != after.0;
    if outcome.message.is_empty() {
        outcome = if good {
            Outcome { message: ROTATED.to_owned(), ..outcome }
        } else {
            Outcome::fail("The rotation went wrong.")
                .with("retired", outcome.evidence.get("retired").cloned().unwrap_or_default())
        };
    }
    Ok(outcome
        .with("versions", versions)
        .with("old_still_decrypts", still)
        .with("old_is_gone", kept)
        .with("new_decrypts_what_was_moved", works))
}

const ROTATED: &str = "A key was succeeded by another of the same name; the old one decrypted until \
                       it was destroyed, the new one works.";

/// Sees that a retired key encrypts no more.
fn retired_key(bench: &mut Bench<'_, '_>, old: u64, iv: &[u8; 16]) -> Result {
    let session = bench.session;
    // A refused operation may stay active: another session for what comes after.
    bench.session = bench.token.open(bench.token.write)?;
    let result = bench.encrypt(old, iv, &[0; 16]);
    let probe = std::mem::replace(&mut bench.session, session);
    let outcome = match attempt(result, NO_USE)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("").at(&function, rv).with("retired", true)
        }
        Attempt::Allowed(_) => {
            Outcome::fail("The old key still encrypts with CKA_ENCRYPT false.").at("C_Encrypt", 0)
        }
    };
    bench.token.close(probe)?;
    Ok(outcome)
}
