//! A store that was collected into for years: what each run reads is bounded.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use keytrail::store::{Cursors, Page, Receipt, Store};
use serde_json::json;

use super::crash::soak;
use super::harness::{Bench, say};
use super::whole::{location, wait};

/// A source with a summary now and then, and one that never had any, as older stores have them.
const SOURCES: [&str; 2] = ["summed", "plain"];

fn begin() -> Timestamp {
    "2024-01-01T00:00:00Z".parse().unwrap()
}

/// The stretch that a poll read, as a source of an event history tells it.
fn cursor(number: u64) -> serde_json::Value {
    json!({"log": "aws.kms", "from": format!("{number}"), "to": format!("{}", number + 1)})
}

/// Leaves the receipts of so many polls a day for so many days, a commit for each day, as they are
/// after maintenance.
async fn fill(store: &mut Store, days: i64, polls: u64) {
    let mut number = 0;
    for day in 0..days {
        let now = begin() + SignedDuration::from_hours(24 * day);
        let mut page = Page::default();
        if day % 7 == 0 {
            let summary = vec![json!({"log": "aws.kms", "from": "1", "to": number.to_string()})];
            let source = SOURCES[0].to_owned();
            page.receipts.push(Receipt::Summary { source, number, cursors: summary });
        }
        for poll in 0..polls {
            number += 1;
            for source in SOURCES {
                let source = source.to_owned();
                let content = json!({"at": now.to_string(), "ending": "done", "number": poll});
                page.receipts.push(Receipt::Cursor {
                    source: source.clone(),
                    number,
                    cursor: cursor(number),
                });
                page.receipts.push(Receipt::Poll { source, content });
            }
        }
        store.append(page, now).await.unwrap();
    }
}

fn named(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

#[test]
fn only_the_polls_of_the_last_days_are_read_where_a_summary_tells_of_the_rest() {
    let bench = Bench::new();
    let folder = bench.path().join("store");
    let (days, polls) = if soak() { (365, 274) } else { (40, 3) };
    let now = begin() + SignedDuration::from_hours(24 * days);
    let total = u64::try_from(days).unwrap() * polls;
    wait(async {
        let mut store = Store::create(location(&folder)).await.unwrap();
        fill(&mut store, days, polls).await;
        for source in SOURCES {
            let began = Instant::now();
            let found = store.cursors(&named(source), now).await.unwrap().remove(source).unwrap();
            let seconds = began.elapsed().as_secs_f64();
            say(&format!("{source}: {} of {total} cursors in {seconds:.2} s", found.values.len()));
            assert_eq!(found.last, total);
            assert_eq!(found.values.last(), Some(&cursor(total)));
        }
    });
    // What is older is not even looked at: it may be gone.
    let old = now - SignedDuration::from_hours(24 * 15);
    for entry in fs::read_dir(folder.join("journal")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let day = name.strip_prefix("event_day=").map(|day| format!("{day}T00:00:00Z"));
        if day.is_some_and(|day| day.parse::<Timestamp>().unwrap() < old) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    wait(async {
        let store = Store::open(location(&folder)).await.unwrap();
        let found = store.cursors(&named(SOURCES[0]), now).await.unwrap();
        let Cursors { values, last, summed_up } = &found[SOURCES[0]];
        assert_eq!(*last, total);
        assert!(u64::try_from(values.len()).unwrap() <= 1 + 16 * polls, "{}", values.len());
        assert!(
            summed_up
                .is_some_and(|at| now.duration_since(at) <= SignedDuration::from_hours(24 * 7))
        );
        // Without a summary everything is needed.
        assert!(store.cursors(&named(SOURCES[1]), now).await.is_err());
    });
}
