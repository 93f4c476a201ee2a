//! Dates as AWS writes them: epoch seconds or ISO 8601 in API output, Java-formatted text inside
//! `CloudTrail` records.
//!
//! A date that cannot be read is `None`; a date without a zone is taken as UTC only where the
//! format is known to be UTC (`CloudTrail`), never in API output.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::Value;

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Reads a date of API output at any precision: a number of seconds since 1970 (version 1 of the
/// command-line tool, and the wire format), or ISO 8601 text with an offset (version 2). Other
/// shapes, such as a date taken apart into members, are `None`.
pub(crate) fn api_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(seconds) => Timestamp::from_second(seconds).ok(),
            None => seconds_with_fraction(number.as_f64()?),
        },
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A double holds about a quarter of a microsecond at today's dates: the rest is noise.
fn seconds_with_fraction(seconds: f64) -> Option<Timestamp> {
    let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since_epoch).ok()?.round(Unit::Microsecond).ok()
}

/// Reads a date as `CloudTrail` writes it inside request parameters and response elements of KMS:
/// `Nov 18, 2020, 1:29:18 AM`, with or without the second comma, also with a 24-hour clock before
/// `PM`, also with a narrow no-break space before it; UTC. (KMS Developer Guide, "Logging AWS KMS
/// API calls with `CloudTrail`".)
///
/// What contradicts itself (`18:58:30 AM`) or says more than a date is `None`.
pub(crate) fn java_date(text: &str) -> Option<Timestamp> {
    // A narrow no-break space (U+202F) is white space to Rust as well.
    let mut tokens =
        text.split(|c: char| c == ',' || c.is_whitespace()).filter(|token| !token.is_empty());
    let month = month_number(tokens.next()?)?;
    let day = digits(tokens.next()?)?;
    let year = tokens.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let (hour, minute, second) = clock(tokens.next()?)?;
    let hour = match tokens.next() {
        None => hour,
        Some(half) => hour_of_day(hour, half)?,
    };
    if tokens.next().is_some() {
        return None;
    }
    let date = Date::new(year, month, day).ok()?;
    let time = jiff::civil::Time::new(hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()
}

fn month_number(name: &str) -> Option<i8> {
    let name = name.to_lowercase();
    if name.len() < 3 {
        return None;
    }
    let short = if name == "sept" { "sep" } else { name.as_str() };
    let index = MONTHS.iter().position(|month| month.starts_with(short))?;
    i8::try_from(index + 1).ok()
}

fn digits(text: &str) -> Option<i8> {
    (text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn clock(text: &str) -> Option<(i8, i8, i8)> {
    let mut parts = text.split(':');
    let clock = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    parts.next().is_none().then_some(clock)
}

/// Documented examples write `18:58:30 PM`: an hour above 12 is already the hour of the day.
fn hour_of_day(hour: i8, half: &str) -> Option<i8> {
    let afternoon = match half.to_ascii_lowercase().as_str() {
        "am" => false,
        "pm" => true,
        _ => return None,
    };
    match (hour, afternoon) {
        (12, false) => Some(0),
        (0..=11, false) | (12..=23, true) => Some(hour),
        (1..=11, true) => Some(hour + 12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn dates_of_the_trail_are_read_in_every_spelling_met() {
        for (text, expected) in [
            ("Nov 18, 2020, 1:29:18 AM", Some("2020-11-18T01:29:18Z")),
            ("Apr 12, 2021 18:58:30 PM", Some("2021-04-12T18:58:30Z")),
            ("Oct 21, 2024, 2:25:29\u{202f}PM", Some("2024-10-21T14:25:29Z")),
            ("Oct 21, 2024, 2:25:29\u{a0}pm", Some("2024-10-21T14:25:29Z")),
            ("Jan 1, 2022, 12:00:00 AM", Some("2022-01-01T00:00:00Z")),
            ("Jan 1, 2022, 12:00:01 PM", Some("2022-01-01T12:00:01Z")),
            ("Jan 1, 2022, 0:10:00 AM", Some("2022-01-01T00:10:00Z")),
            ("September 9, 2023 07:08:09", Some("2023-09-09T07:08:09Z")),
            ("Sept 9, 2023 07:08:09", Some("2023-09-09T07:08:09Z")),
            ("Feb 29, 2024, 11:59:59 PM", Some("2024-02-29T23:59:59Z")),
            ("Feb 30, 2024, 11:59:59 PM", None),
            ("Jan 1, 2022, 18:58:30 AM", None),
            ("Jan 1, 2022, 0:10:00 PM", None),
            ("Jan 1, 2022, 24:00:00 PM", None),
            ("Jan 1, 2022, 1:10:00 XX", None),
            ("Jan 1, 2022, 1:10 PM", None),
            ("Jan 1, 2022, 1:10:00:00 PM", None),
            ("Jan 1, 22, 1:10:00 PM", None),
            ("Jan 1, 2022, 1:10:00 PM CET", None),
            ("Ma 1, 2022, 1:10:00 PM", None),
            ("Jan 1, 2022", None),
            ("2022-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(java_date(text), expected.map(|time| time.parse().unwrap()), "{text:?}");
        }
    }

    #[test]
    fn dates_of_api_output_are_numbers_or_iso_text_with_an_offset() {
        for (value, expected) in [
            (json!(1_704_164_645), Some("2024-01-02T03:04:05Z")),
            (json!(1_704_164_645.123), Some("2024-01-02T03:04:05.123Z")),
            (json!(-1.5), Some("1969-12-31T23:59:58.5Z")),
            (json!("2024-01-02T03:04:05.123000+01:00"), Some("2024-01-02T02:04:05.123Z")),
            (json!("2024-01-02T03:04:05Z"), Some("2024-01-02T03:04:05Z")),
            (json!("2024-01-02T03:04:05"), None),
            (json!("1704164645"), None),
            (json!({"__class__": "datetime", "year": 2021, "month": 5}), None),
            (json!(1e300), None),
            (json!(i64::MAX), None),
            (json!(true), None),
            (json!(null), None),
        ] {
            assert_eq!(api_time(&value), expected.map(|time| time.parse().unwrap()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
            java_date(&text);
            api_time(&Value::from(text));
        }

        #[test]
        fn no_number_makes_the_reader_panic(number in any::<f64>()) {
            api_time(&Value::from(number));
        }

        #[test]
        fn near_dates_do_not_panic(
            month in "[A-Za-z]{0,5}", day in 0u32..100, year in 0u32..20000,
            hour in 0u32..100, half in "(AM|PM)?",
        ) {
            java_date(&format!("{month} {day}, {year}, {hour}:00:00 {half}"));
        }
    }
}
