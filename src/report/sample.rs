//! Reports for tests: one that reads like a real one, and one with the same text in every field.

#![cfg(test)]

mod facts;
mod filled;
mod page;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::facts::{evidence, exercised, key, operations, population, rotations};
pub(super) use self::filled::filled;
pub(super) use self::page::page;
use super::{QuarantineCount, ReportData, UnclassifiedCount};
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

#[expect(clippy::unnecessary_wraps, reason = "it fills optional fields")]
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

#[expect(clippy::too_many_lines, reason = "a table of data")]
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

/// A report with something in every section, as it could come from a small payments company.
#[expect(clippy::too_many_lines, reason = "a table of data")]
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
        exercised: exercised(),
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
