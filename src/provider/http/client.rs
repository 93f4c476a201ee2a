//! The client: sends a call, again where that helps, and says what came of it.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use url::{Host, Url};

use super::call::{Answer, Call, Fault};
use super::retry::{TRIES, pauses, retry_after};
use crate::provider::source::SourceError;

/// A body that is longer is refused.
const BODY_LIMIT: usize = 64 << 20;

/// How long a call may take, and how long it may stand still.
const CALL_TIME: Duration = Duration::from_mins(2);
const IDLE_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The first pause before a call is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Where an API is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads an address: `https://…`, or `http://` of a loopback address.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let hint = "write https://HOST; http:// is for loopback addresses alone";
        let refuse = || SourceError::config(format!("`{text}` is no usable endpoint"), hint);
        let url = Url::parse(text).map_err(|_| refuse())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if plain && secure && url.host().is_some() { Ok(Self(url)) } else { Err(refuse()) }
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is of this machine, where no credentials of a cloud belong.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The address of `path` (which begins with `/`, and may hold a query) below it.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// What was asked so far.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    repeated: AtomicU64,
    throttled: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    /// Requests sent, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Of them, those that were sent again.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Answers that asked to slow down.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Bytes of bodies received.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts a request that something else than [`Client`] sent, and the bytes that came.
    pub fn add(&self, requests: u64, bytes: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Sends calls; one for each source, so that each is counted for itself.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    counts: Arc<Counts>,
    first_pause: Duration,
}

impl Client {
    /// Makes a client that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, SourceError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(IDLE_TIME)
            .timeout(CALL_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("keytrail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SourceError::config(error.to_string(), "check the system's TLS"))?;
        Ok(Self { http, counts: Arc::default(), first_pause: FIRST_PAUSE })
    }

    /// The same client with counts of its own.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { counts: Arc::default(), ..self.clone() }
    }

    /// The same client with another first pause between tries.
    #[must_use]
    pub fn with_first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    /// What was asked so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Makes a call. Without an answer, with a torn one, when throttled and after an error of the
    /// server it is tried again, up to eight times in all.
    ///
    /// # Errors
    /// When there is no good answer in the end.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, SourceError> {
        let mut pauses = pauses(self.first_pause);
        loop {
            let (error, asked) = match self.attempt(call).await? {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Again { error, asked } => (error, asked),
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            self.counts.repeated.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(call = call.name, %error, "trying again");
            tokio::time::sleep(asked.map_or(pause, |asked| asked.max(pause))).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Attempt, SourceError> {
        if let Some(quota) = call.quota {
            quota.turn().await;
        }
        let mut request = call.request.clone();
        call.signer.sign(&mut request).await?;
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(source) => {
                let error = SourceError::Transport { call: call.name.clone(), source };
                return Ok(Attempt::Again { error, asked: None });
            }
        };
        if answer.status < 300 {
            return Ok(Attempt::Done(answer));
        }
        self.refused(call, &answer)
    }

    fn refused(&self, call: &Call<'_>, answer: &Answer) -> Result<Attempt, SourceError> {
        let (name, status) = (call.name.clone(), answer.status);
        let asked = answer
            .header("retry-after")
            .and_then(|value| retry_after(value, answer.header("date")));
        match (call.fault)(answer) {
            Fault::Throttled => {
                self.counts.throttled.fetch_add(1, Ordering::Relaxed);
                let error = SourceError::Throttled { call: name, tries: TRIES };
                Ok(Attempt::Again { error, asked })
            }
            Fault::Transient => {
                let error = SourceError::Answer { call: name, status, detail: answer.excerpt() };
                Ok(Attempt::Again { error, asked })
            }
            Fault::Denied { detail } => {
                let permission = call.permission.clone();
                Err(SourceError::Denied { call: name, detail, permission })
            }
            Fault::Other { detail } => Err(SourceError::Answer { call: name, status, detail }),
        }
    }

    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let request = reqwest::Request::try_from(request)?;
        let mut response = self.http.execute(request).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(format!("the answer is longer than {BODY_LIMIT} bytes").into());
            }
            body.extend_from_slice(&chunk);
        }
        self.counts.add(0, u64::try_from(body.len()).unwrap_or(u64::MAX));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

enum Attempt {
    Done(Answer),
    Again { error: SourceError, asked: Option<Duration> },
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use async_trait::async_trait;

    use super::super::call::Signer;
    use super::*;

    struct Nobody;

    #[async_trait]
    impl Signer for Nobody {
        async fn sign(&self, _: &mut http::Request<Bytes>) -> Result<(), SourceError> {
            Ok(())
        }
    }

    /// A server that gives each answer once, in order.
    fn server(answers: &'static [&'static str]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let _read = stream.read(&mut buffer).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Endpoint::parse(&format!("http://{address}")).unwrap()
    }

    fn fault(answer: &Answer) -> Fault {
        match answer.status {
            429 => Fault::Throttled,
            500.. => Fault::Transient,
            403 => Fault::Denied { detail: answer.excerpt() },
            _ => Fault::Other { detail: answer.excerpt() },
        }
    }

    async fn get(answers: &'static [&'static str]) -> (Result<Answer, SourceError>, Client) {
        let endpoint = server(answers);
        let client = Client::new().unwrap().with_first_pause(Duration::from_millis(1));
        let request = http::Request::get(endpoint.join("/x")).body(Bytes::new()).unwrap();
        let call = Call {
            name: "x:Get".to_owned(),
            permission: "x.get".to_owned(),
            request,
            signer: &Nobody,
            quota: None,
            fault,
        };
        (client.call(&call).await, client)
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

    #[tokio::test]
    async fn torn_answers_throttling_and_server_errors_are_tried_again() {
        let (answer, client) = get(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{\"torn",
            "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nRetry-After: 0\r\nConnection: close\r\n\r\n",
            "",
            GOOD,
        ])
        .await;
        assert_eq!(answer.unwrap().body, "{}");
        let counts = client.counts();
        assert_eq!((counts.requests(), counts.repeated(), counts.throttled()), (5, 4, 1));
    }

    #[tokio::test]
    async fn a_refusal_names_the_permission_and_is_not_tried_again() {
        let (answer, client) =
            get(&["HTTP/1.1 403 No\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied", GOOD])
                .await;
        let error = answer.unwrap_err();
        assert!(error.hint().contains("x.get"), "{}", error.hint());
        assert_eq!(client.counts().requests(), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (answer, _) = get(&[
            "HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ])
        .await;
        assert!(matches!(answer, Err(SourceError::Answer { status: 302, .. })), "{answer:?}");
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for good in ["https://kms.example.com", "http://127.0.0.1:5000", "http://localhost:1/x"] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1", "http://example.com", "ftp://x", "x", "https://u:p@x.com"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        let endpoint = Endpoint::parse("http://127.0.0.1:5000/base/").unwrap();
        assert_eq!(endpoint.join("/x?y=1"), "http://127.0.0.1:5000/base/x?y=1");
    }
}
