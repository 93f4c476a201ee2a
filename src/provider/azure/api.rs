//! Azure's REST APIs as keytrail calls them: Resource Manager, Log Analytics, and the data plane of
//! vaults and Managed HSMs. Errors are told apart, lists are read page by page.
//!
//! A `nextLink` is followed to the endpoint that the list was asked of and nowhere else, since the
//! token goes with it; one that was followed before is an error, as is a list without `value`:
//! neither may pass for the end of a list.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::super::http::{Answer, Call, Client, Endpoint, Fault, Quota};
use super::super::source::{Note, SourceError, Tools};
use super::auth::{AzureAccess, AzureAuth, AzureCloud};
use super::record::{member, text};
use crate::event::sha256_hex;

/// More pages than this are no list any more.
const MOST_PAGES: usize = 100_000;

/// Where the services are reached, if not where Microsoft's cloud has them: a private cloud, or an
/// emulator (plain http on a loopback address).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureEndpoints {
    /// Resource Manager: `https://management.azure.com`.
    pub arm: Option<String>,
    /// The query API of Log Analytics: `https://api.loganalytics.azure.com`.
    pub log_analytics: Option<String>,
    /// The vaults, with `{name}` for the vault's name: `https://{name}.vault.azure.net`.
    pub vault: Option<String>,
    /// The Managed HSMs, with `{name}`: `https://{name}.managedhsm.azure.net`.
    pub managed_hsm: Option<String>,
}

/// Addresses and scopes of one service, by cloud: public, usgov, china (Microsoft's pages
/// "Azure Government endpoint mapping" and "Azure China developer guide").
pub(super) struct Service {
    addresses: [&'static str; 3],
    scopes: [&'static str; 3],
    per_minute: NonZeroU32,
}

const fn per_minute(requests: u32) -> NonZeroU32 {
    match NonZeroU32::new(requests) {
        Some(requests) => requests,
        None => NonZeroU32::MIN,
    }
}

/// Resource Manager. A principal's bucket of reads refills at 25 a second ("Understand how Azure
/// Resource Manager throttles requests").
pub(super) const ARM: Service = Service {
    addresses: [
        "https://management.azure.com",
        "https://management.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
    ],
    scopes: [
        "https://management.azure.com/.default",
        "https://management.usgovcloudapi.net/.default",
        "https://management.chinacloudapi.cn/.default",
    ],
    per_minute: per_minute(1_200),
};

/// The query API of Log Analytics: 200 requests in 30 seconds for a principal.
pub(super) const LOG_ANALYTICS: Service = Service {
    addresses: [
        "https://api.loganalytics.azure.com",
        "https://api.loganalytics.us",
        "https://api.loganalytics.azure.cn",
    ],
    scopes: [
        "https://api.loganalytics.io/.default",
        "https://api.loganalytics.us/.default",
        "https://api.loganalytics.azure.cn/.default",
    ],
    per_minute: per_minute(300),
};

/// The data plane of vaults: 4,000 transactions in 10 seconds for a vault, most of which belong to
/// those who use its keys.
pub(super) const VAULT: Service = Service {
    addresses: [
        "https://{name}.vault.azure.net",
        "https://{name}.vault.usgovcloudapi.net",
        "https://{name}.vault.azure.cn",
    ],
    scopes: [
        "https://vault.azure.net/.default",
        "https://vault.usgovcloudapi.net/.default",
        "https://vault.azure.cn/.default",
    ],
    per_minute: per_minute(3_000),
};

/// The data plane of Managed HSMs.
pub(super) const MANAGED_HSM: Service = Service {
    addresses: [
        "https://{name}.managedhsm.azure.net",
        "https://{name}.managedhsm.usgovcloudapi.net",
        "https://{name}.managedhsm.azure.cn",
    ],
    scopes: [
        "https://managedhsm.azure.net/.default",
        "https://managedhsm.usgovcloudapi.net/.default",
        "https://managedhsm.azure.cn/.default",
    ],
    per_minute: per_minute(3_000),
};

impl Service {
    fn address(&self, cloud: AzureCloud, set: Option<&str>) -> String {
        set.unwrap_or(Self::of(cloud, &self.addresses)).to_owned()
    }

    fn of(cloud: AzureCloud, &[public, us_gov, china]: &[&'static str; 3]) -> &'static str {
        match cloud {
            AzureCloud::Public => public,
            AzureCloud::UsGov => us_gov,
            AzureCloud::China => china,
        }
    }

    /// Tokens for this service; none where `set`, or the cloud's own address, is of this machine.
    pub(super) fn auth(
        &self,
        access: &AzureAccess,
        tools: &Tools,
        set: Option<&str>,
    ) -> Result<AzureAuth, SourceError> {
        let address = self.address(access.cloud, set).replace("{name}", "name");
        let loopback = Endpoint::parse(&address)?.is_loopback();
        AzureAuth::load(access, tools, Self::of(access.cloud, &self.scopes), loopback)
    }
}

/// What a call is, for people and for whoever must grant it.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// `azure:ListVaults in <subscription>`.
    pub(super) name: String,
    /// The action or role that it needs.
    pub(super) permission: String,
}

impl Ask {
    pub(super) fn new(name: impl Into<String>, permission: impl Into<String>) -> Self {
        Self { name: name.into(), permission: permission.into() }
    }
}

/// One service at one address.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    auth: AzureAuth,
    endpoint: Endpoint,
    quota: Quota,
}

impl Api {
    /// The service at its address, or at the one that is `set`; `{name}` in it becomes `name`, which
    /// must be the name of a resource. Whoever gives the same `name` draws on the same quota.
    pub(super) fn new(
        (service, set): (&Service, Option<&str>),
        access: &AzureAccess,
        (tools, client): (&Tools, &Client),
        auth: &AzureAuth,
        name: &str,
    ) -> Result<Self, SourceError> {
        let template = service.address(access.cloud, set);
        let endpoint = Endpoint::parse(&template.replace("{name}", name))?;
        let quota = tools.quotas.get(&format!("azure/{template}/{name}"), service.per_minute);
        Ok(Self { client: client.clone(), auth: auth.clone(), endpoint, quota })
    }

    /// Gets what is at `path`.
    pub(super) async fn get(&self, ask: &Ask, path: &str) -> Result<Answer, SourceError> {
        self.get_url(ask, &self.endpoint.join(path)).await
    }

    async fn get_url(&self, ask: &Ask, url: &str) -> Result<Answer, SourceError> {
        let request = http::Request::get(url).body(Bytes::new());
        self.send(ask, request).await
    }

    /// Gets a JSON object.
    pub(super) async fn object(&self, ask: &Ask, path: &str) -> Result<Value, SourceError> {
        let answer = self.get(ask, path).await?;
        let value: Value = parse(ask, &answer)?;
        if value.is_object() { Ok(value) } else { Err(unexpected(ask, "it is no JSON object")) }
    }

    /// Posts a JSON body.
    pub(super) async fn post(
        &self,
        ask: &Ask,
        path: &str,
        body: &Value,
    ) -> Result<Answer, SourceError> {
        let request = http::Request::post(self.endpoint.join(path))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("prefer", HeaderValue::from_static("wait=100"))
            .body(Bytes::from(body.to_string()));
        self.send(ask, request).await
    }

    async fn send(
        &self,
        ask: &Ask,
        request: http::Result<http::Request<Bytes>>,
    ) -> Result<Answer, SourceError> {
        let call = Call {
            name: ask.name.clone(),
            permission: ask.permission.clone(),
            request: request.map_err(|error| unexpected(ask, error.to_string()))?,
            signer: &self.auth,
            quota: Some(&self.quota),
            fault,
        };
        self.client.call(&call).await.map_err(with_action)
    }

    /// The address of the next page, if it is one of this endpoint.
    fn next_url(&self, ask: &Ask, link: &str) -> Result<String, SourceError> {
        let own = self.endpoint.url();
        let origin =
            |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
        let url = Url::parse(link).ok().filter(|url| origin(url) == origin(own));
        let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
        url.map(String::from).ok_or_else(|| {
            let shown: String = link.chars().take(100).flat_map(char::escape_debug).collect();
            unexpected(ask, format!("its next page is elsewhere: {shown}"))
        })
    }

    /// Reads a whole list of JSON objects.
    pub(super) async fn list(&self, ask: &Ask, path: &str) -> Result<Vec<Value>, SourceError> {
        let mut pages = Pages::new(self, ask.clone(), path);
        let mut all = Vec::new();
        while let Some(items) = pages.next(self).await? {
            for item in items {
                all.push(value_of(ask, &item)?);
            }
        }
        Ok(all)
    }
}

/// An item of a list as a value.
pub(super) fn value_of(ask: &Ask, item: &str) -> Result<Value, SourceError> {
    serde_json::from_str(item).map_err(|error| unexpected(ask, error.to_string()))
}

/// A list under way.
#[derive(Debug)]
pub(super) struct Pages {
    ask: Ask,
    next: Option<String>,
    /// Digests of the addresses that were followed.
    seen: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(default, rename = "nextLink")]
    next_link: Option<String>,
}

impl Pages {
    /// The list at `path`.
    pub(super) fn new(api: &Api, ask: Ask, path: &str) -> Self {
        Self { ask, next: Some(api.endpoint.join(path)), seen: BTreeSet::new() }
    }

    /// What is asked for.
    pub(super) fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The items of the next page as they were written; none may be on a page that others follow.
    /// `None` after the last.
    pub(super) async fn next(&mut self, api: &Api) -> Result<Option<Vec<String>>, SourceError> {
        let Some(url) = self.next.take() else { return Ok(None) };
        if !self.seen.insert(sha256_hex(url.as_bytes())) || self.seen.len() > MOST_PAGES {
            return Err(unexpected(&self.ask, "its pages lead back to one that was read"));
        }
        let answer = api.get_url(&self.ask, &url).await?;
        let page: Page<'_> = parse(&self.ask, &answer)?;
        if let Some(link) = page.next_link.filter(|link| !link.is_empty()) {
            self.next = Some(api.next_url(&self.ask, &link)?);
        }
        Ok(Some(page.value.into_iter().map(|item| item.get().to_owned()).collect()))
    }
}

/// Reads an answer's JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    ask: &Ask,
    answer: &'a Answer,
) -> Result<T, SourceError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| unexpected(ask, format!("{error}: {}", answer.excerpt())))
}

/// The answer to `ask` is not what Microsoft documents.
pub(super) fn unexpected(ask: &Ask, detail: impl Into<String>) -> SourceError {
    SourceError::content(ask.name.clone(), detail)
}

/// What an error answer means. 429 comes with and without `Retry-After`; a busy service answers 5xx.
pub(super) fn fault(answer: &Answer) -> Fault {
    match answer.status {
        429 => Fault::Throttled,
        408 | 500.. => Fault::Transient,
        401 | 403 => Fault::Denied { detail: detail(answer) },
        _ => Fault::Other { detail: detail(answer) },
    }
}

/// Codes and message of an error: `{"error": {code, message, innererror}}`, or flat.
fn detail(answer: &Answer) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return answer.excerpt() };
    let mut error = member(&body, "error").unwrap_or(&body);
    let (mut codes, mut message) = (Vec::new(), None);
    for _ in 0..4 {
        codes.extend(member(error, "code").and_then(text));
        message = member(error, "message").and_then(text).or(message);
        let Some(inner) = member(error, "innererror") else { break };
        error = inner;
    }
    if codes.is_empty() && message.is_none() {
        return answer.excerpt();
    }
    let line = format!("{}: {}", codes.join("/"), message.unwrap_or("no message"));
    line.chars().map(|char| if char.is_control() { ' ' } else { char }).take(500).collect()
}

/// Names the action that Azure says is missing, where it says so.
fn with_action(error: SourceError) -> SourceError {
    match error {
        SourceError::Denied { call, detail, permission } => {
            let permission = missing_action(&detail).map_or(permission, str::to_owned);
            SourceError::Denied { call, detail, permission }
        }
        other => other,
    }
}

/// The action in "… does not have authorization to perform action 'X' over scope …" of Resource
/// Manager and in "Action: 'X'" of a vault.
fn missing_action(detail: &str) -> Option<&str> {
    let after = |mark| detail.split_once(mark).map(|(_, rest)| rest);
    let rest = after("perform action '").or_else(|| after("Action: '"))?;
    let (action, _) = rest.split_once('\'')?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-');
    (action.contains('/') && action.len() < 200 && action.chars().all(legal)).then_some(action)
}

/// The HTTP status and detail of an error answer.
pub(super) fn answered(error: &SourceError) -> Option<(u16, &str)> {
    match error {
        SourceError::Answer { status, detail, .. } => Some((*status, detail)),
        _ => None,
    }
}

/// Whether an error is of everything that the source does, and not of one thing that it asked for.
pub(super) fn is_general(error: &SourceError) -> bool {
    matches!(error, SourceError::Config { .. } | SourceError::Credentials { .. })
}

/// What an error means for one part of what is read, while the rest goes on.
pub(super) fn note(lost: &str, error: &SourceError) -> Note {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let message = format!("{lost}: {error}{}", cause.unwrap_or_default());
    Note { message, hint: Some(error.hint()) }
}

/// Whether `text` can stand in a path as the name of a vault, HSM or key.
pub(super) fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=127).contains(&text.len()) && text.chars().all(legal)
}

/// A subscription's id in lower case.
///
/// # Errors
/// When it is none: it goes into paths.
pub(super) fn subscription_id(text: &str) -> Result<String, SourceError> {
    let legal = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.len() == 36 && text.chars().all(legal) {
        return Ok(text.to_ascii_lowercase());
    }
    let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    let hint = "`az account list --query [].id` shows the ids";
    Err(SourceError::config(format!("`{shown}` is no id of an Azure subscription"), hint))
}

#[cfg(test)]
pub(super) mod tests;
