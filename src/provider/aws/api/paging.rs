//! Answers in pages, each with the token of the next. An empty page with a token is no end; a token
//! that returns would be one page for ever.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::super::Json as _;
use super::super::super::source::SourceError;
use super::{Api, Operation};

/// More pages of one listing than this are taken for a fault of the service.
const MOST_PAGES: usize = 200_000;

/// How an operation names its tokens.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider::aws) struct Paging {
    /// The member of the request.
    pub(in crate::provider::aws) ask: &'static str,
    /// The member of the answer.
    pub(in crate::provider::aws) answer: &'static str,
}

impl Paging {
    /// As KMS has it.
    pub(in crate::provider::aws) const MARKER: Self = Self { ask: "Marker", answer: "NextMarker" };
    /// As `CloudTrail` and `CloudHSM` have it.
    pub(in crate::provider::aws) const TOKEN: Self = Self { ask: "NextToken", answer: "NextToken" };
    /// As CloudWatch Logs has it.
    pub(in crate::provider::aws) const LOGS: Self = Self { ask: "nextToken", answer: "nextToken" };
}

/// The tokens of one listing.
#[derive(Debug, Default)]
pub(in crate::provider::aws) struct Tokens {
    seen: BTreeSet<String>,
    next: Option<String>,
}

impl Tokens {
    /// The token to ask the next page with; `None` for the first page.
    pub(in crate::provider::aws) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Takes the token of an answer; tells whether there is another page.
    ///
    /// # Errors
    /// When the token was there before.
    pub(in crate::provider::aws) fn advance(
        &mut self,
        call: &str,
        token: Option<&str>,
    ) -> Result<bool, SourceError> {
        self.next = token.filter(|token| !token.is_empty()).map(str::to_owned);
        let Some(token) = &self.next else { return Ok(false) };
        if self.seen.len() >= MOST_PAGES || !self.seen.insert(token.clone()) {
            return Err(SourceError::content(call, "its pages do not end: a token came twice"));
        }
        Ok(true)
    }
}

impl Api {
    /// The items of the list `member` over all pages of an operation.
    ///
    /// # Errors
    /// When a page cannot be read; an incomplete list is never given.
    pub(in crate::provider::aws) async fn listed(
        &self,
        operation: Operation,
        body: &Value,
        (paging, member): (Paging, &str),
    ) -> Result<Vec<Value>, SourceError> {
        let (mut items, mut tokens, mut body) = (Vec::new(), Tokens::default(), body.clone());
        loop {
            let mut page: Value = self.read(operation, &body).await?;
            if !page.is_object() {
                return Err(SourceError::content(self.named(operation), "it is no object"));
            }
            let more = tokens.advance(&self.named(operation), page.text(&[paging.answer]))?;
            match page.get_mut(member).map(Value::take) {
                Some(Value::Array(found)) => items.extend(found),
                // A list without items may be left out.
                None | Some(Value::Null) => {}
                Some(_) => {
                    let detail = format!("`{member}` is no list");
                    return Err(SourceError::content(self.named(operation), detail));
                }
            }
            if !more {
                return Ok(items);
            }
            if let (Some(members), Some(token)) = (body.as_object_mut(), tokens.next()) {
                members.insert(paging.ask.to_owned(), Value::from(token));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::server::{Reply, Server};
    use super::super::KMS;
    use super::*;

    async fn all(pages: &'static [&'static str]) -> Result<Vec<Value>, SourceError> {
        let server = Server::start(|asked| {
            Reply::json(serde_json::from_str(pages[asked.number.min(pages.len() - 1)]).unwrap())
        });
        let api = server.api();
        api.listed(KMS.op("ListKeys"), &json!({}), (Paging::MARKER, "Keys")).await
    }

    #[tokio::test]
    async fn an_empty_page_with_a_token_goes_on() {
        let items = all(&[
            r#"{"Keys":[1],"NextMarker":"a"}"#,
            r#"{"Keys":[],"NextMarker":"b"}"#,
            r#"{"NextMarker":"c"}"#,
            r#"{"Keys":[2],"NextMarker":""}"#,
        ])
        .await;
        assert_eq!(items.unwrap(), [json!(1), json!(2)]);
    }

    #[tokio::test]
    async fn a_token_that_returns_ends_with_an_error() {
        let error = all(&[r#"{"Keys":[1],"NextMarker":"a"}"#]).await.unwrap_err();
        assert!(error.to_string().contains("a token came twice"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_list_is_no_empty_list() {
        assert!(all(&[r#"{"Keys":{"a":1}}"#]).await.is_err());
        assert!(all(&["[]"]).await.is_err());
        assert!(all(&["{}"]).await.unwrap().is_empty());
    }
}
