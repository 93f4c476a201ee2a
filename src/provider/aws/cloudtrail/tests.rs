use serde_json::{Value, json};

use super::*;
use crate::event::{Action, ActorKind};

fn mapped(record: &Value) -> Event {
    match map(&record.to_string(), &Context::default()).unwrap() {
        Mapped::Event(event) => *event,
        Mapped::Irrelevant => panic!("irrelevant: {record}"),
    }
}

fn kms(name: &str) -> Value {
    json!({
        "eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": name,
        "eventTime": "2026-03-01T10:00:00Z", "eventID": "e-1", "awsRegion": "eu-central-1",
        "recipientAccountId": "111122223333", "sourceIPAddress": "192.0.2.7",
        "userIdentity": {
            "type": "AssumedRole", "principalId": "AROA:ada@example.com", "accountId": "111122223333",
            "arn": "arn:aws:sts::111122223333:assumed-role/KeyAdmin/ada@example.com",
            "accessKeyId": "ASIA1",
            "sessionContext": {"attributes": {"mfaAuthenticated": "true"}},
        },
        "resources": [{"ARN": "arn:aws:kms:eu-central-1:111122223333:key/k1"}],
    })
}

#[test]
fn a_record_of_another_service_is_irrelevant_and_not_looked_at_further() {
    let record = json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"});
    assert_eq!(map(&record.to_string(), &Context::default()), Ok(Mapped::Irrelevant));
}

#[test]
fn the_common_columns_are_filled() {
    let event = mapped(&kms("ScheduleKeyDeletion"));
    assert_eq!(event.ledger, "aws/111122223333");
    assert_eq!(event.native_id.as_deref(), Some("e-1"));
    assert_eq!(event.action, Action::KeyDeletionSchedule);
    assert_eq!(event.outcome, Outcome::Success);
    assert_eq!(event.key.id.as_deref(), Some("arn:aws:kms:eu-central-1:111122223333:key/k1"));
    assert_eq!(event.actor.name.as_deref(), Some("ada@example.com"));
    assert_eq!(event.actor.kind, ActorKind::Human);
    assert_eq!(event.actor.mfa, Some(true));
    assert_eq!(event.client.ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(event.client.session_id.as_deref(), Some("ASIA1"));
}

#[test]
fn codes_that_mean_not_allowed_are_denied_and_all_others_failures() {
    for (code, expected) in [
        ("AccessDenied", Outcome::Denied),
        ("AccessDeniedException", Outcome::Denied),
        ("Client.UnauthorizedOperation", Outcome::Denied),
        ("KMSInvalidStateException", Outcome::Failure),
        ("NotFoundException", Outcome::Failure),
    ] {
        let mut record = kms("DisableKey");
        record["errorCode"] = json!(code);
        assert_eq!(mapped(&record).outcome, expected, "{code}");
    }
}

#[test]
fn a_rotation_by_the_service_is_proof_and_a_request_is_not() {
    let record = json!({
        "eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": "RotateKey",
        "eventTime": "2026-03-01T10:00:00Z", "eventID": "e-2", "awsRegion": "eu-central-1",
        "recipientAccountId": "111122223333", "eventType": "AwsServiceEvent",
        "userIdentity": {"accountId": "111122223333", "invokedBy": "AWS Internal"},
        "requestParameters": null,
        "serviceEventDetails": {
            "keyId": "mrk-00000000000000000000000000000001", "rotationType": "AUTOMATIC",
            "previousKeyMaterialId": "m1", "currentKeyMaterialId": "m2", "keyOrigin": "AWS_KMS",
        },
    });
    let event = mapped(&record);
    assert_eq!(event.action, Action::KeyRotate);
    assert_eq!(event.actor.kind, ActorKind::Service);
    assert_eq!(event.key.version.as_deref(), Some("m2"));
    assert_eq!(
        event.key.id.as_deref(),
        Some("arn:aws:kms:eu-central-1:111122223333:key/mrk-00000000000000000000000000000001")
    );
    assert_eq!(event.key.group.as_deref(), Some("mrk-00000000000000000000000000000001"));
    assert_eq!(event.details["rotation_type"], "AUTOMATIC");
    assert_eq!(mapped(&kms("RotateKeyOnDemand")).action, Action::KeyRotationRequest);
}

#[test]
fn an_alias_alone_leaves_the_key_unknown() {
    let mut record = kms("DescribeKey");
    record["resources"] = Value::Null;
    record["requestParameters"] = json!({"keyId": "alias/payments"});
    let event = mapped(&record);
    assert_eq!(event.key.id, None);
    assert_eq!(event.key.alias.as_deref(), Some("alias/payments"));
}

#[test]
fn of_two_resources_the_key_is_the_key_and_the_alias_the_alias() {
    let mut record = kms("CreateAlias");
    record["resources"] = json!([
        {"ARN": "arn:aws:kms:eu-central-1:111122223333:alias/payments", "type": "AWS::KMS::Key"},
        {"ARN": "arn:aws:kms:eu-central-1:111122223333:key/k1", "type": "AWS::KMS::Key"},
    ]);
    let event = mapped(&record);
    assert_eq!(event.key.id.as_deref(), Some("arn:aws:kms:eu-central-1:111122223333:key/k1"));
    assert_eq!(event.key.alias.as_deref(), Some("alias/payments"));
}

#[test]
fn the_log_owner_is_the_recipient_then_the_context_then_the_caller() {
    let mut record = kms("Decrypt");
    record["userIdentity"]["accountId"] = json!("999999999999");
    assert_eq!(mapped(&record).ledger, "aws/111122223333");
    record.as_object_mut().unwrap().remove("recipientAccountId");
    let context = Context { account: Some("222222222222".to_owned()), ..Context::default() };
    let Ok(Mapped::Event(event)) = map(&record.to_string(), &context) else { panic!() };
    assert_eq!(event.ledger, "aws/222222222222");
    assert_eq!(mapped(&record).ledger, "aws/999999999999");
    record["userIdentity"] = Value::Null;
    assert_eq!(mapped(&record).ledger, "aws/unknown");
}

#[test]
fn selectors_that_leave_kms_out_are_told_in_both_spellings() {
    let cases = [
        (
            json!({"eventSelectors": [{"includeManagementEvents": true, "excludeManagementEventSources": ["kms.amazonaws.com"]}]}),
            Some(true),
        ),
        (
            json!({"eventSelectors": [{"includeManagementEvents": true, "excludeManagementEventSources": []}]}),
            Some(false),
        ),
        (json!({"eventSelectors": [{"includeManagementEvents": false}]}), Some(true)),
        (
            json!({"advancedEventSelectors": [{"fieldSelectors": [{"field": "eventCategory", "equals": ["Management"]}, {"field": "eventSource", "notEquals": ["kms.amazonaws.com"]}]}]}),
            Some(true),
        ),
        (
            json!({"advancedEventSelectors": [{"fieldSelectors": [{"field": "eventCategory", "equals": ["Management"]}]}]}),
            Some(false),
        ),
        (
            json!({"advancedEventSelectors": [{"fieldSelectors": [{"field": "eventCategory", "equals": ["Data"]}]}]}),
            Some(true),
        ),
        (json!({}), None),
    ];
    for (parameters, expected) in cases {
        let mut record = kms("PutEventSelectors");
        record["eventSource"] = json!("cloudtrail.amazonaws.com");
        record["requestParameters"] = parameters.clone();
        let event = mapped(&record);
        assert_eq!(event.action, Action::LoggingChange);
        assert_eq!(
            event.details.get("excludes_kms").and_then(Value::as_bool),
            expected,
            "{parameters}"
        );
    }
}

#[test]
fn log_groups_matter_where_they_hold_the_logs_of_keys() {
    for (group, relevant) in
        [("/aws/cloudhsm/cluster-1", true), ("aws-cloudtrail-logs", true), ("/aws/lambda/x", false)]
    {
        let mut record = kms("DeleteLogGroup");
        record["eventSource"] = json!("logs.amazonaws.com");
        record["requestParameters"] = json!({"logGroupName": group});
        let mapped = map(&record.to_string(), &Context::default()).unwrap();
        assert_eq!(mapped != Mapped::Irrelevant, relevant, "{group}");
    }
}

#[test]
fn a_policy_given_with_the_call_is_judged_and_a_cut_one_is_said_to_be_unreadable() {
    let open = json!({"Statement": [{"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}]});
    let closed = json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"}]});
    let cut: String = open.to_string().chars().take(40).collect();
    for (policy, access, statement) in [
        (open.to_string(), "public", Some("All")),
        (closed.to_string(), "restricted", None),
        (cut, "unreadable", None),
    ] {
        let mut record = kms("PutKeyPolicy");
        record["requestParameters"] = json!({"policy": policy});
        let event = mapped(&record);
        assert_eq!(event.details["policy_access"], access);
        assert_eq!(event.details.get("policy_statement").and_then(Value::as_str), statement);
    }
}

#[test]
fn dates_in_the_form_of_java_are_read() {
    let mut record = kms("ScheduleKeyDeletion");
    record["responseElements"] = json!({"deletionDate": "Nov 18, 2026, 1:29:18 AM"});
    assert_eq!(mapped(&record).details["deletion_date"], "2026-11-18T01:29:18Z");
}

#[test]
fn an_operation_that_is_not_known_is_kept_with_its_name() {
    let event = mapped(&kms("BrandNewOperation"));
    assert_eq!((event.action, event.native_action.as_str()), (Action::Other, "BrandNewOperation"));
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    let context = Context::default();
    let reason = |text: &str| map(text, &context).unwrap_err().reason;
    assert_eq!(reason("{"), Reason::BadJson);
    assert_eq!(reason("{\"eventName\":\"x\"}"), Reason::MissingField);
    assert_eq!(reason("{\"eventSource\":7,\"eventName\":\"x\"}"), Reason::BadType);
    let mut record = kms("CreateKey");
    record["eventTime"] = json!("yesterday");
    assert_eq!(reason(&record.to_string()), Reason::BadTime);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        drop(map(&text, &Context::default()));
    }

    #[test]
    fn no_odd_value_in_any_field_makes_it_panic(field in 0usize..14, odd in 0usize..6) {
        let mut record = kms("PutKeyPolicy");
        let odds = [json!(null), json!(7), json!([[]]), json!({"a": {}}), json!(""), json!(true)];
        let names = ["eventTime", "eventID", "awsRegion", "recipientAccountId", "userIdentity",
            "resources", "requestParameters", "responseElements", "serviceEventDetails",
            "additionalEventData", "errorCode", "sourceIPAddress", "readOnly", "addendum"];
        record[names[field]] = odds[odd].clone();
        drop(map(&record.to_string(), &Context::default()));
    }
}
