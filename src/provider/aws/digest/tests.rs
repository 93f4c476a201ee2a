use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::{sha256_hex, to_hex};
use crate::finding::Period;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-central-1";
const BUCKET: &str = "trail";
/// The first moment of the chain.
const START: &str = "2026-09-01T00:00:00Z";
/// So many digests, one an hour.
const HOURS: i64 = 72;

/// Two keys made for the tests alone.
static KEYS: LazyLock<[RsaKeyPair; 2]> =
    LazyLock::new(|| [(); 2].map(|()| RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

fn hour(number: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_hours(number)
}

fn fingerprint(key: &RsaKeyPair) -> String {
    to_hex(&Md5::digest(key.public_key().as_ref()))
}

fn sign(key: &RsaKeyPair, text: &str) -> String {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    to_hex(&signature)
}

fn listed(key: &RsaKeyPair) -> Value {
    json!({"Value": STANDARD.encode(key.public_key().as_ref()), "Fingerprint": fingerprint(key),
        "ValidityStartTime": "2026-08-01T00:00:00Z", "ValidityEndTime": 1_793_491_200})
}

/// A chain of digests with their log files, as AWS would deliver them.
#[derive(Clone)]
struct Scene {
    digests: Vec<DigestFile>,
    logs: LogFiles,
    keys: Vec<String>,
    recorded: Vec<Recorded>,
}

/// The stretch of an hour's only log file.
fn log_stretch(number: i64) -> Period {
    let at = |minutes| hour(number) + SignedDuration::from_mins(minutes);
    Period { from: at(-4), to: at(6) + SignedDuration::from_secs(1) }
}

fn log_key(number: i64, slot: &str) -> String {
    let name = format!("{ACCOUNT}_CloudTrail_{REGION}_2026_{number:03}_{slot}.json.gz");
    format!("AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/09/01/{name}")
}

fn log(number: i64, slot: &str) -> Value {
    let key = log_key(number, slot);
    let Period { from, to } = log_stretch(number);
    json!({"s3Bucket": BUCKET, "s3Object": key, "hashValue": sha256_hex(key.as_bytes()),
        "hashAlgorithm": "SHA-256", "oldestEventTime": from.to_string(),
        "newestEventTime": (to - SignedDuration::from_secs(1)).to_string()})
}

fn digest_key(number: i64, suffix: &str) -> String {
    let stamp = hour(number + 1).strftime("%Y%m%dT%H%M%SZ");
    let name =
        format!("{ACCOUNT}_CloudTrail-Digest_{REGION}_main_{REGION}_{stamp}{suffix}.json.gz");
    format!("AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/2026/09/01/{name}")
}

/// One digest file, signed.
fn digest(
    number: i64,
    suffix: &str,
    logs: &[Value],
    (key, previous): (&RsaKeyPair, Option<&DigestFile>),
) -> DigestFile {
    let (object, end) = (digest_key(number, suffix), hour(number + 1).to_string());
    let before = previous.map(|file| {
        let key = file.address.strip_prefix("s3://trail/").unwrap().to_owned();
        (key, sha256_hex(file.raw.as_bytes()), file.signature.clone().unwrap())
    });
    let part = |which: fn(&(String, String, String)) -> &String| before.as_ref().map(which);
    let raw = json!({
        "awsAccountId": ACCOUNT, "digestStartTime": hour(number).to_string(), "digestEndTime": end,
        "digestS3Bucket": BUCKET, "digestS3Object": object,
        "digestPublicKeyFingerprint": fingerprint(key),
        "digestSignatureAlgorithm": "SHA256withRSA",
        "newestEventTime": null, "oldestEventTime": null,
        "previousDigestS3Bucket": before.as_ref().map(|_| BUCKET),
        "previousDigestS3Object": part(|(key, ..)| key),
        "previousDigestHashValue": part(|(_, hash, _)| hash),
        "previousDigestHashAlgorithm": before.as_ref().map(|_| "SHA-256"),
        "previousDigestSignature": part(|(.., signature)| signature),
        "logFiles": logs,
    })
    .to_string();
    let previous = part(|(.., signature)| signature).map_or("null", String::as_str);
    let hash = sha256_hex(raw.as_bytes());
    let signature = sign(key, &format!("{end}\n{BUCKET}/{object}\n{hash}\n{previous}"));
    DigestFile { address: format!("s3://{BUCKET}/{object}"), raw, signature: Some(signature) }
}

/// A log file in each hour but the sixth one, whose digest is empty.
fn logs_of(number: i64) -> Vec<Value> {
    if number == 6 { Vec::new() } else { vec![log(number, "a")] }
}

static WHOLE: LazyLock<Scene> = LazyLock::new(|| {
    let (mut digests, mut logs) = (Vec::<DigestFile>::new(), LogFiles::default());
    for number in 0..HOURS {
        let file = digest(number, "", &logs_of(number), (&KEYS[0], digests.last()));
        digests.push(file);
        let key = log_key(number, "a");
        logs.add(&key, &sha256_hex(key.as_bytes()));
    }
    let keys = vec![json!({"PublicKeyList": [listed(&KEYS[0])]}).to_string()];
    let kms = vec![Period { from: Timestamp::MIN, to: Timestamp::MAX }];
    let recorded = vec![Recorded {
        account: ACCOUNT.to_owned(),
        trail: "main".to_owned(),
        home: REGION.to_owned(),
        kms,
        leaves_out_others: Vec::new(),
    }];
    Scene { digests, logs, keys, recorded }
});

impl Scene {
    fn verify(&self) -> Verified {
        let Self { digests, logs, keys, recorded } = self;
        verify(&Evidence { digests, keys, logs, recorded })
    }

    /// Reads all log files but one.
    fn without_log(&self, key: &str) -> Self {
        let mut scene = self.clone();
        scene.logs.0.remove(bare_name(key)).unwrap();
        scene
    }
}

/// The rows of a kind and status, as hours since the start.
fn rows(verified: &Verified, kind: &str, status: &str) -> Vec<(f64, f64)> {
    let hours = |time: Timestamp| time.duration_since(hour(0)).as_secs_f64() / 3600.0;
    let rows = verified.coverage.iter().filter(|row| row.kind == kind && row.status == status);
    rows.map(|row| {
        assert_eq!(row.ledger, "aws/111122223333");
        assert_eq!(row.region.as_deref(), Some(REGION));
        assert_eq!(row.method, "digest");
        (hours(row.period.from), hours(row.period.to))
    })
    .collect()
}

fn covered(verified: &Verified) -> Vec<(f64, f64)> {
    rows(verified, "aws.cloudtrail", "covered")
}

fn gaps(verified: &Verified) -> Vec<(f64, f64)> {
    rows(verified, "aws.cloudtrail", "gap")
}

fn reasons(verified: &Verified) -> Vec<&str> {
    let gaps = verified.coverage.iter().filter(|row| row.status == "gap" && row.kind == "aws.kms");
    gaps.filter_map(|row| row.detail.as_deref()).collect()
}

fn outcome(verified: &Verified, number: usize) -> &Outcome {
    &verified.verdicts[number].outcome
}

fn refused(verified: &Verified, number: usize) -> &str {
    match outcome(verified, number) {
        Outcome::Refuted(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_chain_covers_all_but_its_last_day() {
    let verified = WHOLE.verify();
    let key = fingerprint(&KEYS[0]);
    assert!(verified.verdicts.iter().all(|v| v.outcome == Outcome::Verified(key.clone())));
    for kind in ["aws.cloudtrail", "aws.cloudhsm.api", "aws.kms"] {
        assert_eq!(rows(&verified, kind, "covered"), [(0.0, 48.0)], "{kind}");
        assert_eq!(rows(&verified, kind, "gap"), [], "{kind}");
    }
    assert!(verified.refused_keys.is_empty(), "{:?}", verified.refused_keys);
}

#[test]
fn the_order_given_and_repetition_change_nothing() {
    let mut scene = WHOLE.clone();
    scene.digests.reverse();
    scene.digests.rotate_left(29);
    scene.digests.push(scene.digests[0].clone());
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
}

#[test]
fn a_chain_of_less_than_a_day_covers_nothing() {
    let mut scene = WHOLE.clone();
    scene.digests.truncate(24);
    let verified = scene.verify();
    assert_eq!(verified.coverage, []);
    assert!(matches!(outcome(&verified, 23), Outcome::Verified(_)));
}

#[test]
fn a_digest_without_its_own_signature_is_verified_by_the_next_and_the_last_by_none() {
    let mut scene = WHOLE.clone();
    scene.digests.iter_mut().for_each(|file| file.signature = None);
    let verified = scene.verify();
    assert_eq!(covered(&verified), [(0.0, 47.0)]);
    assert_eq!(gaps(&verified), []);
    assert!(matches!(outcome(&verified, 71), Outcome::Unproven(_)));
    assert!(matches!(outcome(&verified, 70), Outcome::Verified(_)));
}

#[test]
fn a_log_file_that_was_not_read_is_a_gap_over_its_events() {
    let verified = WHOLE.without_log(&log_key(10, "a")).verify();
    let Period { from, to } = log_stretch(10);
    let at = |time: Timestamp| time.duration_since(hour(0)).as_secs_f64() / 3600.0;
    assert_eq!(gaps(&verified), [(at(from), at(to))]);
    assert_eq!(covered(&verified), [(0.0, at(from)), (at(to), 48.0)]);
    assert!(reasons(&verified)[0].contains("was not read"), "{:?}", reasons(&verified));
    assert!(reasons(&verified)[0].contains(&log_key(10, "a")));
}

#[test]
fn a_log_file_of_the_last_day_is_a_gap_too() {
    let verified = WHOLE.without_log(&log_key(70, "a")).verify();
    assert_eq!(gaps(&verified).len(), 1);
    assert_eq!(covered(&verified), [(0.0, 48.0)]);
}

#[test]
fn a_log_file_with_another_hash_is_a_gap_unless_it_was_read_unchanged_as_well() {
    let key = log_key(10, "a");
    let mut scene = WHOLE.without_log(&key);
    scene.logs.add(&key, &sha256_hex(b"changed"));
    let verified = scene.verify();
    assert_eq!(gaps(&verified).len(), 1);
    assert!(reasons(&verified)[0].contains("does not have the hash"));
    let unpacked = format!("/copy/{}", key.rsplit('/').next().unwrap().trim_end_matches(".gz"));
    scene.logs.add(&unpacked, &sha256_hex(key.as_bytes()).to_uppercase());
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
}

#[test]
fn a_digest_that_was_changed_is_a_gap_over_its_hour_and_the_day_before_is_not_covered() {
    let mut scene = WHOLE.clone();
    scene.digests[40].raw =
        scene.digests[40].raw.replace(r#""hashAlgorithm""#, r#" "hashAlgorithm""#);
    let verified = scene.verify();
    assert!(refused(&verified, 40).contains("changed"));
    assert_eq!(gaps(&verified), [(40.0, 41.0)]);
    assert_eq!(covered(&verified), [(0.0, 16.0), (41.0, 48.0)]);
    assert!(reasons(&verified)[0].contains(&digest_key(40, "")));
}

#[test]
fn the_newest_digest_changed_is_a_gap_as_well() {
    let mut scene = WHOLE.clone();
    scene.digests[71].raw = scene.digests[71].raw.replace("_071_a", "_071_b");
    let verified = scene.verify();
    assert_eq!(gaps(&verified), [(71.0, 72.0)]);
    assert_eq!(covered(&verified), [(0.0, 47.0)]);
}

#[test]
fn a_digest_signed_anew_is_refuted_by_the_one_after_it() {
    let mut scene = WHOLE.clone();
    let other = digest(40, "", &[], (&KEYS[0], Some(&WHOLE.digests[39])));
    scene.digests[40] = other;
    let verified = scene.verify();
    assert!(refused(&verified, 40).contains("another hash"));
    assert_eq!(gaps(&verified), [(40.0, 41.0)]);
}

#[test]
fn one_missing_digest_and_two_in_a_row_are_gaps_over_exactly_their_hours() {
    for missing in [1, 2] {
        let mut scene = WHOLE.clone();
        scene.digests.drain(30..30 + missing);
        let verified = scene.verify();
        let end = f64::from(u32::try_from(30 + missing).unwrap());
        assert_eq!(gaps(&verified), [(30.0, end)]);
        assert_eq!(covered(&verified), [(0.0, 6.0), (end, 48.0)]);
        assert!(reasons(&verified)[0].contains("missing"));
        assert!(
            reasons(&verified)[0].contains(&digest_key(29 + i64::try_from(missing).unwrap(), ""))
        );
    }
}

#[test]
fn a_missing_digest_beside_a_changed_one_is_told_apart_from_it() {
    let mut scene = WHOLE.clone();
    scene.digests[31].raw = scene.digests[31].raw.replace("_031_a", "_031_b");
    scene.digests.remove(30);
    let verified = scene.verify();
    assert_eq!(gaps(&verified), [(30.0, 31.0), (31.0, 32.0)]);
    let reasons = reasons(&verified);
    assert!(reasons[0].contains("missing") && reasons[1].contains("not believed"), "{reasons:?}");
}

#[test]
fn a_chain_that_begins_anew_after_a_pause_leaves_a_gap() {
    let mut scene = WHOLE.clone();
    scene.digests.truncate(30);
    for number in 33..HOURS {
        let previous = (number > 33).then(|| scene.digests.last().unwrap().clone());
        let file = digest(number, "", &logs_of(number), (&KEYS[0], previous.as_ref()));
        scene.digests.push(file);
    }
    let verified = scene.verify();
    assert_eq!(gaps(&verified), [(30.0, 33.0)]);
    assert!(reasons(&verified)[0].contains("there is no digest"));
}

#[test]
fn a_chain_that_was_copied_elsewhere_covers_nothing_and_is_told_of() {
    for place in ["s3://copy/", "s3://trail/old/"] {
        let mut scene = WHOLE.clone();
        for file in &mut scene.digests {
            file.address = file.address.replace("s3://trail/", place);
        }
        let verified = scene.verify();
        assert!(refused(&verified, 5).contains("moved"));
        assert_eq!(covered(&verified), []);
        assert_eq!(gaps(&verified).len(), 72);
        scene.digests.extend(WHOLE.digests.iter().cloned());
        assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
    }
}

#[test]
fn a_digest_in_anothers_place_is_refuted() {
    let mut scene = WHOLE.clone();
    let address = scene.digests[30].address.clone();
    scene.digests[30] = DigestFile { address, ..scene.digests[29].clone() };
    let verified = scene.verify();
    assert!(refused(&verified, 30).contains("moved"));
    assert_eq!(gaps(&verified), [(30.0, 31.0)]);
}

#[test]
fn files_of_a_folder_are_in_place_by_what_their_path_tells() {
    let address = |number: i64, folder: &str| format!("{folder}{}", digest_key(number, ""));
    let name = |number: i64| digest_key(number, "").rsplit('/').next().unwrap().to_owned();
    let mut scene = WHOLE.clone();
    scene.digests[0].address = address(0, "/tmp/logs/");
    scene.digests[1].address = address(1, "logs/").trim_end_matches(".gz").to_owned();
    scene.digests[2].address = address(2, "C:\\logs\\").replace('/', "\\");
    scene.digests[3].address = name(3);
    scene.digests[4].address = "-".to_owned();
    scene.digests[5].address = "digest-5.json".to_owned();
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
    scene.digests[0].address = name(1);
    scene.digests[1].address = address(1, "logs/").replace("/2026/09/01/", "/2026/09/02/");
    let verified = scene.verify();
    assert!(refused(&verified, 0).contains("moved") && refused(&verified, 1).contains("moved"));
}

#[test]
fn a_digest_of_an_unknown_key_is_refuted_where_the_keys_of_its_time_are_known() {
    let mut scene = WHOLE.clone();
    scene.digests[71] = digest(71, "", &logs_of(71), (&KEYS[1], Some(&WHOLE.digests[70])));
    let verified = scene.verify();
    assert!(refused(&verified, 71).contains("none of the known ones"));
    assert_eq!(gaps(&verified), [(71.0, 72.0)]);
    scene.keys.clear();
    let verified = scene.verify();
    assert!(matches!(outcome(&verified, 71), Outcome::Unproven(_)));
    assert_eq!(verified.coverage, []);
    scene.keys.push(json!({"PublicKeyList": [listed(&KEYS[0]), listed(&KEYS[1])]}).to_string());
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
}

#[test]
fn a_key_with_a_wrong_fingerprint_verifies_nothing() {
    let mut scene = WHOLE.clone();
    let mut key = listed(&KEYS[1]);
    key["Fingerprint"] = json!(fingerprint(&KEYS[0]));
    scene.keys = vec![json!({"PublicKeyList": [key]}).to_string()];
    let verified = scene.verify();
    assert_eq!(verified.coverage, []);
    assert_eq!(verified.refused_keys.len(), 1);
}

#[test]
fn a_key_that_was_not_valid_then_verifies_nothing() {
    let mut scene = WHOLE.clone();
    let mut key = listed(&KEYS[0]);
    key["ValidityEndTime"] = json!("2026-08-20T00:00:00Z");
    scene.keys = vec![json!({"PublicKeyList": [key]}).to_string()];
    let verified = scene.verify();
    assert!(refused(&verified, 0).contains("not valid"));
    assert_eq!(covered(&verified), []);
}

#[test]
fn kms_is_covered_only_where_the_trail_is_known_to_record_it() {
    let mut scene = WHOLE.clone();
    scene.recorded[0].kms = vec![Period { from: hour(10), to: hour(20) }];
    let verified = scene.verify();
    assert_eq!(rows(&verified, "aws.kms", "covered"), [(10.0, 20.0)]);
    assert_eq!(covered(&verified), [(0.0, 48.0)]);
    scene.recorded[0].leaves_out_others = vec![Period { from: hour(0), to: hour(30) }];
    assert_eq!(covered(&scene.verify()), [(30.0, 48.0)]);
    scene.recorded.clear();
    let verified = scene.verify();
    assert_eq!(rows(&verified, "aws.kms", "covered"), []);
    assert_eq!(rows(&verified, "aws.cloudhsm.api", "covered"), [(0.0, 48.0)]);
}

#[test]
fn a_backfill_digest_adds_log_files_and_stands_outside_of_the_chain() {
    let mut scene = WHOLE.clone();
    let backfill = digest(20, "_backfill", &[log(20, "late")], (&KEYS[0], None));
    scene.digests.push(backfill);
    let verified = scene.verify();
    assert_eq!(gaps(&verified).len(), 1, "its log file was not read");
    assert!(reasons(&verified)[0].contains("_020_late"));
    let key = log_key(20, "late");
    scene.logs.add(&key, &sha256_hex(key.as_bytes()));
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
    let mut unsigned = scene.clone();
    unsigned.digests[72].signature = None;
    let verified = unsigned.verify();
    assert_eq!(covered(&verified), [(21.0, 48.0)], "what it should name is not known");
    assert_eq!(gaps(&verified), []);
    unsigned.digests[72].signature = scene.digests[3].signature.clone();
    assert_eq!(gaps(&unsigned.verify()), [(20.0, 21.0)]);
    scene.digests.remove(20);
    assert_eq!(gaps(&scene.verify()), [(20.0, 21.0)], "it stands for no digest of the chain");
}

#[test]
fn log_files_of_insights_need_not_be_read() {
    let mut scene = WHOLE.clone();
    let mut insight = log(71, "a");
    insight["s3Object"] = json!("AWSLogs/1/CloudTrail-Insight/x/1_CloudTrail-Insight_x_1.json.gz");
    let logs = [log(71, "a"), insight];
    scene.digests[71] = digest(71, "", &logs, (&KEYS[0], Some(&WHOLE.digests[70])));
    assert_eq!(scene.verify().coverage, WHOLE.verify().coverage);
}

#[test]
fn a_changed_digest_cannot_put_a_gap_over_years() {
    let mut scene = WHOLE.clone();
    let raw = &mut scene.digests[71].raw;
    *raw = raw.replace(
        &format!("\"digestEndTime\":\"{}\"", hour(72)),
        r#""digestEndTime":"9999-01-01T00:00:00Z""#,
    );
    let verified = scene.verify();
    assert!(refused(&verified, 71).contains("changed"));
    assert_eq!(gaps(&verified), []);
    assert_eq!(covered(&verified), [(0.0, 47.0)]);
}

#[test]
fn what_is_no_digest_is_told_of_and_hurts_no_other() {
    let mut scene = WHOLE.clone();
    for raw in ["", "{}", "[]", "null", r#"{"digestStartTime":1}"#, "{\"a\":", "\u{feff}"] {
        let address = "x".to_owned();
        scene.digests.push(DigestFile { address, raw: raw.to_owned(), signature: None });
    }
    let verified = scene.verify();
    assert_eq!(verified.coverage, WHOLE.verify().coverage);
    assert!(refused(&verified, 72).contains("not a digest file"));
}

#[test]
fn every_single_changed_byte_of_a_signature_or_digest_is_found() {
    let mut scene = WHOLE.clone();
    scene.digests.truncate(1);
    let original = scene.digests[0].clone();
    for at in (0..original.raw.len()).step_by(7) {
        let mut bytes = original.raw.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(raw) = String::from_utf8(bytes) else { continue };
        scene.digests[0].raw = raw;
        assert!(matches!(outcome(&scene.verify(), 0), Outcome::Refuted(_) | Outcome::Unproven(_)));
    }
}

#[test]
fn only_what_is_new_is_told_again() {
    let mut early = WHOLE.clone();
    early.digests.truncate(60);
    early.logs.0.remove(bare_name(&log_key(10, "a")));
    let known = early.verify().coverage;
    assert_eq!(news(known.clone(), &known), []);
    let new = news(WHOLE.verify().coverage, &known);
    let new = Verified { coverage: new, ..Verified::default() };
    let Period { from, to } = log_stretch(10);
    let at = |time: Timestamp| time.duration_since(hour(0)).as_secs_f64() / 3600.0;
    assert_eq!(covered(&new), [(at(from), at(to)), (36.0, 48.0)]);
    assert_eq!(gaps(&new), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_panics_or_is_believed_by_chance(
        at in 0usize..4000, with in "\\PC{0,12}", signature in "\\PC{0,40}", address in "\\PC{0,60}",
        time in "[-+]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9:]{5,8}Z", keys in "\\PC{0,60}",
    ) {
        let mut scene = WHOLE.clone();
        scene.digests.truncate(3);
        let mut raw = scene.digests[1].raw.clone();
        let at = raw.floor_char_boundary(at.min(raw.len()));
        raw.insert_str(at, &with);
        scene.digests[1].raw = raw;
        scene.digests[1].signature = Some(signature);
        scene.digests[2].address = address;
        scene.digests[0].raw = scene.digests[0].raw.replace(&hour(1).to_string(), &time);
        scene.keys.push(keys);
        let verified = scene.verify();
        prop_assert_eq!(covered(&verified), []);
    }
}
