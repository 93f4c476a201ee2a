//! The sample's facts beside its verdicts.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{
    EvidenceRecord, ExercisedLine, FailingCheck, KeyLine, LedgerCount, MissingCall, OperationLine,
    RotationLine,
};
use super::{
    AWS, AZURE, DELETION, DESTROYED, GCP, LEDGERS, PAYMENTS, QUORUM, ROTATED, TOKENS, VAULT, at,
    gap, some, span,
};

pub(super) fn population() -> Vec<LedgerCount> {
    let row = |ledger: &str, format: &str, events, first, last| LedgerCount {
        ledger: ledger.to_owned(),
        format: format.to_owned(),
        events,
        first: at(first),
        last: at(last),
    };
    vec![
        row(
            "aws/111122223333",
            "cloudtrail",
            182_204,
            "2024-12-15T00:00:04Z",
            "2025-12-31T23:58:41Z",
        ),
        row(
            "aws/cloudhsm/hsm-x4c7vmkqp2a",
            "cloudhsm_audit",
            9_312,
            "2025-02-11T08:14:00Z",
            "2025-12-31T22:01:09Z",
        ),
        row(
            "gcp/projects/acme-payments",
            "gcp_audit",
            1_407,
            "2025-01-02T07:30:00Z",
            "2025-12-30T11:09:37Z",
        ),
        row(
            "azure/7f3d9c1e-0a54-4b7e-9d21-b8a6c0de4f11",
            "azure_keyvault",
            5_530,
            "2025-01-01T00:01:00Z",
            "2025-12-31T23:59:02Z",
        ),
    ]
}

pub(super) fn key(id: &str, alias: &str, owner: (&str, &str, &str), known_from: &str) -> KeyLine {
    KeyLine {
        key_id: id.to_owned(),
        alias: (!alias.is_empty()).then(|| alias.to_owned()),
        provider: owner.0.to_owned(),
        account: some(owner.1),
        region: some(owner.2),
        state: some("enabled"),
        key_spec: some("SYMMETRIC_DEFAULT"),
        protection: some("hsm"),
        origin: some("generated"),
        created_at: Some(at("2023-11-30")),
        known_from: known_from.to_owned(),
    }
}

fn rotation(id: &str, alias: &str, owner: (&str, &str, &str), times: &[&str]) -> RotationLine {
    RotationLine {
        key_id: id.to_owned(),
        alias: (!alias.is_empty()).then(|| alias.to_owned()),
        provider: owner.0.to_owned(),
        account: some(owner.1),
        created_at: Some(at("2023-11-30")),
        rotations: times.iter().map(|time| at(time)).collect(),
        period_days: Some(180),
        configured: Some(true),
        violations: Vec::new(),
        uncovered: Vec::new(),
        status: "pass".into(),
        reason: "in_time".into(),
    }
}

pub(super) fn rotations() -> Vec<RotationLine> {
    let mut rows = vec![
        RotationLine {
            violations: vec![span("2025-08-09", "2025-10-24")],
            status: "fail".into(),
            reason: "interval_too_long".into(),
            ..rotation(PAYMENTS, "alias/payments", AWS, &["2024-08-20", "2025-02-03", "2025-10-24"])
        },
        RotationLine {
            created_at: Some(at("2025-04-14")),
            ..rotation(LEDGERS, "alias/ledgers", AWS, &["2025-09-01"])
        },
        RotationLine {
            violations: vec![span("2025-01-01", "2026-01-01")],
            configured: Some(false),
            status: "fail".into(),
            reason: "never_rotated".into(),
            ..rotation(TOKENS, "", GCP, &[])
        },
        RotationLine {
            uncovered: vec![gap().period],
            configured: None,
            status: "undetermined".into(),
            reason: "coverage_gap".into(),
            ..rotation(VAULT, "", AZURE, &["2025-03-20"])
        },
    ];
    rows.extend((0..8).map(|index| {
        rotation(
            &format!("arn:aws:kms:eu-central-1:111122223333:key/{index:08x}-1c2d-4e3f-8a9b-0c1d"),
            &format!("alias/service-{index}"),
            AWS,
            &["2025-01-19", "2025-04-21", "2025-07-18", "2025-10-20"],
        )
    }));
    rows
}

pub(super) fn operations() -> Vec<OperationLine> {
    let base = OperationLine {
        time: at("2025-06-30T16:44:10Z"),
        event_id: DELETION.into(),
        action: "key.deletion.schedule".into(),
        native_action: "ScheduleKeyDeletion".into(),
        outcome: "success".into(),
        provider: "aws".into(),
        object: some(LEDGERS),
        actor: some("arn:aws:sts::111122223333:assumed-role/KeyAdmin/d.petrov@acme.example"),
        person: some("d.petrov@acme.example"),
        approvers: Vec::new(),
        approval: "none".into(),
    };
    vec![
        OperationLine {
            time: at("2025-03-12T10:20:31Z"),
            event_id: QUORUM.into(),
            action: "hsm.user.create".into(),
            native_action: "CN_CREATE_USER".into(),
            object: some("hsm-x4c7vmkqp2a"),
            actor: some("admin"),
            person: None,
            approvers: vec!["quorum token 2 approvals".into()],
            approval: "quorum".into(),
            ..base.clone()
        },
        base.clone(),
        OperationLine {
            time: at("2025-08-19T14:02:11Z"),
            event_id: DESTROYED.into(),
            action: "key.destroy".into(),
            native_action: "DestroyCryptoKeyVersion".into(),
            provider: "gcp".into(),
            object: some(TOKENS),
            actor: some("key-janitor@acme-payments.iam.gserviceaccount.com"),
            person: None,
            approval: "unresolved".into(),
            ..base.clone()
        },
        OperationLine {
            time: at("2025-11-02T09:15:00Z"),
            event_id: "aws/111122223333|77c1a0de-0c3b-4d29-8b0e-0a5c4d6f8e12".into(),
            action: "key.policy.set".into(),
            native_action: "PutKeyPolicy".into(),
            object: some(PAYMENTS),
            approvers: vec!["j.okafor@acme.example (CHG-20931, approvals.csv)".into()],
            approval: "approval".into(),
            ..base
        },
    ]
}

pub(super) fn evidence() -> BTreeMap<String, EvidenceRecord> {
    let deletion = EvidenceRecord {
        time: at("2025-06-30T16:44:10Z"),
        action: "key.deletion.schedule".into(),
        native_action: "ScheduleKeyDeletion".into(),
        outcome: "success".into(),
        actor: some("d.petrov@acme.example"),
        object: some(LEDGERS),
        ledger: "aws/111122223333".into(),
        leaf_index: 90_117,
        raw: json!({"eventVersion": "1.11", "eventTime": "2025-06-30T16:44:10Z",
            "eventSource": "kms.amazonaws.com", "eventName": "ScheduleKeyDeletion",
            "userIdentity": {"type": "AssumedRole", "accountId": "111122223333",
                "arn": "arn:aws:sts::111122223333:assumed-role/KeyAdmin/d.petrov@acme.example"},
            "requestParameters": {"keyId": LEDGERS, "pendingWindowInDays": 7},
            "responseElements": {"keyState": "PendingDeletion"},
            "eventID": "5f0c2b8e-73d1-4f0e-8f4f-2c9a7c1b5d60", "readOnly": false})
        .to_string(),
    };
    let rotated = EvidenceRecord {
        time: at("2025-10-24T03:00:12Z"),
        action: "key.rotate".into(),
        native_action: "RotateKey".into(),
        actor: None,
        object: some(PAYMENTS),
        leaf_index: 151_022,
        raw: r#"{"eventName":"RotateKey","eventType":"AwsServiceEvent","readOnly":false}"#.into(),
        ..deletion.clone()
    };
    let destroyed = EvidenceRecord {
        time: at("2025-08-19T14:02:11.417Z"),
        action: "key.destroy".into(),
        native_action: "DestroyCryptoKeyVersion".into(),
        actor: some("key-janitor@acme-payments.iam.gserviceaccount.com"),
        object: some(TOKENS),
        ledger: "gcp/projects/acme-payments".into(),
        leaf_index: 802,
        raw: r#"{"insertId":"1x9k2nqd3vz8","severity":"NOTICE"}"#.into(),
        ..deletion.clone()
    };
    let quorum = EvidenceRecord {
        time: at("2025-03-12T10:20:31Z"),
        action: "hsm.user.create".into(),
        native_action: "CN_CREATE_USER".into(),
        actor: some("admin"),
        object: some("hsm-x4c7vmkqp2a"),
        ledger: "aws/cloudhsm/hsm-x4c7vmkqp2a".into(),
        leaf_index: 1_186,
        raw: "Time: 03/12/25 10:20:31.407392, usecs:1741774831407392\nSequence No : 0x4a3\n\
            Reboot counter : 0x3\nOpcode : CN_CREATE_USER (0x3)\nSession Handle : 0x1104006\n\
            Response : 0:HSM Return: SUCCESS\nLog type : MGMT_USER_DETAILS_LOG (2)"
            .into(),
        ..deletion.clone()
    };
    BTreeMap::from([
        (DELETION.to_owned(), deletion),
        (ROTATED.to_owned(), rotated),
        (DESTROYED.to_owned(), destroyed),
        (QUORUM.to_owned(), quorum),
    ])
}

/// A cluster that keeps what it promises, and another whose last drill did not, read again since.
#[expect(clippy::too_many_lines, reason = "a table of data")]
pub(super) fn exercised() -> Vec<ExercisedLine> {
    let good = ExercisedLine {
        token: "pkcs11:token=hsm1;manufacturer=Marvell%20Semiconductors%2C%20Inc.;serial=4a3"
            .into(),
        model: "Marvell Semiconductors, Inc. LS2".into(),
        name: some("payments"),
        production: true,
        run: "9c1d-68d3a1f0-5b0e77aa".into(),
        level: "use".into(),
        ended: at("2025-12-20T05:00:41Z"),
        passed: 31,
        failed: 0,
        advisory: 1,
        inconclusive: 0,
        other: 9,
        keys: 4,
        failing: Vec::new(),
        traces: Some(vec![("matched_by_key".into(), 3), ("not_logged".into(), 22)]),
        missing: Vec::new(),
        unexpected: Vec::new(),
    };
    let bad = ExercisedLine {
        token: "pkcs11:token=signing;manufacturer=Example;serial=0000000000000000".into(),
        model: "Example Soft Token 3".into(),
        name: some("signing"),
        production: false,
        run: "9c1d-68a0b7c2-10f3e9d4".into(),
        level: "drill".into(),
        ended: at("2025-08-18T04:30:02Z"),
        passed: 20,
        failed: 1,
        advisory: 2,
        inconclusive: 1,
        other: 19,
        keys: 0,
        failing: vec![
            FailingCheck {
                check: "drill.wrap.unextractable".into(),
                verdict: "FAIL".into(),
                fails: true,
                key: None,
                message:
                    "The key left the token: unwrapped outside, it encrypts as the one inside \
                    does."
                        .into(),
            },
            FailingCheck {
                check: "use.sign".into(),
                verdict: "INCONCLUSIVE".into(),
                fails: false,
                key: some("pkcs11:token=signing;object=release-2025;type=private"),
                message: "C_Sign gave CKR_DEVICE_ERROR.".into(),
            },
        ],
        traces: Some(vec![
            ("matched_by_key".into(), 17),
            ("missing".into(), 1),
            ("unexpected".into(), 1),
        ]),
        missing: vec![MissingCall {
            check: "drill.destroy".into(),
            function: "C_DestroyObject".into(),
            key: some("verify-9c1d-68a0b7c2-10f3e9d4-destroy"),
        }],
        unexpected: vec![QUORUM.to_owned()],
    };
    let read = ExercisedLine {
        run: "9c1d-6940d8a1-77c0e2b5".into(),
        level: "inventory".into(),
        ended: at("2025-12-16T04:30:00Z"),
        passed: 8,
        failed: 0,
        advisory: 0,
        inconclusive: 0,
        failing: Vec::new(),
        traces: None,
        missing: Vec::new(),
        unexpected: Vec::new(),
        ..bad.clone()
    };
    vec![good, read, bad]
}
