//! When a call is tried again, and after how long.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;

/// How often a call is tried, the first time included.
pub(super) const TRIES: usize = 8;

/// A provider that asks for more patience than this is given up on for this run.
const LONGEST: Duration = Duration::from_mins(2);

/// The pauses between the tries of one call: exponential, with jitter.
pub(super) fn pauses(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(first.saturating_mul(64).min(Duration::from_secs(20)))
        .with_max_times(TRIES - 1)
        .with_jitter()
        .build()
}

/// The pause that a `Retry-After` asks for: seconds, or an HTTP date; `now` as the answer's own
/// `Date` says, so that the clock here does not matter.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    let pause = if let Ok(seconds) = value.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let (until, now) = (http_date(value)?, http_date(date?)?);
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    };
    Some(pause.min(LONGEST))
}

/// Reads a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        assert_eq!(retry_after("7", None), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999999", None), Some(LONGEST));
        let (later, now) = ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(later, Some(now)), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(now, Some(later)), Some(Duration::ZERO));
        assert_eq!(retry_after(later, None), None);
        assert_eq!(retry_after("soon", Some(now)), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let all: Vec<_> = pauses(Duration::from_millis(100)).collect();
        assert_eq!(all.len(), TRIES - 1);
        assert!(all.iter().all(|pause| *pause <= Duration::from_secs(13)), "{all:?}");
    }
}
