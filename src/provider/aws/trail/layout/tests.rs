use serde_json::json;

use super::super::super::super::objects::kit::{Shelf, run};
use super::super::super::super::source::History;
use super::*;

const NOW: (Option<&str>, &str) = (None, "2020-01-20T12:00:00Z");

fn layout(config: &serde_json::Value) -> TrailLayout {
    let mut all = json!({ "name": "t", "bucket": "b", "region": "eu-west-1" });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    TrailLayout::new(&serde_json::from_value(all).unwrap())
}

fn log(root: &str, account: &str, region: &str) -> String {
    let name = format!("{account}_CloudTrail_{region}_20200120T1000Z_AbCd.json.gz");
    format!("{root}/{account}/CloudTrail/{region}/2020/01/20/{name}")
}

async fn read(shelf: &std::sync::Arc<Shelf>, config: &serde_json::Value) -> Vec<String> {
    let mut source = shelf.source("s3://b", layout(config));
    let run = run(&mut source, &mut History::default(), NOW).await;
    assert!(run.error.is_none(), "{run:?}");
    run.addresses()
        .into_iter()
        .map(|address| address.trim_start_matches("s3://b/").to_owned())
        .collect()
}

#[tokio::test]
async fn trails_are_found_in_every_layout_and_what_is_none_is_left() {
    let shelf = Shelf::new();
    let plain = log("AWSLogs", "111122223333", "eu-west-1");
    let organization = log("AWSLogs/o-abc", "444455556666", "us-east-1");
    let twice = log("o-abc/AWSLogs/o-abc", "777788889999", "us-east-1");
    for key in [&plain, &organization, &twice] {
        shelf.put(key, "{}").await;
    }
    for other in [
        "AWSLogs/111122223333/Config/eu-west-1/2020/01/20/x.json.gz",
        "AWSLogs/111122223333/CloudTrail-Insight/eu-west-1/2020/01/20/1_CloudTrail-Insight_x.json.gz",
        "AWSLogs/111122223333/CloudTrail/eu-west-1/2020/01/20/notes.txt",
        "AWSLogs/aws-account-id/CloudTrail/x/2020/01/20/1_CloudTrail_x.json.gz",
        "elsewhere/x",
    ] {
        shelf.put(other, "x").await;
    }
    let all = read(&shelf, &json!({})).await;
    assert_eq!(all, [plain.clone(), organization.clone(), twice.clone()]);
    assert_eq!(
        read(&shelf, &json!({ "organizations": ["o-abc"] })).await,
        [organization, twice.clone()]
    );
    assert_eq!(read(&shelf, &json!({ "regions": ["eu-west-1"] })).await, [plain]);
    let prefixed = json!({ "prefix": "/o-abc/", "accounts": ["777788889999"] });
    assert_eq!(read(&shelf, &prefixed).await, [twice]);
}

#[tokio::test]
async fn an_account_that_is_named_and_not_there_is_told_of() {
    let shelf = Shelf::new();
    shelf.put(&log("AWSLogs", "111122223333", "eu-west-1"), "{}").await;
    let config = json!({ "accounts": ["111122223333", "999999999999"] });
    let mut source = shelf.source("s3://b", layout(&config));
    let run = run(&mut source, &mut History::default(), NOW).await;
    assert!(run.notes().contains("nothing of account 999999999999"), "{}", run.notes());
}

#[tokio::test]
async fn an_account_that_is_new_is_read_from_far_back_though_others_are_up_to_date() {
    let shelf = Shelf::new();
    shelf.put(&log("AWSLogs", "111122223333", "eu-west-1"), "{}").await;
    let (mut source, mut history) =
        (shelf.source("s3://b", layout(&json!({}))), History::default());
    run(&mut source, &mut history, NOW).await;
    let old = log("AWSLogs", "444455556666", "eu-west-1").replace("/01/20/", "/01/02/");
    shelf.put(&old, "{}").await;
    assert_eq!(run(&mut source, &mut history, NOW).await.addresses(), [format!("s3://b/{old}")]);
}

#[tokio::test]
async fn a_digest_becomes_a_proof_and_its_signature_another() {
    let shelf = Shelf::new();
    let name = "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20200120T100000Z.json.gz";
    let key = format!("AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2020/01/20/{name}");
    let metadata = [("signature", "ab12"), ("signature-algorithm", "SHA256withRSA")];
    shelf.put_with(&key, pack(br#"{"digestStartTime":"x"}"#), &metadata).await;
    let (mut source, mut history) =
        (shelf.source("s3://b", layout(&json!({}))), History::default());
    let run = run(&mut source, &mut history, NOW).await;
    let (address, proofs) = (format!("s3://b/{key}"), run.proofs());
    let hash = history.cursors[0]["objects"][0]["sha256"].clone();
    assert_eq!(
        proofs[0],
        (address.as_str(), "cloudtrail_digest", json!({ "digestStartTime": "x" }))
    );
    let (_, kind, signature) = &proofs[1];
    assert_eq!(*kind, "cloudtrail_digest_signature");
    assert_eq!(signature["digest"], address);
    assert_eq!(signature["sha256"], hash);
    assert_eq!(
        (&signature["signature"], &signature["algorithm"]),
        (&json!("ab12"), &json!("SHA256withRSA"))
    );
    let none = read(&shelf, &json!({ "digests": false })).await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn records_get_account_and_region_from_where_they_lie() {
    let shelf = Shelf::new();
    shelf.put(&log("AWSLogs/o-abc", "111122223333", "eu-west-1"), "{}").await;
    let mut source = shelf.source("s3://b", layout(&json!({})));
    let run = run(&mut source, &mut History::default(), NOW).await;
    match &run.batches[0].items[0] {
        crate::provider::source::Item::Object { context, .. } => {
            assert_eq!(context.account.as_deref(), Some("111122223333"));
            assert_eq!(context.region.as_deref(), Some("eu-west-1"));
        }
        other => panic!("{other:?}"),
    }
}

fn pack(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}
