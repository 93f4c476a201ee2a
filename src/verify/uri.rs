//! PKCS #11 URIs (RFC 7512): `pkcs11:token=audit-a;object=signer;type=private`. They select tokens
//! and keys, and name them in results.
//!
//! A URI that holds a PIN is refused, and the error does not repeat it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The longest URI that is read.
const MOST_BYTES: usize = 8192;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A private key.
    Private,
    /// A public key.
    Public,
    /// A secret key.
    SecretKey,
    /// A certificate.
    Cert,
    /// Data.
    Data,
}

const CLASSES: &[(Class, &str)] = &[
    (Class::Private, "private"),
    (Class::Public, "public"),
    (Class::SecretKey, "secret-key"),
    (Class::Cert, "cert"),
    (Class::Data, "data"),
];

impl Class {
    /// Its word in a URI.
    pub fn as_str(self) -> &'static str {
        CLASSES.iter().find(|(class, _)| *class == self).map_or("", |(_, word)| word)
    }
}

/// A parsed URI. What it does not name matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Uri {
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `manufacturer`: the token's.
    pub manufacturer: Option<String>,
    /// `serial`: the token's.
    pub serial: Option<String>,
    /// `model`: the token's.
    pub model: Option<String>,
    /// `object`: the object's label.
    pub object: Option<String>,
    /// `type`: the object's class.
    pub class: Option<Class>,
    /// `id`: the object's `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `slot-id`
    pub slot_id: Option<u64>,
    /// `pin-source`
    pub pin_source: Option<String>,
    /// `module-path`
    pub module_path: Option<String>,
    /// `module-name`
    pub module_name: Option<String>,
    /// Further attributes of the standard, of library and slot, and the vendor's (`x-…`), as
    /// name and decoded value.
    pub further: Vec<(String, Vec<u8>)>,
}

/// Why a text is no URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It begins otherwise.
    #[error("a PKCS #11 URI begins with `pkcs11:`")]
    Scheme,
    /// It is too long.
    #[error("the URI is longer than {MOST_BYTES} bytes")]
    Length,
    /// A part is no `name=value`.
    #[error("the URI's part {0} is no name=value")]
    Part(usize),
    /// An attribute stands twice.
    #[error("the URI names {0} twice")]
    Twice(String),
    /// Nobody knows the attribute.
    #[error("the URI's attribute {0} is not known; a vendor's own begins with x-")]
    Unknown(String),
    /// A value cannot be read.
    #[error("the URI's value of {0} is not valid")]
    Value(String),
    /// A PIN where everybody can see it.
    #[error("the URI holds a PIN (pin-value); name a file by pin-source instead")]
    Pin,
}

/// Attributes that the standard knows and nothing here selects by.
const FURTHER: &[&str] = &[
    "library-description",
    "library-manufacturer",
    "library-version",
    "slot-description",
    "slot-manufacturer",
];

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > MOST_BYTES {
            return Err(UriError::Length);
        }
        let rest = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"));
        let rest = rest.and_then(|_| text.get(7..)).ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').map_or((rest, ""), |(path, query)| (path, query));
        let parts = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        let mut uri = Self::default();
        let mut seen = Vec::new();
        for (at, part) in parts.enumerate() {
            let (name, value) = part.split_once('=').ok_or(UriError::Part(at + 1))?;
            if !valid_name(name) {
                return Err(UriError::Part(at + 1));
            }
            if name == "pin-value" {
                return Err(UriError::Pin);
            }
            if seen.contains(&name) {
                return Err(UriError::Twice(name.to_owned()));
            }
            seen.push(name);
            let value = decode(value).ok_or_else(|| UriError::Value(name.to_owned()))?;
            uri.put(name, value)?;
        }
        Ok(uri)
    }
}

impl TryFrom<String> for Uri {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl Uri {
    fn put(&mut self, name: &str, value: Vec<u8>) -> Result<(), UriError> {
        let slot = match name {
            "token" => &mut self.token,
            "manufacturer" => &mut self.manufacturer,
            "serial" => &mut self.serial,
            "model" => &mut self.model,
            "object" => &mut self.object,
            "pin-source" => &mut self.pin_source,
            "module-path" => &mut self.module_path,
            "module-name" => &mut self.module_name,
            _ => return self.put_other(name, value),
        };
        *slot = Some(String::from_utf8(value).map_err(|_| UriError::Value(name.to_owned()))?);
        Ok(())
    }

    fn put_other(&mut self, name: &str, value: Vec<u8>) -> Result<(), UriError> {
        let invalid = || UriError::Value(name.to_owned());
        let text = || std::str::from_utf8(&value).ok();
        match name {
            "id" => self.id = Some(value),
            "type" => {
                let class = text().and_then(|text| CLASSES.iter().find(|(_, word)| *word == text));
                self.class = Some(class.ok_or_else(invalid)?.0);
            }
            "slot-id" => {
                let digits = text().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let number = digits.and_then(|text| text.parse().ok());
                self.slot_id = Some(number.ok_or_else(invalid)?);
            }
            _ if name.starts_with("x-") || FURTHER.contains(&name) => {
                self.further.push((name.to_owned(), value));
            }
            _ => return Err(UriError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// Whether a token is meant.
    pub fn selects_token(&self, token: &TokenName<'_>) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
        same(&self.token, token.label)
            && same(&self.manufacturer, token.manufacturer)
            && same(&self.serial, token.serial)
            && same(&self.model, token.model)
            && self.slot_id.is_none_or(|wanted| wanted == token.slot)
    }

    /// Whether an object is meant. A vendor's attribute that nobody can compare matches none.
    pub fn selects_object(&self, label: &str, id: &[u8], class: Option<Class>) -> bool {
        self.object.as_ref().is_none_or(|wanted| wanted == label)
            && self.id.as_ref().is_none_or(|wanted| wanted == id)
            && self.class.is_none_or(|wanted| class == Some(wanted))
            && self.further.is_empty()
    }
}

/// What names a token.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenName<'a> {
    /// Label.
    pub label: &'a str,
    /// Manufacturer.
    pub manufacturer: &'a str,
    /// Serial number.
    pub serial: &'a str,
    /// Model.
    pub model: &'a str,
    /// Slot.
    pub slot: u64,
}

fn valid_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Undoes percent encoding; `None` where a character is not allowed or an escape breaks off.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high * 16 + low
            }
            // RFC 7512 allows no bare `%`, blank, `#`, quote or anything beyond ASCII.
            b'!'..=b'~' if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`') => byte,
            _ => return None,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes a value with all escaped that either component or a shell could take amiss.
fn encode(f: &mut fmt::Formatter<'_>, value: &[u8], all: bool) -> fmt::Result {
    for byte in value {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if plain && !all {
            write!(f, "{}", char::from(*byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let slot_id = self.slot_id.map(|id| id.to_string());
        let class = self.class.map(Class::as_str);
        let path: [(&str, Option<&[u8]>); 9] = [
            ("token", self.token.as_deref().map(str::as_bytes)),
            ("manufacturer", self.manufacturer.as_deref().map(str::as_bytes)),
            ("serial", self.serial.as_deref().map(str::as_bytes)),
            ("model", self.model.as_deref().map(str::as_bytes)),
            ("slot-id", slot_id.as_deref().map(str::as_bytes)),
            ("id", self.id.as_deref()),
            ("object", self.object.as_deref().map(str::as_bytes)),
            ("type", class.map(str::as_bytes)),
            ("", None),
        ];
        let named = path.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let further = self.further.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        write_parts(f, named.chain(further), ";")?;
        let query = [
            ("pin-source", &self.pin_source),
            ("module-path", &self.module_path),
            ("module-name", &self.module_name),
        ];
        let named = query.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let mut named = named.map(|(name, value)| (name, value.as_bytes())).peekable();
        if named.peek().is_some() {
            f.write_str("?")?;
        }
        write_parts(f, named, "&")
    }
}

fn write_parts<'a>(
    f: &mut fmt::Formatter<'_>,
    parts: impl Iterator<Item = (&'a str, &'a [u8])>,
    separator: &str,
) -> fmt::Result {
    for (at, (name, value)) in parts.enumerate() {
        write!(f, "{}{name}=", if at == 0 { "" } else { separator })?;
        encode(f, value, name == "id")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_of_p11tool_is_understood() {
        let text = "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=5c2b;\
                    token=audit-a;id=%01%02;object=key%20one;type=private";
        let uri: Uri = text.parse().unwrap();
        assert_eq!(uri.model.as_deref(), Some("SoftHSM v2"));
        assert_eq!(uri.id.as_deref(), Some([1, 2].as_slice()));
        assert!(uri.selects_object("key one", &[1, 2], Some(Class::Private)));
        assert!(!uri.selects_object("key one", &[1, 2], Some(Class::Public)));
        assert!(!uri.selects_object("key one", &[1], Some(Class::Private)));
        let token = TokenName {
            label: "audit-a",
            manufacturer: "SoftHSM project",
            serial: "5c2b",
            model: "SoftHSM v2",
            slot: 3,
        };
        assert!(uri.selects_token(&token));
        assert!(!uri.selects_token(&TokenName { serial: "5c2c", ..token }));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_a_pin() {
        let cases = [
            ("token=x", UriError::Scheme),
            ("pkcs11", UriError::Scheme),
            ("pkcs11:token", UriError::Part(1)),
            ("pkcs11:=x", UriError::Part(1)),
            ("pkcs11:token=a;token=b", UriError::Twice("token".to_owned())),
            ("pkcs11:tokn=a", UriError::Unknown("tokn".to_owned())),
            ("pkcs11:object=%4", UriError::Value("object".to_owned())),
            ("pkcs11:object=a b", UriError::Value("object".to_owned())),
            ("pkcs11:object=%ff", UriError::Value("object".to_owned())),
            ("pkcs11:type=key", UriError::Value("type".to_owned())),
            ("pkcs11:slot-id=+1", UriError::Value("slot-id".to_owned())),
            ("pkcs11:?pin-value=1234", UriError::Pin),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Uri>().unwrap_err(), error, "{text}");
            assert!(!error.to_string().contains("1234"));
        }
        assert_eq!("pkcs11:".parse::<Uri>(), Ok(Uri::default()));
        assert!("PKCS11:".parse::<Uri>().is_ok());
    }

    #[test]
    fn an_attribute_of_a_vendor_selects_nothing_and_is_kept() {
        let uri: Uri = "pkcs11:object=a;x-lib=%00".parse().unwrap();
        assert!(!uri.selects_object("a", &[], None));
        assert_eq!(uri.to_string(), "pkcs11:object=a;x-lib=%00");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,64}") {
            drop(text.parse::<Uri>());
            drop(format!("pkcs11:{text}").parse::<Uri>());
        }

        #[test]
        fn what_is_printed_reads_back_the_same(
            token in proptest::option::of("\\PC{0,12}"),
            object in proptest::option::of("\\PC{0,12}"),
            id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
            slot_id in proptest::option::of(any::<u64>()),
            source in proptest::option::of("\\PC{0,12}"),
            class in proptest::option::of(0_usize..5),
        ) {
            let class = class.map(|at| CLASSES[at].0);
            let uri = Uri { token, object, id, slot_id, class, pin_source: source, ..Uri::default() };
            prop_assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
        }
    }
}
