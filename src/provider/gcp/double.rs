//! A small HTTP server on this machine, for tests: answers every request as a function says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::http::{Client, Quotas};
use super::super::source::Tools;

/// What was asked: path with query, body, and whether credentials were sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) body: String,
    pub(super) authorized: bool,
}

/// A running server.
pub(super) struct Double {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// Starts a server that answers with status and body, `torn` where the body is to break off.
    pub(super) fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request.clone());
                let (status, body) = answer(&request);
                let torn = body.strip_prefix("TORN ");
                let length = body.len() + if torn.is_some() { 100 } else { 0 };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _sent = stream.write_all((head + torn.unwrap_or(&body)).as_bytes());
            }
        });
        Self { address, asked }
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorized) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        authorized |= header.starts_with("authorization:");
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, body: String::from_utf8(body).ok()?, authorized })
}

/// Tools that do not wait long, and hold no secrets.
pub(super) fn tools() -> Tools {
    Tools {
        client: Client::new().unwrap().with_first_pause(Duration::from_millis(1)),
        quotas: Quotas::default(),
        secrets: Arc::new(|_| Err(std::io::Error::other("no secrets here"))),
    }
}
