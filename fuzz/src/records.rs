//! Records and inventory: told apart, and translated.

use std::fmt;
use std::net::IpAddr;

use keytrail::event::{Event, Format, canonical_json, content_id};
use keytrail::provider::aws::cloudhsm as audit;
use keytrail::provider::file::{self, Class, Item, Wrapper};
use keytrail::provider::inventory::{InventoryContext, InventoryKind};
use keytrail::provider::{self, Context, Mapped, Reason, Reject};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What a record may become: so many times its own length, and some names.
const GROWTH: usize = 64;
const NAMES: usize = 16 << 10;

/// What is known besides the record; the bits of `setting` say what.
fn context(setting: u8) -> Context {
    let given = |bit: u8, text: &str| (setting & bit != 0).then(|| text.to_owned());
    Context {
        account: given(16, "111122223333"),
        region: given(32, "eu-west-1"),
        log_group: given(64, "/aws/cloudhsm/cluster-abc"),
        log_stream: given(128, "hsm-abcdefghijk"),
    }
}

/// What an item is does not change from one look to the next, and what it is said to be can be
/// translated. The first byte chooses the list that it stands in and what else is known.
pub fn classify(data: &[u8]) {
    let Some((setting, bytes)) = super::setting(data) else { return };
    let Some(text) = super::text(bytes) else { return };
    let list = ["", "Records", "events", "logEvents"][usize::from(setting & 3)].to_owned();
    let wrapper = Wrapper { list, ..Wrapper::default() };
    let context = context(setting);
    let look = || file::classify(Item { text, wrapper: &wrapper, context: &context });
    let class = look();
    assert_eq!(class, look(), "told otherwise at the second look");
    match class {
        Class::Record { format, raw, context, .. } => {
            assert!(raw.len() <= text.len(), "a record longer than its envelope");
            record(format, &raw, &context);
        }
        Class::Inventory(kind, value) => document(kind, &value, setting),
        Class::Broken(_) => {
            assert!(serde_json::from_str::<Value>(text).is_err(), "no broken JSON: {text}");
        }
        Class::Proof(_) | Class::Envelope(_) | Class::Unknown => {}
    }
}

/// Any text as a record of any format. The first byte chooses the format and what else is known.
pub fn normalize(data: &[u8]) {
    let Some((setting, bytes)) = super::setting(data) else { return };
    let Some(text) = super::text(bytes) else { return };
    let format = Format::ALL[usize::from(setting & 15) % Format::ALL.len()];
    record(format, text, &context(setting));
}

/// One record gives one event, always the same, however its JSON is written; the event holds
/// together and is bounded.
fn record(format: Format, raw: &str, context: &Context) {
    let mapped = provider::normalize(format, raw, context);
    assert_eq!(mapped, provider::normalize(format, raw, context), "not the same twice: {raw}");
    match &mapped {
        Ok(Mapped::Event(event)) => sound(event, format, raw),
        Ok(Mapped::Irrelevant) => {}
        Err(Reject { detail, .. }) => assert!(detail.len() <= bound(raw), "{detail}"),
    }
    if format != Format::CloudHsmAudit {
        spelled_anew(format, raw, context, &mapped);
    }
}

fn bound(raw: &str) -> usize {
    GROWTH * raw.len() + NAMES
}

fn sound(event: &Event, format: Format, raw: &str) {
    assert_eq!(event.format, format);
    assert!(event.ledger.starts_with(event.provider.as_str()), "ledger {}", event.ledger);
    assert!(event.ledger.contains('/'), "ledger {}", event.ledger);
    let odd = |c: char| c == '|' || c.is_control();
    assert!(!event.ledger.contains(odd), "an id could not be told apart: {}", event.ledger);
    assert!(event.native_id.as_deref() != Some(""), "an empty id");
    if let Some(ip) = &event.client.ip {
        assert!(ip.parse::<IpAddr>().is_ok(), "no address: {ip}");
    }
    assert!(event.key.id.as_deref() != Some(""), "an empty key");
    let size = format!("{event:?}").len();
    assert!(size <= bound(raw), "an event of {size} bytes from a record of {}", raw.len());
}

/// The same value in other JSON: order of members, white space and escapes tell nothing.
fn spelled_anew(format: Format, raw: &str, context: &Context, mapped: &Result<Mapped, Reject>) {
    let Ok(canonical) = canonical_json(raw) else { return };
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    // Where a number lost its point, a mapper may read it differently.
    if value(raw) != value(&canonical) {
        return;
    }
    match (mapped, provider::normalize(format, &canonical, context)) {
        // Which of two members of one name counts, a mapper need not say.
        (Err(Reject { reason: Reason::BadJson, .. }), _) if repeats(raw) => {}
        (Err(one), Err(other)) => assert_eq!(one.reason, other.reason, "{raw}\n{canonical}"),
        (one, other) => assert_eq!(*one, other, "{raw}\n{canonical}"),
    }
    assert_eq!(content_id(raw), content_id(&canonical));
}

/// Whether some object names a member twice.
fn repeats(raw: &str) -> bool {
    let count = |text: &str| serde_json::from_str::<Members>(text).map_or(0, |members| members.0);
    let value: Option<Value> = serde_json::from_str(raw).ok();
    value.is_some_and(|value| count(&value.to_string()) != count(raw))
}

/// How many members the objects of a JSON text have, repeated ones too.
struct Members(usize);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter).map(Self)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some((_, Members(inner))) = map.next_entry::<IgnoredAny, _>()? {
            count += 1 + inner;
        }
        Ok(count)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(Members(inner)) = items.next_element()? {
            count += inner;
        }
        Ok(count)
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<usize, E> {
        Ok(0)
    }
}

/// A block of an audit log has one form, which gives the same event.
pub fn cloudhsm(data: &[u8]) {
    let Some((setting, bytes)) = super::setting(data) else { return };
    let Some(text) = super::text(bytes) else { return };
    let block = audit::canonical_block(text);
    assert_eq!(audit::canonical_block(&block), block, "not stable: {text:?}");
    assert!(block.len() <= text.len() + 1, "the block grew");
    let looks = audit::looks_like(text);
    assert!(looks || !audit::looks_like(&block), "{text:?}\n{block:?}");
    let context = context(setting);
    record(Format::CloudHsmAudit, &block, &context);
    if looks {
        let map = |raw: &str| provider::normalize(Format::CloudHsmAudit, raw, &context);
        match (map(text), map(&block)) {
            (Err(one), Err(other)) => assert_eq!(one.reason, other.reason),
            (one, other) => assert_eq!(one, other, "{text:?}\n{block:?}"),
        }
    }
}

/// Any JSON as any inventory document. The first byte says what else is known.
pub fn inventory(data: &[u8]) {
    const KINDS: &[InventoryKind] = &[
        InventoryKind::AwsDescribeKey,
        InventoryKind::AwsListKeyRotations,
        InventoryKind::AwsKeyRotationStatus,
        InventoryKind::AwsKeyPolicy,
        InventoryKind::AwsListAliases,
        InventoryKind::AwsListKeys,
        InventoryKind::AwsEventSelectors,
        InventoryKind::AwsDescribeClusters,
        InventoryKind::AwsTrails,
        InventoryKind::AwsLogGroups,
        InventoryKind::GcpKey,
        InventoryKind::GcpKeyVersion,
        InventoryKind::GcpIamPolicy,
        InventoryKind::AzureKey,
        InventoryKind::AzureVault,
        InventoryKind::AzureDiagnosticSetting,
    ];
    let Some((setting, bytes)) = super::setting(data) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for kind in KINDS {
        document(*kind, &value, setting);
    }
}

/// A document gives the same rows each time, bounded, and never a secret.
fn document(kind: InventoryKind, value: &Value, setting: u8) {
    let Context { account, region, .. } = context(setting);
    let key_hint = (setting & 64 != 0).then(|| "1234abcd-12ab-34cd-56ef-1234567890ab".to_owned());
    let context = InventoryContext { account, region, key_hint };
    let read = || provider::inventory_rows(kind, value, &context);
    let rows = read();
    assert_eq!(rows, read(), "not the same twice: {value}");
    let Ok(rows) = rows else { return };
    let text = value.to_string();
    let written = format!("{rows:?}");
    assert!(rows.len() <= text.len(), "more rows than bytes");
    assert!(written.len() <= bound(&text), "{} bytes from {}", written.len(), text.len());
    assert!(rows.keys.iter().all(|row| !row.key_id.is_empty()), "a key without id: {value}");
    let mut secrets = Vec::new();
    find_secrets(value, &mut secrets);
    for secret in secrets {
        let once = text.matches(secret).count() == 1;
        assert!(!once || !written.contains(secret), "a secret stands in {written}");
    }
}

/// The passwords in a document, those that are long enough to be told apart from other text.
fn find_secrets<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "PreCoPassword" && text.len() >= 8 => {
                        found.push(text);
                    }
                    other => find_secrets(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_secrets(item, found)),
        _ => {}
    }
}
