//! Which key a record is about.

use super::super::super::Json as _;
use super::super::super::node::Node;
use crate::event::{KeyRef, Origin, Protection};

/// Reads the key: its ARN from `resources` where there is one (what the service resolved), else
/// from the response, else from what the caller named. A bare id is completed from the log's owner
/// and region; an alias alone leaves the id absent.
pub(super) fn key(record: &Node<'_>, account: Option<&str>, region: Option<&str>) -> KeyRef {
    let named = named_key(record);
    let id = resource_arn(record, ":key/")
        .or_else(|| record.string(&["responseElements", "keyMetadata", "arn"]))
        .or_else(|| record.string(&["responseElements", "key", "keyArn"]))
        .or_else(|| {
            record
                .text(&["serviceEventDetails", "keyId"])
                .and_then(|n| complete(n, account, region))
        })
        .or_else(|| {
            record.text(&["responseElements", "keyId"]).and_then(|n| complete(n, account, region))
        })
        .or_else(|| named.as_deref().and_then(|name| complete(name, account, region)));
    let alias = resource_arn(record, ":alias/")
        .and_then(|arn| arn.split_once(":alias/").map(|(_, name)| format!("alias/{name}")))
        .or_else(|| record.string(&["requestParameters", "aliasName"]))
        .or_else(|| named.filter(|name| name.contains("alias/")).map(|name| short_alias(&name)));
    let group = id.as_deref().and_then(replica_group);
    let facts = Facts::of(record);
    KeyRef {
        version: record
            .string(&["serviceEventDetails", "currentKeyMaterialId"])
            .or_else(|| record.string(&["responseElements", "keyMaterialId"])),
        spec: facts.text("keySpec").or_else(|| facts.text("customerMasterKeySpec")),
        protection: facts.protection(),
        origin: facts.origin(),
        id,
        alias,
        group,
    }
}

/// What the caller named: `keyId`, or the target of an alias operation.
fn named_key(record: &Node<'_>) -> Option<String> {
    ["keyId", "targetKeyId", "keyIdentifier", "keyArn"]
        .iter()
        .find_map(|field| record.string(&["requestParameters", field]))
}

/// The first resource whose ARN holds `part`. Old records give no `type`, and alias records give
/// both ARNs with the same type, so only the ARN itself tells.
fn resource_arn(record: &Node<'_>, part: &str) -> Option<String> {
    record
        .items(&["resources"])
        .iter()
        .filter_map(|resource| resource.text(&["ARN"]).or_else(|| resource.text(&["arn"])))
        .find(|arn| arn.starts_with("arn:") && arn.contains(part))
        .map(str::to_owned)
}

/// Completes a key id to its regional ARN; `None` for an alias, or where owner or region is
/// unknown.
fn complete(name: &str, account: Option<&str>, region: Option<&str>) -> Option<String> {
    if name.starts_with("arn:") {
        return name.contains(":key/").then(|| name.to_owned());
    }
    if name.contains('/') || name.contains(' ') {
        return None;
    }
    let (account, region) = (account?, region?);
    let partition = match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    Some(format!("arn:{partition}:kms:{region}:{account}:key/{name}"))
}

fn short_alias(name: &str) -> String {
    name.split_once(":alias/").map_or_else(|| name.to_owned(), |(_, rest)| format!("alias/{rest}"))
}

/// The `mrk-` id that all replicas of a multi-Region key share.
fn replica_group(arn: &str) -> Option<String> {
    arn.rsplit_once("/mrk-").map(|(_, id)| format!("mrk-{id}"))
}

/// Key metadata in a response, or the wish for it in a request.
struct Facts<'a>(&'a Node<'a>);

impl<'a> Facts<'a> {
    fn of(record: &'a Node<'a>) -> Self {
        Self(record)
    }

    fn text(&self, field: &str) -> Option<String> {
        self.0
            .string(&["responseElements", "keyMetadata", field])
            .or_else(|| self.0.string(&["requestParameters", field]))
    }

    fn origin(&self) -> Option<Origin> {
        let origin =
            self.text("origin").or_else(|| self.0.string(&["serviceEventDetails", "keyOrigin"]))?;
        Some(match origin.as_str() {
            "AWS_KMS" | "AWS_CLOUDHSM" => Origin::Generated,
            "EXTERNAL" => Origin::Imported,
            "EXTERNAL_KEY_STORE" => Origin::External,
            _ => Origin::Unknown,
        })
    }

    fn protection(&self) -> Option<Protection> {
        Some(match self.text("origin")?.as_str() {
            "AWS_KMS" | "EXTERNAL" => Protection::Hsm,
            "AWS_CLOUDHSM" => Protection::HsmSingleTenant,
            "EXTERNAL_KEY_STORE" => Protection::External,
            _ => Protection::Unknown,
        })
    }
}
