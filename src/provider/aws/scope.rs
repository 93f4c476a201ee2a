//! Which accounts and regions a configured source stands for: one source for each of both.
//!
//! An account whose role cannot be assumed, or whose regions cannot be listed, becomes a source
//! that fails when it is read, so that the others are read.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;

use super::super::http::{Client, Counts, Endpoint};
use super::super::source::{Batch, History, Source, SourceError, Tools, Window};
use super::api::{Api, EC2, Partition, STS, Service, is_account, is_region, xml_texts};
use super::auth::{AwsAccess, AwsAuth};
use crate::event::Provider;

/// Where services are reached, if not where AWS has them: emulators, private endpoints. Each is
/// `https://…`, or `http://` on a loopback address. Where one is on loopback, all that are called
/// must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsEndpoints {
    /// Every service that is not named by itself.
    pub all: Option<String>,
    /// CloudTrail.
    pub cloudtrail: Option<String>,
    /// KMS.
    pub kms: Option<String>,
    /// CloudHSM (`cloudhsmv2`).
    pub cloudhsmv2: Option<String>,
    /// CloudWatch Logs.
    pub logs: Option<String>,
    /// STS.
    pub sts: Option<String>,
    /// EC2, which lists regions.
    pub ec2: Option<String>,
}

impl AwsEndpoints {
    /// Where a service is reached in a region.
    ///
    /// # Errors
    /// When the address cannot be used, or is missing beside one on loopback.
    pub(super) fn of(&self, service: &Service, region: &str) -> Result<Endpoint, SourceError> {
        let own = match service.host {
            "cloudtrail" => &self.cloudtrail,
            "kms" => &self.kms,
            "cloudhsmv2" => &self.cloudhsmv2,
            "logs" => &self.logs,
            "sts" => &self.sts,
            _ => &self.ec2,
        };
        if let Some(address) = own.as_ref().or(self.all.as_ref()) {
            return Endpoint::parse(address);
        }
        if self.is_loopback()? {
            let hint = "give it, or `all`: dummy credentials are not sent to AWS";
            let detail =
                format!("the endpoint of `{}` is missing beside one on loopback", service.host);
            return Err(SourceError::config(detail, hint));
        }
        let domain = Partition::of_region(region).domain();
        Endpoint::parse(&format!("https://{}.{region}.{domain}", service.host))
    }

    /// Whether an address is on loopback.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub(super) fn is_loopback(&self) -> Result<bool, SourceError> {
        let all = [
            &self.all,
            &self.cloudtrail,
            &self.kms,
            &self.cloudhsmv2,
            &self.logs,
            &self.sts,
            &self.ec2,
        ];
        let mut loopback = false;
        for address in all.into_iter().flatten() {
            loopback |= Endpoint::parse(address)?.is_loopback();
        }
        Ok(loopback)
    }
}

/// What a source's configuration says about accounts and regions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) name: &'a str,
    pub(super) access: &'a AwsAccess,
    pub(super) accounts: &'a [String],
    pub(super) regions: &'a [String],
    pub(super) endpoints: &'a AwsEndpoints,
}

impl Scope<'_> {
    /// Makes the sources: one for each account and region.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(super) async fn expand(
        &self,
        tools: &Tools,
        make: impl Fn(String, Api) -> Box<dyn Source> + Sync,
    ) -> Result<Vec<Box<dyn Source>>, SourceError> {
        self.check()?;
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        for access in self.accesses()? {
            match self.account(&access, tools).await {
                Ok(places) => {
                    sources.extend(places.into_iter().map(|(name, api)| make(name, api)));
                }
                Err(error) => {
                    let account = access.role_arn.as_deref().and_then(account_of);
                    let name = format!("{}/{}", self.name, account.unwrap_or("unknown"));
                    sources.push(Box::new(Broken::new(name, error, &tools.client)));
                }
            }
        }
        Ok(sources)
    }

    fn check(&self) -> Result<(), SourceError> {
        if self.regions.is_empty() {
            let hint = "regions = [\"eu-central-1\"], or [\"*\"] for all that are enabled";
            return Err(SourceError::config(format!("`{}` names no regions", self.name), hint));
        }
        for region in self.regions.iter().filter(|region| *region != "*") {
            if !is_region(region) {
                let hint = "write it as AWS does: eu-central-1";
                return Err(SourceError::config(format!("`{region}` is no region"), hint));
            }
        }
        if !self.accounts.is_empty() && self.access.role_arn.is_some() {
            let hint = "list the roles in `accounts` alone";
            return Err(SourceError::config(
                "both `accounts` and `access.role_arn` are given",
                hint,
            ));
        }
        self.endpoints.is_loopback().map(|_| ())
    }

    /// One access for each account.
    fn accesses(&self) -> Result<Vec<AwsAccess>, SourceError> {
        if self.accounts.is_empty() {
            let access = self.access.clone();
            if let Some(role) = &access.role_arn {
                check_role(role)?;
            }
            return Ok(vec![access]);
        }
        let mut roles = self.accounts.to_vec();
        roles.sort();
        roles.dedup();
        roles.iter().try_for_each(|role| check_role(role))?;
        let with = |role| AwsAccess { role_arn: Some(role), ..self.access.clone() };
        Ok(roles.into_iter().map(with).collect())
    }

    async fn account(
        &self,
        access: &AwsAccess,
        tools: &Tools,
    ) -> Result<Vec<(String, Api)>, SourceError> {
        let loopback = self.endpoints.is_loopback()?;
        let home = self.home(access);
        let mut base = access.clone();
        if base.role_arn.is_none() {
            // It belongs to the roles of `accounts`.
            base.external_id = None;
        }
        let mut api = Api {
            client: tools.client.fresh(),
            auth: AwsAuth::load(&base, &home, loopback)?,
            account: "unknown".to_owned(),
            region: home,
            endpoints: self.endpoints.clone(),
            per_minute: None,
            quotas: tools.quotas.clone(),
        };
        api.account = match access.role_arn.as_deref().and_then(account_of) {
            Some(account) => {
                api.auth.credentials().await?;
                account.to_owned()
            }
            None => caller(&api).await?,
        };
        let at = |region: String| {
            let name = format!("{}/{}/{region}", self.name, api.account);
            (name, Api { client: tools.client.fresh(), region, ..api.clone() })
        };
        Ok(self.regions(&api).await?.into_iter().map(at).collect())
    }

    async fn regions(&self, api: &Api) -> Result<Vec<String>, SourceError> {
        let mut regions = if self.regions.iter().any(|region| region == "*") {
            enabled_regions(api).await?
        } else {
            self.regions.to_vec()
        };
        regions.sort();
        regions.dedup();
        Ok(regions)
    }

    /// The region in which roles are assumed and regions listed: the first that is named, else one
    /// that every account of the partition has.
    fn home(&self, access: &AwsAccess) -> String {
        let named = self.regions.iter().find(|region| *region != "*");
        named.cloned().unwrap_or_else(|| {
            let partition = access.role_arn.as_deref().map(Partition::of_arn);
            partition.unwrap_or(Partition::Aws).home().to_owned()
        })
    }
}

/// The account whose credentials are used; needs no permission (STS API Reference,
/// `GetCallerIdentity`).
async fn caller(api: &Api) -> Result<String, SourceError> {
    let operation = STS.op("GetCallerIdentity");
    let xml = api.query(operation).await?;
    let account = xml_texts(&xml, "Account").first().copied().filter(|text| is_account(text));
    account
        .map(str::to_owned)
        .ok_or_else(|| SourceError::content(api.named(operation), "it names no account"))
}

/// The regions that are enabled for the account (EC2 API Reference, `DescribeRegions`).
async fn enabled_regions(api: &Api) -> Result<Vec<String>, SourceError> {
    let operation = EC2.op("DescribeRegions");
    let xml = api.query(operation).await?;
    let regions: Vec<String> =
        xml_texts(&xml, "regionName").into_iter().map(str::to_owned).collect();
    if regions.is_empty() || !regions.iter().all(|region| is_region(region)) {
        return Err(SourceError::content(api.named(operation), "it lists no regions"));
    }
    Ok(regions)
}

fn account_of(role: &str) -> Option<&str> {
    role.split(':').nth(4).filter(|account| is_account(account))
}

fn check_role(role: &str) -> Result<(), SourceError> {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = *parts.as_slice() else {
        return Err(no_role(role));
    };
    let good = partition.starts_with("aws") && is_account(account) && resource.starts_with("role/");
    if good { Ok(()) } else { Err(no_role(role)) }
}

fn no_role(role: &str) -> SourceError {
    let hint = "write arn:aws:iam::111122223333:role/NAME";
    SourceError::config(format!("`{role}` is no role"), hint)
}

/// A source that cannot be read; it says why, once.
struct Broken {
    name: String,
    error: Option<SourceError>,
    counts: Arc<Counts>,
}

impl Broken {
    fn new(name: String, error: SourceError, client: &Client) -> Self {
        Self { name, error: Some(error), counts: Arc::clone(client.fresh().counts()) }
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for Broken {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Provider {
        Provider::Aws
    }

    fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn start(&mut self, _: &History, _: Window) {}

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        self.error.take().map_or(Ok(None), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::{Reply, Server, tools};
    use super::*;

    const ROLE: &str = "arn:aws:iam::444455556666:role/keytrail";

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    async fn names(
        accounts: &[&str],
        regions: &[&str],
        endpoints: &AwsEndpoints,
    ) -> Result<Vec<String>, SourceError> {
        let (accounts, regions) = (words(accounts), words(regions));
        let scope = Scope {
            name: "prod",
            access: &AwsAccess::default(),
            accounts: &accounts,
            regions: &regions,
            endpoints,
        };
        let tools = tools();
        let make = |name, api: Api| -> Box<dyn Source> {
            assert!(!api.account.is_empty());
            Box::new(Broken::new(name, SourceError::config("", ""), &api.client))
        };
        let sources = scope.expand(&tools, make).await?;
        Ok(sources.iter().map(|source| source.name().to_owned()).collect())
    }

    fn server() -> Server {
        Server::start(|asked| match asked.form("Action").as_deref() {
            Some("GetCallerIdentity") => Reply::xml(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn>\
                 <Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
            ),
            Some("DescribeRegions") => Reply::xml(
                "<DescribeRegionsResponse><regionInfo><item><regionName>eu-west-1</regionName></item>\
                 <item><regionName>ap-east-1</regionName></item></regionInfo></DescribeRegionsResponse>",
            ),
            other => panic!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn the_caller_and_its_enabled_regions_are_found_out() {
        let server = server();
        let names = names(&[], &["*"], &server.endpoints()).await.unwrap();
        assert_eq!(names, ["prod/111122223333/ap-east-1", "prod/111122223333/eu-west-1"]);
    }

    #[tokio::test]
    async fn each_role_is_an_account_with_each_region() {
        let server = server();
        let regions = ["eu-west-1", "eu-central-1", "eu-west-1"];
        let names = names(&[ROLE, ROLE], &regions, &server.endpoints()).await.unwrap();
        assert_eq!(names, ["prod/444455556666/eu-central-1", "prod/444455556666/eu-west-1"]);
        assert!(server.asked().is_empty());
    }

    #[tokio::test]
    async fn an_account_that_cannot_be_reached_does_not_hide_the_others() {
        let server = Server::start(|_| Reply::error(403, "UnauthorizedOperation", "no"));
        let endpoints = server.endpoints();
        let list = words(&[ROLE]);
        let scope = Scope {
            name: "prod",
            access: &AwsAccess::default(),
            accounts: &list,
            regions: &words(&["*"]),
            endpoints: &endpoints,
        };
        let make = |_, _| -> Box<dyn Source> { panic!("no region is known") };
        let mut sources = scope.expand(&tools(), make).await.unwrap();
        assert_eq!(sources[0].name(), "prod/444455556666");
        let error = sources[0].next().await.unwrap_err();
        assert!(error.hint().contains("ec2:DescribeRegions"), "{}", error.hint());
        assert!(sources[0].next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_refused() {
        let none = AwsEndpoints::default();
        for (accounts, regions) in [
            (vec![], vec![]),
            (vec![], vec!["evil.com/"]),
            (vec!["444455556666"], vec!["eu-west-1"]),
            (vec!["arn:aws:iam::444455556666:user/x"], vec!["eu-west-1"]),
        ] {
            assert!(names(&accounts, &regions, &none).await.is_err(), "{accounts:?} {regions:?}");
        }
        let odd = AwsEndpoints { kms: Some("http://10.0.0.1".to_owned()), ..none };
        assert!(names(&[ROLE], &["eu-west-1"], &odd).await.is_err());
    }

    #[test]
    fn endpoints_follow_region_partition_and_configuration() {
        let none = AwsEndpoints::default();
        let url = |endpoints: &AwsEndpoints, region| {
            endpoints.of(&super::super::api::CLOUDHSM, region).map(|found| found.join("/"))
        };
        let host = "https://cloudhsmv2.eu-west-1.amazonaws.com/";
        assert_eq!(url(&none, "eu-west-1").unwrap(), host);
        let host = "https://cloudhsmv2.cn-north-1.amazonaws.com.cn/";
        assert_eq!(url(&none, "cn-north-1").unwrap(), host);
        let half = AwsEndpoints { kms: Some("http://127.0.0.1:1".to_owned()), ..none.clone() };
        assert!(url(&half, "eu-west-1").is_err());
        let all = AwsEndpoints { all: Some("http://127.0.0.1:2".to_owned()), ..half };
        assert_eq!(url(&all, "eu-west-1").unwrap(), "http://127.0.0.1:2/");
        assert_eq!(all.of(&super::super::api::KMS, "x").unwrap().join("/"), "http://127.0.0.1:1/");
    }
}
