//! Who calls Google Cloud: Application Default Credentials, a service account's key, workload identity
//! federation, impersonation. Google's own library gets and renews the tokens; this module says
//! which, and puts them on requests.
//!
//! For an endpoint of this machine there are no credentials: none are looked for, none are sent.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use google_cloud_auth::credentials::{
    self, AccessTokenCredentials, CacheableResource, Credentials, CredentialsProvider as _,
    external_account, external_account_authorized_user, impersonated, service_account,
    user_account,
};
use http::{Extensions, Request};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::super::Json as _;
use super::super::http::Signer;
use super::super::source::SourceError;

/// How long to wait for a token. Without credentials the library looks for a metadata server, which
/// outside of Google Cloud never answers.
const TOKEN_TIME: Duration = Duration::from_mins(1);

const HINT: &str = "run `gcloud auth application-default login`, or name a file of credentials in \
    `access.credentials_file`; docs/sources.md says how";

/// Whose credentials to use; all of it is optional. Without a file these are the Application Default
/// Credentials: `GOOGLE_APPLICATION_CREDENTIALS`, what `gcloud auth application-default login`
/// left, or the service account of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcpAccess {
    /// A file of credentials, as a path or as `file:/path`: a service account's key, a configuration
    /// of workload identity federation, or what gcloud wrote.
    pub credentials_file: Option<String>,
    /// The e-mail of a service account to act as.
    pub impersonate: Option<String>,
    /// The project whose quota the calls draw on.
    pub quota_project: Option<String>,
}

impl GcpAccess {
    /// Tells apart what draws on one quota: the project that is charged for it, as far as it is told.
    pub(super) fn quota_owner(&self) -> &str {
        let told = [&self.quota_project, &self.impersonate, &self.credentials_file];
        told.into_iter().flatten().next().map_or("default", String::as_str)
    }
}

/// Credentials that are ready to use. Cloning is cheap, and clones share their token.
#[derive(Clone)]
pub struct GcpAuth {
    what: String,
    credentials: Option<AccessTokenCredentials>,
}

impl fmt::Debug for GcpAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcpAuth").field("what", &self.what).finish_non_exhaustive()
    }
}

impl GcpAuth {
    /// Prepares the credentials that `access` names; no token is fetched yet. `scopes` narrow what
    /// a token may do where the credentials are a service account's. Must be called within a Tokio
    /// runtime, on which tokens are renewed.
    ///
    /// # Errors
    /// When a file cannot be read or holds no credentials.
    pub fn load(access: &GcpAccess, scopes: &[&str], loopback: bool) -> Result<Self, SourceError> {
        let what = describe(access);
        if loopback {
            return Ok(Self { what, credentials: None });
        }
        let request = Wanted { access, scopes, what: &what };
        let credentials = match (&access.credentials_file, &access.impersonate) {
            (None, None) => request.default_ones()?,
            (Some(file), None) => request.filed(file, Some(scopes))?,
            (None, Some(target)) => request.impersonate(request.default_ones()?, target)?,
            (Some(file), Some(target)) => {
                request.impersonate(request.filed(file, None)?, target)?
            }
        };
        Ok(Self { what, credentials: Some(credentials) })
    }

    /// A bearer token that is good for now; `None` where no credentials belong.
    ///
    /// # Errors
    /// When no token can be had.
    pub async fn token(&self) -> Result<Option<SecretString>, SourceError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let token = self.in_time(credentials.access_token()).await?;
        Ok(Some(SecretString::from(token.token)))
    }

    async fn in_time<T, E>(
        &self,
        asked: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, SourceError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match tokio::time::timeout(TOKEN_TIME, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(unusable(&self.what, source)),
            Err(late) => Err(unusable(&self.what, late)),
        }
    }
}

#[async_trait]
impl Signer for GcpAuth {
    async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), SourceError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let headers = self.in_time(credentials.headers(Extensions::new())).await?;
        if let CacheableResource::New { data, .. } = headers {
            for (name, value) in &data {
                request.headers_mut().insert(name.clone(), value.clone());
            }
        }
        Ok(())
    }
}

fn describe(access: &GcpAccess) -> String {
    let base = match &access.credentials_file {
        Some(file) => format!("Google Cloud (file `{file}`)"),
        None => "Google Cloud (Application Default Credentials)".to_owned(),
    };
    match &access.impersonate {
        Some(target) => format!("{base} as `{target}`"),
        None => base,
    }
}

fn unusable(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SourceError {
    SourceError::Credentials { what: what.to_owned(), hint: HINT.to_owned(), source: source.into() }
}

/// What credentials are made for.
struct Wanted<'a> {
    access: &'a GcpAccess,
    scopes: &'a [&'a str],
    what: &'a str,
}

type Built = Result<AccessTokenCredentials, SourceError>;

impl Wanted<'_> {
    /// The Application Default Credentials. Scopes are left out: they may be a person's, and what he
    /// did not consent to at login cannot be asked for later.
    fn default_ones(&self) -> Built {
        let mut builder = credentials::Builder::default();
        if let Some(project) = &self.access.quota_project {
            builder = builder.with_quota_project_id(project);
        }
        builder.build_access_token_credentials().map_err(|error| unusable(self.what, error))
    }

    /// The credentials in a file; without `scopes`, with the scope that covers everything.
    fn filed(&self, file: &str, scopes: Option<&[&str]>) -> Built {
        let value = read(file, self.what)?;
        let quota = self.access.quota_project.as_deref();
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()));
        macro_rules! build {
            ($builder:expr) => {{
                let mut builder = $builder;
                if let Some(project) = quota {
                    builder = builder.with_quota_project_id(project);
                }
                builder.build_access_token_credentials().map_err(|error| unusable(self.what, error))
            }};
            ($builder:expr, scoped) => {{
                let mut builder = $builder;
                if let Some(scopes) = scopes {
                    builder = builder.with_scopes(scopes);
                }
                build!(builder)
            }};
        }
        match value.text(&["type"]).unwrap_or_default() {
            "service_account" => {
                let mut builder = service_account::Builder::new(value);
                if let Some(scopes) = scopes {
                    let scopes = service_account::AccessSpecifier::from_scopes(scopes);
                    builder = builder.with_access_specifier(scopes);
                }
                build!(builder)
            }
            "external_account" => build!(external_account::Builder::new(value), scoped),
            "impersonated_service_account" => build!(impersonated::Builder::new(value), scoped),
            // A person's consent was given at login; scopes cannot be added.
            "authorized_user" => build!(user_account::Builder::new(value)),
            "external_account_authorized_user" => {
                build!(external_account_authorized_user::Builder::new(value))
            }
            other => {
                let other: String = other.chars().take(60).collect();
                let detail = format!("`{file}` holds credentials of the unknown type `{other}`");
                Err(SourceError::config(detail, HINT))
            }
        }
    }

    fn impersonate(&self, own: AccessTokenCredentials, target: &str) -> Built {
        let mut builder = impersonated::Builder::from_source_credentials(Credentials::from(own))
            .with_target_principal(target)
            .with_scopes(self.scopes.iter().copied());
        if let Some(project) = &self.access.quota_project {
            builder = builder.with_quota_project_id(project);
        }
        builder.build_access_token_credentials().map_err(|error| unusable(self.what, error))
    }
}

fn read(file: &str, what: &str) -> Result<Value, SourceError> {
    if file.starts_with("env:") {
        let detail = "`credentials_file` names a variable of the environment";
        let hint = "write the path of a file; Google's library itself reads \
            GOOGLE_APPLICATION_CREDENTIALS where `credentials_file` is left out";
        return Err(SourceError::config(detail, hint));
    }
    let path = file.strip_prefix("file:").unwrap_or(file);
    let text = std::fs::read(path).map_err(|error| unusable(what, error))?;
    // What the parser says may show a piece of the file.
    serde_json::from_slice(&text).map_err(|_| unusable(what, "the file is not JSON"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn access(credentials_file: &str) -> GcpAccess {
        GcpAccess { credentials_file: Some(credentials_file.to_owned()), ..GcpAccess::default() }
    }

    #[tokio::test]
    async fn on_loopback_no_credentials_are_looked_for_or_sent() {
        let auth = GcpAuth::load(&access("/nowhere/at/all.json"), &["x"], true).unwrap();
        assert!(auth.token().await.unwrap().is_none());
        let mut request = Request::get("http://127.0.0.1:1/").body(Bytes::new()).unwrap();
        auth.sign(&mut request).await.unwrap();
        assert!(request.headers().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_missing_torn_or_of_another_type_is_told_without_its_content() {
        let error = GcpAuth::load(&access("/nowhere/at/all.json"), &[], false).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.json"), "{error}");
        for content in
            ["{\"private_key\": \"hunter2", r#"{"type": "gdch", "private_key": "hunter2"}"#]
        {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let name = format!("file:{}", file.path().display());
            let error = GcpAuth::load(&access(&name), &[], false).unwrap_err();
            let told = format!("{error} {error:?} {}", error.hint());
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[tokio::test]
    async fn each_type_of_file_is_taken() {
        for content in [
            r#"{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}"#,
            r#"{"type": "external_account", "audience": "//iam.googleapis.com/x",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"file": "/var/run/token"}}"#,
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let mut access = access(&file.path().display().to_string());
            access.quota_project = Some("p".to_owned());
            assert!(GcpAuth::load(&access, &["s"], false).is_ok(), "{content}");
            access.impersonate = Some("audit@p.iam.gserviceaccount.com".to_owned());
            assert!(GcpAuth::load(&access, &["s"], false).is_ok(), "{content}");
        }
    }

    #[test]
    fn a_variable_of_the_environment_is_refused() {
        let error = GcpAuth::load(&access("env:KEY"), &[], false).unwrap_err();
        assert!(matches!(error, SourceError::Config { .. }), "{error:?}");
    }
}
