//! Existing keys: inventory and use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keytrail::verify::policy::KeyPolicy;
use keytrail::verify::result::{Known, Level};
use keytrail::verify::wire::{Attribute, Request};
use keytrail::verify::{Verdict, Verification, run};

use crate::fixture::{Raw, Token, peer, rows, softhsm, tool, verdict};

/// Runs `pkcs11-tool` on a token as its user.
pub(crate) fn make(token: &Token, arguments: &[&str]) {
    let Some(program) = peer("pkcs11-tool") else { panic!("pkcs11-tool is missing") };
    let module = token.module.to_str().unwrap();
    let mut all =
        vec!["--module", module, "--token-label", &token.label, "--login", "--pin", token.pin];
    all.extend(arguments);
    tool(&program, &all, &token.environment);
}

fn keys(token: &Token) {
    make(token, &["--keypairgen", "--key-type", "rsa:2048", "--label", "signer", "--id", "01"]);
    make(token, &["--keypairgen", "--key-type", "EC:prime256v1", "--label", "ec", "--id", "02"]);
    make(
        token,
        &["--keygen", "--key-type", "AES:32", "--label", "data", "--id", "03", "--sensitive"],
    );
}

fn exercise(token: &Token, labels: &[&str], known: Vec<Known>) -> Verification {
    let mut job = token.job(Level::Use, token.policy());
    job.keys =
        labels.iter().map(|label| format!("pkcs11:object={label}").parse().unwrap()).collect();
    job.known = known;
    run(job).unwrap()
}

fn of<'a>(document: &'a Verification, id: &str, label: &str) -> &'a keytrail::verify::CheckResult {
    let wanted = format!("object={label};");
    let mut rows = document.checks.iter().filter(|row| row.id == id);
    rows.find(|row| row.subject.contains(&wanted)).unwrap_or_else(|| panic!("{id} {label}"))
}

#[test]
fn existing_keys_work_and_keep_their_values() {
    let Some(token) = softhsm() else { return };
    keys(&token);
    let document = exercise(&token, &["signer", "ec", "data"], Vec::new());
    for (id, label) in [
        ("use.sign", "signer"),
        ("use.sign", "ec"),
        ("use.decrypt", "signer"),
        ("use.decrypt", "data"),
        ("use.read", "signer"),
        ("use.read", "ec"),
        ("use.read", "data"),
        ("use.fingerprint", "signer"),
        ("use.fingerprint", "data"),
    ] {
        assert_eq!(
            of(&document, id, label).verdict,
            Verdict::Pass,
            "{id} {label}\n{}",
            rows(&document)
        );
    }
    assert_eq!(of(&document, "use.wrap", "data").verdict, Verdict::Skipped);
    let writes = [
        "C_GenerateKey",
        "C_GenerateKeyPair",
        "C_CreateObject",
        "C_DestroyObject",
        "C_SetAttributeValue",
    ];
    assert!(document.calls.iter().all(|call| !writes.contains(&call.function.as_str())));
    // pkcs11-tool makes AES keys that may leave, and wrap.
    assert_eq!(verdict(&document, "inventory.algorithms"), Verdict::Pass);
    assert_eq!(document.keys.len(), 5);
    let signer = document.keys.iter().find(|key| key.uri.contains("object=signer;type=private"));
    let signer = signer.unwrap();
    assert_eq!(
        (signer.bits, signer.attributes["CKA_SENSITIVE"].clone()),
        (Some(2048), true.into())
    );
    assert_eq!(signer.attributes["CKA_UNIQUE_ID"], "absent");
}

#[test]
fn a_key_that_was_replaced_under_its_name_is_noticed() {
    let Some(token) = softhsm() else { return };
    keys(&token);
    let first = exercise(&token, &["data", "ec"], Vec::new());
    assert_eq!(first.known.len(), 2);
    let again = exercise(&token, &["data", "ec"], first.known.clone());
    for label in ["data", "ec"] {
        let row = of(&again, "use.fingerprint", label);
        assert_eq!(
            (row.verdict, row.message.as_str()),
            (Verdict::Pass, "It is the same key as before.")
        );
    }
    make(&token, &["--delete-object", "--type", "secrkey", "--label", "data"]);
    make(
        &token,
        &["--keygen", "--key-type", "AES:32", "--label", "data", "--id", "03", "--sensitive"],
    );
    let after = exercise(&token, &["data", "ec"], first.known);
    assert_eq!(of(&after, "use.fingerprint", "data").verdict, Verdict::Fail);
    assert_eq!(of(&after, "use.fingerprint", "ec").verdict, Verdict::Pass);
    assert_eq!(after.exit_code(), 1);
}

#[test]
fn after_a_rotation_the_old_version_must_decrypt_and_protect_nothing_new() {
    let Some(token) = softhsm() else { return };
    make(
        &token,
        &["--keygen", "--key-type", "AES:32", "--label", "v1", "--id", "01", "--sensitive"],
    );
    let before = exercise(&token, &["v1"], Vec::new());
    make(
        &token,
        &["--keygen", "--key-type", "AES:32", "--label", "v2", "--id", "02", "--sensitive"],
    );
    let mut policy = token.policy();
    policy.key.push(KeyPolicy {
        uri: "pkcs11:object=v2".parse().unwrap(),
        previous: Some("pkcs11:object=v1".parse().unwrap()),
        ..KeyPolicy::default()
    });
    let again = || {
        let mut job = token.job(Level::Use, policy.clone());
        job.known.clone_from(&before.known);
        run(job).unwrap()
    };
    let document = again();
    let row = of(&document, "use.rotation", "v2");
    // It decrypts; but nobody took its right to encrypt.
    assert_eq!(row.verdict, Verdict::Fail, "{}", rows(&document));
    assert!(row.message.contains("still decrypts, and may still protect"), "{}", row.message);
    retire(&token, "v1");
    let document = again();
    assert_eq!(of(&document, "use.rotation", "v2").verdict, Verdict::Pass, "{}", rows(&document));
    make(&token, &["--delete-object", "--type", "secrkey", "--label", "v1"]);
    assert_eq!(of(&again(), "use.rotation", "v2").verdict, Verdict::Fail);
}

/// Leaves a key decryption alone.
fn retire(token: &Token, label: &str) {
    let mut raw = Raw::enter(token);
    let session = raw.session;
    let template = vec![Attribute::bytes(0x3, label.as_bytes())];
    let object = raw.ask(&Request::Find { session, template, most: 2 }).numbers[0];
    // CKA_ENCRYPT, CKA_WRAP, CKA_SIGN
    for kind in [0x104, 0x106, 0x108] {
        let template = vec![Attribute::flag(kind, false)];
        raw.ask(&Request::SetAttributes { session, object, template });
    }
    raw.leave();
}

#[test]
fn a_key_that_is_not_there_is_a_failure() {
    let Some(token) = softhsm() else { return };
    make(
        &token,
        &[
            "--keygen",
            "--key-type",
            "AES:32",
            "--label",
            "here",
            "--id",
            "01",
            "--sensitive",
            "--private",
        ],
    );
    let document = exercise(&token, &["here", "elsewhere"], Vec::new());
    let rows: Vec<_> = document.checks.iter().filter(|row| row.id == "use.present").collect();
    assert_eq!((rows[0].verdict, rows[1].verdict), (Verdict::Pass, Verdict::Fail));
    assert!(rows[1].subject.contains("elsewhere"));
    // Nor is a key that nobody who is not logged in can see.
    let mut job = token.job(Level::Use, token.policy());
    (job.pin, job.keys) = (None, vec!["pkcs11:object=here".parse().unwrap()]);
    let document = run(job).unwrap();
    assert_eq!(verdict(&document, "use.present"), Verdict::Fail);
    assert!(document.run.warnings.iter().any(|warning| warning.contains("nobody is logged in")));
}

#[test]
fn keys_are_made_no_faster_than_allowed() {
    let Some(token) = softhsm() else { return };
    let mut policy = token.policy();
    policy.limits.creations_per_second = 4.0;
    let others = keytrail::verify::checks().filter(|check| check.id != "drill.rotation");
    policy.skip = others.map(|check| check.id.to_owned()).collect();
    policy.skip.retain(|id| id != "drill.usage.encrypt");
    let begun = Instant::now();
    let document = token.try_verify(Level::Drill, policy).unwrap();
    let creations = ["C_GenerateKey", "C_CreateObject"];
    let made = document.calls.iter().filter(|c| creations.contains(&c.function.as_str())).count();
    assert_eq!(made, 4);
    assert!(begun.elapsed() >= Duration::from_millis(750), "{:?}", begun.elapsed());
}

#[test]
fn an_inventory_only_reads() {
    let Some(token) = softhsm() else { return };
    keys(&token);
    make(
        &token,
        &["--keygen", "--key-type", "AES:32", "--label", "loose", "--id", "04", "--extractable"],
    );
    let document = token.verify(Level::Inventory);
    let mut functions: BTreeMap<&str, u64> = BTreeMap::new();
    for call in &document.calls {
        *functions.entry(call.function.as_str()).or_default() += call.times;
    }
    let reads = [
        "C_GetFunctionList",
        "C_GetInterface",
        "C_Initialize",
        "C_GetInfo",
        "C_GetSlotList",
        "C_GetTokenInfo",
        "C_OpenSession",
        "C_Login",
        "C_GetMechanismList",
        "C_GetMechanismInfo",
        "C_FindObjectsInit",
        "C_FindObjects",
        "C_FindObjectsFinal",
        "C_GetAttributeValue",
        "C_Finalize",
    ];
    assert!(functions.keys().all(|name| reads.contains(name)), "{functions:?}");
    assert_eq!(functions["C_Login"], 1);
    // All mechanisms, those without a name in the standard's bindings too.
    assert_eq!(document.token.mechanisms.len(), 70);
    let extractable = of(&document, "inventory.protection", "loose");
    assert_eq!(extractable.verdict, Verdict::Fail, "{}", rows(&document));
}
