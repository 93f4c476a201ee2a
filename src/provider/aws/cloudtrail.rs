//! CloudTrail records, versions 1.02 to 1.11: KMS, CloudHSM v2, Payment Cryptography, and whatever
//! starts, stops or changes the logging of keys.
//!
//! Most records of a trail are about something else; they are recognised by `eventSource` before
//! anything is built from them. Fields: "CloudTrail record contents" in the AWS CloudTrail user
//! guide; events of KMS: "Logging AWS KMS API calls" in the AWS KMS developer guide.

mod actions;
mod actor;
mod key;
mod specifics;

pub(in crate::provider) use actions::is_candidate;
pub use actions::{SERVICES, action_of};

use super::super::json::required_time;
use super::super::node::Node;
use super::super::{Context, Json as _, Mapped, Reason, Reject};
use crate::event::{Client, Event, Format, Outcome, Provider};

/// Translates one CloudTrail record.
///
/// # Errors
/// When it is not a JSON object, or lacks `eventSource`, `eventName` or a readable `eventTime`.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let record = Node::parse(raw).map_err(|error| {
        Reject::new(Reason::BadJson, format!("not a CloudTrail record: {error}"))
    })?;
    let source = word(&record, "eventSource")?;
    let name = word(&record, "eventName")?;
    if !actions::is_relevant(source, name, &record) {
        return Ok(Mapped::Irrelevant);
    }
    event(&record, source, name, context).map(|event| Mapped::Event(Box::new(event)))
}

/// One of the two names that decide whether a record is about keys at all; it must stand once.
fn word<'a>(record: &'a Node<'_>, name: &str) -> Result<&'a str, Reject> {
    if record.count(name) > 1 {
        return Err(Reject::new(Reason::BadJson, format!("the field `{name}` stands twice")));
    }
    let value = record.at(&[name]).ok_or_else(|| Reject::missing(name))?;
    let word = value.as_text().filter(|word| !word.is_empty());
    word.ok_or_else(|| Reject::new(Reason::BadType, format!("the field `{name}` is not a name")))
}

fn event(record: &Node<'_>, source: &str, name: &str, context: &Context) -> Result<Event, Reject> {
    let time = required_time(record, &["eventTime"])?;
    let owner = log_owner(record, context);
    let ledger = format!("aws/{}", owner.as_deref().unwrap_or("unknown"));
    let mut event = Event::new(ledger, time, Provider::Aws, Format::CloudTrail);
    event.native_id = record.string(&["eventID"]);
    event.account = owner;
    event.region = record.string(&["awsRegion"]).or_else(|| context.region.clone());
    actions::service_of(source).clone_into(&mut event.service);
    name.clone_into(&mut event.native_action);
    event.action = actions::classify(source, name, record);
    event.error_code = record.string(&["errorCode"]);
    event.error_message = record.string(&["errorMessage"]);
    event.outcome = outcome(event.error_code.as_deref());
    event.read_only = record.flag(&["readOnly"]);
    event.actor = actor::actor(record);
    event.client = client(record);
    event.key = key::key(record, event.account.as_deref(), event.region.as_deref());
    event.hsm_id = record
        .string(&["requestParameters", "clusterId"])
        .or_else(|| record.string(&["responseElements", "cluster", "clusterId"]))
        .or_else(|| record.string(&["responseElements", "hsm", "clusterId"]))
        .or_else(|| record.string(&["additionalEventData", "clusterId"]));
    specifics::add(&mut event, record);
    Ok(event)
}

/// Who owns the log: the account that the trail delivered to, not the one that called.
fn log_owner(record: &Node<'_>, context: &Context) -> Option<String> {
    record
        .string(&["recipientAccountId"])
        .or_else(|| context.account.clone())
        .or_else(|| record.string(&["userIdentity", "accountId"]))
}

/// A record without an error code succeeded. Codes that mean "not allowed" are spelt by each
/// service in its own way: `AccessDenied`, `AccessDeniedException`, `Client.UnauthorizedOperation`.
fn outcome(error_code: Option<&str>) -> Outcome {
    match error_code {
        None => Outcome::Success,
        Some(code) if code.contains("AccessDenied") || code.contains("Unauthorized") => {
            Outcome::Denied
        }
        Some(_) => Outcome::Failure,
    }
}

/// `sourceIPAddress` holds an address, a service's host name, or `AWS Internal`.
fn client(record: &Node<'_>) -> Client {
    let source = record.string(&["sourceIPAddress"]);
    let is_address = source.as_deref().is_some_and(|s| s.parse::<std::net::IpAddr>().is_ok());
    let (ip, host) = if is_address { (source, None) } else { (None, source) };
    Client {
        ip,
        host,
        user_agent: record.string(&["userAgent"]),
        request_id: record.string(&["requestID"]),
        session_id: record.string(&["userIdentity", "accessKeyId"]),
    }
}

#[cfg(test)]
mod tests;
