use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn call(ordinal: u64, function: &str, rv: &str, key: Option<&str>) -> Call {
    Call {
        ordinal,
        at: at(i64::try_from(ordinal).unwrap()),
        check: "drill.test".to_owned(),
        function: function.to_owned(),
        rv: rv.to_owned(),
        times: 1,
        mechanism: None,
        key: key.map(str::to_owned),
        handle: None,
    }
}

fn event(id: &str, second: i64, action: &str, key: Option<&str>) -> LogEvent {
    LogEvent {
        event_id: id.to_owned(),
        ledger: "l".to_owned(),
        time: at(second),
        action: action.to_owned(),
        principal: Some("cu".to_owned()),
        key: key.map(str::to_owned),
        success: None,
    }
}

fn log(events: Vec<LogEvent>) -> Log {
    Log { events, skew_seconds: 2, delay_seconds: 5, ..Log::default() }
}

fn traces(correlation: &Correlation) -> Vec<Trace> {
    correlation.steps.iter().map(|step| step.trace).collect()
}

#[test]
fn cloudhsm_logs_management_and_no_use() {
    let calls = [
        call(0, "C_Login", "CKR_OK", None),
        call(1, "C_GenerateKey", "CKR_OK", Some("a")),
        call(2, "C_Sign", "CKR_OK", Some("a")),
        call(3, "C_WrapKey", "CKR_KEY_UNEXTRACTABLE", Some("a")),
        call(4, "C_GetAttributeValue", "CKR_OK", Some("a")),
        call(5, "C_DestroyObject", "CKR_OK", Some("a")),
    ];
    let events = vec![
        event("1", 1, "CN_LOGIN", None),
        event("2", 2, "CN_GENERATE_KEY", Some("262147")),
        event("3", 2, "CN_AUTHORIZE_SESSION", None),
    ];
    let correlation = correlate(Provider::AwsCloudhsm, &calls, &log(events)).unwrap();
    assert_eq!(
        traces(&correlation),
        [
            Trace::MatchedByCount,
            Trace::MatchedByCount,
            Trace::NotLogged,
            Trace::Refused,
            Trace::Missing
        ]
    );
    assert!(correlation.unexpected.is_empty() && !correlation.complete());
}

#[test]
fn cloud_kms_is_matched_by_key_and_use_may_not_be_switched_on() {
    let calls = [
        call(0, "C_GenerateKeyPair", "CKR_OK", Some("k1")),
        call(1, "C_GenerateKeyPair", "CKR_OK", Some("k2")),
        call(2, "C_Sign", "CKR_OK", Some("k2")),
    ];
    let name = |key: &str| {
        format!("projects/p/locations/l/keyRings/r/cryptoKeys/{key}/cryptoKeyVersions/1")
    };
    // In another order than the calls: the key decides.
    let events = vec![
        event("b", 2, "CreateCryptoKey", Some(&name("k2"))),
        event("a", 2, "CreateCryptoKey", Some(&name("k1"))),
    ];
    let mut log = log(events);
    let correlation = correlate(Provider::GcpKms, &calls, &log).unwrap();
    assert_eq!(traces(&correlation), [Trace::MatchedByKey, Trace::MatchedByKey, Trace::Missing]);
    assert_eq!(correlation.steps[0].event.as_deref(), Some("a"));
    log.disabled.insert(Category::Use);
    let correlation = correlate(Provider::GcpKms, &calls, &log).unwrap();
    assert_eq!(traces(&correlation)[2], Trace::LoggingDisabled);
    assert!(correlation.complete());
}

#[test]
fn an_event_of_another_key_does_not_stand_for_this_one() {
    let calls = [call(0, "C_Sign", "CKR_OK", Some("k1"))];
    let events = vec![event("x", 0, "AsymmetricSign", Some("a/cryptoKeys/other/1"))];
    let correlation = correlate(Provider::GcpKms, &calls, &log(events)).unwrap();
    assert_eq!(traces(&correlation), [Trace::Missing]);
    assert_eq!(correlation.unexpected, ["x"]);
}

#[test]
fn what_nobody_did_is_unexpected_and_strangers_do_not_count() {
    let calls = [call(0, "C_Login", "CKR_OK", None), call(1, "C_GenerateKey", "CKR_OK", None)];
    let mut stranger = event("stranger", 1, "CN_GENERATE_KEY", None);
    stranger.principal = Some("other".to_owned());
    let events = vec![
        event("l", 0, "CN_LOGIN", None),
        stranger,
        event("g", 1, "CN_GENERATE_KEY", None),
        event("w", 2, "CN_WRAP_KEY", None),
        event("late", 900, "CN_WRAP_KEY", None),
    ];
    let mut log = log(events);
    log.principal = Some("cu".to_owned());
    let correlation = correlate(Provider::AwsCloudhsm, &calls, &log).unwrap();
    assert_eq!(correlation.unexpected, ["w"]);
    assert_eq!(correlation.counts()[&Trace::MatchedByCount], 2);
}

#[test]
fn each_event_serves_one_call_of_several_alike() {
    let mut three = call(0, "C_DestroyObject", "CKR_OK", None);
    three.times = 3;
    let events =
        vec![event("a", 0, "CN_TOMBSTONE_OBJECT", None), event("b", 1, "CN_DESTROY_OBJECT", None)];
    let correlation = correlate(Provider::AzureCloudHsm, &[three], &log(events)).unwrap();
    assert_eq!(
        traces(&correlation),
        [Trace::MatchedByCount, Trace::MatchedByCount, Trace::Missing]
    );
}

#[test]
fn an_event_that_says_otherwise_than_the_call_is_another_one() {
    let calls = [call(0, "C_WrapKey", "CKR_KEY_UNEXTRACTABLE", None)];
    let mut wrapped = event("leak", 0, "CN_WRAP_KEY", None);
    wrapped.success = Some(true);
    let correlation = correlate(Provider::AwsCloudhsm, &calls, &log(vec![wrapped])).unwrap();
    assert_eq!(traces(&correlation), [Trace::Refused]);
    assert_eq!(correlation.unexpected, ["leak"]);
}

#[test]
fn what_other_hsms_of_a_cluster_log_of_a_call_is_no_surprise() {
    let calls = [call(0, "C_Login", "CKR_OK", None)];
    let copy = |id: &str, ledger: &str| LogEvent {
        ledger: ledger.to_owned(),
        ..event(id, 1, "CN_LOGIN", None)
    };
    let events = vec![copy("1", "hsm-a"), copy("2", "hsm-b"), copy("3", "hsm-b")];
    let correlation = correlate(Provider::AwsCloudhsm, &calls, &log(events)).unwrap();
    assert_eq!(correlation.unexpected, ["3"]);
}

#[test]
fn a_place_is_read_as_it_was_stored() {
    let place = Place { principal: Some("cu".to_owned()), ..Place::default() };
    let stored = place.clone().stored(Provider::AwsCloudhsm).unwrap();
    let read = Place::read(&stored).unwrap();
    assert_eq!(read.provider, Provider::AwsCloudhsm);
    assert_eq!(read.ledgers, ["aws/cloudhsm/*"]);
    assert_eq!(read.principal, place.principal);
    assert_eq!(place.stored(Provider::None), None);
    assert!(toml::from_str::<Place>("provider = 'luna'").is_err());
}
