//! Reports for tests: one that reads like a real one, and one with the same text in every field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    EvidenceRecord, KeyLine, LedgerCount, OperationLine, QuarantineCount, ReportData, RotationLine,
    UnclassifiedCount,
};
use crate::finding::{
    Assessment, Control, ControlVerdict, Coverage, Gap, Grade, ParamInfo, Period, RuleInfo,
    RuleResult, RunInfo, Severity, Status, Strength, Subject, WaiverRef, WaiverState,
};

const PAYMENTS: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/0b7e1f0a-51b8-4f6e-8a57-3f1c9d2e7a10";
const LEDGERS: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/4d1c8be2-90a4-4e25-b7c6-5d0b7a2f6c33";
const TOKENS: &str = "projects/acme-payments/locations/europe-west3/keyRings/cards/cryptoKeys/pan";
const VAULT: &str = "https://acme-prod.vault.azure.net/keys/statements";
const CLUSTER: &str = "cluster-kf4zqzv5u3x";

fn at(text: &str) -> Timestamp {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse().unwrap()
}

fn span(from: &str, to: &str) -> Period {
    Period { from: at(from), to: at(to) }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn subject(kind: &str, id: &str, owner: (&str, &str, &str)) -> Subject {
    Subject {
        kind: kind.to_owned(),
        id: id.to_owned(),
        provider: owner.0.to_owned(),
        account: some(owner.1),
        region: some(owner.2),
    }
}

const AWS: (&str, &str, &str) = ("aws", "111122223333", "eu-central-1");
const GCP: (&str, &str, &str) = ("gcp", "acme-payments", "europe-west3");
const AZURE: (&str, &str, &str) = ("azure", "7f3d9c1e-0a54-4b7e-9d21-b8a6c0de4f11", "westeurope");

fn control(framework: &str, clause: &str, strength: Strength, requires: &str) -> Control {
    Control {
        framework: framework.to_owned(),
        control: clause.to_owned(),
        strength,
        requires: (!requires.is_empty()).then(|| requires.to_owned()),
    }
}

fn rule(id: &str, title: &str, severity: Severity, controls: Vec<Control>) -> RuleInfo {
    let kinds = |kinds: &[&str]| kinds.iter().map(|&kind| kind.to_owned()).collect();
    RuleInfo {
        id: id.to_owned(),
        title: title.to_owned(),
        severity,
        family: id.split('-').next().unwrap().to_lowercase(),
        needs: BTreeMap::from([
            ("aws".to_owned(), kinds(&["aws.kms"])),
            ("gcp".to_owned(), kinds(&["gcp.kms.admin"])),
            ("azure".to_owned(), kinds(&["azure.keyvault.audit"])),
        ]),
        params: vec![
            ParamInfo { name: "period".into(), value: "180d".into(), default: "365d".into() },
            ParamInfo { name: "grace".into(), value: "7d".into(), default: "7d".into() },
        ],
        rationale: "A key that is used for too long puts more data at risk when it leaks, and a \
            rotation that is configured but does not happen is noticed by nobody."
            .into(),
        remediation: "Rotate the key now (aws kms rotate-key-on-demand --key-id …), then find out \
            why the schedule did not run."
            .into(),
        references: vec![
            "https://csrc.nist.gov/pubs/sp/800/57/pt1/r5/final".into(),
            "Key policy, section 4.2".into(),
        ],
        controls,
        sql: SQL.to_owned(),
        digest: "9b1f7a3c5e0d48e2a6c47710fb2d3e9958c1f0a7d6b34e2190ac5b7e8d1f6a02".into(),
    }
}

const SQL: &str = "SELECT\n    'key' AS subject_kind,\n    k.key_id AS subject_id,\n    k.provider, \
    k.account, k.region,\n    CASE WHEN i.longest <= $period + $grace THEN 'pass' ELSE 'fail' END \
    AS status\nFROM key_state k\nLEFT JOIN key_intervals i ON i.key_id = k.key_id\nWHERE k.owner = \
    'customer'";

fn rules() -> Vec<RuleInfo> {
    let pci = |clause: &str, strength, requires: &str| {
        control("pci-dss-4.0.1", clause, strength, requires)
    };
    let nist = |clause: &str, strength| control("nist-800-53r5", clause, strength, "");
    vec![
        rule(
            "DC-01",
            "No key is destroyed or disabled by one person alone",
            Severity::Critical,
            vec![nist("AC-3(2)", Strength::Direct), pci("3.7.5", Strength::Supporting, "")],
        ),
        rule(
            "DC-04",
            "A quorum is set and used in each CloudHSM cluster",
            Severity::Critical,
            vec![nist("AC-5", Strength::Direct), pci("3.7.6", Strength::Partial, "")],
        ),
        rule(
            "LIF-04",
            "A key scheduled for deletion was disabled before",
            Severity::Medium,
            vec![nist("SC-12", Strength::Supporting)],
        ),
        rule(
            "LOG-05",
            "What was read is proven complete",
            Severity::High,
            vec![pci("10.3.4", Strength::Direct, ""), nist("AU-9(3)", Strength::Direct)],
        ),
        rule(
            "ROT-02",
            "Every rotation interval in the period is within the cryptoperiod",
            Severity::High,
            vec![
                pci("3.7.4", Strength::Direct, "period <= 365d"),
                nist("SC-12", Strength::Supporting),
                control("iso-27001-2022", "A.8.24", Strength::Partial, "period <= 90d"),
            ],
        ),
    ]
}

fn result(rule: &RuleInfo, subject: Subject, status: Status, reason: (&str, &str)) -> RuleResult {
    let weaker = |control: &Control| control.requires.as_deref() == Some("period <= 90d");
    let verdict = |control: &Control| match status {
        Status::Pass if weaker(control) => ControlVerdict {
            control: control.clone(),
            verdict: Status::Undetermined,
            note: some("ran with period = 180d, the clause asks for period <= 90d"),
        },
        _ => ControlVerdict { control: control.clone(), verdict: status, note: None },
    };
    RuleResult {
        rule: rule.id.clone(),
        severity: rule.severity,
        subject: Some(subject),
        status,
        waived: None,
        reason: reason.0.to_owned(),
        message: reason.1.to_owned(),
        grade: Some(Grade::A),
        controls: rule.controls.iter().map(verdict).collect(),
        evidence: Vec::new(),
        evidence_count: 0,
        inventory_refs: Vec::new(),
        gaps: Vec::new(),
        facts: BTreeMap::new(),
    }
}

fn waiver() -> WaiverRef {
    WaiverRef {
        id: "W-2025-014".into(),
        reason: "Rotation waits for the card network's new key block; the key is isolated.".into(),
        owner: "mara.lindqvist@acme.example".into(),
        approver: "j.okafor@acme.example".into(),
        expires: at("2026-03-31"),
    }
}

fn gap() -> Gap {
    Gap {
        ledger: format!("azure/{}", AZURE.1),
        kind: "azure.keyvault.audit".into(),
        region: None,
        period: span("2025-05-02", "2025-06-11T09:30:00Z"),
    }
}

const DELETION: &str = "aws/111122223333|5f0c2b8e-73d1-4f0e-8f4f-2c9a7c1b5d60";
const ROTATED: &str = "aws/111122223333|a91e4c77-0b63-4d0a-b5f2-6a6f3de1c201";
const DESTROYED: &str = "gcp/projects/acme-payments|cloudaudit.googleapis.com%2Factivity\
    |2025-08-19T14:02:11.417000000Z|1x9k2nqd3vz8";
const QUORUM: &str = "aws/cloudhsm/hsm-x4c7vmkqp2a|3-1187";

fn findings(rules: &[RuleInfo]) -> Vec<RuleResult> {
    let facts =
        |facts: Value| -> BTreeMap<String, Value> { serde_json::from_value(facts).unwrap() };
    vec![
        RuleResult {
            evidence: vec![DELETION.into()],
            evidence_count: 1,
            facts: facts(json!({"actor": "d.petrov@acme.example", "pending_window_days": 7,
                "approvals_searched": "approvals.csv, 72 h before the event"})),
            ..result(
                &rules[0],
                subject("key", LEDGERS, AWS),
                Status::Fail,
                (
                    "single_person",
                    "d.petrov@acme.example scheduled the key for deletion and \
                    nobody else approved it.",
                ),
            )
        },
        RuleResult {
            evidence: vec![DESTROYED.into()],
            evidence_count: 1,
            grade: Some(Grade::C),
            ..result(
                &rules[0],
                subject("key", TOKENS, GCP),
                Status::Undetermined,
                (
                    "identity_unresolved",
                    "A service account destroyed version 3; no approval by a \
                    person is on record for it.",
                ),
            )
        },
        RuleResult {
            evidence: vec![QUORUM.into()],
            evidence_count: 1,
            grade: None,
            ..result(
                &rules[1],
                subject("cluster", CLUSTER, AWS),
                Status::Undetermined,
                (
                    "m_not_logged",
                    "Quorum tokens were used, but their size is not logged and \
                    nobody attested it.",
                ),
            )
        },
        RuleResult {
            subject: None,
            grade: None,
            controls: Vec::new(),
            ..result(
                &rules[2],
                Subject::default(),
                Status::Error,
                ("query_failed", "The query does not plan: no column named disabled_at."),
            )
        },
        result(
            &rules[3],
            subject("account", "111122223333", AWS),
            Status::Pass,
            ("digest_chain_whole", "The digest chain is whole over the period."),
        ),
        RuleResult {
            evidence: vec![ROTATED.into()],
            evidence_count: 140,
            inventory_refs: vec![format!("keys/{PAYMENTS}@2025-12-31T23:00:00Z")],
            facts: facts(json!({"longest_days": 263, "allowed_days": 187,
                "last_rotation": "2025-02-03T04:11:09Z", "configured": true})),
            ..result(
                &rules[4],
                subject("key", PAYMENTS, AWS),
                Status::Fail,
                ("interval_too_long", "263 days passed between two rotations; 187 are allowed."),
            )
        },
        RuleResult {
            waived: Some(waiver()),
            ..result(
                &rules[4],
                subject("key", TOKENS, GCP),
                Status::Fail,
                ("never_rotated", "The key has never been rotated since 2023-11-30."),
            )
        },
        RuleResult {
            gaps: vec![gap()],
            ..result(
                &rules[4],
                subject("key", VAULT, AZURE),
                Status::Undetermined,
                (
                    "coverage_gap",
                    "No rotation is known, and the log of the vault was not read \
                    for 40 days.",
                ),
            )
        },
    ]
}

fn other_keys(rules: &[RuleInfo]) -> Vec<RuleResult> {
    (0..14)
        .map(|index| {
            let id = format!(
                "arn:aws:kms:eu-central-1:111122223333:key/{index:08x}-1c2d-4e3f-8a9b-0c1d2e3f4a5b"
            );
            let (status, reason) = match index {
                12 | 13 => (Status::NotApplicable, ("not_auto_rotatable", "Imported material.")),
                _ => (Status::Pass, ("in_time", "Every interval is within the cryptoperiod.")),
            };
            result(&rules[4], subject("key", &id, AWS), status, reason)
        })
        .collect()
}

fn coverage() -> Vec<Coverage> {
    let row = |ledger: &str, kind: &str, period, how: (&str, &str)| Coverage {
        ledger: ledger.to_owned(),
        region: some(if ledger.starts_with("aws/1") { "eu-central-1" } else { "*" }),
        kind: kind.to_owned(),
        period,
        method: how.0.to_owned(),
        status: how.1.to_owned(),
        detail: None,
    };
    let azure = format!("azure/{}", AZURE.1);
    let half = span("2025-01-01", "2025-05-02");
    vec![
        row("aws/111122223333", "aws.kms", span("2024-12-15", "2025-12-30"), ("digest", "covered")),
        row(
            "aws/111122223333",
            "aws.kms",
            span("2025-12-30", "2026-01-01"),
            ("exhausted_pages", "covered"),
        ),
        row(
            "aws/cloudhsm/hsm-x4c7vmkqp2a",
            "aws.cloudhsm.audit",
            span("2025-02-11T08:14:00Z", "2025-09-20"),
            ("sequence", "covered"),
        ),
        Coverage {
            detail: some("Sequence numbers 41,120 to 41,377 are missing."),
            ..row(
                "aws/cloudhsm/hsm-x4c7vmkqp2a",
                "aws.cloudhsm.audit",
                span("2025-09-20", "2025-09-24"),
                ("sequence", "gap"),
            )
        },
        row(
            "aws/cloudhsm/hsm-x4c7vmkqp2a",
            "aws.cloudhsm.audit",
            span("2025-09-24", "2026-01-01"),
            ("sequence", "covered"),
        ),
        row(&azure, "azure.keyvault.audit", half, ("declared", "covered")),
        row(
            &azure,
            "azure.keyvault.audit",
            span("2025-06-11T09:30:00Z", "2026-01-01"),
            ("exhausted_pages", "covered"),
        ),
    ]
}

fn population() -> Vec<LedgerCount> {
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

fn key(id: &str, alias: &str, owner: (&str, &str, &str), known_from: &str) -> KeyLine {
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

fn rotations() -> Vec<RotationLine> {
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

fn operations() -> Vec<OperationLine> {
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

fn evidence() -> BTreeMap<String, EvidenceRecord> {
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

/// A report with something in every section, as it could come from a small payments company.
pub(super) fn sample() -> ReportData {
    let rules = rules();
    let mut results = findings(&rules);
    results.extend(other_keys(&rules));
    let mut keys = vec![
        key(PAYMENTS, "alias/payments", AWS, "both"),
        key(LEDGERS, "alias/ledgers", AWS, "events"),
        key(TOKENS, "", GCP, "both"),
        key(VAULT, "", AZURE, "inventory"),
    ];
    keys[1].state = some("pending_deletion");
    let expired = WaiverRef { id: "W-2024-003".into(), expires: at("2025-06-30"), ..waiver() };
    let state = |waiver, rule: &str, state: &str, matched| WaiverState {
        waiver,
        rule: rule.to_owned(),
        subject: TOKENS.to_owned(),
        state: state.to_owned(),
        matched,
    };
    ReportData {
        assessment: Assessment {
            run: RunInfo {
                tool_version: "0.1.0".into(),
                store_version: BTreeMap::from([("journal".into(), 412), ("keys".into(), 57)]),
                as_of: at("2026-01-01"),
                period: span("2025-01-01", "2026-01-01"),
                rules_digest: "4c02f6e1b7d3a95508ee61a7c2f94b0d7f3e8a1c6b5d20493ae7c81f05d2b964"
                    .into(),
                inputs: BTreeMap::from([(
                    "waivers.toml".into(),
                    "c7a1e5d0932f4b6e8d1c0a7f5e3b2d4960718293a4b5c6d7e8f9012345678abc".into(),
                )]),
                command: "keytrail report --store s3://acme-audit/keytrail --period \
                    2025-01-01..2026-01-01 --as-of 2026-01-01 --param ROT-02.period=180d --waivers \
                    waivers.toml"
                    .into(),
            },
            coverage: coverage(),
            rules,
            results,
            waivers: vec![
                state(waiver(), "ROT-02", "in_force", 1),
                state(expired, "DC-01", "expired", 0),
            ],
        },
        title: "Acme Payments: production keys".into(),
        population: population(),
        keys,
        rotations: rotations(),
        operations: operations(),
        evidence: evidence(),
        quarantine: vec![QuarantineCount {
            reason: "missing_time".into(),
            format: "gcp_audit".into(),
            count: 3,
            example: "exports/2025-04-02.json.gz:1188".into(),
        }],
        unclassified: vec![UnclassifiedCount {
            provider: "aws".into(),
            service: "kms".into(),
            native_action: "UpdateCustomKeyStore".into(),
            count: 2,
        }],
    }
}

/// A report in which every text is `text`, and each list holds at least one of each kind.
pub(super) fn filled(text: &str) -> ReportData {
    let t = || text.to_owned();
    let o = || Some(text.to_owned());
    let subject = || Subject { kind: t(), id: t(), provider: t(), account: o(), region: o() };
    let control =
        || Control { framework: t(), control: t(), strength: Strength::Direct, requires: o() };
    let waiver =
        || WaiverRef { id: t(), reason: t(), owner: t(), approver: t(), expires: at("2026-01-01") };
    let gap =
        || Gap { ledger: t(), kind: t(), region: o(), period: span("2025-02-01", "2025-03-01") };
    let result = |status, waived, subject| RuleResult {
        rule: t(),
        severity: Severity::High,
        subject,
        status,
        waived,
        reason: t(),
        message: t(),
        grade: Some(Grade::D),
        controls: vec![ControlVerdict { control: control(), verdict: status, note: o() }],
        evidence: vec![t(), format!("{text} unknown")],
        evidence_count: 1000,
        inventory_refs: vec![t()],
        gaps: vec![gap()],
        facts: BTreeMap::from([
            (t(), Value::String(t())),
            (format!("{text}2"), json!({ text: [text] })),
        ]),
    };
    let mut results: Vec<RuleResult> =
        Status::ALL.iter().map(|status| result(*status, None, Some(subject()))).collect();
    results.push(result(Status::Fail, Some(waiver()), None));
    results.push(result(Status::Pass, None, None));
    let covered = |status: &str, method: &str| Coverage {
        ledger: t(),
        region: o(),
        kind: t(),
        period: span("2025-01-01", "2025-02-01"),
        method: method.to_owned(),
        status: status.to_owned(),
        detail: o(),
    };
    let rule = |id: &str| RuleInfo {
        id: id.to_owned(),
        title: t(),
        severity: Severity::High,
        family: t(),
        needs: BTreeMap::from([(t(), vec![t(), format!("{text} unread")])]),
        params: vec![ParamInfo { name: t(), value: t(), default: format!("{text} once") }],
        rationale: t(),
        remediation: t(),
        references: vec![t()],
        controls: vec![control()],
        sql: t(),
        digest: t(),
    };
    let waiver_state =
        WaiverState { waiver: waiver(), rule: t(), subject: t(), state: t(), matched: 1 };
    ReportData {
        assessment: Assessment {
            run: RunInfo {
                tool_version: t(),
                store_version: BTreeMap::from([(t(), 1)]),
                as_of: at("2025-12-01"),
                period: span("2025-01-01", "2026-01-01"),
                rules_digest: t(),
                inputs: BTreeMap::from([(t(), t())]),
                command: t(),
            },
            coverage: vec![covered("covered", text), covered(text, text)],
            rules: vec![rule(text), rule("plain")],
            results,
            waivers: vec![waiver_state],
        },
        title: t(),
        population: vec![LedgerCount {
            ledger: t(),
            format: t(),
            events: 1,
            first: at("2025-01-01"),
            last: at("2025-01-02"),
        }],
        keys: vec![KeyLine {
            key_id: t(),
            alias: o(),
            provider: t(),
            account: o(),
            region: o(),
            state: o(),
            key_spec: o(),
            protection: o(),
            origin: o(),
            created_at: None,
            known_from: t(),
        }],
        rotations: vec![RotationLine {
            key_id: t(),
            alias: o(),
            provider: t(),
            account: o(),
            created_at: None,
            rotations: vec![at("2025-05-05")],
            period_days: Some(1),
            configured: None,
            violations: vec![span("2025-02-01", "2025-03-01")],
            uncovered: vec![span("2025-02-01", "2025-03-01")],
            status: t(),
            reason: t(),
        }],
        operations: vec![OperationLine {
            time: at("2025-05-05"),
            event_id: t(),
            action: t(),
            native_action: t(),
            outcome: t(),
            provider: t(),
            object: o(),
            actor: Some(format!("{text} actor")),
            person: o(),
            approvers: vec![t()],
            approval: t(),
        }],
        evidence: BTreeMap::from([(
            t(),
            EvidenceRecord {
                time: at("2025-05-05"),
                action: t(),
                native_action: t(),
                outcome: t(),
                actor: o(),
                object: o(),
                ledger: t(),
                leaf_index: 0,
                raw: t(),
            },
        )]),
        quarantine: vec![QuarantineCount { reason: t(), format: t(), count: 1, example: t() }],
        unclassified: vec![UnclassifiedCount {
            provider: t(),
            service: t(),
            native_action: t(),
            count: 1,
        }],
    }
}
