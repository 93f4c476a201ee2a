//! A small server that stands for Azure, and what must hold of the calls.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::http::{Client, Quotas};
use super::super::super::source::{ReadSecret, SourceError, Tools};
use super::super::auth::AzureAccess;
use super::*;

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(in super::super) struct Seen {
    pub(in super::super) method: String,
    pub(in super::super) path: String,
    pub(in super::super) head: String,
    pub(in super::super) body: String,
}

/// An answer: status, further headers, body, and whether it breaks off.
pub(in super::super) struct Reply {
    pub(in super::super) status: u16,
    pub(in super::super) headers: &'static str,
    pub(in super::super) body: String,
    pub(in super::super) torn: bool,
}

impl Reply {
    pub(in super::super) fn json(value: &Value) -> Self {
        Self::status(200, &value.to_string())
    }

    pub(in super::super) fn status(status: u16, body: &str) -> Self {
        Self { status, headers: "", body: body.to_owned(), torn: false }
    }

    pub(in super::super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message}});
        Self::status(status, &body.to_string())
    }
}

/// A server on a loopback address; ends with the test's process.
pub(in super::super) struct Server {
    pub(in super::super) url: String,
    pub(in super::super) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of it and of the number of requests for the
    /// same path before.
    pub(in super::super) fn start(answer: impl Fn(&Seen, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Ok(request) = read(&mut stream) else { continue };
                let mut log = log.lock().unwrap();
                let before = log.iter().filter(|old| old.path == request.path).count();
                log.push(request.clone());
                drop(log);
                write(&mut stream, &answer(&request, before));
            }
        });
        Self { url, seen }
    }

    pub(in super::super) fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.path.clone()).collect()
    }

    pub(in super::super) fn endpoints(&self) -> AzureEndpoints {
        AzureEndpoints {
            arm: Some(self.url.clone()),
            log_analytics: Some(self.url.clone()),
            vault: Some(format!("{}/vault/{{name}}", self.url)),
            managed_hsm: Some(format!("{}/hsm/{{name}}", self.url)),
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Seen> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let count = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                let mut words = head.split(' ').map(str::to_owned);
                return Ok(Seen {
                    method: words.next().unwrap_or_default(),
                    path: words.next().unwrap_or_default(),
                    head: lower,
                    body: body.to_owned(),
                });
            }
        }
        if count == 0 {
            return Err(io::Error::other("broke off"));
        }
    }
}

fn write(stream: &mut TcpStream, reply: &Reply) {
    let length = reply.body.len() + usize::from(reply.torn) * 50;
    let head = format!(
        "HTTP/1.1 {} X\r\n{}Content-Length: {length}\r\nConnection: close\r\n\r\n",
        reply.status, reply.headers
    );
    drop(stream.write_all(head.as_bytes()));
    drop(stream.write_all(reply.body.as_bytes()));
}

pub(in super::super) fn tools() -> Tools {
    let secrets: ReadSecret = Arc::new(|_| Err(io::Error::other("no secrets here")));
    let client = Client::new().unwrap().with_first_pause(Duration::from_millis(1));
    Tools { client, quotas: Quotas::default(), secrets }
}

fn api(server: &Server) -> Api {
    let (access, tools) = (AzureAccess::default(), tools());
    let set = Some(server.url.as_str());
    let auth = ARM.auth(&access, &tools, set).unwrap();
    Api::new((&ARM, set), &access, (&tools, &tools.client), &auth, "x").unwrap()
}

fn ask() -> Ask {
    Ask::new("azure:List", "Microsoft.X/read")
}

async fn list(
    answer: impl Fn(&Seen, usize) -> Reply + Send + 'static,
) -> Result<Vec<Value>, SourceError> {
    let server = Server::start(answer);
    api(&server).list(&ask(), "/list?api-version=1").await
}

/// The address that the server was reached at, from the request's headers.
fn link(seen: &Seen, path: &str) -> String {
    let host = seen.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    format!("http://{host}{path}")
}

#[tokio::test]
async fn an_empty_page_is_not_the_end_of_a_list() {
    let items = list(|seen, _| match seen.path.as_str() {
        "/list?api-version=1" => {
            Reply::json(&json!({"value": [], "nextLink": link(seen, "/list?$skiptoken=a b")}))
        }
        "/list?$skiptoken=a%20b" => {
            Reply::json(&json!({"value": [{"n": 1}], "nextLink": link(seen, "/list?p=3")}))
        }
        _ => Reply::json(&json!({"value": [{"n": 2}], "nextLink": ""})),
    })
    .await;
    assert_eq!(items.unwrap(), [json!({"n": 1}), json!({"n": 2})]);
}

#[tokio::test]
async fn a_list_that_leads_back_or_elsewhere_is_an_error() {
    let back = list(|seen, _| {
        Reply::json(&json!({"value": [1], "nextLink": link(seen, "/list?api-version=1")}))
    });
    assert!(back.await.unwrap_err().to_string().contains("lead back"));
    for elsewhere in
        ["https://evil.example/list", "http://127.0.0.1:1/list", "/list?2", "file:///x"]
    {
        let answer = list(move |_, _| Reply::json(&json!({"value": [1], "nextLink": elsewhere})));
        let error = answer.await.unwrap_err().to_string();
        assert!(error.contains("elsewhere"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_list_is_not_taken_for_an_empty_one() {
    for body in ["{}", "{\"value\": null}", "{\"error\": {\"code\": \"x\"}}", "<html>", "[]", ""] {
        let answer = list(move |_, _| Reply::status(200, body)).await;
        assert!(matches!(answer, Err(SourceError::Content { .. })), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn throttling_torn_answers_and_server_errors_are_overcome() {
    let items = list(|_, before| match before {
        0 => Reply::error(429, "TooManyRequests", "slow down"),
        1 => Reply { headers: "Retry-After: 0\r\n", ..Reply::error(429, "X", "") },
        2 => Reply { torn: true, ..Reply::status(200, "{\"value\": [") },
        3 => Reply::status(500, "oh"),
        4 => Reply::error(503, "ServerBusy", ""),
        _ => Reply::json(&json!({"value": [7]})),
    })
    .await;
    assert_eq!(items.unwrap(), [json!(7)]);
}

#[tokio::test]
async fn a_list_that_stays_throttled_is_an_error_and_not_empty() {
    let answer = list(|_, _| Reply::status(429, "")).await;
    assert!(matches!(answer, Err(SourceError::Throttled { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_names_the_action_that_azure_names() {
    let message = "The client 'c' with object id 'o' does not have authorization to perform action \
        'Microsoft.KeyVault/vaults/read' over scope '/subscriptions/s'.";
    let answer = list(move |_, _| Reply::error(403, "AuthorizationFailed", message)).await;
    let error = answer.unwrap_err();
    assert!(error.to_string().contains("AuthorizationFailed"), "{error}");
    assert!(error.hint().contains("Microsoft.KeyVault/vaults/read"), "{}", error.hint());
    let answer = list(|_, _| Reply::status(401, "who?")).await;
    assert!(answer.unwrap_err().hint().contains("Microsoft.X/read"));
}

#[test]
fn codes_of_nested_errors_are_told() {
    let body = json!({"error": {"code": "Forbidden", "message": "no", "innererror":
        {"code": "ForbiddenByFirewall"}}});
    let answer = Answer {
        status: 403,
        headers: http::HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    };
    assert_eq!(detail(&answer), "Forbidden/ForbiddenByFirewall: no");
    assert_eq!(
        missing_action("Action: 'Microsoft.KeyVault/vaults/keys/read'\r\nResource"),
        Some("Microsoft.KeyVault/vaults/keys/read")
    );
    assert_eq!(missing_action("perform action 'a b/c'"), None);
    assert_eq!(missing_action("perform action 'a/b"), None);
}

#[test]
fn names_that_go_into_paths_are_checked() {
    let id = "0A1b2c3d-0000-4000-8000-000000000001";
    assert_eq!(subscription_id(id).unwrap(), id.to_ascii_lowercase());
    for odd in ["", "../x", "0A1b2c3d-0000-4000-8000-00000000000/", "prod"] {
        assert!(subscription_id(odd).is_err(), "{odd}");
        assert!(!is_name(odd) || odd == "prod", "{odd}");
    }
}

#[test]
fn each_cloud_has_its_own_addresses_and_scopes() {
    for (cloud, ending) in [
        (AzureCloud::Public, "azure.net"),
        (AzureCloud::UsGov, "usgovcloudapi.net"),
        (AzureCloud::China, "azure.cn"),
    ] {
        assert!(VAULT.address(cloud, None).ends_with(ending));
        assert!(Service::of(cloud, &VAULT.scopes).ends_with(&format!("{ending}/.default")));
    }
}
