//! The parts of split audit entries, held until all parts of an entry are there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// The most that is held; what came first is given up then.
const MOST_BYTES: usize = 64 << 20;

/// More parts than this are taken for a fault of whoever wrote them.
const MOST_PARTS: u32 = 1_000;

/// Which part of which entry a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    uid: String,
    index: u32,
    total: u32,
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    split: Option<Split<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Split<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(default)]
    index: u32,
    total_splits: u32,
}

impl Part {
    /// The place of a record that is one of several parts.
    pub(super) fn of(raw: &str) -> Option<Self> {
        // Most records are whole, and this is quick to see.
        memchr::memmem::find(raw.as_bytes(), b"\"totalSplits\"")?;
        let outline: Outline<'_> = serde_json::from_str(raw).ok()?;
        let Split { uid, index, total_splits: total } = outline.split?;
        let good = (2..=MOST_PARTS).contains(&total) && index < total && !uid.is_empty();
        good.then(|| Self { uid: uid.into_owned(), index, total })
    }
}

/// The parts that wait for others.
#[derive(Debug, Default)]
pub(super) struct Parts {
    sets: BTreeMap<(String, u32), Set>,
    arrivals: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Set {
    /// Counts the sets, so that the oldest one is known.
    arrival: u64,
    time: Option<Timestamp>,
    parts: BTreeMap<u32, String>,
}

impl Parts {
    /// Takes a part in, and gives what is now to be handed on: the record of the entry if this was
    /// the last part of it, and parts that were given up for want of room.
    pub(super) fn add(&mut self, place: Part, raw: String, time: Option<Timestamp>) -> Vec<String> {
        let Part { uid, index, total } = place;
        let key = (uid, total);
        self.arrivals += 1;
        let arrival = self.arrivals;
        let fresh = || Set { arrival, time, parts: BTreeMap::new() };
        let set = self.sets.entry(key.clone()).or_insert_with(fresh);
        set.time = set.time.min(time);
        match set.parts.get(&index) {
            // The same part came twice.
            Some(there) if *there == raw => return Vec::new(),
            // It cannot be told which one is right: the second is handed on as it is.
            Some(_) => return vec![raw],
            None => {}
        }
        self.bytes += raw.len();
        set.parts.insert(index, raw);
        if u32::try_from(set.parts.len()).is_ok_and(|count| count == total) {
            return self
                .remove(&key)
                .map(|parts| format!("[{}]", parts.join(",")))
                .into_iter()
                .collect();
        }
        let mut given_up = Vec::new();
        while self.bytes > MOST_BYTES {
            let oldest = self.sets.iter().min_by_key(|(_, set)| set.arrival);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            given_up.extend(self.remove(&key).unwrap_or_default());
        }
        given_up
    }

    fn remove(&mut self, key: &(String, u32)) -> Option<Vec<String>> {
        let parts: Vec<String> = self.sets.remove(key)?.parts.into_values().collect();
        self.bytes -= parts.iter().map(String::len).sum::<usize>();
        Some(parts)
    }

    /// `reached`, or the time of the oldest part that waits: a reading that begins there meets it
    /// again. `None` where that is not known.
    pub(super) fn floor(&self, reached: Option<Timestamp>) -> Option<Timestamp> {
        self.sets.values().fold(reached, |reached, set| reached.min(set.time))
    }

    /// All parts that wait, which wait no more.
    pub(super) fn give_up(&mut self) -> Vec<String> {
        self.bytes = 0;
        std::mem::take(&mut self.sets)
            .into_values()
            .flat_map(|set| set.parts.into_values())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(uid: &str, index: u32, total: u32) -> String {
        format!(r#"{{ "split": {{"uid":"{uid}","index":{index},"totalSplits":{total}}} }}"#)
    }

    fn add(parts: &mut Parts, raw: &str) -> Vec<String> {
        parts.add(Part::of(raw).unwrap(), raw.to_owned(), Some(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn parts_become_a_list_in_their_order_byte_for_byte_whatever_order_they_come_in() {
        let mut parts = Parts::default();
        let [a, b, c] = [0, 1, 2].map(|index| part("u", index, 3));
        assert!(add(&mut parts, &c).is_empty() && add(&mut parts, &a).is_empty());
        assert!(add(&mut parts, &a).is_empty(), "the same part twice is one");
        assert!(add(&mut parts, &part("v", 0, 2)).is_empty(), "of another entry");
        assert_eq!(add(&mut parts, &b), [format!("[{a},{b},{c}]")]);
        assert_eq!(parts.give_up(), [part("v", 0, 2)]);
        assert_eq!((parts.give_up().len(), parts.bytes), (0, 0));
    }

    #[test]
    fn reading_may_not_pass_a_part_that_waits() {
        let mut parts = Parts::default();
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert_eq!(parts.floor(Some(late)), Some(late));
        parts.add(Part::of(&part("u", 0, 2)).unwrap(), String::new(), Some(early));
        assert_eq!(parts.floor(Some(late)), Some(early));
        assert_eq!(parts.floor(None), None);
        parts.add(Part::of(&part("v", 0, 2)).unwrap(), String::new(), None);
        assert_eq!(parts.floor(Some(late)), None);
    }

    #[test]
    fn what_is_held_is_bounded_and_what_is_given_up_is_handed_on() {
        let mut parts = Parts::default();
        let mut handed = 0;
        for number in 0..20 {
            let raw = format!("{}{}", part(&format!("u{number}"), 0, 2), " ".repeat(8 << 20));
            let place = Part::of(&raw).unwrap();
            handed += parts.add(place, raw, None).len();
            assert!(parts.bytes <= MOST_BYTES);
        }
        assert_eq!(handed + parts.give_up().len(), 20);
    }

    #[test]
    fn only_a_part_of_several_has_a_place() {
        for whole in [
            "{}",
            "[]",
            "x",
            r#"{"split":{"uid":"u","index":0,"totalSplits":1}}"#,
            r#"{"split":{"uid":"u","index":2,"totalSplits":2}}"#,
            r#"{"split":{"uid":"","index":0,"totalSplits":2}}"#,
            r#"{"split":{"uid":"u","index":-1,"totalSplits":2}}"#,
            r#"{"protoPayload":{"totalSplits":2}}"#,
        ] {
            assert_eq!(Part::of(whole), None, "{whole}");
        }
        assert!(Part::of(r#"{"split":{"uid":"u","totalSplits":2}}"#).is_some());
    }
}
