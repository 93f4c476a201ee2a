//! Keys exercised: the newest runs of `verify`, and what the log holds of them.

use askama::Template;

use super::context::{Capped, Cited, Context};
use super::{ROWS, filters};
use crate::report::{ExercisedLine, FailingCheck, MissingCall};

/// Most checks, missing calls and unexpected events shown of one run.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "report/exercised.html")]
pub(super) struct Exercised<'a> {
    rows: Capped<Row<'a>>,
}

/// One run.
struct Row<'a> {
    line: &'a ExercisedLine,
    short: String,
    class: &'static str,
    sign: &'static str,
    word: &'static str,
    age: String,
    failing: Capped<&'a FailingCheck>,
    traces: Vec<(&'static str, String, u64)>,
    missing: Capped<&'a MissingCall>,
    unexpected: Capped<Cited<'a>>,
}

impl<'a> Exercised<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        let row = |line: &'a ExercisedLine| {
            let (class, sign, word) = verdict(line);
            Row {
                line,
                short: short(line),
                class,
                sign,
                word,
                age: age(context, line),
                failing: Capped::new(&line.failing, SHOWN),
                traces: traces(line),
                missing: Capped::new(&line.missing, SHOWN),
                unexpected: Capped::new(line.unexpected.iter().map(|id| context.cite(id)), SHOWN),
            }
        };
        Self { rows: Capped::new(context.data.exercised.iter().map(row), ROWS) }
    }
}

/// How a run came out. One that exercised nothing is never called good.
fn verdict(line: &ExercisedLine) -> (&'static str, &'static str, &'static str) {
    match () {
        () if line.failed > 0 => ("fail", "✗", "fails"),
        () if line.inconclusive > 0 => ("undetermined", "?", "inconclusive"),
        () if line.passed == 0 => ("undetermined", "?", "nothing shown"),
        () if line.level == "inventory" => ("na", "–", "read, not exercised"),
        () => ("pass", "✓", "holds"),
    }
}

/// The name of the section that asked for a run, else the token's label.
fn short(line: &ExercisedLine) -> String {
    let mut parts = line.token.trim_start_matches("pkcs11:").split(';');
    let label = parts.find_map(|part| part.strip_prefix("token="));
    line.name.clone().or_else(|| label.map(decoded)).unwrap_or_else(|| line.token.clone())
}

/// Text without its percent-encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (Some(byte), Some(rest)) = (code, part.get(2..)) {
            bytes.push(byte);
            bytes.extend(rest.bytes());
        } else {
            bytes.push(b'%');
            bytes.extend(part.bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How old a run is, in days, or hours below two days.
fn age(context: &Context<'_>, line: &ExercisedLine) -> String {
    let seconds = context.data.assessment.run.as_of.as_second() - line.ended.as_second();
    match seconds.max(0) / 3600 {
        0 => "less than an hour".to_owned(),
        hours @ 1..=47 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// The traces with their class, in words.
fn traces(line: &ExercisedLine) -> Vec<(&'static str, String, u64)> {
    let class = |trace: &str| match trace {
        "missing" | "unexpected" => "fail",
        "matched_by_key" | "matched_by_count" => "pass",
        "logging_disabled" => "undetermined",
        _ => "na",
    };
    let counts = line.traces.iter().flatten().take(20);
    counts.map(|(trace, count)| (class(trace), trace.replace('_', " "), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_decoded_as_far_as_it_is_encoded() {
        assert_eq!(decoded("NSS%20Certificate%20DB"), "NSS Certificate DB");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%4%C3%A9%41é"), "%zz%4éAé");
    }
}
