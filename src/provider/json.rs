//! Tolerant access to JSON values: a path either leads to a value of the wanted type or to `None`.

use jiff::Timestamp;
use serde_json::Value;

use super::{Reason, Reject};

/// Reads facts out of a JSON value without assuming its shape.
pub trait Json {
    /// The value at `path` (member names), unless it is absent or null.
    fn at(&self, path: &[&str]) -> Option<&Value>;

    /// The non-empty text at `path`.
    fn text(&self, path: &[&str]) -> Option<&str>;

    /// The non-empty text at `path`, owned.
    fn string(&self, path: &[&str]) -> Option<String> {
        self.text(path).map(str::to_owned)
    }

    /// The whole number at `path`, also where it is written as text.
    fn integer(&self, path: &[&str]) -> Option<i64>;

    /// The truth value at `path`, also where it is written as text.
    fn flag(&self, path: &[&str]) -> Option<bool>;

    /// The items at `path`; none if it is not an array.
    fn items(&self, path: &[&str]) -> &[Value];

    /// The RFC 3339 time at `path`; `None` when absent or unreadable.
    fn time(&self, path: &[&str]) -> Option<Timestamp>;
}

impl Json for Value {
    fn at(&self, path: &[&str]) -> Option<&Value> {
        let mut value = self;
        for name in path {
            value = value.get(name)?;
        }
        (!value.is_null()).then_some(value)
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str().filter(|text| !text.is_empty())
    }

    fn integer(&self, path: &[&str]) -> Option<i64> {
        match self.at(path)? {
            Self::Number(number) => number.as_i64(),
            Self::String(text) => text.trim().parse().ok(),
            Self::Null | Self::Bool(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    fn flag(&self, path: &[&str]) -> Option<bool> {
        match self.at(path)? {
            Self::Bool(flag) => Some(*flag),
            Self::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn items(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Self::as_array).map_or(&[], Vec::as_slice)
    }

    fn time(&self, path: &[&str]) -> Option<Timestamp> {
        self.text(path)?.parse().ok()
    }
}

/// Parses a record that must be a JSON object.
///
/// # Errors
/// When it is not JSON, or not an object.
pub(crate) fn object(raw: &str) -> Result<Value, Reject> {
    let value: Value = serde_json::from_str(raw)
        .map_err(|error| Reject::new(Reason::BadJson, format!("not valid JSON: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Reject::new(Reason::BadType, "a record must be a JSON object"))
    }
}

/// The time at `path`, without which the record means nothing.
///
/// # Errors
/// When it is missing or cannot be read.
pub(crate) fn required_time(value: &Value, path: &[&str]) -> Result<Timestamp, Reject> {
    let name = path.join(".");
    let Some(text) = value.text(path) else {
        return Err(Reject::new(Reason::BadTime, format!("the time `{name}` is missing")));
    };
    text.parse().map_err(|_| {
        Reject::new(Reason::BadTime, format!("the time `{name}` cannot be read: {text:?}"))
    })
}
