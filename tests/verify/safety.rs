//! Nothing is left behind, whoever dies; no PIN is seen; one run at a time.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;

use jiff::Timestamp;
use keytrail::verify::result::Level;
use keytrail::verify::{ModuleError, VerifyError, WORKER_ARGUMENT, run};

use crate::fixture::{Token, rows, softhsm};

/// The workers that this thread's process has started for a token.
fn workers(token: &Token) -> Vec<i32> {
    let folder = token.folder.path().to_str().unwrap().to_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        if command.contains(WORKER_ARGUMENT)
            && String::from_utf8_lossy(&read("environ")).contains(&folder)
        {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: i32) {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Runs the checks that make objects on the token, and has the worker killed before its n-th call.
fn interrupted(token: &Token, call: u64, restarts: u32) -> keytrail::verify::Verification {
    let mut policy = token.policy();
    policy.limits.restarts = restarts;
    policy.skip = [
        "drill.kat.*",
        "drill.read.*",
        "drill.usage.*",
        "drill.copy.*",
        "drill.wrap.*",
        "drill.generate.rsa",
        "drill.unwrap.*",
    ]
    .map(str::to_owned)
    .to_vec();
    let asked = Cell::new(0);
    let clock = || {
        asked.set(asked.get() + 1);
        if asked.get() == call {
            workers(token).into_iter().for_each(kill);
        }
        Timestamp::now()
    };
    let mut job = token.job(Level::Drill, policy);
    job.clock = &clock;
    run(job).unwrap_or_else(|error| panic!("{call}: {error}"))
}

#[test]
fn a_worker_killed_at_any_step_leaves_nothing() {
    let Some(token) = softhsm() else { return };
    let (mut removed, mut step) = (0, 20);
    // The clock is asked once before each call, and at the beginning and end of checks.
    loop {
        let document = interrupted(&token, step, 1);
        assert!(document.remains.is_empty(), "{step}: {:?}", document.remains);
        removed += document.removed.len();
        if document.run.warnings.is_empty() {
            break;
        }
        step += 7;
    }
    assert!(removed > 0 && step > 100, "{removed} removed in {step} steps");
    assert!(token.verify(Level::Inventory).keys.is_empty());
}

#[test]
fn what_a_lost_run_left_is_named_and_the_next_run_removes_it() {
    let Some(token) = softhsm() else { return };
    let (mut named, mut removed) = (0, 0);
    for step in (60..180).step_by(8) {
        let document = interrupted(&token, step, 0);
        let lost = !document.remains.is_empty();
        let next = interrupted(&token, u64::MAX, 0);
        assert!(next.remains.is_empty());
        for label in &next.removed {
            assert!(document.remains.contains(label), "{step}: {label} was not named");
        }
        named += usize::from(lost);
        removed += next.removed.len();
        assert!(!lost || document.exit_code() == 4);
    }
    assert!(named > 1 && removed > 1, "{named} {removed}");
    assert!(token.verify(Level::Inventory).keys.is_empty());
}

#[test]
fn no_pin_is_in_arguments_environment_or_result() {
    let Some(mut token) = softhsm() else { return };
    let pin = "q7!never-shown";
    let util = crate::fixture::peer("pkcs11-tool").unwrap();
    let module = token.module.to_str().unwrap().to_owned();
    let arguments = [
        "--module",
        &module,
        "--token-label",
        "audit-a",
        "--login",
        "--pin",
        token.pin,
        "--change-pin",
        "--new-pin",
        pin,
    ];
    crate::fixture::tool(&util, &arguments, &token.environment);
    token.pin = pin;
    let seen = Cell::new(0);
    let clock = || {
        for worker in workers(&token) {
            for name in ["cmdline", "environ"] {
                let content = fs::read(format!("/proc/{worker}/{name}")).unwrap_or_default();
                assert!(!String::from_utf8_lossy(&content).contains(pin));
                seen.set(seen.get() + 1);
            }
        }
        Timestamp::now()
    };
    let mut job = token.job(Level::Use, token.policy());
    assert!(!format!("{:?}", job.pin).contains(pin));
    job.clock = &clock;
    let document = run(job).unwrap();
    assert!(seen.get() > 0);
    assert!(!serde_json::to_string(&document).unwrap().contains("never-shown"));
    assert!(!format!("{document:?}").contains("never-shown"));
}

#[test]
fn runs_on_one_token_wait_for_each_other() {
    let Some(token) = softhsm() else { return };
    let locks = token.folder.path().join("locks");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut policy = token.policy();
                policy.skip.push("drill.generate.rsa".to_owned());
                // `Token` is shared; a job is not.
                let mut job = token.job(Level::Drill, policy);
                job.locks.clone_from(&locks);
                let document = run(job).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(document.exit_code(), 0, "{}", rows(&document));
            });
        }
    });
    assert!(token.verify(Level::Inventory).keys.is_empty());
}

#[test]
fn a_module_that_others_may_change_is_not_loaded() {
    let Some(mut token) = softhsm() else { return };
    let copy = token.folder.path().join("module.so");
    fs::copy(&token.module, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o777)).unwrap();
    token.module = copy;
    let result = token.try_verify(Level::Inventory, token.policy());
    assert!(matches!(result, Err(VerifyError::Module(ModuleError::Unsafe { .. }))));
}
