//! `keytrail rules`.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::Exit;
use super::super::args::{Plain, Rules};
use super::super::console::{Console, data};
use super::super::failure::Failure;
use crate::finding::RuleInfo;
use crate::rule::{RuleSet, run_fixtures};
use crate::settings::Settings;

/// One rule in `rules list --format json`.
#[derive(Serialize)]
struct RuleJson {
    id: String,
    title: String,
    severity: String,
    family: String,
    needs: std::collections::BTreeMap<String, Vec<String>>,
    params: Map<String, Value>,
    controls: Vec<Value>,
}

pub(super) async fn run(
    args: &Rules,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let own = settings.rules.as_deref();
    match args {
        Rules::List { rules, format } => list(&infos(rules.as_deref().or(own))?, *format),
        Rules::Show { id, rules } => {
            let set = RuleSet::load(rules.as_deref().or(own))?;
            show(&set.info(set.get(id)?, &[])?)
        }
        Rules::Test { rules, fixtures } => {
            let set = RuleSet::load(rules.as_deref().or(own))?;
            test(&set, rules.is_some(), fixtures, console).await
        }
        Rules::New { id, rules, fixtures } => start(id, rules, fixtures),
    }
}

fn infos(folder: Option<&Path>) -> Result<Vec<RuleInfo>, Failure> {
    let set = RuleSet::load(folder)?;
    Ok(set.rules().map(|rule| set.info(rule, &[])).collect::<Result<_, _>>()?)
}

fn list(infos: &[RuleInfo], format: Plain) -> Result<Exit, Failure> {
    let text = match format {
        Plain::Human => infos.iter().fold(String::new(), |text, info| {
            let RuleInfo { id, severity, family, title, .. } = info;
            text + &format!("{id:8} {severity:9} {family:13} {title}\n")
        }),
        Plain::Json => {
            let rows: Vec<RuleJson> = infos.iter().map(row).collect();
            format!("{}\n", serde_json::to_string_pretty(&rows).map_err(Failure::job)?)
        }
    };
    data(&text)?;
    Ok(Exit::Clean)
}

fn row(info: &RuleInfo) -> RuleJson {
    let params = info.params.iter().map(|p| (p.name.clone(), Value::String(p.value.clone())));
    let controls = info.controls.iter().map(|control| {
        json!({
            "framework": control.framework, "control": control.control,
            "strength": control.strength.as_str(), "requires": control.requires,
        })
    });
    RuleJson {
        id: info.id.clone(),
        title: info.title.clone(),
        severity: info.severity.as_str().to_owned(),
        family: info.family.clone(),
        needs: info.needs.clone(),
        params: params.collect(),
        controls: controls.collect(),
    }
}

fn show(info: &RuleInfo) -> Result<Exit, Failure> {
    let mut text = format!("{}  {}\n", info.id, info.title);
    text +=
        &format!("severity {}, family {}\n\n{}\n\n", info.severity, info.family, info.rationale);
    text += &format!("What to do: {}\n\n", info.remediation);
    for (provider, kinds) in &info.needs {
        text += &format!("needs {provider}: {}\n", kinds.join(", "));
    }
    for param in &info.params {
        text += &format!("param {} = {}\n", param.name, param.value);
    }
    for control in &info.controls {
        text +=
            &format!("control {} {} ({})", control.framework, control.control, control.strength);
        text += &control.requires.as_ref().map_or_else(String::new, |r| format!(" requires {r}"));
        text.push('\n');
    }
    for reference in &info.references {
        text += &format!("see {reference}\n");
    }
    text += &format!("\n{}\n", info.sql.trim_end());
    data(&text)?;
    Ok(Exit::Clean)
}

/// Runs fixtures; where a user tests a folder of his own, the built-in rules need none.
async fn test(
    set: &RuleSet,
    own_only: bool,
    fixtures: &Path,
    console: &Console,
) -> Result<Exit, Failure> {
    if !fixtures.is_dir() {
        let text = format!("there is no folder {}", fixtures.display());
        return Err(Failure::usage(text).hint("name the folder of fixtures with --fixtures"));
    }
    let spinner = console.spinner("running fixtures");
    let mut outcomes = run_fixtures(set, fixtures).await;
    drop(spinner);
    let is_own = |id: &str| set.get(id).map_or(true, |rule| rule.family.starts_with("custom"));
    outcomes.retain(|outcome| !own_only || is_own(&outcome.rule));
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.problem.is_some()) {
        let problem = outcome.problem.as_deref().unwrap_or_default();
        text += &format!("FAILED {} {}: {problem}\n", outcome.rule, outcome.fixture);
    }
    let failed = outcomes.iter().filter(|outcome| outcome.problem.is_some()).count();
    text += &format!("{} fixtures passed, {failed} failed\n", outcomes.len() - failed);
    data(&text)?;
    Ok(if failed == 0 { Exit::Clean } else { Exit::Findings })
}

const TEMPLATE: &str = r#"/*+++
id = "@ID@"
title = "One sentence that says what must be so"
severity = "medium"
needs = { aws = ["aws.kms"] }
params = { fresh = "7d" }
rationale = "Why it matters."
remediation = "What to do when it fails."
references = []
+++*/
-- One row for each subject judged, passes included.
SELECT
  'key' AS subject_kind,
  key_id AS subject_id,
  provider,
  account,
  region,
  CASE WHEN state = 'disabled' THEN 'fail' ELSE 'pass' END AS status,
  CASE WHEN state = 'disabled' THEN 'disabled' ELSE 'in_use' END AS reason,
  concat('The key is ', state, ' since ', to_char(state_at, '%Y-%m-%d'), ' at the latest.') AS message,
  make_array(state_event) AS evidence,
  CASE WHEN state_event IS NULL THEN 0 ELSE 1 END AS evidence_count,
  inventory_refs,
  -- Where the state was read long ago, the verdict rests on nothing having changed it since.
  CASE WHEN state_at < $as_of - $fresh
    THEN make_array(named_struct('from', state_at, 'to', $as_of)) END AS absences
FROM key_state
WHERE provider = 'aws' AND state IS NOT NULL
"#;

const FIXTURE: &str = r#"{"as_of":"2026-10-01T00:00:00Z","period":["2025-10-01T00:00:00Z","2026-10-01T00:00:00Z"],"params":{}}
{"table":"keys","row":{"provider":"aws","account":"111122223333","region":"eu-central-1","key_id":"arn:aws:kms:eu-central-1:111122223333:key/1","state":"@STATE@","captured_at":"@AT@"}}
"#;

fn start(id: &str, rules: &Path, fixtures: &Path) -> Result<Exit, Failure> {
    let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || !id.chars().all(letters) || !id.contains('-') {
        let text = format!("`{id}` is no id of a rule");
        return Err(
            Failure::usage(text).hint("write capital letters and a number, such as ACME-01")
        );
    }
    let rule = rules.join("custom").join(format!("{}.sql", id.to_ascii_lowercase()));
    let own = fixtures.join(id);
    let fixture = |state: &str, at: &str| FIXTURE.replace("@STATE@", state).replace("@AT@", at);
    let files = [
        (rule, TEMPLATE.replace("@ID@", id)),
        (own.join("fires-disabled.jsonl"), fixture("disabled", "2026-09-30T00:00:00Z")),
        (own.join("quiet-enabled.jsonl"), fixture("enabled", "2026-09-30T00:00:00Z")),
        (own.join("undetermined-old.jsonl"), fixture("enabled", "2026-07-01T00:00:00Z")),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        let text = format!("{} exists already", path.display());
        return Err(Failure::usage(text).hint("choose another id, or edit the file"));
    }
    let mut text = String::new();
    for (path, content) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content)?;
        text += &format!("{}\n", path.display());
    }
    data(&text)?;
    Ok(Exit::Clean)
}
