//! A page of `entries:list`, cut into entries as they were sent, and what they tell in passing.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::super::source::Note;
use super::super::super::{Context, Mapped};
use super::super::audit;
use crate::event::{Action, Outcome};

/// The entries of one answer.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// The token of the page after it.
    pub(super) next: Option<String>,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it was sent.
    pub(super) raw: String,
    /// When it happened.
    pub(super) time: Option<Timestamp>,
    /// When Logging received it.
    received: Option<Timestamp>,
}

impl From<String> for Entry {
    fn from(raw: String) -> Self {
        Self { raw, time: None, received: None }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    entries: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "nextPageToken")]
    next: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Times<'a> {
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "receiveTimestamp")]
    received: Option<Cow<'a, str>>,
}

/// Cuts an answer.
///
/// # Errors
/// With what is wrong, when it is not a page.
pub(super) fn cut(body: &[u8]) -> Result<Page, String> {
    // An array would be taken for the members in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|error| format!("it is no page: {error}"))?;
    let entries = answer.entries.unwrap_or_default().into_iter().map(entry).collect();
    let next = answer.next.filter(|token| !token.is_empty()).map(Cow::into_owned);
    Ok(Page { entries, next })
}

fn entry(raw: &RawValue) -> Entry {
    let times: Times<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let read = |text: Option<Cow<'_, str>>| text.and_then(|text| text.parse().ok());
    Entry { raw: raw.get().to_owned(), time: read(times.timestamp), received: read(times.received) }
}

/// When an entry changed what is audited, if it did; `unknown` where it may have, and does not say
/// when.
pub(super) fn auditing_change(raw: &str, unknown: Timestamp) -> Option<Timestamp> {
    if !raw.contains("SetIamPolicy") || !raw.contains("cloudresourcemanager") {
        return None;
    }
    match audit::map(raw, &Context::default()) {
        Ok(Mapped::Event(event)) => {
            let done = !matches!(event.outcome, Outcome::Denied | Outcome::Failure);
            (done && event.action == Action::LoggingChange).then_some(event.time)
        }
        Ok(Mapped::Irrelevant) => None,
        // One part of a split entry, perhaps: the other may tell of a change.
        Err(_) => Some(unknown),
    }
}

/// Tells of entries that came later than coverage allows for.
pub(super) fn late_note(page: &Page, lateness: SignedDuration) -> Option<Note> {
    let late = |entry: &Entry| {
        let delay = entry.received?.duration_since(entry.time?);
        (delay > lateness).then_some(delay)
    };
    let delays: Vec<SignedDuration> = page.entries.iter().filter_map(late).collect();
    let longest = delays.iter().max()?;
    Some(Note {
        message: format!(
            "{} entries reached Cloud Logging more than {} minutes after they happened, the last \
             after {} minutes",
            delays.len(),
            lateness.as_mins(),
            longest.as_mins()
        ),
        hint: Some("each run reads the last hour again, and once a day the last day".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_byte_for_byte() {
        let body = "{\"entries\": [{ \"b\": 1.50,\t\"a\":\"\\u00e9\" }, {}], \"nextPageToken\": \"t\\u003d\"}";
        let page = cut(body.as_bytes()).unwrap();
        assert_eq!(page.entries[0].raw, "{ \"b\": 1.50,\t\"a\":\"\\u00e9\" }");
        assert_eq!(page.next.as_deref(), Some("t="));
    }

    #[test]
    fn an_empty_answer_is_a_page_and_a_torn_one_is_not() {
        for empty in ["{}", r#"{"entries": null, "nextPageToken": ""}"#] {
            let page = cut(empty.as_bytes()).unwrap();
            assert!(page.entries.is_empty() && page.next.is_none());
        }
        for odd in
            ["", "[]", "[[], \"t\"]", "{\"entries\": [", "{\"entries\": {}}", "<html>", "\u{fe}"]
        {
            assert!(cut(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    fn policy_change(delta: &str) -> String {
        format!(
            r#"{{"logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity", "insertId": "1",
            "timestamp": "2026-11-01T00:00:00Z", "protoPayload": {{
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "status": {{}},
            "serviceName": "cloudresourcemanager.googleapis.com", "methodName": "SetIamPolicy",
            "serviceData": {{"policyDelta": {{{delta}}}}}}}}}"#
        )
    }

    #[test]
    fn only_a_policy_that_changes_auditing_counts_and_a_doubtful_one_does() {
        let unknown = Timestamp::UNIX_EPOCH;
        let audit = r#""auditConfigDeltas": [{"action": "REMOVE", "service": "allServices", "logType": "DATA_READ"}]"#;
        let change = policy_change(audit);
        assert_eq!(auditing_change(&change, unknown), "2026-11-01T00:00:00Z".parse().ok());
        let grant =
            policy_change(r#""bindingDeltas": [{"action": "ADD", "role": "r", "member": "m"}]"#);
        assert_eq!(auditing_change(&grant, unknown), None);
        let part =
            change.replacen('{', r#"{"split": {"uid": "u", "index": 0, "totalSplits": 2}, "#, 1);
        assert_eq!(auditing_change(&part, unknown), Some(unknown));
    }

    #[test]
    fn lateness_is_told() {
        let body = br#"{"entries": [
            {"timestamp": "2026-11-01T00:00:00Z", "receiveTimestamp": "2026-11-01T00:00:03Z"},
            {"timestamp": "2026-11-01T00:00:00Z", "receiveTimestamp": "2026-11-01T05:00:00Z"}]}"#;
        let note = late_note(&cut(body).unwrap(), SignedDuration::from_hours(1)).unwrap();
        assert!(note.message.starts_with("1 entries") && note.message.contains("300"), "{note:?}");
    }
}
