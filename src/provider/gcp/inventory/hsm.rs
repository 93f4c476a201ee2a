//! Single-tenant HSMs with their quorum, proposals about them, and import jobs.
//!
//! Approvers are second-factor public keys, not identities: they are told by the same fingerprint as
//! in events. An import job holds a wrapping key in an HSM for some days; it is no key, so that it
//! stands beside the HSMs, of kind `import_job`. Fields: "`SingleTenantHsmInstance`",
//! "`SingleTenantHsmInstanceProposal`", "`ImportJob`" in the Cloud KMS API reference.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::super::inventory::{HsmRow, Inventory};
use super::super::super::{Json as _, Reject};
use super::super::audit::quorum::{self, OPERATIONS, PARAMETERS};
use super::super::proto;
use super::super::resource::{self, ResourceName};
use crate::event::Provider;

/// A detail of a row: its name, and the path in the document.
type Detail = (&'static str, &'static [&'static str]);

const INSTANCE: &[Detail] = &[
    ("total_approver_count", &["quorumAuth", "totalApproverCount"]),
    ("required_approver_count", &["quorumAuth", "requiredApproverCount"]),
    ("disable_time", &["disableTime"]),
    ("delete_time", &["deleteTime"]),
    ("key_portability_enabled", &["keyPortabilityEnabled"]),
];

const PROPOSAL: &[Detail] = &[
    ("failure_reason", &["failureReason"]),
    ("expire_time", &["expireTime"]),
    ("delete_time", &["deleteTime"]),
    ("purge_time", &["purgeTime"]),
];

const IMPORT_JOB: &[Detail] = &[
    ("import_method", &["importMethod"]),
    ("protection_level", &["protectionLevel"]),
    ("crypto_key_backend", &["cryptoKeyBackend"]),
    ("generate_time", &["generateTime"]),
    ("expire_time", &["expireTime"]),
    ("expire_event_time", &["expireEventTime"]),
    ("attestation_format", &["attestation", "format"]),
];

/// Reads one item of `gcloud kms single-tenant-hsm list --format json`.
///
/// # Errors
/// When it is not named as an instance.
pub(super) fn instance(value: &Value) -> Result<Inventory, Reject> {
    let mut row = row(value, resource::HSM, "instance", INSTANCE)?;
    row.cluster_id = Some(row.hsm_id.clone());
    let members = pems(value, &["quorumAuth", "twoFactorPublicKeyPems"]);
    if !members.is_empty() {
        row.details.insert("member_keys".to_owned(), list(members));
    }
    let days = proto::days_rounded_down(value, &["unrefreshedDurationUntilDisable"]);
    if let Some(days) = days {
        row.details.insert("unrefreshed_days_until_disable".to_owned(), days.into());
    }
    Ok(Inventory { hsms: vec![row], ..Inventory::default() })
}

/// Reads one item of `gcloud kms single-tenant-hsm proposal list --format json`.
///
/// # Errors
/// When it is not named as a proposal.
pub(super) fn proposal(value: &Value) -> Result<Inventory, Reject> {
    let mut row = row(value, resource::PROPOSAL, "proposal", PROPOSAL)?;
    row.cluster_id = ResourceName::parse(&row.hsm_id).through(resource::HSM);
    let mut approved = BTreeSet::new();
    for parameters in PARAMETERS.iter().filter_map(|name| proto::field(value, &[name])) {
        approved.extend(pems(parameters, &["approvedTwoFactorPublicKeyPems"]));
        let needed = proto::field(parameters, &["requiredApproverCount"]);
        if let Some(count) = needed.and_then(|count| count.integer(&[])) {
            row.details.insert("required_approver_count".to_owned(), count.into());
        }
        let required = proto::items(parameters, &["requiredChallenges"]).len();
        if required > 0 {
            row.details.insert("required_challenges".to_owned(), required.into());
        }
    }
    row.details.insert("approved_keys".to_owned(), approved.len().into());
    row.details.insert("approvers".to_owned(), list(approved));
    let asked = OPERATIONS.iter().find_map(|name| Some((name, proto::field(value, &[name])?)));
    if let Some((name, operation)) = asked {
        row.details.insert("proposal_operation".to_owned(), proto::snake(name).into());
        add_operation(&mut row.details, operation);
    }
    Ok(Inventory { hsms: vec![row], ..Inventory::default() })
}

/// The keys that a proposal registers, adds or removes, and the quorum that it sets.
fn add_operation(details: &mut Map<String, Value>, operation: &Value) {
    let mut keys = pems(operation, &["twoFactorPublicKeyPems"]);
    keys.extend(proto::text(operation, &["twoFactorPublicKeyPem"]).map(quorum::fingerprint));
    if !keys.is_empty() {
        details.insert("member_keys".to_owned(), list(keys));
    }
    let count = proto::field(operation, &["requiredApproverCount"]);
    if let Some(count) = count.and_then(|count| count.integer(&[])) {
        details.insert("new_required_approver_count".to_owned(), count.into());
    }
}

/// Reads one item of `gcloud kms import-jobs list --format json`.
///
/// # Errors
/// When it is not named as an import job.
pub(super) fn import_job(value: &Value) -> Result<Inventory, Reject> {
    let row = row(value, resource::IMPORT_JOB, "import_job", IMPORT_JOB)?;
    Ok(Inventory { hsms: vec![row], ..Inventory::default() })
}

fn row(
    value: &Value,
    collections: &[&str],
    kind: &str,
    details: &[Detail],
) -> Result<HsmRow, Reject> {
    let name = value.text(&["name"]).ok_or_else(|| Reject::missing("name"))?;
    let parsed = ResourceName::parse(name);
    let id = parsed.through(collections).ok_or_else(|| super::bad_name(name))?;
    let mut row = HsmRow {
        provider: Provider::Gcp,
        account: parsed.id("projects").map(str::to_owned),
        region: parsed.id("locations").map(str::to_owned),
        hsm_id: id,
        cluster_id: None,
        kind: kind.to_owned(),
        state: value.text(&["state"]).map(str::to_ascii_lowercase),
        hsm_type: None,
        mode: None,
        created_at: value.time(&["createTime"]),
        details: Map::new(),
    };
    for (name, path) in details {
        let fact = proto::field(value, path).filter(|fact| !fact.is_object() && !fact.is_array());
        if let Some(fact) = fact {
            row.details.insert((*name).to_owned(), fact.clone());
        }
    }
    Ok(row)
}

fn pems(value: &Value, path: &[&str]) -> BTreeSet<String> {
    let items = proto::items(value, path).iter().filter_map(Value::as_str);
    items.map(quorum::fingerprint).collect()
}

fn list(items: BTreeSet<String>) -> Value {
    items.into_iter().collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HSM: &str = "projects/p/locations/us/singleTenantHsmInstances/h";

    #[test]
    fn an_instance_tells_its_quorum_and_when_it_is_switched_off() {
        let rows = instance(&json!({
            "name": HSM, "state": "ACTIVE", "createTime": "2026-01-01T00:00:00Z",
            "quorumAuth": {"totalApproverCount": 5, "requiredApproverCount": 3,
                "twoFactorPublicKeyPems": ["-----A-----", "-----B-----"]},
            "disableTime": "2028-01-01T00:00:00Z", "unrefreshedDurationUntilDisable": "63072000s",
        }))
        .unwrap();
        let row = &rows.hsms[0];
        assert_eq!((row.hsm_id.as_str(), row.kind.as_str()), (HSM, "instance"));
        assert_eq!(row.state.as_deref(), Some("active"));
        assert_eq!(row.details["required_approver_count"], 3);
        assert_eq!(row.details["member_keys"].as_array().unwrap().len(), 2);
        assert_eq!(row.details["unrefreshed_days_until_disable"], 730);
    }

    #[test]
    fn a_proposal_counts_distinct_keys_whatever_their_white_space() {
        let rows = proposal(&json!({
            "name": format!("{HSM}/proposals/1"), "state": "SUCCEEDED",
            "quorumParameters": {"requiredApproverCount": 2,
                "approvedTwoFactorPublicKeyPems": ["AB\n", "A B", "C"]},
            "addQuorumMember": {"twoFactorPublicKeyPem": "C"},
        }))
        .unwrap();
        let row = &rows.hsms[0];
        assert_eq!((row.kind.as_str(), row.cluster_id.as_deref()), ("proposal", Some(HSM)));
        assert_eq!(row.details["approved_keys"], 2);
        assert_eq!(row.details["proposal_operation"], "add_quorum_member");
        assert_eq!(row.details["member_keys"][0], quorum::fingerprint("C"));
    }

    #[test]
    fn an_import_job_is_no_key() {
        let rows = import_job(&json!({
            "name": "projects/p/locations/us/keyRings/r/importJobs/j", "state": "EXPIRED",
            "importMethod": "RSA_OAEP_4096_SHA256_AES_256", "protectionLevel": "HSM",
            "publicKey": {"pem": "x"}, "attestation": {"format": "CAVIUM_V2_COMPRESSED"},
        }))
        .unwrap();
        assert!(rows.keys.is_empty());
        assert_eq!(rows.hsms[0].details["attestation_format"], "CAVIUM_V2_COMPRESSED");
        assert!(import_job(&json!({"name": HSM})).is_err());
    }
}
