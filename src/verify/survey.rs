//! The keys of a token with all their attributes, three-valued. Reads only, and never a key's value.

use std::collections::BTreeMap;

use cryptoki_sys::{
    CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE, CKA_CHECK_VALUE,
    CKA_CLASS, CKA_COPYABLE, CKA_DECRYPT, CKA_DERIVE, CKA_DESTROYABLE, CKA_EC_PARAMS, CKA_EC_POINT,
    CKA_ENCRYPT, CKA_END_DATE, CKA_EXTRACTABLE, CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_KEY_TYPE,
    CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE, CKA_MODULUS, CKA_MODULUS_BITS, CKA_NEVER_EXTRACTABLE,
    CKA_PRIVATE, CKA_PUBLIC_EXPONENT, CKA_SENSITIVE, CKA_SIGN, CKA_START_DATE, CKA_TOKEN,
    CKA_TRUSTED, CKA_UNIQUE_ID, CKA_UNWRAP, CKA_UNWRAP_TEMPLATE, CKA_VALUE_LEN, CKA_VERIFY,
    CKA_WRAP, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKK_DES, CKK_DES2, CKK_DES3,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};
use serde_json::{Value as Json, json};

use super::bench::{flag_of, number_of, state};
use super::check::public_from;
use super::names;
use super::outside::public::{Public, curve};
use super::result::KeyFacts;
use super::token::Token;
use super::token::trouble::Trouble;
use super::uri::{Class, Uri};
use super::wire::{Attribute, Value};

/// How many objects are read in one request.
const BATCH: usize = 250;

/// What every key is asked for. The first three are needed to name it.
const COMMON: &[u64] = &[
    CKA_LABEL,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_LOCAL,
    CKA_KEY_GEN_MECHANISM,
    CKA_ALLOWED_MECHANISMS,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_UNIQUE_ID,
    CKA_DERIVE,
];

/// What private and secret keys are asked for.
const PROTECTED: &[u64] = &[
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_ALWAYS_SENSITIVE,
    CKA_NEVER_EXTRACTABLE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_UNWRAP,
    CKA_UNWRAP_TEMPLATE,
];

/// What the classes are asked for beside that.
const SECRET: &[u64] = &[
    CKA_VALUE_LEN,
    CKA_CHECK_VALUE,
    CKA_ENCRYPT,
    CKA_VERIFY,
    CKA_WRAP,
    CKA_TRUSTED,
    CKA_WRAP_TEMPLATE,
];
const PRIVATE: &[u64] =
    &[CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ALWAYS_AUTHENTICATE];
const PUBLIC: &[u64] = &[
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_MODULUS_BITS,
    CKA_ENCRYPT,
    CKA_VERIFY,
    CKA_WRAP,
    CKA_TRUSTED,
];

/// A key as it was found.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) handle: u64,
    pub(super) class: Class,
    /// `CKK_…`
    pub(super) algorithm: u64,
    pub(super) label: String,
    pub(super) id: Vec<u8>,
    pub(super) uri: String,
    pub(super) values: BTreeMap<u64, Value>,
    /// Its own public part, or that of the public key of the same id.
    pub(super) public: Option<Public>,
}

impl Key {
    /// A boolean attribute; `None` where the key has none.
    pub(super) fn flag(&self, kind: u64) -> Option<bool> {
        self.values.get(&kind).and_then(flag_of)
    }

    /// Whether it has to be kept secret.
    pub(super) fn protected(&self) -> bool {
        matches!(self.class, Class::Private | Class::SecretKey)
    }

    /// Whether an attribute is there with content.
    pub(super) fn filled(&self, kind: u64) -> bool {
        matches!(self.values.get(&kind), Some(Value::Is { value }) if !value.0.is_empty())
    }

    /// Its size in bits, where it can be told.
    pub(super) fn bits(&self) -> Option<u64> {
        let number = |kind| self.values.get(&kind).and_then(number_of);
        match self.algorithm {
            CKK_DES => Some(64),
            CKK_DES2 => Some(128),
            CKK_DES3 => Some(192),
            _ if self.class == Class::SecretKey => number(CKA_VALUE_LEN)
                .filter(|bytes| *bytes > 0)
                .map(|bytes| bytes.saturating_mul(8)),
            _ => {
                self.public.as_ref().map(Public::bits).or_else(|| number(CKA_MODULUS_BITS)).or_else(
                    || match self.values.get(&CKA_EC_PARAMS) {
                        Some(Value::Is { value }) => curve(&value.0).map(|curve| curve.bits),
                        _ => None,
                    },
                )
            }
        }
    }

    /// The `CryptoKey` that Google's library names in the id, which is that of its version.
    fn cloud_key(&self) -> Option<String> {
        let name = std::str::from_utf8(&self.id).ok()?;
        let (key, _) = name.split_once("/cryptoKeyVersions/")?;
        (key.starts_with("projects/") && key.contains("/cryptoKeys/")).then(|| key.to_owned())
    }

    /// For the document.
    pub(super) fn facts(&self) -> KeyFacts {
        let shown =
            |(kind, value): (&u64, &Value)| (names::attribute(*kind), self.shown(*kind, value));
        KeyFacts {
            uri: self.uri.clone(),
            handle: self.handle,
            class: self.class.as_str(),
            key_id: self.cloud_key(),
            key_type: names::key_type(self.algorithm),
            bits: self.bits(),
            attributes: self.values.iter().map(shown).collect(),
        }
    }

    fn shown(&self, kind: u64, value: &Value) -> Json {
        match (kind, value) {
            (CKA_LABEL, Value::Is { .. }) => json!(self.label),
            (CKA_KEY_TYPE, Value::Is { .. }) => json!(names::key_type(self.algorithm)),
            (CKA_CLASS, Value::Is { .. }) => json!(self.class.as_str()),
            (CKA_VALUE_LEN | CKA_MODULUS_BITS, value) if number_of(value).is_some() => {
                json!(number_of(value))
            }
            (CKA_KEY_GEN_MECHANISM, Value::Is { .. }) => {
                number_of(value).map_or(json!("unavailable"), |kind| json!(names::mechanism(kind)))
            }
            (CKA_ALLOWED_MECHANISMS, Value::Is { value }) => {
                let kinds = value.0.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok());
                json!(kinds.map(|b| names::mechanism(u64::from_ne_bytes(b))).collect::<Vec<_>>())
            }
            (CKA_START_DATE | CKA_END_DATE | CKA_UNIQUE_ID, Value::Is { value }) => {
                json!(String::from_utf8_lossy(&value.0))
            }
            (CKA_ID | CKA_CHECK_VALUE, Value::Is { value }) => {
                json!(super::outside::hex(&value.0))
            }
            _ => state(value),
        }
    }
}

/// Reads all keys.
pub(super) fn survey(token: &mut Token<'_>) -> Result<Vec<Key>, Trouble> {
    let classes = [
        (CKO_SECRET_KEY, Class::SecretKey, [COMMON, PROTECTED, SECRET].concat()),
        (CKO_PRIVATE_KEY, Class::Private, [COMMON, PROTECTED, PRIVATE].concat()),
        (CKO_PUBLIC_KEY, Class::Public, [COMMON, PUBLIC].concat()),
    ];
    let base = token.uri();
    let mut keys = Vec::new();
    for (number, class, kinds) in classes {
        let template = vec![Attribute::number(CKA_CLASS, number)];
        let objects = token.find_objects(token.main, template)?;
        for batch in objects.chunks(BATCH) {
            let values = token.read(token.main, batch, &kinds)?;
            for (handle, values) in batch.iter().zip(values) {
                let values = kinds.iter().copied().zip(values).collect();
                keys.push(key(*handle, class, values, &base));
            }
        }
    }
    for key in &keys {
        token.labels.insert(key.handle, key.label.clone());
    }
    pair_up(&mut keys);
    Ok(keys)
}

fn key(handle: u64, class: Class, values: BTreeMap<u64, Value>, base: &Uri) -> Key {
    let bytes = |kind: u64| match values.get(&kind) {
        Some(Value::Is { value }) => value.0.to_vec(),
        _ => Vec::new(),
    };
    let (label, id) = (String::from_utf8_lossy(&bytes(CKA_LABEL)).into_owned(), bytes(CKA_ID));
    let uri = Uri {
        token: base.token.clone(),
        serial: base.serial.clone(),
        object: Some(label.clone()),
        id: (!id.is_empty()).then(|| id.clone()),
        class: Some(class),
        ..Uri::default()
    };
    let parts = [CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT];
    let parts: Vec<Value> =
        parts.iter().map(|kind| values.get(kind).cloned().unwrap_or(Value::Invalid)).collect();
    Key {
        handle,
        class,
        algorithm: values.get(&CKA_KEY_TYPE).and_then(number_of).unwrap_or(u64::MAX),
        label,
        id,
        uri: uri.to_string(),
        public: if class == Class::SecretKey { None } else { public_from(&parts) },
        values,
    }
}

/// Gives private keys that do not show their public part that of the public key of the same id.
fn pair_up(keys: &mut [Key]) {
    let publics: BTreeMap<(Vec<u8>, u64), Public> = keys
        .iter()
        .filter(|key| key.class == Class::Public && !key.id.is_empty())
        .filter_map(|key| Some(((key.id.clone(), key.algorithm), key.public.clone()?)))
        .collect();
    let bare = keys.iter_mut().filter(|key| key.class == Class::Private && key.public.is_none());
    for key in bare {
        key.public = publics.get(&(key.id.clone(), key.algorithm)).cloned();
    }
}
