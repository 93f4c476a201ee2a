//! A page of a run of `verify` with the same text in every field.

use super::at;
use crate::report::verification::{
    CallView, CheckView, ClaimView, KeyView, LogStepView, LogView, MechanismView, PromiseView,
    Ruling, RunView, Shown, TokenView, Trace, VerificationPage,
};

/// A page in which every text is `text`, and each list holds at least one of each kind.
pub(in crate::report) fn page(text: &str) -> VerificationPage {
    let t = || text.to_owned();
    let promise = |shown| PromiseView {
        attribute: t(),
        value: false,
        meaning: t(),
        wanted: true,
        shown,
        checks: vec![t()],
    };
    let claims = [Some(true), Some(false), None, Some(false)];
    VerificationPage {
        token: TokenView {
            uri: t(),
            label: t(),
            facts: vec![("Serial number", t())],
            flags: vec![t()],
            mechanisms: vec![MechanismView { name: t(), sizes: (1, 2), flags: vec![t()] }],
        },
        run: RunView {
            id: t(),
            tool_version: t(),
            level: t(),
            exercised: true,
            started: at("2025-05-05"),
            ended: at("2025-05-06"),
            module: t(),
            module_sha256: t(),
            warnings: vec![t()],
            remains: vec![t()],
            removed: vec![t()],
        },
        checks: Ruling::ALL.iter().map(|ruling| check(text, *ruling)).collect(),
        promises: Shown::ALL.iter().map(|shown| promise(*shown)).collect(),
        keys: vec![KeyView {
            uri: t(),
            label: t(),
            class: t(),
            kind: t(),
            claims: claims.map(|value| ClaimView { value, shown: Shown::Untold }).to_vec(),
            attributes: vec![(t(), t())],
        }],
        log: Some(log(text)),
        calls: vec![CallView {
            ordinal: 1,
            at: at("2025-05-05"),
            check: t(),
            function: t(),
            rv: t(),
            times: 1,
            mechanism: Some(t()),
            key: Some(t()),
        }],
    }
}

fn check(text: &str, ruling: Ruling) -> CheckView {
    let t = || text.to_owned();
    CheckView {
        id: (t(), 1),
        level: t(),
        title: t(),
        key: Some(t()),
        ruling,
        required: true,
        decided: (Some(t()), Some(t())),
        message: t(),
        evidence: vec![(t(), t())],
        started: at("2025-05-05"),
        calls: (1, 2),
    }
}

fn log(text: &str) -> LogView {
    let t = || text.to_owned();
    let step = |trace: &Trace| LogStepView {
        ordinal: 1,
        check: t(),
        function: t(),
        rv: t(),
        key: Some(t()),
        trace: *trace,
        expected: vec![t()],
    };
    LogView {
        provider: t(),
        window: (at("2025-05-05"), at("2025-05-06")),
        steps: Trace::ALL.iter().map(step).collect(),
        unexpected: vec![t()],
    }
}
