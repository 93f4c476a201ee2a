//! Signatures made inside and verified outside.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use cryptoki_sys::{
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKG_MGF1_SHA256, CKM_ECDSA,
    CKM_EDDSA, CKM_RSA_PKCS, CKM_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS,
};

use crate::verify::bench::{Bench, Outcome};
use crate::verify::outside;
use crate::verify::outside::public::{Curve, Public, Scheme};
use crate::verify::token::trouble::Trouble;
use crate::verify::wire::{Bytes, Mechanism, Operation, Param, Value};

/// What stands before a SHA-256 digest in a signature by PKCS #1 v1.5 (RFC 8017, section 9.2).
const SHA256_PREFIX: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// A way to have a token sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    /// The token hashes and pads.
    Pkcs1,
    /// The token pads.
    Pkcs1Raw,
    /// The token hashes and pads.
    Pss,
    /// The token signs the digest that fits the curve.
    Ecdsa(&'static Curve),
    /// The token signs the message.
    Ed25519,
}

impl Signing {
    pub(super) fn kind(self) -> u64 {
        match self {
            Self::Pkcs1 => CKM_SHA256_RSA_PKCS,
            Self::Pkcs1Raw => CKM_RSA_PKCS,
            Self::Pss => CKM_SHA256_RSA_PKCS_PSS,
            Self::Ecdsa(_) => CKM_ECDSA,
            Self::Ed25519 => CKM_EDDSA,
        }
    }

    pub(super) fn mechanism(self) -> Mechanism {
        let param = match self {
            Self::Pss => Param::Pss { hash: CKM_SHA256, mgf: CKG_MGF1_SHA256, salt: 32 },
            _ => Param::None,
        };
        Mechanism { kind: self.kind(), param }
    }

    /// What the token is given for a message.
    pub(super) fn input(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Pkcs1 | Self::Pss | Self::Ed25519 => message.to_vec(),
            Self::Pkcs1Raw => [SHA256_PREFIX, &outside::sha256(message)].concat(),
            Self::Ecdsa(curve) => {
                let hash = match curve.bits {
                    384 => &SHA384,
                    521 => &SHA512,
                    _ => &SHA256,
                };
                digest(hash, message).as_ref().to_vec()
            }
        }
    }

    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::Pkcs1 | Self::Pkcs1Raw => Scheme::Pkcs1,
            Self::Pss => Scheme::Pss,
            Self::Ecdsa(_) => Scheme::Ecdsa,
            Self::Ed25519 => Scheme::Ed25519,
        }
    }

    /// The ways for a key, the best first.
    pub(super) fn of(public: &Public) -> Vec<Self> {
        match public {
            Public::Rsa { .. } => vec![Self::Pkcs1, Self::Pkcs1Raw, Self::Pss],
            Public::Ec { curve, .. } if curve.name == "Ed25519" => vec![Self::Ed25519],
            Public::Ec { curve, .. } => vec![Self::Ecdsa(curve)],
        }
    }
}

/// Signs in a session.
pub(super) fn sign_with(
    bench: &mut Bench<'_, '_>,
    session: u64,
    key: u64,
    how: Signing,
) -> Result<Bytes, Trouble> {
    let input = how.input(b"keytrail");
    bench.token.work(session, Operation::Sign, (how.mechanism(), key), &input)
}

/// Has a key sign something fresh, verifies it outside, and that nothing else verifies.
pub(super) fn prove(
    bench: &mut Bench<'_, '_>,
    key: u64,
    public: &Public,
    how: Signing,
) -> Result<Outcome, Trouble> {
    let nonce = bench.nonce()?;
    let work = (how.mechanism(), key);
    let signature = bench.token.work(bench.session, Operation::Sign, work, &how.input(&nonce))?;
    let good = public.verifies(how.scheme(), &nonce, &signature.0);
    let other = [nonce.as_slice(), b"!"].concat();
    let lax = public.verifies(how.scheme(), &other, &signature.0);
    let outcome = if good && !lax {
        Outcome::pass("It signed something fresh, and the signature is good outside of the token.")
    } else {
        Outcome::fail("The signature is not good outside of the token.")
    };
    Ok(outcome
        .at("C_Sign", 0)
        .with("scheme", how.scheme().as_str())
        .with("message", String::from_utf8_lossy(&nonce).into_owned())
        .with("signature", outside::hex(&signature.0))
        .with("public_key_sha256", outside::hex(&outside::sha256(&public.spki())))
        .with("verified_by", outside::NAME))
}

/// Reads a public key out of the token.
pub(super) fn public_of(bench: &mut Bench<'_, '_>, object: u64) -> Result<Public, Trouble> {
    let kinds = [CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT];
    let values = bench.token.read(bench.session, &[object], &kinds)?;
    let values: Vec<Value> = values.into_iter().flatten().collect();
    public_from(&values).ok_or_else(|| Trouble::Unclear("the public key cannot be read".to_owned()))
}

/// Makes a public key of modulus, exponent, parameters and point, as far as they are there.
pub(in crate::verify) fn public_from(values: &[Value]) -> Option<Public> {
    let bytes = |at: usize| match values.get(at) {
        Some(Value::Is { value }) if !value.0.is_empty() => Some(value.0.as_slice()),
        _ => None,
    };
    match (bytes(0), bytes(1)) {
        (Some(modulus), Some(exponent)) => Public::rsa(modulus, exponent),
        _ => Public::ec(bytes(2)?, bytes(3)?),
    }
}
