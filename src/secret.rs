//! Secrets: named by reference in configuration (`env:NAME`, `file:/path`), never written there,
//! never shown.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In a variable of the environment.
    Env(String),
    /// In a file, whose last line break does not count.
    File(String),
}

/// A text that is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is named by reference: env:NAME or file:/path; never write it here")]
pub struct SecretRefError;

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ => Err(SecretRefError),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Takes a reference; whatever else stands there is refused without being repeated.
struct Reference;

impl Visitor<'_> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "env:NAME or file:/path")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretRef, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(SecretRefError))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(SecretRefError))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(SecretRefError))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(SecretRefError))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_is_refused_and_not_repeated_whatever_it_looks_like() {
        for text in ["\"hunter2\"", "4711", "47.11", "-4711", "true"] {
            let error = serde_json::from_str::<SecretRef>(text).unwrap_err().to_string();
            assert!(error.contains("by reference"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("47"), "{error}");
        }
        assert_eq!(serde_json::from_str("\"env:PIN\"").ok(), Some(SecretRef::Env("PIN".into())));
    }

    #[test]
    fn a_secret_written_out_is_refused_and_not_repeated() {
        for text in ["hunter2", "env:", "file:", "", "vault:x"] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains("hunter2"), "{error}");
        }
        assert_eq!("env:PIN".parse(), Ok(SecretRef::Env("PIN".to_owned())));
        assert_eq!("file:/run/pin".parse::<SecretRef>().unwrap().to_string(), "file:/run/pin");
    }
}
