//! A verification for people.

use crate::verify::correlate::Correlation;
use crate::verify::{CheckResult, Verdict, Verification};

pub(super) fn human(done: &Verification) -> String {
    let info = &done.token.info;
    let mut text = format!(
        "{} ({} {}, serial {})\n\n",
        done.token.uri, info.manufacturer, info.model, info.serial
    );
    let shown =
        |check: &&CheckResult| !matches!(check.verdict, Verdict::NotApplicable | Verdict::Skipped);
    let width = done.checks.iter().filter(shown).map(|check| check.id.len()).max().unwrap_or(0);
    for check in done.checks.iter().filter(shown) {
        let advisory = if check.advisory && !check.required { " (advisory)" } else { "" };
        let verdict = check.verdict.as_str();
        text += &format!("{verdict:<13} {:width$}  {}{advisory}\n", check.id, check.message);
        if check.verdict == Verdict::Fail && check.subject != done.token.uri {
            text += &format!("{:<13} {:width$}  {}\n", "", "", check.subject);
        }
    }
    let summary = &done.summary;
    text += &format!(
        "\n{} passed, {} failed, {} advisory, {} not supported, {} inconclusive, {} skipped or not applicable\n",
        summary.pass,
        summary.fail,
        summary.advisory,
        summary.not_supported,
        summary.inconclusive,
        summary.skipped + summary.not_applicable,
    );
    if let Some(found) = &done.correlation {
        text += &log(found);
    }
    text
}

/// What the log holds of the calls by now, in words.
fn log(found: &Correlation) -> String {
    let counts: Vec<String> = found
        .counts()
        .iter()
        .map(|(trace, count)| format!("{count} {}", trace.as_str().replace('_', " ")))
        .collect();
    let surprise = match found.unexpected.len() {
        0 => String::new(),
        count => format!("; {count} events that no call caused"),
    };
    format!(
        "In the log by now: {}{surprise}. A log comes late: `keytrail check --rule DR-04` looks again.\n",
        counts.join(", ")
    )
}
