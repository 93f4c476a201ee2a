//! Calls of Google's REST APIs: JSON in and out, what their errors mean, paging.
//!
//! Errors: "Errors" in the API design guide (AIP-193); the body holds `error.status`, and details
//! with a `reason`. There is no `Retry-After`. Pages may be empty and still be followed by another.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::super::Json as _;
use super::super::http::{Answer, Call, Client, Endpoint, Fault, Quota};
use super::super::source::SourceError;
use super::auth::GcpAuth;

/// A list that does not end is given up on.
const MOST_PAGES: usize = 200_000;

/// What is called, and with which permission.
#[derive(Debug, Clone)]
pub(super) struct What {
    /// For people: `cloudkms keyRings.list of projects/p/locations/us`.
    pub(super) call: String,
    /// As Google names it.
    pub(super) permission: &'static str,
}

impl What {
    pub(super) fn new(call: impl Into<String>, permission: &'static str) -> Self {
        Self { call: call.into(), permission }
    }
}

/// One service of Google Cloud.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) endpoint: Endpoint,
    pub(super) auth: GcpAuth,
    pub(super) quota: Quota,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
}

impl Api {
    /// Gets `path` (which begins with `/`).
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn get(&self, what: &What, path: &str) -> Result<Bytes, SourceError> {
        let request = Request::get(self.endpoint.join(path)).body(Bytes::new());
        self.send(what, request).await
    }

    /// Posts `body` to `path`.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn post(
        &self,
        what: &What,
        path: &str,
        body: &Value,
    ) -> Result<Bytes, SourceError> {
        let request = Request::post(self.endpoint.join(path))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()));
        self.send(what, request).await
    }

    async fn send(
        &self,
        what: &What,
        request: Result<Request<Bytes>, http::Error>,
    ) -> Result<Bytes, SourceError> {
        let request =
            request.map_err(|error| SourceError::content(&what.call, error.to_string()))?;
        let call = Call {
            name: what.call.clone(),
            permission: what.permission.to_owned(),
            request,
            signer: &self.auth,
            quota: Some(&self.quota),
            fault,
        };
        Ok(self.client.call(&call).await?.body)
    }

    /// Gets one page of the list `member` at `path`, with `query` in the address.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn page(
        &self,
        what: &What,
        list: &List<'_>,
        token: Option<&str>,
    ) -> Result<Page, SourceError> {
        let body = self.get(what, &list.address(token)).await?;
        let value = object(what, &body)?;
        let items = match value.get(list.member) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(_) => {
                let detail = format!("`{}` is no list", list.member);
                return Err(SourceError::content(&what.call, detail));
            }
        };
        // Another list in its place, or one of places that did not answer, is no empty list.
        let other = value.as_object().into_iter().flatten().find(|(name, value)| {
            *name != list.member && value.as_array().is_some_and(|items| !items.is_empty())
        });
        if let Some((name, _)) = other {
            let detail = format!("it holds the list `{}`", name.escape_debug());
            return Err(SourceError::content(&what.call, detail));
        }
        Ok(Page { items, next: value.string(&["nextPageToken"]) })
    }

    /// Gets a whole list.
    ///
    /// # Errors
    /// When a page is missing, or when the list does not end.
    pub(super) async fn list(
        &self,
        what: &What,
        list: &List<'_>,
    ) -> Result<Vec<Value>, SourceError> {
        let (mut all, mut tokens) = (Vec::new(), Tokens::default());
        loop {
            let page = self.page(what, list, tokens.current()).await?;
            all.extend(page.items);
            if !tokens.turn(what, page.next)? {
                return Ok(all);
            }
        }
    }
}

/// A list to get.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    /// Where: `/v1/projects/p/locations`.
    pub(super) path: &'a str,
    /// The member of the answer that holds the items.
    pub(super) member: &'static str,
    /// Further parameters.
    pub(super) query: &'a [(&'a str, &'a str)],
}

impl List<'_> {
    fn address(&self, token: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.query);
        query.extend_pairs(token.map(|token| ("pageToken", token)));
        format!("{}?{}", self.path, query.finish())
    }
}

/// The tokens of the pages of one list.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    current: Option<String>,
    seen: BTreeSet<String>,
}

impl Tokens {
    /// The token of the page that is to be asked for; none for the first.
    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Turns to the page after this one; false where there is none. A token ends the list by its
    /// absence alone, never a page by being empty.
    ///
    /// # Errors
    /// When a token comes a second time: the list would never end.
    pub(super) fn turn(&mut self, what: &What, next: Option<String>) -> Result<bool, SourceError> {
        self.current = next.filter(|token| !token.is_empty());
        let Some(token) = &self.current else { return Ok(false) };
        if self.seen.len() >= MOST_PAGES || !self.seen.insert(token.clone()) {
            let detail = "it gave a page token a second time, or endlessly many";
            return Err(SourceError::content(&what.call, detail));
        }
        Ok(true)
    }
}

/// Reads a JSON object.
///
/// # Errors
/// When it is none.
pub(super) fn object(what: &What, body: &[u8]) -> Result<Value, SourceError> {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(SourceError::content(&what.call, "it is no JSON object")),
        Err(error) => Err(SourceError::content(&what.call, format!("it is no JSON: {error}"))),
    }
}

/// Whether a name out of an answer can stand in an address as it is.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:~%/".contains(&byte);
    !name.is_empty() && name.len() <= 1024 && name.bytes().all(plain) && !name.contains("..")
}

/// Reasons by which older APIs say in a 403 that a quota is used up.
const QUOTA_REASONS: &[&str] =
    &["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"];

/// What an error answer means.
pub(super) fn fault(answer: &Answer) -> Fault {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    // Some methods answer with a list that holds the error.
    let body = body.get(0).unwrap_or(&body);
    let error = Failure::read(body);
    let status = error.status.as_str();
    if answer.status == 429
        || status == "RESOURCE_EXHAUSTED"
        || (answer.status == 403
            && error.reasons.iter().any(|r| QUOTA_REASONS.contains(&r.as_str())))
    {
        return Fault::Throttled;
    }
    // What a place does not offer it will not offer at the next try.
    if answer.status == 501 || status == "UNIMPLEMENTED" {
        return Fault::Other { detail: error.detail(answer) };
    }
    if matches!(answer.status, 408 | 500..)
        || matches!(status, "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED" | "ABORTED")
    {
        return Fault::Transient;
    }
    let detail = error.detail(answer);
    // A service that is switched off answers like one that is forbidden.
    let off = error.reasons.iter().any(|reason| reason == "SERVICE_DISABLED");
    let refused = matches!(answer.status, 401 | 403)
        || matches!(status, "PERMISSION_DENIED" | "UNAUTHENTICATED");
    if refused && !off { Fault::Denied { detail } } else { Fault::Other { detail } }
}

/// Longer messages are cut.
const LONGEST_MESSAGE: usize = 400;

#[derive(Default)]
struct Failure {
    status: String,
    message: String,
    reasons: Vec<String>,
}

impl Failure {
    fn read(body: &Value) -> Self {
        let text = |name: &str| body.string(&["error", name]).unwrap_or_default();
        let reasons = ["details", "errors"]
            .into_iter()
            .flat_map(|list| body.items(&["error", list]))
            .filter_map(|item| item.string(&["reason"]))
            .collect();
        let plain = |char: char| if char.is_control() { ' ' } else { char };
        let message = text("message").chars().take(LONGEST_MESSAGE).map(plain).collect();
        Self { status: text("status"), message, reasons }
    }

    fn detail(&self, answer: &Answer) -> String {
        match (self.message.is_empty(), self.status.is_empty()) {
            (true, _) => answer.excerpt(),
            (false, true) => self.message.clone(),
            (false, false) => format!("{}: {}", self.status, self.message),
        }
    }
}

/// Where services are reached; left out for Google's own addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcpEndpoints {
    /// Instead of `https://logging.googleapis.com`.
    pub logging: Option<String>,
    /// Instead of `https://cloudkms.googleapis.com`.
    pub kms: Option<String>,
    /// Instead of `https://cloudresourcemanager.googleapis.com`.
    pub resource_manager: Option<String>,
}

/// Whether `project` is the id of a project. Its number would do for most calls, but its log bears
/// the id: what is collected under the number would be told of another project.
pub(super) fn check_project(project: &str) -> Result<(), SourceError> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    let good = project.starts_with(|first: char| first.is_ascii_lowercase())
        && project.len() <= 100
        && project.bytes().all(plain);
    if good {
        return Ok(());
    }
    let detail = format!("`{}` is not the id of a project", project.escape_debug());
    Err(SourceError::config(detail, "write the id (my-project-123456), not the number or name"))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn errors_are_told_apart_by_status_and_reason() {
        let told = |status, body: &str| fault(&answer(status, body));
        assert_eq!(told(429, ""), Fault::Throttled);
        assert_eq!(
            told(400, r#"{"error": {"status": "RESOURCE_EXHAUSTED", "message": "m"}}"#),
            Fault::Throttled
        );
        let old = r#"{"error": {"errors": [{"reason": "rateLimitExceeded"}], "message": "m"}}"#;
        assert_eq!(told(403, old), Fault::Throttled);
        for (status, body) in [
            (500, ""),
            (503, "<html>"),
            (504, "{}"),
            (408, ""),
            (400, r#"[{"error": {"status": "UNAVAILABLE"}}]"#),
        ] {
            assert_eq!(told(status, body), Fault::Transient, "{status} {body}");
        }
        let denied =
            r#"{"error": {"status": "PERMISSION_DENIED", "message": "Permission 'x' denied"}}"#;
        assert_eq!(
            told(403, denied),
            Fault::Denied { detail: "PERMISSION_DENIED: Permission 'x' denied".to_owned() }
        );
        assert!(matches!(told(401, "no"), Fault::Denied { .. }));
        assert!(matches!(told(404, "no"), Fault::Other { .. }));
    }

    #[test]
    fn a_service_that_is_switched_off_is_no_missing_permission() {
        let body = r#"{"error": {"status": "PERMISSION_DENIED", "message": "has not been used",
            "details": [{"reason": "SERVICE_DISABLED"}]}}"#;
        assert!(matches!(fault(&answer(403, body)), Fault::Other { .. }));
    }

    #[test]
    fn a_token_that_comes_again_ends_in_an_error() {
        let (what, mut tokens) = (What::new("x", "y"), Tokens::default());
        assert!(tokens.turn(&what, Some("a".to_owned())).unwrap());
        assert!(tokens.turn(&what, Some("b".to_owned())).unwrap());
        assert_eq!(tokens.current(), Some("b"));
        assert!(tokens.turn(&what, Some("a".to_owned())).is_err());
        assert!(!Tokens::default().turn(&what, Some(String::new())).unwrap());
    }

    #[test]
    fn a_project_is_named_by_its_id() {
        for good in ["my-project-1", "example.com:my-project"] {
            assert!(check_project(good).is_ok(), "{good}");
        }
        for bad in ["", "123456789", "projects/p", "My-Project", "p|q", "p\n", "p q"] {
            assert!(check_project(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_would_change_an_address_are_told() {
        assert!(is_plain_name("projects/example.com:p/locations/us/keyRings/a_b-c"));
        for odd in ["", "a?b", "a#b", "a/../b", "a b", "é"] {
            assert!(!is_plain_name(odd), "{odd}");
        }
    }
}
