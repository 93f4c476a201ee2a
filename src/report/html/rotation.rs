//! Rotation: one row for each key with its time line, and the same in words.

use askama::Template;
use jiff::Timestamp;

use super::context::{Capped, Context, length, stretch};
use super::mark::{Mark, counts, tally};
use super::{KEYS, filters};
use crate::finding::{Period, Status, Summary};
use crate::report::RotationLine;
use crate::report::timeline::{self, Scale};

/// Most times or stretches written out for one key.
const WORDS: usize = 24;

#[derive(Template)]
#[template(path = "report/rotation.html")]
pub(super) struct Rotation<'a> {
    keys: Capped<KeyRow<'a>>,
    counts: Vec<(Mark, u64)>,
    axis: String,
}

struct KeyRow<'a> {
    line: &'a RotationLine,
    /// The alias, else the last part of the identity.
    name: &'a str,
    /// `None` where the word is no status.
    verdict: Option<Mark>,
    last: Option<Timestamp>,
    svg: String,
    /// Rotations in the period.
    count: usize,
    inside: Capped<Timestamp>,
    before: usize,
    late: Capped<(String, String)>,
    unseen: Capped<(String, String)>,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let scale = Scale::new(context.period());
        let mut summary = Summary::default();
        for status in context.data.rotations.iter().filter_map(|l| Status::parse(&l.status)) {
            tally(&mut summary, status, false);
        }
        let rows = context.data.rotations.iter().map(|line| row(context, scale, line));
        Self {
            keys: Capped::new(rows, KEYS),
            counts: counts(&summary).into_iter().filter(|(_, count)| *count > 0).collect(),
            axis: timeline::axis(scale, timeline::Axis::Wide),
        }
    }
}

fn row<'a>(context: &Context<'a>, scale: Scale, line: &'a RotationLine) -> KeyRow<'a> {
    let period = context.period();
    let part = line.key_id.rsplit('/').next().unwrap_or_default();
    let inside = |time: &&Timestamp| **time >= period.from && **time < period.to;
    KeyRow {
        line,
        name: line.alias.as_deref().unwrap_or(part),
        verdict: Status::parse(&line.status).map(Mark::of),
        last: line.rotations.last().copied(),
        svg: timeline::rotations(scale, line, context.data.assessment.run.as_of),
        count: line.rotations.iter().filter(inside).count(),
        inside: Capped::new(line.rotations.iter().filter(inside).copied(), WORDS),
        before: line.rotations.iter().filter(|time| **time < period.from).count(),
        late: Capped::new(line.violations.iter().copied().map(words), WORDS),
        unseen: Capped::new(line.uncovered.iter().copied().map(words), WORDS),
    }
}

fn words(period: Period) -> (String, String) {
    (stretch(period), length(period))
}
