//! Rotation policies of Azure keys: what they say, in days.

use serde_json::{Value, json};

use super::record::{member, small, text};

/// How many lifetime actions are kept: a policy has at most two (rotate, notify).
const MOST_ACTIONS: usize = 4;

/// What a rotation policy says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RotationPolicy {
    /// Whether it rotates the key by itself.
    pub(super) rotates: bool,
    /// The days between two rotations, where they can be told.
    pub(super) period_days: Option<i64>,
    /// The lifetime actions, for an event's details.
    pub(super) actions: Value,
}

impl RotationPolicy {
    /// Reads a policy, or the first one within `depth` levels below `value`; `None` where there
    /// is no `lifetimeActions`.
    pub(super) fn find(value: &Value, depth: u8) -> Option<Self> {
        if let Some(actions) = member(value, "lifetimeActions").and_then(Value::as_array) {
            return Some(Self::read(value, actions));
        }
        let members = value.as_object().filter(|_| depth > 0)?;
        members.values().find_map(|inner| Self::find(inner, depth - 1))
    }

    fn read(policy: &Value, actions: &[Value]) -> Self {
        let actions: Vec<Value> = actions.iter().take(MOST_ACTIONS).map(action).collect();
        let is_rotation =
            |action: &&Value| action.get("action").and_then(Value::as_str) == Some("rotate");
        let rotation = actions.iter().find(is_rotation);
        let days = |name: &str| rotation?.get(name)?.as_str().and_then(iso_days);
        let expiry = member(policy, "expiryTime")
            .or_else(|| member(policy, "attributes").and_then(|a| member(a, "expiryTime")))
            .and_then(text)
            .and_then(iso_days);
        let before_expiry = || Some(expiry? - days("timeBeforeExpiry")?);
        Self {
            rotates: rotation.is_some(),
            period_days: days("timeAfterCreate").or_else(before_expiry),
            actions: Value::Array(actions),
        }
    }
}

/// One lifetime action, flattened: the REST API nests `trigger` and `action.type`, az does not.
fn action(value: &Value) -> Value {
    let kind = member(value, "action")
        .and_then(|action| text(action).or_else(|| member(action, "type").and_then(text)));
    let when = |name: &str| {
        let trigger = member(value, "trigger").and_then(|trigger| member(trigger, name));
        trigger.or_else(|| member(value, name)).and_then(small)
    };
    let mut flat = json!({"action": kind.map(str::to_ascii_lowercase)});
    for name in ["timeAfterCreate", "timeBeforeExpiry"] {
        if let (Some(found), Some(members)) = (when(name), flat.as_object_mut()) {
            members.insert(name.to_owned(), found);
        }
    }
    flat
}

/// The days of an ISO 8601 duration; a year is 365 days and a month its twelfth.
fn iso_days(text: &str) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let months = i64::from(span.get_years()) * 12 + i64::from(span.get_months());
    Some(months * 365 / 12 + i64::from(span.get_weeks()) * 7 + i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_s_and_the_tool_s_spelling_say_the_same() {
        let api = json!({"lifetimeActions": [
            {"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}},
            {"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}]});
        let tool = json!({"lifetimeActions": [
            {"timeAfterCreate": "P90D", "timeBeforeExpiry": null, "action": "Rotate"},
            {"timeBeforeExpiry": "P30D", "action": "Notify"}]});
        let policy = RotationPolicy::find(&api, 0).unwrap();
        assert_eq!(Some(&policy), RotationPolicy::find(&tool, 0).as_ref());
        assert!(policy.rotates);
        assert_eq!(policy.period_days, Some(90));
    }

    #[test]
    fn a_rotation_before_expiry_needs_the_expiry_to_give_a_period() {
        let action =
            json!([{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Rotate"}}]);
        let with = json!({"lifetimeActions": action, "attributes": {"expiryTime": "P1Y"}});
        assert_eq!(RotationPolicy::find(&with, 0).unwrap().period_days, Some(335));
        let without = json!({"lifetimeActions": action});
        assert_eq!(RotationPolicy::find(&without, 0).unwrap().period_days, None);
    }

    #[test]
    fn a_policy_that_only_notifies_does_not_rotate() {
        let policy = json!({"x": {"lifetimeActions": [{"action": {"type": "Notify"}}]}});
        assert!(!RotationPolicy::find(&policy, 1).unwrap().rotates);
        assert_eq!(RotationPolicy::find(&policy, 0), None);
        assert!(!RotationPolicy::find(&json!({"lifetimeActions": [1, null]}), 0).unwrap().rotates);
    }

    #[test]
    fn durations_are_read_in_days() {
        for (text, days) in [("P90D", 90), ("P18M", 547), ("P2Y", 730), ("P1W", 7)] {
            assert_eq!(iso_days(text), Some(days));
        }
        assert_eq!(iso_days("soon"), None);
    }
}
