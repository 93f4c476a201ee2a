//! One record of each format and trap, and the event that it becomes. A changed snapshot is a
//! changed meaning: raise `event::MAPPER_VERSION` with it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keytrail::event::{Event, Format, Origin, Protection};
use keytrail::provider::{Context, Mapped, normalize};

fn fixtures() -> Vec<(Format, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/events");
    let mut found = Vec::new();
    for format in Format::ALL {
        let cases = fs::read_dir(folder.join(format.as_str()))
            .unwrap_or_else(|_| panic!("no fixture for the format {format}"));
        found.extend(cases.map(|case| (*format, case.unwrap().path())));
    }
    found.sort();
    found
}

/// What envelope and path would tell: the stream of an HSM, nothing else.
fn context(format: Format) -> Context {
    let hsm = [Format::CloudHsmAudit, Format::CloudHsmCertificates].contains(&format);
    let stream =
        if format == Format::CloudHsmAudit { "hsm-fixture01" } else { "cluster-fixture01" };
    Context {
        log_group: hsm.then(|| "/aws/cloudhsm/cluster-fixture01".to_owned()),
        log_stream: hsm.then(|| stream.to_owned()),
        ..Context::default()
    }
}

/// The facts that an event states, one a line; what is absent is left out.
fn facts(event: &Event) -> String {
    let mut text = String::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "{name}: {value}").unwrap();
        }
    };
    let word = |word: Option<&str>| word.map(str::to_owned);
    put("ledger", Some(event.ledger.clone()));
    put("native_id", event.native_id.clone());
    put("time", Some(event.time.to_string()));
    put("received_at", event.received_at.map(|time| time.to_string()));
    put("service", Some(event.service.clone()));
    put("account", event.account.clone());
    put("region", event.region.clone());
    put("action", Some(event.action.to_string()));
    put("native_action", Some(event.native_action.clone()));
    put("outcome", Some(event.outcome.to_string()));
    put("error_code", event.error_code.clone());
    put("error_message", event.error_message.clone());
    put("actor_id", event.actor.id.clone());
    put("actor_name", event.actor.name.clone());
    put("actor_kind", Some(event.actor.kind.to_string()));
    put("actor_account", event.actor.account.clone());
    put("on_behalf_of", event.actor.on_behalf_of.clone());
    put("mfa", event.actor.mfa.map(|mfa| mfa.to_string()));
    put("source_ip", event.client.ip.clone());
    put("source_host", event.client.host.clone());
    put("user_agent", event.client.user_agent.clone());
    put("request_id", event.client.request_id.clone());
    put("session_id", event.client.session_id.clone());
    put("key_id", event.key.id.clone());
    put("key_version", event.key.version.clone());
    put("key_alias", event.key.alias.clone());
    put("key_group", event.key.group.clone());
    put("key_spec", event.key.spec.clone());
    put("protection_level", word(event.key.protection.map(Protection::as_str)));
    put("origin", word(event.key.origin.map(Origin::as_str)));
    put("hsm_id", event.hsm_id.clone());
    put("target", event.target.clone());
    put("approvers", (!event.approvers.is_empty()).then(|| event.approvers.join(", ")));
    put("read_only", event.read_only.map(|read_only| read_only.to_string()));
    let details =
        (!event.details.is_empty()).then(|| serde_json::to_string(&event.details).unwrap());
    put("details", details);
    text
}

#[test]
fn every_record_becomes_the_event_of_its_snapshot() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/normalize");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let fixtures = fixtures();
    assert!(fixtures.len() >= 20, "only {} fixtures", fixtures.len());
    for (format, path) in fixtures {
        let raw = fs::read_to_string(&path).unwrap();
        let text = match normalize(format, &raw, &context(format)) {
            Ok(Mapped::Event(event)) => facts(&event),
            Ok(Mapped::Irrelevant) => "irrelevant".to_owned(),
            Err(reject) => format!("quarantined as {reject}"),
        };
        let case = path.file_stem().unwrap().to_str().unwrap();
        settings.bind(|| insta::assert_snapshot!(format!("{format}-{case}"), text));
    }
}
