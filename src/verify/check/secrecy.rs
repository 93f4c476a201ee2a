//! Whether a key that must not leave the token can be made to: by reading, wrapping, copying,
//! unwrapping. All of it with keys made for the purpose; each refusal has a positive control.

use cryptoki_sys::{
    CKA_ALWAYS_SENSITIVE, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_LABEL, CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE, CKA_SENSITIVE, CKA_VALUE, CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_TYPE_INCONSISTENT,
    CKR_KEY_UNEXTRACTABLE, CKR_TEMPLATE_INCONSISTENT, CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
};

use crate::verify::bench::{Attempt, Bench, Kek, Outcome, attempt, flag_of, state};
use crate::verify::names;
use crate::verify::outside;
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Attribute, Value};

/// How tokens refuse to wrap.
pub(super) const NO_WRAP: &[u64] = &[
    CKR_KEY_UNEXTRACTABLE,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_TYPE_INCONSISTENT,
    CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_ACTION_PROHIBITED,
];

/// How tokens refuse a copy.
const NO_COPY: &[u64] = &[
    CKR_TEMPLATE_INCONSISTENT,
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_KEY_UNEXTRACTABLE,
    CKR_ACTION_PROHIBITED,
];

type Result = std::result::Result<Outcome, Trouble>;

/// What a read of a key's value means where it must be refused.
fn read_refused(value: &Value, control: &str) -> Result {
    let control = |outcome: Outcome| outcome.with("control", control);
    match value {
        Value::Sensitive => Ok(control(
            Outcome::pass("The value is refused.")
                .at("C_GetAttributeValue", CKR_ATTRIBUTE_SENSITIVE),
        )),
        Value::Is { value } => Ok(control(
            Outcome::fail("The token gives the key's value away.")
                .at("C_GetAttributeValue", 0)
                .with("bytes_read", value.0.len()),
        )),
        other => Err(Trouble::Unclear(format!(
            "the value is neither given nor refused: {}",
            state(other)
        ))),
    }
}

/// Reads the value of an AES key with these two attributes.
fn read_value(
    bench: &mut Bench<'_, '_>,
    sensitive: bool,
    extractable: bool,
) -> std::result::Result<Value, Trouble> {
    let (label, id) = bench.name("read")?;
    let template = Template::aes((&label, &id))
        .flag(CKA_SENSITIVE, sensitive)
        .flag(CKA_EXTRACTABLE, extractable)
        .uses("ed");
    let key = bench.generate(template)?;
    bench.token.read_one(bench.session, key, CKA_VALUE)
}

/// Shows that the value of a key that may be read can be read; where the token makes no such keys,
/// that another attribute of a key can be.
fn read_control(bench: &mut Bench<'_, '_>) -> std::result::Result<&'static str, Trouble> {
    match read_value(bench, false, true) {
        Ok(Value::Is { .. }) => return Ok("the value of a key that is not sensitive was read"),
        Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
        _ => {}
    }
    let (label, id) = bench.name("read")?;
    let key = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    match bench.token.read_one(bench.session, key, CKA_KEY_TYPE)? {
        Value::Is { .. } => Ok("the token keeps all values; another attribute was read"),
        other => Err(Trouble::Unclear(format!("no attribute can be read: {}", state(&other)))),
    }
}

pub(super) fn read_sensitive(bench: &mut Bench<'_, '_>) -> Result {
    let control = read_control(bench)?;
    read_refused(&read_value(bench, true, false)?, control)
}

pub(super) fn read_unextractable(bench: &mut Bench<'_, '_>) -> Result {
    let control = read_control(bench)?;
    read_refused(&read_value(bench, false, false)?, control)
}

pub(super) fn wrap_unextractable(bench: &mut Bench<'_, '_>) -> Result {
    let kek = bench.wrapping_control()?;
    let (label, id) = bench.name("unextractable")?;
    let target = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    let shown = [CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE];
    let states = bench.token.read(bench.session, &[target], &shown)?;
    let result = bench.token.wrap(bench.session, kek.how(), kek.handle, target);
    let outcome = match attempt(result, NO_WRAP)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("The token refuses to wrap a key that is not extractable.")
                .at(&function, rv)
        }
        Attempt::Allowed(wrapped) => leak(bench, &kek, target, &wrapped.0)?,
    };
    let states = states.into_iter().flatten();
    Ok(shown.iter().zip(states).fold(control_of(outcome, &kek), |outcome, (kind, value)| {
        outcome.with(&names::attribute(*kind), state(&value))
    }))
}

/// Proves that what was wrapped is the key: outside of the token it encrypts alike.
fn leak(bench: &mut Bench<'_, '_>, kek: &Kek, target: u64, wrapped: &[u8]) -> Result {
    let opened = outside::unwrap(kek.mechanism, &kek.value, &kek.iv, wrapped);
    let alike = match &opened {
        Some(value) => bench.encrypts_alike(target, value)?,
        None => false,
    };
    let message = if alike {
        "The key left the token: unwrapped outside, it encrypts as the one inside does."
    } else {
        "The token wraps a key that is not extractable."
    };
    Ok(Outcome::fail(message)
        .at("C_WrapKey", 0)
        .with("wrapped_bytes", wrapped.len())
        .with("recovered_outside", opened.is_some())
        .with("encrypts_alike", alike))
}

fn control_of(outcome: Outcome, kek: &Kek) -> Outcome {
    outcome
        .with("control", "the same key wrapped an extractable one, which came out alike outside")
        .with("mechanism", names::mechanism(kek.mechanism))
}

/// An AES key that copies may be made of, and a copy that changes nothing of weight.
fn copy_control(bench: &mut Bench<'_, '_>) -> std::result::Result<u64, Trouble> {
    let (label, id) = bench.name("copy")?;
    let key = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    let (label, _) = bench.name("copied")?;
    let renamed = vec![Attribute::bytes(CKA_LABEL, label.as_bytes())];
    bench.token.copy(bench.session, key, renamed)?;
    Ok(key)
}

fn copy_with(bench: &mut Bench<'_, '_>, kind: u64, wanted: bool) -> Result {
    let key = copy_control(bench)?;
    let (label, _) = bench.name("loosened")?;
    let template =
        vec![Attribute::bytes(CKA_LABEL, label.as_bytes()), Attribute::flag(kind, wanted)];
    let name = names::attribute(kind);
    let result = bench.token.copy(bench.session, key, template);
    let outcome = match attempt(result, NO_COPY)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass(format!("A copy with another {name} is refused.")).at(&function, rv)
        }
        Attempt::Allowed(copy) => match bench.flag(copy, kind)? {
            Some(is) if is == wanted => Outcome::fail(format!(
                "A copy of the key has {name} {wanted}, and so is no longer protected."
            ))
            .at("C_CopyObject", 0),
            is => Outcome::pass(format!("The copy keeps {name}, whatever was asked for."))
                .at("C_CopyObject", 0)
                .with("read_back", is),
        },
    };
    Ok(outcome.with("control", "a copy with another label was made"))
}

pub(super) fn copy_extractable(bench: &mut Bench<'_, '_>) -> Result {
    copy_with(bench, CKA_EXTRACTABLE, true)
}

pub(super) fn copy_sensitive(bench: &mut Bench<'_, '_>) -> Result {
    copy_with(bench, CKA_SENSITIVE, false)
}

pub(super) fn unwrap_template(bench: &mut Bench<'_, '_>) -> Result {
    let kek = bench.wrapping_control()?;
    if !bench.unwraps(kek.mechanism) {
        return Err(Trouble::Missing("the token unwraps with no mechanism".to_owned()));
    }
    let value = Bench::random(32)?;
    let wrapped = outside::wrap(kek.mechanism, &kek.value, &kek.iv, &value);
    let wrapped = wrapped.ok_or_else(|| Trouble::Unclear("nothing wraps outside".to_owned()))?;
    let (label, id) = bench.name("unwrapped")?;
    let template = Template::aes_wrapped((&label, &id)).uses("ed").done();
    let how = (kek.how(), kek.handle);
    let key = bench.token.unwrap(bench.session, how, &wrapped, template)?;
    if !bench.encrypts_alike(key, &value)? {
        return Err(Trouble::Unclear("the unwrapped key is another one".to_owned()));
    }
    let control = "the unwrapped key encrypts as its value does outside";
    let read = bench.token.read_one(bench.session, key, CKA_VALUE)?;
    let mut outcome = read_refused(&read, control)?;
    for kind in [CKA_SENSITIVE, CKA_EXTRACTABLE] {
        let value = bench.token.read_one(bench.session, key, kind)?;
        outcome = outcome.with(&names::attribute(kind), state(&value));
    }
    if let Value::Is { value: read } = &read {
        outcome = outcome.with("is_the_key", read.0.as_slice() == value.as_slice());
    }
    Ok(outcome.with("mechanism", names::mechanism(kek.mechanism)))
}

pub(super) fn import_history(bench: &mut Bench<'_, '_>) -> Result {
    let (key, value) = bench.known_aes("imported", "ed")?;
    if !bench.encrypts_alike(key, &value)? {
        return Err(Trouble::Unclear("the imported key is another one".to_owned()));
    }
    let kinds = [CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_LOCAL];
    let values = bench.token.read(bench.session, &[key], &kinds)?;
    let values: Vec<Value> = values.into_iter().flatten().collect();
    let claimed: Vec<String> = kinds
        .iter()
        .zip(&values)
        .filter(|(_, value)| flag_of(value) == Some(true))
        .map(|(kind, _)| names::attribute(*kind))
        .collect();
    let outcome = if claimed.is_empty() {
        Outcome::pass("An imported key does not claim to have been born in the token.")
    } else {
        Outcome::fail(format!(
            "An imported key, whose value was known outside, has {} true.",
            claimed.join(" and ")
        ))
    };
    let outcome = outcome.with("control", "the imported key encrypts as its value does outside");
    Ok(kinds.iter().zip(&values).fold(outcome, |outcome, (kind, value)| {
        outcome.with(&names::attribute(*kind), state(value))
    }))
}

pub(super) fn generated_local(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("local")?;
    let kinds = [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE];
    let key = match bench.generate(Template::aes((&label, &id)).uses("ed")) {
        Ok(key) => key,
        // A token without AES still makes pairs.
        Err(trouble) if trouble.unsupported() => {
            super::lifecycle::any_pair(bench, "local", false)?.1
        }
        Err(trouble) => return Err(trouble),
    };
    let values = bench.token.read(bench.session, &[key], &kinds)?;
    let values: Vec<Value> = values.into_iter().flatten().collect();
    let outcome = match values.first().and_then(flag_of) {
        Some(true) => Outcome::pass("A key that the token made says so."),
        Some(false) => Outcome::fail("A key that the token made has CKA_LOCAL false."),
        None => return Err(Trouble::Missing("the token does not tell CKA_LOCAL".to_owned())),
    };
    Ok(kinds.iter().zip(&values).fold(outcome, |outcome, (kind, value)| {
        outcome.with(&names::attribute(*kind), state(value))
    }))
}
