//! `verify` as its user runs it: a section of the configuration, results in the store, calls found
//! again in the log of an HSM. `SoftHSM` stands for the HSM; its log is written here from the calls.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::harness::{Bench, Run};
use super::softhsm;

const LEDGER: &str = "aws/cloudhsm/hsm-softaaaa111";

/// What a `CloudHSM` would log of calls that succeed.
const LOGGED: &[(&str, &str)] = &[
    ("C_Login", "CN_LOGIN"),
    ("C_Logout", "CN_LOGOUT"),
    ("C_GenerateKey", "CN_GENERATE_KEY"),
    ("C_GenerateKeyPair", "CN_GENERATE_KEY_PAIR"),
    ("C_CreateObject", "CN_UNWRAP_KEY"),
    ("C_UnwrapKey", "CN_UNWRAP_KEY"),
    ("C_WrapKey", "CN_WRAP_KEY"),
    ("C_DeriveKey", "CN_DERIVE_KEY"),
    ("C_SetAttributeValue", "CN_MODIFY_OBJECT"),
    ("C_DestroyObject", "CN_TOMBSTONE_OBJECT"),
];

/// A `SoftHSM` token `audit-a`, and `keytrail.toml` that names it `hsm`.
struct Hsm {
    bench: Bench,
    module: PathBuf,
}

fn hsm(section: &str) -> Option<Hsm> {
    let bench = Bench::new();
    let module = softhsm::token(&bench, "audit-a")?;
    bench.file("verify.toml", "provider = \"aws-cloudhsm\"\n");
    let config = format!(
        "store = \"store\"\n[verify.hsm]\nmodule = {:?}\ntoken = \"audit-a\"\npin_source = \"file:pin\"\n\
         level = \"drill\"\npolicy = \"verify.toml\"\naccount = \"111122223333\"\nregion = \"eu-central-1\"\n{section}",
        module.display().to_string()
    );
    bench.file("keytrail.toml", config);
    Some(Hsm { bench, module })
}

impl Hsm {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.env("SOFTHSM2_CONF", softhsm::conf(&self.bench));
        command
    }

    fn verify(&self, arguments: &[&str]) -> Value {
        let run =
            Run::of(self.command(&[&["verify", "hsm", "--format", "json"], arguments].concat()));
        assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
        run.json()
    }

    /// The verdicts of a rule in a copy of the store that has read `log` besides.
    fn with_log(&self, name: &str, log: &str, rule: &str) -> Vec<(String, String, Value)> {
        let store = format!("store-{name}");
        let copied = Command::new("cp")
            .args(["-r", "store", &store])
            .current_dir(self.bench.path())
            .status()
            .unwrap();
        assert!(copied.success());
        let file = format!("{name}/hsm-softaaaa111.log");
        self.bench.file(&file, log);
        let stream = "/aws/cloudhsm/cluster-soft1234abc/hsm-softaaaa111";
        self.bench.run(&["import", "--store", &store, "--stream", stream, &file]).exits(0);
        let later = (Timestamp::now() + SignedDuration::from_mins(30)).to_string();
        let arguments =
            ["check", "--store", &store, "--rule", rule, "--as-of", &later, "--format", "json"];
        let results = self.bench.run(&arguments).json()["results"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| {
            let verdict = format!("{} {}", text(&row["status"]), text(&row["reason"]));
            (text(&row["subject"]["kind"]), verdict, row.clone())
        };
        results.as_array().unwrap().iter().map(row).collect()
    }
}

/// The verdict on the token.
fn of_token(rows: &[(String, String, Value)]) -> &str {
    &rows.iter().find(|(kind, ..)| kind == "token").unwrap().1
}

/// One line of the HSM's log: when, and what.
type Line = (Timestamp, &'static str);

/// What the HSM would have logged of a run, in order, with somebody's reading before and after.
fn logged(run: &Value) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for call in run["calls"].as_array().unwrap() {
        let name = LOGGED.iter().find(|(function, _)| call["function"] == *function);
        if let (Some((_, opcode)), "CKR_OK") = (name, call["rv"].as_str().unwrap()) {
            let at: Timestamp = call["at"].as_str().unwrap().parse().unwrap();
            let times = usize::try_from(call["times"].as_u64().unwrap()).unwrap();
            lines.extend(std::iter::repeat_n((at, *opcode), times));
        }
    }
    let minutes = SignedDuration::from_mins;
    let (first, last) = (lines.first().unwrap().0, lines.last().unwrap().0);
    lines.insert(0, (first - minutes(9), "CN_GET_OBJECT_INFO"));
    lines.push((last + minutes(9), "CN_GET_OBJECT_INFO"));
    lines
}

/// The log as the HSM writes it, numbered anew from 1 with `hole` numbers left out at a place.
fn text(lines: &[Line], hole: Option<usize>) -> String {
    let mut number = 0;
    let mut text = String::new();
    for (place, (time, opcode)) in lines.iter().enumerate() {
        number += 1 + usize::from(hole == Some(place));
        let at = time.strftime("%m/%d/%y %H:%M:%S%.6f");
        text += &format!(
            "Time: {at}, usecs:{}\nSequence No : {number:#x}\nReboot counter : 0xe9\n\
             Command Type(hex) : CN_MGMT_CMD (0x0)\nOpcode : {opcode} (0x10)\nSession Handle : 0x1004001\n\
             Response : 0:HSM Return: SUCCESS\nLog type : MGMT_USER_DETAILS_LOG (2)\nUser Name : auditor\n\
             User Type : CN_CRYPTO_USER (1)\n\n",
            time.as_microsecond()
        );
    }
    text
}

#[test]
fn the_calls_of_a_drill_are_found_again_in_the_log_of_the_hsm_and_what_is_missing_is_told() {
    let section = format!(
        "[verify.hsm.log]\nledgers = [{LEDGER:?}]\nprincipal = \"auditor\"\nskew_seconds = 2\ndelay_seconds = 2\n"
    );
    let Some(hsm) = hsm(&section) else { return };
    let run = hsm.verify(&[]);
    assert_eq!(run["summary"]["fail"], 0, "{run:#}");
    // The log has not been read: nothing can be said.
    let check = hsm.bench.run(&["check", "--rule", "DR-04", "--format", "json"]).json();
    assert_eq!(check["results"][0]["status"], "undetermined", "{check:#}");

    let whole = logged(&run);
    let rows = hsm.with_log("whole", &text(&whole, None), "DR-04");
    assert_eq!(of_token(&rows), "pass verified", "{rows:#?}");
    let evidence = rows[0].2["evidence_count"].as_u64().unwrap();
    assert_eq!(evidence, u64::try_from(whole.len() - 2).unwrap());

    // Somebody took a line out of the log and closed the numbers.
    let place = whole.iter().position(|(_, opcode)| *opcode == "CN_GENERATE_KEY_PAIR").unwrap();
    let mut fewer = whole.clone();
    fewer.remove(place);
    let rows = hsm.with_log("fewer", &text(&fewer, None), "DR-04");
    assert_eq!(of_token(&rows), "fail not_in_log", "{rows:#?}");
    assert!(rows[0].2["message"].as_str().unwrap().contains("C_GenerateKeyPair"));
    // A line is missing, and so is its number: it may have been that one.
    let rows = hsm.with_log("hole", &text(&fewer, Some(place)), "DR-04");
    assert_eq!(of_token(&rows), "undetermined coverage_gap", "{rows:#?}");
    // The same name did something more.
    let mut more = whole.clone();
    more.insert(place, (whole[place].0, "CN_SHARE_OBJECT"));
    let rows = hsm.with_log("more", &text(&more, None), "DR-04");
    assert_eq!(of_token(&rows), "fail unexpected_use", "{rows:#?}");
    // Keys of the drill are no keys of production.
    let rows = hsm.with_log("drill", &text(&whole, None), "DR-03");
    assert!(rows.iter().all(|(kind, ..)| kind != "key_class"), "{rows:#?}");
}

#[test]
fn what_one_run_left_in_the_log_is_no_trace_of_the_next() {
    let section = format!(
        "[verify.hsm.log]\nledgers = [{LEDGER:?}]\nprincipal = \"auditor\"\nskew_seconds = 60\ndelay_seconds = 2\n"
    );
    let Some(hsm) = hsm(&section) else { return };
    let first = logged(&hsm.verify(&[]));
    let second = logged(&hsm.verify(&[]));
    // The HSM logged the first run alone, though the clocks may differ by more than lies between.
    let mut lines = first.clone();
    *lines.last_mut().unwrap() = *second.last().unwrap();
    let rows = hsm.with_log("one", &text(&lines, None), "DR-04");
    assert_eq!(of_token(&rows), "fail not_in_log", "{rows:#?}");
    // Both: neither is a surprise to the other.
    lines.splice(lines.len() - 1.., second.into_iter().skip(1));
    let rows = hsm.with_log("both", &text(&lines, None), "DR-04");
    assert_eq!(of_token(&rows), "pass verified", "{rows:#?}");
}

#[test]
fn a_key_is_known_again_by_what_the_store_keeps_of_it() {
    let Some(hsm) = hsm("keys = [\"pkcs11:object=payments;type=secret-key\"]\n") else { return };
    let pkcs11 =
        |arguments: &[&str]| softhsm::tool(&hsm.bench, (&hsm.module, "audit-a"), arguments);
    let make =
        ["--keygen", "--key-type", "aes:32", "--label", "payments", "--id", "07", "--sensitive"];
    let forget = ["--delete-object", "--type", "secrkey", "--label", "payments"];
    let Some(()) = pkcs11(&make) else { return };
    let skip = "provider = \"aws-cloudhsm\"\nskip = [\"inventory.wrap-decrypt\"]\n";
    hsm.bench.file("verify.toml", skip);
    let known = |run: &Value| {
        let checks = run["checks"].as_array().unwrap().clone();
        let row = checks.into_iter().find(|row| row["id"] == "use.fingerprint").unwrap();
        (row["verdict"].clone(), row["message"].as_str().unwrap().to_owned())
    };
    let first = known(&hsm.verify(&["--level", "use"]));
    let again = known(&hsm.verify(&["--level", "use"]));
    assert_eq!(again.0, "PASS");
    assert_ne!(first.1, again.1, "the second run compares");
    assert_eq!(hsm.bench.number("SELECT count(DISTINCT run_id) FROM verifications"), 2);
    // Another key under the same name.
    pkcs11(&forget).unwrap();
    pkcs11(&make).unwrap();
    let run = Run::of(hsm.command(&["verify", "--level", "use", "--format", "json"])).exits(1);
    assert_eq!(known(&run.json()).0, "FAIL");
    let check = hsm.bench.run(&["check", "--rule", "DR-04", "--format", "json"]).json();
    let failed: Vec<&Value> =
        check["results"].as_array().unwrap().iter().filter(|row| row["status"] == "fail").collect();
    assert_eq!(failed.len(), 1, "{check:#}");
    assert_eq!(failed[0]["reason"], "exercise_failed");
}

#[test]
fn a_killed_verify_leaves_no_worker_and_the_next_run_removes_its_keys() {
    let Some(hsm) = hsm("") else { return };
    for step in 1..=6_u64 {
        let mut child = hsm.command(&["verify", "--no-store"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(step * 170));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // A worker holds the lock of the token as long as it lives: the next run waits for it, and ends.
    let run = Run::of(hsm.command(&["verify", "hsm", "--format", "json"])).json();
    assert_eq!(run["remains"].as_array().unwrap().len(), 0, "{run:#}");
    // SoftHSM is no transaction: killed while it makes an object, it leaves one without a name. Nobody
    // can tell whose that is; the run tells of it (`inventory.identity`). Whatever has a name is gone.
    let names: Vec<&Value> =
        run["keys"].as_array().unwrap().iter().map(|key| &key["attributes"]["CKA_LABEL"]).collect();
    assert!(names.iter().all(|name| **name == ""), "{names:?}");
    let told = run["checks"].as_array().unwrap().iter();
    let told = told.filter(|row| row["id"] == "inventory.identity" && row["verdict"] == "FAIL");
    assert_eq!(told.count(), names.len(), "{run:#}");
    let rows = hsm.bench.number("SELECT count(DISTINCT run_id) FROM verifications");
    assert_eq!(rows, 1, "a run that was killed leaves nothing half visible");
}

#[test]
fn a_worker_whose_module_hangs_does_not_outlive_a_killed_verify_for_long() {
    let bench = Bench::new();
    let module = bench.path().join("fault.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify/fault.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&module).arg(source);
    Run::of(compiler).exits(0);
    fs::set_permissions(&module, fs::Permissions::from_mode(0o755)).unwrap();
    let pin = bench.file("pin", "1234\n");
    fs::set_permissions(pin, fs::Permissions::from_mode(0o600)).unwrap();
    bench.file("verify.toml", "[module]\nenvironment = [\"FAULT\"]\n");
    let config = format!(
        "[verify.hsm]\nmodule = {:?}\ntoken = \"fault\"\npin_source = \"file:pin\"\nlevel = \"drill\"\n\
         policy = \"verify.toml\"\n",
        module.display().to_string()
    );
    bench.file("keytrail.toml", config);
    let mut verify = bench.command(&["verify", "hsm", "--no-store"]);
    let mut child = verify.env("FAULT", "C_OpenSession:hang").spawn().unwrap();
    let threads = format!("/proc/{}/task", child.id());
    let worker = wait_for(|| {
        let mut threads = fs::read_dir(&threads).ok()?.flatten();
        threads.find_map(|thread| {
            let told = fs::read_to_string(thread.path().join("children")).ok()?;
            told.split_whitespace().next().map(str::to_owned)
        })
    });
    // Time for it to come to the call that hangs.
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    // What nobody has buried yet is gone as well.
    let state = || fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    wait_for(|| (state().is_empty() || state().contains(") Z ")).then_some(()));
}

/// Waits until something is there, for a minute at most.
fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it did not come within a minute");
}

#[test]
fn what_is_configured_wrongly_is_named_with_what_to_do() {
    let bench = Bench::new();
    let run = bench.run(&["verify"]).exits(2);
    assert!(run.stderr.contains("[verify.NAME]"), "{}", run.stderr);
    bench.file(
        "keytrail.toml",
        "[verify.a]\nmodule = \"/none.so\"\ntoken = \"t\"\npin = \"1234\"\n",
    );
    let run = bench.run(&["verify", "a"]).exits(2);
    assert!(run.stderr.contains("pin"), "{}", run.stderr);
    bench.file(
        "keytrail.toml",
        "[verify.a]\nmodule = \"/none.so\"\ntoken = \"t\"\npin_source = \"1234\"\n",
    );
    let run = bench.run(&["verify", "a"]).exits(2);
    assert!(run.stderr.contains("file:/path") && !run.stderr.contains("1234"), "{}", run.stderr);
    bench.file("keytrail.toml", "[verify.a]\nmodule = \"/none.so\"\ntoken = \"t\"\n");
    let run = bench.run(&["verify", "b"]).exits(2);
    assert!(run.stderr.contains("there are: a"), "{}", run.stderr);
    let run = bench.run(&["verify", "a"]).exits(2);
    assert!(run.stderr.contains("/none.so"), "{}", run.stderr);
}
