//! Where a source that reads by time goes on, and what it may call read.
//!
//! Each cursor tells the stretch that its batch completed, `{"from", "to"}`. A run goes on where the
//! first unbroken stretch ends, so that a run over another window (`--since`) leaves no hole behind.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::Json as _;
use super::super::source::History;
use crate::finding::Period;

/// The end of what was read without a hole, no earlier than `floor`, before which nothing can be
/// read any more; `None` where nothing was read yet.
pub(super) fn resume(history: &History, floor: Timestamp) -> Option<Timestamp> {
    let mut stretches: Vec<Period> = history.cursors.iter().filter_map(stretch).collect();
    stretches.sort_unstable();
    let mut at = stretches.first()?.from.max(floor);
    for stretch in stretches {
        if stretch.from > at {
            break;
        }
        at = at.max(stretch.to);
    }
    Some(at)
}

/// The end of everything that was read, holes or not.
pub(super) fn reached(history: &History) -> Option<Timestamp> {
    history.cursors.iter().filter_map(stretch).map(|stretch| stretch.to).max()
}

fn stretch(cursor: &Value) -> Option<Period> {
    let (from, to) = (cursor.time(&["from"])?, cursor.time(&["to"])?);
    (from < to).then_some(Period { from, to })
}

/// Fewer cursors that tell the same stretches: those that touch become one.
pub(super) fn sum_up(history: &History) -> Vec<Value> {
    let mut stretches: Vec<Period> = history.cursors.iter().filter_map(stretch).collect();
    stretches.sort_unstable();
    let mut joined: Vec<Period> = Vec::new();
    for stretch in stretches {
        match joined.last_mut().filter(|last| stretch.from <= last.to) {
            Some(last) => last.to = last.to.max(stretch.to),
            None => joined.push(stretch),
        }
    }
    joined.into_iter().map(cursor).collect()
}

/// A cursor that tells of a completed stretch.
pub(super) fn cursor(period: Period) -> Value {
    json!({"from": period.from.to_string(), "to": period.to.to_string()})
}

/// `time` less `by`, or the first time there is.
pub(super) fn before(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// `time` and `by`, or the last time there is.
pub(super) fn after(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The stretch, or what is left of it before `end`; `None` when that is nothing.
pub(super) fn cut(period: Period, end: Timestamp) -> Option<Period> {
    let period = Period { to: period.to.min(end), ..period };
    (period.from < period.to).then_some(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn history(stretches: &[(i64, i64)]) -> History {
        let period = |(from, to): &(i64, i64)| Period { from: at(*from), to: at(*to) };
        History { cursors: stretches.iter().map(period).map(cursor).collect() }
    }

    #[test]
    fn reading_goes_on_at_the_first_hole_that_can_still_be_read() {
        type Case = (&'static [(i64, i64)], i64, Option<i64>);
        let cases: &[Case] = &[
            (&[], 0, None),
            (&[(1, 2), (2, 3)], 0, Some(3)),
            (&[(1, 2), (2, 3), (7, 8)], 0, Some(3)),
            (&[(7, 8), (1, 2), (2, 7)], 0, Some(8)),
            // The hole is older than what the provider keeps.
            (&[(1, 2), (7, 8)], 5, Some(5)),
            (&[(1, 2), (4, 8)], 5, Some(8)),
        ];
        for (stretches, floor, expected) in cases {
            let found = resume(&history(stretches), at(*floor));
            assert_eq!(found, expected.map(at), "{stretches:?} {floor}");
        }
    }

    #[test]
    fn a_summary_of_many_stretches_has_one_for_each_unbroken_one_and_tells_the_same() {
        let many: Vec<(i64, i64)> = (0..1_000).map(|n| (n / 2, n / 2 + 1 + n % 3)).collect();
        for stretches in [&many[..], &[(1, 2), (2, 3), (7, 8)], &[(7, 8), (1, 2)], &[]] {
            let whole = history(stretches);
            let summed = History { cursors: sum_up(&whole) };
            assert!(summed.cursors.len() <= 2, "{summed:?}");
            // What came last may stand behind the summary once more.
            let tail = whole.cursors.iter().rev().take(3).rev().cloned();
            let again = History { cursors: summed.cursors.iter().cloned().chain(tail).collect() };
            for floor in [0, 1, 5, 100] {
                let expected = (resume(&whole, at(floor)), reached(&whole));
                for history in [&summed, &again] {
                    assert_eq!((resume(history, at(floor)), reached(history)), expected);
                }
            }
        }
    }

    #[test]
    fn cursors_that_tell_no_stretch_are_passed_over() {
        let mut history = history(&[(1, 2)]);
        history.cursors.push(json!({"from": "x"}));
        history.cursors.push(json!({"from": at(9).to_string(), "to": at(3).to_string()}));
        assert_eq!(resume(&history, at(0)), Some(at(2)));
        assert_eq!(reached(&history), Some(at(2)));
    }
}
