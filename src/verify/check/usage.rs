//! Whether a token holds keys to what they are for: usage flags, trust, authentication for each
//! use, allowed mechanisms, what may not be changed or destroyed.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE, CKA_DESTROYABLE,
    CKA_EXTRACTABLE, CKA_LABEL, CKA_MODIFIABLE, CKA_SIGN, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED,
    CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_ECB, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN, CKR_USER_TYPE_INVALID,
};

use super::lifecycle::{any_pair_with, sign_with};
use super::secrecy::NO_WRAP;
use crate::verify::bench::{Attempt, Bench, Outcome, attempt, state, wrapping};
use crate::verify::names;
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Attribute, Login, Mechanism, Operation, Value};

/// How tokens refuse a use that a key is not for.
pub(super) const NO_USE: &[u64] =
    &[CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_TYPE_INCONSISTENT, CKR_ACTION_PROHIBITED];

/// How tokens refuse a mechanism that a key does not allow.
const NO_MECHANISM: &[u64] = &[
    CKR_MECHANISM_INVALID,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_TYPE_INCONSISTENT,
    CKR_ACTION_PROHIBITED,
];

/// How tokens refuse an attribute.
pub(super) const NO_SET: &[u64] = &[
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_TYPE_INVALID,
];

type Result = std::result::Result<Outcome, Trouble>;

/// What is said where a token took an attribute and did not act by it. One that shows another value
/// has said that it does not support it.
fn ignored(attribute: CK_ATTRIBUTE_TYPE, read: &Value, wanted: &[u8], what: &str) -> Result {
    let name = names::attribute(attribute);
    match read {
        Value::Is { value } if value.0.as_slice() != wanted => {
            Err(Trouble::Missing(format!("the token sets {name} itself")))
        }
        _ => Ok(Outcome::fail(format!("The token takes {name} and ignores it: {what}"))
            .with("read_back", state(read))),
    }
}

pub(super) fn wrap_flag(bench: &mut Bench<'_, '_>) -> Result {
    let kek = bench.wrapping_control()?;
    let (forbidden, _) = bench.known_aes("no-wrap", "ed")?;
    let (label, id) = bench.name("extractable")?;
    let template = Template::aes((&label, &id)).flag(CKA_EXTRACTABLE, true).uses("ed");
    let target = bench.generate(template)?;
    let result = bench.token.wrap(bench.session, kek.how(), forbidden, target);
    Ok(match attempt(result, NO_WRAP)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A key without CKA_WRAP does not wrap.").at(&function, rv)
        }
        Attempt::Allowed(_) => Outcome::fail("A key with CKA_WRAP false wraps.").at("C_WrapKey", 0),
    }
    .with("control", "a key with CKA_WRAP wrapped an extractable one"))
}

pub(super) fn encrypt_flag(bench: &mut Bench<'_, '_>) -> Result {
    let (allowed, value) = bench.known_aes("encrypt", "ed")?;
    if !bench.encrypts_alike(allowed, &value)? {
        return Err(Trouble::Unclear("the control encrypts otherwise than outside".to_owned()));
    }
    let (forbidden, _) = bench.known_aes("no-encrypt", "d")?;
    let result = bench.encrypt(forbidden, &[9; 16], &[0; 32]);
    Ok(match attempt(result, NO_USE)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A key without CKA_ENCRYPT does not encrypt.").at(&function, rv)
        }
        Attempt::Allowed(_) => {
            Outcome::fail("A key with CKA_ENCRYPT false encrypts.").at("C_Encrypt", 0)
        }
    }
    .with("control", "a key with CKA_ENCRYPT encrypts as its value does outside"))
}

pub(super) fn trusted_by_user(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("trusted")?;
    let template = Template::aes((&label, &id)).uses("wu");
    bench.generate(template.clone())?;
    let result = bench.generate(template.flag(CKA_TRUSTED, true));
    Ok(match attempt(result, NO_SET)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("The user cannot make a key trusted.").at(&function, rv)
        }
        Attempt::Allowed(key) => match bench.flag(key, CKA_TRUSTED)? {
            Some(true) => {
                Outcome::fail("The user made a key trusted, without the security officer.")
                    .at("C_GenerateKey", 0)
            }
            read => Outcome::pass("The key is not trusted, whatever was asked for.")
                .at("C_GenerateKey", 0)
                .with("read_back", read),
        },
    }
    .with("control", "the same key without CKA_TRUSTED was made"))
}

pub(super) fn trusted_wrap(bench: &mut Bench<'_, '_>) -> Result {
    let kek = bench.wrapping_control()?;
    let (label, id) = bench.name("with-trusted")?;
    let template = Template::aes((&label, &id))
        .flag(CKA_EXTRACTABLE, true)
        .flag(CKA_WRAP_WITH_TRUSTED, true)
        .uses("ed");
    let target = bench.generate(template)?;
    let read = bench.token.read_one(bench.session, target, CKA_WRAP_WITH_TRUSTED)?;
    let result = bench.token.wrap(bench.session, kek.how(), kek.handle, target);
    Ok(match attempt(result, NO_WRAP)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A key for trusted wrapping is not wrapped by one that is not trusted.")
                .at(&function, rv)
        }
        Attempt::Allowed(_) => {
            let what = "a key that is not trusted wraps it.";
            ignored(CKA_WRAP_WITH_TRUSTED, &read, &[1], what)?.at("C_WrapKey", 0)
        }
    }
    .with("control", "the same key wrapped one without the attribute"))
}

pub(super) fn always_authenticate(bench: &mut Bench<'_, '_>) -> Result {
    let (_, key, how) = any_pair_with(bench, "authenticate", false, &|private| {
        private.flag(CKA_ALWAYS_AUTHENTICATE, true)
    })?;
    let read = bench.token.read_one(bench.session, key, CKA_ALWAYS_AUTHENTICATE)?;
    let result = sign_with(bench, bench.session, key, how);
    let denied = match attempt(result, &[CKR_USER_NOT_LOGGED_IN])? {
        Attempt::Refused { function, rv } => (function, rv),
        Attempt::Allowed(_) => {
            let what = "the key signs without a further login.";
            let read = if matches!(read, Value::Is { .. }) { read } else { Value::Invalid };
            return Ok(ignored(CKA_ALWAYS_AUTHENTICATE, &read, &[1], what)?.at("C_Sign", 0));
        }
    };
    // The control: with the login it signs. Another session, since the first is still at it.
    let session = bench.token.open(bench.token.write)?;
    bench.token.begin(session, Operation::Sign, how.mechanism(), key)?;
    bench.token.login_as(session, Login::Context)?;
    bench.token.perform(session, Operation::Sign, &how.input(b"keytrail"))?;
    bench.token.close(session)?;
    Ok(Outcome::pass("The key signs only after a login of its own.")
        .at(&denied.0, denied.1)
        .with("control", "after the login for this one use it signed"))
}

pub(super) fn allowed_mechanisms(bench: &mut Bench<'_, '_>) -> Result {
    bench.needs(&[CKM_AES_CBC])?;
    bench.needs(&[CKM_AES_ECB])?;
    let (label, id) = bench.name("mechanisms")?;
    let free = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    let ecb = || Mechanism::plain(CKM_AES_ECB);
    bench.token.work(bench.session, Operation::Encrypt, (ecb(), free), &[0; 16])?;
    let allowed = CKM_AES_CBC.to_ne_bytes();
    let template = Template::aes((&label, &id)).uses("ed").bytes(CKA_ALLOWED_MECHANISMS, &allowed);
    let key = bench.generate(template)?;
    let read = bench.token.read_one(bench.session, key, CKA_ALLOWED_MECHANISMS)?;
    bench.encrypt(key, &[9; 16], &[0; 16])?;
    let result = bench.token.work(bench.session, Operation::Encrypt, (ecb(), key), &[0; 16]);
    Ok(match attempt(result, NO_MECHANISM)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("The key works with the mechanism that it allows and no other.")
                .at(&function, rv)
        }
        Attempt::Allowed(_) => {
            let what = "the key works with another mechanism.";
            ignored(CKA_ALLOWED_MECHANISMS, &read, &allowed, what)?.at("C_Encrypt", 0)
        }
    }
    .with("control", "another key works with that mechanism, this one with the one allowed"))
}

pub(super) fn modifiable(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("modifiable")?;
    let (other, _) = bench.name("modified")?;
    let renamed = || vec![Attribute::bytes(CKA_LABEL, other.as_bytes())];
    let free = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    bench.token.set(bench.session, free, renamed())?;
    let fixed = Template::aes((&label, &id)).uses("ed").flag(CKA_MODIFIABLE, false);
    let key = bench.generate(fixed)?;
    let read = bench.token.read_one(bench.session, key, CKA_MODIFIABLE)?;
    let result = bench.token.set(bench.session, key, renamed());
    Ok(match attempt(result, NO_SET)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A key that is not modifiable cannot be changed.").at(&function, rv)
        }
        Attempt::Allowed(()) => ignored(CKA_MODIFIABLE, &read, &[0], "the label was changed.")?
            .at("C_SetAttributeValue", 0),
    }
    .with("control", "the label of another key was changed"))
}

pub(super) fn destroyable(bench: &mut Bench<'_, '_>) -> Result {
    // Objects of the session: what cannot be destroyed goes with it.
    let (label, id) = bench.name("destroyable")?;
    let free = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    bench.token.destroy(bench.session, free)?;
    let fixed = Template::aes((&label, &id)).uses("ed").flag(CKA_DESTROYABLE, false);
    let key = bench.generate(fixed)?;
    let read = bench.token.read_one(bench.session, key, CKA_DESTROYABLE)?;
    let refusals = [NO_SET, &[CKR_OBJECT_HANDLE_INVALID]].concat();
    let result = bench.token.destroy(bench.session, key);
    Ok(match attempt(result, &refusals)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("A key that is not destroyable is not destroyed.").at(&function, rv)
        }
        Attempt::Allowed(()) => ignored(CKA_DESTROYABLE, &read, &[0], "the key was destroyed.")?
            .at("C_DestroyObject", 0),
    }
    .with("control", "another key was destroyed"))
}

/// Wrapping under a key that may also decrypt shows what was wrapped (Clulow 2003): the standard
/// allows it, so that keys have to be set up otherwise.
pub(super) fn wrap_and_decrypt(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("wrap-decrypt")?;
    let kek = match attempt(bench.generate(Template::aes((&label, &id)).uses("wd")), NO_SET)? {
        Attempt::Allowed(kek) => kek,
        Attempt::Refused { function, rv } => {
            return Ok(Outcome::pass("No key may both wrap and decrypt.").at(&function, rv));
        }
    };
    let (label, id) = bench.name("sensitive")?;
    let value = Bench::random(32)?;
    let target = Template::aes_of((&label, &id), &value).flag(CKA_EXTRACTABLE, true).uses("ed");
    let target = bench.create(target)?;
    let iv = [5; 16];
    let mut tried = Vec::new();
    let candidates = [
        CKM_AES_CBC_PAD,
        CKM_AES_CBC,
        CKM_AES_ECB,
        CKM_AES_KEY_WRAP,
        CKM_AES_KEY_WRAP_KWP,
        CKM_AES_KEY_WRAP_PAD,
    ];
    for mechanism in bench.offered(&candidates, 0) {
        let how = || wrapping(mechanism, &iv);
        let session = bench.token.open(bench.token.write)?;
        let wrapped = match bench.token.wrap(session, how(), kek, target) {
            Ok(wrapped) => wrapped,
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            Err(_) => continue,
        };
        tried.push(names::mechanism(mechanism));
        let work = (how(), kek);
        match bench.token.work(session, Operation::Decrypt, work, &wrapped.0) {
            Ok(open) if open.0.starts_with(&value) => {
                let message = "A key that wraps and decrypts shows what it wraps. The standard \
                               allows it: no key on this token may have both uses.";
                return Ok(Outcome::fail(message)
                    .at("C_Decrypt", 0)
                    .with("mechanism", names::mechanism(mechanism)));
            }
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            _ => {}
        }
        bench.token.close(session)?;
    }
    if tried.is_empty() {
        return Err(Trouble::Missing("no mechanism wraps an AES key".to_owned()));
    }
    Ok(Outcome::pass("What a key wrapped, it does not decrypt.").with("wrapped_by", tried))
}

pub(super) fn widening(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("widening")?;
    let key = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    let result = bench.token.set(bench.session, key, vec![Attribute::flag(CKA_SIGN, true)]);
    Ok(match attempt(result, NO_SET)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("The uses of a key cannot be widened.").at(&function, rv)
        }
        Attempt::Allowed(()) => match bench.flag(key, CKA_SIGN)? {
            Some(true) => Outcome::fail(
                "The uses of a key can be widened later. The standard allows it: keys need \
                 CKA_MODIFIABLE false.",
            )
            .at("C_SetAttributeValue", 0),
            read => Outcome::pass("The key keeps its uses, whatever was asked for.")
                .with("read_back", read),
        },
    })
}
