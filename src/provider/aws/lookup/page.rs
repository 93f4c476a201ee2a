//! One page of `LookupEvents` (CloudTrail API Reference, `LookupEvents` and `Event`).

use serde::Deserialize;
use serde_json::Value;

use super::SourceError;

/// Events on a page, the most that there may be.
pub(super) const SIZE: usize = 50;

/// A record that is longer is not taken; CloudTrail cuts what would make one longer than 256 KB.
const RECORD_LIMIT: usize = 1 << 20;

/// One page.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The records as they are, or what is wrong with one.
    pub(super) events: Vec<Result<String, String>>,
    /// The token of the next page.
    pub(super) token: Option<String>,
    /// The time of the oldest event, in seconds.
    oldest: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    /// Always there: an answer without it is none of this operation's.
    events: Vec<Envelope>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    event_id: Option<String>,
    event_name: Option<String>,
    event_time: Option<Value>,
    cloud_trail_event: Option<String>,
}

impl Page {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is not what is documented.
    pub(super) fn read(answer: &[u8], call: &str) -> Result<Self, SourceError> {
        let answer: Answer = serde_json::from_slice(answer)
            .map_err(|error| SourceError::content(call, error.to_string()))?;
        let oldest = answer.events.iter().filter_map(Envelope::second).min();
        let events = answer.events.into_iter().map(Envelope::record).collect();
        Ok(Self { events, token: answer.next_token, oldest })
    }

    /// Where a lookup goes on after this page, which has no token, in seconds, inclusive. A full
    /// page without a token is the last one at AWS by chance alone, and no last one where a stand-in
    /// for CloudTrail does not know tokens: what is not newer than its last event is asked for.
    pub(super) fn goes_on_before(&self, end: i64) -> Option<i64> {
        self.oldest.filter(|oldest| self.events.len() >= SIZE && *oldest < end)
    }
}

impl Envelope {
    fn record(self) -> Result<String, String> {
        let name = |text: Option<String>| {
            let text = text.unwrap_or_else(|| "unnamed".to_owned());
            text.escape_debug().take(100).collect::<String>()
        };
        match self.cloud_trail_event {
            Some(raw) if raw.len() > RECORD_LIMIT => {
                let id = name(self.event_id);
                Err(format!("the record of event {id} is longer than {RECORD_LIMIT} bytes"))
            }
            Some(raw) if !raw.trim().is_empty() => Ok(raw),
            _ => {
                let (id, event) = (name(self.event_id), name(self.event_name));
                Err(format!("event {id} ({event}) came without its record"))
            }
        }
    }

    /// The time, which is a number of seconds, with or without a fraction, or text.
    fn second(&self) -> Option<i64> {
        let text = match self.event_time.as_ref()? {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return None,
        };
        let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        let parsed = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second);
        whole.parse().ok().or(parsed.ok())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(answer: &Value) -> Result<Page, SourceError> {
        Page::read(answer.to_string().as_bytes(), "cloudtrail:LookupEvents")
    }

    #[test]
    fn a_record_is_taken_exactly_as_it_was_written() {
        let raw = "{ \"eventID\":\"1\",\t\"a\" : 1.50, \"b\":\"\\u00e4\" }";
        let page = read(&json!({"Events": [{"CloudTrailEvent": raw, "Odd": 1}]})).unwrap();
        assert_eq!(page.events, [Ok(raw.to_owned())]);
    }

    #[test]
    fn an_event_without_its_record_is_named() {
        let long = "x".repeat(RECORD_LIMIT + 1);
        let page = read(&json!({"Events": [
            {"EventId": "e\n1", "EventName": "PutKeyPolicy"},
            {"EventId": "e2", "CloudTrailEvent": " "},
            {"EventId": "e3", "CloudTrailEvent": long},
        ]}));
        let problems: Vec<String> =
            page.unwrap().events.into_iter().map(Result::unwrap_err).collect();
        assert!(problems[0].contains("e\\n1 (PutKeyPolicy)"), "{problems:?}");
        assert!(problems[1].contains("e2") && problems[2].contains("e3"), "{problems:?}");
    }

    #[test]
    fn an_answer_of_something_else_is_no_empty_page() {
        for odd in [json!({}), json!({"Events": null}), json!([]), json!({"Events": [1]})] {
            assert!(read(&odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_full_page_without_a_token_goes_on_before_its_oldest_event() {
        let page = |count: usize, time: Value| {
            let event = json!({"CloudTrailEvent": "{}", "EventTime": time});
            read(&json!({"Events": vec![event; count]})).unwrap().goes_on_before(1_000)
        };
        assert_eq!(page(SIZE, json!(900.5)), Some(900));
        assert_eq!(page(SIZE, json!("1970-01-01T00:15:00Z")), Some(900));
        assert_eq!(page(SIZE, json!(1_000)), None);
        assert_eq!(page(SIZE - 1, json!(900)), None);
        assert_eq!(page(SIZE, json!([])), None);
    }
}
