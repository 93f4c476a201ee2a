//! Drawings for the report, as SVG to stand inside HTML: time lines and bars. They are made of
//! numbers and of words fixed here, so that nothing from a log can get into the markup; whoever
//! places one writes the text alternative beside it. Colours come from the page's style sheet by
//! class; patterns (`#p-…`) keep the parts apart in black and white.
//!
//! A time line is [`WIDTH`] units wide, whatever the period: one unit of a year is nine hours.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

use super::RotationLine;
use crate::finding::{Period, Summary};

/// Width of every drawing, in its own units.
const WIDTH: i64 = 1000;
/// The least width of what must not vanish from a bar.
const LEAST: i64 = 5;
const DAY: i64 = 86_400;
/// More days than this are not looked at one by one: a hundred years.
const MOST_DAYS: i64 = 36_600;

/// Maps times to places on a time line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    period: Period,
}

impl Scale {
    pub(super) fn new(period: Period) -> Self {
        Self { period }
    }

    /// The place of a time; times outside the period lie on its edge.
    fn x(self, time: Timestamp) -> i64 {
        let Period { from, to } = self.period;
        let span = (to.as_second() - from.as_second()).max(1);
        let into = time.as_second() - from.as_second();
        (into.clamp(0, span) * WIDTH) / span
    }

    /// Places of the parts of `stretches` that lie in the period, joined where they touch, each at
    /// least two units wide.
    fn bands(self, stretches: &[Period]) -> Vec<(i64, i64)> {
        let mut bands: Vec<(i64, i64)> = stretches
            .iter()
            .filter(|stretch| stretch.from < self.period.to && stretch.to > self.period.from)
            .map(|stretch| (self.x(stretch.from), self.x(stretch.to)))
            .map(|(from, to)| (from.min(WIDTH - 2), to.max(from.min(WIDTH - 2) + 2)))
            .collect();
        bands.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (from, to) in bands {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }
}

/// How wide the page draws an axis, which decides how many words have room on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// Over the whole width of a page.
    Wide,
    /// Over two thirds of it.
    Narrow,
}

/// The axis above time lines: months, years or days, whichever give at most a dozen marks.
pub(super) fn axis(scale: Scale, axis: Axis) -> String {
    let (class, every, reserve) = match axis {
        Axis::Wide => ("tick", 1, 52),
        Axis::Narrow => ("tick large", 2, 72),
    };
    let mut svg = open(18);
    for (index, (time, label)) in marks(scale.period).into_iter().enumerate() {
        let x = scale.x(time);
        push(&mut svg, format_args!(r#"<path class="axis" d="M{x} 0V18"/>"#));
        if index % every > 0 {
            continue;
        }
        let anchor = if x > WIDTH - reserve { ("end", x - 3) } else { ("start", x + 3) };
        push(
            &mut svg,
            format_args!(
                r#"<text class="{class}" text-anchor="{}" x="{}" y="12">{label}</text>"#,
                anchor.0, anchor.1
            ),
        );
    }
    close(svg)
}

/// The rotations of one key over the period: a track while the key existed, a stretch without
/// rotation that is too long in solid, what no coverage proves hatched, each rotation a tick.
pub(super) fn rotations(scale: Scale, line: &RotationLine, as_of: Timestamp) -> String {
    let mut svg = open(24);
    grid(&mut svg, scale, 24);
    let start = line.created_at.map_or(0, |created| scale.x(created));
    let end = scale.x(as_of).max(start);
    rect(&mut svg, "track", (start, end), (9, 6));
    for band in scale.bands(&line.violations) {
        rect(&mut svg, "late", band, (6, 12));
    }
    for band in scale.bands(&line.uncovered) {
        rect(&mut svg, "unseen", band, (2, 20));
    }
    let inside = |time: &&Timestamp| **time >= scale.period.from && **time < scale.period.to;
    // At most one tick a unit, however many rotations a log claims.
    let ticks: BTreeSet<i64> =
        line.rotations.iter().filter(inside).map(|t| scale.x(*t).clamp(4, WIDTH - 4)).collect();
    for x in ticks {
        let (left, right) = (x - 4, x + 4);
        push(
            &mut svg,
            format_args!(r#"<path class="turn" d="M{x} 21V8M{left} 2H{right}L{x} 8Z"/>"#),
        );
    }
    if as_of < scale.period.to {
        push(&mut svg, format_args!(r#"<path class="asof" d="M{end} 0V24"/>"#));
    }
    close(svg)
}

/// How well one day is proven read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// The whole of it, by the provider's own means.
    Proven,
    /// The whole of it, but only by a person's declaration in part.
    Declared,
    /// A part of it.
    Partly,
    /// Nothing of it.
    Unseen,
}

/// What stretches of one log are proven read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    proven: Vec<Period>,
    all: Vec<Period>,
}

/// A strip of days and its figures.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) svg: String,
    /// Days looked at: those of the period up to `as_of`.
    pub(super) days: u64,
    /// Days proven read from end to end.
    pub(super) proven: u64,
    /// Days read from end to end where a declaration is counted.
    pub(super) declared: u64,
    /// Days of which a part is read.
    pub(super) partly: u64,
}

impl Reading {
    /// Adds a covered stretch.
    pub(super) fn add(&mut self, stretch: Period, declared: bool) {
        self.all.push(stretch);
        if !declared {
            self.proven.push(stretch);
        }
    }

    /// Draws the days of the period up to `as_of`.
    pub(super) fn strip(&self, scale: Scale, as_of: Timestamp) -> Strip {
        let (proven, all) = (union(&self.proven), union(&self.all));
        let days = days(Period { from: scale.period.from, to: scale.period.to.min(as_of) });
        let mut strip = Strip { svg: open(16), days: 0, proven: 0, declared: 0, partly: 0 };
        grid(&mut strip.svg, scale, 16);
        let mut run: Option<(Day, Period)> = None;
        for cell in days {
            let day = judge(cell, &proven, &all);
            strip.count(day);
            run = match run {
                Some((same, stretch)) if same == day => {
                    Some((day, Period { from: stretch.from, to: cell.to }))
                }
                ended => {
                    strip.draw(scale, ended);
                    Some((day, cell))
                }
            };
        }
        strip.draw(scale, run);
        strip.svg = close(strip.svg);
        strip
    }
}

impl Strip {
    fn count(&mut self, day: Day) {
        self.days += 1;
        match day {
            Day::Proven => self.proven += 1,
            Day::Declared => self.declared += 1,
            Day::Partly => self.partly += 1,
            Day::Unseen => {}
        }
    }

    fn draw(&mut self, scale: Scale, run: Option<(Day, Period)>) {
        let Some((day, stretch)) = run else { return };
        let from = scale.x(stretch.from).min(WIDTH - 1);
        let band = (from, scale.x(stretch.to).max(from + 1));
        match day {
            Day::Proven => rect(&mut self.svg, "proven", band, (3, 10)),
            Day::Declared => rect(&mut self.svg, "declared", band, (3, 10)),
            Day::Partly => rect(&mut self.svg, "partly", band, (8, 5)),
            Day::Unseen => rect(&mut self.svg, "unseen", band, (1, 14)),
        }
    }
}

/// Stretches sorted and joined where they touch or overlap.
fn union(stretches: &[Period]) -> Vec<Period> {
    let mut sorted: Vec<Period> = stretches.iter().copied().filter(|s| s.from < s.to).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Period> = Vec::new();
    for stretch in sorted {
        match joined.last_mut() {
            Some(last) if stretch.from <= last.to => last.to = last.to.max(stretch.to),
            _ => joined.push(stretch),
        }
    }
    joined
}

/// The UTC days of a period, the first and last cut to it.
fn days(period: Period) -> impl Iterator<Item = Period> {
    let first = period.from.as_second().div_euclid(DAY);
    let last = (period.to.as_second() - 1).div_euclid(DAY).min(first + MOST_DAYS);
    (first..=last)
        .map(move |day| Period {
            from: midnight(day).max(period.from),
            to: midnight(day + 1).min(period.to),
        })
        .filter(|cell| cell.from < cell.to)
}

fn midnight(day: i64) -> Timestamp {
    Timestamp::from_second(day.saturating_mul(DAY)).unwrap_or(Timestamp::MAX)
}

fn judge(cell: Period, proven: &[Period], all: &[Period]) -> Day {
    // In a union, the stretch that could hold a cell is the last one that begins before it ends.
    let near = |union: &[Period]| -> Option<Period> {
        let after = union.partition_point(|stretch| stretch.from < cell.to);
        after.checked_sub(1).and_then(|index| union.get(index)).copied()
    };
    let holds = |stretch: Period| stretch.from <= cell.from && stretch.to >= cell.to;
    if near(proven).is_some_and(holds) {
        Day::Proven
    } else if near(all).is_some_and(holds) {
        Day::Declared
    } else if near(all).is_some_and(|stretch| stretch.to > cell.from) {
        Day::Partly
    } else {
        Day::Unseen
    }
}

/// One bar that is divided as the verdicts are, worst first. Empty where there are none.
pub(super) fn verdicts(summary: Summary, height: i64) -> String {
    let Summary { pass, fail, undetermined, not_applicable, error, waived } = summary;
    let parts = [
        ("fail", fail),
        ("error", error),
        ("undetermined", undetermined),
        ("waived", waived),
        ("pass", pass),
        ("na", not_applicable),
    ];
    let total: u128 = parts.iter().map(|(_, count)| u128::from(*count)).sum();
    let present = i64::try_from(parts.iter().filter(|part| part.1 > 0).count()).unwrap_or(0);
    let shared = u128::try_from(WIDTH - present * LEAST).unwrap_or(0);
    let mut svg = stretched(height);
    let mut x = 0;
    for (class, count) in parts.into_iter().filter(|part| part.1 > 0) {
        let share = u128::from(count) * shared / total.max(1);
        let width = LEAST + i64::try_from(share).unwrap_or(0);
        rect(&mut svg, class, (x, x + width), (0, height));
        x += width;
    }
    close(svg)
}

/// Times worth a mark on an axis, with their words: ISO dates, as short as they can be.
fn marks(period: Period) -> Vec<(Timestamp, String)> {
    let seconds = period.to.as_second() - period.from.as_second();
    let days = seconds / DAY;
    let first = Offset::UTC.to_datetime(period.from).date();
    if days < 62 {
        let step = (days / 10).max(1);
        return series(first, period, |date| date.checked_add(step.days()).ok(), "%m-%d");
    }
    let months = days / 30;
    let step = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12_000, 60_000, 240_000]
        .into_iter()
        .find(|step| months / step <= 12)
        .unwrap_or(240_000);
    let start = first.first_of_month();
    series(start, period, |date| date.checked_add(step.months()).ok(), "%Y-%m")
}

fn series(
    start: Date,
    period: Period,
    next: impl Fn(Date) -> Option<Date>,
    format: &str,
) -> Vec<(Timestamp, String)> {
    std::iter::successors(Some(start), |date| next(*date))
        .filter_map(|date| {
            let time = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
            Some((time, date.strftime(format).to_string()))
        })
        .skip_while(|(time, _)| *time < period.from)
        .take_while(|(time, _)| *time < period.to)
        .take(64)
        .collect()
}

fn grid(svg: &mut String, scale: Scale, height: i64) {
    for (time, _) in marks(scale.period) {
        let x = scale.x(time);
        push(svg, format_args!(r#"<path class="axis" d="M{x} 0V{height}"/>"#));
    }
}

/// A rectangle of a class, from and to a place, from and to a height.
fn rect(svg: &mut String, class: &str, (from, to): (i64, i64), (top, height): (i64, i64)) {
    let width = to - from;
    push(
        svg,
        format_args!(
            r#"<rect class="{class}" x="{from}" y="{top}" width="{width}" height="{height}"/>"#
        ),
    );
}

fn open(height: i64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" aria-hidden="true" focusable="false">"#)
}

/// A drawing whose height on the page does not follow its width.
fn stretched(height: i64) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" aria-hidden="true" focusable="false">"#
    )
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}

fn push(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    svg.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    fn span(from: &str, to: &str) -> Period {
        Period { from: at(from), to: at(to) }
    }

    fn year() -> Scale {
        Scale::new(span("2025-01-01", "2026-01-01"))
    }

    #[test]
    fn times_lie_in_proportion_and_never_outside() {
        let places = ["2024-01-01", "2025-01-01", "2025-07-02", "2026-01-01", "2030-01-01"];
        let places = places.map(|time| year().x(at(time)));
        assert_eq!(places, [0, 0, 498, 1000, 1000]);
    }

    #[test]
    fn a_period_without_length_or_turned_about_is_no_fault() {
        for period in [span("2025-01-01", "2025-01-01"), span("2026-01-01", "2025-01-01")] {
            let scale = Scale::new(period);
            let mut reading = Reading::default();
            reading.add(period, false);
            assert_eq!(reading.strip(scale, at("2025-06-01")).days, 0);
            axis(scale, Axis::Wide);
            rotations(scale, &sample().rotations[0], at("2025-06-01"));
        }
    }

    #[test]
    fn all_of_time_is_no_fault() {
        let ever = Period { from: Timestamp::MIN, to: Timestamp::MAX };
        let mut reading = Reading::default();
        reading.add(ever, false);
        assert!(reading.strip(Scale::new(ever), Timestamp::MAX).days > 36_000);
        assert!(axis(Scale::new(ever), Axis::Narrow).len() < 20_000);
    }

    #[test]
    fn a_day_counts_as_its_worst_hour_does() {
        let mut reading = Reading::default();
        reading.add(span("2025-01-01", "2025-01-03"), false);
        reading.add(
            Period { from: at("2025-01-03"), to: "2025-01-03T11:00:00Z".parse().unwrap() },
            false,
        );
        reading.add(
            Period { from: "2025-01-03T11:00:00Z".parse().unwrap(), to: at("2025-01-05") },
            true,
        );
        reading.add(
            Period { from: "2025-01-05T22:00:00Z".parse().unwrap(), to: at("2025-01-06") },
            false,
        );
        let strip = reading.strip(Scale::new(span("2025-01-01", "2025-01-08")), at("2025-01-07"));
        assert_eq!(
            (strip.days, strip.proven, strip.declared, strip.partly),
            (6, 2, 2, 1),
            "two proven, two with a declaration, one in part, one unseen; none after as_of"
        );
    }

    #[test]
    fn adjoining_days_are_drawn_as_one() {
        let mut reading = Reading::default();
        reading.add(span("2024-01-01", "2027-01-01"), false);
        let strip = reading.strip(year(), at("2026-01-01"));
        assert_eq!((strip.days, strip.proven), (365, 365));
        assert_eq!(strip.svg.matches("<rect").count(), 1);
    }

    #[test]
    fn however_many_rotations_the_drawing_stays_small() {
        let mut line = sample().rotations[0].clone();
        let first = at("2025-01-01").as_second();
        line.rotations =
            (0..200_000).map(|n| Timestamp::from_second(first + n * 150).unwrap()).collect();
        assert!(rotations(year(), &line, at("2026-01-01")).len() < 100_000);
    }

    #[test]
    fn what_is_rare_does_not_vanish_from_a_bar() {
        let summary = Summary { pass: 1_000_000, fail: 1, ..Summary::default() };
        let svg = verdicts(summary, 10);
        assert!(svg.contains(r#"<rect class="fail" x="0" y="0" width="5""#), "{svg}");
        let all = u64::MAX;
        let svg = verdicts(
            Summary {
                pass: all,
                fail: all,
                undetermined: all,
                not_applicable: all,
                error: all,
                waived: all,
            },
            10,
        );
        assert_eq!(svg.matches("<rect").count(), 6);
        assert!(!verdicts(Summary::default(), 10).contains("<rect"));
    }

    #[test]
    fn an_axis_has_a_dozen_marks_whatever_the_period() {
        for (from, to) in [
            ("2025-01-01", "2025-01-02"),
            ("2025-01-01", "2025-02-15"),
            ("2025-01-15", "2026-01-15"),
            ("2015-01-01", "2026-01-01"),
        ] {
            let count = marks(span(from, to)).len();
            assert!((1..=14).contains(&count), "{from}..{to}: {count}");
        }
    }
}
