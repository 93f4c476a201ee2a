//! Filters that the templates name. Their results are plain text, which the engine escapes.

use std::fmt::Display;

use askama::{Result, Values};
use jiff::Timestamp;

use super::text::{FIELD, one_line};

/// A field of any kind on one line, cut where it is overlong.
#[askama::filter_fn]
pub(super) fn field(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(one_line(&value.to_string(), FIELD))
}

/// A field that may be absent: a dash then.
#[askama::filter_fn]
pub(super) fn or_dash(value: &Option<String>, _: &dyn Values) -> Result<String> {
    Ok(value.as_ref().map_or_else(|| "–".to_owned(), |text| one_line(text, FIELD)))
}

/// A time to the second, in UTC.
#[askama::filter_fn]
pub(super) fn utc(time: &Timestamp, _: &dyn Values) -> Result<String> {
    Ok(time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// The UTC day of a time.
#[askama::filter_fn]
pub(super) fn day(time: &Timestamp, _: &dyn Values) -> Result<String> {
    Ok(time.strftime("%Y-%m-%d").to_string())
}
