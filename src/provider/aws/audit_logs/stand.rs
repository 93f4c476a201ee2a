//! Where the reading of each stream stands, as the cursors tell.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::super::Json as _;
use super::super::super::source::{History, Window};
use super::stream::Place;
use super::{OVERLAP, PREFIX};

/// A token is good for 24 hours (CloudWatch Logs API Reference, `GetLogEvents`); one that is older
/// than this is not used.
const TOKEN_KEPT: SignedDuration = SignedDuration::from_hours(12);

/// Where one stream stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// The time of the newest event that was read, in milliseconds.
    pub(super) newest: Option<i64>,
    /// What is asked for: from when and until when, in milliseconds.
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
    /// Where a reading that did not come to its end goes on.
    pub(super) token: Option<String>,
    /// When that reading was.
    at: Option<Timestamp>,
}

impl Stand {
    fn of(cursor: &Value) -> Option<(Place, Self)> {
        let place =
            Place { group: cursor.string(&["group"])?, stream: cursor.string(&["stream"])? };
        let stand = Self {
            newest: cursor.integer(&["newest"]),
            from: cursor.integer(&["from"]),
            until: cursor.integer(&["until"]),
            token: cursor.string(&["token"]),
            at: cursor.time(&["at"]),
        };
        Some((place, stand))
    }

    /// The cursor that tells it.
    pub(super) fn cursor(&self, place: &Place) -> Value {
        json!({
            "group": place.group, "stream": place.stream, "newest": self.newest,
            "from": self.from, "until": self.until, "token": self.token,
            "at": self.at.map(|time| time.to_string()),
        })
    }

    /// What a run over `window` asks for.
    pub(super) fn begin(&self, window: Window) -> Self {
        let until = (window.until < window.now).then(|| window.until.as_millisecond());
        let fresh = self.at.is_some_and(|at| window.now.duration_since(at) < TOKEN_KEPT);
        if self.token.is_some() && fresh && window.since.is_none() && self.until == until {
            return self.clone();
        }
        let overlap = i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX);
        let stood = || self.newest.map(|newest| newest.saturating_sub(overlap).max(0));
        let since = window.since.map(|since| since.as_millisecond().max(0));
        let from = since.or_else(stood);
        Self { newest: self.newest, from, until, token: None, at: Some(window.now) }
    }
}

/// Where all streams stand.
#[derive(Debug, Default)]
pub(super) struct Stands(BTreeMap<Place, Stand>);

impl Stands {
    pub(super) fn of(history: &History) -> Self {
        let mut stands: BTreeMap<Place, Stand> = BTreeMap::new();
        for (place, mut stand) in history.cursors.iter().filter_map(Stand::of) {
            let known = stands.entry(place).or_default();
            stand.newest = stand.newest.max(known.newest);
            *known = stand;
        }
        Self(stands)
    }

    /// A cursor for each stream, which together tell the same.
    pub(super) fn cursors(&self) -> Vec<Value> {
        self.0.iter().map(|(place, stand)| stand.cursor(place)).collect()
    }

    pub(super) fn stand(&self, place: &Place) -> Stand {
        self.0.get(place).cloned().unwrap_or_default()
    }

    /// The groups that were read before, of these clusters (of all where there are none).
    pub(super) fn groups(&self, clusters: &[String]) -> impl Iterator<Item = String> {
        let wanted = |group: &&String| {
            let cluster = group.strip_prefix(PREFIX).unwrap_or_default();
            clusters.is_empty() || clusters.iter().any(|wanted| wanted == cluster)
        };
        self.0.keys().map(|place| &place.group).filter(wanted).cloned()
    }

    /// The streams of a group that were read before.
    pub(super) fn streams(&self, group: &str) -> impl Iterator<Item = &String> {
        self.0.keys().filter(move |place| place.group == group).map(|place| &place.stream)
    }
}
