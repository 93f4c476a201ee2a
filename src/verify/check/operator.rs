//! What may cost the token, or needs the security officer: only on tokens marked expendable.

use cryptoki_sys::{
    CKA_EXTRACTABLE, CKA_LABEL, CKA_PRIVATE, CKA_TOKEN, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED,
    CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED, CKM_AES_GCM,
    CKR_ACTION_PROHIBITED, CKR_FUNCTION_FAILED, CKR_FUNCTION_REJECTED, CKR_GENERAL_ERROR,
    CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_PIN_INCORRECT, CKR_PIN_LOCKED,
    CKR_SESSION_READ_ONLY_EXISTS, CKR_USER_NOT_LOGGED_IN, CKR_USER_TYPE_INVALID,
    CKR_VENDOR_DEFINED,
};

use super::Exercise;
use super::signing::Signing;
use crate::verify::bench::{Attempt, Bench, Outcome, WRAPPING, attempt, wrapping};
use crate::verify::names;
use crate::verify::process::Lost;
use crate::verify::result::Verdict;
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Attribute, Bytes, Login, Mechanism, Operation, Param, Request};

type Result = std::result::Result<Outcome, Trouble>;

fn skipped(why: &str) -> Outcome {
    Outcome::new(Verdict::Skipped, why)
}

pub(super) fn init_pin(bench: &mut Bench<'_, '_>) -> Result {
    // Were it allowed, the PIN would be the same as before.
    let session = bench.session;
    let result = bench.token.ask(&Request::InitPin { session });
    let refusals = [CKR_USER_NOT_LOGGED_IN, CKR_USER_TYPE_INVALID, CKR_ACTION_PROHIBITED];
    Ok(match attempt(result, &refusals)? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("Setting a PIN is refused to the user.").at(&function, rv)
        }
        Attempt::Allowed(_) => Outcome::fail("The user may set a PIN.").at("C_InitPIN", 0),
    })
}

/// Logs the user out, does something as security officer, and logs the user in again whatever came
/// of it.
fn as_officer<T>(
    bench: &mut Bench<'_, '_>,
    work: impl FnOnce(&mut Bench<'_, '_>) -> std::result::Result<T, Trouble>,
) -> std::result::Result<T, Trouble> {
    let session = bench.session;
    bench.token.ask(&Request::Logout { session })?;
    let entered = bench.token.login_as(session, Login::So);
    let result = match entered {
        Ok(()) => {
            let result = work(bench);
            bench.token.ask(&Request::Logout { session })?;
            result
        }
        Err(trouble) => Err(trouble),
    };
    bench.token.login_as(session, Login::User)?;
    result
}

pub(super) fn read_only(bench: &mut Bench<'_, '_>) -> Result {
    if bench.token.access.so_pin.is_none() {
        return Ok(skipped("The security officer's PIN was not given."));
    }
    let reader = bench.token.open(false)?;
    let session = bench.session;
    bench.token.ask(&Request::Logout { session })?;
    let result = bench.token.login_as(session, Login::So);
    if result.is_ok() {
        bench.token.ask(&Request::Logout { session })?;
    }
    bench.token.close(reader)?;
    bench.token.login_as(session, Login::User)?;
    Ok(match attempt(result, &[CKR_SESSION_READ_ONLY_EXISTS])? {
        Attempt::Refused { function, rv } => {
            Outcome::pass("It is refused, as the standard asks.").at(&function, rv)
        }
        Attempt::Allowed(()) => {
            Outcome::fail("The security officer logs in beside it.").at("C_Login", 0)
        }
    })
}

pub(super) fn private(bench: &mut Bench<'_, '_>) -> Result {
    if bench.token.access.so_pin.is_none() {
        return Ok(skipped("The security officer's PIN was not given."));
    }
    let (label, id) = bench.name("private")?;
    let key = bench.generate(Template::aes((&label, &id)).flag(CKA_TOKEN, true).uses("ed"))?;
    let wanted = || vec![Attribute::flag(CKA_PRIVATE, true)];
    let by_user = bench.token.find_objects(bench.session, wanted())?.len();
    let by_officer = as_officer(bench, |bench| {
        let found = bench.token.find_objects(bench.session, wanted())?;
        Ok(found.len())
    })?;
    remove(bench, key, &label)?;
    if by_user == 0 {
        return Err(Trouble::Unclear("the user does not see his own key either".to_owned()));
    }
    Ok(if by_officer == 0 {
        Outcome::pass("The security officer sees no private objects.")
    } else {
        Outcome::fail("The security officer sees private objects.").with("seen", by_officer)
    }
    .with("control", format!("the user sees {by_user}")))
}

pub(super) fn trusted(bench: &mut Bench<'_, '_>) -> Result {
    if bench.token.access.so_pin.is_none() {
        return Ok(skipped("The security officer's PIN was not given."));
    }
    let (label, id) = bench.name("trusted")?;
    // The security officer sees and makes public objects alone.
    let template = Template::aes((&label, &id))
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_TRUSTED, true)
        .uses("wu");
    let kek = as_officer(bench, |bench| bench.generate(template))?;
    let kek = named(bench, &label)?.unwrap_or(kek);
    let result = wrap_by_trusted(bench, kek);
    remove(bench, kek, &label)?;
    result
}

fn wrap_by_trusted(bench: &mut Bench<'_, '_>, kek: u64) -> Result {
    let is = bench.flag(kek, CKA_TRUSTED)?;
    let (label, id) = bench.name("with-trusted")?;
    let target = Template::aes((&label, &id))
        .flag(CKA_EXTRACTABLE, true)
        .flag(CKA_WRAP_WITH_TRUSTED, true)
        .uses("ed");
    let target = bench.generate(target)?;
    let iv = [3; 16];
    let mut last = Trouble::Missing("no mechanism wraps".to_owned());
    for mechanism in bench.offered(WRAPPING, 0) {
        match bench.token.wrap(bench.session, wrapping(mechanism, &iv), kek, target) {
            Ok(_) => {
                return Ok(Outcome::pass("A key that the security officer trusts wraps it.")
                    .at("C_WrapKey", 0)
                    .with("mechanism", names::mechanism(mechanism))
                    .with("CKA_TRUSTED", is));
            }
            Err(trouble @ Trouble::Lost(_)) => return Err(trouble),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

/// The object of a label; handles may change when somebody else logs in.
fn named(bench: &mut Bench<'_, '_>, label: &str) -> std::result::Result<Option<u64>, Trouble> {
    let template = vec![Attribute::bytes(CKA_LABEL, label.as_bytes())];
    Ok(bench.token.find_objects(bench.session, template)?.first().copied())
}

/// Destroys what was made, by the handle that it has now.
fn remove(bench: &mut Bench<'_, '_>, object: u64, label: &str) -> std::result::Result<(), Trouble> {
    if let Some(now) = named(bench, label)? {
        bench.token.labels.insert(now, label.to_owned());
        bench.destroy(now)?;
        bench.kept.retain(|kept| *kept != object);
    }
    Ok(())
}

/// A module that crashes here is survived, and says something about its care.
pub(super) fn null_iv(bench: &mut Bench<'_, '_>) -> Result {
    let (label, id) = bench.name("null-iv")?;
    let key = bench.generate(Template::aes((&label, &id)).uses("ed"))?;
    let param = Param::Gcm { iv: None, aad: Bytes::default(), tag_bits: 128 };
    let how = Mechanism { kind: CKM_AES_GCM, param };
    let work = (how, key);
    match bench.token.work(bench.session, Operation::Encrypt, work, &[0; 16]) {
        Err(Trouble::Lost(lost @ Lost::Ended { .. })) => {
            let function = lost.function().map(str::to_owned);
            let mut outcome = Outcome::fail(format!("A null vector ends the module: {lost}."));
            outcome.function = function;
            Ok(outcome)
        }
        Err(Trouble::Refused { function, rv }) => {
            Ok(Outcome::pass("A null vector is refused.").at(&function, rv))
        }
        Ok(_) => Ok(Outcome::pass("The token chooses a vector of its own.").at("C_Encrypt", 0)),
        Err(trouble) => Err(trouble),
    }
}

/// A key that several have to release together must not work for one alone.
pub(super) fn quorum(bench: &mut Bench<'_, '_>, work: &Exercise<'_>) -> Result {
    if !work.policy.quorum {
        return Ok(Outcome::not_applicable("The policy names no quorum for the key."));
    }
    let Some(public) = &work.key.public else {
        return Err(Trouble::Missing("its public key is not known".to_owned()));
    };
    let how = Signing::of(public).into_iter().find(|how| bench.has(how.kind(), 0));
    let how = how.ok_or_else(|| Trouble::Missing("no way to sign is known".to_owned()))?;
    let input = how.input(&bench.nonce()?);
    let task = (how.mechanism(), work.key.handle);
    match bench.token.work(bench.session, Operation::Sign, task, &input) {
        Ok(_) => Ok(Outcome::fail("The key signs for one alone.").at("C_Sign", 0)),
        Err(Trouble::Refused { function, rv }) if refusal(rv) => {
            Ok(Outcome::pass("The key does not sign for one alone.").at(&function, rv))
        }
        Err(trouble) => Err(trouble),
    }
}

/// The standard has no code for a missing quorum; vendors use these, or their own.
fn refusal(rv: u64) -> bool {
    let known = [
        CKR_ACTION_PROHIBITED,
        CKR_FUNCTION_REJECTED,
        CKR_FUNCTION_FAILED,
        CKR_GENERAL_ERROR,
        CKR_KEY_FUNCTION_NOT_PERMITTED,
        CKR_USER_NOT_LOGGED_IN,
    ];
    known.contains(&rv) || rv >= CKR_VENDOR_DEFINED
}

/// Spends wrong PINs until the token locks, or the policy's limit is reached.
pub(super) fn lockout(bench: &mut Bench<'_, '_>) -> Result {
    let most = bench.policy.limits.wrong_pins;
    if most == 0 {
        return Ok(skipped("The policy allows no wrong PIN."));
    }
    let session = bench.session;
    bench.token.ask(&Request::Logout { session })?;
    let mut seen = Vec::new();
    for tries in 1..=most {
        let result = bench.token.login_as(session, Login::Wrong);
        match attempt(result, &[CKR_PIN_INCORRECT, CKR_PIN_LOCKED])? {
            Attempt::Allowed(()) => {
                return Ok(Outcome::fail("A wrong PIN is accepted.").at("C_Login", 0));
            }
            Attempt::Refused { function, rv } => {
                let slot = bench.token.slot;
                let info = bench.token.ask(&Request::Token { slot })?.token.unwrap_or_default();
                let bits = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
                seen.push(names::token_flags(info.flags & bits).join("+"));
                if rv == CKR_PIN_LOCKED || info.flags & CKF_USER_PIN_LOCKED != 0 {
                    bench.token.access.pin = None;
                    return Ok(Outcome::pass(format!("The token locks after {tries} wrong PINs."))
                        .at(&function, rv)
                        .with("flags", seen));
                }
            }
        }
    }
    bench.token.login_as(session, Login::User)?;
    Ok(Outcome::fail(format!("{most} wrong PINs do not lock the token."))
        .at("C_Login", CKR_PIN_INCORRECT)
        .with("flags", seen)
        .with("control", "the right PIN was accepted afterwards"))
}
