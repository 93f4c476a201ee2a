//! What earlier batches of a source of objects left: which objects were read, which are owed, and
//! how far each place was listed.
//!
//! A batch's cursor is what it adds: `{"objects":[{"key","etag","size","sha256"|"offset"}],
//! "failed":[key], "lost":[key]}`. What was seen is their union, never a last key: files with smaller
//! names are delivered later. The last batch of a run states what must be known for longer than the
//! objects are: `{"listed":[{"place","until"}], "owed":[key]}`, where it changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::bucket::Listed;
use super::super::source::{History, Window};
use super::day;

/// How far back reading goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Days that a place is read back where nothing of it was read yet.
    pub first: u16,
    /// Days before the newest one read that are listed again.
    pub again: u16,
}

/// The days that are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Days {
    since: Option<Date>,
    last: Date,
    reach: Reach,
}

impl Days {
    /// The days of a window. Objects lie in the folder of the day of their delivery, which may be the
    /// one after that of their events.
    pub(super) fn new(window: Window, reach: Reach) -> Self {
        let (today, until) = (day::of_time(window.now), day::of_time(window.until));
        let last = until.tomorrow().unwrap_or(until).min(today);
        Self { since: window.since.map(day::of_time), last, reach }
    }

    /// The last one.
    pub(super) fn last(&self) -> Date {
        self.last
    }

    /// The first one of a place that was read up to `newest`. What lies between there and the
    /// wanted days is read too: nothing is left out for good.
    fn first(&self, newest: Option<Date>) -> Date {
        let again = newest.map(|newest| day::before(newest, self.reach.again));
        match (self.since, again) {
            (Some(since), Some(again)) => since.min(again),
            (Some(since), None) => since,
            (None, Some(again)) => again.min(day::before(self.last, self.reach.again)),
            (None, None) => day::before(self.last, self.reach.first),
        }
    }
}

/// What is known of an object that was read; small, since there are many.
#[derive(Debug, Clone, Copy)]
struct Known {
    etag: u64,
    offset: Option<u64>,
}

/// What to do with a listed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was read.
    Seen,
    /// It is new, or another than it was.
    New,
    /// It was read up to here.
    From(u64),
}

/// What the last batches of runs stated.
#[derive(Debug, Default)]
struct Stated {
    listed: BTreeMap<String, Date>,
    owed: BTreeSet<String>,
}

/// How old the statement how far a place was listed may grow: as long as objects are remembered, and
/// a margin.
const STATED_DAYS: u16 = 7;

/// What earlier batches left, as far as it matters for the wanted days.
#[derive(Debug, Default)]
pub(super) struct Past {
    known: HashMap<u128, Known>,
    newest: BTreeMap<String, Date>,
    owed: BTreeSet<String>,
    stated: Stated,
    empty: bool,
}

impl Past {
    pub(super) fn new(history: &History, days: &Days) -> Self {
        let mut past = Self { empty: history.cursors.is_empty(), ..Self::default() };
        history.cursors.iter().for_each(|cursor| past.survey(cursor));
        for object in history.cursors.iter().flat_map(|cursor| list(cursor, "objects")) {
            past.keep(object, days);
        }
        past
    }

    /// What a history tells of more than the objects that were seen; none where there is no history.
    pub(super) fn sum_up(history: &History) -> Vec<Value> {
        let mut past = Self::default();
        history.cursors.iter().for_each(|cursor| past.survey(cursor));
        let listed = |(place, until): (&String, &Date)| json!({ "place": place, "until": until.to_string() });
        let listed: Vec<Value> = past.newest.iter().map(listed).collect();
        let summary = json!({ "listed": listed, "owed": past.owed });
        history.cursors.first().map(|_| summary).into_iter().collect()
    }

    /// Whether the source never read anything.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    fn survey(&mut self, cursor: &Value) {
        if let Some(owed) = cursor.get("owed").and_then(Value::as_array) {
            self.owed = owed.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
            self.stated.owed = self.owed.clone();
        }
        for key in list(cursor, "failed").filter_map(Value::as_str) {
            self.owed.insert(key.to_owned());
        }
        let read = list(cursor, "objects").filter_map(|object| object.get("key")?.as_str());
        for key in read {
            self.owed.remove(key);
            if let Some((place, day)) = day::of_key(key) {
                self.reached(place, day);
            }
        }
        for key in list(cursor, "lost").filter_map(Value::as_str) {
            self.owed.remove(key);
        }
        for listed in list(cursor, "listed") {
            let place = listed.get("place").and_then(Value::as_str);
            let until = listed.get("until").and_then(|until| until.as_str()?.parse().ok());
            if let (Some(place), Some(until)) = (place, until) {
                self.reached(place, until);
                self.stated.listed.insert(place.to_owned(), until);
            }
        }
    }

    fn keep(&mut self, object: &Value, days: &Days) -> Option<()> {
        let key = object.get("key")?.as_str()?;
        let (place, day) = day::of_key(key)?;
        let first = self.first_day(place, days);
        if day >= first || self.owes_in(place, day) {
            let etag = digest(object.get("etag")?.as_str()?);
            let offset = object.get("offset").and_then(Value::as_u64);
            self.known.insert(name(key), Known { etag, offset });
        }
        Some(())
    }

    fn owes_in(&self, place: &str, day: Date) -> bool {
        let same = |key: &String| day::of_key(key) == Some((place, day));
        self.owed.range(place.to_owned()..).take_while(|key| key.starts_with(place)).any(same)
    }

    /// The first day of a place to list.
    pub(super) fn first_day(&self, place: &str, days: &Days) -> Date {
        days.first(self.newest.get(place).copied())
    }

    /// Days of a place before `first` in which objects are owed.
    pub(super) fn owed_days(&self, place: &str, first: Date) -> BTreeSet<Date> {
        let keys = self.owed.range(place.to_owned()..).take_while(|key| key.starts_with(place));
        keys.filter_map(|key| day::of_key(key))
            .filter(|(of, day)| *of == place && *day < first)
            .map(|(_, day)| day)
            .collect()
    }

    /// Whether reading this object failed before.
    pub(super) fn owes(&self, key: &str) -> bool {
        self.owed.contains(key)
    }

    /// The objects that are owed below the folder `prefix`.
    pub(super) fn owed_below(&self, prefix: &str) -> Vec<String> {
        let prefix = format!("{prefix}/");
        let keys = self.owed.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix));
        keys.cloned().collect()
    }

    /// What to do with a listed object.
    pub(super) fn verdict(&self, object: &Listed) -> Verdict {
        match self.known.get(&name(&object.key)) {
            None => Verdict::New,
            Some(known) => match known.offset {
                Some(offset) if known.etag != digest(&object.etag) || offset < object.size => {
                    Verdict::From(offset)
                }
                None if known.etag != digest(&object.etag) => Verdict::New,
                Some(_) | None => Verdict::Seen,
            },
        }
    }

    fn reached(&mut self, place: &str, day: Date) {
        let newest = self.newest.entry(place.to_owned()).or_insert(day);
        *newest = day.max(*newest);
    }

    /// Notes that an object could not be read.
    pub(super) fn owe(&mut self, key: &str) {
        self.owed.insert(key.to_owned());
    }

    /// Notes that an object was read, or is lost.
    pub(super) fn settle(&mut self, key: &str) {
        self.owed.remove(key);
    }

    /// Whether it is time to state that a place was listed up to `day`.
    pub(super) fn is_due(&self, place: &str, day: Date) -> bool {
        let stated = self.stated.listed.get(place);
        stated.is_none_or(|stated| *stated <= day::before(day, STATED_DAYS))
    }

    /// What is owed, where that was stated otherwise.
    pub(super) fn owed_anew(&self) -> Option<Vec<String>> {
        (self.owed != self.stated.owed).then(|| self.owed.iter().cloned().collect())
    }
}

fn list<'a>(cursor: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    cursor.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn name(key: &str) -> u128 {
    let hash = Sha256::digest(key);
    u128::from_be_bytes(hash.as_slice().first_chunk().copied().unwrap_or_default())
}

fn digest(text: &str) -> u64 {
    let hash = Sha256::digest(text);
    u64::from_be_bytes(hash.as_slice().first_chunk().copied().unwrap_or_default())
}
