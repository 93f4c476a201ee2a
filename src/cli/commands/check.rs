//! `keytrail check`.

use std::io::Write as _;

use jiff::Timestamp;

use super::super::Exit;
use super::super::args::{Check, CheckFormat, SeverityArg, Undetermined};
use super::super::console::{Console, Output};
use super::super::failure::Failure;
use crate::finding::{Assessment, RuleResult, Severity, Status};
use crate::pipeline::check::{Checked, check, validate};
use crate::report::{ReportData, assessment_json, csv};
use crate::settings::Settings;

pub(super) async fn run(
    args: &Check,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let fail_on = fail_on(args, settings)?;
    let job = super::job(&args.judging, settings);
    validate(&job, Timestamp::now())?;
    let store = super::open_judged(&args.judging, settings).await?;
    let spinner = console.spinner("judging the rules");
    let checked = check(&store, &job, Timestamp::now()).await?;
    drop(spinner);
    warn(&checked, console);
    let mut out = Output::open(args.output.as_deref())?;
    let assessment = &checked.assessment;
    match args.format {
        CheckFormat::Json => assessment_json(assessment, &mut out)?,
        CheckFormat::Csv => csv(&bare(assessment), &mut out)?,
        CheckFormat::Human => out.write_all(human(assessment, console).as_bytes())?,
    }
    out.finish()?;
    console.note(&summary(&checked));
    Ok(exit(assessment, fail_on, args.undetermined))
}

/// The least severity of a finding that makes exit code 1.
fn fail_on(args: &Check, settings: &Settings) -> Result<Severity, Failure> {
    if let Some(severity) = args.fail_on {
        return Ok(match severity {
            SeverityArg::Info => Severity::Info,
            SeverityArg::Low => Severity::Low,
            SeverityArg::Medium => Severity::Medium,
            SeverityArg::High => Severity::High,
            SeverityArg::Critical => Severity::Critical,
        });
    }
    let word = settings.fail_on.value.as_str();
    Severity::parse(word).ok_or_else(|| {
        Failure::usage(format!("`{word}` is no severity ({})", settings.fail_on.origin))
            .hint("fail_on is one of info, low, medium, high, critical")
    })
}

/// What the results mean for the exit code.
pub(super) fn exit(assessment: &Assessment, fail_on: Severity, unsure: Undetermined) -> Exit {
    let summary = assessment.summary();
    let nothing = summary.pass + summary.fail + summary.waived == 0;
    let finding = |result: &RuleResult| {
        result.waived.is_none() && result.status == Status::Fail && result.severity >= fail_on
    };
    if summary.error > 0 || nothing && unsure == Undetermined::Ignore {
        Exit::Partial
    } else if assessment.results.iter().any(finding)
        || unsure == Undetermined::Fail && summary.undetermined > 0
    {
        Exit::Findings
    } else {
        Exit::Clean
    }
}

/// Names the shipped rules and views that the user's own stand in for: every verdict may rest on
/// them.
pub(super) fn warn(checked: &Checked, console: &Console) {
    if !checked.replaced.is_empty() {
        let names = checked.replaced.join(", ");
        console.warn(&format!("your own files stand in for what is shipped: {names}"));
    }
}

/// One line that says what came out.
pub(super) fn summary(checked: &Checked) -> String {
    let counts = checked.assessment.summary();
    let mut text = format!(
        "{} passed, {} failed, {} undetermined, {} not applicable, {} waived, {} rules in error",
        counts.pass,
        counts.fail,
        counts.undetermined,
        counts.not_applicable,
        counts.waived,
        counts.error
    );
    if checked.out_of_scope > 0 {
        text += &format!("; {} results out of scope", checked.out_of_scope);
    }
    text
}

/// The results for a person: what failed, what could not be decided, then counts by rule.
fn human(assessment: &Assessment, console: &Console) -> String {
    let mut text = String::new();
    for (status, title, color) in [
        (Status::Error, "IN ERROR", "31"),
        (Status::Fail, "FAILED", "31"),
        (Status::Undetermined, "UNDETERMINED", "33"),
    ] {
        let mut results: Vec<&RuleResult> = assessment
            .results
            .iter()
            .filter(|result| result.status == status && result.waived.is_none())
            .collect();
        results.sort_by_key(|result| std::cmp::Reverse(result.severity));
        if results.is_empty() {
            continue;
        }
        text += &format!("{}\n", console.paint(title, color));
        for result in results {
            let subject = result.subject.as_ref().map_or("-", |subject| subject.id.as_str());
            text += &format!(
                "  {:8} {}  {}\n           {} [{}]\n",
                result.severity,
                result.rule,
                visible(subject),
                visible(&result.message),
                result.reason
            );
        }
        text.push('\n');
    }
    text + &by_rule(assessment)
}

fn by_rule(assessment: &Assessment) -> String {
    let mut text = "rule      pass  fail  undet  n/a  waived  title\n".to_owned();
    for rule in &assessment.rules {
        let mut counts = crate::finding::Summary::default();
        let own = assessment.results.iter().filter(|result| result.rule == rule.id);
        own.for_each(|result| counts.count(result));
        text += &format!(
            "{:8} {:5} {:5} {:6} {:4} {:7}  {}\n",
            rule.id,
            counts.pass,
            counts.fail,
            counts.undetermined,
            counts.not_applicable,
            counts.waived,
            rule.title
        );
    }
    text
}

/// A field of a log on a terminal: control characters, and those that turn the direction of text,
/// shown, not sent.
pub(super) fn visible(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let hidden = |c: char| c.is_control() || turns(c);
    text.chars()
        .map(|c| if hidden(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// An assessment without the facts around it: enough for CSV.
fn bare(assessment: &Assessment) -> ReportData {
    ReportData {
        assessment: assessment.clone(),
        title: String::new(),
        population: Vec::new(),
        keys: Vec::new(),
        rotations: Vec::new(),
        operations: Vec::new(),
        exercised: Vec::new(),
        evidence: std::collections::BTreeMap::new(),
        quarantine: Vec::new(),
        unclassified: Vec::new(),
    }
}
