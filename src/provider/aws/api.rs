//! Calls of AWS's JSON services (protocol JSON 1.1: `POST /` with the operation in `X-Amz-Target`),
//! and of the two operations of Query services that are needed to know where one is.

mod fault;
mod paging;
mod service;

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::http::{Call, Client, Counts, Quota, Quotas};
use super::super::source::SourceError;
use super::auth::AwsAuth;
use super::scope::AwsEndpoints;

pub(super) use paging::{Paging, Tokens};
pub(super) use service::{
    CLOUDHSM, CLOUDTRAIL, EC2, KMS, LOGS, Operation, Partition, STS, Service, is_account, is_region,
};

/// One account's services in one region.
#[derive(Debug, Clone)]
pub(super) struct Api {
    /// Sends the calls.
    pub(super) client: Client,
    /// Signs them.
    pub(super) auth: AwsAuth,
    /// Twelve digits.
    pub(super) account: String,
    /// `eu-central-1`.
    pub(super) region: String,
    /// Where services are, if not where AWS has them.
    pub(super) endpoints: AwsEndpoints,
    /// Calls a minute of each kind, where the account's quota is not the usual one.
    pub(super) per_minute: Option<NonZeroU32>,
    /// What the calls draw on.
    pub(super) quotas: Quotas,
}

impl Api {
    /// The ledger of the account.
    pub(super) fn ledger(&self) -> String {
        format!("aws/{}", self.account)
    }

    /// What was asked so far.
    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.client.counts())
    }

    /// What an operation is called in messages: `kms:DescribeKey in eu-central-1`.
    pub(super) fn named(&self, operation: Operation) -> String {
        format!("{} in {}", operation.permission(), self.region)
    }

    /// Calls an operation of a JSON service.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn json(
        &self,
        operation: Operation,
        body: &Value,
    ) -> Result<Bytes, SourceError> {
        let target = format!("{}.{}", operation.service.target, operation.name);
        let request = self
            .post(operation.service)?
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target);
        self.call(operation, finish(request, body.to_string())?).await
    }

    /// Calls an operation of a JSON service and reads its answer.
    ///
    /// # Errors
    /// When there is no good answer, or it is not what is documented.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
    ) -> Result<T, SourceError> {
        let answer = self.json(operation, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| SourceError::content(self.named(operation), error.to_string()))
    }

    /// Calls an operation without parameters of a Query service; the answer is XML.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn query(&self, operation: Operation) -> Result<String, SourceError> {
        let request = self
            .post(operation.service)?
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let body = format!("Action={}&Version={}", operation.name, operation.service.target);
        let answer = self.call(operation, finish(request, body)?).await?;
        String::from_utf8(answer.to_vec())
            .map_err(|_| SourceError::content(self.named(operation), "it is not UTF-8"))
    }

    fn post(&self, service: &Service) -> Result<http::request::Builder, SourceError> {
        let endpoint = self.endpoints.of(service, &self.region)?;
        Ok(Request::post(endpoint.join("/")))
    }

    async fn call(
        &self,
        operation: Operation,
        request: Request<Bytes>,
    ) -> Result<Bytes, SourceError> {
        let again = request.clone();
        match self.attempt(operation, request).await {
            Err(SourceError::Answer { detail, .. }) if fault::is_expired(&detail) => {
                // The clock here may be behind, or the session was revoked.
                self.auth.forget().await;
                self.attempt(operation, again).await.map_err(|error| self.explained(error))
            }
            outcome => outcome.map_err(|error| self.explained(error)),
        }
    }

    async fn attempt(
        &self,
        operation: Operation,
        request: Request<Bytes>,
    ) -> Result<Bytes, SourceError> {
        let signer = self.auth.signer(operation.service.signing, &self.region);
        let call = Call {
            name: self.named(operation),
            permission: operation.permission(),
            request,
            signer: &signer,
            quota: Some(&self.quota(operation)),
            fault: fault::fault,
        };
        Ok(self.client.call(&call).await?.body)
    }

    fn quota(&self, operation: Operation) -> Quota {
        let (name, rate) = operation.rate();
        let per_minute = self.per_minute.unwrap_or(rate);
        self.quotas.get(&format!("aws/{name}/{}/{}", self.account, self.region), per_minute)
    }

    /// An answer that is about the credentials says so.
    fn explained(&self, error: SourceError) -> SourceError {
        match error {
            SourceError::Answer { detail, .. } if fault::is_about_credentials(&detail) => {
                let detail = format!(
                    "{detail} (a region that is not enabled for the account, or a clock that is \
                     minutes off, give this answer too)"
                );
                self.auth.refused(detail.into())
            }
            other => other,
        }
    }
}

fn finish(request: http::request::Builder, body: String) -> Result<Request<Bytes>, SourceError> {
    request
        .body(Bytes::from(body))
        .map_err(|error| SourceError::config(error.to_string(), "check `endpoints`"))
}

/// The texts of all elements of a name, in order; for answers that hold no markup in them.
pub(super) fn xml_texts<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut texts = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((text, after)) = after.split_once(&close) else { break };
        texts.push(text.trim());
        rest = after;
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::server::{Reply, Server};
    use super::*;

    #[tokio::test]
    async fn a_call_names_its_operation_and_is_signed() {
        let server = Server::start(|_| Reply::json(json!({"Keys": []})));
        let api = server.api();
        let answer: Value = api.read(KMS.op("ListKeys"), &json!({"Limit": 1000})).await.unwrap();
        assert_eq!(answer, json!({"Keys": []}));
        let asked = server.asked();
        assert_eq!(asked[0].target(), "TrentService.ListKeys");
        assert_eq!(asked[0].json(), json!({"Limit": 1000}));
        assert_eq!(asked[0].header("content-type"), Some("application/x-amz-json-1.1"));
        let signature = asked[0].header("authorization").unwrap();
        assert!(
            signature.contains("Credential=test/") && signature.contains("/kms/"),
            "{signature}"
        );
    }

    #[tokio::test]
    async fn throttling_with_status_400_is_tried_again() {
        let server = Server::start(|asked| match asked.number {
            0 => Reply::error(400, "ThrottlingException", "Rate exceeded"),
            _ => Reply::json(json!({})),
        });
        let api = server.api();
        api.json(CLOUDTRAIL.op("LookupEvents"), &json!({})).await.unwrap();
        assert_eq!(api.counts().throttled(), 1);
    }

    #[tokio::test]
    async fn a_refusal_names_the_permission_in_the_services_word() {
        let server = Server::start(|_| {
            Reply::error(400, "com.amazonaws.x#CloudHsmAccessDeniedException", "no")
        });
        let error = server.api().json(CLOUDHSM.op("DescribeClusters"), &json!({})).await;
        let SourceError::Denied { permission, call, .. } = error.unwrap_err() else { panic!() };
        assert_eq!(permission, "cloudhsm:DescribeClusters");
        assert_eq!(call, "cloudhsm:DescribeClusters in eu-west-1");
    }

    #[tokio::test]
    async fn an_expired_session_is_asked_for_once_more_and_then_told() {
        let server =
            Server::start(|_| Reply::error(400, "ExpiredTokenException", "The token has expired"));
        let error = server.api().json(KMS.op("ListKeys"), &json!({})).await.unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
        assert_eq!(server.asked().len(), 2);
    }

    #[test]
    fn texts_are_cut_out_of_xml() {
        let xml =
            "<a><regionName>eu-west-1</regionName><x/><regionName> b </regionName><regionName>";
        assert_eq!(xml_texts(xml, "regionName"), ["eu-west-1", "b"]);
        assert!(xml_texts("", "a").is_empty());
    }
}
