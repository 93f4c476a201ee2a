//! How the sources stand, read from the ledger of polls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::finding::{Coverage, Period};
use crate::store::{Store, StoreError};

/// How one source, or a part of one, stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// When it was read last, whatever came of it.
    pub last_run: Option<Timestamp>,
    /// How that ended: `done`, `failed` or `interrupted`.
    pub last_ending: String,
    /// When it was last read to its end.
    pub last_success: Option<Timestamp>,
    /// How far in time reading has come; the next window begins there, less what is read again.
    pub reached: Option<Timestamp>,
    /// Why the last run failed.
    pub error: Option<String>,
    /// Events that it ever brought.
    pub events: u64,
    /// What it covers.
    pub coverage: Vec<Stretch>,
}

/// What is covered of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Whose log, in which region, of what kind.
    pub ledger: String,
    /// Region; `None` for all.
    pub region: Option<String>,
    /// Kind of log.
    pub kind: String,
    /// From the first covered moment to the last.
    pub period: Period,
    /// Stretches in between that are not covered.
    pub gaps: usize,
}

/// How every source that was ever read stands, by name.
///
/// # Errors
/// When the store cannot be read.
pub async fn standings(store: &Store) -> Result<BTreeMap<String, Standing>, StoreError> {
    let mut polls = store.polls().await?;
    polls.sort_by_key(|(_, content)| time(content, "at"));
    let coverage = store.coverage().await?;
    let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
    let mut covers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, poll) in polls {
        let standing = standings.entry(name.clone()).or_default();
        standing.name.clone_from(&name);
        standing.add(&poll);
        let scopes = poll.get("covers").and_then(Value::as_array).into_iter().flatten();
        covers.entry(name).or_default().extend(scopes.filter_map(Value::as_str).map(str::to_owned));
    }
    for (name, standing) in &mut standings {
        let scopes = covers.get(name);
        standing.coverage =
            stretches(&coverage, |row| scopes.is_some_and(|scopes| scopes.contains(&scope(row))));
    }
    Ok(standings)
}

/// What coverage speaks of, in one word.
pub(super) fn scope(row: &Coverage) -> String {
    format!("{}:{}:{}", row.ledger, row.region.as_deref().unwrap_or("*"), row.kind)
}

impl Standing {
    fn add(&mut self, poll: &Value) {
        let ending = poll.get("ending").and_then(Value::as_str).unwrap_or_default();
        self.last_run = time(poll, "at");
        ending.clone_into(&mut self.last_ending);
        if ending == "done" {
            self.last_success = self.last_run;
        }
        self.reached = self.reached.max(time(poll, "reached"));
        self.error = poll.get("error").and_then(Value::as_str).map(str::to_owned);
        self.events += poll.get("events").and_then(Value::as_u64).unwrap_or(0);
    }
}

fn time(content: &Value, name: &str) -> Option<Timestamp> {
    content.get(name)?.as_str()?.parse().ok()
}

/// Puts the covered rows of each log together.
fn stretches(rows: &[Coverage], wanted: impl Fn(&Coverage) -> bool) -> Vec<Stretch> {
    let mut logs: BTreeMap<String, Vec<&Coverage>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.status == "covered" && wanted(row)) {
        logs.entry(scope(row)).or_default().push(row);
    }
    let mut stretches = Vec::new();
    for mut rows in logs.into_values() {
        rows.sort_by_key(|row| row.period.from);
        let Some(first) = rows.first() else { continue };
        let mut stretch = Stretch {
            ledger: first.ledger.clone(),
            region: first.region.clone(),
            kind: first.kind.clone(),
            period: first.period,
            gaps: 0,
        };
        for row in rows {
            stretch.gaps += usize::from(row.period.from > stretch.period.to);
            stretch.period.to = stretch.period.to.max(row.period.to);
        }
        stretches.push(stretch);
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join_where_they_touch_and_gaps_are_counted() {
        let row = |from: &str, to: &str| Coverage {
            ledger: "aws/1".to_owned(),
            region: Some("eu-central-1".to_owned()),
            kind: "aws.kms".to_owned(),
            period: Period { from: from.parse().unwrap(), to: to.parse().unwrap() },
            method: "exhausted_pages".to_owned(),
            status: "covered".to_owned(),
            detail: None,
        };
        let rows = [
            row("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"),
            row("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            row("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"),
        ];
        let found = stretches(&rows, |_| true);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].gaps, 1);
        assert_eq!(found[0].period.to, rows[2].period.to);
    }
}
