//! Registers: waivers, keys, and what was read but not understood.

use askama::Template;

use super::context::{Capped, Context};
use super::{KEYS, ROWS, filters};
use crate::finding::WaiverState;
use crate::report::{KeyLine, QuarantineCount, UnclassifiedCount};

#[derive(Template)]
#[template(path = "report/waivers.html")]
pub(super) struct Waivers<'a> {
    waivers: Capped<&'a WaiverState>,
}

impl<'a> Waivers<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self { waivers: Capped::new(&context.data.assessment.waivers, ROWS) }
    }
}

/// The class and sign of a waiver's state.
fn state(word: &str) -> (&'static str, &'static str) {
    match word {
        "in_force" => ("waived", "◇"),
        "expired" => ("fail", "✗"),
        _ => ("undetermined", "?"),
    }
}

#[derive(Template)]
#[template(path = "report/keys.html")]
pub(super) struct Keys<'a> {
    keys: Capped<&'a KeyLine>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self { keys: Capped::new(&context.data.keys, KEYS) }
    }
}

#[derive(Template)]
#[template(path = "report/unread.html")]
pub(super) struct Unread<'a> {
    quarantine: Capped<&'a QuarantineCount>,
    quarantined: u64,
    unclassified: Capped<&'a UnclassifiedCount>,
    other: u64,
}

impl<'a> Unread<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let data = context.data;
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
        Self {
            quarantine: Capped::new(&data.quarantine, ROWS),
            quarantined: sum(&mut data.quarantine.iter().map(|row| row.count)),
            unclassified: Capped::new(&data.unclassified, ROWS),
            other: sum(&mut data.unclassified.iter().map(|row| row.count)),
        }
    }
}
