//! Proposals about a single-tenant HSM: what is proposed, and whose keys approved it.
//!
//! Approvers are second-factor public keys, not identities: one caller may hand in the replies of
//! all members at once. So the distinct keys are counted, and each stands in `approvers` as
//! `sha256:<hash of the PEM text without white space>`. Shapes: `HsmManagement` of
//! `google/cloud/kms/v1`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::super::Json as _;
use super::super::proto;
use super::super::resource::{self, ResourceName};
use super::Entry;
use super::subject::Subject;
use crate::event::{Event, sha256_hex};

/// Where the replies of an approval stand in its request.
const REPLIES: &[&[&str]] = &[
    &["quorumReply", "challengeReplies"],
    &["requiredActionQuorumReply", "requiredChallengeReplies"],
    &["requiredActionQuorumReply", "quorumChallengeReplies"],
];

/// Where a proposal stands: in the request that makes it, or in what comes back.
const PROPOSALS: &[&[&str]] =
    &[&["request", "singleTenantHsmInstanceProposal"], &["response"], &["metadata", "proposal"]];

/// Where an instance stands.
const INSTANCES: &[&[&str]] = &[&["request", "singleTenantHsmInstance"], &["response"]];

/// The two forms of a proposal's approval.
pub(in super::super) const PARAMETERS: &[&str] =
    &["quorumParameters", "requiredActionQuorumParameters"];

/// What a proposal can ask for.
pub(in super::super) const OPERATIONS: &[&str] = &[
    "registerTwoFactorAuthKeys",
    "disableSingleTenantHsmInstance",
    "enableSingleTenantHsmInstance",
    "deleteSingleTenantHsmInstance",
    "refreshSingleTenantHsmInstance",
    "addQuorumMember",
    "removeQuorumMember",
    "upgradeKeyTrust",
];

/// Adds what an entry of `HsmManagement` tells about quorum.
pub(super) fn add(event: &mut Event, entry: &Entry<'_>, subject: &Subject) {
    if !entry.method.contains("SingleTenantHsm") {
        return;
    }
    let object = subject.object.as_deref().unwrap_or_default();
    event.detail("proposal", ResourceName::parse(object).through(resource::PROPOSAL));
    let mut approvers = add_replies(event, entry);
    for proposal in PROPOSALS.iter().filter_map(|path| proto::field(entry.payload, path)) {
        approvers.extend(add_proposal(event, proposal));
    }
    event.approvers = approvers.into_iter().collect();
    for instance in INSTANCES.iter().filter_map(|path| proto::field(entry.payload, path)) {
        let number = |name: &str| proto::field(instance, &["quorumAuth", name])?.integer(&[]);
        event.detail("required_approver_count", number("requiredApproverCount"));
        event.detail("total_approver_count", number("totalApproverCount"));
        event.detail("disable_time", proto::text(instance, &["disableTime"]));
    }
}

/// Counts the keys that signed. A reply that does not show its key makes the count unknowable.
fn add_replies(event: &mut Event, entry: &Entry<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut complete = true;
    for path in REPLIES {
        let replies = proto::items(entry.request, path);
        let keys: BTreeSet<String> = replies
            .iter()
            .filter_map(|reply| proto::text(reply, &["publicKeyPem"]))
            .map(fingerprint)
            .collect();
        complete &= replies.iter().all(|reply| proto::text(reply, &["publicKeyPem"]).is_some());
        if path.last() == Some(&"requiredChallengeReplies") && !keys.is_empty() {
            event.detail("required_challenge_keys", keys.len());
        }
        all.extend(keys);
    }
    if complete && !all.is_empty() {
        event.detail("challenge_keys", all.len());
    }
    all
}

/// Adds a proposal's facts and gives the keys that have approved it.
fn add_proposal(event: &mut Event, proposal: &Value) -> BTreeSet<String> {
    let mut approved = BTreeSet::new();
    for parameters in PARAMETERS.iter().filter_map(|name| proto::field(proposal, &[name])) {
        let count = proto::field(parameters, &["requiredApproverCount"]);
        event.detail("required_approver_count", count.and_then(|count| count.integer(&[])));
        approved.extend(pems(parameters, "approvedTwoFactorPublicKeyPems"));
    }
    if !approved.is_empty() {
        event.detail("approved_keys", approved.len());
    }
    event.detail("proposal_state", proto::text(proposal, &["state"]));
    event.detail("failure_reason", proto::text(proposal, &["failureReason"]));
    event.detail("expire_time", proto::text(proposal, &["expireTime"]));
    let asked = OPERATIONS.iter().find_map(|name| Some((name, proto::field(proposal, &[name])?)));
    if let Some((name, operation)) = asked {
        event.detail("proposal_operation", proto::snake(name));
        add_members(event, operation);
    }
    approved
}

/// The keys that a proposal registers, adds or removes, so that a rule can tell whether a new
/// member approved his own entry.
fn add_members(event: &mut Event, operation: &Value) {
    let mut keys = pems(operation, "twoFactorPublicKeyPems");
    keys.extend(proto::text(operation, &["twoFactorPublicKeyPem"]).map(fingerprint));
    if !keys.is_empty() {
        event.detail("member_keys", keys.into_iter().collect::<Vec<_>>());
    }
    let count = proto::field(operation, &["requiredApproverCount"]);
    event.detail("new_required_approver_count", count.and_then(|count| count.integer(&[])));
}

fn pems(value: &Value, name: &str) -> BTreeSet<String> {
    proto::items(value, &[name]).iter().filter_map(Value::as_str).map(fingerprint).collect()
}

/// How a public key is told: a hash of its PEM text without white space.
pub(in super::super) fn fingerprint(pem: &str) -> String {
    let text: String = pem.chars().filter(|character| !character.is_whitespace()).collect();
    format!("sha256:{}", sha256_hex(text.as_bytes()))
}
