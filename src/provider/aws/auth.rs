//! Credentials of AWS, and signatures made with them (Signature Version 4).
//!
//! Credentials come the way that every tool of AWS finds them: environment, profiles, IAM Identity
//! Center, web identity, roles of containers and instances; from there one role may be assumed.
//! They are kept until shortly before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use futures::lock::Mutex;
use http::Request;
use serde::Deserialize;

use super::super::http::Signer;
use super::super::source::SourceError;

/// Credentials that expire sooner than this are asked for anew.
const MARGIN: Duration = Duration::from_mins(5);

/// The name of a session of an assumed role, where the configuration gives none.
const SESSION_NAME: &str = "keytrail";

/// Which credentials to use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAccess {
    /// The profile of the shared configuration files; without it what the environment says.
    pub profile: Option<String>,
    /// A role to assume with those credentials: `arn:aws:iam::111122223333:role/keytrail`.
    pub role_arn: Option<String>,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The name of the session, which stands in the account's log; `keytrail` where absent.
    pub session_name: Option<String>,
}

/// Credentials, taken up when they are first needed; clones share them.
#[derive(Clone)]
pub struct AwsAuth(Arc<Inner>);

struct Inner {
    access: AwsAccess,
    region: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    provider: Option<SharedCredentialsProvider>,
    credentials: Option<Credentials>,
}

impl fmt::Debug for AwsAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AwsAuth").field(&self.0.access).finish()
    }
}

impl AwsAuth {
    /// Makes credentials of `access`; roles are assumed in `region`. For an endpoint on `loopback`
    /// they are the words `test` and `test`, unless a profile is named: no role is assumed there,
    /// and what the environment holds is not looked at.
    ///
    /// # Errors
    /// When `access` contradicts itself. Whether there are credentials is seen on first use.
    pub fn load(access: &AwsAccess, region: &str, loopback: bool) -> Result<Self, SourceError> {
        check(access)?;
        let mut access = access.clone();
        let mut state = State::default();
        if loopback {
            access.role_arn = None;
            if access.profile.is_none() {
                let dummy = Credentials::new("test", "test", None, None, "keytrail loopback");
                state.provider = Some(SharedCredentialsProvider::new(dummy));
            }
        }
        let inner = Inner { access, region: region.to_owned(), state: Mutex::new(state) };
        Ok(Self(Arc::new(inner)))
    }

    /// The credentials, valid for some minutes at least.
    ///
    /// # Errors
    /// When there are none, or the role may not be assumed.
    pub async fn credentials(&self) -> Result<Credentials, SourceError> {
        let mut state = self.0.state.lock().await;
        if let Some(known) = state.credentials.as_ref().filter(|known| is_fresh(known, now())) {
            return Ok(known.clone());
        }
        let provider = match &state.provider {
            Some(provider) => provider.clone(),
            None => self.0.provider().await?,
        };
        state.provider = Some(provider.clone());
        let found = provider.provide_credentials().await;
        let found = found.map_err(|error| self.refused(Box::new(error)))?;
        if !is_header_text(found.access_key_id())
            || !found.session_token().is_none_or(is_header_text)
        {
            return Err(self.refused("they hold signs that no credentials have".into()));
        }
        state.credentials = Some(found.clone());
        Ok(found)
    }

    /// Forgets the credentials, so that the next use asks for new ones.
    pub async fn forget(&self) {
        self.0.state.lock().await.credentials = None;
    }

    /// What signs calls of `service` in `region`.
    pub fn signer(&self, service: &'static str, region: &str) -> AwsSigner {
        AwsSigner { auth: self.clone(), service, region: region.to_owned() }
    }

    /// That these credentials are not good for use.
    pub(super) fn refused(&self, source: Box<dyn std::error::Error + Send + Sync>) -> SourceError {
        SourceError::Credentials { what: self.0.name(), hint: self.0.hint(), source }
    }
}

impl Inner {
    async fn provider(&self) -> Result<SharedCredentialsProvider, SourceError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()));
        if let Some(profile) = &self.access.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        if let Some(role) = &self.access.role_arn {
            let session = self.access.session_name.as_deref().unwrap_or(SESSION_NAME);
            let mut builder = AssumeRoleProvider::builder(role)
                .configure(&config)
                .region(Region::new(self.region.clone()))
                .session_name(session);
            if let Some(id) = &self.access.external_id {
                builder = builder.external_id(id);
            }
            return Ok(SharedCredentialsProvider::new(builder.build().await));
        }
        config.credentials_provider().ok_or_else(|| SourceError::Credentials {
            what: self.name(),
            hint: self.hint(),
            source: "nothing provides any".into(),
        })
    }

    fn name(&self) -> String {
        let base = self.access.profile.as_ref().map_or_else(
            || "the default AWS credentials".to_owned(),
            |profile| format!("AWS profile \"{profile}\""),
        );
        match &self.access.role_arn {
            Some(role) => format!("{role}, assumed with {base}"),
            None => base,
        }
    }

    fn hint(&self) -> String {
        let check = match &self.access.profile {
            Some(profile) => format!("run `aws sts get-caller-identity --profile {profile}`"),
            None => "run `aws sts get-caller-identity`".to_owned(),
        };
        match &self.access.role_arn {
            Some(role) => format!(
                "{check}; that identity needs sts:AssumeRole on {role}, and the role must trust it"
            ),
            None => format!("{check}; where a session has expired, sign in again"),
        }
    }
}

fn check(access: &AwsAccess) -> Result<(), SourceError> {
    if access.role_arn.is_none() && access.external_id.is_some() {
        let hint = "name the role in `role_arn`, or take `external_id` out";
        return Err(SourceError::config("an `external_id` without a role to assume", hint));
    }
    if let Some(name) = &access.session_name {
        // STS API Reference, `AssumeRole`: 2 to 64 of these signs.
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_=,.@-".contains(&byte);
        if !(2..=64).contains(&name.len()) || !name.bytes().all(good) {
            let hint = "2 to 64 letters, digits and _=,.@-";
            return Err(SourceError::config(format!("`{name}` is no name of a session"), hint));
        }
    }
    Ok(())
}

fn is_fresh(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|expiry| expiry > now + MARGIN)
}

/// Whether it can stand in a header.
fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The time that is signed: the service refuses one that is minutes off.
#[expect(clippy::disallowed_methods, reason = "a signature holds the time at which it is made")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Signs calls of one service in one region.
#[derive(Debug, Clone)]
pub struct AwsSigner {
    auth: AwsAuth,
    service: &'static str,
    region: String,
}

#[async_trait]
impl Signer for AwsSigner {
    async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), SourceError> {
        let credentials = self.auth.credentials().await?;
        signed(request, credentials, (self.service, &self.region), now())
            .map_err(|error| self.auth.refused(error))
    }
}

fn signed(
    request: &mut Request<Bytes>,
    credentials: Credentials,
    (service, region): (&str, &str),
    time: SystemTime,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(settings(service))
        .build()?
        .into();
    let method = request.method().clone();
    let headers = request.headers();
    let headers =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(method.as_str(), request.uri().to_string(), headers, body)?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    for name in ["authorization", "x-amz-security-token"] {
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
    Ok(())
}

/// S3 takes paths as they are and wants the digest of the body in a header (S3 API Reference,
/// "Authenticating requests").
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_as_in_the_example_of_aws() {
        // "get-vanilla" of the Signature Version 4 test suite.
        let mut request =
            Request::get("https://example.amazonaws.com/").body(Bytes::new()).unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, None, None, "test");
        let seconds = 1_440_938_160;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        signed(&mut request, credentials, ("service", "us-east-1"), time).unwrap();
        let header = request.headers()["authorization"].to_str().unwrap();
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert!(header.ends_with(signature), "{header}");
        assert!(request.headers()["authorization"].is_sensitive());
    }

    #[tokio::test]
    async fn on_loopback_there_are_dummy_credentials_and_no_role_is_assumed() {
        let access = AwsAccess {
            role_arn: Some("arn:aws:iam::111122223333:role/r".to_owned()),
            external_id: Some("x".to_owned()),
            ..AwsAccess::default()
        };
        let auth = AwsAuth::load(&access, "eu-west-1", true).unwrap();
        let credentials = auth.credentials().await.unwrap();
        assert_eq!(
            (credentials.access_key_id(), credentials.secret_access_key()),
            ("test", "test")
        );
        let mut request = Request::post("http://127.0.0.1:1/").body(Bytes::from("{}")).unwrap();
        auth.signer("s3", "eu-west-1").sign(&mut request).await.unwrap();
        let header = request.headers()["authorization"].to_str().unwrap();
        assert!(
            header.contains("Credential=test/") && header.contains("/eu-west-1/s3/"),
            "{header}"
        );
        assert!(request.headers().contains_key("x-amz-content-sha256"));
    }

    #[test]
    fn access_that_contradicts_itself_is_refused() {
        let lone = AwsAccess { external_id: Some("x".to_owned()), ..AwsAccess::default() };
        let odd = AwsAccess { session_name: Some("a b".to_owned()), ..AwsAccess::default() };
        for access in [lone, odd] {
            assert!(AwsAuth::load(&access, "eu-west-1", false).is_err(), "{access:?}");
        }
    }

    #[test]
    fn credentials_near_their_end_are_not_used() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let until = |seconds| {
            let expiry = Some(now + Duration::from_secs(seconds));
            Credentials::new("a", "b", None, expiry, "test")
        };
        assert!(!is_fresh(&until(299), now));
        assert!(is_fresh(&until(301), now));
        assert!(is_fresh(&Credentials::new("a", "b", None, None, "test"), now));
    }
}
