//! The same cryptography once more, outside the module: what a token signs, encrypts or wraps is
//! checked by an implementation that the module cannot have touched (aws-lc-rs).

pub(super) mod public;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey,
    EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{AesKek, KeyWrap as _, KeyWrapPadded as _};
use aws_lc_rs::{cmac, digest, hmac, key_wrap};
use cryptoki_sys::{
    CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_ECB, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP,
    CKM_AES_KEY_WRAP_PAD,
};
use zeroize::Zeroizing;

/// The implementation, as evidence names it.
pub(super) const NAME: &str = "aws-lc-rs";

/// Bytes that are wiped.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// SHA-256.
pub(super) fn sha256(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, data).as_ref().to_vec()
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits
        .chunks(2)
        .map(|pair| pair.iter().try_fold(0_u8, |v, d| v.checked_mul(16)?.checked_add(*d)))
        .collect()
}

/// Random bytes of this machine.
pub(super) fn random(bytes: usize) -> Option<Secret> {
    let mut random = Zeroizing::new(vec![0; bytes]);
    aws_lc_rs::rand::fill(&mut random).ok()?;
    Some(random)
}

fn algorithm(key: &[u8]) -> Option<&'static Algorithm> {
    match key.len() {
        16 => Some(&AES_128),
        24 => Some(&AES_192),
        32 => Some(&AES_256),
        _ => None,
    }
}

fn unbound(key: &[u8]) -> Option<UnboundCipherKey> {
    UnboundCipherKey::new(algorithm(key)?, key).ok()
}

/// AES-ECB of whole blocks.
pub(super) fn aes_ecb(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    let key = EncryptingKey::ecb(unbound(key)?).ok()?;
    key.less_safe_encrypt(&mut data, EncryptionContext::None).ok()?;
    Some(data)
}

/// AES-CBC of whole blocks.
pub(super) fn aes_cbc(key: &[u8], iv: &[u8; 16], data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    let key = EncryptingKey::cbc(unbound(key)?).ok()?;
    let context = EncryptionContext::Iv128(FixedLength::from(*iv));
    key.less_safe_encrypt(&mut data, context).ok()?;
    Some(data)
}

/// Undoes AES-CBC of whole blocks.
pub(super) fn aes_cbc_open(key: &[u8], iv: &[u8; 16], data: &[u8]) -> Option<Secret> {
    let mut data = Zeroizing::new(data.to_vec());
    let key = DecryptingKey::cbc(unbound(key)?).ok()?;
    key.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(*iv))).ok()?;
    Some(data)
}

fn aes_ecb_open(key: &[u8], data: &[u8]) -> Option<Secret> {
    let mut data = Zeroizing::new(data.to_vec());
    DecryptingKey::ecb(unbound(key)?).ok()?.decrypt(&mut data, DecryptionContext::None).ok()?;
    Some(data)
}

/// Opens AES-GCM with a tag of 16 bytes at the end.
pub(super) fn aes_gcm_open(key: &[u8], iv: &[u8], aad: &[u8], data: &[u8]) -> Option<Secret> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return None,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    let mut data = Zeroizing::new(data.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut data).ok()?.len();
    data.truncate(length);
    Some(data)
}

/// AES-CMAC.
pub(super) fn aes_cmac(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match key.len() {
        16 => cmac::AES_128,
        24 => cmac::AES_192,
        32 => cmac::AES_256,
        _ => return None,
    };
    let key = cmac::Key::new(algorithm, key).ok()?;
    Some(cmac::sign(&key, data).ok()?.as_ref().to_vec())
}

/// HMAC with SHA-256.
pub(super) fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

fn kek(key: &[u8]) -> Option<AesKek> {
    let cipher = match key.len() {
        16 => &key_wrap::AES_128,
        32 => &key_wrap::AES_256,
        _ => return None,
    };
    AesKek::new(cipher, key).ok()
}

/// Wraps a key of whole blocks as a token would with a mechanism.
pub(super) fn wrap(mechanism: u64, by: &[u8], iv: &[u8; 16], key: &[u8]) -> Option<Vec<u8>> {
    let mut room = vec![0; key.len() + 16];
    match mechanism {
        CKM_AES_KEY_WRAP => Some(kek(by)?.wrap(key, &mut room).ok()?.to_vec()),
        CKM_AES_KEY_WRAP_KWP | CKM_AES_KEY_WRAP_PAD => {
            Some(kek(by)?.wrap_with_padding(key, &mut room).ok()?.to_vec())
        }
        CKM_AES_CBC_PAD => {
            let mut padded = Zeroizing::new(key.to_vec());
            padded.extend([16; 16]);
            aes_cbc(by, iv, &padded)
        }
        CKM_AES_CBC => aes_cbc(by, iv, key),
        CKM_AES_ECB => aes_ecb(by, key),
        _ => None,
    }
}

/// Undoes what a token wrapped with a mechanism.
pub(super) fn unwrap(mechanism: u64, by: &[u8], iv: &[u8; 16], wrapped: &[u8]) -> Option<Secret> {
    let mut room = Zeroizing::new(vec![0; wrapped.len() + 16]);
    let taken = match mechanism {
        CKM_AES_KEY_WRAP => kek(by)?.unwrap(wrapped, &mut room).ok()?.len(),
        CKM_AES_KEY_WRAP_KWP | CKM_AES_KEY_WRAP_PAD => {
            kek(by)?.unwrap_with_padding(wrapped, &mut room).ok()?.len()
        }
        CKM_AES_CBC_PAD => {
            let mut key = aes_cbc_open(by, iv, wrapped)?;
            let padding = usize::from(*key.last()?);
            let length = key.len().checked_sub(padding).filter(|_| (1..=16).contains(&padding))?;
            key.truncate(length);
            return Some(key);
        }
        CKM_AES_CBC => return aes_cbc_open(by, iv, wrapped),
        CKM_AES_ECB => return aes_ecb_open(by, wrapped),
        _ => return None,
    };
    room.truncate(taken);
    Some(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_comes_back_whatever_the_mechanism() {
        let (by, key, iv) = ([7; 32], [9; 32], [3; 16]);
        for mechanism in [
            CKM_AES_KEY_WRAP,
            CKM_AES_KEY_WRAP_KWP,
            CKM_AES_KEY_WRAP_PAD,
            CKM_AES_CBC_PAD,
            CKM_AES_CBC,
            CKM_AES_ECB,
        ] {
            let wrapped = wrap(mechanism, &by, &iv, &key).unwrap();
            assert_ne!(wrapped, key);
            assert_eq!(unwrap(mechanism, &by, &iv, &wrapped).unwrap().as_slice(), key);
        }
        assert!(unwrap(CKM_AES_KEY_WRAP, &by, &iv, &[1; 40]).is_none());
    }

    #[test]
    fn known_answers_of_the_standards_hold() {
        // FIPS 197, appendix C.3
        let key: Vec<u8> = (0..32).collect();
        let block = unhex("00112233445566778899aabbccddeeff").unwrap();
        assert_eq!(hex(&aes_ecb(&key, &block).unwrap()), "8ea2b7ca516745bfeafc49904b496089");
        // RFC 4493, example 2
        let key = unhex("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let data = unhex("6bc1bee22e409f96e93d7e117393172a").unwrap();
        assert_eq!(hex(&aes_cmac(&key, &data).unwrap()), "070a16b46b4d4144f79bdd9dd04a287c");
        assert!(unhex("abc").is_none() && unhex("zz").is_none());
    }
}
