//! What each token does, cell by cell: violations that are known must be found, what is enforced
//! must pass, what a token cannot do must be said to be so. A cell that changes is news.

use keytrail::verify::Verdict::{self, Fail, NotSupported, Pass};
use keytrail::verify::Verification;
use keytrail::verify::result::Level;

use crate::fixture::{kryoptic, nss, opencryptoki, rows, softhsm, tpm2, verdict};

const P: Verdict = Pass;
const F: Verdict = Fail;
const N: Verdict = NotSupported;

/// A check, and what `SoftHSM`, kryoptic, opencryptoki, NSS and tpm2-pkcs11 do.
const MATRIX: &[(&str, [Verdict; 5])] = &[
    ("drill.read.sensitive", [P, P, P, P, N]),
    ("drill.read.unextractable", [P, P, P, F, N]),
    ("drill.wrap.unextractable", [P, P, P, F, N]),
    ("drill.wrap.flag", [P, P, P, P, N]),
    ("drill.usage.encrypt", [P, P, P, P, N]),
    ("drill.copy.extractable", [P, P, P, F, N]),
    ("drill.copy.sensitive", [P, P, P, P, N]),
    ("drill.trusted.user", [P, F, P, F, N]),
    ("drill.wrap.trusted", [P, P, N, F, N]),
    ("drill.usage.authenticate", [P, P, F, F, N]),
    ("drill.usage.mechanisms", [P, P, N, F, N]),
    ("drill.modifiable", [P, P, P, P, N]),
    ("drill.destroyable", [P, P, N, F, N]),
    ("drill.import.history", [P, P, F, P, N]),
    ("drill.unwrap.template", [P, P, F, P, N]),
    ("drill.generate.local", [P, P, P, F, P]),
    ("drill.usage.wrap-decrypt", [F, F, F, F, N]),
    ("drill.usage.widening", [F, F, F, F, N]),
    ("drill.generate.aes", [P, P, P, P, N]),
    ("drill.generate.rsa", [P, P, P, P, P]),
    ("drill.generate.ec", [P, P, N, P, P]),
    ("drill.generate.ed25519", [P, N, N, N, N]),
    ("drill.kat.aes", [P, P, P, P, N]),
    ("drill.kat.gcm", [P, P, N, P, N]),
    ("drill.kat.cmac", [P, P, N, P, N]),
    ("drill.kat.hmac", [P, P, P, P, N]),
    ("drill.import.object", [P, P, P, P, N]),
    ("drill.import.wrapped", [P, P, P, P, N]),
    ("drill.rotation", [P, P, P, P, N]),
    ("drill.destroy", [P, P, P, P, P]),
];

#[track_caller]
fn judge(document: &Verification, column: usize) {
    let wrong: Vec<String> = MATRIX
        .iter()
        .filter(|(id, _)| verdict(document, id) != Verdict::Skipped)
        .map(|(id, row)| (id, row[column], verdict(document, id)))
        .filter(|(_, wanted, got)| wanted != got)
        .map(|(id, wanted, got)| format!("{id}: {} instead of {}", got.as_str(), wanted.as_str()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}\n{:?}", rows(document), document.run.warnings);
    assert!(document.remains.is_empty(), "{:?}", document.remains);
    for row in document.checks.iter().filter(|row| row.id.starts_with("drill.wrap")) {
        let control = row.evidence.contains_key("control");
        assert!(control || row.verdict == NotSupported, "{} has no control", row.id);
    }
}

#[test]
fn softhsm_keeps_what_it_promises() {
    let Some(token) = softhsm() else { return };
    let document = token.verify(Level::Drill);
    judge(&document, 0);
    assert_eq!(document.exit_code(), 0, "{}", rows(&document));
}

#[test]
fn kryoptic_lets_the_user_trust_a_key() {
    let Some(token) = kryoptic() else { return };
    let document = token.verify(Level::Drill);
    judge(&document, 1);
    assert_eq!(document.exit_code(), 1);
}

#[test]
fn opencryptoki_takes_imported_keys_for_its_own() {
    let Some(token) = opencryptoki() else { return };
    judge(&token.verify(Level::Drill), 2);
}

#[test]
fn nss_shows_protected_keys_and_lets_them_out() {
    let Some(token) = nss() else { return };
    let document = token.verify(Level::Drill);
    judge(&document, 3);
    // The attributes say otherwise.
    let leak = document.checks.iter().find(|row| row.id == "drill.wrap.unextractable").unwrap();
    assert_eq!(leak.evidence["CKA_SENSITIVE"], true);
    assert_eq!(leak.evidence["CKA_NEVER_EXTRACTABLE"], true);
    assert_eq!(leak.evidence["encrypts_alike"], true);
}

/// What makes a key pair on a token without AES. Without a resource manager a TPM has room for one,
/// and tpm2-pkcs11 gives none back: each check gets a TPM of its own.
const PAIRS: &[&str] =
    &["drill.generate.rsa", "drill.generate.ec", "drill.generate.local", "drill.destroy"];

#[test]
fn a_tpm_does_little_and_says_so() {
    for made in PAIRS {
        let Some((token, _swtpm)) = tpm2() else { return };
        let mut policy = token.policy();
        let others = PAIRS.iter().filter(|id| *id != made);
        policy.skip = others.map(|id| (*id).to_owned()).collect();
        // It refuses to sign without a login of its own, and has no room for the control.
        policy.skip.push("drill.usage.authenticate".to_owned());
        judge(&token.try_verify(Level::Drill, policy).unwrap(), 4);
    }
}
