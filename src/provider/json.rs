//! Tolerant access to JSON values: a path either leads to a value of the wanted type or to `None`.

use jiff::Timestamp;
use serde_json::Value;

use super::{Reason, Reject};

/// Reads facts out of a JSON value without assuming its shape.
pub trait Json: Sized {
    /// The member of an object, null included.
    fn member(&self, name: &str) -> Option<&Self>;

    /// Whether it is null.
    fn is_nothing(&self) -> bool;

    /// The text that it is.
    fn as_text(&self) -> Option<&str>;

    /// The whole number that it is.
    fn as_whole(&self) -> Option<i64>;

    /// The truth value that it is.
    fn as_flag(&self) -> Option<bool>;

    /// The items of an array; none of anything else.
    fn as_items(&self) -> &[Self];

    /// The value at `path` (member names), unless it is absent or null.
    fn at(&self, path: &[&str]) -> Option<&Self> {
        let mut value = self;
        for name in path {
            value = value.member(name)?;
        }
        (!value.is_nothing()).then_some(value)
    }

    /// The non-empty text at `path`.
    fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_text().filter(|text| !text.is_empty())
    }

    /// The non-empty text at `path`, owned.
    fn string(&self, path: &[&str]) -> Option<String> {
        self.text(path).map(str::to_owned)
    }

    /// The whole number at `path`, also where it is written as text.
    fn integer(&self, path: &[&str]) -> Option<i64> {
        let value = self.at(path)?;
        value.as_whole().or_else(|| value.as_text()?.trim().parse().ok())
    }

    /// The truth value at `path`, also where it is written as text.
    fn flag(&self, path: &[&str]) -> Option<bool> {
        let value = self.at(path)?;
        value.as_flag().or_else(|| match value.as_text()? {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }

    /// The items at `path`; none if it is not an array.
    fn items(&self, path: &[&str]) -> &[Self] {
        self.at(path).map_or(&[], Self::as_items)
    }

    /// The RFC 3339 time at `path`; `None` when absent or unreadable.
    fn time(&self, path: &[&str]) -> Option<Timestamp> {
        self.text(path)?.parse().ok()
    }
}

impl Json for Value {
    fn member(&self, name: &str) -> Option<&Self> {
        self.get(name)
    }

    fn is_nothing(&self) -> bool {
        self.is_null()
    }

    fn as_text(&self) -> Option<&str> {
        self.as_str()
    }

    fn as_whole(&self) -> Option<i64> {
        self.as_i64()
    }

    fn as_flag(&self) -> Option<bool> {
        self.as_bool()
    }

    fn as_items(&self) -> &[Self] {
        self.as_array().map_or(&[], Vec::as_slice)
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
pub(crate) fn required_time(value: &impl Json, path: &[&str]) -> Result<Timestamp, Reject> {
    let Some(text) = value.text(path) else {
        let name = path.join(".");
        return Err(Reject::new(Reason::BadTime, format!("the time `{name}` is missing")));
    };
    text.parse().map_err(|_| {
        let name = path.join(".");
        Reject::new(Reason::BadTime, format!("the time `{name}` cannot be read: {text:?}"))
    })
}
