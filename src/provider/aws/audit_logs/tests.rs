use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::super::source::Item;
use super::super::server::{Asked, Reply, Server, drain};
use super::*;
use crate::event::Format;

const NOW: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;
const GROUP: &str = "/aws/cloudhsm/cluster-likphkxygsn";
const CLUSTER: &str = "cluster-likphkxygsn";
const HSM: &str = "hsm-nwbbiqbj4jk";

type Known = Vec<(&'static str, i64, String)>;

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn window(now: i64) -> Window {
    Window { since: None, until: time(now), now: time(now) }
}

fn block(sequence: i64) -> String {
    format!("Time: 12/19/17 21:01:16.962174, usecs:1513717276962174\nSequence No : {sequence:#x}\n")
}

/// Answers as CloudWatch Logs does, in pages of `size`; the page after each is empty first.
fn logs_of(known: &Known, asked: &Asked, size: usize) -> Reply {
    let body = asked.json();
    match asked.operation() {
        "DescribeLogGroups" => Reply::json(json!({"logGroups": [{"logGroupName": GROUP}]})),
        "DescribeLogStreams" => {
            let names: BTreeSet<&str> = known.iter().map(|(stream, ..)| *stream).collect();
            let streams: Vec<Value> =
                names.iter().map(|name| json!({"logStreamName": name})).collect();
            Reply::json(json!({"logStreams": streams}))
        }
        "GetLogEvents" => {
            assert_eq!(body["startFromHead"], true);
            let from = body["startTime"].as_i64().unwrap_or(0);
            let until = body["endTime"].as_i64().unwrap_or(i64::MAX);
            let found: Vec<_> = known
                .iter()
                .filter(|(stream, at, _)| {
                    body["logStreamName"] == **stream && (from..until).contains(at)
                })
                .collect();
            // Two steps a page, so that every other one is empty.
            let step: usize = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let skip = step / 2 * size;
            let page = found.iter().skip(skip).take(if step % 2 == 1 { size } else { 0 });
            let events: Vec<Value> =
                page.map(|(_, at, text)| json!({"timestamp": at, "message": text})).collect();
            let next = if skip >= found.len() { step } else { step + 1 };
            Reply::json(json!({"events": events, "nextForwardToken": next.to_string()}))
        }
        other => panic!("{other}"),
    }
}

fn serving(known: Known, size: usize) -> Server {
    Server::start(move |asked| logs_of(&known, asked, size))
}

fn source(server: &Server, history: &History, window: Window) -> AuditLogs {
    let mut source = AuditLogs::new("hsm/111122223333/eu-west-1".to_owned(), server.api(), &[]);
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

fn history(batches: &[Batch]) -> History {
    History { cursors: batches.iter().filter_map(|batch| batch.cursor.clone()).collect() }
}

fn notes(batches: &[Batch]) -> Vec<String> {
    batches.iter().flat_map(|batch| &batch.notes).map(|note| note.message.clone()).collect()
}

#[tokio::test]
async fn every_stream_is_read_to_its_end_past_empty_pages() {
    let certificate = r#"{"object_handle":1,"op_code":"CreateObject","response":"OK"}"#;
    let mut known: Known = (0..25).map(|n| (HSM, NOW - HOUR + n, block(n))).collect();
    known.push((CLUSTER, NOW - HOUR, certificate.to_owned()));
    let server = serving(known, 10);
    let batches = read(&server, &History::default(), window(NOW)).await;
    let mut expected = vec![certificate.to_owned()];
    expected.extend((0..25).map(block));
    assert_eq!(raws(&batches), expected);
    assert!(batches.iter().all(|batch| batch.coverage.is_empty()));
    let formats = batches.iter().flat_map(|batch| &batch.items).map(|item| match item {
        Item::Record { format, transport, context, .. } => {
            assert_eq!(*transport, "cloudwatch_logs");
            assert_eq!(context.log_group.as_deref(), Some(GROUP));
            (*format, context.log_stream.clone().unwrap())
        }
        other => panic!("{other:?}"),
    });
    let formats: Vec<_> = formats.collect();
    assert_eq!(formats[0], (Format::CloudHsmCertificates, CLUSTER.to_owned()));
    assert_eq!(formats[1], (Format::CloudHsmAudit, HSM.to_owned()));
}

#[tokio::test]
async fn the_next_run_reads_a_day_again_and_finds_what_came_late() {
    let old: Known = vec![(HSM, NOW - 100 * HOUR, block(0)), (HSM, NOW - HOUR, block(2))];
    let first = read(&serving(old.clone(), 10), &History::default(), window(NOW)).await;
    let mut late = old;
    late.insert(1, (HSM, NOW - 20 * HOUR, block(1)));
    let server = serving(late, 10);
    let second = read(&server, &history(&first), window(NOW + HOUR)).await;
    assert_eq!(raws(&second), [block(1), block(2)]);
    // Nothing moved: the stand need not be told again.
    assert!(second.iter().all(|batch| batch.cursor.is_none()));
    let get = server.asked().into_iter().find(|asked| asked.operation() == "GetLogEvents");
    assert_eq!(get.unwrap().json()["startTime"], NOW - 25 * HOUR);
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_with_the_token() {
    let known: Known =
        (0..12_000).map(|n| (HSM, NOW - 400 * HOUR + n * 60_000, block(n))).collect();
    let server = serving(known.clone(), 1_000);
    let whole = read(&server, &History::default(), window(NOW)).await;
    assert_eq!(whole.len(), 3);
    assert_eq!(raws(&whole).len(), 12_000);
    for killed in 0..3 {
        let server = serving(known.clone(), 1_000);
        let mut source = source(&server, &History::default(), window(NOW));
        let mut first = Vec::new();
        for _ in 0..killed {
            first.push(source.next().await.unwrap().unwrap());
        }
        let rest = read(&server, &history(&first), window(NOW)).await;
        assert_eq!([raws(&first), raws(&rest)].concat(), raws(&whole), "killed after {killed}");
        // A day later the token is not used; then time alone tells where to go on.
        let rest = read(&server, &history(&first), window(NOW + 24 * HOUR)).await;
        let all: BTreeSet<String> = raws(&first).into_iter().chain(raws(&rest)).collect();
        assert_eq!(all.len(), 12_000);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_by_the_time() {
    let server = Server::start(|asked| {
        if asked.operation() == "GetLogEvents" && asked.json()["nextToken"] == "5" {
            return Reply::error(
                400,
                "InvalidParameterException",
                "The specified nextToken is invalid.",
            );
        }
        logs_of(&vec![(HSM, NOW - HOUR, block(7))], asked, 10)
    });
    let cursor = json!({
        "group": GROUP, "stream": HSM, "newest": NOW - 2 * HOUR, "from": null, "until": null,
        "token": "5", "at": time(NOW).to_string(),
    });
    let batches = read(&server, &History { cursors: vec![cursor] }, window(NOW)).await;
    assert_eq!(raws(&batches), [block(7)]);
}

#[tokio::test]
async fn tokens_that_go_round_are_an_error() {
    let server = Server::start(|asked| match asked.operation() {
        "GetLogEvents" => {
            let next = if asked.json()["nextToken"] == "a" { "b" } else { "a" };
            Reply::json(json!({"events": [], "nextForwardToken": next}))
        }
        _ => logs_of(&vec![(HSM, 0, String::new())], asked, 1),
    });
    let mut source = source(&server, &History::default(), window(NOW));
    let (_, error) = drain(&mut source).await;
    assert!(error.unwrap().to_string().contains("a token came twice"));
}

#[tokio::test]
async fn what_was_there_before_and_is_gone_is_told() {
    let cursor = |group: &str, stream: &str| json!({"group": group, "stream": stream, "newest": 1});
    let gone = "/aws/cloudhsm/cluster-gone";
    let history = History { cursors: vec![cursor(GROUP, "hsm-gone"), cursor(gone, "hsm-a")] };
    let server = serving(vec![(HSM, NOW, block(0))], 10);
    let told = notes(&read(&server, &history, window(NOW)).await);
    assert!(told.iter().any(|note| note.contains(gone) && note.contains("not there")), "{told:?}");
    assert!(
        told.iter().any(|note| note.contains("hsm-gone") && note.contains("is gone")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_configured_cluster_without_a_group_is_told_and_others_are_left_alone() {
    let server = serving(vec![(HSM, NOW, block(0))], 10);
    let wanted = ["cluster-other".to_owned()];
    let mut source = AuditLogs::new("hsm".to_owned(), server.api(), &wanted);
    source.start(&History::default(), window(NOW));
    let (batches, _) = drain(&mut source).await;
    assert!(raws(&batches).is_empty());
    assert!(notes(&batches)[0].contains("/aws/cloudhsm/cluster-other"));
}

#[tokio::test]
async fn a_stream_that_vanishes_while_it_is_read_stops_no_other() {
    let server = Server::start(|asked| {
        if asked.operation() == "GetLogEvents" && asked.json()["logStreamName"] == "hsm-a" {
            return Reply::error(
                400,
                "ResourceNotFoundException",
                "The specified log stream does not exist.",
            );
        }
        let known = vec![("hsm-a", NOW, block(0)), (HSM, NOW - 1, block(1))];
        logs_of(&known, asked, 10)
    });
    let batches = read(&server, &History::default(), window(NOW)).await;
    assert_eq!(raws(&batches), [block(1)]);
    assert!(notes(&batches)[0].contains("hsm-a"));
}

#[tokio::test]
async fn a_refusal_names_the_permission() {
    for refused in ["DescribeLogGroups", "DescribeLogStreams", "GetLogEvents"] {
        let server = Server::start(move |asked| {
            if asked.operation() == refused {
                return Reply::error(400, "AccessDeniedException", "no");
            }
            logs_of(&vec![(HSM, NOW, block(0))], asked, 10)
        });
        let mut source = source(&server, &History::default(), window(NOW));
        let (_, error) = drain(&mut source).await;
        assert!(error.unwrap().hint().contains(&format!("logs:{refused}")));
    }
}

#[tokio::test]
async fn an_answer_of_something_else_is_no_empty_page() {
    let server = Server::start(|asked| match asked.operation() {
        "GetLogEvents" => Reply::json(json!({})),
        _ => logs_of(&vec![(HSM, NOW, block(0))], asked, 10),
    });
    let mut source = source(&server, &History::default(), window(NOW));
    let (batches, error) = drain(&mut source).await;
    assert!(batches.is_empty() && error.is_some());
}

#[tokio::test]
async fn a_window_that_ends_before_where_the_stream_stands_asks_for_nothing() {
    let server = serving(vec![(HSM, NOW - HOUR, block(0))], 10);
    let cursor = json!({"group": GROUP, "stream": HSM, "newest": NOW});
    let past = Window { until: time(NOW - 48 * HOUR), ..window(NOW) };
    assert!(read(&server, &History { cursors: vec![cursor] }, past).await.is_empty());
    assert!(!server.operations().contains(&"GetLogEvents".to_owned()));
}

#[tokio::test]
async fn what_is_no_cluster_is_refused() {
    let section = json!({"name": "hsm", "regions": ["eu-west-1"], "clusters": ["/aws/cloudhsm/x"]});
    let config: AuditLogsConfig = serde_json::from_value(section).unwrap();
    assert!(sources(&config, &super::super::server::tools()).await.is_err());
    let odd = json!({"name": "hsm", "regions": [], "cluster": []});
    assert!(serde_json::from_value::<AuditLogsConfig>(odd).is_err());
}

#[tokio::test]
async fn a_summary_has_one_cursor_for_each_stream_and_tells_where_each_stands() {
    let mut known: Known = (0..25).map(|n| (HSM, NOW - HOUR + n, block(n))).collect();
    let mut all =
        history(&read(&serving(known.clone(), 10), &History::default(), window(NOW)).await);
    known.push((HSM, NOW + HOUR, block(25)));
    let more = read(&serving(known, 10), &all, window(NOW + 2 * HOUR)).await;
    all.cursors.extend(history(&more).cursors);
    let summary = Stands::of(&all).cursors();
    assert_eq!(summary.len(), 1, "{summary:?}");
    assert_eq!(summary[0]["newest"], NOW + HOUR);
    // What came last may stand behind the summary once more.
    let tail = all.cursors.iter().skip(1).cloned();
    let again = History { cursors: summary.iter().cloned().chain(tail).collect() };
    assert_eq!(Stands::of(&again).cursors(), summary);
}
