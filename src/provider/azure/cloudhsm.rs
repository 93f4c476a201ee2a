//! Azure Cloud HSM operation logs: one JSON record of any of its three tables is one event.
//!
//! - `details.log` says which: `service` (commands seen by the service), `hardware` (signed by the
//!   HSM) or `management` (the older table of the HSM's own log).
//! - The service log cannot tell success from failure, whatever its result fields hold: its
//!   outcome is always unknown. The others say it in `ResultType` or `Response`.
//! - No log names keys; the service log names no user either.
//! - Records come in two spellings, as exported by a diagnostic setting (`time`, `resourceId`,
//!   `properties{…}`) and as columns of Log Analytics (`TimeGenerated`, `_ResourceId`, flat). Names
//!   are compared without case and underscores. No id is given: the id is the content's digest.
//!
//! The columns are those of the Azure Monitor pages `CloudHsmServiceOperationAuditLogs`,
//! `CloudHsmHardwareOperationAuditLogs` and `CHSMManagementAuditLogs`.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::event::{Action, ActorKind, Event, Format, Provider};

use super::super::cn::{self, NamedUser, Operation};
use super::super::json;
use super::super::{Context, Mapped, Reason, Reject};

/// The resource type, as it stands in lower-case resource ids.
const RESOURCE_TYPE: &str = "/providers/microsoft.hardwaresecuritymodules/cloudhsmclusters/";

/// The tables by the beginning of their names, in lower case.
const TABLES: &[(&str, Log)] = &[
    ("cloudhsmservice", Log::Service),
    ("chsmservice", Log::Service),
    ("cloudhsmhardware", Log::Hardware),
    ("chsmhardware", Log::Hardware),
    ("chsmmanagement", Log::Management),
];

/// Facts that go to the details as they stand: detail, then the names of the field.
const TEXTS: &[(&str, &[&str])] = &[
    ("hsm_instance", &["hsminstance"]),
    ("member_id", &["memberid"]),
    ("partition_id", &["partitionid"]),
    ("hsm_serial_number", &["hsmserialnumber"]),
    ("firmware_version", &["firmwareversion"]),
    ("cluster_type", &["clustertype", "pooltype"]),
    ("command_type", &["commandtype"]),
    ("log_type", &["auditlogtype", "logtype"]),
    ("session_type", &["sessiontype"]),
    ("client_sdk_version", &["clientsdkpackageversion"]),
    ("user_id", &["userid"]),
    ("result_type", &["resulttype"]),
    ("result_description", &["resultdescription"]),
    ("response", &["response"]),
];

/// Counters: detail, then the names of the field.
const NUMBERS: &[(&str, &[&str])] = &[
    ("sequence", &["sequenceno", "sequencenumber"]),
    ("reboot_counter", &["rebootcounter"]),
    ("duration_ms", &["durationms"]),
];

/// Structured additions larger than this, in bytes of JSON, stay in the record alone.
const ADDITIONAL_BYTES: usize = 2048;

/// Which of the three logs a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Service,
    Hardware,
    Management,
}

impl Log {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Hardware => "hardware",
            Self::Management => "management",
        }
    }

    /// Tells by the table's or category's name, else by fields that one log alone has.
    fn of(record: &Record<'_>) -> Self {
        let named = ["type", "category"].into_iter().filter_map(|name| record.text(&[name]));
        for name in named.map(str::to_ascii_lowercase) {
            if let Some((_, log)) = TABLES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
                return *log;
            }
            if name == "hsmserviceoperations" {
                return Self::Service;
            }
        }
        let has = |names: &[&str]| record.get(names).is_some();
        if has(&["binarysignature", "binarylogdata", "auditlogtype", "firmwareversion"]) {
            Self::Hardware
        } else if has(&["response"]) && has(&["rebootcounter", "sequenceno"]) {
            Self::Management
        } else {
            Self::Service
        }
    }
}

/// Translates one record.
///
/// # Errors
/// When it is no JSON object, belongs to a resource of another type, or lacks its time or
/// operation.
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let value = json::object(raw)?;
    let record = Record::of(&value);
    let resource = record.text(&["resourceid"]).map(str::to_ascii_lowercase);
    if resource.as_deref().is_some_and(|resource| !resource.contains(RESOURCE_TYPE)) {
        let detail = "the resource is no Cloud HSM cluster";
        return Err(Reject::new(Reason::UnknownFormat, detail));
    }
    let stated = record.text(&["operationname"]).ok_or_else(|| Reject::missing("operationName"))?;
    let (name, code) = operation_name(stated);
    let operation = cn::operation(name);
    let account = account_of(&record, resource.as_deref(), context);
    let ledger = format!("azure/{}", account.as_deref().unwrap_or("unknown"));

    let mut event = Event::new(ledger, time_of(&record)?, Provider::Azure, Format::AzureCloudHsm);
    "cloudhsm".clone_into(&mut event.service);
    event.account = account;
    event.region = record.string(&["location"]).or_else(|| context.region.clone());
    event.hsm_id = resource;
    event.action = operation.map_or(Action::Other, |operation| operation.action);
    event.read_only = operation.map(|operation| operation.read_only);
    name.clone_into(&mut event.native_action);
    event.detail("opcode", record.text(&["opcode"]).or(code));
    if let Some(fact) = operation.and_then(|operation| operation.fact) {
        event.detail(fact, true);
    }
    read_details(&mut event, &record);
    read_result(&mut event, &record, operation);
    read_client(&mut event, &record);
    read_user(&mut event, &record);
    Ok(Mapped::Event(Box::new(event)))
}

/// Tells from content whether `value` is a record of these logs. Activity Log events of a Cloud
/// HSM cluster are none: their operation is `Microsoft.HardwareSecurityModules/…`.
pub fn looks_like(value: &Value) -> bool {
    let record = Record::of(value);
    let Some(stated) = record.text(&["operationname"]) else { return false };
    if stated.to_ascii_lowercase().contains("microsoft.") || record.time_text().is_none() {
        return false;
    }
    if let Some(resource) = record.text(&["resourceid"]) {
        return resource.to_ascii_lowercase().contains(RESOURCE_TYPE);
    }
    let table = record.text(&["type"]).unwrap_or_default().to_ascii_lowercase();
    let (name, _) = operation_name(stated);
    name.starts_with("CN_") || TABLES.iter().any(|(prefix, _)| table.starts_with(prefix))
}

/// A record whose fields are found by folded name, in its `properties` too.
struct Record<'a> {
    /// The record itself, then its `properties`.
    levels: [Option<&'a serde_json::Map<String, Value>>; 2],
}

impl<'a> Record<'a> {
    fn of(value: &'a Value) -> Self {
        let top = value.as_object();
        let properties = top.and_then(|top| find(top, "properties")).and_then(Value::as_object);
        Self { levels: [top, properties] }
    }

    /// The first of `names` that stands anywhere with a value.
    fn get(&self, names: &[&str]) -> Option<&'a Value> {
        names
            .iter()
            .find_map(|name| self.levels.iter().flatten().find_map(|level| find(level, name)))
    }

    /// The first of `names` that stands anywhere with text in it.
    fn text(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| {
            let levels = self.levels.iter().flatten();
            let texts = levels.filter_map(|level| find(level, name)?.as_str());
            texts.map(str::trim).find(|text| !text.is_empty())
        })
    }

    fn string(&self, names: &[&str]) -> Option<String> {
        self.text(names).map(str::to_owned)
    }

    fn time_text(&self) -> Option<&'a str> {
        self.text(&["time", "timegenerated", "timestamp"])
    }
}

/// The member of `level` called `name` but for case and underscores, unless it is null.
fn find<'a>(level: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    let same = |member: &str| {
        let folded = member.bytes().filter(|byte| *byte != b'_');
        folded.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes())
    };
    level.iter().find(|(member, value)| !value.is_null() && same(member)).map(|(_, value)| value)
}

/// The operation in `CN_LOGIN`, and in the management table's `CN_LOGIN (0xd)/CN_MGMT_CMD (0x0)`.
fn operation_name(stated: &str) -> (&str, Option<&str>) {
    let (first, _command) = stated.split_once('/').unwrap_or((stated, ""));
    match cn::named_code(first) {
        ("", _) => (stated, None),
        named => named,
    }
}

fn account_of(record: &Record<'_>, resource: Option<&str>, context: &Context) -> Option<String> {
    let of_resource = resource.and_then(|resource| {
        let mut parts = resource.split('/').skip_while(|part| *part != "subscriptions");
        parts.nth(1).filter(|part| !part.is_empty())
    });
    of_resource
        .or_else(|| record.text(&["subscriptionid"]))
        .or(context.account.as_deref())
        .map(str::to_ascii_lowercase)
}

/// Times are UTC, also where Log Analytics leaves the offset away (column `TimeGenerated`).
fn time_of(record: &Record<'_>) -> Result<Timestamp, Reject> {
    let bad = |detail: String| Reject::new(Reason::BadTime, detail);
    let text = record.time_text().ok_or_else(|| bad("the time `time` is missing".to_owned()))?;
    let plain = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse()
        .ok()
        .or_else(plain)
        .ok_or_else(|| bad(format!("the time `time` cannot be read: {text:.40?}")))
}

fn read_details(event: &mut Event, record: &Record<'_>) {
    for (detail, names) in TEXTS {
        event.detail(detail, record.text(names));
    }
    for (detail, names) in NUMBERS {
        let number = match record.get(names) {
            Some(Value::String(text)) => {
                cn::number(text.trim()).map_or_else(|| Value::from(text.as_str()), Value::from)
            }
            Some(Value::Number(number)) => Value::Number(number.clone()),
            _ => Value::Null,
        };
        event.detail(detail, number);
    }
    let additional = record.get(&["additionalinfo", "additionalfields"]);
    if let Some(value) = additional.filter(|value| value.to_string().len() <= ADDITIONAL_BYTES) {
        event.detail("additional_info", value.clone());
    }
    if record.text(&["binarysignature"]).is_some() {
        event.detail("signed", true);
    }
}

fn read_result(event: &mut Event, record: &Record<'_>, operation: Option<&Operation>) {
    let log = Log::of(record);
    event.detail("log", log.as_str());
    if log == Log::Service {
        return;
    }
    let mut stated = record.text(&["resulttype"]).into_iter().chain(record.text(&["response"]));
    let Some((text, success)) = stated.find_map(|text| Some((text, verdict(text)?))) else {
        return;
    };
    event.outcome = cn::outcome(operation, success);
    if !success {
        let (code, words) = match cn::response(text) {
            Some((code, words)) => (code.to_string(), words),
            None => (text.to_owned(), ""),
        };
        event.error_code = Some(code);
        event.error_message = record
            .string(&["resultdescription"])
            .or_else(|| (!words.is_empty()).then(|| words.to_owned()));
    }
}

/// Tells whether a result is a success; `None` where its words are not known. Success must be the
/// whole word: "unsuccessful" holds it too.
fn verdict(text: &str) -> Option<bool> {
    if let Some((code, _)) = cn::response(text) {
        return Some(code == 0);
    }
    let folded = text.to_ascii_lowercase();
    let words = ["success", "succeeded", "successful", "ok", "hsm return: success"];
    if words.contains(&folded.as_str()) {
        return Some(true);
    }
    let failed = ["fail", "error", "denied", "unauthorized", "unsuccessful"];
    failed.iter().any(|word| folded.contains(word)).then_some(false)
}

fn read_client(event: &mut Event, record: &Record<'_>) {
    if let Some(address) = record.text(&["calleripaddress"]) {
        let with_port = || address.parse::<SocketAddr>().ok().map(|socket| socket.ip());
        match address.parse::<IpAddr>().ok().or_else(with_port) {
            Some(ip) => event.client.ip = Some(ip.to_string()),
            None => event.client.host = Some(address.to_owned()),
        }
    }
    event.client.user_agent = record.string(&["clientinfo"]);
    event.client.request_id = record.string(&["correlationid", "operationid"]);
    if let Some(handle) = record.text(&["sessionhandle"]) {
        event.detail("session_handle", handle);
        event.client.session_id = Some(handle.to_owned());
        if let Some(handle) = cn::hex(handle) {
            event.detail("session_group", cn::session_group(handle));
        }
    }
}

/// Only the management table names a user, under the same rules as AWS CloudHSM.
fn read_user(event: &mut Event, record: &Record<'_>) {
    let Some(user) = record.string(&["userid"]) else { return };
    let part = cn::named_user(event.action);
    if matches!(part, NamedUser::Target | NamedUser::ActorAndTarget) {
        event.target = Some(user.clone());
    }
    if matches!(part, NamedUser::Actor | NamedUser::ActorAndTarget) {
        event.actor.kind = ActorKind::HsmUser;
        event.actor.id = Some(user.clone());
        event.actor.name = Some(user);
        event.actor.account.clone_from(&event.hsm_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use proptest::prelude::*;
    use serde_json::json;

    const RESOURCE: &str = "/SUBSCRIPTIONS/0A1B2C3D-1111-2222-3333-444455556666/RESOURCEGROUPS/RG\
        /PROVIDERS/MICROSOFT.HARDWARESECURITYMODULES/CLOUDHSMCLUSTERS/CHSM-PAY";
    const CLUSTER: &str = "/subscriptions/0a1b2c3d-1111-2222-3333-444455556666/resourcegroups/rg\
        /providers/microsoft.hardwaresecuritymodules/cloudhsmclusters/chsm-pay";
    const LEDGER: &str = "azure/0a1b2c3d-1111-2222-3333-444455556666";

    fn exported() -> Value {
        json!({
            "time": "2026-04-07T16:23:45.1234567Z", "resourceId": RESOURCE,
            "operationName": "CN_GENERATE_KEY_PAIR", "category": "HsmServiceOperations",
            "resultType": "Success", "callerIpAddress": "10.0.2.4", "location": "uksouth",
            "correlationId": "5d6c", "properties": {
                "memberId": "m-1", "hsmInstance": "i-2", "opcode": "0x19",
                "clientInfo": "azcloudhsm_util/2.0", "session_handle": "0x5012004",
            },
        })
    }

    fn hardware() -> Value {
        json!({
            "TimeGenerated": "2026-04-07T16:23:45.5Z", "_ResourceId": CLUSTER,
            "Type": "CloudHsmHardwareOperationAuditLogs", "OperationName": "CN_TOMBSTONE_OBJECT",
            "ResultType": "Success", "SequenceNumber": "0x1f", "RebootCounter": "7",
            "SessionHandle": "0x5012004", "HsmInstance": "i-2", "PartitionId": "p-3",
            "BinarySignature": "QUJD", "BinaryLogData": "REVG", "CorrelationId": "batch-9",
            "TenantId": "the workspace", "AdditionalInfo": {"Attempt": 1},
        })
    }

    fn management() -> Value {
        json!({
            "TimeGenerated": "2026-04-07T16:23:45", "_ResourceId": CLUSTER,
            "OperationName": "CN_LOGIN (0xd)/CN_MGMT_CMD (0x0)", "UserID": "officer1",
            "Response": "0:HSM Return: SUCCESS", "SequenceNo": "31", "RebootCounter": "0x7",
            "MemberId": "m-1", "OperationId": "op-4",
        })
    }

    fn event_in(value: &Value, context: &Context) -> Event {
        match map(&value.to_string(), context).unwrap() {
            Mapped::Event(event) => *event,
            Mapped::Irrelevant => panic!("irrelevant"),
        }
    }

    fn event(value: &Value) -> Event {
        event_in(value, &Context::default())
    }

    fn with(mut value: Value, field: &str, new: Value) -> Value {
        value[field] = new;
        value
    }

    #[test]
    fn a_service_record_tells_what_was_asked_of_which_hsm() {
        let event = event(&exported());
        assert_eq!(event.ledger, LEDGER);
        assert_eq!(event.account.as_deref(), Some("0a1b2c3d-1111-2222-3333-444455556666"));
        assert_eq!((event.native_id, event.region.as_deref()), (None, Some("uksouth")));
        assert_eq!(event.time.to_string(), "2026-04-07T16:23:45.1234567Z");
        assert_eq!(event.hsm_id.as_deref(), Some(CLUSTER));
        assert_eq!((event.service.as_str(), event.action), ("cloudhsm", Action::KeyCreate));
        assert_eq!(event.client.ip.as_deref(), Some("10.0.2.4"));
        assert_eq!(event.client.user_agent.as_deref(), Some("azcloudhsm_util/2.0"));
        assert_eq!(event.client.request_id.as_deref(), Some("5d6c"));
        assert_eq!(event.actor, crate::event::Actor::default());
        let details = json!({
            "log": "service", "opcode": "0x19", "member_id": "m-1", "hsm_instance": "i-2",
            "result_type": "Success", "session_handle": "0x5012004", "session_group": "0x5012",
        });
        assert_eq!(Value::Object(event.details), details);
    }

    #[test]
    fn the_service_log_never_proves_success_or_failure() {
        for result in ["Success", "Failure", "0:HSM Return: SUCCESS"] {
            let event = event(&with(exported(), "resultType", json!(result)));
            assert_eq!((event.outcome, event.error_code), (Outcome::Unknown, None), "{result}");
        }
        let columns = json!({
            "TimeGenerated": "2026-04-07T16:23:45Z", "_ResourceId": CLUSTER, "ResultType": "Success",
            "Type": "CloudHsmServiceOperationAuditLogs", "OperationName": "CN_TOMBSTONE_OBJECT",
        });
        assert_eq!(event(&columns).outcome, Outcome::Unknown);
    }

    #[test]
    fn the_hardware_log_says_how_an_operation_ended() {
        let cases = [
            ("CN_TOMBSTONE_OBJECT", "Success", Outcome::Success),
            ("CN_TOMBSTONE_OBJECT", "0", Outcome::Success),
            ("CN_TOMBSTONE_OBJECT", "HSM Return: SUCCESS", Outcome::Success),
            ("CN_TOMBSTONE_OBJECT", "Failed", Outcome::Failure),
            ("CN_TOMBSTONE_OBJECT", "Unsuccessful", Outcome::Failure),
            ("CN_TOMBSTONE_OBJECT", "163:HSM Error: X", Outcome::Failure),
            ("CN_TOMBSTONE_OBJECT", "Pending", Outcome::Unknown),
            ("CN_LOGIN", "Failed", Outcome::Denied),
            ("CN_BACKUP_BEGIN", "Success", Outcome::Unknown),
        ];
        for (operation, result, expected) in cases {
            let record = with(hardware(), "OperationName", json!(operation));
            let event = event(&with(record, "ResultType", json!(result)));
            assert_eq!(event.outcome, expected, "{operation} {result}");
            let failed = matches!(expected, Outcome::Failure | Outcome::Denied);
            assert_eq!(event.error_code.is_some(), failed);
        }
    }

    #[test]
    fn the_hardware_log_is_told_by_its_table_or_its_own_columns() {
        let event1 = event(&hardware());
        let mut untyped = hardware();
        untyped.as_object_mut().unwrap().remove("Type");
        assert_eq!(event(&untyped), event1);
        assert_eq!(event1.details["log"], "hardware");
        assert_eq!(event1.details["sequence"], 31);
        assert_eq!(event1.details["reboot_counter"], 7);
        assert_eq!(event1.details["partition_id"], "p-3");
        assert_eq!(event1.details["signed"], true);
        assert_eq!(event1.details["additional_info"], json!({"Attempt": 1}));
        assert_eq!(event1.client.request_id.as_deref(), Some("batch-9"));
        // The column TenantId is the workspace's id, no identity of the caller.
        assert!(!event1.details.values().any(|value| value == "the workspace"));
    }

    #[test]
    fn the_management_log_names_its_user_and_its_command_type() {
        let event1 = event(&management());
        assert_eq!(event1.details["log"], "management");
        assert_eq!(event1.native_action, "CN_LOGIN");
        assert_eq!(event1.details["opcode"], "0xd");
        assert_eq!(event1.details["sequence"], 31);
        assert_eq!(event1.time.to_string(), "2026-04-07T16:23:45Z");
        assert_eq!((event1.action, event1.outcome), (Action::HsmLogin, Outcome::Success));
        assert_eq!(event1.actor.id.as_deref(), Some("officer1"));
        assert_eq!(event1.actor.account.as_deref(), Some(CLUSTER));
        let created = json!("CN_CREATE_USER (0x3)/CN_MGMT_CMD (0x0)");
        let event2 = event(&with(management(), "OperationName", created));
        assert_eq!((event2.actor.id, event2.target.as_deref()), (None, Some("officer1")));
        let refused = event(&with(management(), "Response", json!("163:HSM Error: REFUSED")));
        assert_eq!(refused.outcome, Outcome::Denied);
        assert_eq!(refused.error_code.as_deref(), Some("163"));
        assert_eq!(refused.error_message.as_deref(), Some("HSM Error: REFUSED"));
    }

    #[test]
    fn only_an_address_is_an_address() {
        let cases = [
            ("10.0.2.4", Some("10.0.2.4"), None),
            ("10.0.2.4:4711", Some("10.0.2.4"), None),
            ("2001:db8::1", Some("2001:db8::1"), None),
            ("[2001:db8::1]:4711", Some("2001:db8::1"), None),
            ("jump-host", None, Some("jump-host")),
        ];
        for (stated, ip, host) in cases {
            let event = event(&with(exported(), "callerIpAddress", json!(stated)));
            assert_eq!((event.client.ip.as_deref(), event.client.host.as_deref()), (ip, host));
        }
    }

    #[test]
    fn the_subscription_is_taken_from_the_resource_then_the_column_then_the_context() {
        let mut record = hardware();
        record.as_object_mut().unwrap().remove("_ResourceId");
        assert_eq!(event(&record).ledger, "azure/unknown");
        let context = Context { account: Some("FFFF".to_owned()), ..Context::default() };
        assert_eq!(event_in(&record, &context).ledger, "azure/ffff");
        let column = with(record, "_SubscriptionId", json!("ABCD"));
        assert_eq!(event_in(&column, &context).ledger, "azure/abcd");
        assert_eq!(event_in(&hardware(), &context).ledger, LEDGER);
    }

    #[test]
    fn an_unknown_operation_is_kept_with_its_name() {
        for name in ["CN_SOMETHING_NEW", "SOMETHING_ELSE", "(0x4)", "/x"] {
            let event = event(&with(exported(), "operationName", json!(name)));
            assert_eq!((event.action, event.read_only), (Action::Other, None));
            assert_eq!(event.native_action, name);
        }
    }

    #[test]
    fn what_cannot_be_a_record_is_rejected_with_the_reason() {
        let vault = "/subscriptions/a/providers/Microsoft.KeyVault/vaults/v";
        let cases = [
            ("time", Value::Null, Reason::BadTime),
            ("time", json!("4/7/2026"), Reason::BadTime),
            ("time", json!(5), Reason::BadTime),
            ("operationName", Value::Null, Reason::MissingField),
            ("operationName", json!({"value": "CN_LOGIN"}), Reason::MissingField),
            ("resourceId", json!(vault), Reason::UnknownFormat),
        ];
        for (field, bad, reason) in cases {
            let raw = with(exported(), field, bad.clone()).to_string();
            let reject = map(&raw, &Context::default()).unwrap_err();
            assert_eq!(reject.reason, reason, "{field} {bad}");
        }
        assert_eq!(map("nil", &Context::default()).unwrap_err().reason, Reason::BadJson);
    }

    #[test]
    fn the_format_shows_in_the_content_and_an_activity_event_is_none() {
        for value in [exported(), hardware(), management()] {
            assert!(looks_like(&value), "{value}");
            let mut bare = value.clone();
            bare.as_object_mut().unwrap().retain(|name, _| !name.ends_with("esourceId"));
            assert!(looks_like(&bare), "{bare}");
        }
        let arm = "MICROSOFT.HARDWARESECURITYMODULES/CLOUDHSMCLUSTERS/WRITE";
        let others = [
            with(exported(), "operationName", json!(arm)),
            with(exported(), "operationName", json!({"value": "CN_LOGIN"})),
            with(
                exported(),
                "resourceId",
                json!("/subscriptions/a/providers/Microsoft.KeyVault/x"),
            ),
            with(exported(), "time", Value::Null),
            json!([exported()]),
            json!(null),
        ];
        for value in others {
            assert!(!looks_like(&value), "{value}");
        }
    }

    #[test]
    fn large_additions_stay_in_the_record_alone() {
        let record = with(hardware(), "AdditionalInfo", json!("x".repeat(ADDITIONAL_BYTES)));
        assert_eq!(event(&record).details.get("additional_info"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic(
            which in 0usize..3,
            field in 0usize..20,
            text in ".{0,30}",
            number in any::<i64>(),
            kind in 0usize..6,
        ) {
            let mut value = [exported(), hardware(), management()][which].clone();
            let names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            value[&names[field % names.len()]] = match kind {
                0 => json!(text),
                1 => json!(number),
                2 => json!([text, number, null]),
                3 => json!({ text: { "a": number } }),
                4 => json!(number % 2 == 0),
                _ => Value::Null,
            };
            drop(map(&value.to_string(), &Context::default()));
            looks_like(&value);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(.|\n){0,80}") {
            drop(map(&text, &Context::default()));
        }
    }
}
