//! A verification for people: whether the token is good, what did not pass, the rest, and what to
//! do next. Lines are at most [`WIDTH`] characters wide, but for words that are longer.

use super::super::check::visible;
use crate::verify::correlate::Correlation;
use crate::verify::{CheckResult, Level, Verdict, Verification};

/// How wide a line may be.
const WIDTH: usize = 100;

const RED: &str = "31;1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const DIM: &str = "2";

/// Writes text in a colour, or as it is.
type Paint<'a> = &'a dyn Fn(&str, &str) -> String;

/// Checks under one heading.
struct Part {
    title: &'static str,
    sign: &'static str,
    color: &'static str,
    holds: fn(&CheckResult) -> bool,
}

/// Worst first. What is not applicable or was left out is counted, not listed.
const PARTS: &[Part] = &[
    Part {
        title: "Failed",
        sign: "✗",
        color: RED,
        holds: |c| c.fails() && c.verdict == Verdict::Fail,
    },
    Part {
        title: "Required by the policy, and not shown",
        sign: "!",
        color: RED,
        holds: |c| c.fails() && c.verdict != Verdict::Fail,
    },
    Part {
        title: "Inconclusive",
        sign: "?",
        color: YELLOW,
        holds: |c| c.verdict == Verdict::Inconclusive,
    },
    Part {
        title: "Advisory: the standard allows it, how keys are set up must prevent it",
        sign: "◇",
        color: BLUE,
        holds: |c| c.verdict == Verdict::Fail && !c.fails(),
    },
    Part { title: "Passed", sign: "✓", color: GREEN, holds: |c| c.verdict == Verdict::Pass },
    Part {
        title: "Not supported by the token",
        sign: "–",
        color: DIM,
        holds: |c| c.verdict == Verdict::NotSupported && !c.fails(),
    },
];

pub(super) fn human(done: &Verification, paint: Paint<'_>) -> String {
    let info = &done.token.info;
    let made = format!("{} {}, serial {}", info.manufacturer, info.model, info.serial);
    let millis = done.run.ended.as_millisecond() - done.run.started.as_millisecond();
    let level = done.run.level.as_str();
    let mut text = format!("{}  {}\n", paint(&visible(&info.label), "1"), visible(&made));
    text += &format!("level {level}, {}.{} s\n\n", millis / 1000, millis % 1000 / 100);
    let (verdict, color) = answer(done);
    text += &format!("{}\n", paint(&verdict, color));
    let listed = |check: &&CheckResult| PARTS.iter().any(|part| (part.holds)(check));
    let ids = done.checks.iter().filter(listed).map(|check| check.id.chars().count());
    let width = ids.max().unwrap_or(0).min(WIDTH / 2);
    for part in PARTS {
        let found: Vec<&CheckResult> = done.checks.iter().filter(|c| (part.holds)(c)).collect();
        if !found.is_empty() {
            text += &format!("\n{} ({})\n", paint(part.title, "1"), found.len());
            let rows = found.iter().map(|check| row(check, part, (width, done), paint));
            text.extend(rows);
        }
    }
    text + &ending(done)
}

/// Counts, the log, and what to do next.
fn ending(done: &Verification) -> String {
    let summary = &done.summary;
    let mut text = format!(
        "\n{} passed, {} failed, {} required and not shown, {} inconclusive, {} advisory,\n\
         {} not supported, {} not applicable, {} left out\n",
        summary.pass,
        summary.fail,
        summary.required_missing,
        summary.inconclusive,
        summary.advisory,
        summary.not_supported,
        summary.not_applicable,
        summary.skipped,
    );
    if let Some(found) = &done.correlation {
        text += &wrapped(&log(found), 0);
    }
    text + "\n" + &wrapped(&format!("Next: {}", next(done)), 0)
}

/// Whether the token is good, in one line. What was not exercised is never called good.
fn answer(done: &Verification) -> (String, &'static str) {
    let summary = &done.summary;
    let failed = summary.fail + summary.required_missing;
    let exercised = done.checks.iter().any(|check| {
        check.level > Level::Inventory && matches!(check.verdict, Verdict::Pass | Verdict::Fail)
    });
    let of = format!("of {} checks", done.checks.len());
    match () {
        () if failed > 0 => (format!("FAIL: {failed} {of} do not hold"), RED),
        () if summary.inconclusive > 0 => {
            (format!("INCONCLUSIVE: {} {of} could not be told", summary.inconclusive), YELLOW)
        }
        () if !done.remains.is_empty() => {
            ("INCONCLUSIVE: temporary keys may be left on the token".to_owned(), YELLOW)
        }
        () if summary.pass == 0 => ("NOTHING SHOWN: no check passed or failed".to_owned(), YELLOW),
        () if !exercised => {
            (format!("READ: {} {of} hold; no key was exercised", summary.pass), YELLOW)
        }
        () => (format!("PASS: {} {of} hold, none fails", summary.pass), GREEN),
    }
}

/// A check: sign, id, message; below it, where it did not pass, the call and the key.
fn row(
    check: &CheckResult,
    part: &Part,
    (width, done): (usize, &Verification),
    paint: Paint<'_>,
) -> String {
    let indent = width + 6;
    let message = wrapped(&visible(&check.message), indent);
    let id = format!("{:<width$}", visible(&check.id));
    let mut text = format!("  {} {id}  {}", paint(part.sign, part.color), message.trim_start());
    if check.verdict == Verdict::Fail || check.fails() {
        let call = [check.function.as_deref(), check.rv.as_deref()];
        let call: Vec<&str> = call.into_iter().flatten().collect();
        if !call.is_empty() {
            text += &wrapped(&visible(&call.join(" → ")), indent);
        }
        if check.subject != done.token.uri {
            text += &wrapped(&visible(&subject(check)), indent);
        }
    }
    text
}

/// The key's URI without what all keys of the token share.
fn subject(check: &CheckResult) -> String {
    let path = check.subject.trim_start_matches("pkcs11:");
    let own = |part: &&str| {
        !["token=", "serial=", "manufacturer=", "model="].iter().any(|name| part.starts_with(name))
    };
    format!("pkcs11:{}", path.split(';').filter(own).collect::<Vec<_>>().join(";"))
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
        "In the log by now: {}{surprise}. A log comes late: `keytrail check --rule DR-04` looks again.",
        counts.join(", ")
    )
}

/// What to do next.
fn next(done: &Verification) -> &'static str {
    let summary = &done.summary;
    match done.run.level {
        _ if !done.remains.is_empty() => {
            "run the same again; it removes the temporary keys that are left."
        }
        _ if summary.fail + summary.required_missing > 0 => {
            "mend what failed, or say in the policy (--policy) what is meant to be; --format html \
             --output verify.html writes a page with the evidence."
        }
        _ if summary.inconclusive > 0 => {
            "clear what the inconclusive checks name, and run again; docs/verify.md tells for each \
             token what it needs."
        }
        Level::Inventory => {
            "--level use has existing keys work (--key URI), --level drill tries what must be \
             refused on keys of its own; attributes alone prove nothing."
        }
        Level::Use => {
            "--level drill tries on keys of its own what must be refused: wrapping, reading, \
             copying, destroying."
        }
        Level::Drill | Level::Operator => {
            "--format html --output verify.html writes a page for those who must see it; what \
             keytrail's store keeps of runs stands in keytrail report."
        }
    }
}

/// Text over lines of [`WIDTH`], each indented, with a line feed at the end.
fn wrapped(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        let length = indent + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > WIDTH {
            lines += &format!("{margin}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + &margin + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_they_may_be() {
        let text = wrapped(&"word ".repeat(60), 30);
        assert!(text.lines().count() > 3);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line.starts_with("   ")));
        assert_eq!(wrapped("", 2), "  \n");
    }
}
