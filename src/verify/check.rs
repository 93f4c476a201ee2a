//! The checks, as a table: what each is called, at which level, which mechanisms it cannot do
//! without, and the function that does it.

mod answers;
pub(super) mod exercise;
pub(super) mod inventory;
mod lifecycle;
mod operator;
mod secrecy;
mod signing;
mod usage;

use cryptoki_sys::{CKM_AES_CBC, CKM_AES_GCM, CKM_AES_KEY_GEN};

use self::inventory::Findings;
pub(super) use self::signing::public_from;
use super::bench::{Bench, Outcome};
use super::policy::KeyPolicy;
use super::result::{Known, Level};
use super::survey::Key;
use super::token::trouble::Trouble;

/// An existing key, and what is known and expected of it.
pub(super) struct Exercise<'a> {
    pub(super) key: &'a Key,
    pub(super) policy: &'a KeyPolicy,
    /// What an earlier run stored of it.
    pub(super) known: Option<&'a Known>,
    /// What earlier runs stored of all keys.
    pub(super) all_known: &'a [Known],
    pub(super) keys: &'a [Key],
}

/// How a check is carried out.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// By looking at what was read.
    Look(fn(&Findings<'_>) -> Vec<Outcome>),
    /// With each existing key that was chosen.
    Key(fn(&mut Bench<'_, '_>, &Exercise<'_>) -> Result<Outcome, Trouble>),
    /// With keys made for it.
    Token(fn(&mut Bench<'_, '_>) -> Result<Outcome, Trouble>),
}

/// One check.
pub(super) struct Check {
    pub(super) id: &'static str,
    /// Raised when the procedure changes.
    pub(super) version: u32,
    pub(super) level: Level,
    pub(super) title: &'static str,
    /// Mechanisms without any of which the token cannot be checked.
    pub(super) needs: &'static [u64],
    /// The standard allows what it looks for.
    pub(super) advisory: bool,
    pub(super) run: Run,
}

const fn look(
    id: &'static str,
    title: &'static str,
    run: fn(&Findings<'_>) -> Vec<Outcome>,
) -> Check {
    Check {
        id,
        version: 1,
        level: Level::Inventory,
        title,
        needs: &[],
        advisory: false,
        run: Run::Look(run),
    }
}

const fn key(
    id: &'static str,
    title: &'static str,
    run: fn(&mut Bench<'_, '_>, &Exercise<'_>) -> Result<Outcome, Trouble>,
) -> Check {
    Check {
        id,
        version: 1,
        level: Level::Use,
        title,
        needs: &[],
        advisory: false,
        run: Run::Key(run),
    }
}

const fn drill(
    id: &'static str,
    title: &'static str,
    needs: &'static [u64],
    run: fn(&mut Bench<'_, '_>) -> Result<Outcome, Trouble>,
) -> Check {
    Check {
        id,
        version: 1,
        level: Level::Drill,
        title,
        needs,
        advisory: false,
        run: Run::Token(run),
    }
}

const fn operator(
    id: &'static str,
    title: &'static str,
    run: fn(&mut Bench<'_, '_>) -> Result<Outcome, Trouble>,
) -> Check {
    Check { level: Level::Operator, ..drill(id, title, &[], run) }
}

const AES: &[u64] = &[CKM_AES_KEY_GEN];
const CBC: &[u64] = &[CKM_AES_KEY_GEN, CKM_AES_CBC];

/// All checks, in the order in which they are made. The one that may lock the token is the last.
pub(super) const CHECKS: &[Check] = &[
    look("inventory.token", "The token's flags show nothing amiss", inventory::token),
    Check {
        advisory: true,
        ..look(
            "inventory.mechanisms",
            "The token offers no mechanism that is disallowed",
            inventory::mechanisms,
        )
    },
    look("inventory.algorithms", "Keys are of an allowed type and size", inventory::algorithms),
    look("inventory.protection", "Keys are sensitive and not extractable", inventory::protection),
    look("inventory.birth", "Keys were born in the token", inventory::birth),
    look("inventory.wrap-decrypt", "No key may wrap and decrypt", inventory::wrap_and_decrypt),
    look("inventory.settings", "Keys are set up as the policy says", inventory::settings),
    look("inventory.dates", "Keys are within their dates", inventory::dates),
    look("inventory.identity", "Each key has an id of its own", inventory::identity),
    look("inventory.pairs", "Private and public keys belong together", inventory::pairs),
    Check {
        level: Level::Use,
        ..look("use.present", "The keys that are to be exercised are there", inventory::present)
    },
    key("use.sign", "The key signs, and the signature is good outside", exercise::sign),
    key("use.decrypt", "The key decrypts a fresh nonce", exercise::decrypt),
    key("use.mac", "The key makes codes of a fresh nonce", exercise::mac),
    key("use.read", "The key's value is refused", exercise::read),
    key("use.denied", "A use that the key is not for is refused", exercise::denied),
    key("use.wrap", "The key cannot be wrapped", exercise::wrap),
    key("use.fingerprint", "It is the same key as before", exercise::fingerprint),
    key("use.rotation", "After a rotation the old version only decrypts", exercise::rotated),
    drill("drill.generate.aes", "An AES key is made, and works", CBC, lifecycle::generate_aes),
    drill("drill.generate.rsa", "An RSA pair is made, and signs", &[], lifecycle::generate_rsa),
    drill("drill.generate.ec", "A P-256 pair is made, and signs", &[], lifecycle::generate_ec),
    drill(
        "drill.generate.ed25519",
        "An Ed25519 pair is made, and signs",
        &[],
        lifecycle::generate_ed25519,
    ),
    drill(
        "drill.generate.local",
        "A key that the token made says so",
        &[],
        secrecy::generated_local,
    ),
    drill("drill.kat.sha256", "SHA-256 is as outside", &[], answers::sha256),
    drill("drill.kat.aes", "AES is as outside", &[], answers::aes),
    drill("drill.kat.ctr", "AES-CTR is as outside", &[], answers::ctr),
    drill("drill.kat.gcm", "AES-GCM is as outside", &[], answers::gcm),
    drill("drill.kat.cmac", "AES-CMAC is as outside", &[], answers::cmac),
    drill("drill.kat.hmac", "HMAC is as outside", &[], answers::hmac),
    drill("drill.import.object", "A key is brought in, and works", CBC, lifecycle::import_object),
    drill(
        "drill.import.wrapped",
        "A key is brought in wrapped, and works",
        CBC,
        lifecycle::import_wrapped,
    ),
    drill(
        "drill.import.history",
        "An imported key does not claim to be born in the token",
        &[CKM_AES_CBC],
        secrecy::import_history,
    ),
    drill(
        "drill.read.sensitive",
        "The value of a sensitive key is refused",
        AES,
        secrecy::read_sensitive,
    ),
    drill(
        "drill.read.unextractable",
        "The value of a key that is not extractable is refused",
        AES,
        secrecy::read_unextractable,
    ),
    drill(
        "drill.wrap.unextractable",
        "A key that is not extractable cannot be wrapped",
        CBC,
        secrecy::wrap_unextractable,
    ),
    drill("drill.wrap.flag", "A key without CKA_WRAP does not wrap", AES, usage::wrap_flag),
    drill("drill.wrap.trusted", "CKA_WRAP_WITH_TRUSTED is honoured", AES, usage::trusted_wrap),
    drill(
        "drill.unwrap.template",
        "An unwrapped key is as protected as asked for",
        &[CKM_AES_CBC],
        secrecy::unwrap_template,
    ),
    drill(
        "drill.copy.extractable",
        "A copy cannot become extractable",
        AES,
        secrecy::copy_extractable,
    ),
    drill(
        "drill.copy.sensitive",
        "A copy cannot lose its sensitivity",
        AES,
        secrecy::copy_sensitive,
    ),
    drill(
        "drill.usage.encrypt",
        "A key without CKA_ENCRYPT does not encrypt",
        &[CKM_AES_CBC],
        usage::encrypt_flag,
    ),
    drill(
        "drill.usage.mechanisms",
        "CKA_ALLOWED_MECHANISMS is honoured",
        CBC,
        usage::allowed_mechanisms,
    ),
    drill(
        "drill.usage.authenticate",
        "CKA_ALWAYS_AUTHENTICATE is honoured",
        &[],
        usage::always_authenticate,
    ),
    Check {
        advisory: true,
        ..drill(
            "drill.usage.wrap-decrypt",
            "A key that wraps and decrypts does not show what it wraps",
            AES,
            usage::wrap_and_decrypt,
        )
    },
    Check {
        advisory: true,
        ..drill("drill.usage.widening", "The uses of a key cannot be widened", AES, usage::widening)
    },
    drill("drill.trusted.user", "The user cannot make a key trusted", AES, usage::trusted_by_user),
    drill("drill.modifiable", "CKA_MODIFIABLE is honoured", AES, usage::modifiable),
    drill("drill.destroyable", "CKA_DESTROYABLE is honoured", AES, usage::destroyable),
    drill("drill.rotation", "A key is rotated, retired and destroyed", CBC, lifecycle::rotation),
    drill("drill.destroy", "A destroyed key is gone", &[], lifecycle::destroy),
    Check {
        level: Level::Operator,
        ..key("operator.quorum", "A key under a quorum is refused to one alone", operator::quorum)
    },
    operator("operator.init-pin", "The user cannot set PINs", operator::init_pin),
    operator(
        "operator.read-only",
        "The security officer cannot log in beside a session that only reads",
        operator::read_only,
    ),
    operator("operator.private", "The security officer sees no private keys", operator::private),
    operator(
        "operator.trusted",
        "A key that the security officer trusts wraps what needs trust",
        operator::trusted,
    ),
    Check {
        needs: &[CKM_AES_GCM],
        ..operator("operator.null-iv", "A null vector does not crash the module", operator::null_iv)
    },
    operator("operator.lockout", "Wrong PINs lock the token", operator::lockout),
];

/// A check as others may list it.
#[derive(Debug, Clone, Copy)]
pub struct CheckInfo {
    /// Its id.
    pub id: &'static str,
    /// Its version.
    pub version: u32,
    /// Its level.
    pub level: Level,
    /// What it tests.
    pub title: &'static str,
    /// Whether the standard allows what it looks for.
    pub advisory: bool,
}

/// All checks, in the order in which they are made.
pub fn checks() -> impl Iterator<Item = CheckInfo> {
    CHECKS.iter().map(|check| CheckInfo {
        id: check.id,
        version: check.version,
        level: check.level,
        title: check.title,
        advisory: check.advisory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_begin_with_their_level() {
        let mut ids: Vec<&str> = checks().map(|check| check.id).collect();
        assert!(checks().all(|check| check.id.starts_with(check.level.as_str())));
        assert_eq!(ids.last(), Some(&"operator.lockout"));
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
