//! Existing keys at work. Nothing here changes a key; what a key does stands in the token's log.

use cryptoki_sys::{
    CKA_DECRYPT, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_PRIVATE_EXPONENT, CKA_SIGN, CKA_VALUE, CKA_WRAP,
    CKG_MGF1_SHA1, CKG_MGF1_SHA256, CKK_AES, CKK_EC, CKK_EC_EDWARDS, CKK_RSA, CKM_AES_CBC,
    CKM_AES_CMAC, CKM_AES_ECB, CKM_RSA_PKCS_OAEP, CKM_SHA_1, CKM_SHA256, CKM_SHA256_HMAC,
    CKR_ATTRIBUTE_SENSITIVE, CKR_USER_NOT_LOGGED_IN,
};

use super::Exercise;
use super::secrecy::NO_WRAP;
use super::signing::{Signing, prove};
use super::usage::NO_USE;
use crate::verify::bench::{Attempt, Bench, Outcome, WRAPPING, attempt, wrapping};
use crate::verify::names;
use crate::verify::outside;
use crate::verify::result::{Known, Sample};
use crate::verify::survey::Key;
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::uri::Class;
use crate::verify::wire::{Mechanism, Operation, Param, Value};

type Result = std::result::Result<Outcome, Trouble>;

/// Existing keys have to work: what a token refuses them is a failure, unless it cannot do it.
fn must(result: Result) -> Result {
    match result {
        Err(trouble @ Trouble::Refused { .. }) if !trouble.unsupported() => {
            let (function, rv) = trouble.place();
            let mut outcome = Outcome::fail(format!("The key does not work: {trouble}."));
            (outcome.function, outcome.rv) = (function, rv);
            Ok(outcome)
        }
        result => result,
    }
}

pub(super) fn sign(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    if key.class != Class::Private || key.flag(CKA_SIGN) != Some(true) {
        return Ok(Outcome::not_applicable("The key does not sign."));
    }
    let public = key.public.as_ref();
    let public =
        public.ok_or_else(|| Trouble::Missing("its public key is not known".to_owned()))?;
    let how = Signing::of(public).into_iter().find(|how| bench.has(how.kind(), 0));
    let how = how.ok_or_else(|| Trouble::Missing("no way to sign is known".to_owned()))?;
    must(prove(bench, key.handle, public, how))
}

/// A fresh nonce, encrypted outside where the public key is known, comes back out.
pub(super) fn decrypt(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    if key.flag(CKA_DECRYPT) != Some(true) {
        return Ok(Outcome::not_applicable("The key does not decrypt."));
    }
    match (key.algorithm, &key.public) {
        (CKK_RSA, Some(_)) => must(oaep(bench, key)),
        (CKK_AES, _) if key.flag(CKA_ENCRYPT) == Some(true) => {
            let (nonce, iv) = (Bench::random(32)?, [2; 16]);
            must(round_trip(bench, key.handle, &nonce, iv))
        }
        _ => Ok(Outcome::not_applicable("Nothing can be encrypted to the key.")),
    }
}

fn round_trip(bench: &mut Bench<'_, '_>, key: u64, nonce: &[u8], iv: [u8; 16]) -> Result {
    let sealed = bench.encrypt(key, &iv, nonce)?;
    let opened = bench.decrypt(key, &iv, &sealed.0)?;
    Ok(if opened.0.as_slice() == nonce && sealed.0.as_slice() != nonce {
        Outcome::pass("What the key encrypts, it decrypts.")
    } else {
        Outcome::fail("What the key encrypts, it does not decrypt.")
    }
    .at("C_Decrypt", 0))
}

fn oaep(bench: &mut Bench<'_, '_>, key: &Key) -> Result {
    bench.needs(&[CKM_RSA_PKCS_OAEP])?;
    let nonce = Bench::random(32)?;
    let mut last = Trouble::Missing("nothing could be encrypted outside".to_owned());
    for (sha256, hash, mgf) in
        [(true, CKM_SHA256, CKG_MGF1_SHA256), (false, CKM_SHA_1, CKG_MGF1_SHA1)]
    {
        let sealed = key.public.as_ref().and_then(|public| public.oaep(sha256, &nonce));
        let Some(sealed) = sealed else { continue };
        let how = Mechanism { kind: CKM_RSA_PKCS_OAEP, param: Param::Oaep { hash, mgf } };
        let session = bench.token.open(bench.token.write)?;
        match bench.token.work(session, Operation::Decrypt, (how, key.handle), &sealed) {
            Ok(opened) => {
                let alike = opened.0.as_slice() == nonce.as_slice();
                bench.token.close(session)?;
                return Ok(if alike {
                    Outcome::pass("A nonce encrypted outside of the token came back out of it.")
                } else {
                    Outcome::fail("A nonce encrypted outside comes back as something else.")
                }
                .at("C_Decrypt", 0)
                .with("oaep", if sha256 { "SHA-256" } else { "SHA-1" }));
            }
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            Err(trouble) => last = trouble,
        }
        bench.token.close(session)?;
    }
    Err(last)
}

/// The same message gives the same code twice, another message another.
pub(super) fn mac(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    if key.class != Class::SecretKey || key.flag(CKA_SIGN) != Some(true) {
        return Ok(Outcome::not_applicable("The key makes no codes."));
    }
    let kind = if key.algorithm == CKK_AES { CKM_AES_CMAC } else { CKM_SHA256_HMAC };
    bench.needs(&[kind])?;
    let nonce = bench.nonce()?;
    let mut code = |data: &[u8]| {
        let work = (Mechanism::plain(kind), key.handle);
        bench.token.work(bench.session, Operation::Sign, work, data)
    };
    let codes = code(&nonce).and_then(|a| Ok((a, code(&nonce)?, code(b"another")?)));
    must(codes.map(|(first, second, other)| {
        if first == second && first != other {
            Outcome::pass("The key makes codes of something fresh.")
        } else {
            Outcome::fail("The key's codes do not depend on the message alone.")
        }
        .at("C_Sign", 0)
        .with("mechanism", names::mechanism(kind))
    }))
}

/// The value of a key is asked for; a token that gives it away has it thrown away unseen.
pub(super) fn read(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    let kind = match (key.class, key.algorithm) {
        (Class::SecretKey, _) | (Class::Private, CKK_EC | CKK_EC_EDWARDS) => CKA_VALUE,
        (Class::Private, CKK_RSA) => CKA_PRIVATE_EXPONENT,
        _ => return Ok(Outcome::not_applicable("The key has nothing to hide.")),
    };
    let name = names::attribute(kind);
    Ok(match bench.token.read_one(bench.session, key.handle, kind)? {
        Value::Sensitive => Outcome::pass("The key's value is refused.")
            .at("C_GetAttributeValue", CKR_ATTRIBUTE_SENSITIVE)
            .with("control", "other attributes of the key were read"),
        Value::Is { value } if !value.0.is_empty() => {
            Outcome::fail("The token gives the key's value away.").at("C_GetAttributeValue", 0)
        }
        _ => return Err(Trouble::Missing(format!("the key does not have {name}"))),
    }
    .with("attribute", name))
}

/// A use that the key is not for has to be refused.
pub(super) fn denied(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    let aes = key.algorithm == CKK_AES;
    let signing = key.public.as_ref().and_then(|public| Signing::of(public).into_iter().next());
    let (operation, how) = match (key.class, signing) {
        (Class::Private, Some(how)) if key.flag(CKA_SIGN) == Some(false) => {
            (Operation::Sign, how.mechanism())
        }
        (Class::SecretKey, _) if aes && key.flag(CKA_ENCRYPT) == Some(false) => {
            (Operation::Encrypt, Mechanism::iv(CKM_AES_CBC, &[0; 16]))
        }
        (Class::SecretKey, _) if aes && key.flag(CKA_SIGN) == Some(false) => {
            (Operation::Sign, Mechanism::plain(CKM_AES_CMAC))
        }
        (Class::Private, _) if key.algorithm == CKK_RSA && key.flag(CKA_DECRYPT) == Some(false) => {
            let param = Param::Oaep { hash: CKM_SHA_1, mgf: CKG_MGF1_SHA1 };
            (Operation::Decrypt, Mechanism { kind: CKM_RSA_PKCS_OAEP, param })
        }
        _ => return Ok(Outcome::not_applicable("The key is for everything that could be tried.")),
    };
    bench.needs(&[how.kind])?;
    let refusals = [NO_USE, &[CKR_USER_NOT_LOGGED_IN]].concat();
    let result = bench.token.begin(bench.session, operation, how, key.handle);
    Ok(match attempt(result, &refusals)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A use that the key is not for is refused.").at(&function, rv)
        }
        Attempt::Allowed(()) => {
            Outcome::fail("The key begins a use that it is not for.").at(operation.init(), 0)
        }
    })
}

/// Tries to wrap the key under a key that nobody knows, where the policy consents.
pub(super) fn wrap(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let key = work.key;
    if !work.policy.probe_wrap || !key.protected() {
        return Ok(Outcome::new(
            crate::verify::result::Verdict::Skipped,
            "The policy does not consent to it (probe_wrap).",
        ));
    }
    if key.flag(CKA_EXTRACTABLE) != Some(false) {
        return Ok(Outcome::not_applicable("The key may leave the token."));
    }
    let (label, id) = bench.name("kek")?;
    let kek = bench.generate(Template::aes((&label, &id)).uses("w"))?;
    let (label, id) = bench.name("control")?;
    let control = Template::aes((&label, &id)).flag(CKA_EXTRACTABLE, true).uses("ed");
    let control = bench.generate(control)?;
    let iv = [1; 16];
    for mechanism in bench.offered(WRAPPING, 0) {
        let how = || wrapping(mechanism, &iv);
        match bench.token.wrap(bench.session, how(), kek, control) {
            Ok(_) => {}
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            Err(_) => continue,
        }
        let result = bench.token.wrap(bench.session, how(), kek, key.handle);
        return Ok(match attempt(result, NO_WRAP)? {
            Attempt::Refused { function, rv } => {
                Outcome::pass("The key is not wrapped.").at(&function, rv)
            }
            Attempt::Allowed(_) => {
                Outcome::fail("The key is wrapped, although it is not extractable.")
                    .at("C_WrapKey", 0)
            }
        }
        .with("control", "the same key wrapped an extractable one")
        .with("mechanism", names::mechanism(mechanism)));
    }
    Err(Trouble::Missing("no mechanism wraps".to_owned()))
}

/// Whether it is still the same key as at an earlier run.
pub(super) fn fingerprint(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let Some((method, fingerprint)) = fingerprint_of(bench, work.key)? else {
        return Err(Trouble::Missing("nothing that the key may do tells it apart".to_owned()));
    };
    let outcome = match work.known {
        None => Outcome::pass("The fingerprint was taken for the first time."),
        Some(known) if known.method != method => {
            return Err(Trouble::Unclear(format!("the stored one was made by {}", known.method)));
        }
        Some(known) if known.fingerprint == fingerprint => {
            Outcome::pass("It is the same key as before.")
        }
        Some(known) => Outcome::fail("Another key has this name now.")
            .with("before", known.fingerprint.clone()),
    };
    Ok(outcome.with("method", method).with("fingerprint", fingerprint))
}

/// A fingerprint that shows nothing of the key: of the public key, or of what the key makes of a
/// text that nobody else has it make.
fn fingerprint_of(
    bench: &mut Bench<'_, '_>,
    key: &Key,
) -> std::result::Result<Option<(&'static str, String)>, Trouble> {
    if let Some(public) = &key.public {
        let digest = outside::sha256(&public.spki());
        return Ok(Some(("spki-sha256", outside::hex(&digest))));
    }
    let serial = &bench.token.info.serial;
    let text = format!("keytrail/verify/v1|{serial}|{}", outside::hex(&key.id));
    let block: Vec<u8> = outside::sha256(text.as_bytes()).into_iter().take(16).collect();
    let (signs, encrypts) = (key.flag(CKA_SIGN) == Some(true), key.flag(CKA_ENCRYPT) == Some(true));
    let aes = key.algorithm == CKK_AES;
    let (method, operation, how, data) = match (aes, signs, encrypts) {
        (true, true, _) if bench.has(CKM_AES_CMAC, 0) => {
            ("cmac", Operation::Sign, Mechanism::plain(CKM_AES_CMAC), text.into_bytes())
        }
        (true, _, true) if bench.has(CKM_AES_ECB, 0) => {
            ("ecb", Operation::Encrypt, Mechanism::plain(CKM_AES_ECB), block)
        }
        (true, _, true) => ("cbc", Operation::Encrypt, Mechanism::iv(CKM_AES_CBC, &[0; 16]), block),
        (false, true, _) => {
            let how = Mechanism::plain(CKM_SHA256_HMAC);
            ("hmac-sha256", Operation::Sign, how, text.into_bytes())
        }
        _ => return Ok(None),
    };
    let made = bench.token.work(bench.session, operation, (how, key.handle), &data)?;
    Ok(Some((method, outside::hex(&outside::sha256(&made.0)))))
}

/// What to store of a key for the next run.
pub(in crate::verify) fn remember(
    bench: &mut Bench<'_, '_>,
    key: &Key,
) -> std::result::Result<Option<Known>, Trouble> {
    let Some((method, fingerprint)) = fingerprint_of(bench, key)? else { return Ok(None) };
    let sample = if key.algorithm == CKK_AES && key.flag(CKA_ENCRYPT) == Some(true) {
        let (data, iv) = (Bench::random(32)?, Bench::random(16)?);
        let how = Mechanism::iv(CKM_AES_CBC, &iv);
        let work = (how, key.handle);
        let sealed = bench.token.work(bench.session, Operation::Encrypt, work, &data)?;
        Some(Sample {
            iv: outside::hex(&iv),
            ciphertext: outside::hex(&sealed.0),
            plaintext_sha256: outside::hex(&outside::sha256(&data)),
        })
    } else {
        None
    };
    Ok(Some(Known { uri: key.uri.clone(), method: method.to_owned(), fingerprint, sample }))
}

/// After a rotation: the version before it still decrypts what it encrypted, protects nothing new,
/// and the key in use is another one.
pub(super) fn rotated(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    let Some(wanted) = &work.policy.previous else {
        return Ok(Outcome::not_applicable("The policy names no version before it."));
    };
    let found = |key: &&Key| {
        key.handle != work.key.handle && wanted.selects_object(&key.label, &key.id, Some(key.class))
    };
    let Some(old) = work.keys.iter().filter(|key| key.protected()).find(found) else {
        return Ok(Outcome::fail(format!("The version before it is not on the token: {wanted}.")));
    };
    let ours = fingerprint_of(bench, work.key)?;
    let theirs = fingerprint_of(bench, old).or_else(|trouble| match trouble {
        Trouble::Lost(_) => Err(trouble),
        _ => Ok(None),
    })?;
    if ours.is_some() && ours == theirs {
        return Ok(Outcome::fail("The key is the same as the version before it."));
    }
    let decrypts = match (&old.public, old.algorithm) {
        (Some(_), CKK_RSA) => oaep(bench, old)?,
        _ => old_sample(bench, old, work)?,
    };
    let retired =
        [CKA_ENCRYPT, CKA_SIGN, CKA_WRAP].iter().all(|kind| old.flag(*kind) != Some(true));
    let outcome = match (decrypts.verdict, retired) {
        (crate::verify::result::Verdict::Pass, true) => Outcome::pass(
            "The version before the rotation still decrypts and protects nothing new.",
        ),
        (crate::verify::result::Verdict::Pass, false) => Outcome::fail(
            "The version before the rotation still decrypts, and may still protect what is new.",
        ),
        _ => decrypts,
    };
    Ok(outcome.with("previous", old.uri.clone()))
}

/// Has the old version decrypt what it encrypted in an earlier run.
fn old_sample(bench: &mut Bench<'_, '_>, old: &Key, work: &Exercise<'_>) -> Result {
    let known = work.all_known.iter().find(|known| known.uri == old.uri);
    let sample = known.and_then(|known| known.sample.as_ref());
    let sample = sample.ok_or_else(|| {
        Trouble::Missing(
            "no earlier run stored something that the old version encrypted".to_owned(),
        )
    })?;
    let bytes = |text: &str| {
        outside::unhex(text).ok_or_else(|| Trouble::Unclear("what was stored is broken".to_owned()))
    };
    let how = Mechanism::iv(CKM_AES_CBC, &bytes(&sample.iv)?);
    let sealed = bytes(&sample.ciphertext)?;
    let opened = bench.token.work(bench.session, Operation::Decrypt, (how, old.handle), &sealed)?;
    let alike = outside::hex(&outside::sha256(&opened.0)) == sample.plaintext_sha256;
    Ok(if alike {
        Outcome::pass("")
    } else {
        Outcome::fail("The version before the rotation decrypts to something else than before.")
    })
}
