//! Public keys taken out of a token: their DER form, verification, encryption to them.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// A curve: its name, parameters in DER, length of a coordinate.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::verify) struct Curve {
    pub(in crate::verify) name: &'static str,
    pub(in crate::verify) params: &'static [u8],
    pub(in crate::verify) bits: u64,
}

pub(in crate::verify) const P256: Curve = Curve {
    name: "P-256",
    params: &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    bits: 256,
};
pub(in crate::verify) const P384: Curve =
    Curve { name: "P-384", params: &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], bits: 384 };
pub(in crate::verify) const P521: Curve =
    Curve { name: "P-521", params: &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], bits: 521 };
/// Named by its object identifier (RFC 8410).
pub(in crate::verify) const ED25519_OID: Curve =
    Curve { name: "Ed25519", params: &[0x06, 0x03, 0x2b, 0x65, 0x70], bits: 255 };
/// Named by a text, as PKCS #11 3.0 has it.
pub(in crate::verify) const ED25519_NAME: Curve =
    Curve { name: "Ed25519", params: b"\x13\x0cedwards25519", bits: 255 };

const CURVES: &[&Curve] = &[&P256, &P384, &P521, &ED25519_OID, &ED25519_NAME];

/// Finds a curve by its parameters.
pub(in crate::verify) fn curve(params: &[u8]) -> Option<&'static Curve> {
    CURVES.iter().find(|curve| curve.params == params).copied()
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) enum Public {
    /// Modulus and exponent, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A point, uncompressed; raw for Ed25519.
    Ec { curve: &'static Curve, point: Vec<u8> },
}

/// How something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Scheme {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Pkcs1,
    /// RSA PSS with SHA-256.
    Pss,
    /// ECDSA, with the hash that fits the curve; a fixed-length signature.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

impl Scheme {
    pub(in crate::verify) fn as_str(self) -> &'static str {
        match self {
            Self::Pkcs1 => "RSA PKCS #1 v1.5, SHA-256",
            Self::Pss => "RSA PSS, SHA-256",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl Public {
    /// Makes an RSA key of what a token gives.
    pub(in crate::verify) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let trim = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            bytes.get(start..).map(<[u8]>::to_vec)
        };
        Some(Self::Rsa { modulus: trim(modulus)?, exponent: trim(exponent)? })
    }

    /// Makes an EC key of what a token gives: the point as octet string in DER, or bare.
    pub(in crate::verify) fn ec(params: &[u8], point: &[u8]) -> Option<Self> {
        let curve = curve(params)?;
        let bytes = usize::try_from(curve.bits.div_ceil(8)).ok()?;
        let length = if curve.name == "Ed25519" { 32 } else { 1 + 2 * bytes };
        let bare = if point.len() == length { Some(point) } else { octets(point) };
        let point = bare.filter(|point| point.len() == length)?.to_vec();
        Some(Self::Ec { curve, point })
    }

    /// Whether a signature is good.
    pub(in crate::verify) fn verifies(&self, scheme: Scheme, message: &[u8], sig: &[u8]) -> bool {
        let with = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, sig).is_ok()
        };
        match (self, scheme) {
            (Self::Rsa { modulus, exponent }, Scheme::Pkcs1 | Scheme::Pss) => {
                let key = sequence(&[integer(modulus), integer(exponent)].concat());
                if scheme == Scheme::Pss {
                    with(&signature::RSA_PSS_2048_8192_SHA256, &key)
                } else {
                    with(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &key)
                }
            }
            (Self::Ec { curve, point }, Scheme::Ecdsa) => match curve.name {
                "P-256" => with(&ECDSA_P256_SHA256_FIXED, point),
                "P-384" => with(&ECDSA_P384_SHA384_FIXED, point),
                "P-521" => with(&ECDSA_P521_SHA512_FIXED, point),
                _ => false,
            },
            (Self::Ec { point, .. }, Scheme::Ed25519) => with(&ED25519, point),
            _ => false,
        }
    }

    /// Encrypts to an RSA key by OAEP, with SHA-256 or SHA-1 throughout.
    pub(in crate::verify) fn oaep(&self, sha256: bool, plaintext: &[u8]) -> Option<Vec<u8>> {
        let key = PublicEncryptingKey::from_der(&self.spki()).ok()?;
        let key = OaepPublicEncryptingKey::new(key).ok()?;
        let mut room = vec![0; key.ciphertext_size()];
        let hash = if sha256 { &OAEP_SHA256_MGF1SHA256 } else { &OAEP_SHA1_MGF1SHA1 };
        Some(key.encrypt(hash, plaintext, &mut room, None).ok()?.to_vec())
    }

    /// The key as `SubjectPublicKeyInfo` in DER.
    pub(in crate::verify) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus, exponent } => {
                let key = sequence(&[integer(modulus), integer(exponent)].concat());
                let oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
                sequence(&[sequence(oid), bits(&key)].concat())
            }
            Self::Ec { curve, point } if curve.name == "Ed25519" => {
                sequence(&[sequence(ED25519_OID.params), bits(point)].concat())
            }
            Self::Ec { curve, point } => {
                let oid = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
                let algorithm = sequence(&[oid.as_slice(), curve.params].concat());
                sequence(&[algorithm, bits(point)].concat())
            }
        }
    }

    /// Its size in bits.
    pub(in crate::verify) fn bits(&self) -> u64 {
        match self {
            Self::Rsa { modulus, .. } => {
                let first = modulus.first().map_or(8, |byte| byte.leading_zeros());
                let bits = modulus.len().saturating_mul(8);
                u64::try_from(bits).unwrap_or(u64::MAX).saturating_sub(u64::from(first))
            }
            Self::Ec { curve, .. } => curve.bits,
        }
    }
}

/// One element in DER.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match digits.as_slice() {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            der.extend(long);
        }
    }
    der.extend(content);
    der
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let content = if negative { [&[0], bytes].concat() } else { bytes.to_vec() };
    tagged(0x02, &content)
}

fn bits(content: &[u8]) -> Vec<u8> {
    tagged(0x03, &[&[0], content].concat())
}

/// What an octet string in DER holds.
fn octets(der: &[u8]) -> Option<&[u8]> {
    let (length, content) = match der {
        [0x04, 0x81, length, content @ ..] => (*length, content),
        [0x04, length, content @ ..] if *length < 0x80 => (*length, content),
        _ => return None,
    };
    (usize::from(length) == content.len()).then_some(content)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
    };

    use super::*;

    #[test]
    fn keys_are_encoded_as_others_encode_them() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        // RFC 8017, appendix A.1.1: head, modulus with a leading zero, 65537.
        let der = public.as_ref();
        let (modulus, exponent) = (&der[9..265], &der[267..270]);
        let ours = Public::rsa(&[&[0], modulus].concat(), exponent).unwrap();
        let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
        assert_eq!(ours.spki(), der.as_ref());
        assert_eq!(ours.bits(), 2048);
        assert!(ours.oaep(true, b"nonce").is_some());

        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let bare = Public::ec(P256.params, &point).unwrap();
        let wrapped = Public::ec(P256.params, &tagged(4, &point)).unwrap();
        assert_eq!(bare, wrapped);
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        assert_eq!(bare.spki(), der.as_ref());
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signed = pair.sign(&random, b"message").unwrap();
        assert!(bare.verifies(Scheme::Ecdsa, b"message", signed.as_ref()));
        assert!(!bare.verifies(Scheme::Ecdsa, b"massage", signed.as_ref()));
        assert!(Public::ec(P256.params, &point[1..]).is_none());
    }
}
