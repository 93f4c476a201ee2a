//! Counts what a bucket's client sends, tries that are repeated included.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::super::http::Counts;

/// Connects as object stores do, and counts.
#[derive(Debug)]
pub(super) struct Meter(pub(super) Arc<Counts>);

impl HttpConnector for Meter {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Metered { inner, counts: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct Metered {
    inner: HttpClient,
    counts: Arc<Counts>,
}

#[async_trait]
impl HttpService for Metered {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.counts.add(1, 0);
        let response = self.inner.execute(request).await?;
        let length = response.headers().get("content-length");
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        self.counts.add(0, length.unwrap_or_default());
        Ok(response)
    }
}
