//! What may cost the token.

use keytrail::verify::result::Level;
use keytrail::verify::{AccessError, Pin, Verdict, VerifyError, run};

use crate::fixture::{kryoptic, rows, softhsm, verdict};

#[test]
fn a_token_that_is_not_expendable_is_left_alone() {
    let Some(token) = softhsm() else { return };
    let result = token.try_verify(Level::Operator, token.policy());
    assert!(matches!(result, Err(VerifyError::NotExpendable)));
}

#[test]
fn softhsm_crashes_on_a_null_vector_and_never_locks() {
    let Some(token) = softhsm() else { return };
    let mut policy = token.policy();
    policy.expendable = true;
    let document = token.try_verify(Level::Operator, policy).unwrap();
    let crash = document.checks.iter().find(|row| row.id == "operator.null-iv").unwrap();
    assert_eq!(crash.verdict, Verdict::Fail, "{}", rows(&document));
    assert!(crash.message.contains("signal 11"), "{}", crash.message);
    assert_eq!(verdict(&document, "operator.lockout"), Verdict::Fail, "{}", rows(&document));
    for id in ["operator.init-pin", "operator.private", "operator.read-only", "operator.trusted"] {
        assert_eq!(verdict(&document, id), Verdict::Pass, "{id}\n{}", rows(&document));
    }
    assert!(document.remains.is_empty());
}

#[test]
fn kryoptic_locks_and_is_not_tried_again() {
    let Some(token) = kryoptic() else { return };
    let mut policy = token.policy();
    policy.expendable = true;
    let document = token.try_verify(Level::Operator, policy).unwrap();
    assert_eq!(verdict(&document, "operator.lockout"), Verdict::Pass, "{}", rows(&document));
    assert_eq!(verdict(&document, "operator.null-iv"), Verdict::Pass, "{}", rows(&document));
    let again = token.try_verify(Level::Inventory, token.policy());
    assert!(matches!(again, Err(VerifyError::Access(AccessError::Locked))), "{again:?}");
}

#[test]
fn a_wrong_pin_is_spent_once_and_the_last_try_never() {
    let Some(token) = kryoptic() else { return };
    let mut attempts = 0;
    loop {
        let mut job = token.job(Level::Inventory, token.policy());
        job.pin = Some(Pin::new(b"00000000".to_vec()));
        match run(job) {
            Err(VerifyError::Access(AccessError::Login(rv))) => {
                assert_eq!(rv, "CKR_PIN_INCORRECT");
                attempts += 1;
                assert!(attempts < 10, "the token was locked");
            }
            Err(VerifyError::Access(AccessError::FinalTry)) => break,
            other => panic!("{attempts}: {other:?}"),
        }
    }
    // Each run took one try: the token counts ten.
    assert_eq!(attempts, 9);
}
