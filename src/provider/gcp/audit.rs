//! Google Cloud audit log entries: Cloud KMS with its external and single-tenant HSMs, KMS
//! inventory, and whatever starts, stops or changes logging.
//!
//! A record is one `LogEntry` whose `protoPayload` is an `AuditLog`; every other entry of a log is
//! irrelevant. Fields: "`LogEntry`" and "`AuditLog`" in the Cloud Logging reference.
//!
//! * An automatic rotation is not documented to leave an entry, and a new version is not in use
//!   before it is the primary one: `key.rotate` is written only where the entry shows a version
//!   made primary, `key.rotation.request` where a version was merely made.
//! * Entries of a long-running operation come in pairs; only the last one has an outcome.
//! * An entry that Logging has split into parts cannot be judged by a part, which is quarantined. Where
//!   all parts are there, the record is the list of them, and the id that of the first.

mod actor;
mod change;
mod logging;
mod methods;
mod outcome;
pub(super) mod policy;
pub(super) mod quorum;
mod split;
mod subject;

pub use methods::{SERVICES, Service, action_of};

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::super::json::{object, required_time};
use super::super::{Context, Json as _, Mapped, Reason, Reject};
use super::proto;
use crate::event::{Action, Client, Event, Format, Provider};

static NOTHING: Value = Value::Null;

/// The end of `@type` in the payload of an audit entry.
const AUDIT_LOG: &str = "google.cloud.audit.AuditLog";

/// One audit entry of a watched service, with the parts that everybody asks for.
struct Entry<'a> {
    envelope: &'a Value,
    payload: &'a Value,
    request: &'a Value,
    response: &'a Value,
    service: &'static Service,
    /// `methodName` as it stands.
    full_method: &'a str,
    /// The last part of it.
    method: &'a str,
}

/// Whose log an entry stands in.
struct Owner {
    ledger: String,
    account: String,
}

/// Whether `value` is a `LogEntry`, of whatever payload.
pub fn looks_like(value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some();
    has("protoPayload") || (has("logName") && (has("insertId") || has("timestamp")))
}

/// Translates one `LogEntry`.
///
/// # Errors
/// When it is not a `LogEntry`; when its payload does not tell which service and method it is
/// about; when a relevant one has no readable time or owner, or is part of a split entry.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let is_list = raw.trim_start().starts_with('[');
    let envelope = if is_list { split::whole(raw)? } else { object(raw)? };
    if !looks_like(&envelope) {
        return Err(Reject::new(Reason::UnknownFormat, "neither `protoPayload` nor `logName`"));
    }
    let Some(payload) = audit_payload(&envelope)? else { return Ok(Mapped::Irrelevant) };
    let Some(entry) = watched(&envelope, payload)? else { return Ok(Mapped::Irrelevant) };
    if !methods::is_relevant(&entry) {
        return Ok(Mapped::Irrelevant);
    }
    refuse_part(&envelope)?;
    event(&entry, context).map(|event| Mapped::Event(Box::new(event)))
}

/// The payload, if it is an audit entry's.
fn audit_payload(envelope: &Value) -> Result<Option<&Value>, Reject> {
    let Some(payload) = envelope.at(&["protoPayload"]) else { return Ok(None) };
    if !payload.is_object() {
        return Err(Reject::new(Reason::BadType, "the field `protoPayload` is not an object"));
    }
    let is_other = payload.text(&["@type"]).is_some_and(|name| !name.ends_with(AUDIT_LOG));
    Ok((!is_other).then_some(payload))
}

/// The entry, if its service is watched. The parts of a split entry share its fields out among
/// them, so a part may lack the names that another has.
fn watched<'a>(envelope: &'a Value, payload: &'a Value) -> Result<Option<Entry<'a>>, Reject> {
    let Some(source) = name(envelope, payload, "serviceName")? else { return Ok(None) };
    let Some(service) = methods::service(source) else { return Ok(None) };
    let Some(full_method) = name(envelope, payload, "methodName")? else { return Ok(None) };
    Ok(Some(Entry {
        envelope,
        payload,
        request: payload.at(&["request"]).unwrap_or(&NOTHING),
        response: payload.at(&["response"]).unwrap_or(&NOTHING),
        service,
        full_method,
        method: full_method.rsplit('.').next().unwrap_or(full_method),
    }))
}

fn name<'a>(envelope: &Value, payload: &'a Value, field: &str) -> Result<Option<&'a str>, Reject> {
    match payload.at(&[field]) {
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name)),
        None | Some(Value::String(_)) => {
            refuse_part(envelope)?;
            Err(Reject::missing(&format!("protoPayload.{field}")))
        }
        Some(_) => Err(Reject::new(
            Reason::BadType,
            format!("the field `protoPayload.{field}` is not a text"),
        )),
    }
}

/// Whether the entry is one of several parts. "Split audit log entries" in the Cloud Logging
/// documentation.
fn is_part(envelope: &Value) -> bool {
    let number = |name: &str| envelope.integer(&["split", name]);
    match number("totalSplits") {
        Some(total) => total > 1,
        None => number("index").is_some_and(|index| index > 0),
    }
}

/// Refuses one part of a split entry, by the name that the parts share.
fn refuse_part(envelope: &Value) -> Result<(), Reject> {
    if !is_part(envelope) {
        return Ok(());
    }
    let uid = envelope.text(&["split", "uid"]).unwrap_or("?");
    let uid: String = uid.chars().take(100).collect();
    let index = envelope.integer(&["split", "index"]).unwrap_or(0);
    let detail = format!("the part with index {index} of the split entry `{uid}`");
    Err(Reject::new(Reason::SplitPart, detail))
}

fn event(entry: &Entry<'_>, context: &Context) -> Result<Event, Reject> {
    let time = required_time(entry.envelope, &["timestamp"])?;
    let owner = owner(entry.envelope, context)?;
    let subject = subject::subject(entry);
    let mut event = Event::new(owner.ledger, time, Provider::Gcp, Format::GcpAudit);
    event.native_id = native_id(entry.envelope, time);
    event.received_at = entry.envelope.time(&["receiveTimestamp"]);
    entry.service.name.clone_into(&mut event.service);
    event.actor = actor::actor(entry, Some(&owner.account));
    event.account = Some(owner.account);
    event.region = subject.location.clone().or_else(|| context.region.clone());
    event.action = methods::classify(entry, subject.kind);
    entry.full_method.clone_into(&mut event.native_action);
    event.client = client(entry.payload);
    event.read_only = read_only(&event, entry.payload);
    add_details(&mut event, entry, subject);
    Ok(event)
}

fn add_details(event: &mut Event, entry: &Entry<'_>, subject: subject::Subject) {
    let log = entry.envelope.text(&["logName"]).and_then(log_id);
    event.detail("log", log);
    outcome::add(event, entry);
    actor::add_details(event, entry);
    quorum::add(event, entry, &subject);
    subject::add(event, entry, subject);
    change::add(event, entry);
    if entry.service.whole && entry.method == "SetIamPolicy" {
        policy::add_grants(event, entry);
    }
    policy::add_auditing(event, entry);
    logging::add(event, entry);
    for (name, paths) in TEXTS {
        event.detail(name, paths.iter().find_map(|path| proto::text(entry.payload, path)));
    }
}

/// Where a detail comes from: its name, and the paths in the payload, best first.
type Source = (&'static str, &'static [&'static [&'static str]]);

const TEXTS: &[Source] = &[
    ("key_usage", &[&["response", "purpose"], &["request", "cryptoKey", "purpose"]]),
    ("import_job", &[&["request", "importJob"], &["response", "importJob"]]),
    ("import_method", &[&["response", "importMethod"], &["request", "importJob", "importMethod"]]),
    ("import_protection", &[&["request", "importJob", "protectionLevel"]]),
    ("wrapping_key", &[&["request", "wrappingKey"]]),
    ("access_reason", &[&["requestMetadata", "requestAttributes", "reason"]]),
];

/// The owner of the log: `logName` is `<projects|folders|organizations|…>/<id>/logs/<log>`.
fn owner(envelope: &Value, context: &Context) -> Result<Owner, Reject> {
    if let Some(owner) = envelope.text(&["logName"]).and_then(owner_of_log) {
        return Ok(owner);
    }
    if let Some(account) = &context.account {
        return Ok(Owner { ledger: format!("gcp/{account}"), account: account.clone() });
    }
    match envelope.at(&["logName"]) {
        None => Err(Reject::missing("logName")),
        Some(_) => Err(Reject::new(Reason::BadType, "the field `logName` names no owner")),
    }
}

fn owner_of_log(log_name: &str) -> Option<Owner> {
    let mut words = log_name.split('/');
    let (kind, id, logs) = (words.next()?, words.next()?, words.next()?);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if logs != "logs" || id.is_empty() || id.len() > 128 || !id.bytes().all(is_plain) {
        return None;
    }
    let account = match kind {
        "projects" => id.to_owned(),
        "folders" | "organizations" | "billingAccounts" => format!("{kind}/{id}"),
        _ => return None,
    };
    Some(Owner { ledger: format!("gcp/{account}"), account })
}

/// `…/logs/cloudaudit.googleapis.com%2Fdata_access` → `data_access`.
fn log_id(log_name: &str) -> Option<&str> {
    let log = log_name.rsplit('/').next()?;
    log.rsplit("%2F").next().filter(|id| !id.is_empty())
}

/// Logging itself tells entries apart by project, time and `insertId`, never by `insertId` alone.
fn native_id(envelope: &Value, time: Timestamp) -> Option<String> {
    let log_name = envelope.text(&["logName"])?;
    let insert_id = envelope.text(&["insertId"])?;
    Some(format!("{log_name}|{time:.9}|{insert_id}"))
}

/// `callerIp` may hold a word instead of an address: `private`, `gce-internal-ip`.
fn client(payload: &Value) -> Client {
    let caller = payload.string(&["requestMetadata", "callerIp"]);
    let is_address = caller.as_deref().is_some_and(|caller| caller.parse::<IpAddr>().is_ok());
    let (ip, host) = if is_address { (caller, None) } else { (None, caller) };
    let user_agent = payload.string(&["requestMetadata", "callerSuppliedUserAgent"]);
    Client { ip, host, user_agent, request_id: None, session_id: None }
}

/// What an action is decides; where it is not classified, the permission that was checked.
fn read_only(event: &Event, payload: &Value) -> Option<bool> {
    if event.action != Action::Other {
        return Some(matches!(event.action.category(), "read" | "use"));
    }
    let checked = payload.items(&["authorizationInfo"]);
    let types: Vec<&str> =
        checked.iter().filter_map(|check| check.text(&["permissionType"])).collect();
    if types.is_empty() { None } else { Some(types.iter().all(|kind| kind.ends_with("_READ"))) }
}

#[cfg(test)]
mod tests;
