//! Stretches of time: joined, taken out of each other, moved without overflow.

use jiff::{SignedDuration, Timestamp};

use crate::finding::Period;

/// The moment so long before another, or the first that there is.
pub(super) fn before(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_sub(duration).unwrap_or(Timestamp::MIN)
}

/// The moment so long after another, or the last that there is.
pub(super) fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// What two stretches have in common.
pub(super) fn common(one: Period, other: Period) -> Option<Period> {
    let both = Period { from: one.from.max(other.from), to: one.to.min(other.to) };
    (both.from < both.to).then_some(both)
}

/// Orders stretches and joins those that touch.
pub(super) fn joined(mut stretches: Vec<Period>) -> Vec<Period> {
    stretches.retain(|stretch| stretch.from < stretch.to);
    stretches.sort_unstable();
    stretches.dedup_by(|next, kept| {
        let touches = next.from <= kept.to;
        if touches {
            kept.to = kept.to.max(next.to);
        }
        touches
    });
    stretches
}

/// Takes stretches out of one; both lists are walked once.
pub(super) fn without(whole: Period, taken: &[Period]) -> Vec<Period> {
    let mut open = Vec::new();
    let mut from = whole.from;
    for taken in joined(taken.to_vec()) {
        if taken.from >= whole.to {
            break;
        }
        if taken.from > from {
            open.push(Period { from, to: taken.from });
        }
        from = from.max(taken.to);
    }
    if from < whole.to {
        open.push(Period { from, to: whole.to });
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: i64, to: i64) -> Period {
        let time = |second| Timestamp::from_second(second).unwrap();
        Period { from: time(from), to: time(to) }
    }

    #[test]
    fn what_is_taken_out_leaves_what_stands_around_it() {
        let taken = [period(8, 9), period(-5, 2), period(4, 5), period(5, 6)];
        assert_eq!(without(period(0, 10), &taken), [period(2, 4), period(6, 8), period(9, 10)]);
        assert_eq!(without(period(0, 10), &[period(-1, 11)]), []);
        assert_eq!(without(period(3, 3), &[]), []);
        assert_eq!(common(period(0, 5), period(5, 9)), None);
    }
}
