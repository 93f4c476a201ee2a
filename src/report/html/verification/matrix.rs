//! Keys against promises: what each says of itself beside what the token was seen to do.

use super::super::KEYS;
use super::super::context::Capped;
use super::super::text::{FIELD, one_line};
use super::FACTS;
use crate::report::verification::{ClaimView, KeyView, PromiseView, Shown, VerificationPage};

/// The matrix.
pub(super) struct Matrix<'a> {
    pub(super) promises: Vec<Column<'a>>,
    pub(super) keys: Capped<KeyRow<'a>>,
    /// Keys with a claim that the token does not keep.
    pub(super) broken: u64,
}

/// One promise, as a column.
pub(super) struct Column<'a> {
    pub(super) promise: &'a PromiseView,
    pub(super) cell: Cell,
}

/// One key, as a row.
pub(super) struct KeyRow<'a> {
    pub(super) key: &'a KeyView,
    pub(super) cells: Vec<Cell>,
    pub(super) attributes: Capped<String>,
}

/// A cell: class, sign, word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    /// What the key says.
    pub(super) says: &'static str,
    /// The whole in words, for who points at it or has it read.
    pub(super) words: &'static str,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(data: &'a VerificationPage) -> Self {
        let promises: Vec<Column<'a>> = data
            .promises
            .iter()
            .map(|promise| Column { promise, cell: shown(promise.shown) })
            .collect();
        let row = |key: &'a KeyView| KeyRow {
            key,
            cells: data.promises.iter().zip(&key.claims).map(|(p, c)| cell(p, *c)).collect(),
            attributes: Capped::new(
                key.attributes
                    .iter()
                    .map(|(name, value)| one_line(&format!("{name} = {value}"), FIELD)),
                FACTS,
            ),
        };
        let cells = |key: &&KeyView| {
            data.promises.iter().zip(&key.claims).any(|(p, c)| cell(p, *c).class == "fail")
        };
        let broken = u64::try_from(data.keys.iter().filter(cells).count()).unwrap_or(u64::MAX);
        // Where there are too many, those with a broken claim are kept.
        let (bad, good): (Vec<&KeyView>, Vec<&KeyView>) = data.keys.iter().partition(cells);
        Self { promises, keys: Capped::new(bad.into_iter().chain(good).map(row), KEYS), broken }
    }
}

/// What drills showed of a promise.
fn shown(shown: Shown) -> Cell {
    let (class, sign) = match shown {
        Shown::Broken => ("fail", "✗"),
        Shown::Kept => ("pass", "✓"),
        Shown::Partly => ("pass", "(✓)"),
        Shown::Untold => ("na", "·"),
    };
    Cell { class, sign, says: "", words: shown.as_str() }
}

/// A key's claim beside what was seen: on the key itself, else on keys made for the purpose.
fn cell(promise: &PromiseView, claim: ClaimView) -> Cell {
    let seen = if claim.shown == Shown::Untold { promise.shown } else { claim.shown };
    let says = match claim.value {
        Some(true) => "true",
        Some(false) => "false",
        None => "absent",
    };
    let (class, sign, words) = match (claim.value == Some(promise.value), seen) {
        (true, Shown::Broken) => ("fail", "✗", "promised, and not kept"),
        (true, Shown::Kept) => ("pass", "✓", "promised and kept"),
        (true, Shown::Partly) => ("pass", "(✓)", "promised, and kept as far as it could be tried"),
        (true, Shown::Untold) => ("na", "·", "promised, not tried"),
        (false, _) if promise.wanted && claim.value.is_some() => {
            ("undetermined", "!", "not promised: the key lies open")
        }
        (false, _) if promise.wanted => ("undetermined", "?", "the key does not say"),
        (false, _) => ("plain", "", "not promised"),
    };
    Cell { class, sign, says, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(shown: Shown) -> PromiseView {
        PromiseView {
            attribute: "EXTRACTABLE".into(),
            value: false,
            meaning: "it does not leave".into(),
            wanted: true,
            shown,
            checks: Vec::new(),
        }
    }

    #[test]
    fn a_claim_is_green_only_where_it_is_made_and_was_seen_to_be_kept() {
        let says = |value, own, token| cell(&promise(token), ClaimView { value, shown: own }).class;
        let (kept, broken, untold) = (Shown::Kept, Shown::Broken, Shown::Untold);
        assert_eq!(says(Some(false), untold, kept), "pass");
        assert_eq!(says(Some(false), untold, broken), "fail");
        assert_eq!(says(Some(false), broken, kept), "fail");
        assert_eq!(says(Some(false), untold, untold), "na");
        assert_eq!(says(Some(true), untold, kept), "undetermined");
        assert_eq!(says(None, untold, kept), "undetermined");
    }
}
