//! The services that are called: their names, hosts and quotas (service endpoints and quotas: AWS
//! General Reference, "Service endpoints and quotas").

use std::num::NonZeroU32;

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::provider::aws) struct Service {
    /// Its name in addresses: `https://<host>.<region>.amazonaws.com`.
    pub(in crate::provider::aws) host: &'static str,
    /// Its name in signatures and permissions.
    pub(in crate::provider::aws) signing: &'static str,
    /// What stands before an operation's name in `X-Amz-Target`; the version of a Query service.
    pub(in crate::provider::aws) target: &'static str,
    /// Requests a minute, far below what an account may make.
    per_minute: u32,
}

/// CloudTrail.
pub(in crate::provider::aws) static CLOUDTRAIL: Service = Service {
    host: "cloudtrail",
    signing: "cloudtrail",
    target: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
    per_minute: 300,
};

/// Key Management Service.
pub(in crate::provider::aws) static KMS: Service =
    Service { host: "kms", signing: "kms", target: "TrentService", per_minute: 1200 };

/// CloudHSM, version 2.
pub(in crate::provider::aws) static CLOUDHSM: Service =
    Service { host: "cloudhsmv2", signing: "cloudhsm", target: "BaldrApiService", per_minute: 120 };

/// CloudWatch Logs.
pub(in crate::provider::aws) static LOGS: Service =
    Service { host: "logs", signing: "logs", target: "Logs_20140328", per_minute: 240 };

/// Security Token Service.
pub(in crate::provider::aws) static STS: Service =
    Service { host: "sts", signing: "sts", target: "2011-06-15", per_minute: 600 };

/// Elastic Compute Cloud, which knows the regions.
pub(in crate::provider::aws) static EC2: Service =
    Service { host: "ec2", signing: "ec2", target: "2016-11-15", per_minute: 600 };

/// Operations with a quota of their own: its name, and requests a minute.
const RATES: &[(&str, &str, u32)] = &[
    // Two a second for each account and region, whoever asks (API Reference, `LookupEvents`).
    ("LookupEvents", "lookup-events", 120),
    ("GetLogEvents", "get-log-events", 600),
    ("DescribeCustomKeyStores", "describe-custom-key-stores", 120),
];

/// One operation of a service.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider::aws) struct Operation {
    /// The service.
    pub(in crate::provider::aws) service: &'static Service,
    /// The operation's name.
    pub(in crate::provider::aws) name: &'static str,
}

impl Service {
    /// One of its operations.
    pub(in crate::provider::aws) const fn op(&'static self, name: &'static str) -> Operation {
        Operation { service: self, name }
    }
}

impl Operation {
    /// The permission that it needs: `cloudtrail:LookupEvents`.
    pub(in crate::provider::aws) fn permission(self) -> String {
        format!("{}:{}", self.service.signing, self.name)
    }

    /// The quota that it draws on: its name, and requests a minute.
    pub(super) fn rate(self) -> (&'static str, NonZeroU32) {
        let own = RATES.iter().find(|(operation, _, _)| *operation == self.name);
        let (name, rate) = own
            .map_or((self.service.host, self.service.per_minute), |(_, name, rate)| (*name, *rate));
        (name, NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN))
    }
}

/// A separate set of regions with accounts and credentials of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider::aws) enum Partition {
    /// The usual one.
    Aws,
    /// China.
    China,
    /// AWS `GovCloud` (US).
    Gov,
}

impl Partition {
    /// The partition of a region.
    pub(in crate::provider::aws) fn of_region(region: &str) -> Self {
        if region.starts_with("cn-") {
            Self::China
        } else if region.starts_with("us-gov-") {
            Self::Gov
        } else {
            Self::Aws
        }
    }

    /// The partition that an ARN names.
    pub(in crate::provider::aws) fn of_arn(arn: &str) -> Self {
        match arn.split(':').nth(1) {
            Some("aws-cn") => Self::China,
            Some("aws-us-gov") => Self::Gov,
            _ => Self::Aws,
        }
    }

    /// A region that every account of it has.
    pub(in crate::provider::aws) fn home(self) -> &'static str {
        match self {
            Self::Aws => "us-east-1",
            Self::China => "cn-north-1",
            Self::Gov => "us-gov-west-1",
        }
    }

    /// What the names of its hosts end with.
    pub(in crate::provider::aws) fn domain(self) -> &'static str {
        match self {
            Self::Aws | Self::Gov => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
        }
    }
}

/// Whether it looks like the name of a region; it becomes a part of host names.
pub(in crate::provider::aws) fn is_region(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (5..=32).contains(&text.len()) && text.bytes().all(good) && text.contains('-')
}

/// Whether it is the number of an account.
pub(in crate::provider::aws) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_have_a_quota_of_their_own() {
        let (name, rate) = CLOUDTRAIL.op("LookupEvents").rate();
        assert_eq!((name, rate.get()), ("lookup-events", 120));
        assert_eq!(CLOUDTRAIL.op("DescribeTrails").rate().0, "cloudtrail");
        assert_eq!(CLOUDHSM.op("DescribeClusters").permission(), "cloudhsm:DescribeClusters");
    }

    #[test]
    fn what_would_lead_to_another_host_is_no_region() {
        for good in ["eu-central-1", "us-gov-west-1", "cn-north-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["", "*", "evil.com/", "eu_west", "EU-WEST-1", "x@y-1", "a-b"] {
            assert!(!is_region(bad), "{bad}");
        }
        assert_eq!(Partition::of_arn("arn:aws-cn:iam::1:role/x"), Partition::China);
        assert_eq!(Partition::of_region("us-gov-east-1"), Partition::Gov);
    }
}
