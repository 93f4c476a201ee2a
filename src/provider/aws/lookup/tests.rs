use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::super::server::{Asked, Reply, Server, drain};
use super::*;

const NOW: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

/// An event of KMS as the history holds it: when it happened, and its number.
type Known = (i64, u32);

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn window(since: Option<i64>, now: i64) -> Window {
    Window { since: since.map(time), until: time(now), now: time(now) }
}

fn record(number: u32) -> String {
    format!("{{ \"eventID\": \"{number}\", \"eventName\":\"EnableKey\" }}")
}

/// Answers as CloudTrail does: newest first, in pages of `size` with tokens.
fn history_of(known: &[Known], asked: &Asked, size: usize) -> Reply {
    let body = asked.json();
    if body["LookupAttributes"][0]["AttributeValue"] != "kms.amazonaws.com" {
        return Reply::json(json!({"Events": []}));
    }
    let (from, to) = (body["StartTime"].as_i64().unwrap(), body["EndTime"].as_i64().unwrap());
    let mut found: Vec<&Known> = known.iter().filter(|(at, _)| (from..=to).contains(at)).collect();
    found.sort_by(|a, b| b.cmp(a));
    let skip: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let events: Vec<Value> = found
        .iter()
        .skip(skip)
        .take(size)
        .map(|(at, number)| json!({"EventTime": at, "CloudTrailEvent": record(*number)}))
        .collect();
    let next = skip + size;
    let token = (next < found.len()).then(|| next.to_string());
    Reply::json(json!({"Events": events, "NextToken": token}))
}

fn serving(known: Vec<Known>, size: usize) -> Server {
    Server::start(move |asked| history_of(&known, asked, size))
}

fn source(server: &Server, history: &History, window: Window) -> Lookup {
    let mut source = Lookup::new("prod/111122223333/eu-west-1".to_owned(), server.api());
    source.start(history, window);
    source
}

async fn read(server: &Server, history: &History, window: Window) -> Vec<Batch> {
    let mut source = source(server, history, window);
    let (batches, error) = drain(&mut source).await;
    assert!(error.is_none(), "{error:?}");
    batches
}

fn raws(batches: &[Batch]) -> Vec<String> {
    let items = batches.iter().flat_map(|batch| &batch.items);
    items
        .map(|item| match item {
            Item::Record { raw, .. } => raw.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn set(batches: &[Batch]) -> BTreeSet<String> {
    raws(batches).into_iter().collect()
}

fn history(batches: &[Batch]) -> History {
    History { cursors: batches.iter().filter_map(|batch| batch.cursor.clone()).collect() }
}

fn coverage<'a>(batches: &'a [Batch], kind: &str) -> Vec<&'a Coverage> {
    batches.iter().flat_map(|batch| &batch.coverage).filter(|row| row.kind == kind).collect()
}

#[tokio::test]
async fn every_page_is_read_and_the_record_is_what_was_written() {
    let known = (0..120).map(|n| (NOW - 3_600 - i64::from(n), n)).collect();
    let server = serving(known, 50);
    let batches = read(&server, &History::default(), window(Some(NOW - DAY), NOW)).await;
    assert_eq!(raws(&batches).len(), 120);
    assert_eq!(set(&batches), (0..120).map(record).collect());
    let Item::Record { format, transport, context, .. } =
        batches.iter().flat_map(|batch| &batch.items).next().unwrap()
    else {
        panic!()
    };
    assert_eq!((*format, *transport), (Format::CloudTrail, "lookup_events"));
    assert_eq!(context.account.as_deref(), Some("111122223333"));
    assert_eq!(context.region.as_deref(), Some("eu-west-1"));
    assert!(server.asked().iter().all(|asked| {
        asked.json()["LookupAttributes"].as_array().unwrap().len() == 1
            && asked.json()["MaxResults"] == 50
    }));
}

#[tokio::test]
async fn each_kind_of_log_is_covered_without_a_hole_up_to_what_may_come_late() {
    let server = serving(Vec::new(), 50);
    let batches = read(&server, &History::default(), window(Some(NOW - 40 * DAY), NOW)).await;
    for kind in ["aws.kms", "aws.cloudhsm.api", "aws.cloudtrail"] {
        let rows = coverage(&batches, kind);
        assert_eq!(rows[0].period.from, time(NOW - 40 * DAY), "{kind}");
        assert!(rows.windows(2).all(|pair| pair[0].period.to == pair[1].period.from), "{kind}");
        assert_eq!(rows.last().unwrap().period.to, time(NOW) - LATENESS, "{kind}");
        assert!(rows.iter().all(|row| row.ledger == "aws/111122223333"
            && row.region.as_deref() == Some("eu-west-1")
            && (row.method.as_str(), row.status.as_str()) == ("exhausted_pages", "covered")));
    }
    // Payment Cryptography is read, and coverage knows no kind for it.
    assert_eq!(batches.iter().flat_map(|batch| &batch.coverage).count() * 4, {
        batches.iter().filter(|batch| batch.cursor.is_some()).count() * 3
    });
}

#[tokio::test]
async fn only_the_batch_that_completes_a_slice_covers_it() {
    let known = (0..4_500).map(|n| (NOW - DAY + i64::from(n), n)).collect();
    let server = serving(known, 50);
    let batches = read(&server, &History::default(), window(Some(NOW - DAY), NOW)).await;
    assert_eq!(set(&batches).len(), 4_500);
    let kms: Vec<&Batch> = batches.iter().filter(|batch| !batch.items.is_empty()).collect();
    assert_eq!(kms.len(), 3);
    for batch in &kms[..2] {
        assert!(batch.cursor.is_none() && batch.coverage.is_empty() && batch.reached.is_none());
        assert!(batch.items.len() <= BATCH_RECORDS + page::SIZE);
    }
    assert!(kms[2].cursor.is_some() && kms[2].coverage.len() == 1);
}

#[tokio::test]
async fn an_empty_page_with_a_token_is_no_end() {
    let server = Server::start(|asked| match asked.json()["NextToken"].as_str() {
        None => Reply::json(json!({"Events": [], "NextToken": "a"})),
        Some("a") => Reply::json(json!({"Events": [], "NextToken": "b"})),
        Some(_) => Reply::json(json!({"Events": [{"CloudTrailEvent": record(1)}]})),
    });
    let batches = read(&server, &History::default(), window(Some(NOW - 3_600), NOW)).await;
    let lookups: usize = topics().iter().map(|topic| topic.lookups.len()).sum();
    assert_eq!(raws(&batches).len(), lookups);
}

#[tokio::test]
async fn a_token_that_returns_is_an_error_and_covers_nothing() {
    let server = Server::start(|_| Reply::json(json!({"Events": [], "NextToken": "a"})));
    let mut source = source(&server, &History::default(), window(Some(NOW - DAY), NOW));
    let (batches, error) = drain(&mut source).await;
    assert!(batches.is_empty());
    assert!(error.unwrap().to_string().contains("a token came twice"));
}

#[tokio::test]
async fn throttling_is_waited_out_although_its_status_is_400() {
    let server = Server::start(|asked| match asked.number % 2 {
        0 => Reply::error(400, "ThrottlingException", "Rate exceeded"),
        _ => history_of(&[(NOW - 3_000, 7)], asked, 50),
    });
    let batches = read(&server, &History::default(), window(Some(NOW - 3_600), NOW)).await;
    assert_eq!(raws(&batches), [record(7)]);
}

#[tokio::test]
async fn a_refusal_names_the_permission() {
    let server = Server::start(|_| Reply::error(400, "AccessDeniedException", "not allowed"));
    let mut source = source(&server, &History::default(), window(None, NOW));
    let (batches, error) = drain(&mut source).await;
    assert!(batches.is_empty());
    let hint = error.unwrap().hint();
    assert!(hint.contains("cloudtrail:LookupEvents"), "{hint}");
}

#[tokio::test]
async fn an_event_that_came_late_is_read_by_the_next_run() {
    let known = Arc::new(Mutex::new(vec![(NOW - 7_200, 1)]));
    let shared = Arc::clone(&known);
    let server = Server::start(move |asked| history_of(&shared.lock().unwrap(), asked, 50));
    let first = read(&server, &History::default(), window(Some(NOW - DAY), NOW)).await;
    assert_eq!(set(&first), [record(1)].into());
    // It happened forty minutes before the end of what is covered.
    known.lock().unwrap().push((NOW - 3_300, 2));
    let second = read(&server, &history(&first), window(None, NOW + 300)).await;
    assert_eq!(set(&second), [record(2)].into());
    let row = coverage(&second, "aws.kms")[0];
    assert_eq!(row.period.from, time(NOW) - LATENESS - OVERLAP);
    assert_eq!(row.period.to, time(NOW + 300) - LATENESS);
}

#[tokio::test]
async fn a_run_that_was_killed_at_any_batch_and_one_after_it_read_the_same() {
    let known: Vec<Known> = (0..5_000).map(|n| (NOW - 5 * DAY + i64::from(n) * 80, n)).collect();
    let server = serving(known, 50);
    let whole = read(&server, &History::default(), window(Some(NOW - 5 * DAY), NOW)).await;
    for killed in 0..whole.len() {
        let mut source = source(&server, &History::default(), window(Some(NOW - 5 * DAY), NOW));
        let mut first = Vec::new();
        for _ in 0..killed {
            first.push(source.next().await.unwrap().unwrap());
        }
        let since = history(&first).cursors.is_empty().then_some(NOW - 5 * DAY);
        let mut both = set(&first);
        both.extend(set(&read(&server, &history(&first), window(since, NOW)).await));
        assert_eq!(both, set(&whole), "killed after {killed}");
    }
}

#[tokio::test]
async fn what_is_older_than_the_history_is_told_and_neither_asked_for_nor_covered() {
    let server = serving(Vec::new(), 50);
    let batches = read(&server, &History::default(), window(Some(NOW - 200 * DAY), NOW)).await;
    let oldest = time(NOW) - REACH;
    let notes: Vec<&Note> = batches.iter().flat_map(|batch| &batch.notes).collect();
    assert!(notes[0].message.contains("goes back 90 days"), "{notes:?}");
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| { asked.json()["StartTime"].as_i64().unwrap() >= oldest.as_second() })
    );
    let rows = batches.iter().flat_map(|batch| &batch.coverage);
    assert!(rows.into_iter().all(|row| row.period.from >= oldest));
    let past = Window { since: None, until: time(NOW - 100 * DAY), now: time(NOW) };
    assert!(read(&server, &History::default(), past).await.is_empty());
}

#[tokio::test]
async fn an_hour_of_reading_moves_the_beginning_of_the_history() {
    let server = serving(Vec::new(), 50);
    let mut source = source(&server, &History::default(), window(None, NOW));
    let Some(made) = source.made.checked_sub(std::time::Duration::from_hours(1)) else { return };
    source.made = made;
    let (batches, _) = drain(&mut source).await;
    let oldest = time(NOW) - REACH + SignedDuration::from_hours(1);
    assert!(coverage(&batches, "aws.kms")[0].period.from >= oldest);
    assert!(batches.iter().any(|batch| !batch.notes.is_empty()));
}

#[tokio::test]
async fn a_slice_with_an_event_that_lacks_its_record_is_not_covered() {
    let server = Server::start(|asked| match asked.json()["LookupAttributes"][0]["AttributeValue"]
        .as_str()
    {
        Some("kms.amazonaws.com") => Reply::json(json!({"Events": [
            {"EventId": "e1", "EventName": "DisableKey"}, {"CloudTrailEvent": record(1)},
        ]})),
        _ => Reply::json(json!({"Events": []})),
    });
    let batches = read(&server, &History::default(), window(Some(NOW - 3_600), NOW)).await;
    assert!(coverage(&batches, "aws.kms").is_empty());
    assert_eq!(coverage(&batches, "aws.cloudhsm.api").len(), 1);
    assert_eq!(raws(&batches), [record(1)]);
    let notes: Vec<&Note> = batches.iter().flat_map(|batch| &batch.notes).collect();
    assert!(notes[0].message.contains("event e1 (DisableKey)"), "{notes:?}");
}

#[tokio::test]
async fn a_server_that_knows_no_tokens_is_read_to_its_end_all_the_same() {
    let known: Vec<Known> = (0..130).map(|n| (NOW - 3_600 - i64::from(n / 3), n)).collect();
    let server = Server::start(move |asked| {
        let body = asked.json();
        if body["LookupAttributes"][0]["AttributeValue"] != "kms.amazonaws.com" {
            return Reply::json(json!({"Events": []}));
        }
        let end = body["EndTime"].as_i64().unwrap();
        let events = known.iter().filter(|(at, _)| *at <= end).take(50);
        let events: Vec<Value> =
            events.map(|(at, n)| json!({"EventTime": at, "CloudTrailEvent": record(*n)})).collect();
        Reply::json(json!({"Events": events}))
    });
    let batches = read(&server, &History::default(), window(Some(NOW - DAY), NOW)).await;
    assert_eq!(set(&batches).len(), 130);
}

#[test]
fn a_section_is_read_and_what_it_does_not_know_is_refused() {
    let section = json!({"name": "prod", "regions": ["*"], "access": {"profile": "audit"}});
    let config: LookupConfig = serde_json::from_value(section).unwrap();
    assert_eq!(config.access.profile.as_deref(), Some("audit"));
    let odd = json!({"name": "prod", "regions": ["*"], "region": "x"});
    assert!(serde_json::from_value::<LookupConfig>(odd).is_err());
}
