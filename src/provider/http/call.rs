//! One call of an API, and what came of it.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request};

use super::quota::Quota;
use crate::provider::source::SourceError;

/// Puts credentials on a request; asked anew for every try, since signatures and tokens age.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs `request`, whose body is final.
    ///
    /// # Errors
    /// When there are no usable credentials.
    async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), SourceError>;
}

/// What an error answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The provider asks to slow down.
    Throttled,
    /// It may work when it is tried again.
    Transient,
    /// Permission is missing.
    Denied {
        /// The provider's code and message.
        detail: String,
    },
    /// Anything else.
    Other {
        /// The provider's code and message.
        detail: String,
    },
}

/// One call to make. Everything that keytrail calls may be repeated: it only reads.
pub struct Call<'a> {
    /// What is called, for people: `cloudtrail:LookupEvents in eu-central-1`.
    pub name: String,
    /// The permission that it needs, in the provider's word.
    pub permission: String,
    /// The request, unsigned.
    pub request: Request<Bytes>,
    /// Who signs it.
    pub signer: &'a dyn Signer,
    /// What it draws on.
    pub quota: Option<&'a Quota>,
    /// Tells what an answer with a status of 400 or above means.
    pub fault: fn(&Answer) -> Fault,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unpacked.
    pub body: Bytes,
}

impl Answer {
    /// A header's value where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Some of the body as text, for messages.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let end = text.floor_char_boundary(text.len().min(300));
        text.get(..end).unwrap_or_default().escape_debug().to_string()
    }
}
