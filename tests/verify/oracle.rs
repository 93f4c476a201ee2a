//! Others who saw what was done: pkcs11-spy between us and the module, and a TPM's own log.

use std::fs;

use jiff::Timestamp;
use keytrail::verify::correlate::{Log, LogEvent, Provider, Trace, correlate};
use keytrail::verify::result::Level;
use keytrail::verify::{Verification, run};

use crate::fixture::{Token, peer, softhsm, tpm2};

/// The same token, with pkcs11-spy before its module.
fn spied() -> Option<Token> {
    let (mut token, spy) = (softhsm()?, peer("pkcs11-spy")?);
    let output = token.folder.path().join("spy.log");
    for (name, value) in [("PKCS11SPY", &token.module), ("PKCS11SPY_OUTPUT", &output)] {
        token.environment.insert(name.to_owned(), value.display().to_string());
    }
    token.module = spy;
    Some(token)
}

/// The functions that the spy saw, in order: lines such as `12: C_Login`.
fn seen(token: &Token) -> Vec<String> {
    let log = fs::read(token.folder.path().join("spy.log")).unwrap();
    let name = |line: &str| {
        let (number, name) = line.split_once(": ")?;
        let counted = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        (counted && name.starts_with("C_")).then(|| name.trim().to_owned())
    };
    String::from_utf8_lossy(&log).lines().filter_map(name).collect()
}

/// The functions that we say to have called. The first two are of the spy itself.
fn told(document: &Verification) -> Vec<String> {
    let own = ["C_GetFunctionList", "C_GetInterface"];
    let calls = document.calls.iter().filter(|call| !own.contains(&call.function.as_str()));
    calls
        .flat_map(|call| vec![call.function.clone(); usize::try_from(call.times).unwrap()])
        .collect()
}

#[test]
fn the_calls_that_are_told_are_the_calls_that_were_made() {
    let Some(token) = spied() else { return };
    let document = token.verify(Level::Drill);
    assert!(document.run.warnings.iter().any(|warning| warning.contains("writes down")));
    let own = ["C_GetFunctionList", "C_GetInterface"];
    let seen: Vec<String> =
        seen(&token).into_iter().filter(|name| !own.contains(&name.as_str())).collect();
    let told = told(&document);
    let differs = seen.iter().zip(&told).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{:?}", differs.map(|at| (&seen[at..], &told[at..])));
    assert_eq!(seen.len(), told.len());
    assert!(seen.len() > 200);
}

#[test]
fn calls_are_found_again_in_the_spys_log() {
    let Some(token) = spied() else { return };
    let document = token.verify(Level::Drill);
    let end = document.run.ended;
    let events = seen(&token).into_iter().enumerate().map(|(at, action)| LogEvent {
        ledger: "device".to_owned(),
        event_id: at.to_string(),
        time: end,
        action,
        principal: None,
        key: None,
        success: None,
    });
    let mut log = Log { events: events.collect(), delay_seconds: 60, ..Log::default() };
    let found = correlate(Provider::Pkcs11Spy, &document.calls, &log).unwrap();
    assert!(found.complete(), "{:?} {:?}", found.counts(), found.unexpected);
    assert!(found.counts()[&Trace::MatchedByCount] > 100);
    // Somebody else's call, and one that was wiped from the log.
    let mut stranger = log.events[0].clone();
    ("stranger", "C_WrapKey").0.clone_into(&mut stranger.event_id);
    "C_DeriveKey".clone_into(&mut stranger.action);
    log.events.push(stranger);
    let login = log.events.iter().position(|event| event.action == "C_Login").unwrap();
    log.events.remove(login);
    let found = correlate(Provider::Pkcs11Spy, &document.calls, &log).unwrap();
    assert_eq!(found.unexpected, ["stranger"]);
    assert_eq!(found.counts()[&Trace::Missing], 1);
}

/// TPM commands by their code, as swtpm writes them: a line of ten bytes and more, of which the
/// seventh to the tenth are the code.
fn commands(log: &str) -> Vec<&'static str> {
    const CODES: &[(&str, &str)] = &[
        ("00 00 01 5D", "TPM2_Sign"),
        ("00 00 01 5E", "TPM2_Unseal"),
        ("00 00 01 53", "TPM2_Create"),
        ("00 00 01 91", "TPM2_CreateLoaded"),
        ("00 00 01 57", "TPM2_Load"),
        ("00 00 01 65", "TPM2_FlushContext"),
        ("00 00 01 76", "TPM2_StartAuthSession"),
    ];
    let lines: Vec<&str> = log.lines().collect();
    let code = |pair: &[&str]| {
        let command = pair[0].contains("SWTPM_IO_Read");
        let bytes = pair[1].trim();
        let found = CODES.iter().find(|(code, _)| bytes.get(18..29) == Some(code))?;
        command.then_some(found.1)
    };
    lines.windows(2).filter_map(code).collect()
}

#[test]
fn a_tpms_own_log_holds_what_was_asked_of_it_under_other_names() {
    let Some((token, swtpm)) = tpm2() else { return };
    let before = commands(&String::from_utf8_lossy(&fs::read(&swtpm.log).unwrap())).len();
    let mut policy = token.policy();
    policy.skip = [
        "drill.generate.ec",
        "drill.generate.local",
        "drill.destroy",
        "drill.usage.*",
        "drill.import.*",
    ]
    .map(str::to_owned)
    .to_vec();
    let document = run(token.job(Level::Drill, policy)).unwrap();
    let all = commands(&String::from_utf8_lossy(&fs::read(&swtpm.log).unwrap()));
    let events = all.iter().skip(before).enumerate().map(|(at, action)| LogEvent {
        ledger: "device".to_owned(),
        event_id: at.to_string(),
        time: document.run.ended,
        action: (*action).to_owned(),
        principal: None,
        key: None,
        success: None,
    });
    let events: Vec<LogEvent> = events.collect();
    let log = Log { events, delay_seconds: 60, ..Log::default() };
    let found = correlate(Provider::Swtpm, &document.calls, &log).unwrap();
    let of = |function: &str| {
        found
            .steps
            .iter()
            .filter(|s| s.function == function && s.rv == "CKR_OK")
            .map(|s| s.trace)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("C_Login"), [Trace::MatchedByCount], "{all:?}");
    assert_eq!(of("C_GenerateKeyPair"), [Trace::MatchedByCount], "{all:?}");
    assert_eq!(of("C_Sign"), [Trace::MatchedByCount], "{all:?}");
    assert!(Timestamp::now() >= found.from);
}
