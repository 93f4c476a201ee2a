//! Servers that stand for the clouds: those that somebody else wrote (moto, ministack, azurite,
//! fake-gcs-server), and the fixtures below `servers/`, which misbehave on demand.
//!
//! Each runs as a child that ends when its standard input closes, so that none outlives the test,
//! however that ends. Each is `None` where its peer is not installed; the test then skips itself.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peers;

/// How long a server may take to end, and to answer a call.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

/// An answer to a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Server {
    /// A fixture: `lookup`, `google` or `azure`, with its arguments. The first lines of its file
    /// say what it takes.
    pub(crate) fn fixture(name: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(peers::servers()?);
        command.arg(script(&format!("{name}.py"))).args(arguments);
        Some(Self::start(command))
    }

    /// AWS: S3, CloudWatch Logs, KMS, CloudHSM v2, Organizations, STS; no `LookupEvents`.
    pub(crate) fn moto() -> Option<Self> {
        let python = peers::servers()?;
        Some(Self::hold(&python, &["-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]))
    }

    /// AWS with a `LookupEvents` that tells what was called before; it knows no `NextToken`.
    pub(crate) fn ministack() -> Option<Self> {
        let python = peers::servers()?;
        let python = python.to_str().unwrap();
        let arguments = [
            "CLOUDTRAIL_RECORDING=1",
            "BIND_HOST=127.0.0.1",
            "GATEWAY_PORT={port}",
            python,
            "-m",
            "ministack",
        ];
        Some(Self::hold(Path::new("/usr/bin/env"), &arguments))
    }

    /// Azure's Blob Storage; its one account is `devstoreaccount1`.
    pub(crate) fn azurite() -> Option<Self> {
        peers::servers()?;
        let arguments = ["--blobHost", "127.0.0.1", "--blobPort", "{port}"];
        let how = ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"];
        Some(Self::hold(&peers::azurite()?, &[&arguments[..], &how].concat()))
    }

    /// Google's Cloud Storage.
    pub(crate) fn fake_gcs() -> Option<Self> {
        peers::servers()?;
        let place = ["-scheme", "http", "-host", "127.0.0.1", "-port", "{port}"];
        // Lists are asked for at the public host.
        let how = ["-public-host", "127.0.0.1:{port}", "-backend", "memory"];
        Some(Self::hold(&peers::fake_gcs()?, &[&place[..], &how].concat()))
    }

    /// Starts a program that knows nothing of us. `{port}` stands for the port that it gets.
    fn hold(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(peers::servers().unwrap());
        command.arg(script("hold.py")).arg(program).args(arguments);
        Self::start(command)
    }

    /// Starts a program whose first line is its port.
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = child.stderr.take().unwrap();
        let Ok(port) = line.trim().parse() else {
            let mut text = String::new();
            drop(errors.read_to_string(&mut text));
            panic!("{command:?} did not start:\n{text}");
        };
        // Whoever logs must not wait for somebody to read it.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { child, port }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends one request.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        write!(request, "Connection: close\r\nContent-Length: {}\r\n", body.len()).unwrap();
        write!(request, "Content-Type: application/json\r\n\r\n{body}").unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, body: body.to_owned() }
    }

    /// Gives a fixture an order: faults, late records, options. See `servers/wire.py`.
    #[track_caller]
    pub(crate) fn control(&self, order: &Value) {
        let answer = self.call("POST", "/_control", &order.to_string());
        assert_eq!(answer.status, 200, "{order} was not taken: {}", answer.body);
    }

    /// What a fixture was asked, in order: `call`, `scope`, `method`, `path`, `query`, `headers`,
    /// `body`, `at_ms`, `status`, `fault`.
    pub(crate) fn requests(&self) -> Vec<Value> {
        serde_json::from_str(&self.call("GET", "/_requests", "").body).unwrap()
    }

    /// How often a fixture was asked for a call.
    pub(crate) fn asked(&self, call: &str) -> usize {
        self.requests().iter().filter(|request| request["call"] == call).count()
    }

    /// The records that a fixture holds, late ones too: id and text.
    pub(crate) fn records(&self) -> Vec<(String, String)> {
        let held: Vec<Value> = serde_json::from_str(&self.call("GET", "/_data", "").body).unwrap();
        let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
        held.iter().map(|record| (text(record, "id"), text(record, "raw"))).collect()
    }

    /// Calls an AWS server through boto3: `[[service, region, operation, {parameters}], …]`. Gives
    /// the answers.
    pub(crate) fn aws(&self, calls: &Value) -> Value {
        self.fill("aws", calls)
    }

    /// Writes blobs into azurite.
    pub(crate) fn blobs(&self, container: &str, blobs: &Value) {
        self.fill("blobs", &json!({ "container": container, "blobs": blobs }));
    }

    /// Writes objects into fake-gcs-server.
    pub(crate) fn objects(&self, bucket: &str, objects: &Value) {
        self.fill("gcs", &json!({ "bucket": bucket, "objects": objects }));
    }

    fn fill(&self, kind: &str, order: &Value) -> Value {
        python("fill.py", &[kind, &self.endpoint()], &order.to_string()).unwrap()
    }
}

impl Drop for Server {
    /// Closes its input, and is patient before it kills.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes trails with digests below `folder`, and gives AWS's own verdict on each: see
/// `servers/digests.py` for the arguments and the variants.
pub(crate) fn digests(folder: &Path, arguments: &[&str]) -> Option<Value> {
    let arguments = [&[folder.to_str().unwrap()], arguments].concat();
    python("digests.py", &arguments, "")
}

/// Runs a script of `servers/` and reads the JSON that it prints.
fn python(name: &str, arguments: &[&str], input: &str) -> Option<Value> {
    let mut command = Command::new(peers::servers()?);
    command.arg(script(name)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/servers").join(name)
}

#[test]
fn a_fixture_tells_what_it_was_asked_and_fails_as_it_is_told() {
    let Some(server) = Server::fixture("lookup", &["--events", "120", "--regions", "us-east-1"])
    else {
        return;
    };
    assert_eq!(server.records().len(), 120);
    server.control(&json!({ "faults": [{ "call": "*", "do": "error", "status": 503 }] }));
    assert_eq!(server.call("POST", "/?Action=GetCallerIdentity", "").status, 503);
    assert_eq!(server.call("POST", "/?Action=GetCallerIdentity", "").status, 200);
    assert_eq!(server.asked("GetCallerIdentity"), 2);
    assert_eq!(server.requests()[0]["fault"], "error");
}

#[test]
fn entries_come_in_order_and_pages_end() {
    let Some(server) = Server::fixture("google", &["--events", "50"]) else { return };
    let asked = json!({ "resourceNames": ["projects/example-prod"], "pageSize": 30 });
    let page = |asked: &Value| -> Value {
        let answer = server.call("POST", "/v2/entries:list", &asked.to_string());
        serde_json::from_str(&answer.body).unwrap()
    };
    let first = page(&asked);
    let mut next = asked.clone();
    next["pageToken"] = first["nextPageToken"].clone();
    let second = page(&next);
    assert_eq!(first["entries"].as_array().unwrap().len(), 30);
    assert_eq!(second["entries"].as_array().unwrap().len(), 20);
    assert_eq!(second.get("nextPageToken"), None);
}

#[test]
fn a_query_is_answered_with_a_table() {
    let Some(server) = Server::fixture("azure", &["--events", "40"]) else { return };
    let path = "/v1/workspaces/77777777-0000-4000-8000-000000000001/query";
    let answer = server.call("POST", path, r#"{"query": "AZKVAuditLogs | count"}"#);
    let table: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(table["tables"][0]["rows"], json!([[30]]));
}

#[test]
fn servers_of_others_are_filled_and_end() {
    if let Some(server) = Server::moto() {
        let put = json!({ "Bucket": "trail", "Key": "k", "Body": { "text": "x" } });
        let made = json!([["s3", "us-east-1", "create_bucket", { "Bucket": "trail" }],
            ["s3", "us-east-1", "put_object", put],
            ["s3", "us-east-1", "list_objects_v2", { "Bucket": "trail" }]]);
        assert_eq!(server.aws(&made)[2]["Contents"][0]["Key"], "k");
    }
    if let Some(server) = Server::ministack() {
        let calls = json!([
            ["kms", "us-east-1", "create_key", {}],
            ["cloudtrail", "us-east-1", "lookup_events", {}]
        ]);
        assert_eq!(server.aws(&calls)[1]["Events"][0]["EventName"], "CreateKey");
    }
    if let Some(server) = Server::azurite() {
        let line = json!({ "name": "y=2026/PT1H.json", "text": "{}\n", "append": true });
        server.blobs("insights-logs-auditevent", &json!([line, line]));
    }
    if let Some(server) = Server::fake_gcs() {
        server.objects("audit", &json!([{ "name": "a/b.json", "text": "{}" }]));
        assert!(server.call("GET", "/storage/v1/b/audit/o", "").body.contains("a/b.json"));
    }
}

#[test]
fn the_providers_own_validator_finds_each_damage_but_the_second_digest_in_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let Some(verdicts) = digests(folder.path(), &[]) else { return };
    for (variant, verdict) in verdicts.as_object().unwrap() {
        let told = |kind: &str, key: &Value| verdict[kind].get(key.as_str().unwrap()).cloned();
        let damage = verdict["damage"].as_array().unwrap();
        let found = damage.iter().filter(|key| {
            let verdict = told("digests", key).or_else(|| told("logs", key));
            verdict.is_some_and(|verdict| verdict != "valid")
        });
        // The newest digest leaves no trace either, nor does a log file that its digest forgets.
        let hidden = ["digests_missing", "newest_missing", "digest_tampered"];
        let expected = damage.len() - usize::from(hidden.contains(&variant.as_str()));
        assert_eq!(found.count(), expected, "{variant}");
        assert!(folder.path().join(variant).join("metadata.json").exists(), "{variant}");
    }
}
