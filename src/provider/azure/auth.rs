//! Credentials for Azure: which ones the configuration names, and the tokens that they give.
//!
//! The credentials themselves are those of `azure_identity`; the library has no chain of its own, so
//! that [`AzureMethod::Auto`] is told here, in the order of Microsoft's other libraries: a secret
//! where one is configured, workload identity, managed identity, the az command-line tool. The first
//! that gives a token is kept.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::TokenCredential;
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use bytes::Bytes;
use futures::lock::Mutex;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::timeout;

use super::super::http::Signer;
use super::super::source::{SourceError, Tools};
use crate::secret::SecretRef;

/// How long a token is used before its credential is asked again. Every credential renews a token
/// five minutes before its end, so that one of this age is still good; az, which is started anew for
/// each question, is not started often.
const TOKEN_KEPT: Duration = Duration::from_mins(4);

/// How long a credential may take. Outside of Azure nobody answers at the address of managed
/// identities.
const ASKING_TIME: Duration = Duration::from_secs(45);
const PROBING_TIME: Duration = Duration::from_secs(8);

/// As whom keytrail reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureAccess {
    /// The tenant (directory) id; needed for `client_secret`.
    pub tenant: Option<String>,
    /// The application (client) id; of a managed identity the id of a user-assigned one.
    pub client_id: Option<String>,
    /// The application's secret, by reference.
    pub client_secret: Option<SecretRef>,
    /// How to get tokens.
    pub method: AzureMethod,
    /// Which of Microsoft's clouds it is.
    pub cloud: AzureCloud,
}

/// How tokens are got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AzureMethod {
    /// The first of the others that works, in the order that the module tells.
    #[default]
    Auto,
    /// The account that `az login` left.
    Cli,
    /// The identity of the virtual machine or App Service.
    ManagedIdentity,
    /// The identity of a Kubernetes pod, by the variables that its webhook sets.
    WorkloadIdentity,
    /// An application with a secret.
    ClientSecret,
}

/// Which of Microsoft's clouds it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AzureCloud {
    /// The public one.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGov,
    /// That in China, run by 21Vianet.
    China,
}

impl AzureCloud {
    fn configuration(self) -> CloudConfiguration {
        match self {
            Self::Public => CloudConfiguration::AzurePublic,
            Self::UsGov => CloudConfiguration::AzureGovernment,
            Self::China => CloudConfiguration::AzureChina,
        }
    }
}

/// One way to get tokens.
#[derive(Clone)]
struct Way {
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
    patience: Duration,
}

/// A token, and since when it is here.
struct Held {
    token: SecretString,
    since: Instant,
}

/// What has been found out: the way that worked, and its token.
#[derive(Default)]
struct Found {
    way: Option<Way>,
    held: Option<Held>,
}

/// Tokens for one scope; cheap to clone, and the clones share their token.
#[derive(Clone)]
pub struct AzureAuth {
    scope: String,
    /// None on a loopback endpoint.
    ways: Vec<Way>,
    /// Why ways are missing that could have been.
    unusable: Vec<String>,
    loopback: bool,
    found: Arc<Mutex<Found>>,
}

impl fmt::Debug for AzureAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureAuth").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl AzureAuth {
    /// Prepares credentials for `scope`, such as `https://management.azure.com/.default`; none on a
    /// loopback endpoint. Nothing is asked of anybody yet.
    ///
    /// # Errors
    /// When the configuration cannot be used, or names credentials that are not there.
    pub fn load(
        access: &AzureAccess,
        tools: &Tools,
        scope: &str,
        loopback: bool,
    ) -> Result<Self, SourceError> {
        let mut auth = Self {
            scope: scope.to_owned(),
            ways: Vec::new(),
            unusable: Vec::new(),
            loopback,
            found: Arc::default(),
        };
        if loopback {
            return Ok(auth);
        }
        for method in methods(access) {
            match way(*method, access, tools) {
                Ok(way) => auth.ways.push(way),
                Err(Unusable::Config(error)) => return Err(error),
                Err(Unusable::Credential(reason)) => auth.unusable.push(reason),
            }
        }
        if auth.ways.is_empty() { Err(auth.nobody(Vec::new())) } else { Ok(auth) }
    }

    /// A token that is good for some minutes; `None` on a loopback endpoint, where none belongs.
    ///
    /// # Errors
    /// When no credential gives one.
    pub async fn token(&self) -> Result<Option<SecretString>, SourceError> {
        if self.loopback {
            return Ok(None);
        }
        // Held while a credential is asked: the others wait for its answer.
        let mut found = self.found.lock().await;
        if let Some(held) = found.held.as_ref().filter(|held| held.since.elapsed() < TOKEN_KEPT) {
            return Ok(Some(held.token.clone()));
        }
        let ways = found.way.clone().map_or_else(|| self.ways.clone(), |way| vec![way]);
        let mut reasons = Vec::new();
        for way in ways {
            match self.ask(&way).await {
                Ok(token) => {
                    found.held = Some(Held { token: token.clone(), since: Instant::now() });
                    found.way = Some(way);
                    return Ok(Some(token));
                }
                Err(reason) => reasons.push(format!("{}: {reason}", way.name)),
            }
        }
        Err(self.nobody(reasons))
    }

    async fn ask(&self, way: &Way) -> Result<SecretString, String> {
        let asked = timeout(way.patience, way.credential.get_token(&[&self.scope], None)).await;
        match asked {
            Ok(Ok(token)) => Ok(SecretString::from(token.token.secret().to_owned())),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer in {} s", way.patience.as_secs())),
        }
    }

    fn nobody(&self, mut reasons: Vec<String>) -> SourceError {
        reasons.extend(self.unusable.iter().cloned());
        SourceError::Credentials {
            what: format!("Azure, scope {}", self.scope),
            hint:
                "run `az login`, or name tenant, client_id and client_secret, or run where there \
                   is a managed or workload identity"
                    .to_owned(),
            source: reasons.join("; ").into(),
        }
    }
}

#[async_trait]
impl Signer for AzureAuth {
    async fn sign(&self, request: &mut http::Request<Bytes>) -> Result<(), SourceError> {
        let Some(token) = self.token().await? else { return Ok(()) };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|error| SourceError::Credentials {
                what: format!("Azure, scope {}", self.scope),
                hint: "the token is no text that a header can hold".to_owned(),
                source: error.into(),
            })?;
        value.set_sensitive(true);
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
        Ok(())
    }
}

/// An error and its causes in one line, bounded.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause.filter(|_| text.len() < 600) {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(600).collect()
}

/// The ways to try, in order.
fn methods(access: &AzureAccess) -> &'static [AzureMethod] {
    use AzureMethod::{Auto, Cli, ClientSecret, ManagedIdentity, WorkloadIdentity};
    match access.method {
        // Who writes a secret down means it.
        Auto | ClientSecret if access.client_secret.is_some() => &[ClientSecret],
        Auto => &[WorkloadIdentity, ManagedIdentity, Cli],
        Cli => &[Cli],
        ManagedIdentity => &[ManagedIdentity],
        WorkloadIdentity => &[WorkloadIdentity],
        ClientSecret => &[ClientSecret],
    }
}

/// Why a way cannot be gone.
enum Unusable {
    /// The configuration is wrong.
    Config(SourceError),
    /// What it needs is not here.
    Credential(String),
}

fn way(method: AzureMethod, access: &AzureAccess, tools: &Tools) -> Result<Way, Unusable> {
    let auto = access.method == AzureMethod::Auto;
    match method {
        AzureMethod::ClientSecret => client_secret(access, tools),
        AzureMethod::WorkloadIdentity => workload_identity(access),
        AzureMethod::ManagedIdentity => {
            let id = access.client_id.clone().map(UserAssignedId::ClientId);
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: id,
                client_options: client_options(access),
            };
            let patience = if auto { PROBING_TIME } else { ASKING_TIME };
            made("managed identity", ManagedIdentityCredential::new(Some(options)), patience)
        }
        AzureMethod::Cli | AzureMethod::Auto => {
            let options = AzureCliCredentialOptions {
                tenant_id: access.tenant.clone(),
                ..AzureCliCredentialOptions::default()
            };
            made("az", AzureCliCredential::new(Some(options)), ASKING_TIME)
        }
    }
}

fn client_secret(access: &AzureAccess, tools: &Tools) -> Result<Way, Unusable> {
    let hint = "name tenant, client_id and client_secret = \"env:NAME\" or \"file:/path\"";
    let lacking = |name: &str| {
        let detail = format!("the Azure method client_secret needs {name}");
        Unusable::Config(SourceError::config(detail, hint))
    };
    let tenant = access.tenant.as_deref().ok_or_else(|| lacking("tenant"))?;
    let client = access.client_id.clone().ok_or_else(|| lacking("client_id"))?;
    let reference = access.client_secret.as_ref().ok_or_else(|| lacking("client_secret"))?;
    let secret = (tools.secrets)(reference).map_err(|source| {
        Unusable::Config(SourceError::Credentials {
            what: format!("Azure, client secret {reference}"),
            hint: "set the variable or write the file".to_owned(),
            source: source.into(),
        })
    })?;
    let secret = secret.expose_secret().to_owned().into();
    let options = ClientSecretCredentialOptions { client_options: client_options(access) };
    let made_of = ClientSecretCredential::new(tenant, client, secret, Some(options));
    made("client secret", made_of, ASKING_TIME)
}

fn workload_identity(access: &AzureAccess) -> Result<Way, Unusable> {
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions {
            client_options: client_options(access),
        },
        client_id: access.client_id.clone(),
        tenant_id: access.tenant.clone(),
        token_file_path: None,
    };
    made("workload identity", WorkloadIdentityCredential::new(Some(options)), ASKING_TIME)
}

fn made<C: TokenCredential + 'static>(
    name: &'static str,
    credential: azure_core::Result<Arc<C>>,
    patience: Duration,
) -> Result<Way, Unusable> {
    match credential {
        Ok(credential) => Ok(Way { name, credential, patience }),
        Err(error) => Err(Unusable::Credential(format!("{name}: {}", chain(&error)))),
    }
}

fn client_options(access: &AzureAccess) -> ClientOptions {
    ClientOptions {
        cloud: Some(Arc::new(access.cloud.configuration())),
        ..ClientOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use azure_core::credentials::{AccessToken, TokenRequestOptions};
    use azure_core::time::OffsetDateTime;

    use super::super::super::http::{Client, Quotas};
    use super::*;

    #[derive(Debug)]
    struct Fixed {
        token: Option<&'static str>,
        asked: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl TokenCredential for Fixed {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.token {
                Some(token) => Ok(AccessToken::new(token.to_owned(), OffsetDateTime::UNIX_EPOCH)),
                None => Err(azure_core::Error::with_message(
                    azure_core::error::ErrorKind::Credential,
                    "nobody\nis logged in",
                )),
            }
        }
    }

    fn tools() -> Tools {
        let secrets: super::super::super::source::ReadSecret =
            Arc::new(|_| Err(io::Error::other("not there")));
        Tools { client: Client::new().unwrap(), quotas: Quotas::default(), secrets }
    }

    fn auth(tokens: &[Option<&'static str>]) -> (AzureAuth, Vec<Arc<AtomicUsize>>) {
        let asked: Vec<Arc<AtomicUsize>> = tokens.iter().map(|_| Arc::default()).collect();
        let ways = tokens.iter().zip(&asked).map(|(token, asked)| Way {
            name: "fixed",
            credential: Arc::new(Fixed { token: *token, asked: Arc::clone(asked) }),
            patience: ASKING_TIME,
        });
        let auth = AzureAuth {
            scope: "https://x/.default".to_owned(),
            ways: ways.collect(),
            unusable: vec!["az: not installed".to_owned()],
            loopback: false,
            found: Arc::default(),
        };
        (auth, asked)
    }

    fn count(asked: &[Arc<AtomicUsize>]) -> Vec<usize> {
        asked.iter().map(|asked| asked.load(Ordering::SeqCst)).collect()
    }

    #[tokio::test]
    async fn the_first_way_that_works_is_kept_and_its_token_renewed_in_time() {
        let (auth, asked) = auth(&[None, Some("t-1"), Some("t-2")]);
        for _ in 0..3 {
            let mut request = http::Request::new(Bytes::new());
            auth.clone().sign(&mut request).await.unwrap();
            assert_eq!(request.headers()["authorization"], "Bearer t-1");
        }
        assert_eq!(count(&asked), [1, 1, 0]);
        if let Some(held) = auth.found.lock().await.held.as_mut() {
            held.since = held.since.checked_sub(TOKEN_KEPT).unwrap();
        }
        auth.token().await.unwrap();
        assert_eq!(count(&asked), [1, 2, 0]);
        assert!(!format!("{auth:?}").contains("t-1"));
    }

    #[tokio::test]
    async fn without_a_token_every_reason_is_told() {
        let (auth, _) = auth(&[None]);
        let error = auth.token().await.unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.contains("fixed: nobody is logged in"), "{source}");
        assert!(source.contains("az: not installed"), "{source}");
        assert!(error.hint().contains("az login"), "{}", error.hint());
    }

    #[tokio::test]
    async fn on_loopback_no_credential_is_looked_for() {
        let access = AzureAccess { method: AzureMethod::ClientSecret, ..AzureAccess::default() };
        let auth = AzureAuth::load(&access, &tools(), "https://x/.default", true).unwrap();
        assert!(auth.token().await.unwrap().is_none());
        let mut request = http::Request::new(Bytes::new());
        auth.sign(&mut request).await.unwrap();
        assert!(request.headers().is_empty());
    }

    #[test]
    fn a_configured_secret_is_the_only_way_and_must_be_whole() {
        let mut access: AzureAccess =
            serde_json::from_str(r#"{"client_secret": "env:S", "cloud": "usgov"}"#).unwrap();
        let load =
            |access: &AzureAccess| AzureAuth::load(access, &tools(), "https://x/.default", false);
        assert!(load(&access).unwrap_err().to_string().contains("needs tenant"));
        access.tenant = Some("t".to_owned());
        access.client_id = Some("c".to_owned());
        let error = load(&access).unwrap_err();
        assert!(error.to_string().contains("client secret env:S"), "{error}");
        assert_eq!(methods(&access), [AzureMethod::ClientSecret]);
        access.client_secret = None;
        assert_eq!(methods(&access).len(), 3);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        for text in [r#"{"method": "guess"}"#, r#"{"password": "x"}"#, r#"{"cloud": "moon"}"#] {
            assert!(serde_json::from_str::<AzureAccess>(text).is_err(), "{text}");
        }
    }
}
