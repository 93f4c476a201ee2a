//! How a call ended: `protoPayload.status` (`google.rpc.Status`) and the place in an operation.
//!
//! A long-running operation leaves two entries. The first says only that it began, so its outcome
//! is unknown unless it was refused at once; the last one is the one to count.

use serde_json::Value;

use super::super::super::Json as _;
use super::Entry;
use crate::event::{Event, Outcome};

/// The codes of `google/rpc/code.proto`, by number.
const CODES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Puts outcome, error and operation into `event`.
pub(super) fn add(event: &mut Event, entry: &Entry<'_>) {
    let status = entry.payload.at(&["status"]);
    event.outcome = outcome(status);
    if let Some(code) = status.and_then(code).filter(|code| *code != 0) {
        event.error_code = Some(code_name(code));
    }
    if event.outcome != Outcome::Success {
        event.error_message =
            status.and_then(|status| status.string(&["message"]).or_else(|| status.string(&[])));
    }
    if let Some(operation) = entry.envelope.at(&["operation"]).filter(|value| value.is_object()) {
        event.detail("operation_id", operation.string(&["id"]));
        let ended = operation.flag(&["last"]) == Some(true);
        event.detail("operation_part", if ended { "last" } else { "first" });
        if !ended && event.outcome == Outcome::Success {
            event.outcome = Outcome::Unknown;
        }
    }
}

/// An absent status or code is success. A status of a type that the format does not know is no
/// proof of anything.
fn outcome(status: Option<&Value>) -> Outcome {
    let Some(status) = status else { return Outcome::Success };
    match code(status) {
        Some(0) => Outcome::Success,
        Some(7 | 16) => Outcome::Denied,
        Some(_) => Outcome::Failure,
        None if status.is_object() && status.at(&["code"]).is_none() => Outcome::Success,
        None => Outcome::Unknown,
    }
}

/// The code of a status: a number, or its name.
fn code(status: &Value) -> Option<i64> {
    let path: &[&str] = if status.is_object() { &["code"] } else { &[] };
    status.integer(path).or_else(|| {
        let name = status.text(path)?;
        let index = CODES.iter().position(|code| *code == name)?;
        i64::try_from(index).ok()
    })
}

fn code_name(code: i64) -> String {
    let name = usize::try_from(code).ok().and_then(|index| CODES.get(index));
    name.map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_code_other_than_zero_is_an_error() {
        for (status, expected) in [
            (json!(null), Outcome::Success),
            (json!({}), Outcome::Success),
            (json!({"code": 0}), Outcome::Success),
            (json!({"code": 7, "message": "no"}), Outcome::Denied),
            (json!({"code": "16"}), Outcome::Denied),
            (json!({"code": "PERMISSION_DENIED"}), Outcome::Denied),
            (json!({"code": 9}), Outcome::Failure),
            (json!({"code": 4711}), Outcome::Failure),
            (json!({"code": [7]}), Outcome::Unknown),
            (json!(7), Outcome::Denied),
            (json!("OK"), Outcome::Success),
            (json!("odd"), Outcome::Unknown),
            (json!([1]), Outcome::Unknown),
        ] {
            let value = json!({ "status": status });
            assert_eq!(outcome(value.at(&["status"])), expected, "{value}");
        }
    }

    #[test]
    fn codes_have_names_and_unknown_ones_their_number() {
        assert_eq!(code_name(9), "FAILED_PRECONDITION");
        assert_eq!(code_name(16), "UNAUTHENTICATED");
        assert_eq!(code_name(99), "99");
        assert_eq!(code_name(-1), "-1");
    }
}
