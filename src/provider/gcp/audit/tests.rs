use serde_json::json;

use super::*;
use crate::event::{ActorKind, KeyRef, Origin, Outcome, Protection};

const KEY: &str = "projects/keys-prod/locations/europe-west3/keyRings/pay/cryptoKeys/card";
const RING: &str = "projects/keys-prod/locations/europe-west3/keyRings/pay";
const HSM: &str = "projects/keys-prod/locations/us-east1/singleTenantHsmInstances/vaulted";

#[expect(clippy::needless_pass_by_value, reason = "each call hands over a literal")]
fn entry(method: &str, resource: &str, request: Value) -> Value {
    json!({
        "logName": "projects/keys-prod/logs/cloudaudit.googleapis.com%2Factivity",
        "insertId": "a1b2c3", "timestamp": "2026-03-01T10:00:00.25Z",
        "receiveTimestamp": "2026-03-01T10:00:01.5Z", "severity": "NOTICE",
        "resource": {"type": "audited_resource", "labels": {"project_id": "keys-prod"}},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": "cloudkms.googleapis.com", "methodName": method,
            "resourceName": resource, "request": request, "status": {},
            "authenticationInfo": {"principalEmail": "ada@example.com"},
            "requestMetadata": {"callerIp": "192.0.2.7", "callerSuppliedUserAgent": "gcloud/548"},
        },
    })
}

fn of_service(service: &str, method: &str, request: Value) -> Value {
    let mut entry = entry(method, "projects/keys-prod/sinks/archive", request);
    entry["protoPayload"]["serviceName"] = json!(service);
    entry
}

fn try_map(record: &Value) -> Result<Mapped, Reject> {
    map(&record.to_string(), &Context::default())
}

fn mapped(record: &Value) -> Event {
    match try_map(record).unwrap() {
        Mapped::Event(event) => *event,
        Mapped::Irrelevant => panic!("irrelevant: {record}"),
    }
}

fn reason(record: &Value) -> Reason {
    try_map(record).unwrap_err().reason
}

fn of_version(request: Value) -> Value {
    entry("UpdateCryptoKeyVersion", &format!("{KEY}/cryptoKeyVersions/3"), request)
}

fn of_key(request: Value) -> Value {
    entry("UpdateCryptoKey", KEY, request)
}

#[test]
fn the_common_columns_are_filled() {
    let event = mapped(&entry("Encrypt", KEY, json!({ "name": KEY })));
    assert_eq!(event.ledger, "gcp/keys-prod");
    assert_eq!(
        event.native_id.as_deref(),
        Some(
            "projects/keys-prod/logs/cloudaudit.googleapis.com%2Factivity|\
             2026-03-01T10:00:00.250000000Z|a1b2c3"
        )
    );
    assert_eq!(event.received_at, "2026-03-01T10:00:01.5Z".parse().ok());
    assert_eq!(event.account.as_deref(), Some("keys-prod"));
    assert_eq!(event.region.as_deref(), Some("europe-west3"));
    assert_eq!((event.service.as_str(), event.native_action.as_str()), ("cloudkms", "Encrypt"));
    assert_eq!((event.action, event.outcome), (Action::KeyUseEncrypt, Outcome::Success));
    assert_eq!(event.key.id.as_deref(), Some(KEY));
    assert_eq!(event.client.ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(event.actor.kind, ActorKind::Human);
    assert_eq!(event.read_only, Some(true));
    assert_eq!(event.details["log"], "activity");
    assert_eq!(event.details["key_ring"], RING);
}

#[test]
fn an_id_is_the_same_however_the_time_was_written_and_none_without_its_parts() {
    let mut record = entry("Encrypt", KEY, json!({}));
    let id = mapped(&record).native_id;
    record["timestamp"] = json!("2026-03-01T11:00:00.250+01:00");
    assert_eq!(mapped(&record).native_id, id);
    record.as_object_mut().unwrap().remove("insertId");
    assert_eq!(mapped(&record).native_id, None);
}

#[test]
fn the_owner_of_the_log_is_the_ledger() {
    for (log, ledger) in [
        ("projects/example.com:old/logs/x", "gcp/example.com:old"),
        ("folders/77/logs/x", "gcp/folders/77"),
        ("organizations/88/logs/x", "gcp/organizations/88"),
        ("billingAccounts/0A-1/logs/x", "gcp/billingAccounts/0A-1"),
    ] {
        let mut record = entry("Encrypt", KEY, json!({}));
        record["logName"] = json!(log);
        assert_eq!(mapped(&record).ledger, ledger);
    }
}

#[test]
fn a_log_without_owner_is_refused_unless_the_account_is_told() {
    let mut record = entry("Encrypt", KEY, json!({}));
    for odd in
        [json!("keys-prod"), json!("projects//logs/x"), json!("projects/a|b/logs/x"), json!(7)]
    {
        record["logName"] = odd;
        assert_eq!(reason(&record), Reason::BadType);
    }
    record.as_object_mut().unwrap().remove("logName");
    assert_eq!(reason(&record), Reason::MissingField);
    let context = Context { account: Some("told".to_owned()), ..Context::default() };
    let Mapped::Event(event) = map(&record.to_string(), &context).unwrap() else { panic!() };
    assert_eq!((event.ledger.as_str(), event.native_id), ("gcp/told", None));
}

#[test]
fn what_is_about_something_else_is_irrelevant() {
    let mut vpc = entry("x", "y", json!({}));
    vpc.as_object_mut().unwrap().remove("protoPayload");
    vpc["jsonPayload"] = json!({"bytes_sent": "1"});
    let mut balancer = entry("x", "y", json!({}));
    balancer["protoPayload"]["@type"] = json!("type.googleapis.com/google.appengine.RequestLog");
    for record in [
        vpc,
        balancer,
        of_service("compute.googleapis.com", "v1.compute.instances.insert", json!({})),
        of_service(
            "logging.googleapis.com",
            "google.logging.v2.ConfigServiceV2.GetSink",
            json!({}),
        ),
        of_service(
            "logging.googleapis.com",
            "google.logging.v2.ConfigServiceV2.CreateView",
            json!({}),
        ),
        of_service(
            "logging.googleapis.com",
            "google.logging.v2.LoggingServiceV2.ListLogs",
            json!({}),
        ),
        of_service("cloudresourcemanager.googleapis.com", "GetProject", json!({})),
    ] {
        assert_eq!(try_map(&record), Ok(Mapped::Irrelevant), "{record}");
    }
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    assert_eq!(map("{", &Context::default()).unwrap_err().reason, Reason::BadJson);
    assert_eq!(reason(&json!([])), Reason::BadType);
    assert_eq!(reason(&json!({"hello": "world"})), Reason::UnknownFormat);
    for (field, odd, expected) in [
        ("protoPayload", json!("text"), Reason::BadType),
        ("timestamp", json!("2026-03-01 10:00:00"), Reason::BadTime),
        ("timestamp", json!(null), Reason::BadTime),
    ] {
        let mut record = entry("Encrypt", KEY, json!({}));
        record[field] = odd;
        assert_eq!(reason(&record), expected, "{field}");
    }
    for field in ["serviceName", "methodName"] {
        let mut record = entry("Encrypt", KEY, json!({}));
        record["protoPayload"][field] = json!(7);
        assert_eq!(reason(&record), Reason::BadType);
        record["protoPayload"][field] = json!("");
        assert_eq!(reason(&record), Reason::MissingField);
    }
}

#[test]
fn a_part_of_a_split_entry_is_refused_by_name_if_it_may_matter() {
    let mut record = entry("Encrypt", KEY, json!({}));
    record["split"] = json!({"uid": "u-1", "index": 1, "totalSplits": 3});
    let reject = try_map(&record).unwrap_err();
    assert_eq!(reject.reason, Reason::SplitPart);
    assert!(reject.detail.contains("u-1") && reject.detail.contains('1'), "{}", reject.detail);
    record["protoPayload"]["methodName"] = json!(null);
    assert_eq!(reason(&record), Reason::SplitPart);
    record["protoPayload"]["serviceName"] = json!("compute.googleapis.com");
    assert_eq!(try_map(&record), Ok(Mapped::Irrelevant));
    let mut policy = of_service("cloudresourcemanager.googleapis.com", "SetIamPolicy", json!({}));
    policy["split"] = json!({"uid": "u-2", "index": 2});
    assert_eq!(reason(&policy), Reason::SplitPart);
    let mut whole = entry("Encrypt", KEY, json!({}));
    whole["split"] = json!({"uid": "u-3", "index": 0, "totalSplits": 1});
    assert_eq!(mapped(&whole).action, Action::KeyUseEncrypt);
}

#[test]
fn a_response_whose_status_is_no_object_is_an_event_all_the_same() {
    for status in [json!("DONE"), json!(7), json!({"code": 7}), json!([]), json!(null)] {
        let mut record = entry("Encrypt", KEY, json!({}));
        record["protoPayload"]["response"] = json!({"status": status});
        assert_eq!(mapped(&record).action, Action::KeyUseEncrypt, "{record}");
        record["protoPayload"]["response"] = status;
        assert_eq!(mapped(&record).action, Action::KeyUseEncrypt, "{record}");
    }
}

#[test]
fn a_split_entry_is_one_event_once_all_of_its_parts_are_there() {
    let mut record = entry("UpdateCryptoKeyVersion", KEY, json!({"updateMask": "state"}));
    let mut first = record.clone();
    first["protoPayload"]["request"] =
        json!({"updateMask": "sta", "cryptoKeyVersion": {"name": "v"}});
    let mut second = record.clone();
    second["protoPayload"]["request"] =
        json!({"updateMask": "te", "cryptoKeyVersion": {"state": "DISABLED"}});
    for (index, part) in [&mut first, &mut second].into_iter().enumerate() {
        part["split"] = json!({"uid": "u", "index": index, "totalSplits": 2});
        part["insertId"] = json!(format!("i-{index}"));
    }
    record["protoPayload"]["request"]["cryptoKeyVersion"] =
        json!({"name": "v", "state": "DISABLED"});
    record["insertId"] = json!("i-0");
    let whole = mapped(&json!([first, second]));
    assert_eq!(whole, mapped(&record));
    assert_eq!(whole.action, Action::KeyDisable);
    assert!(whole.native_id.unwrap().ends_with("|i-0"));
    assert_eq!(reason(&json!([second, first])), Reason::BadType);
    assert_eq!(reason(&json!([])), Reason::BadType);
}

#[test]
fn methods_are_known_by_their_last_word_and_keep_their_name() {
    for (method, action) in [
        ("CreateCryptoKey", Action::KeyCreate),
        ("google.cloud.kms.v1.KeyManagementService.CreateCryptoKey", Action::KeyCreate),
        ("ImportCryptoKeyVersion", Action::KeyImport),
        ("DestroyCryptoKeyVersion", Action::KeyDeletionSchedule),
        ("RestoreCryptoKeyVersion", Action::KeyDeletionCancel),
        ("DeleteCryptoKeyVersion", Action::KeyDestroy),
        ("ExportTrustedKeyWrappedCryptoKeyVersion", Action::KeyExport),
        ("AsymmetricSign", Action::KeyUseSign),
        ("MacVerify", Action::KeyUseMac),
        ("UpdateEkmConfig", Action::KeyStoreUpdate),
        ("google.cloud.kms.v1.AutokeyAdmin.UpdateAutokeyConfig", Action::VaultUpdate),
        ("GetCryptoKey", Action::KeyRead),
        ("ListRetiredResources", Action::KeyRead),
        ("MeltCryptoKey", Action::Other),
    ] {
        let event = mapped(&entry(method, KEY, json!({})));
        assert_eq!((event.action, event.native_action.as_str()), (action, method));
    }
    let listed = mapped(&entry("ListCryptoKeys", RING, json!({ "parent": RING })));
    assert_eq!((listed.action, listed.target.as_deref()), (Action::VaultRead, Some(RING)));
}

#[test]
fn a_version_is_enabled_or_disabled_only_when_the_mask_says_so() {
    for (state, mask, action) in [
        ("DISABLED", json!("state"), Action::KeyDisable),
        ("ENABLED", json!({"paths": ["state"]}), Action::KeyEnable),
        ("ENABLED", json!("externalProtectionLevelOptions"), Action::KeyUpdate),
        ("DISABLED", json!(null), Action::KeyDisable),
        ("ODD", json!("state"), Action::KeyUpdate),
    ] {
        let request = json!({"cryptoKeyVersion": {"state": state}, "updateMask": mask});
        let event = mapped(&of_version(request));
        assert_eq!(event.action, action, "{state} {mask}");
        assert_eq!(event.key.id.as_deref(), Some(KEY));
        assert_eq!(event.key.version.as_deref(), Some("3"));
    }
}

#[test]
fn a_rotation_schedule_is_changed_or_taken_away_by_the_mask() {
    for (key, mask, action) in [
        (json!({"rotationPeriod": "7776000s"}), json!("rotationPeriod"), Action::KeyRotationChange),
        (
            json!({"nextRotationTime": "2027-01-01T00:00:00Z"}),
            json!("next_rotation_time"),
            Action::KeyRotationChange,
        ),
        (json!({}), json!("rotationPeriod,nextRotationTime"), Action::KeyRotationDisable),
        (json!({"rotationPeriod": null}), json!("rotationPeriod"), Action::KeyRotationDisable),
        (json!({"rotationPeriod": "0s"}), json!("rotationPeriod"), Action::KeyRotationDisable),
        (json!(null), json!("rotationPeriod"), Action::KeyRotationChange),
        (json!({"rotationPeriod": "odd"}), json!("rotationPeriod"), Action::KeyRotationChange),
        (json!({"rotationPeriod": "7776000s"}), json!("labels"), Action::KeyUpdate),
        (json!({"labels": {}}), json!(null), Action::KeyUpdate),
    ] {
        let event = mapped(&of_key(json!({"cryptoKey": key, "updateMask": mask})));
        assert_eq!(event.action, action, "{key} {mask}");
    }
    let mut record = of_key(json!({
        "cryptoKey": {"rotationPeriod": "31536000s", "nextRotationTime": "2027-01-01T00:00:00Z"},
        "updateMask": "rotationPeriod,nextRotationTime",
    }));
    record["protoPayload"]["resourceOriginalState"] = json!({"rotationPeriod": "7776000s"});
    let details = mapped(&record).details;
    assert_eq!(details["rotation_period_days"], 365);
    assert_eq!(details["previous_rotation_period_days"], 90);
    assert_eq!(details["next_rotation_time"], "2027-01-01T00:00:00Z");
    assert_eq!(details["update_mask"], "rotation_period,next_rotation_time");
}

#[test]
fn only_a_version_made_primary_proves_a_rotation() {
    let made = format!("{KEY}/cryptoKeyVersions/4");
    let mut record = entry("CreateCryptoKeyVersion", KEY, json!({ "parent": KEY }));
    record["protoPayload"]["response"] = json!({"name": made, "state": "ENABLED"});
    let event = mapped(&record);
    assert_eq!(event.action, Action::KeyRotationRequest);
    assert_eq!(event.details["new_version"], "4");
    record["protoPayload"]["response"] = json!({"name": KEY, "primary": {"name": made}});
    let event = mapped(&record);
    assert_eq!((event.action, event.key.version.as_deref()), (Action::KeyRotate, Some("4")));
    let set = entry(
        "UpdateCryptoKeyPrimaryVersion",
        KEY,
        json!({"name": KEY, "cryptoKeyVersionId": "5"}),
    );
    let event = mapped(&set);
    assert_eq!((event.action, event.key.version.as_deref()), (Action::KeyRotate, Some("5")));
    assert_eq!(event.details["primary_version"], "5");
}

#[test]
fn a_new_version_that_nobody_asked_for_is_the_services() {
    let mut record = entry("CreateCryptoKeyVersion", KEY, json!({}));
    record["protoPayload"]["authenticationInfo"] = json!({});
    let event = mapped(&record);
    assert_eq!((event.actor.kind, event.actor.id), (ActorKind::Service, None));
    record["protoPayload"]["methodName"] = json!("Decrypt");
    assert_eq!(mapped(&record).actor.kind, ActorKind::Unknown);
}

#[test]
fn the_waiting_time_of_a_destruction_counts_full_days() {
    let mut record =
        entry("DestroyCryptoKeyVersion", &format!("{KEY}/cryptoKeyVersions/1"), json!({}));
    for (time, days) in [
        ("2026-03-31T10:00:00.1Z", 30),
        ("2026-03-31T09:59:59Z", 30),
        ("2026-03-31T00:00:00Z", 29),
        ("2026-03-02T10:00:00Z", 1),
    ] {
        record["protoPayload"]["response"] =
            json!({"state": "DESTROY_SCHEDULED", "destroyTime": time});
        let event = mapped(&record);
        assert_eq!(event.details["pending_window_days"], days, "{time}");
        assert!(event.details.contains_key("destroy_time"));
    }
}

#[test]
fn an_operation_counts_once_by_its_last_entry() {
    let mut record = entry("DeleteCryptoKey", KEY, json!({}));
    for (operation, code, expected) in [
        (json!({"id": "op", "first": true}), 0, Outcome::Unknown),
        (json!({"id": "op", "first": true}), 7, Outcome::Denied),
        (json!({"id": "op", "last": true}), 0, Outcome::Success),
        (json!({"id": "op", "last": true}), 9, Outcome::Failure),
        (json!({"id": "op", "first": true, "last": true}), 0, Outcome::Success),
    ] {
        record["operation"] = operation;
        record["protoPayload"]["status"] = json!({"code": code, "message": "why"});
        let event = mapped(&record);
        assert_eq!(event.outcome, expected);
        assert_eq!(event.details["operation_id"], "op");
    }
}

#[test]
fn an_error_has_a_name_and_a_text() {
    let mut record = entry("Decrypt", KEY, json!({}));
    record["protoPayload"]["status"] = json!({"code": 9, "message": "version is disabled"});
    let event = mapped(&record);
    assert_eq!(event.error_code.as_deref(), Some("FAILED_PRECONDITION"));
    assert_eq!(event.error_message.as_deref(), Some("version is disabled"));
}

#[test]
fn the_person_behind_an_impersonated_account_is_the_first_of_the_chain() {
    let mut record = entry("Decrypt", KEY, json!({}));
    record["protoPayload"]["authenticationInfo"] = json!({
        "principalEmail": "admin@keys-prod.iam.gserviceaccount.com",
        "serviceAccountDelegationInfo": [
            {"firstPartyPrincipal": {"principalEmail": "ada@example.com"}},
            {"principalSubject": "serviceAccount:mid@keys-prod.iam.gserviceaccount.com"},
        ],
    });
    let event = mapped(&record);
    assert_eq!(event.actor.kind, ActorKind::Workload);
    assert_eq!(event.actor.account.as_deref(), Some("keys-prod"));
    assert_eq!(event.actor.on_behalf_of.as_deref(), Some("ada@example.com"));
    assert_eq!(event.details["delegation_chain"][1], "mid@keys-prod.iam.gserviceaccount.com");
}

#[test]
fn a_caller_without_address_is_named_by_its_subject() {
    let subject = "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/ada@example.com";
    let mut record = entry("Decrypt", KEY, json!({}));
    record["protoPayload"]["authenticationInfo"] = json!({ "principalSubject": subject });
    let actor = mapped(&record).actor;
    assert_eq!(
        (actor.id.as_deref(), actor.name.as_deref()),
        (Some(subject), Some("ada@example.com"))
    );
    assert_eq!(actor.kind, ActorKind::Human);
}

#[test]
fn words_in_place_of_an_address_are_hosts() {
    for (caller, ip, host) in [
        ("private", None, Some("private")),
        ("gce-internal-ip", None, Some("gce-internal-ip")),
        ("2001:db8::7", Some("2001:db8::7"), None),
    ] {
        let mut record = entry("Decrypt", KEY, json!({}));
        record["protoPayload"]["requestMetadata"]["callerIp"] = json!(caller);
        let client = mapped(&record).client;
        assert_eq!((client.ip.as_deref(), client.host.as_deref()), (ip, host));
    }
}

#[test]
fn a_key_has_one_name_wherever_it_stands_in_the_entry() {
    let made = entry("CreateCryptoKey", RING, json!({"parent": RING, "cryptoKeyId": "card"}));
    assert_eq!(mapped(&made).key.id.as_deref(), Some(KEY));
    let mut labelled = entry("Decrypt", "", json!({}));
    labelled["resource"] = json!({"type": "cloudkms_cryptokeyversion", "labels": {
        "project_id": "keys-prod", "location": "europe-west3", "key_ring_id": "pay",
        "crypto_key_id": "card", "crypto_key_version_id": "2"}});
    let key = mapped(&labelled).key;
    assert_eq!((key.id.as_deref(), key.version.as_deref()), (Some(KEY), Some("2")));
    let by_number = KEY.replace("keys-prod", "123456");
    labelled["protoPayload"]["resourceName"] = json!(by_number);
    assert_eq!(mapped(&labelled).key.id.as_deref(), Some(KEY));
    labelled["resource"]["labels"]["key_ring_id"] = json!("another");
    assert_eq!(mapped(&labelled).key.id, Some(by_number));
    let mut used = entry("Encrypt", KEY, json!({ "name": KEY }));
    used["protoPayload"]["response"] = json!({"name": format!("{KEY}/cryptoKeyVersions/9")});
    assert_eq!(mapped(&used).key.version.as_deref(), Some("9"));
}

#[test]
fn an_import_is_told_apart_from_generated_material() {
    let mut record = entry(
        "ImportCryptoKeyVersion",
        KEY,
        json!({"parent": KEY, "importJob": format!("{RING}/importJobs/j"), "algorithm": "RSA"}),
    );
    record["protoPayload"]["response"] = json!({
        "name": format!("{KEY}/cryptoKeyVersions/2"), "protectionLevel": "HSM", "algorithm": "AES_256_GCM"});
    let event = mapped(&record);
    assert_eq!(event.key.origin, Some(Origin::Imported));
    assert_eq!(event.key.protection, Some(Protection::Hsm));
    assert_eq!(event.key.spec.as_deref(), Some("AES_256_GCM"));
    assert_eq!(event.details["import_job"], format!("{RING}/importJobs/j"));
    let job = entry(
        "CreateImportJob",
        RING,
        json!({"parent": RING, "importJobId": "j",
        "importJob": {"importMethod": "RSA_OAEP_4096_SHA256_AES_256", "protectionLevel": "HSM"}}),
    );
    let event = mapped(&job);
    assert_eq!(event.action, Action::ImportPrepare);
    assert_eq!(event.target, Some(format!("{RING}/importJobs/j")));
    assert_eq!(event.details["import_method"], "RSA_OAEP_4096_SHA256_AES_256");
    assert_eq!(
        (event.key, &event.details["import_protection"]),
        (KeyRef::default(), &json!("HSM"))
    );
}

#[test]
fn a_policy_is_the_keys_the_rings_or_the_hsms() {
    for (resource, action) in [
        (KEY.to_owned(), Action::KeyPolicySet),
        (RING.to_owned(), Action::VaultPolicySet),
        (format!("{RING}/importJobs/j"), Action::VaultPolicySet),
        (HSM.to_owned(), Action::HsmRoleChange),
        ("projects/p/locations/l/ekmConnections/c".to_owned(), Action::HsmRoleChange),
        ("odd".to_owned(), Action::Other),
    ] {
        let event = mapped(&entry("SetIamPolicy", &resource, json!({})));
        assert_eq!(event.action, action, "{resource}");
        assert!(!event.details.contains_key("public"));
    }
}

#[test]
fn a_grant_to_anybody_is_public_and_the_delta_tells_what_is_new() {
    let policy =
        |members: Value| json!({"policy": {"bindings": [{"role": "r", "members": members}]}});
    let whole = |members: Value| mapped(&entry("SetIamPolicy", KEY, policy(members))).details;
    assert_eq!(whole(json!(["allUsers", "user:a@x.org"]))["public"], true);
    assert_eq!(whole(json!(["user:a@x.org"]))["public"], false);
    assert_eq!(whole(json!(["user:a@x.org"]))["policy_members"], json!(["user:a@x.org"]));

    let emptied = mapped(&entry("SetIamPolicy", KEY, json!({"policy": {}}))).details;
    assert_eq!(emptied["public"], false);

    let mut record = entry("SetIamPolicy", KEY, policy(json!(["allUsers", "user:b@x.org"])));
    record["protoPayload"]["serviceData"] = json!({"policyDelta": {"bindingDeltas": [
        {"action": "ADD", "role": "roles/cloudkms.admin", "member": "user:b@x.org"},
        {"action": "REMOVE", "role": "r", "member": "allAuthenticatedUsers"},
    ]}});
    let event = mapped(&record);
    assert_eq!(event.details["members_added"], json!(["user:b@x.org"]));
    assert_eq!(event.details["members_removed"], json!(["allAuthenticatedUsers"]));
    assert_eq!(event.target.as_deref(), Some("user:b@x.org"));
    assert_eq!(event.details["policy_public"], true);
    assert!(!event.details.contains_key("public"), "it was not this call that let anybody in");
}

#[test]
fn keys_that_approved_a_proposal_are_counted_whoever_handed_them_in() {
    let proposal = format!("{HSM}/proposals/p1");
    let pem = |n: u8| format!("-----BEGIN PUBLIC KEY-----\n{n}\n-----END PUBLIC KEY-----");
    for (reply, replies, key) in [
        ("quorumReply", "challengeReplies", "publicKeyPem"),
        ("quorum_reply", "challenge_replies", "public_key_pem"),
        ("requiredActionQuorumReply", "quorumChallengeReplies", "publicKeyPem"),
    ] {
        let request = json!({"name": proposal, reply: {replies: [
            {key: pem(1), "signedChallenge": "x"}, {key: pem(2)}, {key: format!("{}\n", pem(2))}]}});
        let event = mapped(&entry(
            "google.cloud.kms.v1.HsmManagement.ApproveSingleTenantHsmInstanceProposal",
            &proposal,
            request,
        ));
        assert_eq!(event.action, Action::HsmQuorumApprove);
        assert_eq!(event.hsm_id.as_deref(), Some(HSM));
        assert_eq!(event.target.as_deref(), Some(proposal.as_str()));
        assert_eq!(event.details["proposal"], proposal);
        assert_eq!(event.details["challenge_keys"], 2);
        assert_eq!(event.approvers.len(), 2);
    }
    let hidden = json!({"quorumReply": {"challengeReplies": [{"signedChallenge": "x"}]}});
    let event = mapped(&entry("ApproveSingleTenantHsmInstanceProposal", &proposal, hidden));
    assert!(!event.details.contains_key("challenge_keys"));
}

#[test]
fn a_proposal_tells_what_it_asks_and_how_many_must_agree() {
    let request = json!({"parent": HSM, "singleTenantHsmInstanceProposalId": "p2",
        "singleTenantHsmInstanceProposal": {
            "quorumParameters": {"requiredApproverCount": 2},
            "addQuorumMember": {"twoFactorPublicKeyPem": "PEM"}, "ttl": "86400s"}});
    let event = mapped(&entry("CreateSingleTenantHsmInstanceProposal", HSM, request));
    assert_eq!(event.action, Action::HsmQuorumRequest);
    assert_eq!(event.details["proposal"], format!("{HSM}/proposals/p2"));
    assert_eq!(event.details["required_approver_count"], 2);
    assert_eq!(event.details["proposal_operation"], "add_quorum_member");
    assert!(event.details["member_keys"][0].as_str().unwrap().starts_with("sha256:"));
    let request = json!({"parent": "projects/keys-prod/locations/us-east1",
        "singleTenantHsmInstanceId": "vaulted",
        "singleTenantHsmInstance": {"quorumAuth": {"totalApproverCount": 5}}});
    let made = mapped(&entry("CreateSingleTenantHsmInstance", "", request));
    assert_eq!((made.action, made.hsm_id.as_deref()), (Action::HsmCreate, Some(HSM)));
    assert_eq!(made.details["total_approver_count"], 5);
}

#[test]
fn changes_of_the_logging_configuration_are_kept() {
    let name = |method: &str| format!("google.logging.v2.ConfigServiceV2.{method}");
    for (method, request, action) in [
        ("CreateSink", json!({}), Action::LoggingStart),
        ("UpdateSink", json!({"sink": {}, "updateMask": "filter"}), Action::LoggingChange),
        ("UpdateSink", json!({"sink": {"disabled": true}}), Action::LoggingStop),
        ("UpdateSink", json!({"sink": {}, "updateMask": "disabled"}), Action::LoggingStart),
        ("DeleteSink", json!({}), Action::LoggingDelete),
        ("CreateExclusion", json!({}), Action::LoggingChange),
        ("UpdateBucketAsync", json!({"bucket": {"retentionDays": 1}}), Action::LoggingChange),
        ("DeleteBucket", json!({}), Action::LoggingDelete),
        ("UpdateCmekSettings", json!({}), Action::LoggingChange),
        ("RerouteEverything", json!({}), Action::Other),
    ] {
        let event = mapped(&of_service("logging.googleapis.com", &name(method), request));
        assert_eq!((event.action, event.service.as_str()), (action, "logging"), "{method}");
        assert_eq!(event.target.as_deref(), Some("projects/keys-prod/sinks/archive"));
    }
    let log = "google.logging.v2.LoggingServiceV2.DeleteLog";
    let event = mapped(&of_service("logging.googleapis.com", log, json!({})));
    assert_eq!(event.action, Action::LoggingDelete);
    assert_eq!(event.details["logging_object"], "log");
}

#[test]
fn a_project_policy_matters_only_where_it_changes_what_is_audited() {
    let configs =
        json!([{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]);
    let mut record = of_service(
        "cloudresourcemanager.googleapis.com",
        "SetIamPolicy",
        json!({"policy": {"auditConfigs": configs}}),
    );
    let event = mapped(&record);
    assert_eq!(event.action, Action::LoggingChange);
    assert_eq!(event.details["kms_log_types"], json!(["DATA_READ"]));

    record["protoPayload"]["serviceData"] = json!({"policyDelta": {"bindingDeltas": [
        {"action": "ADD", "role": "roles/viewer", "member": "user:b@x.org"}]}});
    assert_eq!(try_map(&record), Ok(Mapped::Irrelevant), "the settings are only repeated");

    record["protoPayload"]["serviceData"]["policyDelta"]["auditConfigDeltas"] =
        json!([{"action": "REMOVE", "service": "allServices", "logType": "DATA_READ"}]);
    let event = mapped(&record);
    assert_eq!(event.details["reduces_logging"], true);
    assert_eq!(event.details["audit_config_deltas"][0]["log_type"], "DATA_READ");
}

#[test]
fn a_log_entry_is_recognised_by_its_payload_or_envelope() {
    assert!(looks_like(&json!({"protoPayload": {}})));
    assert!(looks_like(&json!({"logName": "l", "insertId": "i"})));
    assert!(looks_like(&json!({"logName": "l", "timestamp": "t"})));
    assert!(!looks_like(&json!({"logName": "l"})));
    assert!(!looks_like(&json!(["protoPayload"])));
}

/// Every member of the record, by pointer, with the arrays' items.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                found.push(pointer.clone());
                pointers(member, &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn rich(method: &str) -> Value {
    let mut record = entry(
        method,
        KEY,
        json!({
            "name": KEY, "parent": KEY, "cryptoKeyId": "k", "cryptoKeyVersionId": "1", "updateMask": "state",
            "cryptoKey": {"rotationPeriod": "1s", "nextRotationTime": "x", "destroyScheduledDuration": "1s",
                "versionTemplate": {"algorithm": "a", "protectionLevel": "HSM"}, "cryptoKeyBackend": HSM},
            "policy": {"bindings": [{"role": "r", "members": ["allUsers"]}],
                "auditConfigs": [{"service": "allServices", "auditLogConfigs": [{"logType": "x"}]}]},
            "quorumReply": {"challengeReplies": [{"publicKeyPem": "p"}]},
            "singleTenantHsmInstanceProposal": {"quorumParameters": {"requiredApproverCount": 2}},
            "sink": {"disabled": true, "filter": "f", "exclusions": [{}]},
        }),
    );
    record["operation"] = json!({"id": "o", "first": true});
    record["split"] = json!({"uid": "u", "index": 0, "totalSplits": 1});
    record["protoPayload"]["response"] =
        json!({"name": KEY, "destroyTime": "9999-12-30T00:00:00Z", "primary": {"name": KEY}});
    record["protoPayload"]["serviceData"] = json!({"policyDelta": {
        "bindingDeltas": [{"action": "ADD", "member": "allUsers"}],
        "auditConfigDeltas": [{"action": "ADD", "exemptedMember": "user:x"}]}});
    record["protoPayload"]["authorizationInfo"] = json!([{"permission": "p", "resource": KEY}]);
    record["protoPayload"]["authenticationInfo"]["serviceAccountDelegationInfo"] =
        json!([{"firstPartyPrincipal": {"principalEmail": "x"}}]);
    record
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        drop(map(&text, &Context::default()));
    }

    #[test]
    fn no_odd_value_in_any_field_makes_it_panic(
        method in 0usize..8, service in 0usize..4, places in proptest::collection::vec((0usize..200, 0usize..9), 1..4)
    ) {
        let methods = ["UpdateCryptoKey", "SetIamPolicy", "DestroyCryptoKeyVersion", "UpdateSink",
            "ApproveSingleTenantHsmInstanceProposal", "CreateCryptoKeyVersion", "é.ü.", "CreateCryptoKey"];
        let odds = [json!(null), json!(7), json!(-1.5e300), json!([[{}]]), json!({"a": {}}), json!(""),
            json!("é/😀//"), json!(true), json!(["x", null])];
        let mut record = rich(methods[method]);
        record["protoPayload"]["serviceName"] = json!(SERVICES[service].source);
        let mut found = Vec::new();
        pointers(&record, "", &mut found);
        for (place, odd) in places {
            let pointer = &found[place % found.len()];
            if let Some(value) = record.pointer_mut(pointer) {
                *value = odds[odd].clone();
            }
        }
        drop(map(&record.to_string(), &Context::default()));
    }
}
