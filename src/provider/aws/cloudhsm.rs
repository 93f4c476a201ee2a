//! CloudHSM audit text: one block of `Name : value` lines is one event.
//!
//! - A block names neither its HSM nor its cluster: both come from the context (stream and group).
//!   Without an HSM the ledger is `aws/cloudhsm/unnamed`, the id the digest of the content, and no
//!   sequence can be proven.
//! - The time is the block's own `usecs`, never CloudWatch's.
//! - Key operations name no user. `details.session_group` ties them to a login of the same stream;
//!   what follows from it is attributed, not stated.
//! - `key_id` is `<cluster, else HSM>/key/<handle>`: the private or secret handle, else the public
//!   one. A handle without cluster and HSM identifies nothing and stays in the details alone.
//!
//! The fields are those of the page "Interpreting HSM audit logs" of the AWS CloudHSM user guide,
//! which writes them in three ways (`K : V`, `K: V`, `K<TAB>: V`).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::event::{Action, ActorKind, Event, Format, Origin, Outcome, Protection, Provider};

use super::super::cn::{self, NamedUser, Operation};
use super::super::{Context, Mapped, Reason, Reject};

/// The ledger of blocks of which nobody knows the HSM.
const UNNAMED: &str = "aws/cloudhsm/unnamed";

/// The names of fields, without spaces and marks and in lower case.
const KNOWN: &[&str] = &[
    "time",
    "usecs",
    "sequenceno",
    "rebootcounter",
    "commandtypehex",
    "opcode",
    "sessionhandle",
    "response",
    "logtype",
    "username",
    "usertype",
    "privsecretkeyhandle",
    "publickeyhandle",
];

/// How many fields of unknown name, and how much of each, go to the details; the record keeps all.
const EXTRA_FIELDS: usize = 16;
const EXTRA_CHARS: usize = 256;

/// 2000-01-01 and 2100-01-01 in microseconds: no CloudHSM is older, and a time given in another
/// unit falls outside.
const EARLIEST: i64 = 946_684_800_000_000;
const LATEST: i64 = 4_102_444_800_000_000;

/// Translates one block.
///
/// # Errors
/// When it has no usable `usecs` or no opcode, when a counter cannot be read, or when a field
/// stands twice (two blocks run together).
pub fn map(raw: &str, context: &Context) -> Result<Mapped, Reject> {
    let block = Block::parse(raw)?;
    let place = Place::of(context);
    let time = time_of(&block)?;
    let opcode = block.get("opcode").ok_or_else(|| Reject::missing("Opcode"))?;
    let (name, code) = cn::named_code(opcode);
    let operation = cn::operation(name);

    let mut event = Event::new(place.ledger(), time, Provider::Aws, Format::CloudHsmAudit);
    "cloudhsm".clone_into(&mut event.service);
    event.account.clone_from(&context.account);
    event.region.clone_from(&context.region);
    event.hsm_id = place.hsm.map(str::to_owned);
    event.action = operation.map_or(Action::Other, |operation| operation.action);
    event.read_only = operation.map(|operation| operation.read_only);
    name.clone_into(&mut event.native_action);
    event.detail("cluster", place.cluster);
    event.detail("opcode", code);
    if let Some(fact) = operation.and_then(|operation| operation.fact) {
        event.detail(fact, true);
    }
    identify(&mut event, &block, &place)?;
    read_response(&mut event, &block, operation);
    read_types(&mut event, &block);
    read_session(&mut event, &block);
    read_user(&mut event, &block, &place);
    read_keys(&mut event, &block, &place);
    if let Some(printed) = disagreeing_time(&block, time) {
        event.detail("printed_time", printed);
    }
    if !block.extra.is_empty() {
        event.detail("extra", block.extra);
    }
    Ok(Mapped::Event(Box::new(event)))
}

/// Tells whether `line` begins a block: `Time: MM/DD/YY …`, also after the ISO time that
/// CloudWatch export tasks put before the first line of each event.
pub fn is_block_start(line: &str) -> bool {
    let Some((name, value)) = without_prefix(line).split_once(':') else { return false };
    let date = value.trim_start().bytes().take(9);
    let pattern = b"dd/dd/dd ";
    name.trim().eq_ignore_ascii_case("time")
        && date.len() == pattern.len()
        && date.zip(pattern).all(|(byte, kind)| match kind {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

/// Tells from content whether `text`, a file or its beginning, is CloudHSM audit text: its first
/// line that is not empty begins a block, and the block's next fields are an audit entry's.
pub fn looks_like(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    if !lines.next().is_some_and(is_block_start) {
        return false;
    }
    let fields = lines.take(8).filter_map(|line| line.split_once(':'));
    let marks = ["sequenceno", "rebootcounter", "opcode"];
    fields.filter(|(name, _)| marks.contains(&folded(name).as_str())).count() >= 2
}

/// Gives a block as the HSM wrote it: without CloudWatch's time before it, without CR and without
/// spaces at the ends of lines. Two copies of one event that came by different ways are equal in
/// this form, so that it is the one to hash and to compare.
pub fn canonical_block(raw: &str) -> String {
    let lines: Vec<&str> = without_prefix(raw).lines().map(str::trim_end).collect();
    lines.join("\n").trim().to_owned()
}

/// Drops a byte-order mark, spaces and an ISO time before the text.
fn without_prefix(text: &str) -> &str {
    let text = text.trim_start_matches(|char: char| char == '\u{feff}' || char.is_whitespace());
    match text.split_once([' ', '\t']) {
        Some((first, rest)) if first.parse::<Timestamp>().is_ok() => rest.trim_start(),
        _ => text,
    }
}

/// A field's name without spaces and marks, in lower case.
fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

/// The fields of one block.
struct Block<'a> {
    /// By folded name, in the block's order.
    fields: Vec<(&'static str, &'a str)>,
    /// Fields of unknown name by the name as written; lines without a name under `text`.
    extra: Map<String, Value>,
}

impl<'a> Block<'a> {
    fn parse(raw: &'a str) -> Result<Self, Reject> {
        let mut block = Self { fields: Vec::new(), extra: Map::new() };
        for line in without_prefix(raw).lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or(("text", line));
            let (name, value) = (name.trim(), value.trim());
            let folded = folded(name);
            let Some(known) = KNOWN.iter().find(|known| **known == folded) else {
                block.keep_extra(name, value);
                continue;
            };
            if block.get_raw(known).is_some() {
                let detail = format!("the field `{name}` stands twice in one block");
                return Err(Reject::new(Reason::BadText, detail));
            }
            block.fields.push((known, value));
        }
        Ok(block)
    }

    fn keep_extra(&mut self, name: &str, value: &str) {
        let clip = |text: &str| text.chars().take(EXTRA_CHARS).collect::<String>();
        if self.extra.len() < EXTRA_FIELDS {
            self.extra.entry(clip(name)).or_insert_with(|| Value::String(clip(value)));
        }
    }

    fn get_raw(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value of a field, unless it is absent or empty.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.get_raw(name).filter(|value| !value.is_empty())
    }

    /// The counter in a field; absent is `None`, unreadable is an error, since a counter that is
    /// silently lost would pass for a gap in the log.
    fn counter(&self, name: &str, written: &str) -> Result<Option<u64>, Reject> {
        let Some(text) = self.get(name) else { return Ok(None) };
        cn::hex(text).map(Some).ok_or_else(|| {
            let detail = format!("the field `{written}` is no hex number: {text:.40?}");
            Reject::new(Reason::BadText, detail)
        })
    }
}

/// Where a block was logged, as far as the context tells.
struct Place<'a> {
    hsm: Option<&'a str>,
    cluster: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(context: &'a Context) -> Self {
        Self {
            hsm: context.log_stream.as_deref().filter(|stream| is_id(stream, "hsm-")),
            cluster: cluster_of(context),
        }
    }

    fn ledger(&self) -> String {
        self.hsm.map_or_else(|| UNNAMED.to_owned(), |hsm| format!("aws/cloudhsm/{hsm}"))
    }

    /// Within what the handles of keys and the names of users are unique.
    fn namespace(&self) -> Option<&'a str> {
        self.cluster.or(self.hsm)
    }
}

/// The cluster that the log group `/aws/cloudhsm/<cluster-id>` belongs to.
pub(super) fn cluster_of(context: &Context) -> Option<&str> {
    let last = context.log_group.as_deref()?.trim_end_matches('/').rsplit('/').next()?;
    is_id(last, "cluster-").then_some(last)
}

/// Tells whether `text` is an id that AWS could have given: `prefix` and letters or digits. Only
/// such text may become part of an identity.
pub(super) fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=64).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn time_of(block: &Block<'_>) -> Result<Timestamp, Reject> {
    let bad = |detail: String| Reject::new(Reason::BadTime, detail);
    let inline = block.get("time").and_then(|time| {
        time.split(',').filter_map(|part| part.split_once(':')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("usecs").then_some(value.trim())
        })
    });
    let text = inline
        .or_else(|| block.get("usecs"))
        .ok_or_else(|| bad("the time `usecs` is missing".to_owned()))?;
    cn::number(text)
        .and_then(|usecs| i64::try_from(usecs).ok())
        .filter(|usecs| (EARLIEST..LATEST).contains(usecs))
        .and_then(|usecs| Timestamp::from_microsecond(usecs).ok())
        .ok_or_else(|| bad(format!("the time `usecs` is no microseconds since 1970: {text:.40?}")))
}

/// The printed time where it can be read and is not the one of `usecs`, to a second.
fn disagreeing_time<'a>(block: &Block<'a>, time: Timestamp) -> Option<&'a str> {
    let printed = block.get("time")?.split(',').next()?.trim();
    let (date, clock) = printed.split_once(' ')?;
    let mut parts = date.split('/').map(|part| part.parse::<i8>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    let date = Date::new(i16::from(year).checked_add(2000)?, month, day).ok()?;
    let clock: Time = clock.trim().parse().ok()?;
    let stated = TimeZone::UTC.to_timestamp(DateTime::from_parts(date, clock)).ok()?;
    (stated.as_second() != time.as_second()).then_some(printed)
}

fn identify(event: &mut Event, block: &Block<'_>, place: &Place<'_>) -> Result<(), Reject> {
    let sequence = block.counter("sequenceno", "Sequence No")?;
    let reboot = block.counter("rebootcounter", "Reboot counter")?;
    event.detail("sequence", sequence);
    event.detail("reboot_counter", reboot);
    if let (Some(_), Some(sequence), Some(reboot)) = (place.hsm, sequence, reboot) {
        event.native_id = Some(format!("{reboot:#x}-{sequence:#x}"));
    }
    Ok(())
}

fn read_response(event: &mut Event, block: &Block<'_>, operation: Option<&Operation>) {
    let Some(text) = block.get("response") else { return };
    let Some((code, words)) = cn::response(text) else {
        event.detail("response", text);
        return;
    };
    event.detail("response_code", code);
    event.detail("response", words);
    event.outcome = cn::outcome(operation, code == 0);
    if matches!(event.outcome, Outcome::Denied | Outcome::Failure) {
        event.error_code = Some(code.to_string());
        event.error_message = (!words.is_empty()).then(|| words.to_owned());
    }
}

/// The types are open lists: name and number are kept as they stand.
fn read_types(event: &mut Event, block: &Block<'_>) {
    let types = [
        ("commandtypehex", "command_type", "command_type_code"),
        ("logtype", "log_type", "log_type_code"),
        ("usertype", "user_type", "user_type_code"),
    ];
    for (field, name, code) in types {
        if let Some(text) = block.get(field) {
            let (word, number) = cn::named_code(text);
            event.detail(name, word);
            event.detail(code, number);
        }
    }
}

fn read_session(event: &mut Event, block: &Block<'_>) {
    let Some(text) = block.get("sessionhandle") else { return };
    event.detail("session_handle", text);
    event.client.session_id = Some(text.to_owned());
    if let Some(handle) = cn::hex(text) {
        event.detail("session_group", cn::session_group(handle));
    }
}

fn read_user(event: &mut Event, block: &Block<'_>, place: &Place<'_>) {
    let Some(user) = block.get("username").map(str::to_owned) else { return };
    event.detail("user_name", user.clone());
    let part = cn::named_user(event.action);
    if matches!(part, NamedUser::Target | NamedUser::ActorAndTarget) {
        event.target = Some(user.clone());
    }
    if matches!(part, NamedUser::Actor | NamedUser::ActorAndTarget) {
        let (user_type, _) = cn::named_code(block.get("usertype").unwrap_or_default());
        // The appliance user is AWS itself, cloning and synchronising.
        let service = user_type == "CN_APPLIANCE_USER";
        event.actor.kind = if service { ActorKind::Service } else { ActorKind::HsmUser };
        event.actor.id = Some(user.clone());
        event.actor.name = Some(user);
        event.actor.account = place.namespace().map(str::to_owned);
    }
}

fn read_keys(event: &mut Event, block: &Block<'_>, place: &Place<'_>) {
    let mut handles = [None, None];
    let fields =
        [("privsecretkeyhandle", "private_key_handle"), ("publickeyhandle", "public_key_handle")];
    for ((field, detail), handle) in fields.into_iter().zip(&mut handles) {
        let Some(text) = block.get(field) else { continue };
        match cn::number(text) {
            // 0 says that there is none.
            Some(0) => {}
            Some(number) => {
                event.detail(detail, number);
                *handle = Some(number);
            }
            None => event.detail(detail, text),
        }
    }
    let [private, public] = handles;
    let (Some(handle), Some(namespace)) = (private.or(public), place.namespace()) else { return };
    event.key.id = Some(format!("{namespace}/key/{handle}"));
    event.key.protection = Some(Protection::HsmSingleTenant);
    event.key.origin = match event.action {
        Action::KeyCreate => Some(Origin::Generated),
        Action::KeyImport => Some(Origin::Imported),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    const LOGIN: &str = "Time: 03/09/24 08:15:30.000250, usecs:1709972130000250\n\
        Sequence No : 0x1f\nReboot counter : 0x2c\nCommand Type(hex) : CN_MGMT_CMD (0x0)\n\
        Opcode : CN_LOGIN (0xd)\nSession Handle : 0x5012003\n\
        Response : 0:HSM Return: SUCCESS\nLog type : MGMT_USER_DETAILS_LOG (2)\n\
        User Name : payments-signer\nUser Type : CN_CRYPTO_USER (1)\n";

    const PAIR: &str = "Time: 03/09/24 08:15:31.000000, usecs:1709972131000000\n\
        Sequence No: 0x20\nReboot counter: 0x2c\nCommand Type(hex): CN_MGMT_CMD (0x0)\n\
        Opcode: CN_GENERATE_KEY_PAIR (0x19)\nSession Handle: 0x5012004\n\
        Response: 0:HSM Return: SUCCESS\nLog type: MGMT_KEY_DETAILS_LOG (1)\n\
        Priv/Secret Key Handle: 655371\nPublic Key Handle: 655370\n";

    const SHARE: &str = "Time: 03/09/24 08:15:32.000000, usecs:1709972132000000\n\
        Sequence No\t: 0x21\nReboot counter\t: 0x2c\nCommand Type(hex)\t: CN_MGMT_CMD (0x0)\n\
        Opcode\t: CN_SHARE_OBJECT (0x12)\nSession Handle\t: 0x5012004\n\
        Response\t: 0:HSM Return: SUCCESS\nLog type\t: UNKNOWN_LOG_TYPE (5)\n";

    fn named() -> Context {
        Context {
            account: Some("111122223333".to_owned()),
            region: Some("eu-central-1".to_owned()),
            log_group: Some("/aws/cloudhsm/cluster-likq5xmz2ab".to_owned()),
            log_stream: Some("hsm-7kd3v2m4xyz".to_owned()),
        }
    }

    fn event_in(raw: &str, context: &Context) -> Event {
        match map(raw, context).unwrap() {
            Mapped::Event(event) => *event,
            Mapped::Irrelevant => panic!("irrelevant"),
        }
    }

    fn event(raw: &str) -> Event {
        event_in(raw, &named())
    }

    fn with_opcode(opcode: &str) -> String {
        LOGIN.replace("CN_LOGIN (0xd)", opcode)
    }

    #[test]
    fn a_login_tells_who_when_and_where() {
        let event = event(LOGIN);
        assert_eq!(event.ledger, "aws/cloudhsm/hsm-7kd3v2m4xyz");
        assert_eq!(event.native_id.as_deref(), Some("0x2c-0x1f"));
        assert_eq!(event.time.to_string(), "2024-03-09T08:15:30.00025Z");
        assert_eq!(event.service, "cloudhsm");
        assert_eq!((event.action, event.outcome), (Action::HsmLogin, Outcome::Success));
        assert_eq!(event.native_action, "CN_LOGIN");
        assert_eq!(event.account.as_deref(), Some("111122223333"));
        assert_eq!(event.region.as_deref(), Some("eu-central-1"));
        assert_eq!(event.hsm_id.as_deref(), Some("hsm-7kd3v2m4xyz"));
        assert_eq!(event.actor.id.as_deref(), Some("payments-signer"));
        assert_eq!(event.actor.kind, ActorKind::HsmUser);
        assert_eq!(event.actor.account.as_deref(), Some("cluster-likq5xmz2ab"));
        assert_eq!((event.target, event.error_code, event.received_at), (None, None, None));
        let details = serde_json::json!({
            "cluster": "cluster-likq5xmz2ab", "opcode": "0xd", "sequence": 31,
            "reboot_counter": 44, "response_code": 0, "response": "HSM Return: SUCCESS",
            "command_type": "CN_MGMT_CMD", "command_type_code": "0x0",
            "log_type": "MGMT_USER_DETAILS_LOG", "log_type_code": "2",
            "user_type": "CN_CRYPTO_USER", "user_type_code": "1",
            "user_name": "payments-signer", "session_handle": "0x5012003",
            "session_group": "0x5012",
        });
        assert_eq!(Value::Object(event.details), details);
    }

    #[test]
    fn the_three_spellings_of_a_separator_and_crlf_mean_the_same() {
        for raw in [LOGIN.to_owned(), LOGIN.replace(" : ", ": "), LOGIN.replace(" : ", "\t: ")] {
            assert_eq!(event(&raw), event(LOGIN));
            assert_eq!(event(&raw.replace('\n', "\r\n")), event(LOGIN));
        }
        assert_eq!(event(SHARE).action, Action::KeyPolicySet);
        assert_eq!(event(SHARE).details["log_type"], "UNKNOWN_LOG_TYPE");
        assert_eq!(event(SHARE).details["log_type_code"], "5");
        assert_eq!(event(SHARE).key.id, None);
    }

    #[test]
    fn an_export_tasks_time_before_the_block_changes_nothing() {
        for prefix in ["2024-03-09T08:20:00.000Z ", "\u{feff}", "2024-03-09T08:20:00+00:00 "] {
            assert_eq!(event(&format!("{prefix}{LOGIN}")), event(LOGIN), "{prefix}");
        }
        let exported = format!("2024-03-09T08:20:00.000Z {}", LOGIN.replace('\n', " \r\n"));
        assert_eq!(canonical_block(&exported), LOGIN.trim_end());
        assert_eq!(canonical_block(LOGIN), LOGIN.trim_end());
    }

    #[test]
    fn the_private_handle_names_the_key_and_the_public_one_does_where_it_stands_alone() {
        let cases = [
            ("655371", "655370", Some("cluster-likq5xmz2ab/key/655371")),
            ("0", "655370", Some("cluster-likq5xmz2ab/key/655370")),
            ("0", "0", None),
            ("", "", None),
            ("-4", "x", None),
        ];
        for (private, public, expected) in cases {
            let raw = PAIR.replace("655371", private).replace("655370", public);
            assert_eq!(event(&raw).key.id.as_deref(), expected, "{private} {public}");
        }
        let event = event(PAIR);
        assert_eq!(event.details["private_key_handle"], 655_371);
        assert_eq!(event.details["public_key_handle"], 655_370);
        assert_eq!(event.key.origin, Some(Origin::Generated));
        assert_eq!(event.key.protection, Some(Protection::HsmSingleTenant));
        assert_eq!(event.actor, crate::event::Actor::default());
    }

    #[test]
    fn without_a_cluster_the_hsm_names_keys_and_without_both_nothing_does() {
        let stream = Context { log_group: None, ..named() };
        assert_eq!(event_in(PAIR, &stream).key.id.as_deref(), Some("hsm-7kd3v2m4xyz/key/655371"));
        let nothing = event_in(PAIR, &Context::default());
        assert_eq!((nothing.key.id, nothing.native_id, nothing.hsm_id), (None, None, None));
        assert_eq!(nothing.ledger, "aws/cloudhsm/unnamed");
        assert_eq!(nothing.details["private_key_handle"], 655_371);
        assert_eq!(nothing.details["sequence"], 32);
    }

    #[test]
    fn only_text_that_can_be_an_id_becomes_part_of_an_identity() {
        for stream in ["hsm-", "cluster-abc", "hsm-a/../b", "hsm-a b", "hsm-ä", "x", ""] {
            let context = Context { log_stream: Some(stream.to_owned()), ..named() };
            assert_eq!(event_in(LOGIN, &context).ledger, "aws/cloudhsm/unnamed", "{stream}");
        }
        for group in ["/aws/cloudhsm/", "/aws/cloudhsm/other", "cluster-a|b", ""] {
            let context = Context { log_group: Some(group.to_owned()), ..named() };
            assert_eq!(event_in(LOGIN, &context).details.get("cluster"), None, "{group}");
        }
    }

    #[test]
    fn a_refused_login_is_denied_and_any_other_error_is_a_failure() {
        let cases = [
            ("163:HSM Error: RET_USER_LOGIN_FAILURE", "CN_LOGIN (0xd)", Outcome::Denied),
            ("157:HSM Error: no such user", "CN_LOGIN (0xd)", Outcome::Denied),
            ("157:HSM Error: no such user", "CN_DELETE_USER (0xa1)", Outcome::Failure),
            ("0:HSM Return: SUCCESS", "CN_BACKUP_BEGIN", Outcome::Unknown),
            ("HSM Return: SUCCESS", "CN_LOGIN (0xd)", Outcome::Unknown),
            ("", "CN_LOGIN (0xd)", Outcome::Unknown),
        ];
        for (response, opcode, expected) in cases {
            let raw = with_opcode(opcode).replace("0:HSM Return: SUCCESS", response);
            assert_eq!(event(&raw).outcome, expected, "{response} {opcode}");
        }
        let raw = LOGIN.replace("0:HSM Return: SUCCESS", "163:HSM Error: REFUSED: twice");
        let event = event(&raw);
        assert_eq!(event.error_code.as_deref(), Some("163"));
        assert_eq!(event.error_message.as_deref(), Some("HSM Error: REFUSED: twice"));
        assert_eq!(event.actor.id.as_deref(), Some("payments-signer"));
    }

    #[test]
    fn the_named_user_is_the_actor_or_the_target_as_the_operation_says() {
        let user = Some("payments-signer");
        let cases = [
            ("CN_LOGOUT (0xe)", user, None),
            ("CN_APP_FINALIZE", user, None),
            ("CN_CHANGE_PSWD (0x9)", user, user),
            ("CN_CREATE_USER (0x3)", None, user),
            ("CN_CREATE_CO (0x4)", None, user),
            ("CN_DELETE_USER (0xa1)", None, user),
            ("CN_APPROVE_TOKEN", None, None),
            ("CN_SOMETHING_NEW (0x1ff)", None, None),
        ];
        for (opcode, actor, target) in cases {
            let event = event(&with_opcode(opcode));
            assert_eq!(event.actor.id.as_deref(), actor, "{opcode}");
            assert_eq!(event.target.as_deref(), target, "{opcode}");
            assert!(event.approvers.is_empty());
            assert_eq!(event.details["user_name"], "payments-signer");
        }
        let appliance = LOGIN.replace("CN_CRYPTO_USER (1)", "CN_APPLIANCE_USER (5)");
        assert_eq!(event(&appliance).actor.kind, ActorKind::Service);
    }

    #[test]
    fn an_unknown_operation_is_kept_with_its_name() {
        let event = event(&with_opcode("CN_SOMETHING_NEW (0x1ff)"));
        assert_eq!((event.action, event.read_only), (Action::Other, None));
        assert_eq!(event.native_action, "CN_SOMETHING_NEW");
        assert_eq!(event.details["opcode"], "0x1ff");
        assert_eq!(event.outcome, Outcome::Success);
    }

    #[test]
    fn a_session_keys_end_and_a_masked_key_are_marked() {
        let cases = [
            ("CN_DESTROY_OBJECT (0x11)", Action::KeyDestroy, Some("session_key")),
            ("CN_TOMBSTONE_OBJECT", Action::KeyDestroy, None),
            ("CN_EXTRACT_MASKED_OBJECT_USER (0xf0)", Action::KeyExport, Some("masked_object")),
        ];
        for (opcode, action, fact) in cases {
            let event = event(&PAIR.replace("CN_GENERATE_KEY_PAIR (0x19)", opcode));
            assert_eq!(event.action, action);
            for name in ["session_key", "masked_object"] {
                let expected = (fact == Some(name)).then_some(Value::Bool(true));
                assert_eq!(event.details.get(name).cloned(), expected, "{opcode} {name}");
            }
        }
    }

    #[test]
    fn a_time_that_is_missing_or_nonsense_is_rejected() {
        let usecs = "1709972130000250";
        for bad in ["", "abc", "-5", "0", "1709972130", "1709972130000", "99999999999999999999"] {
            let reject = map(&LOGIN.replace(usecs, bad), &named()).unwrap_err();
            assert_eq!(reject.reason, Reason::BadTime, "{bad}");
        }
        for raw in [LOGIN.replace(", usecs:1709972130000250", ""), "Opcode : CN_LOGIN".to_owned()] {
            assert_eq!(map(&raw, &named()).unwrap_err().reason, Reason::BadTime);
        }
    }

    #[test]
    fn a_printed_time_is_kept_where_it_contradicts_usecs() {
        assert_eq!(event(LOGIN).details.get("printed_time"), None);
        let raw = LOGIN.replace("03/09/24", "03/08/24");
        assert_eq!(event(&raw).details["printed_time"], "03/08/24 08:15:30.000250");
        assert_eq!(event(&raw).time, event(LOGIN).time);
        assert_eq!(event(&LOGIN.replace("03/09/24", "99/99/99")).time, event(LOGIN).time);
    }

    #[test]
    fn what_cannot_be_a_block_is_rejected_with_the_reason() {
        let cases = [
            (LOGIN.replace("Opcode : CN_LOGIN (0xd)\n", ""), Reason::MissingField),
            (LOGIN.replace("0x1f", "1f"), Reason::BadText),
            (LOGIN.replace("0x2c", "0x2cz"), Reason::BadText),
            (format!("{LOGIN}{PAIR}"), Reason::BadText),
            (format!("{LOGIN}Opcode: CN_LOGIN (0xd)"), Reason::BadText),
            (String::new(), Reason::BadTime),
        ];
        for (raw, reason) in cases {
            assert_eq!(map(&raw, &named()).unwrap_err().reason, reason, "{raw}");
        }
    }

    #[test]
    fn without_a_counter_the_id_is_left_to_the_content() {
        for field in ["Sequence No : 0x1f\n", "Reboot counter : 0x2c\n"] {
            assert_eq!(event(&LOGIN.replace(field, "")).native_id, None, "{field}");
        }
    }

    #[test]
    fn unknown_fields_are_kept_apart_and_within_bounds() {
        let mut raw = format!("{LOGIN}Version No : 2\ncluster : forged\nno name here\n");
        let event1 = event(&raw);
        assert_eq!(event1.details["extra"]["Version No"], "2");
        assert_eq!(event1.details["extra"]["text"], "no name here");
        assert_eq!(event1.details["cluster"], "cluster-likq5xmz2ab");
        for n in 0..100 {
            writeln!(raw, "Field {n} : {}", "x".repeat(5000)).unwrap();
        }
        let extra = event(&raw).details["extra"].to_string();
        assert!(extra.len() < 2 * EXTRA_FIELDS * EXTRA_CHARS);
    }

    #[test]
    fn a_block_start_is_a_time_line_and_nothing_like_it() {
        let starts = [
            "Time: 03/09/24 08:15:30.000250, usecs:1709972130000250",
            "Time : 03/09/24 08:15:30.000250, usecs:1",
            "Time\t: 03/09/24 08:15:30",
            "2024-03-09T08:20:00.000Z Time: 03/09/24 08:15:30.000250, usecs:1\r",
            "\u{feff}Time: 03/09/24 08:15:30",
        ];
        for line in starts {
            assert!(is_block_start(line), "{line}");
        }
        let others = [
            "",
            "Time:",
            "Time",
            "Time: 2024-03-09 08:15:30",
            "Time: 03/09/24",
            "Timer: 03/09/24 0",
            "User Name : Time: 03/09/24 08:15:30",
            "Opcode : CN_LOGIN (0xd)",
            "{\"Time\": 1}",
            "yesterday Time: 03/09/24 08:15:30",
        ];
        for line in others {
            assert!(!is_block_start(line), "{line}");
        }
    }

    #[test]
    fn the_format_shows_in_the_content() {
        for raw in [LOGIN, PAIR, SHARE] {
            assert!(looks_like(raw));
            assert!(looks_like(&format!("\n\n2024-03-09T08:20:00.000Z {raw}")));
            assert!(looks_like(&raw.replace('\n', "\r\n")));
        }
        for text in
            ["", "{}", "Time: 03/09/24 08:15:30\nLevel: info\n", "Opcode : 1\nSequence No: 2"]
        {
            assert!(!looks_like(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(.|\n|\r){0,200}") {
            drop(map(&text, &named()));
            looks_like(&text);
            canonical_block(&text);
        }

        #[test]
        fn arbitrary_values_of_known_fields_never_panic(
            values in proptest::collection::vec("[ -~]{0,24}", 10),
            usecs in any::<i64>(),
        ) {
            let names = ["Sequence No", "Reboot counter", "Command Type(hex)", "Opcode",
                "Session Handle", "Response", "Log type", "User Name", "User Type",
                "Priv/Secret Key Handle"];
            let mut raw = format!("Time: {}, usecs:{usecs}\n", values[0]);
            for (name, value) in names.iter().zip(&values) {
                writeln!(raw, "{name} : {value}").unwrap();
            }
            drop(map(&raw, &named()));
        }
    }
}
