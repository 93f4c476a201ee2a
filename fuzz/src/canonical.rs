//! Canonical JSON.

use keytrail::event::{canonical_json, content_id};
use serde_json::{Number, Value};

/// Canonical JSON stands for the same value, is its own canonical form, and keeps the content id.
pub fn canonical(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let value = serde_json::from_str::<Value>(text);
    let Ok(canonical) = canonical_json(text) else {
        assert!(value.is_err(), "JSON was refused: {text}");
        return;
    };
    let value = value.expect("what is no JSON was taken");
    assert_eq!(canonical_json(&canonical).unwrap(), canonical, "not stable: {text}");
    let again: Value = serde_json::from_str(&canonical).unwrap();
    assert!(same(&value, &again), "another value: {text} became {canonical}");
    assert_eq!(content_id(text), content_id(&canonical), "another id: {text}");
}

/// Whether two values are equal, numbers by what they stand for.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}

/// A float may come back as the integer that it is equal to.
fn same_number(one: &Number, other: &Number) -> bool {
    one.is_f64() && one.as_f64() == other.as_f64()
}
