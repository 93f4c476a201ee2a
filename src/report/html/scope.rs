//! Scope and period: what was looked at, from where, and what the words mean.

use std::collections::BTreeMap;

use askama::Template;

use super::context::{Capped, Context};
use super::mark::{ERROR, FAIL, Mark, NOT_APPLICABLE, PASS, UNDETERMINED, WAIVED};
use super::{ROWS, filters};
use crate::finding::RunInfo;
use crate::report::LedgerCount;

/// The verdicts as the glossary lists them.
const VERDICTS: [Mark; 6] = [PASS, FAIL, UNDETERMINED, WAIVED, NOT_APPLICABLE, ERROR];

/// The grades of evidence.
const GRADES: [(&str, &str); 4] = [
    ("A", "events and inventory agree"),
    ("B", "inventory alone: what the provider says the state is"),
    ("C", "events alone: what the log says happened"),
    ("D", "declared or attested by a person"),
];

#[derive(Template)]
#[template(path = "report/scope.html")]
pub(super) struct Scope<'a> {
    run: &'a RunInfo,
    ledgers: Capped<&'a LedgerCount>,
    owners: Capped<Owner<'a>>,
    verdicts: [Mark; 6],
    grades: [(&'static str, &'static str); 4],
}

/// The keys of one account, by where they are known from.
struct Owner<'a> {
    provider: &'a str,
    account: &'a str,
    both: u64,
    events: u64,
    inventory: u64,
}

impl Owner<'_> {
    fn all(&self) -> u64 {
        self.both + self.inventory + self.events
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self {
            run: &context.data.assessment.run,
            ledgers: Capped::new(&context.data.population, ROWS),
            owners: Capped::new(owners(context), ROWS),
            verdicts: VERDICTS,
            grades: GRADES,
        }
    }
}

fn owners<'a>(context: &Context<'a>) -> Vec<Owner<'a>> {
    let mut owners: BTreeMap<(&str, &str), (u64, u64, u64)> = BTreeMap::new();
    for key in &context.data.keys {
        let account = key.account.as_deref().unwrap_or("–");
        let counts = owners.entry((&key.provider, account)).or_default();
        match key.known_from.as_str() {
            "both" => counts.0 += 1,
            "inventory" => counts.2 += 1,
            _ => counts.1 += 1,
        }
    }
    owners
        .into_iter()
        .map(|((provider, account), (both, events, inventory))| Owner {
            provider,
            account,
            both,
            events,
            inventory,
        })
        .collect()
}
