//! A module that misbehaves in every function in every way: the parent always comes back, in time,
//! and says where it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use keytrail::verify::Verdict;
use keytrail::verify::result::Level;

use crate::fixture::{Token, folder, root, rows};

/// Compiles the module, once.
fn module() -> PathBuf {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    let compile = || {
        let path = folder().keep().join("libfault.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&path)
            .arg(root().join("tests/verify/fault.c"))
            .status()
            .expect("a C compiler");
        assert!(status.success());
        path
    };
    MODULE.get_or_init(compile).clone()
}

fn token(fault: &str) -> Token {
    Token {
        module: module(),
        label: "fault".to_owned(),
        pin: "123456",
        so_pin: "",
        reserved: None,
        environment: BTreeMap::from([("FAULT".to_owned(), fault.to_owned())]),
        folder: folder(),
    }
}

/// The functions that a drill calls, the first ones before there is a token.
const EARLY: &[&str] = &[
    "C_GetFunctionList",
    "C_Initialize",
    "C_GetInfo",
    "C_GetSlotList",
    "C_GetTokenInfo",
    "C_OpenSession",
    "C_Login",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
];
const LATE: &[&str] = &[
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_GetAttributeValue",
    "C_SetAttributeValue",
    "C_CreateObject",
    "C_CopyObject",
    "C_DestroyObject",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_EncryptInit",
    "C_Encrypt",
    "C_DecryptInit",
    "C_Decrypt",
    "C_SignInit",
    "C_Sign",
    "C_DigestInit",
    "C_Digest",
    "C_WrapKey",
    "C_CloseSession",
    "C_Finalize",
];

/// Runs a drill with a fault, and gives what was said of it, and the exit code.
fn said(fault: &str) -> (String, u8) {
    let token = token(fault);
    let mut policy = token.policy();
    policy.limits.call_seconds = 1;
    policy.limits.restarts = 1;
    policy.module.environment.push("FAULT".to_owned());
    let mut job = token.job(Level::Drill, policy);
    job.launch.environment.clone_from(&token.environment);
    let begun = Instant::now();
    let result = keytrail::verify::run(job);
    assert!(begun.elapsed() < Duration::from_secs(25), "{fault}: {:?}", begun.elapsed());
    match result {
        Err(error) => (error.to_string(), 3),
        Ok(document) => {
            let text =
                format!("{}{:?}{:?}", rows(&document), document.run.warnings, document.remains);
            (text, document.exit_code())
        }
    }
}

/// Does something for each, on some threads: most of the time is spent waiting.
fn each(items: &[String], work: fn(&str)) {
    let parts: Vec<Vec<String>> =
        items.chunks(items.len().div_ceil(8)).map(<[_]>::to_vec).collect();
    thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || part.iter().for_each(|item| work(item)));
        }
    });
}

fn faults(kinds: &[&str]) -> Vec<String> {
    let functions = EARLY.iter().chain(LATE);
    functions.flat_map(|f| kinds.iter().map(move |kind| format!("{f}:{kind}"))).collect()
}

#[test]
fn the_module_that_does_not_misbehave_reaches_every_check() {
    let (text, code) = said("none");
    assert!(!text.contains("was lost") && code != 3, "{text}");
}

#[test]
fn a_module_that_dies_in_a_call_is_named_with_the_call() {
    each(&faults(&["segv", "abort", "exit"]), |fault| {
        let (function, kind) = fault.split_once(':').unwrap();
        let (text, code) = said(fault);
        assert!(matches!(code, 3 | 4) || function == "C_Finalize", "{fault}: {code} {text}");
        let how = match kind {
            "segv" => "signal 11",
            "abort" => "signal 6",
            _ => "exit status 0",
        };
        let load = function == "C_GetFunctionList";
        let place = if load { "dlopen" } else { function };
        // Several calls stand for one request.
        let search = function.starts_with("C_FindObjects") && text.contains("C_FindObjectsInit");
        assert!(text.contains(how), "{fault}: {text}");
        assert!(text.contains(place) || search, "{fault}: {text}");
    });
}

#[test]
fn a_module_that_hangs_is_stopped() {
    each(&faults(&["hang"]), |fault| {
        let (text, code) = said(fault);
        assert!(matches!(code, 3 | 4) || fault.starts_with("C_Finalize"), "{fault}: {code} {text}");
        assert!(text.contains("within 1 s"), "{fault}: {text}");
    });
}

#[test]
fn what_a_module_prints_is_no_answer() {
    each(&faults(&["stdout"]), |fault| {
        let (text, code) = said(fault);
        assert!(!text.contains("disturbed") && !text.contains("was lost"), "{fault}: {text}");
        assert_ne!(code, 3, "{fault}: {text}");
    });
}

#[test]
fn garbage_and_overlong_lengths_are_named_and_believed_by_nobody() {
    each(&faults(&["garbage", "overlong", "endless"]), |fault| {
        let (function, kind) = fault.split_once(':').unwrap();
        let (text, _) = said(fault);
        // A module may overwrite its own memory with it; it may not take the parent with it.
        if kind == "garbage"
            && function != "C_CloseSession"
            && function != "C_Finalize"
            && function != "C_GetMechanismInfo"
        {
            assert!(text.contains("CKR_0xdeadbeefcafe"), "{fault}: {text}");
        }
    });
}

#[test]
fn what_may_be_left_behind_is_named() {
    let token = token("C_DestroyObject:hang");
    let mut policy = token.policy();
    policy.limits.call_seconds = 1;
    policy.limits.restarts = 0;
    let mut job = token.job(Level::Drill, policy);
    job.launch.environment.clone_from(&token.environment);
    let document = keytrail::verify::run(job).unwrap();
    assert_eq!(document.exit_code(), 4);
    assert!(document.remains.iter().any(|label| label.starts_with("keytrail-verify-")));
    assert!(document.checks.iter().any(|row| row.verdict == Verdict::Inconclusive));
}
