//! A small HTTP server on loopback that tests of this folder's sources talk to.
#![expect(clippy::unwrap_used, reason = "it is of tests alone")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::http::{Client, Quotas};
use super::super::source::{Batch, Source, SourceError, Tools};
use super::api::Api;
use super::auth::{AwsAccess, AwsAuth};
use super::scope::AwsEndpoints;

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// How many came before it.
    pub(super) number: usize,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn target(&self) -> &str {
        self.header("x-amz-target").unwrap_or_default()
    }

    /// The operation that it calls.
    pub(super) fn operation(&self) -> &str {
        self.target().rsplit('.').next().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn form(&self, name: &str) -> Option<String> {
        self.body
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
    }
}

/// What to answer.
pub(super) struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    #[expect(clippy::needless_pass_by_value, reason = "it is given what `json!` makes")]
    pub(super) fn json(body: Value) -> Self {
        Self { status: 200, body: body.to_string() }
    }

    pub(super) fn raw(body: &str) -> Self {
        Self { status: 200, body: body.to_owned() }
    }

    pub(super) fn xml(body: &str) -> Self {
        Self::raw(body)
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"__type": code, "message": message}).to_string();
        Self { status, body: format!("{body}<Code>{code}</Code>") }
    }
}

/// The server; it ends with the test's process.
pub(super) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts one that answers each request as `answer` says.
    pub(super) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &*answer, &kept));
            }
        });
        Self { address, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The operations that were called, in order.
    pub(super) fn operations(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.operation().to_owned()).collect()
    }

    pub(super) fn endpoints(&self) -> AwsEndpoints {
        AwsEndpoints { all: Some(self.address.clone()), ..AwsEndpoints::default() }
    }

    /// Its services, as account 111122223333 in eu-west-1.
    pub(super) fn api(&self) -> Api {
        let tools = tools();
        Api {
            client: tools.client.fresh(),
            auth: AwsAuth::load(&AwsAccess::default(), "eu-west-1", true).unwrap(),
            account: "111122223333".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoints: self.endpoints(),
            per_minute: None,
            quotas: tools.quotas,
        }
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Reply, kept: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut all = kept.lock().unwrap();
        let body = String::from_utf8(body).unwrap();
        let asked = Asked { number: all.len(), headers, body };
        all.push(asked.clone());
        drop(all);
        let Reply { status, body } = answer(&asked);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    }
}

/// Tools without pauses.
pub(super) fn tools() -> Tools {
    let quotas = Quotas::default();
    for name in ["lookup-events", "get-log-events", "describe-custom-key-stores"]
        .into_iter()
        .chain(["cloudtrail", "kms", "cloudhsmv2", "logs", "sts", "ec2"])
    {
        for account in ["111122223333", "444455556666", "unknown"] {
            for region in ["eu-west-1", "us-east-1"] {
                let quota = format!("aws/{name}/{account}/{region}");
                quotas.get(&quota, NonZeroU32::new(1_000_000).unwrap());
            }
        }
    }
    Tools {
        client: Client::new().unwrap().with_first_pause(Duration::from_millis(1)),
        quotas,
        secrets: Arc::new(|_| Ok(SecretString::from(""))),
    }
}

/// Everything that a source yields, and the error that it ends with, if it does.
pub(super) async fn drain(source: &mut dyn Source) -> (Vec<Batch>, Option<SourceError>) {
    let mut batches = Vec::new();
    loop {
        match source.next().await {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}
