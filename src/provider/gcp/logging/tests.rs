use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::double::{Asked, Double, tools};
use super::*;

const NOW: &str = "2026-11-27T12:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn entry(at: &str, id: &str) -> Value {
    json!({
        "logName": "projects/p-1/logs/cloudaudit.googleapis.com%2Factivity", "insertId": id,
        "timestamp": at, "receiveTimestamp": at,
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "status": {},
            "serviceName": "cloudkms.googleapis.com", "methodName": "UpdateCryptoKey",
        },
    })
}

/// The configuration of a project, all of whose key use is logged.
#[derive(Clone)]
struct Config {
    etag: String,
    log_types: Vec<&'static str>,
    permissions: Vec<&'static str>,
    organization: bool,
}

fn good() -> Config {
    Config {
        etag: "e1".to_owned(),
        log_types: vec!["ADMIN_READ", "DATA_READ"],
        permissions: vec!["logging.logEntries.list", "logging.privateLogEntries.list"],
        organization: true,
    }
}

fn configuration(config: &Config, path: &str) -> (u16, String) {
    let answer = if path.ends_with("projects/p-1:testIamPermissions") {
        json!({"permissions": config.permissions})
    } else if path.ends_with("projects/p-1:getIamPolicy") {
        let logs: Vec<Value> = config.log_types.iter().map(|t| json!({"logType": t})).collect();
        json!({"etag": config.etag, "auditConfigs": [
            {"service": "cloudkms.googleapis.com", "auditLogConfigs": logs}]})
    } else if path.ends_with(":getAncestry") {
        json!({"ancestor": [{"resourceId": {"type": "project", "id": "p-1"}},
            {"resourceId": {"type": "organization", "id": "77"}}]})
    } else if path.contains("organizations/77") && !config.organization {
        return (
            403,
            json!({"error": {"status": "PERMISSION_DENIED", "message": "no"}}).to_string(),
        );
    } else if path.ends_with("organizations/77:getIamPolicy") {
        json!({"etag": "o1"})
    } else if path.contains("organizations/77/sinks") {
        json!({})
    } else if path.ends_with("/sinks/_Default") {
        json!({"name": "_Default", "filter": "NOT LOG_ID(\"cloudaudit.googleapis.com/activity\")",
            "destination": "logging.googleapis.com/projects/p-1/locations/global/buckets/_Default"})
    } else if path.ends_with("/buckets/_Default") {
        json!({"name": "x", "retentionDays": 30})
    } else {
        return (404, String::new());
    };
    (200, answer.to_string())
}

/// Reads a bound out of a filter.
fn bound(filter: &str, operator: &str) -> Timestamp {
    let rest = filter.split(&format!("timestamp{operator}\"")).nth(1).unwrap();
    time(rest.split('"').next().unwrap())
}

/// Answers `entries:list` as Cloud Logging does: filtered, ordered, two a page, an empty page first.
fn list(entries: &[Value], asked: &Asked) -> (u16, String) {
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!((&body["pageSize"], &body["orderBy"]), (&json!(1000), &json!("timestamp asc")));
    let filter = body["filter"].as_str().unwrap();
    let (from, to) = (bound(filter, ">="), bound(filter, "<"));
    let mut found: Vec<&Value> = entries
        .iter()
        .filter(|entry| (from..to).contains(&time(entry["timestamp"].as_str().unwrap())))
        .collect();
    found.sort_by_key(|entry| time(entry["timestamp"].as_str().unwrap()));
    let start = match body["pageToken"].as_str() {
        None => return (200, json!({"nextPageToken": "0"}).to_string()),
        Some(token) => token.parse::<usize>().unwrap(),
    };
    let page: Vec<&Value> = found.iter().skip(start).take(2).copied().collect();
    let next = (start + 2 < found.len()).then(|| (start + 2).to_string());
    (200, json!({"entries": page, "nextPageToken": next}).to_string())
}

fn config(double: &Double) -> GcpLogging {
    let address = Some(double.address.clone());
    GcpLogging {
        name: "prod".to_owned(),
        projects: vec!["p-1".to_owned()],
        endpoints: GcpEndpoints {
            logging: address.clone(),
            resource_manager: address,
            ..GcpEndpoints::default()
        },
        calls_per_minute: NonZeroU32::new(600_000),
        ..GcpLogging::default()
    }
}

#[derive(Default)]
struct Run {
    items: Vec<String>,
    coverage: Vec<Coverage>,
    history: History,
    notes: Vec<String>,
    error: Option<SourceError>,
}

impl Run {
    fn covered(&self, kind: &str) -> Option<(Timestamp, Timestamp)> {
        let rows: Vec<_> = self.coverage.iter().filter(|row| row.kind == kind).collect();
        let from = rows.iter().map(|row| row.period.from).min()?;
        Some((from, rows.iter().map(|row| row.period.to).max()?))
    }
}

/// Runs the source of project `p-1` until it ends, fails, or has given `most` batches.
async fn collect(double: &Double, history: &History, window: Window, most: usize) -> Run {
    let mut source = sources(&config(double), &tools()).await.unwrap().remove(0);
    assert_eq!(source.name(), "prod/p-1");
    source.start(history, window);
    let mut run = Run { history: history.clone(), ..Run::default() };
    for _ in 0..most {
        match source.next().await {
            Ok(None) => break,
            Ok(Some(batch)) => {
                for item in batch.items {
                    let Item::Record { raw, transport, format, .. } = item else { panic!() };
                    assert_eq!((transport, format), ("entries_list", Format::GcpAudit));
                    run.items.push(raw);
                }
                run.coverage.extend(batch.coverage);
                run.history.cursors.extend(batch.cursor);
                run.notes.extend(batch.notes.into_iter().map(|note| note.message));
            }
            Err(error) => {
                run.error = Some(error);
                break;
            }
        }
    }
    run
}

fn window(since: Option<&str>, now: &str) -> Window {
    Window { since: since.map(time), until: time(now), now: time(now) }
}

fn server(entries: Vec<Value>, config: Config) -> Double {
    Double::start(move |asked| {
        if asked.path.starts_with("/v2/entries:list") {
            list(&entries, asked)
        } else {
            configuration(&config, &asked.path)
        }
    })
}

#[tokio::test]
async fn every_page_is_read_empty_ones_included_and_covered_to_an_hour_ago() {
    let entries = vec![
        entry("2026-11-25T01:00:00Z", "a"),
        entry("2026-11-25T02:00:00Z", "b"),
        entry("2026-11-25T02:00:00Z", "c"),
        entry("2026-11-27T11:59:00Z", "young"),
    ];
    let double = server(entries.clone(), good());
    let since = window(Some("2026-11-24T00:00:00Z"), NOW);
    let run = collect(&double, &History::default(), since, 999).await;
    assert!(run.error.is_none(), "{:?}", run.error);
    assert_eq!(run.items.len(), 4);
    assert_eq!(run.items[0], entries[0].to_string());
    let whole = Some((time("2026-11-24T00:00:00Z"), time("2026-11-27T11:00:00Z")));
    assert_eq!((run.covered("gcp.kms.admin"), run.covered("gcp.logging")), (whole, whole));
    assert_eq!(run.covered("gcp.kms.data"), None, "one collection proves nothing");
    assert!(run.coverage.iter().all(|row| row.ledger == "gcp/p-1" && row.region.is_none()));
    assert!(double.asked().iter().all(|asked| !asked.authorized));
}

#[tokio::test]
async fn a_second_collection_proves_that_the_use_of_keys_was_logged_in_between() {
    let double = server(Vec::new(), good());
    let first = collect(&double, &History::default(), window(None, NOW), 999).await;
    let next = window(None, "2026-11-28T12:00:00Z");
    let second = collect(&double, &first.history, next, 999).await;
    let expected = (time("2026-11-27T12:15:00Z"), time("2026-11-28T11:00:00Z"));
    assert_eq!(second.covered("gcp.kms.data"), Some(expected));
    let third = collect(&double, &second.history, window(None, "2026-11-28T18:00:00Z"), 999).await;
    assert_eq!(third.covered("gcp.kms.data").unwrap().1, time("2026-11-28T17:00:00Z"));
    assert!(third.covered("gcp.kms.data").unwrap().0 <= time("2026-11-28T11:00:00Z"));
}

#[tokio::test]
async fn a_change_of_auditing_in_between_ends_what_is_proven() {
    let mut change = entry("2026-11-28T01:00:00Z", "x");
    change["protoPayload"]["serviceName"] = json!("cloudresourcemanager.googleapis.com");
    change["protoPayload"]["methodName"] = json!("SetIamPolicy");
    change["protoPayload"]["serviceData"] = json!({"policyDelta": {"auditConfigDeltas": [
        {"action": "REMOVE", "service": "allServices", "logType": "DATA_READ"}]}});
    let first =
        collect(&server(Vec::new(), good()), &History::default(), window(None, NOW), 999).await;
    let later = Config { etag: "e2".to_owned(), ..good() };
    let next = window(None, "2026-11-28T12:00:00Z");
    let changed = collect(&server(vec![change], later.clone()), &first.history, next, 999).await;
    let until = time("2026-11-28T01:00:00Z");
    assert_eq!(changed.covered("gcp.kms.data").map(|(_, to)| to), Some(until));
    let quiet = collect(&server(Vec::new(), later), &first.history, next, 999).await;
    assert_eq!(quiet.covered("gcp.kms.data").unwrap().1, time("2026-11-28T11:00:00Z"));
}

#[tokio::test]
async fn key_use_that_is_hidden_not_logged_or_unknown_is_told_and_not_covered() {
    let off = Config { log_types: vec!["DATA_READ"], ..good() };
    let hidden = Config { permissions: vec!["logging.logEntries.list"], ..good() };
    let unknown = Config { organization: false, ..good() };
    for (config, word) in [
        (off, "ADMIN_READ"),
        (hidden, "logging.privateLogEntries.list"),
        (unknown, "organizations/77"),
    ] {
        let double = server(Vec::new(), config);
        let first = collect(&double, &History::default(), window(None, NOW), 999).await;
        let next = window(None, "2026-11-28T12:00:00Z");
        let second = collect(&double, &first.history, next, 999).await;
        assert_eq!(second.covered("gcp.kms.data"), None, "{word}");
        assert!(second.covered("gcp.kms.admin").is_some());
        assert!(second.notes.iter().any(|note| note.contains(word)), "{word}: {:?}", second.notes);
    }
}

#[tokio::test]
async fn throttling_torn_bodies_and_server_errors_are_no_empty_log() {
    let count = AtomicUsize::new(0);
    let double = Double::start(move |asked| {
        if !asked.path.starts_with("/v2/entries:list") {
            return configuration(&good(), &asked.path);
        }
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => (429, json!({"error": {"status": "RESOURCE_EXHAUSTED"}}).to_string()),
            1 => (200, "TORN {\"entries\": [".to_owned()),
            2 => (500, String::new()),
            3 => (200, "{\"entries\": [{".to_owned()),
            _ => list(&[entry("2026-11-27T01:00:00Z", "a")], asked),
        }
    });
    let since = window(Some("2026-11-27T00:00:00Z"), NOW);
    let run = collect(&double, &History::default(), since, 999).await;
    assert!(run.error.is_none(), "{:?}", run.error);
    assert_eq!(run.items.len(), 1);
}

#[tokio::test]
async fn a_log_that_is_throttled_for_good_is_an_error_and_covers_nothing() {
    let double = Double::start(|asked| {
        if asked.path.starts_with("/v2/entries:list") {
            (429, String::new())
        } else {
            configuration(&good(), &asked.path)
        }
    });
    let run = collect(&double, &History::default(), window(None, NOW), 999).await;
    assert!(matches!(run.error, Some(SourceError::Throttled { .. })), "{:?}", run.error);
    assert!(run.coverage.is_empty() && run.history.cursors.is_empty());
}

#[tokio::test]
async fn a_refusal_names_the_permission() {
    let double = Double::start(|asked| {
        if asked.path.starts_with("/v2/entries:list") {
            {
                (
                    403,
                    json!({"error": {"status": "PERMISSION_DENIED", "message": "no"}}).to_string(),
                )
            }
        } else {
            configuration(&good(), &asked.path)
        }
    });
    let run = collect(&double, &History::default(), window(None, NOW), 999).await;
    let error = run.error.unwrap();
    assert!(error.hint().contains("logging.logEntries.list"), "{}", error.hint());
}

#[tokio::test]
async fn a_page_token_that_comes_again_is_an_error_and_covers_nothing() {
    let double = Double::start(|asked| {
        if asked.path.starts_with("/v2/entries:list") {
            (200, json!({"nextPageToken": "again"}).to_string())
        } else {
            configuration(&good(), &asked.path)
        }
    });
    let run = collect(&double, &History::default(), window(None, NOW), 999).await;
    assert!(matches!(run.error, Some(SourceError::Content { .. })), "{:?}", run.error);
    assert!(run.coverage.is_empty());
}

#[tokio::test]
async fn a_source_that_was_killed_goes_on_and_misses_nothing() {
    let entries: Vec<Value> = (0..40)
        .map(|i| entry(&format!("2026-11-{:02}T05:{i:02}:00Z", 1 + i / 2), &i.to_string()))
        .collect();
    let double = server(entries, good());
    let mut history = History::default();
    let (mut seen, mut coverage) = (BTreeSet::new(), Vec::new());
    for _ in 0..200 {
        let part = collect(&double, &history, window(None, NOW), 1).await;
        let ended = part.history.cursors.last() == history.cursors.last();
        seen.extend(part.items);
        coverage.extend(part.coverage);
        history = part.history;
        if ended && seen.len() == 40 {
            break;
        }
    }
    assert_eq!(seen.len(), 40);
    let admin: Vec<Period> =
        coverage.iter().filter(|row| row.kind == "gcp.kms.admin").map(|row| row.period).collect();
    let last = admin.iter().map(|period| period.to).max();
    assert_eq!(last, Some(time("2026-11-27T11:00:00Z")));
    assert!(admin.windows(2).all(|pair| pair[1].from <= pair[0].to), "{admin:?}");
}

#[tokio::test]
async fn an_entry_that_arrives_late_is_found_by_the_next_run() {
    let entries = Arc::new(Mutex::new(vec![entry("2026-11-27T09:00:00Z", "a")]));
    let held = Arc::clone(&entries);
    let double = Double::start(move |asked| {
        if asked.path.starts_with("/v2/entries:list") {
            list(&held.lock().unwrap(), asked)
        } else {
            configuration(&good(), &asked.path)
        }
    });
    let first = collect(&double, &History::default(), window(None, NOW), 999).await;
    let mut late = entry("2026-11-27T10:30:00Z", "late");
    late["receiveTimestamp"] = json!("2026-11-27T12:05:00Z");
    entries.lock().unwrap().push(late);
    let second = collect(&double, &first.history, window(None, "2026-11-27T12:10:00Z"), 999).await;
    assert!(second.items.iter().any(|raw| raw.contains("\"late\"")), "{:?}", second.items);
    assert!(second.notes.iter().any(|note| note.contains("95 minutes")), "{:?}", second.notes);
}

#[tokio::test]
async fn pages_out_of_order_are_begun_again_after_a_kill() {
    let double = Double::start(|asked| {
        if !asked.path.starts_with("/v2/entries:list") {
            return configuration(&good(), &asked.path);
        }
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let page = match body["pageToken"].as_str() {
            None => json!({"entries": [entry("2026-11-26T05:00:00Z", "a"),
                entry("2026-11-26T04:00:00Z", "b")], "nextPageToken": "1"}),
            Some(_) => json!({"entries": [entry("2026-11-26T03:00:00Z", "c")]}),
        };
        (200, page.to_string())
    });
    let since = window(Some("2026-11-26T00:00:00Z"), NOW);
    let broken = collect(&double, &History::default(), since, 1).await;
    assert_eq!(broken.history.cursors[0]["part"], Value::Null);
    assert!(broken.coverage.is_empty());
}

#[tokio::test]
async fn a_folder_covers_its_own_log_and_no_key_use() {
    let double = server(Vec::new(), good());
    let mut config = config(&double);
    config.projects.clear();
    config.folders = vec!["12".to_owned()];
    let mut source = sources(&config, &tools()).await.unwrap().remove(0);
    source.start(&History::default(), window(Some("2026-11-27T00:00:00Z"), NOW));
    let batch = source.next().await.unwrap().unwrap();
    assert!(batch.coverage.iter().all(|row| row.ledger == "gcp/folders/12"));
    assert_eq!(batch.coverage.len(), 2);
}

#[tokio::test]
async fn a_configuration_that_names_nothing_or_a_number_is_refused() {
    assert!(sources(&GcpLogging::default(), &tools()).await.is_err());
    let number = GcpLogging { projects: vec!["123".to_owned()], ..GcpLogging::default() };
    assert!(sources(&number, &tools()).await.is_err());
}

/// Part `index` of an entry that was split into three.
fn part(at: &str, index: u64) -> Value {
    let mut part = entry(at, &format!("big-{index}"));
    part["split"] = json!({"uid": "u-1", "index": index, "totalSplits": 3});
    part
}

#[tokio::test]
async fn the_parts_of_a_split_entry_are_one_record_also_across_pages_and_a_kill() {
    let at = "2026-11-26T10:00:00Z";
    let parts = [0, 1, 2].map(|index| part(at, index));
    let mut entries = vec![entry("2026-11-26T09:00:00Z", "a")];
    entries.extend(parts.clone());
    entries.push(entry("2026-11-26T11:00:00Z", "b"));
    let expected = Value::from(&parts[..]).to_string();
    let double = server(entries, good());
    let since = window(Some("2026-11-26T00:00:00Z"), NOW);
    let whole = collect(&double, &History::default(), since, usize::MAX).await;
    assert_eq!(whole.items.len(), 3, "{:?}", whole.items);
    assert_eq!(whole.items[1], expected);
    // Killed after each of its batches, no part is missed by the run after it.
    for batches in 1..4 {
        let killed = collect(&double, &History::default(), since, batches).await;
        let after = collect(&double, &killed.history, window(None, NOW), usize::MAX).await;
        let all: BTreeSet<String> = killed.items.into_iter().chain(after.items).collect();
        assert_eq!(all, whole.items.iter().cloned().collect(), "{batches}");
    }
}

#[tokio::test]
async fn parts_that_lack_one_are_handed_on_one_by_one_unless_they_are_young() {
    let old = [0, 2].map(|index| part("2026-11-26T10:00:00Z", index));
    let since = window(Some("2026-11-26T00:00:00Z"), NOW);
    let run = collect(&server(old.to_vec(), good()), &History::default(), since, usize::MAX).await;
    assert_eq!(run.items, old.map(|part| part.to_string()));
    let young = "2026-11-27T11:50:00Z";
    let some = [0, 2].map(|index| part(young, index)).to_vec();
    let run = collect(&server(some, good()), &History::default(), since, usize::MAX).await;
    assert!(run.items.is_empty(), "{:?}", run.items);
    let all = [0, 1, 2].map(|index| part(young, index));
    let later = window(None, "2026-11-27T12:30:00Z");
    let next = collect(&server(all.to_vec(), good()), &run.history, later, usize::MAX).await;
    assert_eq!(next.items, [Value::from(&all[..]).to_string()]);
}
