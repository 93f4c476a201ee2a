//! Credentials as object stores ask for them, from where ours come.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::azure::AzureCredential;
use object_store::gcp::GcpCredential;
use object_store::{CredentialProvider, Error, Result};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::aws::auth::AwsAuth;
use super::super::azure::auth::AzureAuth;
use super::super::gcp::GcpAuth;
use super::super::source::SourceError;

/// Where an object store's credentials come from.
pub(super) struct Access<T>(pub(super) T);

impl<T> fmt::Debug for Access<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

fn failed(store: &'static str) -> impl Fn(SourceError) -> Error {
    move |error| Error::Generic { store, source: Box::new(error) }
}

/// The token, which is there wherever requests are signed: on loopback they are not.
fn bearer(token: Option<SecretString>) -> String {
    token.map(|token| token.expose_secret().to_owned()).unwrap_or_default()
}

#[async_trait]
impl CredentialProvider for Access<AwsAuth> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let credentials = self.0.credentials().await.map_err(failed("S3"))?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}

#[async_trait]
impl CredentialProvider for Access<GcpAuth> {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> Result<Arc<GcpCredential>> {
        let token = self.0.token().await.map_err(failed("GCS"))?;
        Ok(Arc::new(GcpCredential { bearer: bearer(token) }))
    }
}

#[async_trait]
impl CredentialProvider for Access<AzureAuth> {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> Result<Arc<AzureCredential>> {
        let token = self.0.token().await.map_err(failed("MicrosoftAzure"))?;
        Ok(Arc::new(AzureCredential::BearerToken(bearer(token))))
    }
}
