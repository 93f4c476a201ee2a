//! Which stretches to read, and how far reading has come.
//!
//! An entry may arrive after entries that are younger. So a stretch counts as settled only once it is
//! [`LATENESS`] old; each run looks back a little, and once a day further back.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::super::source::{History, Window};
use super::auditing::Sight;
use crate::finding::Period;

/// Coverage ends this long before the time of collection. Audit entries arrive within seconds as a
/// rule; Google promises nothing ("Audit logs" has no bound on it), so this is an hour by choice.
pub(super) const LATENESS: SignedDuration = SignedDuration::from_hours(1);

/// How far each run reads again, and how far once a day.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);
const DAILY_LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Admin Activity entries are kept 400 days in the bucket `_Required`, which cannot be changed
/// ("Cloud Logging quotas and limits"). The last day is read, and not covered: it is being deleted.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);
pub(super) const MARGIN: SignedDuration = SignedDuration::from_hours(24);

/// The longest and shortest slices, and the one to begin with.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
const SHORTEST: SignedDuration = SignedDuration::from_hours(1);
const USUAL: SignedDuration = SignedDuration::from_hours(24);
const ZERO: SignedDuration = SignedDuration::ZERO;

/// A slice of fewer pages makes the next one longer, one of more makes it shorter.
const FEW_PAGES: usize = 5;
const MANY_PAGES: usize = 50;

/// Where a source stood, as it is kept in a receipt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Everything before it is settled and read, as far back as reading began.
    pub(super) settled: Option<Timestamp>,
    /// When a run last looked back a whole day.
    pub(super) looked_back: Option<Timestamp>,
    /// How long slices are, in hours: what the density of the log made of it.
    pub(super) slice_hours: Option<i64>,
    /// The slice that was being read.
    pub(super) part: Option<Part>,
    /// Until when every use of a key is proven to have been logged, without a break.
    pub(super) logged_until: Option<Timestamp>,
    /// What this run saw of the configuration of Data Access logs.
    pub(super) sight: Option<Sight>,
}

/// A slice that is read in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Every entry before it was read.
    pub(super) reached: Timestamp,
}

/// A stretch to read in one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// The stretch that is covered once this one is read.
    pub(super) whole: Period,
    /// From where it is read: later than it begins where an earlier run has read the beginning.
    pub(super) read_from: Timestamp,
    /// Whether nothing should arrive late any more.
    pub(super) settled: bool,
}

/// The slices of one run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    now: Timestamp,
    position: Timestamp,
    settle: Timestamp,
    until: Timestamp,
    length: SignedDuration,
    /// By how much the first slice is longer, so that a run that ends after it has gone on from
    /// where the last one stood, however far it looked back.
    extra: SignedDuration,
    resume: Option<Part>,
    /// Where this run began to read, and reads on without a hole.
    pub(super) began: Timestamp,
    /// Nothing before it can be covered: it is or was being deleted.
    pub(super) floor: Timestamp,
    /// Set where an earlier beginning was asked for than is kept.
    pub(super) cut: Option<Timestamp>,
    old: Cursor,
    daily: bool,
    settled: Option<Timestamp>,
}

/// `time` moved by `by`, as far as time goes.
pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(by).unwrap_or(end)
}

pub(super) fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    later(time, -by)
}

impl Plan {
    /// Plans a run. A cursor that cannot be read counts as none: reading again does no harm.
    pub(super) fn new(history: &History, window: Window) -> Self {
        let newest = history.newest().cloned().unwrap_or_default();
        let old: Cursor = serde_json::from_value(newest).unwrap_or_default();
        let now = window.now;
        let until = window.until.min(now);
        let oldest = earlier(now, KEPT);
        let due = window.since.is_none()
            && old.looked_back.is_none_or(|last| last <= earlier(now, DAY) || last > now);
        let resume = old.part.filter(|part| {
            window.since.is_none() && old.settled.is_none_or(|settled| part.from <= settled)
        });
        let back = if due { DAILY_LOOK_BACK } else { LOOK_BACK };
        let stood = old.settled.map(|settled| earlier(settled, back));
        let wanted = window.since.or(resume.map(|part| part.from)).or(stood).unwrap_or(oldest);
        let position = wanted.max(oldest);
        let resume = resume.filter(|part| part.from == position);
        // What is resumed may have begun later than a day back: then the next run looks back.
        let far = |part: Part| {
            old.settled.is_none_or(|settled| part.from <= earlier(settled, DAILY_LOOK_BACK))
        };
        let daily = due && resume.is_none_or(far);
        Self {
            now,
            position,
            settle: until.min(earlier(now, LATENESS)),
            until,
            length: old.slice_hours.map_or(USUAL, |hours| {
                SignedDuration::from_hours(hours.clamp(1, LONGEST.as_hours()))
            }),
            extra: if resume.is_none() && stood == Some(position) { back } else { ZERO },
            resume,
            began: resume.map_or(position, |part| part.reached.max(part.from)),
            floor: later(oldest, MARGIN),
            cut: (wanted < oldest).then_some(wanted),
            settled: old.settled,
            daily,
            old,
        }
    }

    /// Until when the use of keys was proven to be logged at the end of the last run.
    pub(super) fn logged_until(&self) -> Option<Timestamp> {
        self.old.logged_until
    }

    /// When the log is read.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes the next slice; none where the end is reached.
    pub(super) fn next(&mut self) -> Option<Slice> {
        if let Some(part) = self.resume.take() {
            let to = part.to.min(self.settle);
            if part.from < to {
                let whole = Period { from: part.from, to };
                let read_from = part.reached.clamp(part.from, to);
                return Some(Slice { whole, read_from, settled: true });
            }
        }
        let from = self.position;
        let settled = from < self.settle;
        let length = self.length.saturating_add(std::mem::take(&mut self.extra));
        let to = if settled { later(from, length).min(self.settle) } else { self.until };
        let whole = Period { from, to };
        (from < to).then_some(Slice { whole, read_from: from, settled })
    }

    /// The cursor while `slice` is read as far as `reached`.
    pub(super) fn during(&self, slice: Slice, reached: Option<Timestamp>) -> Cursor {
        let Period { from, to } = slice.whole;
        let part = reached.filter(|_| slice.settled).map(|reached| Part { from, to, reached });
        let (settled, looked_back) = (self.settled, self.old.looked_back);
        let slice_hours = Some(self.length.as_hours());
        Cursor { settled, looked_back, slice_hours, part, ..Cursor::default() }
    }

    /// Marks `slice` as read, in so many pages, and gives the cursor then.
    pub(super) fn done(&mut self, slice: Slice, pages: usize) -> Cursor {
        self.position = slice.whole.to;
        if pages <= FEW_PAGES {
            self.length = (self.length * 2).min(LONGEST);
        } else if pages >= MANY_PAGES {
            self.length = (self.length / 2).max(SHORTEST);
        }
        if slice.settled {
            // A stretch that does not join what was read leaves a hole, which the next run reads.
            let joins = self.settled.is_none_or(|settled| slice.whole.from <= settled);
            if joins {
                let to = slice.whole.to;
                self.settled = Some(self.settled.map_or(to, |settled| settled.max(to)));
            }
        }
        let passed = self.old.settled.is_none_or(|settled| self.position >= settled);
        let looked_back = if self.daily && passed && self.position >= self.settle {
            Some(self.now)
        } else {
            self.old.looked_back
        };
        let (settled, slice_hours) = (self.settled, Some(self.length.as_hours()));
        Cursor { settled, looked_back, slice_hours, ..Cursor::default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(since: Option<&str>, now: &str) -> Window {
        Window { since: since.map(time), until: time(now), now: time(now) }
    }

    fn stood(cursor: &Cursor) -> History {
        History { cursors: vec![serde_json::to_value(cursor).unwrap()] }
    }

    fn all(plan: &mut Plan, pages: usize) -> (Vec<Slice>, Cursor) {
        let (mut slices, mut cursor) = (Vec::new(), Cursor::default());
        while let Some(slice) = plan.next() {
            cursor = plan.done(slice, pages);
            slices.push(slice);
        }
        (slices, cursor)
    }

    const NOW: &str = "2026-11-27T12:00:00Z";

    #[test]
    fn a_first_run_goes_back_as_far_as_entries_are_kept_in_slices_without_holes() {
        let mut plan = Plan::new(&History::default(), window(None, NOW));
        let (slices, cursor) = all(&mut plan, 1);
        assert_eq!(slices[0].whole.from, time("2025-10-23T12:00:00Z"));
        assert!(slices.windows(2).all(|pair| pair[0].whole.to == pair[1].whole.from));
        assert!(slices.len() < 70, "{}", slices.len());
        let last = slices.last().unwrap();
        assert_eq!((last.whole.to, last.settled), (time(NOW), false));
        assert_eq!(cursor.settled, Some(time("2026-11-27T11:00:00Z")));
        assert_eq!(cursor.looked_back, Some(time(NOW)));
    }

    #[test]
    fn the_next_run_looks_back_an_hour_and_once_a_day_a_day() {
        let mut cursor = Cursor {
            settled: Some(time("2026-11-27T11:00:00Z")),
            looked_back: Some(time(NOW)),
            ..Cursor::default()
        };
        let plan = Plan::new(&stood(&cursor), window(None, "2026-11-27T12:15:00Z"));
        assert_eq!(plan.position, time("2026-11-27T10:00:00Z"));
        cursor.looked_back = Some(time("2026-11-26T12:00:00Z"));
        let mut plan = Plan::new(&stood(&cursor), window(None, "2026-11-27T12:15:00Z"));
        assert_eq!(plan.position, time("2026-11-26T11:00:00Z"));
        let (_, cursor) = all(&mut plan, 1);
        assert_eq!(cursor.looked_back, Some(time("2026-11-27T12:15:00Z")));
    }

    #[test]
    fn a_slice_that_was_broken_off_goes_on_where_it_was() {
        let part = Part {
            from: time("2026-11-01T00:00:00Z"),
            to: time("2026-11-02T00:00:00Z"),
            reached: time("2026-11-01T18:00:00Z"),
        };
        let cursor = Cursor { settled: Some(part.from), part: Some(part), ..Cursor::default() };
        let mut plan = Plan::new(&stood(&cursor), window(None, NOW));
        let slice = plan.next().unwrap();
        assert_eq!((slice.read_from, slice.whole.from), (part.reached, part.from));
        assert_eq!(plan.began, part.reached);
        assert_eq!(plan.done(slice, 1).settled, Some(part.to));
        assert_eq!(plan.next().unwrap().whole.from, part.to);
    }

    #[test]
    fn a_later_beginning_leaves_a_hole_that_the_next_run_reads() {
        let cursor = Cursor {
            settled: Some(time("2026-11-01T00:00:00Z")),
            looked_back: Some(time("2026-11-27T11:00:00Z")),
            ..Cursor::default()
        };
        let mut plan = Plan::new(&stood(&cursor), window(Some("2026-11-20T00:00:00Z"), NOW));
        let (_, after) = all(&mut plan, 1);
        assert_eq!(after.settled, cursor.settled);
        assert_eq!(after.looked_back, cursor.looked_back);
    }

    #[test]
    fn what_is_no_longer_kept_is_neither_read_nor_covered() {
        let plan = Plan::new(&History::default(), window(Some("2020-01-01T00:00:00Z"), NOW));
        assert_eq!(plan.position, time("2025-10-23T12:00:00Z"));
        assert_eq!(plan.floor, time("2025-10-24T12:00:00Z"));
        assert_eq!(plan.cut, Some(time("2020-01-01T00:00:00Z")));
    }

    #[test]
    fn slices_follow_the_density_of_the_log() {
        let mut plan = Plan::new(&History::default(), window(None, NOW));
        for _ in 0..10 {
            let slice = plan.next().unwrap();
            plan.done(slice, 200);
        }
        assert_eq!(plan.length, SHORTEST);
    }

    #[test]
    fn an_odd_cursor_or_clock_ends_and_moves_nothing_back() {
        let odd = History { cursors: vec![json!({"settled": 7})] };
        assert!(Plan::new(&odd, window(None, NOW)).next().is_some());
        let ahead = Cursor { settled: Some(time("2030-01-01T00:00:00Z")), ..Cursor::default() };
        let mut plan = Plan::new(&stood(&ahead), window(None, NOW));
        assert_eq!(plan.next(), None);
        let empty = window(Some("2026-12-01T00:00:00Z"), NOW);
        assert_eq!(Plan::new(&History::default(), empty).next(), None);
    }
}
