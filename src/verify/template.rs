//! Templates of temporary keys: each says all that matters, since defaults differ from token to
//! token.

use cryptoki_sys::{
    CKA_CLASS, CKA_DECRYPT, CKA_EC_PARAMS, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_ID, CKA_KEY_TYPE,
    CKA_LABEL, CKA_MODULUS_BITS, CKA_PRIVATE, CKA_PUBLIC_EXPONENT, CKA_SENSITIVE, CKA_SIGN,
    CKA_TOKEN, CKA_UNWRAP, CKA_VALUE, CKA_VALUE_LEN, CKA_VERIFY, CKA_WRAP, CKK_AES,
    CKK_GENERIC_SECRET, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};

use super::wire::Attribute;

/// What a key may be used for. The letters of a `uses` text name them.
const USES: &[(char, u64)] = &[
    ('e', CKA_ENCRYPT),
    ('d', CKA_DECRYPT),
    ('s', CKA_SIGN),
    ('v', CKA_VERIFY),
    ('w', CKA_WRAP),
    ('u', CKA_UNWRAP),
];

/// A template under construction; an attribute that is set again is replaced.
#[derive(Debug, Clone, Default)]
pub(super) struct Template(Vec<Attribute>);

impl Template {
    pub(super) fn done(self) -> Vec<Attribute> {
        self.0
    }

    fn with(mut self, attribute: Attribute) -> Self {
        self.0.retain(|old| old.kind != attribute.kind);
        self.0.push(attribute);
        self
    }

    pub(super) fn flag(self, kind: u64, value: bool) -> Self {
        self.with(Attribute::flag(kind, value))
    }

    pub(super) fn number(self, kind: u64, value: u64) -> Self {
        self.with(Attribute::number(kind, value))
    }

    pub(super) fn bytes(self, kind: u64, value: &[u8]) -> Self {
        self.with(Attribute::bytes(kind, value))
    }

    /// Allows exactly the uses whose letters are named: `ed` for encryption and decryption, `sv`
    /// for signing, `wu` for wrapping.
    pub(super) fn uses(self, letters: &str) -> Self {
        USES.iter()
            .fold(self, |template, (letter, kind)| template.flag(*kind, letters.contains(*letter)))
    }

    /// Names uses and leaves the others to the token: TPMs refuse a pair that denies what its
    /// algorithm can do.
    fn only(self, letters: &str) -> Self {
        let named = USES.iter().filter(|(letter, _)| letters.contains(*letter));
        named.fold(self, |template, (_, kind)| template.flag(*kind, true))
    }

    fn named(self, (label, id): (&str, &[u8])) -> Self {
        self.flag(CKA_TOKEN, false).bytes(CKA_LABEL, label.as_bytes()).bytes(CKA_ID, id)
    }

    fn secret(name: (&str, &[u8]), key_type: u64) -> Self {
        Self::default()
            .number(CKA_CLASS, CKO_SECRET_KEY)
            .number(CKA_KEY_TYPE, key_type)
            .named(name)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SENSITIVE, true)
            .flag(CKA_EXTRACTABLE, false)
            .uses("")
    }

    /// An AES key of 256 bits that the token makes.
    pub(super) fn aes(name: (&str, &[u8])) -> Self {
        Self::secret(name, CKK_AES).number(CKA_VALUE_LEN, 32)
    }

    /// An AES key whose value is given.
    pub(super) fn aes_of(name: (&str, &[u8]), value: &[u8]) -> Self {
        Self::secret(name, CKK_AES).bytes(CKA_VALUE, value)
    }

    /// An AES key that comes wrapped.
    pub(super) fn aes_wrapped(name: (&str, &[u8])) -> Self {
        Self::secret(name, CKK_AES)
    }

    /// A secret for HMAC whose value is given.
    pub(super) fn hmac_of(name: (&str, &[u8]), value: &[u8]) -> Self {
        Self::secret(name, CKK_GENERIC_SECRET).bytes(CKA_VALUE, value).uses("sv")
    }

    /// The private half of a pair.
    pub(super) fn private(name: (&str, &[u8]), letters: &str) -> Self {
        let template = Self::default()
            .number(CKA_CLASS, CKO_PRIVATE_KEY)
            .named(name)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SENSITIVE, true)
            .flag(CKA_EXTRACTABLE, false);
        template.only(letters)
    }

    /// The public half of an RSA pair.
    pub(super) fn rsa_public(name: (&str, &[u8]), bits: u64, letters: &str) -> Self {
        let template = Self::default()
            .number(CKA_CLASS, CKO_PUBLIC_KEY)
            .named(name)
            .number(CKA_MODULUS_BITS, bits)
            .bytes(CKA_PUBLIC_EXPONENT, &[1, 0, 1]);
        template.only(letters)
    }

    /// The public half of a pair on a curve.
    pub(super) fn ec_public(name: (&str, &[u8]), params: &[u8]) -> Self {
        Self::default()
            .number(CKA_CLASS, CKO_PUBLIC_KEY)
            .named(name)
            .bytes(CKA_EC_PARAMS, params)
            .flag(CKA_VERIFY, true)
    }

    /// The private half of a pair on a curve.
    pub(super) fn ec_private(name: (&str, &[u8])) -> Self {
        Self::default()
            .number(CKA_CLASS, CKO_PRIVATE_KEY)
            .named(name)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SENSITIVE, true)
            .flag(CKA_EXTRACTABLE, false)
            .flag(CKA_SIGN, true)
    }
}
