//! Protobuf messages written as JSON: fields in either spelling, field masks, durations.
//!
//! Google's printers write lower camel case; a message that passed through another tool may hold
//! the names of the `.proto` file (snake case). Both are read, camel case first. Forms: "`ProtoJSON`
//! Format" of the Protocol Buffers documentation.

use jiff::Timestamp;
use serde_json::Value;

use super::super::Json as _;

const SECONDS_PER_DAY: i64 = 86_400;

/// The value at `path` (names in camel case), unless it is absent or null.
pub(super) fn field<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| {
        value.at(&[name]).or_else(|| value.at(&[snake(name).as_str()]))
    })
}

/// The non-empty text at `path`.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    field(value, path)?.text(&[])
}

/// The items of the array at `path`; none if it is not an array.
pub(super) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    field(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The time at `path`.
pub(super) fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    text(value, path)?.parse().ok()
}

/// The whole seconds of the duration at `path`: `"7776000s"`, or an object with `seconds`.
pub(super) fn seconds(value: &Value, path: &[&str]) -> Option<i64> {
    let value = field(value, path)?;
    let Some(text) = value.as_str() else { return value.integer(&["seconds"]) };
    let number = text.trim().strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { whole.parse().ok() } else { None }
}

/// The days of the positive duration at `path`, rounded up: a period must not look shorter than it is.
pub(super) fn days_rounded_up(value: &Value, path: &[&str]) -> Option<i64> {
    let seconds = seconds(value, path).filter(|seconds| *seconds > 0)?;
    seconds.checked_add(SECONDS_PER_DAY - 1).map(|seconds| seconds / SECONDS_PER_DAY)
}

/// The days of the duration at `path`, rounded down: a waiting time must not look longer than it is.
pub(super) fn days_rounded_down(value: &Value, path: &[&str]) -> Option<i64> {
    seconds(value, path).filter(|seconds| *seconds >= 0).map(|seconds| seconds / SECONDS_PER_DAY)
}

/// The paths of the field mask at `path` in snake case: written as one text with commas, as
/// `{"paths": […]}` or as an array. `None` when there is no mask.
pub(super) fn mask(value: &Value, path: &[&str]) -> Option<Vec<String>> {
    let value = field(value, path)?;
    let paths: Vec<&str> = match value {
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => items(other, &["paths"]).iter().filter_map(Value::as_str).collect(),
    };
    let paths: Vec<String> =
        paths.into_iter().map(str::trim).filter(|path| !path.is_empty()).map(snake).collect();
    (!paths.is_empty()).then_some(paths)
}

/// `rotationPeriod` → `rotation_period`.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(4));
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
            out.push(character.to_ascii_lowercase());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_in_either_spelling() {
        for value in [json!({"a": {"publicKeyPem": "x"}}), json!({"a": {"public_key_pem": "x"}})] {
            assert_eq!(text(&value, &["a", "publicKeyPem"]), Some("x"));
        }
        assert_eq!(text(&json!({"a": null}), &["a", "b"]), None);
    }

    #[test]
    fn durations_are_read_and_odd_ones_are_absent() {
        let read = |value: Value| seconds(&json!({ "d": value }), &["d"]);
        assert_eq!(read(json!("7776000s")), Some(7_776_000));
        assert_eq!(read(json!("1.5s")), Some(1));
        assert_eq!(read(json!({"seconds": "60", "nanos": 1})), Some(60));
        for odd in [json!("90d"), json!("s"), json!("1.s"), json!(5), json!([]), json!("1e9s")] {
            assert_eq!(read(odd), None);
        }
    }

    #[test]
    fn periods_round_up_and_waiting_times_round_down() {
        let value = json!({"d": "129600s", "huge": "9223372036854775807s", "zero": "0s"});
        assert_eq!(days_rounded_up(&value, &["d"]), Some(2));
        assert_eq!(days_rounded_down(&value, &["d"]), Some(1));
        assert_eq!(days_rounded_up(&value, &["huge"]), None);
        assert_eq!(days_rounded_up(&value, &["zero"]), None);
    }

    #[test]
    fn a_mask_is_read_in_each_of_its_forms() {
        let expected = Some(vec!["rotation_period".to_owned(), "labels".to_owned()]);
        for value in [
            json!("rotationPeriod,labels"),
            json!("rotation_period, labels"),
            json!({"paths": ["rotation_period", "labels"]}),
            json!(["rotationPeriod", "labels"]),
        ] {
            assert_eq!(mask(&json!({ "updateMask": value }), &["updateMask"]), expected);
        }
        assert_eq!(mask(&json!({"updateMask": ""}), &["updateMask"]), None);
        assert_eq!(mask(&json!({"updateMask": 7}), &["updateMask"]), None);
    }
}
