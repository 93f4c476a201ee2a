//! Where the reading of one topic goes on, and in which slices.
//!
//! A cursor tells the stretch of a topic that its batch completed. Reading goes on where the first
//! unbroken stretch ends, so that a run over another window (`--since`) leaves no hole behind.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::super::Json as _;
use super::topic::Topic;
use super::{History, LATENESS, Note, OVERLAP, Window};
use crate::finding::Period;

/// The width of the first slice, and the bounds within which others are made.
const FIRST: SignedDuration = SignedDuration::from_hours(24);
const NARROWEST: SignedDuration = SignedDuration::from_mins(10);
const WIDEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Slices grow while they have fewer pages than this, and shrink above four times as many: at two
/// pages a second one takes a minute or so, which is what a process that is killed loses.
const PAGES: usize = 60;

/// One topic that is being read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) topic: Topic,
    /// Where the next slice begins.
    pub(super) at: Timestamp,
    /// Where the last one ends.
    until: Timestamp,
    /// The end of what can be covered.
    pub(super) settled: Timestamp,
    width: SignedDuration,
    /// The stretch that was wanted and is out of reach.
    lost: Option<Period>,
}

impl Part {
    /// Plans the reading of a topic; before `oldest` there is nothing.
    pub(super) fn new(topic: Topic, history: &History, window: Window, oldest: Timestamp) -> Self {
        let mut read: Vec<Period> =
            history.cursors.iter().filter_map(|cursor| stretch(cursor, topic.word)).collect();
        read.sort_unstable();
        let stood = resume(&read, oldest).map(|time| before(time, OVERLAP));
        let at = whole(window.since.or(stood).unwrap_or(oldest).max(oldest));
        let newest = read.iter().map(|period| period.to).max();
        let lost = window
            .since
            .or(newest)
            .filter(|wanted| *wanted < oldest)
            .map(|wanted| Period { from: wanted, to: oldest.min(window.until) });
        let settled = whole(window.until.min(before(window.now, LATENESS)));
        Self { topic, at, until: window.until, settled, width: FIRST, lost }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.until
    }

    /// The next slice.
    pub(super) fn slice(&self) -> Period {
        let to = self.at.checked_add(self.width).map_or(self.until, |to| to.min(self.until));
        Period { from: self.at, to }
    }

    /// The cursor of a stretch that was read.
    pub(super) fn cursor(&self, period: Period) -> Value {
        told(self.topic.word, period)
    }

    /// Goes on after a slice that had so many pages.
    pub(super) fn advance(&mut self, slice: Period, pages: usize) {
        self.at = slice.to;
        if pages < PAGES.max(self.topic.lookups.len() * 2) {
            self.width = (self.width * 2).min(WIDEST);
        } else if pages > PAGES * 4 {
            self.width = (self.width / 2).max(NARROWEST);
        }
    }
}

/// What was wanted and is older than the history.
pub(super) fn out_of_reach(parts: &[Part]) -> Option<Note> {
    let stretches = || parts.iter().filter_map(|part| part.lost);
    let from = stretches().map(|lost| lost.from).min()?;
    lost(from, stretches().map(|lost| lost.to).max()?)
}

/// That a stretch is older than the history.
pub(super) fn lost(from: Timestamp, to: Timestamp) -> Option<Note> {
    (from < to).then(|| Note {
        message: format!(
            "CloudTrail's event history goes back 90 days: {from} to {to} is not read from it"
        ),
        hint: Some("read that stretch from a trail's bucket (type \"aws.trail\")".to_owned()),
    })
}

/// The end of what was read without a hole, no earlier than `oldest`; `read` is in order.
fn resume(read: &[Period], oldest: Timestamp) -> Option<Timestamp> {
    let mut at = read.first()?.from.max(oldest);
    for stretch in read {
        if stretch.from > at {
            break;
        }
        at = at.max(stretch.to);
    }
    Some(at)
}

fn stretch(cursor: &Value, word: &str) -> Option<Period> {
    let (from, to) = (cursor.time(&["from"])?, cursor.time(&["to"])?);
    (cursor.text(&["log"]) == Some(word) && from < to).then_some(Period { from, to })
}

/// Fewer cursors that tell the same stretches: those of a topic that touch become one.
pub(super) fn sum_up(history: &History) -> Vec<Value> {
    let mut words: Vec<&str> =
        history.cursors.iter().filter_map(|cursor| cursor.text(&["log"])).collect();
    words.sort_unstable();
    words.dedup();
    let mut cursors = Vec::new();
    for word in words {
        let mut read: Vec<Period> =
            history.cursors.iter().filter_map(|cursor| stretch(cursor, word)).collect();
        read.sort_unstable();
        let mut joined: Vec<Period> = Vec::new();
        for stretch in read {
            match joined.last_mut().filter(|last| stretch.from <= last.to) {
                Some(last) => last.to = last.to.max(stretch.to),
                None => joined.push(stretch),
            }
        }
        cursors.extend(joined.into_iter().map(|period| told(word, period)));
    }
    cursors
}

/// The cursor of a stretch of a topic.
fn told(word: &str, period: Period) -> Value {
    json!({"log": word, "from": period.from.to_string(), "to": period.to.to_string()})
}

/// `time` less `by`, or the first time there is.
pub(super) fn before(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Without parts of a second, which the times of events do not have.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn topic() -> Topic {
        Topic { word: "aws.kms", kind: Some("aws.kms"), lookups: Vec::new() }
    }

    fn part(stretches: &[(i64, i64)], since: Option<i64>) -> Part {
        let cursor = |(from, to): &(i64, i64)| json!({"log": "aws.kms", "from": at(*from).to_string(), "to": at(*to).to_string()});
        let mut history = History { cursors: stretches.iter().map(cursor).collect() };
        history
            .cursors
            .push(json!({"log": "other", "from": at(1).to_string(), "to": at(99).to_string()}));
        history.cursors.push(json!({"from": 1}));
        let window = Window { since: since.map(at), until: at(100), now: at(100) };
        Part::new(topic(), &history, window, at(10))
    }

    #[test]
    fn reading_goes_on_at_the_first_hole_and_reads_an_hour_again() {
        let hour = |day| at(day) - OVERLAP;
        assert_eq!(part(&[], None).at, at(10));
        assert_eq!(part(&[(20, 21), (21, 30)], None).at, hour(30));
        assert_eq!(part(&[(20, 21), (50, 60)], None).at, hour(21));
        assert_eq!(part(&[(50, 60), (20, 30)], None).at, hour(30));
        assert_eq!(part(&[(50, 60)], Some(55)).at, at(55));
        // A hole out of reach.
        assert_eq!(part(&[(1, 2), (50, 60)], None).at, at(10));
        assert_eq!(part(&[(1, 2), (9, 60)], None).at, hour(60));
    }

    #[test]
    fn a_summary_tells_the_same_stretches_of_each_topic() {
        for stretches in
            [&[(20, 21), (21, 30)][..], &[(20, 21), (50, 60)], &[(50, 60), (20, 30), (25, 35)]]
        {
            let cursors = stretches
                .iter()
                .map(|(from, to)| told("aws.kms", Period { from: at(*from), to: at(*to) }));
            let mut history = History { cursors: cursors.collect() };
            history.cursors.push(told("other", Period { from: at(1), to: at(99) }));
            let summary = History { cursors: sum_up(&history) };
            assert!(summary.cursors.len() <= 3, "{summary:?}");
            let window = Window { since: None, until: at(100), now: at(100) };
            let part = |history| Part::new(topic(), history, window, at(10)).at;
            assert_eq!(part(&summary), part(&history), "{stretches:?}");
        }
    }

    #[test]
    fn what_is_out_of_reach_is_told_where_it_was_wanted() {
        assert!(out_of_reach(&[part(&[], None)]).is_none());
        assert!(out_of_reach(&[part(&[(20, 30)], None)]).is_none());
        for part in [part(&[], Some(3)), part(&[(1, 3)], None)] {
            let note = out_of_reach(&[part]).unwrap();
            assert!(note.message.contains("1970-01-04T00:00:00Z to 1970-01-11"), "{note:?}");
        }
    }

    #[test]
    fn slices_follow_how_much_there_is() {
        let mut part = part(&[], None);
        assert_eq!(part.slice(), Period { from: at(10), to: at(11) });
        part.advance(part.slice(), 1);
        assert_eq!(part.slice(), Period { from: at(11), to: at(13) });
        part.advance(part.slice(), 1_000);
        assert_eq!(part.slice(), Period { from: at(13), to: at(14) });
        part.advance(part.slice(), 100);
        assert_eq!(part.slice(), Period { from: at(14), to: at(15) });
        for _ in 0..9 {
            part.advance(part.slice(), 1);
        }
        assert!(part.is_done() && part.at == at(100));
    }
}
