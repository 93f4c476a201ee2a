//! The days by which logs lie in folders: `2026/11/20`, or `y=2026/m=11/d=20`.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// How a layout writes the folders of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    /// `2026/11/20`
    Plain,
    /// `y=2026/m=11/d=20`
    Named,
}

impl Days {
    /// The folder of `day`.
    pub(super) fn folder(self, day: Date) -> String {
        let (year, month, date) = (day.year(), day.month(), day.day());
        match self {
            Self::Plain => format!("{year:04}/{month:02}/{date:02}"),
            Self::Named => format!("y={year:04}/m={month:02}/d={date:02}"),
        }
    }
}

/// The place and day of a key: what stands before the folders of its day, and that day.
pub(super) fn of_key(key: &str) -> Option<(&str, Date)> {
    let mut at = 0;
    let parts: Vec<(usize, &str)> = key
        .split('/')
        .map(|part| {
            let begin = at;
            at += part.len() + 1;
            (begin, part)
        })
        .collect();
    parts.windows(3).find_map(|window| {
        let [(begin, year), (_, month), (_, day)] = window else { return None };
        let year = number(year, "y=", 4)?;
        let (month, day) = (number(month, "m=", 2)?, number(day, "d=", 2)?);
        let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        Some((key.get(..begin.checked_sub(1)?)?, date))
    })
}

fn number(part: &str, name: &str, digits: usize) -> Option<i16> {
    let part = part.strip_prefix(name).unwrap_or(part);
    let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    if plain { part.parse().ok() } else { None }
}

/// The day, in UTC, of a time.
pub(super) fn of_time(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// The day `count` days before `day`.
pub(super) fn before(day: Date, count: u16) -> Date {
    day.saturating_sub(i64::from(count).days())
}

/// The first instant after `day`.
pub(super) fn end(day: Date) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.to_datetime(Time::midnight())).ok()
}

/// All days from `first` to `last`, both with it.
pub(super) fn all(first: Date, last: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(first), |day| day.tomorrow().ok())
        .take_while(move |day| *day <= last)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_key_tells_its_place_and_day_in_every_layout() {
        let cases = [
            ("p/AWSLogs/1/CloudTrail/eu/2026/11/20/x.gz", "p/AWSLogs/1/CloudTrail/eu"),
            ("c.com/activity/2026/11/20/08:00:00_08:59:59_S0.json", "c.com/activity"),
            ("resourceId=/S/y=2026/m=11/d=20/h=01/m=00/PT1H.json", "resourceId=/S"),
        ];
        for (key, place) in cases {
            assert_eq!(of_key(key), Some((place, date(2026, 11, 20))), "{key}");
        }
        for odd in ["", "2026/11/20/x", "a/2026/13/20/x", "a/2026/11/2/x", "a/b/c/d"] {
            assert_eq!(of_key(odd), None, "{odd}");
        }
        assert_eq!(Days::Named.folder(date(2026, 1, 2)), "y=2026/m=01/d=02");
        assert_eq!(Days::Plain.folder(date(2026, 1, 2)), "2026/01/02");
    }

    #[test]
    fn days_go_over_the_ends_of_months() {
        let days: Vec<_> = all(date(2026, 2, 27), date(2026, 3, 1)).collect();
        assert_eq!(days.len(), 3);
        assert_eq!(before(date(2026, 3, 1), 1), date(2026, 2, 28));
        assert_eq!(end(date(2026, 2, 28)).unwrap().to_string(), "2026-03-01T00:00:00Z");
    }
}
