//! Filters that the templates name. Texts come out as plain text, which the engine escapes; times
//! as markup, made of digits.

#![expect(
    unreachable_pub,
    clippy::inline_always,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the engine's attribute asks for these shapes and writes the rest itself"
)]

use std::fmt::Display;

use askama::filters::Safe;
use askama::{Result, Values};
use jiff::Timestamp;

use super::text::{FIELD, one_line};

/// A field of any kind on one line, cut where it is overlong.
#[askama::filter_fn]
pub fn field(value: impl Display, _: &dyn Values) -> Result<String> {
    Ok(one_line(&value.to_string(), FIELD))
}

/// Text that a person wrote over several lines, as one paragraph.
#[askama::filter_fn]
pub fn prose(value: impl Display, _: &dyn Values) -> Result<String> {
    let text = value.to_string();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    Ok(one_line(&words.join(" "), FIELD))
}

/// A field that may be absent: a dash then.
#[askama::filter_fn]
pub fn or_dash(value: &Option<String>, _: &dyn Values) -> Result<String> {
    Ok(value.as_ref().map_or_else(|| "–".to_owned(), |text| one_line(text, FIELD)))
}

/// A count with its thousands apart.
#[askama::filter_fn]
pub fn count(value: impl Display, _: &dyn Values) -> Result<String> {
    let digits = value.to_string();
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    Ok(apart)
}

/// A time to the second, in UTC; breaks between day and time alone.
#[askama::filter_fn]
pub fn utc(time: &Timestamp, _: &dyn Values) -> Result<Safe<String>> {
    let format = r#"<span class="nb">%Y-%m-%d</span> <span class="nb">%H:%M:%SZ</span>"#;
    Ok(Safe(time.strftime(format).to_string()))
}

/// The UTC day of a time.
#[askama::filter_fn]
pub fn day(time: &Timestamp, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(time.strftime(r#"<span class="nb">%Y-%m-%d</span>"#).to_string()))
}
