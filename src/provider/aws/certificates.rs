//! CloudHSM certificate-storage audit: one JSON line is one event.
//!
//! - The stream stands in the cluster's log group and is named for the cluster, not for an HSM: the
//!   ledger is `aws/cloudhsm/<cluster-id>`, else `aws/cloudhsm/unnamed`. Lines are not numbered, so
//!   that their id is the digest of the content and no sequence can be proven.
//! - Nobody is named: the actor is always absent.
//!
//! The fields are those of the page "Interpreting PKCS #11 certificate storage audit logs" of the
//! AWS CloudHSM user guide.

use jiff::Timestamp;
use serde_json::Value;

use crate::event::{Action, Event, Format, Outcome, Provider};

use super::super::json::{self, Json as _};
use super::super::{Context, Mapped, Reason, Reject};
use super::cloudhsm;

/// What the operations mean.
const OPERATIONS: &[(&str, Action)] = &[
    ("CreateObject", Action::CertificateChange),
    ("SetAttributeValues", Action::CertificateChange),
    ("DestroyObject", Action::CertificateDelete),
];

/// 2000-01-01 and 2100-01-01 in milliseconds: a time given in another unit falls outside.
const EARLIEST: i64 = 946_684_800_000;
const LATEST: i64 = 4_102_444_800_000;

/// How many names of attributes go to the details.
const ATTRIBUTES: usize = 32;

/// Translates one line.
///
/// # Errors
/// When it is no JSON object or lacks the operation or a usable time.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let value = json::object(raw)?;
    let operation = operation_of(&value)?;
    let cluster = cluster_of(context);
    let ledger = format!("aws/cloudhsm/{}", cluster.unwrap_or("unnamed"));

    let mut event =
        Event::new(ledger, time_of(&value)?, Provider::Aws, Format::CloudHsmCertificates);
    "cloudhsm".clone_into(&mut event.service);
    event.account.clone_from(&context.account);
    event.region.clone_from(&context.region);
    event.hsm_id = cluster.map(str::to_owned);
    let known = OPERATIONS.iter().find(|(name, _)| *name == operation);
    event.action = known.map_or(Action::Other, |(_, action)| *action);
    event.read_only = known.map(|_| false);
    operation.clone_into(&mut event.native_action);
    event.detail("cluster", cluster);
    if let Some(response) = value.text(&["response"]) {
        event.detail("response", response);
        event.outcome = if response == "OK" { Outcome::Success } else { Outcome::Failure };
        event.error_code = (response != "OK").then(|| response.to_owned());
    }
    if let Some(handle) = value.integer(&["object_handle"]) {
        // As text: readers of JSON that know only doubles would round it.
        event.detail("object_handle", handle.to_string());
        event.target = cluster.map(|cluster| format!("{cluster}/certificate/{handle}"));
    }
    let attributes = value.items(&["attributes"]).iter().filter_map(Value::as_str);
    let attributes: Vec<&str> = attributes.take(ATTRIBUTES).collect();
    if !attributes.is_empty() {
        event.detail("attributes", attributes);
    }
    Ok(Mapped::Event(Box::new(event)))
}

/// Tells from content whether `value` is a line of this log.
pub fn looks_like(value: &Value) -> bool {
    value.text(&["op_code"]).is_some()
        && value.text(&["response"]).is_some()
        && value.get("object_handle").is_some_and(|handle| handle.is_null() || handle.is_i64())
        && value.get("timestamp").is_some_and(Value::is_i64)
}

fn operation_of(value: &Value) -> Result<&str, Reject> {
    match value.at(&["op_code"]) {
        None => Err(Reject::missing("op_code")),
        Some(Value::String(name)) if !name.is_empty() => Ok(name),
        Some(_) => Err(Reject::new(Reason::BadType, "the field `op_code` must be text")),
    }
}

/// The cluster: the stream's name, else the one that the log group is named for.
fn cluster_of(context: &Context) -> Option<&str> {
    let stream = context.log_stream.as_deref();
    stream
        .filter(|stream| cloudhsm::is_id(stream, "cluster-"))
        .or_else(|| cloudhsm::cluster_of(context))
}

fn time_of(value: &Value) -> Result<Timestamp, Reject> {
    let bad = |detail: &str| Reject::new(Reason::BadTime, detail);
    let stated = value.at(&["timestamp"]).ok_or_else(|| bad("the time `timestamp` is missing"))?;
    stated
        .as_i64()
        .filter(|millis| (EARLIEST..LATEST).contains(millis))
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .ok_or_else(|| bad("the time `timestamp` is no milliseconds since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn named() -> Context {
        Context {
            account: Some("111122223333".to_owned()),
            region: Some("eu-central-1".to_owned()),
            log_group: Some("/aws/cloudhsm/cluster-likq5xmz2ab".to_owned()),
            log_stream: Some("cluster-likq5xmz2ab".to_owned()),
        }
    }

    fn line(op_code: &str, response: &str) -> Value {
        json!({
            "object_handle": 463_180_677_300_000_001_i64, "op_code": op_code,
            "response": response, "attributes": ["Label"], "timestamp": 1_709_972_130_250_i64,
        })
    }

    fn event_in(value: &Value, context: &Context) -> Event {
        match map(&value.to_string(), context).unwrap() {
            Mapped::Event(event) => *event,
            Mapped::Irrelevant => panic!("irrelevant"),
        }
    }

    #[test]
    fn a_line_tells_what_was_done_to_which_certificate_of_which_cluster() {
        let event = event_in(&line("CreateObject", "OK"), &named());
        assert_eq!(event.ledger, "aws/cloudhsm/cluster-likq5xmz2ab");
        assert_eq!(event.native_id, None);
        assert_eq!(event.time.to_string(), "2024-03-09T08:15:30.25Z");
        assert_eq!(event.hsm_id.as_deref(), Some("cluster-likq5xmz2ab"));
        let target = "cluster-likq5xmz2ab/certificate/463180677300000001";
        assert_eq!(event.target.as_deref(), Some(target));
        assert_eq!(event.details["attributes"], json!(["Label"]));
        assert_eq!(event.details["object_handle"], "463180677300000001");
        assert_eq!(event.actor.id, None);
        assert_eq!(event.service, "cloudhsm");
    }

    #[test]
    fn operations_and_responses_mean_what_the_vendor_says() {
        let cases = [
            ("CreateObject", "OK", Action::CertificateChange, Outcome::Success),
            ("SetAttributeValues", "OK", Action::CertificateChange, Outcome::Success),
            ("DestroyObject", "OK", Action::CertificateDelete, Outcome::Success),
            ("DestroyObject", "ObjectNotFound", Action::CertificateDelete, Outcome::Failure),
            ("CreateObject", "MaxObjectsReached", Action::CertificateChange, Outcome::Failure),
            ("Rekey", "OK", Action::Other, Outcome::Success),
            ("CreateObject", "", Action::CertificateChange, Outcome::Unknown),
        ];
        for (operation, response, action, outcome) in cases {
            let event = event_in(&line(operation, response), &named());
            assert_eq!((event.action, event.outcome), (action, outcome), "{operation} {response}");
            let error = (outcome == Outcome::Failure).then_some(response);
            assert_eq!(event.error_code.as_deref(), error);
            assert_eq!(event.native_action, operation);
        }
    }

    #[test]
    fn without_a_handle_or_a_cluster_nothing_is_named() {
        let mut value = line("CreateObject", "MaxObjectsReached");
        value["object_handle"] = Value::Null;
        value["attributes"] = Value::Null;
        let event = event_in(&value, &named());
        assert_eq!((event.target, event.details.get("attributes")), (None, None));
        let event = event_in(&line("CreateObject", "OK"), &Context::default());
        assert_eq!((event.target, event.hsm_id), (None, None));
        assert_eq!(event.ledger, "aws/cloudhsm/unnamed");
    }

    #[test]
    fn the_log_group_names_the_cluster_where_the_stream_does_not() {
        let context = Context { log_stream: None, ..named() };
        let event = event_in(&line("CreateObject", "OK"), &context);
        assert_eq!(event.ledger, "aws/cloudhsm/cluster-likq5xmz2ab");
    }

    #[test]
    fn what_lacks_time_or_operation_is_rejected_with_the_reason() {
        let cases = [
            ("timestamp", Value::Null, Reason::BadTime),
            ("timestamp", json!(1_709_972_130), Reason::BadTime),
            ("timestamp", json!("2024-03-09T08:15:30Z"), Reason::BadTime),
            ("timestamp", json!(1.5e300), Reason::BadTime),
            ("op_code", Value::Null, Reason::MissingField),
            ("op_code", json!(7), Reason::BadType),
            ("op_code", json!(""), Reason::BadType),
        ];
        for (field, bad, reason) in cases {
            let mut value = line("CreateObject", "OK");
            value[field] = bad.clone();
            let reject = map(&value.to_string(), &named()).unwrap_err();
            assert_eq!(reject.reason, reason, "{field} {bad}");
        }
        assert_eq!(map("{", &named()).unwrap_err().reason, Reason::BadJson);
        assert_eq!(map("[]", &named()).unwrap_err().reason, Reason::BadType);
    }

    #[test]
    fn the_format_shows_in_the_content() {
        assert!(looks_like(&line("CreateObject", "OK")));
        let mut value = line("CreateObject", "MaxObjectsReached");
        value["object_handle"] = Value::Null;
        assert!(looks_like(&value));
        let others = [
            json!({"op_code": "CreateObject", "timestamp": 1}),
            json!({"op_code": 1, "response": "OK", "object_handle": null, "timestamp": 1}),
            json!([]),
            json!("CreateObject"),
        ];
        for value in others {
            assert!(!looks_like(&value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic(
            field in 0usize..5,
            text in ".{0,20}",
            number in any::<i64>(),
            kind in 0usize..5,
        ) {
            let names = ["object_handle", "op_code", "response", "attributes", "timestamp"];
            let mut value = line("CreateObject", "OK");
            value[names[field]] = match kind {
                0 => json!(text),
                1 => json!(number),
                2 => json!([text, number, null]),
                3 => json!({ text: number }),
                _ => Value::Null,
            };
            drop(map(&value.to_string(), &named()));
            looks_like(&value);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(.|\n){0,80}") {
            drop(map(&text, &Context::default()));
        }
    }
}
