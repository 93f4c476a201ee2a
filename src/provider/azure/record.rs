//! Fields of an Azure log record under whichever spelling its way of arrival gave them.
//!
//! Storage blobs and Event Hubs write `httpStatusCode` inside `properties`, Managed HSM beside
//! it; Log Analytics writes `HttpStatusCode` as a column, and the older `AzureDiagnostics` table
//! `httpStatusCode_d`. Objects may come as JSON text.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::{Reason, Reject};

/// Endings that `AzureDiagnostics` puts to column names for their types.
const TYPE_SUFFIXES: &[&str] = &["_s", "_d", "_g", "_b", "_t"];

/// A record and its `properties`.
pub(super) struct Record<'a> {
    value: &'a Value,
    properties: Cow<'a, Value>,
}

impl<'a> Record<'a> {
    /// Wraps a record.
    pub(super) fn new(value: &'a Value) -> Self {
        let properties = member(value, "properties").map_or(Cow::Owned(Value::Null), unpacked);
        Self { value, properties }
    }

    /// A field of the record itself.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        member(self.value, name)
    }

    /// A fact about the operation: in `properties`, else beside it.
    pub(super) fn fact(&self, name: &str) -> Option<&Value> {
        member(&self.properties, name).or_else(|| self.field(name))
    }

    /// The non-empty text of a fact.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fact(name).and_then(text)
    }

    /// The non-empty text of the first of the record's own fields that has one.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.field(name).and_then(text))
    }

    /// The record's `properties`; null where it has none.
    pub(super) fn properties(&self) -> &Value {
        &self.properties
    }

    /// The record's own fields whose names start with `prefix`, without it and without type
    /// suffix.
    pub(super) fn with_prefix(&self, prefix: &str) -> Map<String, Value> {
        let members = self.value.as_object().into_iter().flatten();
        let named = members.filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            (!value.is_null()).then(|| (plain(rest).to_owned(), value.clone()))
        });
        named.collect()
    }

    /// The time in the first of `names` that is there.
    ///
    /// # Errors
    /// When none is there, or it cannot be read.
    pub(super) fn time(&self, names: &[&str]) -> Result<Timestamp, Reject> {
        let name = names.first().copied().unwrap_or("time");
        let Some(value) = names.iter().find_map(|name| self.field(name)) else {
            return Err(Reject::new(Reason::BadTime, format!("the time `{name}` is missing")));
        };
        let read = value.as_str().and_then(|text| text.trim().parse().ok());
        read.ok_or_else(|| {
            let shown: String = value.to_string().chars().take(80).collect();
            Reject::new(Reason::BadTime, format!("the time `{name}` cannot be read: {shown}"))
        })
    }
}

/// The member `name` of an object: spelled exactly so, else in another case or with a type
/// suffix; `None` where it is absent or null.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let same = |key: &str| key.eq_ignore_ascii_case(name) || plain(key).eq_ignore_ascii_case(name);
    let found = members
        .get(name)
        .or_else(|| members.iter().find(|(key, _)| same(key)).map(|(_, found)| found));
    found.filter(|found| !found.is_null())
}

fn plain(name: &str) -> &str {
    TYPE_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// The value, or what it holds as JSON text.
pub(super) fn unpacked(value: &Value) -> Cow<'_, Value> {
    let held = value.as_str().filter(|text| text.trim_start().starts_with(['{', '[']));
    match held.and_then(|text| serde_json::from_str(text).ok()) {
        Some(parsed) => Cow::Owned(parsed),
        None => Cow::Borrowed(value),
    }
}

/// The value as non-empty text.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The value as a whole number: written as number, as `200.0` or as text.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
            format!("{number:.0}").parse().ok()
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The value as truth value, also where it is written as text.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number, truth value or text of at most 200 characters, fit for an event's details.
pub(super) fn small(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(held) if !held.is_empty() => {
            Some(Value::String(held.chars().take(200).collect()))
        }
        _ => None,
    }
}

/// The address in `text`, with or without a port; `None` for masks and names.
pub(super) fn ip(text: &str) -> Option<String> {
    let text = text.trim();
    let address: Option<IpAddr> = text.parse().ok();
    address
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fact_is_found_in_every_spelling() {
        for value in [
            json!({"properties": {"httpStatusCode": 200}}),
            json!({"httpStatusCode": "200"}),
            json!({"HttpStatusCode": 200, "Properties": ""}),
            json!({"httpStatusCode_d": 200.0}),
            json!({"Properties": "{\"httpStatusCode\": 200}"}),
        ] {
            let record = Record::new(&value);
            assert_eq!(record.fact("httpStatusCode").and_then(integer), Some(200), "{value}");
        }
        let value = json!({"httpStatusCode": null});
        assert_eq!(Record::new(&value).fact("httpStatusCode"), None);
    }

    #[test]
    fn only_real_addresses_are_addresses() {
        assert_eq!(ip("203.0.113.7"), Some("203.0.113.7".to_owned()));
        assert_eq!(ip("203.0.113.7:443"), Some("203.0.113.7".to_owned()));
        assert_eq!(ip("2001:DB8::1"), Some("2001:db8::1".to_owned()));
        for text in ["X.X.X.X", "", "host", "1.2.3"] {
            assert_eq!(ip(text), None);
        }
    }

    #[test]
    fn a_time_that_is_missing_or_wrong_is_refused_by_name() {
        let names = ["time", "TimeGenerated"];
        let value = json!({"TimeGenerated": "2026-10-02T09:06:13.8719275Z"});
        assert!(Record::new(&value).time(&names).is_ok());
        for value in [json!({}), json!({"time": 5}), json!({"time": "yesterday"})] {
            assert_eq!(Record::new(&value).time(&names).unwrap_err().reason, Reason::BadTime);
        }
    }
}
