//! A workspace with what Log Analytics and Resource Manager are known to answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::api::tests::{Reply, Seen, Server, tools};
use super::*;

const SUB: &str = "0a1b2c3d-0000-4000-8000-000000000001";
const GUID: &str = "9a1b2c3d-0000-4000-8000-000000000009";

fn workspace() -> String {
    format!(
        "/subscriptions/{SUB}/resourceGroups/R/providers/Microsoft.OperationalInsights/workspaces/Logs"
    )
}

fn vault_id(name: &str) -> String {
    format!("/subscriptions/{SUB}/resourceGroups/r/providers/Microsoft.KeyVault/vaults/{name}")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What Resource Manager answers: vaults, and whether each sends its audit events.
fn arm(path: &str, vaults: &[(&str, bool)]) -> Reply {
    if path.contains("/workspaces/logs?") {
        Reply::json(&json!({"properties": {"customerId": GUID, "retentionInDays": 30,
            "workspaceCapping": {"dailyQuotaGb": -1.0}}}))
    } else if path.contains("/tables/AZKVAuditLogs?") {
        Reply::json(&json!({"properties": {"plan": "Analytics", "retentionInDays": 10}}))
    } else if path.contains("/tables/") {
        Reply::error(404, "ResourceNotFound", "no such table")
    } else if path.contains("diagnosticSettings") {
        let on = vaults.iter().any(|(name, on)| *on && path.contains(&format!("/vaults/{name}/")));
        let setting = json!({"properties": {"workspaceId": workspace().to_lowercase(),
            "logs": [{"category": "AuditEvent", "enabled": on}]}});
        Reply::json(&json!({"value": [setting]}))
    } else if path.contains("Microsoft.KeyVault/vaults?") {
        let items: Vec<Value> =
            vaults.iter().map(|(name, _)| json!({"id": vault_id(name)})).collect();
        Reply::json(&json!({"value": items}))
    } else {
        Reply::json(&json!({"value": []}))
    }
}

fn is_query(seen: &Seen) -> bool {
    seen.method == "POST" && seen.path == format!("/v1/workspaces/{GUID}/query")
}

fn table(rows: &Value) -> Reply {
    Reply::json(&json!({"tables": [{"name": "PrimaryResult", "columns": [
        {"name": "TimeGenerated"}, {"name": "OperationName"}, {"name": "_ResourceId"}], "rows": rows}]}))
}

fn missing(name: &str) -> Reply {
    let body = json!({"error": {"code": "BadArgumentError", "message": "invalid", "innererror":
        {"code": "SemanticError", "message": "x", "innererror": {"code": "SEM0100", "message":
            format!("'where' operator: Failed to resolve table or column expression named '{name}'")}}}});
    Reply::status(400, &body.to_string())
}

fn quiet(seen: &Seen, vaults: &[(&str, bool)]) -> Reply {
    match is_query(seen) {
        false => arm(&seen.path, vaults),
        true if seen.body.contains("AzureDiagnostics") => missing("AzureDiagnostics"),
        true => table(&json!([])),
    }
}

async fn run(
    server: &Server,
    history: &History,
    since: Option<&str>,
    now: &str,
) -> (Vec<Batch>, Option<SourceError>) {
    let config: AzureWorkspace = serde_json::from_value(json!({"name": "prod",
        "workspace": workspace(), "subscriptions": [SUB], "logs": ["key_vault"]}))
    .unwrap();
    let config = AzureWorkspace { endpoints: server.endpoints(), ..config };
    let mut source = sources(&config, &tools()).await.unwrap().remove(0);
    assert_eq!(source.name(), format!("prod/{SUB}/workspace/logs"));
    source.start(history, Window { since: since.map(at), until: at(now), now: at(now) });
    let mut batches = Vec::new();
    loop {
        match source.next().await {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}

fn history(batches: &[&[Batch]]) -> History {
    let all = batches.iter().flat_map(|batches| batches.iter());
    History { cursors: all.filter_map(|batch| batch.cursor.clone()).collect() }
}

fn covered(batches: &[Batch]) -> Vec<(String, String)> {
    let all = batches.iter().flat_map(|batch| &batch.coverage);
    all.map(|c| {
        assert_eq!(
            (c.kind.as_str(), c.ledger.as_str()),
            ("azure.keyvault.audit", format!("azure/{SUB}").as_str())
        );
        (c.period.from.to_string(), c.period.to.to_string())
    })
    .collect()
}

fn told(batches: &[Batch]) -> String {
    let notes = batches.iter().flat_map(|batch| &batch.notes);
    notes.map(|note| note.message.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn coverage_begins_where_two_runs_found_every_vault_sending() {
    let on: &[(&str, bool)] = &[("a", true), ("b", true)];
    let server = Server::start(move |seen, _| quiet(seen, on));
    let (first, error) = run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
    assert!(error.is_none(), "{error:?}");
    assert!(covered(&first).is_empty());
    assert!(told(&first).contains("covered from now on"), "{}", told(&first));
    let (second, _) = run(&server, &history(&[&first]), None, "2026-05-07T12:00:00Z").await;
    assert_eq!(
        covered(&second),
        [("2026-05-06T12:00:00Z".to_owned(), "2026-05-07T10:00:00Z".to_owned())]
    );
    let (third, _) = run(&server, &history(&[&first, &second]), None, "2026-05-08T12:00:00Z").await;
    assert_eq!(
        covered(&third),
        [("2026-05-07T10:00:00Z".to_owned(), "2026-05-08T10:00:00Z".to_owned())]
    );
    assert!(told(&third).is_empty(), "{}", told(&third));
    // A new vault: nothing is known of what it sent before this run.
    let more: &[(&str, bool)] = &[("a", true), ("b", true), ("c", true)];
    let server = Server::start(move |seen, _| quiet(seen, more));
    let all = history(&[&first, &second, &third]);
    let (fourth, _) = run(&server, &all, None, "2026-05-09T12:00:00Z").await;
    assert!(covered(&fourth).is_empty());
    // One that sends nothing.
    let off: &[(&str, bool)] = &[("a", true), ("b", false)];
    let server = Server::start(move |seen, _| quiet(seen, off));
    let (fifth, _) = run(&server, &all, None, "2026-05-09T12:00:00Z").await;
    assert!(covered(&fifth).is_empty());
    assert!(told(&fifth).contains("/vaults/b do not send"), "{}", told(&fifth));
}

#[tokio::test]
async fn a_vault_that_came_and_went_between_two_runs_breaks_coverage() {
    let answer = |deleted: &'static str| {
        move |seen: &Seen, _: usize| {
            if seen.path.contains("deletedVaults?") {
                Reply::json(&json!({"value": [{"properties": {"deletionDate": deleted}}]}))
            } else {
                quiet(seen, &[("a", true)])
            }
        }
    };
    for (deleted, expected) in [("2026-05-06T18:00:00Z", 0), ("2026-05-01T00:00:00Z", 1)] {
        let server = Server::start(answer(deleted));
        let (first, _) = run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
        let (second, _) = run(&server, &history(&[&first]), None, "2026-05-07T12:00:00Z").await;
        assert_eq!(covered(&second).len(), expected, "{deleted}");
    }
}

#[tokio::test]
async fn a_workspace_that_drops_rows_covers_nothing() {
    for properties in [
        json!({"customerId": GUID, "workspaceCapping": {"dailyQuotaGb": 5}}),
        json!({"customerId": GUID, "defaultDataCollectionRuleResourceId": "/x"}),
    ] {
        let server = Server::start(move |seen, _| {
            if seen.path.contains("/workspaces/logs?") {
                Reply::json(&json!({"properties": properties}))
            } else {
                quiet(seen, &[("a", true)])
            }
        });
        let (first, _) = run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
        let (second, _) = run(&server, &history(&[&first]), None, "2026-05-07T12:00:00Z").await;
        assert!(covered(&second).is_empty());
        assert!(told(&second).contains("nothing of"), "{}", told(&second));
    }
}

#[tokio::test]
async fn without_leave_to_see_settings_rows_are_read_and_not_covered() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        path if path.contains("diagnosticSettings") => {
            Reply::error(403, "AuthorizationFailed", "no")
        }
        _ if is_query(seen) && seen.body.contains("AZKVAuditLogs") => {
            table(&json!([["2026-05-06T01:00:00Z", "KeySign", vault_id("a")]]))
        }
        _ => quiet(seen, &[("a", true)]),
    });
    let since = Some("2026-05-06T00:00:00Z");
    let (batches, error) = run(&server, &History::default(), since, "2026-05-06T12:00:00Z").await;
    assert!(error.is_none(), "{error:?}");
    assert!(!batches.iter().flat_map(|batch| &batch.items).collect::<Vec<_>>().is_empty());
    assert!(covered(&batches).is_empty());
    assert!(told(&batches).contains("what sends it is not known"), "{}", told(&batches));
}

#[tokio::test]
async fn rows_that_a_table_no_longer_keeps_are_told() {
    let server = Server::start(|seen, _| quiet(seen, &[("a", true)]));
    let since = Some("2026-04-01T00:00:00Z");
    let (batches, _) = run(&server, &History::default(), since, "2026-05-06T12:00:00Z").await;
    assert!(told(&batches).contains("for 10 days: those from 2026-04-01"), "{}", told(&batches));
    let seen = server.seen.lock().unwrap();
    let first = seen.iter().find(|seen| is_query(seen)).unwrap();
    assert!(first.body.contains("datetime(2026-04-26T13:00:00Z)"), "{}", first.body);
}

/// The bounds of a query's slice.
fn asked(seen: &Seen) -> (Timestamp, Timestamp) {
    let times: Vec<&str> = seen.body.split("datetime(").skip(1).collect();
    let time = |n: usize| at(times[n].split_once(')').unwrap().0);
    (time(0), time(1))
}

#[tokio::test]
async fn a_slice_with_too_many_rows_is_halved_and_nothing_is_lost_or_doubled() {
    // Four rows of one instant each, of which an answer takes one at most.
    let instants = [
        "2026-05-06T00:00:00Z",
        "2026-05-06T00:10:00Z",
        "2026-05-06T05:00:00Z",
        "2026-05-06T09:59:59.999Z",
    ];
    let server = Server::start(move |seen, before| {
        if !is_query(seen) || seen.body.contains("AzureDiagnostics") {
            return quiet(seen, &[("a", true)]);
        }
        let (from, to) = asked(seen);
        let held: Vec<Value> = instants
            .iter()
            .filter(|time| from <= at(time) && at(time) < to)
            .map(|time| json!([time, "KeySign", vault_id("a")]))
            .collect();
        match (held.len(), before % 2) {
            (0 | 1, _) => table(&json!(held)),
            (_, 0) => Reply::json(&json!({"tables": [{"name": "PrimaryResult", "columns": [],
                "rows": []}], "error": {"code": "PartialError", "details":
                    [{"innererror": {"code": "E_QUERY_RESULT_SET_TOO_LARGE"}}]}})),
            _ => Reply::error(413, "ResponsePayloadTooLarge", "narrow it"),
        }
    });
    let since = Some("2026-05-06T00:00:00Z");
    let (batches, error) = run(&server, &History::default(), since, "2026-05-06T12:00:00Z").await;
    assert!(error.is_none(), "{error:?}");
    let mut found: Vec<&str> = batches
        .iter()
        .flat_map(|batch| &batch.items)
        .map(|item| match item {
            Item::Record { raw, .. } => raw.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found.len(), 4);
    for (raw, time) in found.iter().zip(instants) {
        assert!(raw.contains(time), "{raw}");
    }
}

#[tokio::test]
async fn rows_that_came_late_are_asked_for_by_the_time_they_came() {
    let server = Server::start(|seen, _| quiet(seen, &[("a", true)]));
    let (first, _) = run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
    let server = Server::start(|seen, _| quiet(seen, &[("a", true)]));
    let (_, error) = run(&server, &history(&[&first]), None, "2026-05-07T12:00:00Z").await;
    assert!(error.is_none(), "{error:?}");
    let seen = server.seen.lock().unwrap();
    let late = seen.iter().find(|seen| is_query(seen)).unwrap();
    assert!(
        late.body.contains("ingestion_time() >= datetime(2026-05-06T11:00:00Z)"),
        "{}",
        late.body
    );
    assert_eq!(asked(late).1, at("2026-05-06T10:00:00Z"));
    assert!(late.head.contains("prefer: wait=100"), "{}", late.head);
}

#[tokio::test]
async fn a_failed_query_for_late_rows_is_made_again_by_the_next_run() {
    let count = AtomicUsize::new(0);
    let on: &[(&str, bool)] = &[("a", true)];
    let server = Server::start(move |seen, _| quiet(seen, on));
    let (first, _) = run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
    let server = Server::start(move |seen, _| {
        if is_query(seen) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            Reply::error(400, "BadArgumentError", "x")
        } else {
            quiet(seen, on)
        }
    });
    let (second, error) = run(&server, &history(&[&first]), None, "2026-05-07T12:00:00Z").await;
    assert!(error.is_some());
    assert!(covered(&second).is_empty());
    let all = history(&[&first, &second]);
    let (_, error) = run(&server, &all, None, "2026-05-08T12:00:00Z").await;
    assert!(error.is_none(), "{error:?}");
    let seen = server.seen.lock().unwrap();
    let late: Vec<_> = seen.iter().filter(|seen| seen.body.contains("ingestion_time()")).collect();
    assert!(late.iter().all(|late| late.body.contains("datetime(2026-05-06T11:00:00Z)")));
    assert!(late.len() >= 2);
}

#[tokio::test]
async fn a_query_that_fails_is_an_error_and_not_an_empty_log() {
    for status in [400, 403, 404] {
        let server = Server::start(move |seen, _| {
            if is_query(seen) {
                Reply::error(status, "WorkspaceNotFoundError", "no")
            } else {
                quiet(seen, &[("a", true)])
            }
        });
        let (batches, error) =
            run(&server, &History::default(), None, "2026-05-06T12:00:00Z").await;
        assert!(error.is_some());
        assert!(covered(&batches).is_empty());
    }
}

#[test]
fn only_workspaces_ids_are_taken() {
    assert_eq!(workspace_id(&workspace()).unwrap(), workspace().to_lowercase());
    for odd in [
        "",
        GUID,
        "/subscriptions/x/../y",
        &workspace().replace("Logs", "a?b=c"),
        &workspace().replace("workspaces", "clusters"),
    ] {
        assert!(workspace_id(odd).is_err(), "{odd}");
    }
}

#[tokio::test]
async fn a_summary_tells_the_next_run_what_the_cursors_do() {
    let server = Server::start(|seen, _| quiet(seen, &[("a", true)]));
    let mut all = History::default();
    for day in ["06", "07", "08"] {
        let (batches, error) = run(&server, &all, None, &format!("2026-05-{day}T12:00:00Z")).await;
        assert!(error.is_none(), "{error:?}");
        all.cursors.extend(history(&[&batches]).cursors);
    }
    let summed = History { cursors: summary(&all) };
    assert_eq!(summed.cursors.len(), 2, "{summed:?}");
    let (now, floor) = (at("2026-05-08T11:00:00Z"), at("2026-04-08T00:00:00Z"));
    assert_eq!(late(&summed, now, floor), late(&all, now, floor));
    assert!(!late(&all, now, floor).is_empty());
    assert_eq!(Look::last(&summed).cursor(), Look::last(&all).cursor());
    assert!(Look::last(&all).since("azure.keyvault.audit").is_some());
    assert_eq!(resume(&summed, floor), resume(&all, floor));
}
