//! Tells by its content what an item is: a record of one of the formats, an inventory document, a
//! proof file, a wrapper that is not known, or nothing of ours.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::aws::cloudhsm;
use super::super::inventory::InventoryKind;
use super::super::{Context, Json as _, aws, azure, gcp};
use super::outline::Outline;
use super::piece::Wrapper;
use crate::event::Format;

/// One item of a file with what stands around it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its text: JSON, or a block of a text log.
    pub text: &'a str,
    /// What stands around it.
    pub wrapper: &'a Wrapper,
    /// What path and flags tell.
    pub context: &'a Context,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq)]
pub enum Class<'a> {
    /// A record of a known format.
    Record {
        /// Which.
        format: Format,
        /// The record as the provider wrote it, without the transport's envelope.
        raw: Cow<'a, str>,
        /// How it was transported: `file`, `lookup_events`, `cloudwatch_logs`, `text`.
        transport: &'static str,
        /// What envelope, path and flags tell about it.
        context: Cow<'a, Context>,
    },
    /// An inventory document.
    Inventory(InventoryKind, Value),
    /// A proof file of a provider, and what it is: `cloudtrail_digest` or `cloudtrail_public_keys`.
    Proof(&'static str),
    /// A record inside a wrapper that is not known; the format it seems to be of.
    Envelope(Format),
    /// Not JSON.
    Broken(String),
    /// Nothing of ours.
    Unknown,
}

/// What the members of an item tell at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// It is a CloudTrail record, and none that is kept.
    Irrelevant,
    /// It is a CloudTrail record that may be kept.
    CloudTrail,
    /// It takes a closer look.
    Unsure,
}

/// Tells the records of a trail from their two names, before anything is built from them: most are
/// about something else. Pure.
pub fn glance(text: &str, outline: &Outline) -> Glance {
    let (mut source, mut name) = (None, None);
    for (member, value) in outline.members(text).into_iter().flatten() {
        let known = match member {
            "eventSource" => source.replace(value.text()),
            "eventName" => name.replace(value.text()),
            // An envelope, perhaps.
            "CloudTrailEvent" | "message" => return Glance::Unsure,
            _ => None,
        };
        if known.is_some() {
            return Glance::Unsure;
        }
    }
    match (source.and_then(plain), name.and_then(plain)) {
        (Some(source), Some(name)) if aws::cloudtrail::is_candidate(source, name) => {
            Glance::CloudTrail
        }
        (Some(_), Some(_)) => Glance::Irrelevant,
        _ => Glance::Unsure,
    }
}

/// The word in a JSON string without escapes.
fn plain(value: &str) -> Option<&str> {
    let word = value.strip_prefix('"')?.strip_suffix('"')?;
    (!word.is_empty() && !word.contains('\\')).then_some(word)
}

/// The members that tell the formats apart. Everything else is skipped without being built.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Probe<'a> {
    #[serde(borrow, rename = "eventSource")]
    event_source: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventName")]
    event_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "CloudTrailEvent")]
    cloud_trail_event: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "logStreamName")]
    log_stream: Option<&'a RawValue>,
    #[serde(borrow)]
    op_code: Option<&'a RawValue>,
    #[serde(borrow)]
    object_handle: Option<&'a RawValue>,
    #[serde(borrow, rename = "protoPayload")]
    proto_payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "logName")]
    log_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "insertId")]
    insert_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventDataId")]
    event_data_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventTimestamp")]
    event_timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "operationName", alias = "OperationName")]
    operation: Option<&'a RawValue>,
    #[serde(borrow, rename = "resourceId", alias = "_ResourceId")]
    resource: Option<&'a RawValue>,
    #[serde(borrow, alias = "Category", alias = "Type")]
    category: Option<&'a RawValue>,
    #[serde(borrow, rename = "digestStartTime")]
    digest_start: Option<&'a RawValue>,
    #[serde(borrow, rename = "digestEndTime")]
    digest_end: Option<&'a RawValue>,
}

/// Tells what an item is. Pure.
pub fn classify<'a>(item: Item<'a>) -> Class<'a> {
    if !item.text.starts_with(['{', '[']) {
        return if cloudhsm::looks_like(item.text) {
            block(item.text, "text", Cow::Borrowed(item.context))
        } else {
            Class::Unknown
        };
    }
    // A repeated member makes the probe fail although the JSON can be read; it tells nothing then.
    let probe = match serde_json::from_str::<Probe<'a>>(item.text) {
        // An array would fill the members in their order.
        Ok(_) if item.text.starts_with('[') => Probe::default(),
        Ok(probe) => probe,
        Err(error) if error.is_data() => Probe::default(),
        Err(error) => return Class::Broken(error.to_string()),
    };
    if let Some(envelope) = text(probe.cloud_trail_event) {
        let context = Cow::Borrowed(item.context);
        let (format, transport) = (Format::CloudTrail, "lookup_events");
        return Class::Record { format, raw: Cow::Owned(envelope), transport, context };
    }
    if let Some(message) = text(probe.message).filter(|_| is_log_event(&probe, item.wrapper)) {
        return log_event(message, text(probe.log_stream), item);
    }
    match format_of(&probe) {
        Some(format) => record(format, item.text, "file", item.context),
        None => document(item, &probe),
    }
}

/// A block of an audit log as the HSM wrote it, without what its transport put around it.
fn block<'a>(text: &str, transport: &'static str, context: Cow<'a, Context>) -> Class<'a> {
    let raw = Cow::Owned(cloudhsm::canonical_block(text));
    Class::Record { format: Format::CloudHsmAudit, raw, transport, context }
}

fn record<'a>(
    format: Format,
    raw: &'a str,
    transport: &'static str,
    context: &'a Context,
) -> Class<'a> {
    Class::Record { format, raw: Cow::Borrowed(raw), transport, context: Cow::Borrowed(context) }
}

/// The text of a JSON string.
fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn format_of(probe: &Probe<'_>) -> Option<Format> {
    let all = |members: &[Option<&RawValue>]| members.iter().all(Option::is_some);
    if all(&[probe.event_source, probe.event_name]) {
        return Some(Format::CloudTrail);
    }
    if probe.proto_payload.is_some() || all(&[probe.log_name, probe.insert_id]) {
        return Some(Format::GcpAudit);
    }
    if all(&[probe.op_code, probe.object_handle]) {
        return Some(Format::CloudHsmCertificates);
    }
    let operation = probe.operation?;
    if probe.event_data_id.is_some() || probe.event_timestamp.is_some() {
        return Some(Format::AzureActivity);
    }
    let resource = text(probe.resource)?.to_ascii_lowercase();
    let category = text(probe.category).unwrap_or_default();
    let operation = text(Some(operation)).unwrap_or_default();
    if operation.starts_with("CN_")
        || resource.contains("/microsoft.hardwaresecuritymodules/") && !operation.contains('/')
    {
        return Some(Format::AzureCloudHsm);
    }
    let audit = ["AuditEvent", "AZKVAuditLogs"].contains(&category.as_str());
    if audit && resource.contains("/microsoft.keyvault/") {
        return Some(Format::AzureKeyVault);
    }
    // Other resource logs have the same members; Activity Log operations are ARM paths.
    operation.contains('/').then_some(Format::AzureActivityExport)
}

/// Whether an object with a `message` is an event of CloudWatch Logs: it names its stream, or
/// stands in one of the lists that the Logs API and its subscriptions write.
fn is_log_event(probe: &Probe<'_>, wrapper: &Wrapper) -> bool {
    probe.log_stream.is_some() || ["events", "logEvents"].contains(&wrapper.list.as_str())
}

/// The message of a CloudWatch log event, with group and stream from event, wrapper or path.
fn log_event(message: String, stream: Option<String>, item: Item<'_>) -> Class<'_> {
    let mut context = item.context.clone();
    let member = |name: &str| item.wrapper.members.get(name).cloned();
    context.log_stream = stream
        .or_else(|| member("logStream"))
        .or_else(|| member("logStreamName"))
        .or(context.log_stream);
    context.log_group = member("logGroup").or_else(|| member("logGroupName")).or(context.log_group);
    if cloudhsm::looks_like(&message) {
        return block(&message, "cloudwatch_logs", Cow::Owned(context));
    }
    let format = serde_json::from_str::<Probe<'_>>(&message).ok().and_then(|p| format_of(&p));
    match format {
        Some(format) => Class::Record {
            format,
            raw: Cow::Owned(message),
            transport: "cloudwatch_logs",
            context: Cow::Owned(context),
        },
        None => Class::Unknown,
    }
}

/// What a JSON value is that is no record.
fn document<'a>(item: Item<'a>, probe: &Probe<'_>) -> Class<'a> {
    if probe.digest_start.is_some() && probe.digest_end.is_some() {
        return Class::Proof("cloudtrail_digest");
    }
    let Ok(value) = serde_json::from_str::<Value>(item.text) else {
        return Class::Broken("nested too deep, or not JSON".to_owned());
    };
    if is_public_keys(&value) {
        return Class::Proof("cloudtrail_public_keys");
    }
    if let Some(format) = format_by_value(&value) {
        return record(format, item.text, "file", item.context);
    }
    let kind = aws::inventory::detect(&value)
        .or_else(|| gcp::inventory::detect(&value))
        .or_else(|| azure::inventory::detect(&value));
    match kind {
        Some(kind) => Class::Inventory(kind, value),
        None => inner_format(&value, 4).map_or(Class::Unknown, Class::Envelope),
    }
}

/// Whether it is what `aws cloudtrail list-public-keys` prints; AWS's own example spells it with a
/// small letter.
fn is_public_keys(value: &Value) -> bool {
    let is_key =
        |key: &Value| ["Fingerprint", "Value"].iter().all(|member| key.text(&[member]).is_some());
    ["PublicKeyList", "publicKeyList"].iter().any(|name| {
        let keys = value.items(&[name]);
        !keys.is_empty() && keys.iter().all(is_key)
    })
}

/// Tells whether a value is a record of a format.
type Teller = (fn(&Value) -> bool, Format);

/// The format of a record that the probe cannot tell: a member that is null, or one that stands
/// twice, as in rows of a Log Analytics table.
fn format_by_value(value: &Value) -> Option<Format> {
    const TELLERS: &[Teller] = &[
        (aws::certificates::looks_like, Format::CloudHsmCertificates),
        (azure::cloudhsm::looks_like, Format::AzureCloudHsm),
        (azure::keyvault::looks_like, Format::AzureKeyVault),
        (azure::activity::looks_like_rest, Format::AzureActivity),
        (azure::activity::looks_like_export, Format::AzureActivityExport),
    ];
    TELLERS.iter().find(|(tells, _)| tells(value)).map(|(_, format)| *format)
}

/// The format of a record that stands somewhere inside `value`, at most `depth` levels down.
fn inner_format(value: &Value, depth: usize) -> Option<Format> {
    let children: Vec<&Value> = match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().take(100).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    children.iter().find_map(|child| seems(child)).or_else(|| {
        let deeper = depth.checked_sub(1)?;
        children.iter().find_map(|child| inner_format(child, deeper))
    })
}

/// What format an object inside another seems to be of; looser than [`format_of`], since test
/// harnesses leave members out.
fn seems(value: &Value) -> Option<Format> {
    let members = value.as_object()?;
    let has = |name: &str| members.contains_key(name);
    if has("CloudTrailEvent") || has("eventSource") && has("eventName") {
        Some(Format::CloudTrail)
    } else if has("protoPayload") || has("logName") && has("insertId") {
        Some(Format::GcpAudit)
    } else if has("operationName") && (has("eventDataId") || has("eventTimestamp")) {
        Some(Format::AzureActivity)
    } else if has("operationName") && has("resourceId") {
        let category = members.get("category").and_then(Value::as_str);
        Some(if category == Some("AuditEvent") {
            Format::AzureKeyVault
        } else {
            Format::AzureActivityExport
        })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(text: &str, list: &str) -> String {
        let wrapper = Wrapper { list: list.to_owned(), ..Wrapper::default() };
        let context = Context::default();
        match classify(Item { text, wrapper: &wrapper, context: &context }) {
            Class::Record { format, transport, .. } => format!("{format} by {transport}"),
            Class::Inventory(kind, _) => format!("{kind:?}"),
            Class::Proof(kind) => kind.to_owned(),
            Class::Envelope(format) => format!("envelope of {format}"),
            Class::Broken(_) => "broken".to_owned(),
            Class::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn each_format_is_told_by_its_members() {
        let cases = [
            (r#"{"eventSource":"kms.amazonaws.com","eventName":"Decrypt"}"#, "cloudtrail by file"),
            (r#"{"EventId":"1","CloudTrailEvent":"{}"}"#, "cloudtrail by lookup_events"),
            (r#"{"logName":"projects/p/logs/x","insertId":"1"}"#, "gcp_audit by file"),
            (r#"{"object_handle":1,"op_code":"CreateObject"}"#, "cloudhsm_certificates by file"),
            (
                r#"{"object_handle":null,"op_code":"CreateObject","response":"MaxObjectsReached","attributes":null,"timestamp":1}"#,
                "cloudhsm_certificates by file",
            ),
            (r#"{"operationName":{"value":"x"},"eventDataId":"1"}"#, "azure_activity by file"),
            (
                r#"{"operationName":"KeyGet","resourceId":"/SUBSCRIPTIONS/S/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V","category":"AuditEvent"}"#,
                "azure_keyvault by file",
            ),
            (
                r#"{"operationName":"CN_LOGIN","resourceId":"/x","category":"HsmServiceOperations"}"#,
                "azure_cloudhsm by file",
            ),
            (
                r#"{"operationName":"MICROSOFT.KEYVAULT/VAULTS/DELETE","resourceId":"/x","category":"Delete"}"#,
                "azure_activity_export by file",
            ),
            (r#"{"digestStartTime":"a","digestEndTime":"b"}"#, "cloudtrail_digest"),
            (
                r#"{"PublicKeyList":[{"Value":"MIIB","Fingerprint":"8eba","ValidityStartTime":1}]}"#,
                "cloudtrail_public_keys",
            ),
            (
                r#"{"publicKeyList":[{"Value":"MIIB","Fingerprint":"8eba"}]}"#,
                "cloudtrail_public_keys",
            ),
            (r#"{"PublicKeyList":[]}"#, "unknown"),
            (r#"{"test":"x","event":{"protoPayload":{}}}"#, "envelope of gcp_audit"),
            (
                r#"{"status":200,"data":{"Events":[{"CloudTrailEvent":"{}"}]}}"#,
                "envelope of cloudtrail",
            ),
            (r#"{"a":{"b":[1,2]}}"#, "unknown"),
            ("[1,2]", "unknown"),
            ("{\"a\":", "broken"),
        ];
        for (text, expected) in cases {
            assert_eq!(class_of(text, ""), expected, "{text}");
        }
    }

    #[test]
    fn a_message_of_a_log_stream_is_looked_into() {
        let text =
            r#"{"message":"{\"op_code\":\"CreateObject\",\"object_handle\":1}","timestamp":1}"#;
        assert_eq!(class_of(text, "events"), "cloudhsm_certificates by cloudwatch_logs");
        assert_eq!(class_of(text, ""), "unknown");
        assert_eq!(class_of(r#"{"message":"hello"}"#, "logEvents"), "unknown");
    }
}
