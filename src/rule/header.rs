//! The TOML header in the leading comment of a rule or view file.
//!
//! A header stands between `/*+++` and `+++*/` before the query, so that the file runs as it is in
//! any SQL shell. Unknown fields are errors; every problem of a file is reported with its line.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::event::Provider;
use crate::finding::{COVERAGE_KINDS, Control, Severity, Strength};

use super::error::FileProblem;
use super::param::{Param, Params};
use super::requires;

const OPEN: &str = "/*+++";
const CLOSE: &str = "+++*/";

/// Names that the engine gives to every query.
pub(super) const GIVEN: &[&str] = &["period_from", "period_to", "as_of"];

/// What a rule says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleHeader {
    /// `ROT-01`, …
    pub id: String,
    /// One sentence.
    pub title: String,
    /// How bad a failed result is.
    pub severity: Severity,
    /// Coverage kinds needed, by provider.
    pub needs: BTreeMap<String, Vec<String>>,
    /// The parameters with the rule's own values.
    pub params: Params,
    /// Why the rule exists.
    pub rationale: String,
    /// What to do about a failed result.
    pub remediation: String,
    /// Pages to read.
    pub references: Vec<String>,
    /// The clauses it speaks to.
    pub controls: Vec<Control>,
    /// Whether the rule can always be decided, so that it needs no `undetermined` fixture.
    pub always_decidable: bool,
}

/// What a view says about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ViewHeader {
    pub(super) description: String,
    pub(super) params: Params,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    title: String,
    severity: String,
    #[serde(default)]
    needs: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
    rationale: String,
    remediation: String,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    controls: Vec<RawControl>,
    #[serde(default)]
    always_decidable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControl {
    framework: String,
    control: String,
    strength: String,
    requires: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawView {
    #[serde(default)]
    description: String,
    #[serde(default)]
    params: BTreeMap<String, toml::Value>,
}

/// A file taken apart.
struct Parts<'a> {
    /// The TOML text; `None` where there is no header.
    header: Option<&'a str>,
    /// The line that the TOML text begins on.
    line: usize,
    /// The query, moved to its own line by empty lines, so that an error names the file's line.
    sql: String,
}

/// Collects the problems of one file.
struct Problems<'a> {
    file: &'a str,
    header: &'a str,
    line: usize,
    found: Vec<FileProblem>,
}

/// Reads a rule file: its header and its query.
pub(super) fn read_rule(file: &str, text: &str) -> Result<(RuleHeader, String), Vec<FileProblem>> {
    let parts = split(file, text)?;
    let Some(header) = parts.header else {
        return Err(vec![FileProblem {
            file: file.to_owned(),
            line: Some(1),
            problem: "the file has no header".to_owned(),
            remedy: format!(
                "begin it with `{OPEN}`, the TOML fields id, title, severity, rationale and \
                 remediation, and `{CLOSE}`"
            ),
        }]);
    };
    let mut problems = Problems { file, header, line: parts.line, found: Vec::new() };
    let Some(raw) = problems.parse::<RawRule>() else { return Err(problems.found) };
    let header = problems.rule(raw);
    problems.query(&parts.sql);
    match header {
        Some(header) if problems.found.is_empty() => Ok((header, parts.sql)),
        _ => Err(problems.found),
    }
}

/// Reads a view file; its header may be absent.
pub(super) fn read_view(file: &str, text: &str) -> Result<(ViewHeader, String), Vec<FileProblem>> {
    let parts = split(file, text)?;
    let header = parts.header.unwrap_or_default();
    let mut problems = Problems { file, header, line: parts.line, found: Vec::new() };
    let Some(raw) = problems.parse::<RawView>() else { return Err(problems.found) };
    let params = problems.params(&raw.params);
    problems.query(&parts.sql);
    if problems.found.is_empty() {
        Ok((ViewHeader { description: raw.description, params }, parts.sql))
    } else {
        Err(problems.found)
    }
}

fn split<'a>(file: &str, text: &'a str) -> Result<Parts<'a>, Vec<FileProblem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.trim_start().strip_prefix(OPEN) else {
        return Ok(Parts { header: None, line: 1, sql: text.to_owned() });
    };
    let before = newlines(text) - newlines(rest);
    let Some((header, sql)) = rest.split_once(CLOSE) else {
        return Err(vec![FileProblem {
            file: file.to_owned(),
            line: Some(before + 1),
            problem: format!("the header that begins with `{OPEN}` does not end"),
            remedy: format!("end it with `{CLOSE}`"),
        }]);
    };
    let mut moved = "\n".repeat(before + newlines(header));
    moved.push_str(sql);
    Ok(Parts { header: Some(header), line: before + 1, sql: moved })
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

impl Problems<'_> {
    fn add(&mut self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let line = self.line_of(field);
        self.found.push(FileProblem {
            file: self.file.to_owned(),
            line: Some(line),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// The line of the first mention of a field or value; the header's first line without one.
    fn line_of(&self, mention: &str) -> usize {
        let found = self.header.lines().position(|line| line.contains(mention));
        self.line + found.unwrap_or(0)
    }

    fn parse<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        match toml::from_str(self.header) {
            Ok(raw) => Some(raw),
            Err(error) => {
                let before = error.span().and_then(|span| self.header.get(..span.start));
                self.found.push(FileProblem {
                    file: self.file.to_owned(),
                    line: Some(self.line + before.map_or(0, newlines)),
                    problem: error.message().trim().replace('\n', ", "),
                    remedy: "correct the TOML header".to_owned(),
                });
                None
            }
        }
    }

    fn query(&mut self, sql: &str) {
        if sql.trim().is_empty() {
            self.add("", "the file has no query", "write one SELECT after the header");
        }
    }

    fn rule(&mut self, raw: RawRule) -> Option<RuleHeader> {
        self.texts(&raw);
        let severity = self.word(&raw.severity, "severity", Severity::ALL, Severity::parse);
        self.needs(&raw.needs);
        let params = self.params(&raw.params);
        let controls =
            raw.controls.into_iter().filter_map(|raw| self.control(raw, &params)).collect();
        Some(RuleHeader {
            id: raw.id,
            title: raw.title,
            severity: severity?,
            needs: raw.needs,
            params,
            rationale: raw.rationale.trim().to_owned(),
            remediation: raw.remediation.trim().to_owned(),
            references: raw.references,
            controls,
            always_decidable: raw.always_decidable,
        })
    }

    fn texts(&mut self, raw: &RawRule) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if raw.id.is_empty() || !raw.id.chars().all(allowed) {
            self.add("id", format!("`{}` is no id", raw.id), "use letters, digits, `-`, `_`, `.`");
        }
        for (name, text) in [
            ("title", &raw.title),
            ("rationale", &raw.rationale),
            ("remediation", &raw.remediation),
        ] {
            if text.trim().is_empty() {
                self.add(name, format!("`{name}` is empty"), "write one sentence");
            }
        }
    }

    fn word<T: Copy + std::fmt::Display>(
        &mut self,
        word: &str,
        field: &str,
        all: &[T],
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(word);
        if value.is_none() {
            let words: Vec<String> = all.iter().map(ToString::to_string).collect();
            self.add(
                word,
                format!("`{word}` is no {field}"),
                format!("use one of {}", words.join(", ")),
            );
        }
        value
    }

    fn needs(&mut self, needs: &BTreeMap<String, Vec<String>>) {
        for (provider, kinds) in needs {
            let _ = self.word(provider, "provider", Provider::ALL, Provider::parse);
            for kind in kinds {
                if !COVERAGE_KINDS.contains(&kind.as_str()) {
                    self.add(
                        kind,
                        format!("`{kind}` is no kind of coverage"),
                        format!("use one of {}", COVERAGE_KINDS.join(", ")),
                    );
                } else if kind.split('.').next() != Some(provider.as_str()) {
                    self.add(
                        kind,
                        format!("`{kind}` is no log of {provider}"),
                        "list it under its own provider",
                    );
                }
            }
        }
    }

    fn params(&mut self, raw: &BTreeMap<String, toml::Value>) -> Params {
        let mut params = Params::new();
        for (name, value) in raw {
            let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
            if !first || !name.chars().all(lower) {
                self.add(
                    name,
                    format!("`{name}` is no name for a parameter"),
                    "use lower-case letters, digits and `_`",
                );
            }
            match Param::from_toml(value) {
                Ok(param) => {
                    params.insert(name.clone(), param);
                }
                Err(remedy) => {
                    self.add(name, format!("parameter `{name}` has no usable value"), remedy);
                }
            }
        }
        self.clashes(&params);
        params
    }

    /// A name that the engine gives, or that belongs to a duration, may not be used again.
    fn clashes(&mut self, params: &Params) {
        let mut taken: BTreeMap<String, &str> =
            GIVEN.iter().map(|name| ((*name).to_owned(), "every query")).collect();
        for (name, param) in params {
            for (given, _) in param.literals(name).into_iter().skip(1) {
                taken.insert(given, name);
            }
        }
        for name in params.keys() {
            if let Some(owner) = taken.get(name) {
                self.add(
                    name,
                    format!("parameter `{name}` is already given to {owner}"),
                    "rename the parameter",
                );
            }
        }
    }

    fn control(&mut self, raw: RawControl, params: &Params) -> Option<Control> {
        for (name, text) in [("framework", &raw.framework), ("control", &raw.control)] {
            if text.trim().is_empty() {
                self.add(name, format!("`{name}` of a control is empty"), "name it");
            }
        }
        if let Some(problem) =
            raw.requires.as_ref().and_then(|text| requires::check(text, params).err())
        {
            let text = raw.requires.clone().unwrap_or_default();
            self.add(&text, problem, "correct `requires`");
        }
        let strength = self.word(&raw.strength, "strength", Strength::ALL, Strength::parse)?;
        Some(Control {
            framework: raw.framework,
            control: raw.control,
            strength,
            requires: raw.requires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"/*+++
id = "ROT-02"
title = "Every interval is within the cryptoperiod"
severity = "high"
needs = { aws = ["aws.kms"], gcp = ["gcp.kms.admin"] }
params = { period = "365d", grace = "7d", names = ["a"] }
rationale = "Because."
remediation = "Rotate."
references = ["https://example.org"]
[[controls]]
framework = "pci-dss-4.0.1"
control = "3.7.4"
strength = "direct"
requires = "period <= 365d"
+++*/
SELECT 1
"#;

    #[test]
    fn a_header_is_read_and_the_query_keeps_its_line() {
        let (header, sql) = read_rule("a.sql", GOOD).unwrap();
        assert_eq!(header.id, "ROT-02");
        assert_eq!(header.severity, Severity::High);
        assert_eq!(header.params["period"].as_written(), "365d");
        assert_eq!(header.controls[0].requires.as_deref(), Some("period <= 365d"));
        assert!(!header.always_decidable);
        let line = |text: &str| text.lines().position(|line| line == "SELECT 1");
        assert_eq!(line(&sql), line(GOOD));
    }

    #[test]
    fn a_comment_sign_in_the_header_does_not_reach_the_query() {
        let text = GOOD.replace("Because.", "Because of aws/* and */ too.");
        assert!(!read_rule("a.sql", &text).unwrap().1.contains("/*"));
    }

    #[test]
    fn every_problem_is_named_with_file_and_line() {
        let text = GOOD
            .replace("\"high\"", "\"terrible\"")
            .replace("aws.kms", "aws.nothing")
            .replace("gcp = [\"gcp", "azure = [\"gcp")
            .replace("period <= 365d", "periode <= 365d")
            .replace("\"direct\"", "\"strong\"");
        let problems = read_rule("rot/a.sql", &text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(|problem| problem.line.unwrap()).collect();
        assert_eq!(lines, [4, 5, 5, 14, 13], "{problems:#?}");
        assert!(problems[0].to_string().starts_with("rot/a.sql:4: `terrible` is no severity; use"));
    }

    #[test]
    fn unknown_and_missing_fields_are_refused() {
        let unknown = GOOD.replace("rationale", "rationnale");
        let problems = read_rule("a.sql", &unknown).unwrap_err();
        assert_eq!(problems[0].line, Some(7));
        let missing = GOOD.replace("severity = \"high\"\n", "");
        assert!(read_rule("a.sql", &missing).unwrap_err()[0].problem.contains("severity"));
    }

    #[test]
    fn a_file_without_header_or_query_is_refused() {
        assert!(read_rule("a.sql", "SELECT 1").is_err());
        assert!(read_rule("a.sql", "\n/*+++\nid = \"x\"").unwrap_err()[0].line == Some(2));
        let (head, _) = GOOD.split_once("SELECT").unwrap();
        assert!(read_rule("a.sql", head).unwrap_err()[0].problem.contains("no query"));
    }

    #[test]
    fn a_parameter_may_not_take_a_name_that_is_given() {
        for bad in [
            "as_of = 1",
            "period_from = 1",
            "period = \"1d\", period_days = 3",
            "Bad = 1",
            "when = 2020-01-01",
            "mixed = [1]",
        ] {
            let text = GOOD
                .replace("grace = \"7d\"", bad)
                .replace("period = \"365d\", ", "")
                .replace("requires = \"period <= 365d\"\n", "");
            assert!(read_rule("a.sql", &text).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_view_needs_no_header() {
        assert_eq!(read_view("v.sql", "SELECT 1").unwrap().0, ViewHeader::default());
        let (header, _) =
            read_view("v.sql", "/*+++ description=\"d\"\nparams={x=1} +++*/\nSELECT 1").unwrap();
        assert_eq!((header.description.as_str(), header.params.len()), ("d", 1));
        assert!(read_view("v.sql", "/*+++ id=\"d\" +++*/\nSELECT 1").is_err());
    }

    proptest::proptest! {
        #[test]
        fn hostile_files_never_panic(text in ".{0,60}", toml in "[a-z =\\[\\]{}\"0-9\n.]{0,60}") {
            drop(read_rule("f", &text));
            drop(read_rule("f", &format!("/*+++{toml}+++*/ {text}")));
            drop(read_view("f", &format!("/*+++{toml}+++*/ {text}")));
            drop(crate::rule::read_waivers("f", &toml));
            drop(crate::rule::read_waivers("f", &format!("[[waiver]]\n{toml}")));
            drop(crate::rule::read_people("f", &format!("person,identity,kind\n{text}")));
            drop(crate::rule::read_approvals("f", &text));
        }
    }
}
