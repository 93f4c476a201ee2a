//! Runs the real binary in a folder of its own, with an environment of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder in which commands run.
pub(crate) struct Bench {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The binary with the given arguments, not started yet. Nothing of the caller's environment
    /// reaches it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    /// Runs it with `input` on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Run::from(output)
    }

    /// Imports paths and gives the counts that it printed.
    pub(crate) fn import(&self, paths: &[&str]) -> (Value, Run) {
        let run = self.run(&[&["import", "--format", "json"], paths].concat());
        (run.json(), run)
    }

    /// Asks the store.
    pub(crate) fn query(&self, sql: &str) -> Value {
        let run = self.run(&["query", "--format", "json", sql]);
        assert_eq!(run.code, Some(0), "{sql}\n{}", run.stderr);
        run.json()
    }

    /// The only number in the answer to a query.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        rows[0].as_object().unwrap().values().next().unwrap().as_i64().unwrap()
    }
}

impl Run {
    pub(crate) fn of(mut command: Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// Checks the exit code and goes on.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl From<std::process::Output> for Run {
    fn from(output: std::process::Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// A CloudTrail record about the key `key`, with the id `id`.
pub(crate) fn trail_record(id: u32, name: &str, key: &str) -> Value {
    let account = "111122223333";
    serde_json::json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser", "principalId": "AIDAEXAMPLE", "accountId": account,
            "arn": format!("arn:aws:iam::{account}:user/anna"), "userName": "anna",
        },
        "eventTime": format!("2026-03-{:02}T{:02}:{:02}:{:02}Z",
            1 + id % 28, id / 28 % 24, id / 672 % 60, id / 40320 % 60),
        "eventSource": "kms.amazonaws.com", "eventName": name, "awsRegion": "eu-central-1",
        "sourceIPAddress": "203.0.113.10", "userAgent": "aws-cli/2.31.0",
        "requestParameters": { "keyId": key }, "responseElements": null,
        "requestID": format!("99999999-0000-4000-8000-{id:012}"),
        "eventID": format!("00000000-0000-4000-8000-{id:012}"),
        "readOnly": false, "eventType": "AwsApiCall", "managementEvent": true,
        "recipientAccountId": account, "eventCategory": "Management",
    })
}

/// A trail file with the records `ids`.
pub(crate) fn trail_file(ids: std::ops::Range<u32>) -> String {
    let key = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let records: Vec<Value> = ids.map(|id| trail_record(id, "DisableKey", key)).collect();
    serde_json::json!({ "Records": records }).to_string()
}

/// A line straight to the descriptor: the test runner holds back what passing tests print.
pub(crate) fn say(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()));
}
