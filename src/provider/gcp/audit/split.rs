//! An audit entry that Logging has split, made whole again.
//!
//! Its record is a JSON array of its parts in their order, each byte for byte as it was sent. Everything
//! but `protoPayload` stands in all parts; of `protoPayload` only `request`, `response` and `metadata`
//! are shared out: objects by member, lists by place with empty texts before what stands
//! elsewhere, texts by character, anything else in one part alone ("Split audit log entries" in the
//! Cloud Logging documentation).

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::super::super::{Json as _, Reason, Reject};

/// What of `protoPayload` is shared out among the parts.
const SHARED: &[&str] = &["request", "response", "metadata"];

/// The members of an entry that differ from part to part.
const OWN: &[&str] = &["insertId", "split", "receiveTimestamp"];

/// Reads the entry that a list of parts makes; it is the first part with what the others add.
///
/// # Errors
/// When they are not all parts of one entry, or contradict each other.
pub(super) fn whole(raw: &str) -> Result<Value, Reject> {
    let parts: Vec<Map<String, Value>> = serde_json::from_str(raw)
        .map_err(|error| Reject::new(Reason::BadType, format!("no list of parts: {error}")))?;
    let total = parts.len();
    let mut parts = parts.into_iter().enumerate();
    let Some((_, mut first)) = parts.next().filter(|(index, part)| is_part(part, *index, total))
    else {
        return Err(Reject::new(Reason::BadType, "a list that is no split entry"));
    };
    for (index, part) in parts {
        if !is_part(&part, index, total) || uid(&part) != uid(&first) {
            return Err(contradiction("split"));
        }
        add(&mut first, part)?;
    }
    first.remove("split");
    Ok(Value::Object(first))
}

fn is_part(part: &Map<String, Value>, index: usize, total: usize) -> bool {
    let number = |name| part.get("split")?.integer(&[name]).and_then(|n| usize::try_from(n).ok());
    number("totalSplits") == Some(total) && number("index").unwrap_or(0) == index
}

fn uid(part: &Map<String, Value>) -> Option<&str> {
    part.get("split")?.text(&["uid"])
}

/// Adds a part to those before it.
fn add(whole: &mut Map<String, Value>, part: Map<String, Value>) -> Result<(), Reject> {
    for (name, value) in part {
        if OWN.contains(&name.as_str()) {
            continue;
        }
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(payload)), Value::Object(more)) if name == "protoPayload" => {
                add_payload(payload, more)?;
            }
            (Some(there), value) if *there != value => return Err(contradiction(&name)),
            (Some(_), _) => {}
            (None, value) => drop(whole.insert(name, value)),
        }
    }
    Ok(())
}

fn add_payload(payload: &mut Map<String, Value>, more: Map<String, Value>) -> Result<(), Reject> {
    for (name, value) in more {
        match payload.entry(name) {
            Entry::Vacant(free) => drop(free.insert(value)),
            Entry::Occupied(mut there) if SHARED.contains(&there.key().as_str()) => {
                let name = there.key().clone();
                join(there.get_mut(), value, &name)?;
            }
            Entry::Occupied(there) if *there.get() == value => {}
            Entry::Occupied(there) => return Err(contradiction(there.key())),
        }
    }
    Ok(())
}

/// Joins what two parts tell of one value.
fn join(whole: &mut Value, more: Value, name: &str) -> Result<(), Reject> {
    match (whole, more) {
        (Value::Object(whole), Value::Object(more)) => {
            for (name, value) in more {
                match whole.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(value)),
                    // The type of a message is no content of it.
                    Entry::Occupied(there) if there.key() == "@type" && *there.get() == value => {}
                    Entry::Occupied(mut there) => {
                        let name = there.key().clone();
                        join(there.get_mut(), value, &name)?;
                    }
                }
            }
        }
        (Value::Array(whole), Value::Array(more)) => {
            let mut more = more.into_iter();
            for (there, value) in whole.iter_mut().zip(more.by_ref()) {
                join(there, value, name)?;
            }
            whole.extend(more);
        }
        (Value::String(whole), Value::String(more)) => whole.push_str(&more),
        // A place that is kept free in a list of other things than texts.
        (whole @ Value::Null, more) => *whole = more,
        (whole, more) if is_empty(whole) && !more.is_string() => *whole = more,
        (whole, more) if is_empty(&more) || *whole == more => {}
        _ => return Err(contradiction(name)),
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn contradiction(name: &str) -> Reject {
    let name: String = name.chars().take(100).collect();
    let detail = format!("the parts of a split entry do not fit together: `{name}`");
    Reject::new(Reason::SplitPart, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(index: usize, total: usize, payload: &Value) -> Value {
        json!({"logName": "l", "timestamp": "t", "insertId": format!("i-{index}"),
            "split": {"uid": "u", "index": index, "totalSplits": total}, "protoPayload": payload})
    }

    fn joined(parts: &[Value]) -> Result<Value, Reject> {
        whole(&Value::from(parts).to_string())
    }

    #[test]
    fn what_was_shared_out_is_put_together_as_documented() {
        let first = json!({"methodName": "SetIamPolicy", "status": {}, "request": {
            "@type": "p", "names": ["foo", "ba"], "policy": {"etag": "ab", "version": 3}}});
        let second = json!({"methodName": "SetIamPolicy", "status": {}, "request": {
            "@type": "p", "names": ["", "r", "baz"], "policy": {"etag": "cd", "flag": true}}});
        let third = json!({"methodName": "SetIamPolicy", "response": {"name": "n"}});
        let parts = [part(0, 3, &first), part(1, 3, &second), part(2, 3, &third)];
        let expected = json!({"logName": "l", "timestamp": "t", "insertId": "i-0", "protoPayload": {
            "methodName": "SetIamPolicy", "status": {}, "response": {"name": "n"},
            "request": {"@type": "p", "names": ["foo", "bar", "baz"],
                "policy": {"etag": "abcd", "version": 3, "flag": true}}}});
        assert_eq!(joined(&parts), Ok(expected));
    }

    #[test]
    fn lists_of_objects_are_joined_by_place() {
        let request = |bindings: &Value| json!({"request": {"bindings": bindings}});
        let parts = [
            part(0, 2, &request(&json!([{"role": "a"}, {"role": "b", "members": ["x"]}]))),
            part(1, 2, &request(&json!(["", {"members": ["", "y"]}, {"role": "c"}]))),
        ];
        let found = joined(&parts).unwrap();
        assert_eq!(
            found["protoPayload"]["request"]["bindings"],
            json!([{"role": "a"}, {"role": "b", "members": ["x", "y"]}, {"role": "c"}])
        );
    }

    #[test]
    fn parts_that_lack_one_or_contradict_each_other_are_no_entry() {
        let good = [part(0, 2, &json!({"a": 1})), part(1, 2, &json!({"a": 1}))];
        assert!(joined(&good).is_ok());
        let mut other = good.clone();
        other[1]["split"]["uid"] = json!("v");
        let mut moved = good.clone();
        moved[1]["timestamp"] = json!("t2");
        let scalars = [1, 2].map(|n| json!({"request": {"n": n}}));
        let cases = [
            vec![],
            vec![good[0].clone()],
            vec![good[1].clone(), good[0].clone()],
            vec![json!({}), json!({})],
            other.to_vec(),
            moved.to_vec(),
            vec![part(0, 2, &json!({"a": 1})), part(1, 2, &json!({"a": 2}))],
            vec![part(0, 2, &scalars[0]), part(1, 2, &scalars[1])],
        ];
        for case in cases {
            assert!(joined(&case).is_err(), "{case:?}");
        }
        for odd in ["[", "[1]", "[[]]", "{}", "null"] {
            assert!(whole(odd).is_err(), "{odd}");
        }
    }
}
