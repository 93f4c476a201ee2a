//! Known answers: keys of known value, inside and outside of the token.

use cryptoki_sys::{
    CKF_DIGEST, CKF_ENCRYPT, CKF_SIGN, CKM_AES_CMAC, CKM_AES_CTR, CKM_AES_ECB, CKM_AES_GCM,
    CKM_SHA256, CKM_SHA256_HMAC,
};

use crate::verify::bench::{Bench, Outcome};
use crate::verify::names;
use crate::verify::outside;
use crate::verify::template::Template;
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Bytes, Mechanism, Operation, Param};

type Result = std::result::Result<Outcome, Trouble>;

fn needs(bench: &Bench<'_, '_>, kind: u64, flag: u64) -> std::result::Result<(), Trouble> {
    if bench.has(kind, flag) {
        return Ok(());
    }
    Err(Trouble::Missing(format!("the token has no {} for this", names::mechanism(kind))))
}

fn compared(kind: u64, function: &str, alike: bool) -> Outcome {
    let name = names::mechanism(kind);
    if alike {
        Outcome::pass(format!("{name} gives the same as outside of the token."))
    } else {
        Outcome::fail(format!("{name} gives something else than outside of the token."))
    }
    .at(function, 0)
    .with("mechanism", name)
    .with("verified_by", outside::NAME)
}

pub(super) fn aes(bench: &mut Bench<'_, '_>) -> Result {
    let (key, value) = bench.known_aes("kat-aes", "ed")?;
    if bench.has(CKM_AES_ECB, CKF_ENCRYPT) {
        let data = Bench::random(48)?;
        let work = (Mechanism::plain(CKM_AES_ECB), key);
        let inside = bench.token.work(bench.session, Operation::Encrypt, work, &data)?;
        let alike = outside::aes_ecb(&value, &data).is_some_and(|out| out == *inside.0);
        return Ok(compared(CKM_AES_ECB, "C_Encrypt", alike));
    }
    let alike = bench.encrypts_alike(key, &value)?;
    Ok(compared(cryptoki_sys::CKM_AES_CBC, "C_Encrypt", alike))
}

pub(super) fn ctr(bench: &mut Bench<'_, '_>) -> Result {
    needs(bench, CKM_AES_CTR, CKF_ENCRYPT)?;
    let (key, value) = bench.known_aes("kat-ctr", "ed")?;
    let block = [6; 16];
    let param = Param::Ctr { block: block.as_slice().into() };
    let work = (Mechanism { kind: CKM_AES_CTR, param }, key);
    let inside = bench.token.work(bench.session, Operation::Encrypt, work, &[0; 16])?;
    let alike = outside::aes_ecb(&value, &block).is_some_and(|out| out == *inside.0);
    Ok(compared(CKM_AES_CTR, "C_Encrypt", alike))
}

/// AES-GCM: what the token seals opens outside, and what was touched does not open inside.
pub(super) fn gcm(bench: &mut Bench<'_, '_>) -> Result {
    needs(bench, CKM_AES_GCM, CKF_ENCRYPT)?;
    let (key, value) = bench.known_aes("kat-gcm", "ed")?;
    let (iv, data) = (Bench::random(12)?, Bench::random(40)?);
    let param = |iv: &[u8]| Param::Gcm {
        iv: Some(iv.into()),
        aad: Bytes::from(b"keytrail".as_slice()),
        tag_bits: 128,
    };
    let how = |iv: &[u8]| Mechanism { kind: CKM_AES_GCM, param: param(iv) };
    bench.token.begin(bench.session, Operation::Encrypt, how(&iv), key)?;
    let (sealed, used) = bench.token.perform(bench.session, Operation::Encrypt, &data)?;
    // Some HSMs choose the vector themselves.
    let used = used.map_or(iv.to_vec(), |used| used.0.to_vec());
    let opened = outside::aes_gcm_open(&value, &used, b"keytrail", &sealed.0);
    let alike = opened.is_some_and(|opened| opened.as_slice() == data.as_slice());
    let mut touched = sealed.0.to_vec();
    if let Some(byte) = touched.first_mut() {
        *byte ^= 1;
    }
    let session = bench.token.open(bench.token.write)?;
    let work = (how(&used), key);
    let tampered = match bench.token.work(session, Operation::Decrypt, work, &touched) {
        Ok(_) => "was opened",
        Err(Trouble::Refused { .. }) => "was refused",
        Err(trouble) => return Err(trouble),
    };
    if tampered == "was opened" {
        return Ok(
            Outcome::fail("The token opens a ciphertext that was changed.").at("C_Decrypt", 0)
        );
    }
    Ok(compared(CKM_AES_GCM, "C_Encrypt", alike)
        .with("changed_ciphertext", tampered)
        .with("own_vector", used.as_slice() != iv.as_slice()))
}

pub(super) fn cmac(bench: &mut Bench<'_, '_>) -> Result {
    needs(bench, CKM_AES_CMAC, CKF_SIGN)?;
    let (key, value) = bench.known_aes("kat-cmac", "sv")?;
    let data = Bench::random(50)?;
    let work = (Mechanism::plain(CKM_AES_CMAC), key);
    let inside = bench.token.work(bench.session, Operation::Sign, work, &data)?;
    let alike = outside::aes_cmac(&value, &data).is_some_and(|out| out == *inside.0);
    Ok(compared(CKM_AES_CMAC, "C_Sign", alike))
}

pub(super) fn hmac(bench: &mut Bench<'_, '_>) -> Result {
    needs(bench, CKM_SHA256_HMAC, CKF_SIGN)?;
    let (label, id) = bench.name("kat-hmac")?;
    let value = Bench::random(32)?;
    let key = bench.create(Template::hmac_of((&label, &id), &value))?;
    let data = Bench::random(50)?;
    let work = (Mechanism::plain(CKM_SHA256_HMAC), key);
    let inside = bench.token.work(bench.session, Operation::Sign, work, &data)?;
    let alike = outside::hmac_sha256(&value, &data) == *inside.0;
    Ok(compared(CKM_SHA256_HMAC, "C_Sign", alike))
}

pub(super) fn sha256(bench: &mut Bench<'_, '_>) -> Result {
    needs(bench, CKM_SHA256, CKF_DIGEST)?;
    let data = Bench::random(200)?;
    let work = (Mechanism::plain(CKM_SHA256), 0);
    let inside = bench.token.work(bench.session, Operation::Digest, work, &data)?;
    Ok(compared(CKM_SHA256, "C_Digest", outside::sha256(&data) == *inside.0))
}
