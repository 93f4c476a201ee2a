//! What people declare: waivers, people, approvals, parameters, scopes, the configuration.

use std::io::Write as _;

use keytrail::finding::COVERAGE_KINDS;
use keytrail::pipeline::import::Scope;
use keytrail::rule::{ParamOverride, read_approvals, read_people, read_waivers};
use keytrail::settings::{Given, Settings};

/// What is taken keeps the promises of its page; the rest is refused with a reason.
pub fn declared(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    if let Ok(waivers) = read_waivers("waivers.toml", text) {
        for waiver in waivers {
            let shown = &waiver.shown;
            assert_ne!(shown.owner.trim(), shown.approver.trim(), "waived by its owner: {text}");
            assert!(waiver.created < shown.expires, "never in force: {text}");
            assert!(!shown.reason.trim().is_empty(), "waived without a reason: {text}");
        }
    }
    for read in [read_people, read_approvals] {
        if let Ok(batch) = read("declared.csv", text) {
            assert!(batch.num_rows() < text.lines().count().max(1), "rows out of nothing: {text}");
        }
    }
    if let Ok(change) = ParamOverride::parse(text) {
        assert!(!change.rule.is_empty() && !change.param.is_empty(), "{text}");
        let written = format!("{}.{}={}", change.rule, change.param, change.value);
        assert_eq!(ParamOverride::parse(&written).unwrap(), change, "{text}");
    }
    if let Ok(scope) = text.parse::<Scope>() {
        assert!(COVERAGE_KINDS.contains(&scope.kind.as_str()) && scope.ledger.contains('/'));
    }
    settings(text);
}

fn settings(text: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let config = Some(file.path().to_owned());
    let given = Given { config, store_flag: Some("flag".to_owned()), ..Given::default() };
    if let Ok(settings) = Settings::load(&given) {
        assert_eq!(settings.store.value, "flag", "the file won over the flag: {text}");
    }
}
