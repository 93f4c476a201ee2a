//! What the parent and the worker say to each other: length-prefixed frames on two pipes, a call
//! of PKCS #11 a request, its return value and output a reply.
//!
//! A frame is four bytes of length (big endian), one byte of kind and the payload. PINs travel in
//! frames of their own as plain bytes, so that no JSON writer ever holds a copy.

mod request;

use std::fmt;
use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

pub use self::request::{Login, Operation, Request};

/// The longest payload that is read: enough for some thousand objects' attributes.
pub const MOST_BYTES: usize = 32 << 20;

/// Bytes, base64 within JSON. Wiped when dropped, since some are keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Zeroizing<Vec<u8>>);

impl Bytes {
    /// Takes over a vector.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(self.0.as_slice()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        STANDARD.decode(text.as_bytes()).map(Self::new).map_err(serde::de::Error::custom)
    }
}

/// One attribute of a template: its number and its value as the module takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// `CKA_…`
    pub kind: u64,
    /// The value's bytes.
    pub value: Bytes,
}

impl Attribute {
    /// Makes an attribute of bytes.
    pub fn bytes(kind: u64, value: &[u8]) -> Self {
        Self { kind, value: value.into() }
    }

    /// Makes a boolean attribute.
    pub fn flag(kind: u64, value: bool) -> Self {
        Self::bytes(kind, &[u8::from(value)])
    }

    /// Makes a numeric attribute.
    pub fn number(kind: u64, value: u64) -> Self {
        Self::bytes(kind, &value.to_ne_bytes())
    }
}

/// A mechanism's parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Param {
    /// None.
    #[default]
    None,
    /// An initialization vector.
    Iv {
        /// Its bytes.
        iv: Bytes,
    },
    /// `CK_GCM_PARAMS`.
    Gcm {
        /// The initialization vector; `None` gives the module a null pointer.
        iv: Option<Bytes>,
        /// What is authenticated and not encrypted.
        aad: Bytes,
        /// Length of the tag in bits.
        tag_bits: u64,
    },
    /// `CK_AES_CTR_PARAMS` with a counter of 128 bits.
    Ctr {
        /// The first counter block.
        block: Bytes,
    },
    /// `CK_RSA_PKCS_OAEP_PARAMS` without label.
    Oaep {
        /// `CKM_SHA…`
        hash: u64,
        /// `CKG_MGF1_…`
        mgf: u64,
    },
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// `CKM_SHA…`
        hash: u64,
        /// `CKG_MGF1_…`
        mgf: u64,
        /// Length of the salt in bytes.
        salt: u64,
    },
}

/// A mechanism with its parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mechanism {
    /// `CKM_…`
    pub kind: u64,
    /// Its parameter.
    pub param: Param,
}

impl Mechanism {
    /// Makes a mechanism that takes no parameter.
    pub fn plain(kind: u64) -> Self {
        Self { kind, param: Param::None }
    }

    /// Makes a mechanism that takes an initialization vector.
    pub fn iv(kind: u64, iv: &[u8]) -> Self {
        Self { kind, param: Param::Iv { iv: iv.into() } }
    }
}

/// What a module says of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Value {
    /// It has this value.
    Is {
        /// The value's bytes.
        value: Bytes,
    },
    /// It has one and does not give it (`CKR_ATTRIBUTE_SENSITIVE`).
    Sensitive,
    /// The object has no such attribute (`CKR_ATTRIBUTE_TYPE_INVALID`).
    Invalid,
    /// It has one that cannot be told (`CK_UNAVAILABLE_INFORMATION`).
    Unavailable,
    /// It is a template of that many bytes, which are not read.
    Template {
        /// Length in bytes.
        bytes: u64,
    },
    /// The call failed otherwise.
    Error {
        /// How.
        rv: u64,
    },
    /// The module gave a length that cannot be.
    Overlong {
        /// Which.
        length: u64,
    },
}

/// What `C_GetInfo` and the function list say of the library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Version of the standard, such as `2.40`.
    pub cryptoki: String,
    /// Version of the default interface, where the library has interfaces (version 3).
    #[serde(default)]
    pub interface: Option<String>,
    /// Who made the library.
    pub manufacturer: String,
    /// What it is.
    pub description: String,
    /// Its version.
    pub version: String,
}

/// What `C_GetTokenInfo` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its label.
    pub label: String,
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// `CKF_…`
    pub flags: u64,
    /// The longest PIN.
    pub pin_most: u64,
    /// The shortest PIN.
    pub pin_least: u64,
    /// Version of the hardware.
    pub hardware: String,
    /// Version of the firmware.
    pub firmware: String,
    /// The token's clock as it gives it; empty where it has none.
    pub utc_time: String,
}

/// What `C_GetMechanismInfo` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismInfo {
    /// `CKM_…`
    pub kind: u64,
    /// The smallest key, in the mechanism's own unit.
    pub key_least: u64,
    /// The largest key.
    pub key_most: u64,
    /// `CKF_…`
    pub flags: u64,
}

/// A call that was made, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Which function.
    pub function: String,
    /// What it returned.
    pub rv: u64,
}

/// What came of a request. Which members are filled depends on the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// The return value that decides: that of the last call that failed, else `CKR_OK`.
    pub rv: u64,
    /// The calls made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Made>,
    /// Handles: a session, objects, slots, mechanisms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<u64>,
    /// Output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// The initialization vector after an operation, which some HSMs choose themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iv: Option<Bytes>,
    /// Attributes, object by object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Vec<Value>>,
    /// Of the library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// Of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenInfo>,
    /// Of mechanisms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mechanisms: Vec<MechanismInfo>,
    /// What a module did that the standard forbids, or why the worker refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Set in the last record alone: how many requests were answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON: a request or a reply.
    Json,
    /// The user's PIN.
    UserPin,
    /// The security officer's PIN.
    SoPin,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Json => b'J',
            Self::UserPin => b'U',
            Self::SoPin => b'S',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Json, Self::UserPin, Self::SoPin].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Writes one frame.
pub fn write(to: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    if payload.len() > MOST_BYTES {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut head = [0; 5];
    let (size, mark) = head.split_at_mut(4);
    size.copy_from_slice(&length.to_be_bytes());
    mark.fill(kind.byte());
    to.write_all(&head)?;
    to.write_all(payload)?;
    to.flush()
}

/// Reads one frame; `None` where the other side has closed the pipe between two.
///
/// # Errors
///
/// Where the frame breaks off, is too long or of no known kind: somebody else wrote to the pipe.
pub fn read(from: &mut impl Read) -> io::Result<Option<(Kind, Zeroizing<Vec<u8>>)>> {
    let mut first = [0];
    if from.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut rest = [0; 4];
    from.read_exact(&mut rest)?;
    let [b, c, d, kind] = rest;
    let [a] = first;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(io::Error::other)?;
    let kind = Kind::of(kind).ok_or_else(|| io::Error::other("a frame of no known kind"))?;
    if length > MOST_BYTES {
        return Err(io::Error::other("a frame that is too long"));
    }
    let mut payload = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut payload)?;
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_sent_and_an_end_is_no_error() {
        let mut pipe = Vec::new();
        write(&mut pipe, Kind::UserPin, b"1234").unwrap();
        let request = Request::Wrap {
            session: 1,
            mechanism: Mechanism::iv(0x1082, &[7; 16]),
            by: 2,
            key: u64::MAX,
        };
        write(&mut pipe, Kind::Json, &serde_json::to_vec(&request).unwrap()).unwrap();
        let mut from = pipe.as_slice();
        let (kind, pin) = read(&mut from).unwrap().unwrap();
        assert_eq!((kind, pin.as_slice()), (Kind::UserPin, b"1234".as_slice()));
        let (_, json) = read(&mut from).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Request>(&json).unwrap(), request);
        assert!(read(&mut from).unwrap().is_none());
    }

    #[test]
    fn what_a_module_prints_into_the_channel_is_an_error_and_not_a_frame() {
        for noise in [b"hello world, this is a module".as_slice(), b"\0\0\0\x05J123", b"\xff"] {
            assert!(read(&mut { noise }).is_err(), "{noise:?}");
        }
    }

    #[test]
    fn bytes_are_not_shown() {
        let attribute = Attribute::bytes(0x11, b"secret value");
        assert!(!format!("{attribute:?}").contains("secret"));
        assert!(!format!("{attribute:?}").contains("115"));
    }
}
