//! The Activity Log with what its API is known to do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::{Mapped, normalize};
use super::super::api::tests::{Reply, Seen, Server, tools};
use super::*;

const SUB: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(since: Option<&str>, now: &str) -> Window {
    Window { since: since.map(at), until: at(now), now: at(now) }
}

async fn source(server: &Server) -> Box<dyn Source> {
    let config = AzureActivityLog {
        name: "prod".to_owned(),
        subscriptions: vec![SUB.to_uppercase()],
        access: AzureAccess::default(),
        endpoints: server.endpoints(),
    };
    sources(&config, &tools()).await.unwrap().remove(0)
}

/// Everything that a run yields, and how it ended.
async fn run(
    server: &Server,
    history: &History,
    window: Window,
) -> (Vec<Batch>, Option<SourceError>) {
    let mut source = source(server).await;
    source.start(history, window);
    let mut batches = Vec::new();
    loop {
        match source.next().await {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}

fn covered(batches: &[Batch]) -> Vec<(String, String)> {
    let all = batches.iter().flat_map(|batch| &batch.coverage);
    all.map(|c| (c.period.from.to_string(), c.period.to.to_string())).collect()
}

fn records(batches: &[Batch]) -> Vec<&str> {
    let items = batches.iter().flat_map(|batch| &batch.items);
    items
        .map(|item| match item {
            Item::Record { raw, transport: "activity_api", .. } => raw.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn event(id: usize, time: &str) -> Value {
    json!({
        "eventDataId": format!("e-{id}"), "eventTimestamp": time, "subscriptionId": SUB,
        "eventName": {"value": null, "localizedValue": "End request"}, "level": "Information",
        "operationName": {"value": "Microsoft.KeyVault/vaults/delete"},
        "resourceId": format!("/subscriptions/{SUB}/resourceGroups/r/providers/Microsoft.KeyVault/vaults/v"),
        "status": {"value": "Succeeded"}, "subStatus": {"value": ""}, "caller": "ann@example.com"
    })
}

/// Where the filter of a request begins and ends.
fn asked(path: &str) -> (Timestamp, Timestamp) {
    let path = &path.replace("%27", "'");
    let quoted: Vec<&str> = path.split('\'').collect();
    assert!(path.contains("?api-version=2015-04-01&$filter=eventTimestamp%20ge%20'"), "{path}");
    assert_eq!(quoted[2], "%20and%20eventTimestamp%20le%20", "{path}");
    (at(quoted[1]), at(quoted[3]))
}

fn nothing(_: &Seen, _: usize) -> Reply {
    Reply::json(&json!({"value": []}))
}

#[tokio::test]
async fn records_stay_as_written_through_empty_pages_faults_duplicates_and_disorder() {
    // White space and number spelling of the record are the provider's.
    let odd = r#"{ "eventDataId":"e-1",  "eventTimestamp" : "2026-05-06T07:08:09.10Z", "n": 1.0,
        "operationName": {"value": "Microsoft.KeyVault/vaults/write"} }"#;
    let server = Server::start(move |seen, before| {
        let host = seen.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let next = format!("http://{host}/subscriptions/x?$skiptoken=2");
        match (seen.path.contains("skiptoken"), before) {
            (false, 0) => Reply::status(429, ""),
            (false, 1) => Reply { torn: true, ..Reply::status(200, "{\"value\": [{\"eve") },
            (false, 2) => Reply::status(500, ""),
            (false, _) => Reply::json(&json!({"value": [], "nextLink": next})),
            (true, _) => {
                let late = event(2, "2026-05-06T09:00:00Z");
                let early = event(3, "2026-05-06T01:00:00Z");
                let body = format!("{{\"value\": [{late}, {odd}, {early}, {late}]}}");
                Reply::status(200, &body)
            }
        }
    });
    let window = window(Some("2026-05-06T00:00:00Z"), "2026-05-06T12:00:00.5Z");
    let (batches, error) = run(&server, &History::default(), window).await;
    assert!(error.is_none(), "{error:?}");
    let records = records(&batches);
    assert_eq!(records.len(), 4);
    assert_eq!(records[1], odd);
    for raw in &records {
        let Ok(Mapped::Event(event)) = normalize(Format::AzureActivity, raw, &Context::default())
        else {
            panic!("{raw}")
        };
        assert!(event.native_id.is_some());
    }
    assert_eq!(
        covered(&batches),
        [("2026-05-06T00:00:00Z".to_owned(), "2026-05-06T11:00:00.5Z".to_owned())]
    );
    let coverage = &batches[0].coverage[0];
    assert_eq!(coverage.ledger, format!("azure/{SUB}"));
    assert_eq!(coverage.kind, "azure.activity");
    let paths = server.paths();
    assert_eq!(asked(&paths[0]), (at("2026-05-06T00:00:00Z"), at("2026-05-06T12:00:01Z")));
}

#[tokio::test]
async fn a_first_run_reads_what_is_kept_in_slices_without_a_hole() {
    let server = Server::start(nothing);
    let (batches, error) =
        run(&server, &History::default(), window(None, "2026-05-06T12:00:00Z")).await;
    assert!(error.is_none());
    let slices: BTreeSet<_> = server.paths().iter().map(|path| asked(path)).collect();
    let slices: Vec<_> = slices.into_iter().collect();
    assert_eq!(slices.first().unwrap().0, at("2026-02-05T12:10:00Z"));
    assert_eq!(slices.last().unwrap().1, at("2026-05-06T12:00:00Z"));
    assert!(slices.windows(2).all(|pair| pair[0].1 == pair[1].0), "{slices:?}");
    assert_eq!(slices.len(), 90);
    assert_eq!(
        covered(&batches),
        [("2026-02-05T12:10:00Z".to_owned(), "2026-05-06T11:00:00Z".to_owned())]
    );
    assert!(batches.iter().all(|batch| batch.notes.is_empty()));
}

#[tokio::test]
async fn the_next_run_reads_an_hour_again_and_coverage_has_no_hole() {
    let server = Server::start(nothing);
    let window_1 = window(Some("2026-05-05T00:00:00Z"), "2026-05-06T12:00:00Z");
    let (batches, _) = run(&server, &History::default(), window_1).await;
    let cursors: Vec<_> = batches.iter().filter_map(|batch| batch.cursor.clone()).collect();
    let server = Server::start(nothing);
    let (batches, _) =
        run(&server, &History { cursors }, window(None, "2026-05-06T18:00:00Z")).await;
    assert_eq!(asked(&server.paths()[0]).0, at("2026-05-06T10:00:00Z"));
    assert_eq!(
        covered(&batches),
        [("2026-05-06T10:00:00Z".to_owned(), "2026-05-06T17:00:00Z".to_owned())]
    );
}

#[tokio::test]
async fn what_the_api_no_longer_keeps_is_told_and_not_covered() {
    let server = Server::start(nothing);
    let window_1 = window(Some("2026-01-01T00:00:00Z"), "2026-05-06T12:00:00Z");
    let (batches, _) = run(&server, &History::default(), window_1).await;
    let note = &batches[0].notes[0].message;
    assert!(note.contains("2026-01-01T00:00:00Z") && note.contains("90 days"), "{note}");
    assert_eq!(covered(&batches)[0].0, "2026-02-05T12:10:00Z");
    // The same where the source rested for too long.
    let stood = json!({"from": "2025-12-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"});
    let history = History { cursors: vec![stood] };
    let (batches, _) = run(&server, &history, window(None, "2026-05-06T12:00:00Z")).await;
    assert!(batches[0].notes[0].message.contains("2026-01-01T00:00:00Z"));
}

#[tokio::test]
async fn the_last_hour_is_read_and_not_covered() {
    let server =
        Server::start(|_, _| Reply::json(&json!({"value": [event(1, "2026-05-06T11:59:00Z")]})));
    let window = window(Some("2026-05-06T11:30:00Z"), "2026-05-06T12:00:00Z");
    let (batches, _) = run(&server, &History::default(), window).await;
    assert_eq!(records(&batches).len(), 1);
    assert!(covered(&batches).is_empty());
    assert!(batches.iter().all(|batch| batch.cursor.is_none()));
}

#[tokio::test]
async fn a_failure_keeps_what_was_complete_and_covers_no_more() {
    let server = Server::start(|seen, _| {
        if asked(&seen.path).0 < at("2026-05-03T00:00:00Z") {
            Reply::json(&json!({"value": [event(1, "2026-05-02T00:00:00Z")]}))
        } else {
            Reply::error(400, "BadRequest", "no")
        }
    });
    let window = window(Some("2026-05-01T00:00:00Z"), "2026-05-06T00:00:00Z");
    let (batches, error) = run(&server, &History::default(), window).await;
    assert!(matches!(error, Some(SourceError::Answer { status: 400, .. })), "{error:?}");
    assert_eq!(records(&batches).len(), 2);
    assert_eq!(
        covered(&batches),
        [("2026-05-01T00:00:00Z".to_owned(), "2026-05-03T00:00:00Z".to_owned())]
    );
}

#[tokio::test]
async fn a_refusal_is_an_error_that_names_the_action_and_covers_nothing() {
    let server = Server::start(|_, _| Reply::error(403, "AuthorizationFailed", "no"));
    let (batches, error) =
        run(&server, &History::default(), window(None, "2026-05-06T00:00:00Z")).await;
    assert!(batches.is_empty());
    assert!(error.unwrap().hint().contains("Microsoft.Insights/eventtypes/values/read"));
}

#[tokio::test]
async fn a_large_slice_is_handed_on_in_parts_and_covered_by_the_last() {
    let server = Server::start(|seen, _| {
        let host = seen.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let page: usize =
            seen.path.split_once("page=").map_or(0, |(_, page)| page.parse().unwrap());
        let events: Vec<Value> =
            (0..1_000).map(|n| event(page * 1_000 + n, "2026-05-01T01:00:00Z")).collect();
        let next = (page < 4).then(|| format!("http://{host}/subscriptions?page={}", page + 1));
        Reply::json(&json!({"value": events, "nextLink": next}))
    });
    let window = Window {
        until: at("2026-05-01T12:00:00Z"),
        ..window(Some("2026-05-01T00:00:00Z"), "2026-05-06T00:00:00Z")
    };
    let (batches, _) = run(&server, &History::default(), window).await;
    assert_eq!(records(&batches).len(), 5_000);
    assert_eq!(batches.len(), 3);
    assert!(batches[..2].iter().all(|batch| batch.coverage.is_empty() && batch.cursor.is_none()));
    assert_eq!(covered(&batches)[0].1, "2026-05-01T12:00:00Z");
}

#[tokio::test]
async fn names_of_sources_are_steady_and_ids_are_checked() {
    let server = Server::start(nothing);
    assert_eq!(source(&server).await.name(), format!("prod/{SUB}/activity"));
    let config = AzureActivityLog {
        name: "x".to_owned(),
        subscriptions: vec!["../../x".to_owned()],
        access: AzureAccess::default(),
        endpoints: server.endpoints(),
    };
    assert!(sources(&config, &tools()).await.is_err());
}
