//! Whether a policy statement's conditions tie the caller to something that a stranger lacks.
//!
//! All conditions of a statement must hold, so that one which ties the caller suffices; the values
//! of one condition are alternatives, so that each of them must tie him.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::texts;

/// What a statement's conditions tie a call to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tie {
    /// Nothing that keeps a stranger out.
    Nothing,
    /// The service through which the call comes, alone.
    Service,
    /// The caller, his organisation, his network or the resource on whose behalf he calls.
    Caller,
}

/// What a value must look like to keep strangers out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An identifier without a wildcard.
    Exact,
    /// A path below an organisation that is named without a wildcard.
    OrgPath,
    /// An ARN in a named account, or, where its kind has no account (S3), of a named resource.
    Arn,
    /// `<unique id>[:<session>]` with the unique id written out: the session name alone is the
    /// caller's own choice.
    UserId,
    /// Addresses that are not nearly the whole internet.
    Network,
}

/// The condition keys that tie a call, in lower case as keys are compared without regard to case.
/// Left out on purpose, as a stranger can satisfy them in his own account: `aws:username`,
/// `aws:PrincipalTag`, `aws:PrincipalType`, `aws:VpcSourceIp`, `kms:EncryptionContext`.
const KEYS: &[(&str, Shape, Tie)] = &[
    ("kms:calleraccount", Shape::Exact, Tie::Caller),
    ("aws:principalaccount", Shape::Exact, Tie::Caller),
    ("aws:principalorgid", Shape::Exact, Tie::Caller),
    ("aws:principalorgpaths", Shape::OrgPath, Tie::Caller),
    ("aws:principalarn", Shape::Arn, Tie::Caller),
    ("aws:userid", Shape::UserId, Tie::Caller),
    ("aws:sourceaccount", Shape::Exact, Tie::Caller),
    ("aws:sourceowner", Shape::Exact, Tie::Caller),
    ("aws:sourcearn", Shape::Arn, Tie::Caller),
    ("aws:sourceorgid", Shape::Exact, Tie::Caller),
    ("aws:sourceorgpaths", Shape::OrgPath, Tie::Caller),
    ("aws:sourcevpc", Shape::Exact, Tie::Caller),
    ("aws:sourcevpce", Shape::Exact, Tie::Caller),
    ("aws:vpceaccount", Shape::Exact, Tie::Caller),
    ("aws:vpceorgid", Shape::Exact, Tie::Caller),
    ("aws:vpceorgpaths", Shape::OrgPath, Tie::Caller),
    ("aws:sourceip", Shape::Network, Tie::Caller),
    ("kms:viaservice", Shape::Exact, Tie::Service),
];

/// The operators that demand a match with a text.
const TEXT_OPERATORS: &[&str] =
    &["stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"];

/// The strongest tie among a statement's conditions.
pub(super) fn tie(conditions: &Map<String, Value>) -> Tie {
    let mut strongest = Tie::Nothing;
    for (name, block) in conditions {
        let Some(operator) = Operator::parse(name) else { continue };
        let Some(block) = block.as_object() else { continue };
        for (key, value) in block {
            let key = key.to_ascii_lowercase();
            if operator.passes_when_absent && !must_be_present(conditions, &key) {
                continue;
            }
            strongest = strongest.max(operator.tie(&key, value));
        }
    }
    strongest
}

/// An operator that demands a match; the negated ones, `Null`, numbers, dates and `Bool` do not.
struct Operator {
    network: bool,
    /// `…IfExists` and `ForAllValues:…` also hold where the request lacks the key.
    passes_when_absent: bool,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let for_all = name.strip_prefix("forallvalues:");
        let base = for_all.or(name.strip_prefix("foranyvalue:")).unwrap_or(&name);
        let if_exists = base.strip_suffix("ifexists");
        let base = if_exists.unwrap_or(base);
        let network = base == "ipaddress";
        (network || TEXT_OPERATORS.contains(&base)).then_some(Self {
            network,
            passes_when_absent: for_all.is_some() || if_exists.is_some(),
        })
    }

    fn tie(&self, key: &str, value: &Value) -> Tie {
        let Some((_, shape, tie)) = KEYS.iter().find(|(name, _, _)| *name == key) else {
            return Tie::Nothing;
        };
        let values = texts(value).unwrap_or_default();
        let fits = self.network == (*shape == Shape::Network)
            && !values.is_empty()
            && values.iter().all(|value| ties(*shape, value));
        if fits { *tie } else { Tie::Nothing }
    }
}

/// Whether a `Null` condition demands that the request has the key.
fn must_be_present(conditions: &Map<String, Value>, key: &str) -> bool {
    let mut demands = conditions
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Null"))
        .filter_map(|(_, block)| block.as_object())
        .flatten()
        .filter(|(name, _)| name.eq_ignore_ascii_case(key));
    demands.any(|(_, value)| match value {
        Value::Bool(null) => !null,
        Value::String(null) => null.eq_ignore_ascii_case("false"),
        _ => false,
    })
}

fn ties(shape: Shape, value: &str) -> bool {
    let Some(value) = with_fixed_variables(value.trim()) else { return false };
    if value.is_empty() {
        return false;
    }
    match shape {
        Shape::Exact => is_literal(&value),
        Shape::OrgPath => value.split('/').next().is_some_and(is_literal),
        Shape::Arn => arn_ties(&value),
        Shape::UserId => user_id_ties(&value),
        Shape::Network => network_ties(&value),
    }
}

/// Puts a literal in place of policy variables that the key's owner controls
/// (`${aws:ResourceAccount}`, `${aws:ResourceOrgID}`, …); `None` if another is used: a condition
/// that compares the caller with himself always holds.
fn with_fixed_variables(value: &str) -> Option<String> {
    let mut rest = value;
    let mut fixed = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}')?;
        if !variable.to_ascii_lowercase().starts_with("aws:resource") {
            return None;
        }
        fixed.push_str(before);
        fixed.push_str("resource");
        rest = after;
    }
    fixed.push_str(rest);
    Some(fixed)
}

fn is_wild(character: char) -> bool {
    matches!(character, '*' | '?')
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && !text.contains(is_wild)
}

fn arn_ties(value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    if let [scheme, _, _, _, account, resource] = *parts.as_slice()
        && scheme == "arn"
    {
        return if account.is_empty() {
            !resource.starts_with(is_wild)
        } else {
            is_literal(account)
        };
    }
    let is_account = |part: &str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit());
    is_literal(value) || value.split(':').any(is_account)
}

/// Unique ids have 21 characters and begin with a common prefix (`AROA`, `AIDA`): a wildcard that
/// leaves most of one written out still names one identity.
fn user_id_ties(value: &str) -> bool {
    const ENOUGH: usize = 16;
    let fixed = value.split(is_wild).next().unwrap_or_default();
    let whole_id = fixed.split_once(':').is_some_and(|(id, _)| !id.is_empty());
    whole_id || is_literal(value) || fixed.len() >= ENOUGH
}

/// The limits are those by which Amazon S3 calls a bucket policy public (S3 User Guide, "The
/// meaning of public"): wider than /8 (IPv4) or /32 (IPv6) is the internet.
fn network_ties(value: &str) -> bool {
    let (address, bits) = match value.split_once('/') {
        None => (value, None),
        Some((address, bits)) => match bits.parse::<u8>() {
            Ok(bits) => (address, Some(bits)),
            Err(_) => return false,
        },
    };
    match address.parse() {
        Ok(IpAddr::V4(_)) => bits.is_none_or(|bits| (8..=32).contains(&bits)),
        Ok(IpAddr::V6(_)) => bits.is_none_or(|bits| (32..=128).contains(&bits)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tie_of(condition: &Value) -> Tie {
        tie(condition.as_object().unwrap())
    }

    #[test]
    fn conditions_that_tie_the_caller() {
        for condition in [
            json!({"StringEquals": {"kms:CallerAccount": "111122223333"}}),
            json!({"StringEquals": {"kms:CallerAccount": 111_122_223_333_u64}}),
            json!({"stringequals": {"KMS:calleraccount": ["111122223333", "444455556666"]}}),
            json!({"StringLike": {"aws:PrincipalAccount": "111122223333"}}),
            json!({"StringEquals": {"aws:PrincipalAccount": "${aws:ResourceAccount}"}}),
            json!({"StringEqualsIgnoreCase": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}),
            json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/*", "o-z/r-1/*"]}}),
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"}}),
            json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws-cn:iam::111122223333:root"}}),
            json!({"StringLike": {"aws:PrincipalArn": "*:111122223333:*"}}),
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:ResourceAccount}:role/x"}}),
            json!({"StringEquals": {"aws:SourceAccount": "111122223333"}}),
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:cloudtrail:*:111122223333:trail/*"}}),
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::ledger-archive"}}),
            json!({"StringEquals": {"aws:SourceOrgID": "o-a1b2c3d4e5"}}),
            json!({"StringEquals": {"aws:SourceVpce": "vpce-0a1b2c3d"}}),
            json!({"StringEquals": {"aws:SourceVpc": "vpc-0a1b2c3d"}}),
            json!({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]}}),
            json!({"StringLike": {"aws:userid": ["AROAEXAMPLEID12345678:*", "AIDAEXAMPLEID12345678", "111122223333"]}}),
            json!({"StringLike": {"aws:userId": "AROAEXAMPLEID12345678*"}}),
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}, "Null": {"aws:principalorgid": "false"}}),
            json!({"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": "o-a1b2c3d4e5/*"}, "Null": {"aws:PrincipalOrgPaths": false}}),
            json!({"StringNotEquals": {"aws:PrincipalTag/team": "x"}, "StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}),
        ] {
            assert_eq!(tie_of(&condition), Tie::Caller, "{condition}");
        }
    }

    #[test]
    fn conditions_that_a_stranger_satisfies() {
        for condition in [
            json!({}),
            json!({"StringLike": {"kms:CallerAccount": "*"}}),
            json!({"StringEquals": {"kms:CallerAccount": "*"}}),
            json!({"StringLike": {"kms:CallerAccount": ["111122223333", "*"]}}),
            json!({"StringLike": {"kms:CallerAccount": "1*"}}),
            json!({"StringEquals": {"kms:CallerAccount": []}}),
            json!({"StringEquals": {"kms:CallerAccount": ""}}),
            json!({"StringEquals": {"kms:CallerAccount": {"x": 1}}}),
            json!({"StringEquals": {"kms:CallerAccount": "${aws:PrincipalAccount}"}}),
            json!({"StringEquals": {"kms:CallerAccount": "${aws:ResourceAccount"}}),
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}),
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}, "Null": {"aws:PrincipalOrgID": "true"}}),
            json!({"Null": {"aws:PrincipalOrgID": "false"}}),
            json!({"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}}),
            json!({"StringNotLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:*"}}),
            json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:root"}}),
            json!({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}),
            json!({"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}),
            json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-*/*"}}),
            json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "*"}}),
            json!({"StringLike": {"aws:PrincipalOrgID": "o-*"}}),
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/Admin"}}),
            json!({"ArnLike": {"aws:PrincipalArn": "*"}}),
            json!({"StringLike": {"aws:PrincipalArn": "arn:*"}}),
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:PrincipalAccount}:role/x"}}),
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}),
            json!({"StringLike": {"aws:SourceVpce": "vpce-*"}}),
            json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}),
            json!({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "::/0"]}}),
            json!({"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}}),
            json!({"IpAddress": {"aws:SourceIp": "here/24"}}),
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/x"}}),
            json!({"StringEquals": {"aws:SourceIp": "203.0.113.7"}}),
            json!({"StringLike": {"aws:userid": "*:alice"}}),
            json!({"StringLike": {"aws:userid": "AROA*"}}),
            json!({"StringEquals": {"aws:username": "alice"}}),
            json!({"StringEquals": {"aws:PrincipalTag/team": "payments"}}),
            json!({"StringEquals": {"kms:EncryptionContext:purpose": "backup"}}),
            json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
            json!({"Bool": {"aws:PrincipalIsAWSService": "true"}}),
            json!({"StringEquals": ["kms:CallerAccount"]}),
            json!({"IpAddress": {"kms:CallerAccount": "111122223333"}}),
        ] {
            assert_eq!(tie_of(&condition), Tie::Nothing, "{condition}");
        }
    }

    #[test]
    fn a_service_is_a_weaker_tie_than_a_caller() {
        let service = json!({"StringEquals": {"kms:ViaService": "ebs.eu-west-1.amazonaws.com"}});
        assert_eq!(tie_of(&service), Tie::Service);
        let both = json!({
            "StringEquals": {"kms:CallerAccount": "111122223333"},
            "StringLike": {"kms:ViaService": "ebs.*.amazonaws.com"},
        });
        assert_eq!(tie_of(&both), Tie::Caller);
    }
}
