//! `docs`: the pages of the documentation that are made from tables in the code and from the rule
//! files, so that they cannot say anything else than the program does.
//!
//! Pure: the same tables and rules give the same bytes. Texts are the code's own and stand as
//! Markdown; in cells of a table a bar is escaped and a line break becomes a space.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::schema;
use crate::event::{ACTIONS, Action};
use crate::finding::Control;
use crate::provider::aws;
use crate::provider::azure;
use crate::provider::cn;
use crate::provider::gcp;
use crate::rule::{Rule, RuleSet};

/// The first line of every page.
const MADE: &str =
    "<!-- Made by `keytrail docs docs`; edit the code or the rule files instead. -->";

/// What the tables hold: name, meaning.
const TABLES: &[(&str, &str)] = &[
    (
        "events",
        "One row per provider record that is about keys, HSMs, vaults or the logging of them.",
    ),
    ("quarantine", "Records that could not be translated, each with the reason."),
    (
        "coverage",
        "Which stretch of which log is proven read, declared to be, or shown to be missing.",
    ),
    ("keys", "Facts about keys from inventory documents; a row may tell one fact alone."),
    ("key_versions", "Versions of keys, or the pieces of key material in them."),
    ("hsms", "HSMs, HSM clusters, pools and vaults."),
    (
        "log_settings",
        "What is logged, where to and for how long: trails, log groups, diagnostic settings.",
    ),
    (
        "verifications",
        "What `verify` found: a row for each check of a run and what it was made on; `inventory.key` tells what a \
         token says of a key.",
    ),
    (
        "verification_steps",
        "The calls of the newest runs of `verify` beside the log of the HSM, computed from stored calls and events.",
    ),
    ("people", "Who is behind which identity, from `people.csv` of the run."),
    ("approvals", "Who approved what, from `approvals.csv` of the run."),
    (
        "journal",
        "The physical table of events, quarantined records and receipts, for other readers.",
    ),
];

/// What a table of operations cannot say: where the record decides as well.
const DECIDED_BY_THE_RECORD: &[&str] = &[
    "CloudTrail: an operation that is not listed and says `readOnly: true` is a reading.",
    "CloudTrail: operations on log groups count where the group holds the log of an HSM or the copy of a \
     trail; trusted access of an organization where it is that of CloudTrail.",
    "Google Cloud: `UpdateCryptoKey` and `UpdateCryptoKeyVersion` are told by what the request changes (rotation, \
     state, labels); `CreateCryptoKeyVersion` is `key.rotate` where the entry shows the new version as the \
     primary one; `SetIamPolicy` is told by its resource; a method that is not listed and only reads is a reading.",
    "Google Cloud: `UpdateSink` is `logging.stop` or `logging.start` where it switches the sink off or on; a policy of \
     a project, folder or organization counts where it changes what is audited.",
    "Key Vault and Managed HSM: `KeyUpdate` is `key.enable` or `key.disable` where the attributes after the call say \
     so; `KeyRotateIfDue` is `key.rotate` only where the record names a new version; names that are not listed \
     are told by the request's path and verb; for a Managed HSM, `vault.*` is `hsm.*`.",
    "Azure Activity Log: of other services those operations count that are done to a vault, an HSM, or the diagnostic \
     settings of one or of a subscription: diagnostic settings are `logging.*`, role assignments and definitions \
     `vault.policy.set`, `hsm.role.change` or `key.policy.set`, locks and policies `vault.update`, tags `tag.change`.",
];

/// Every generated page: its path in the repository and its content.
pub fn all(set: &RuleSet) -> Vec<(&'static str, String)> {
    vec![
        ("docs/actions.md", actions()),
        ("docs/schema.md", schema()),
        ("docs/rules.md", rules(set)),
    ]
}

/// The canonical actions, each with the operations of the providers that it stands for.
pub fn actions() -> String {
    let sources = sources();
    let mut lines = page("Actions");
    lines.push(
        "Every event has one canonical `action`, the same for all providers, beside the provider's own word in \
         `native_action`. An operation that stands in no table is kept with the action `other` and counted in the \
         report as not classified; nothing that is about keys is dropped."
            .to_owned(),
    );
    lines.push(String::new());
    lines.push("Where the record decides as well as the name of the operation:".to_owned());
    lines.push(String::new());
    lines.extend(DECIDED_BY_THE_RECORD.iter().map(|note| format!("- {note}")));
    for category in categories() {
        lines.extend([String::new(), format!("## {category}"), String::new()]);
        lines.extend(header(&["action", "meaning", "operations"]));
        for info in ACTIONS.iter().filter(|info| info.category == category) {
            let operations = operations(&sources, info.action);
            lines.push(row(&[&format!("`{}`", info.word), info.meaning, &operations]));
        }
    }
    finish(&lines)
}

/// The categories in the order of the actions.
fn categories() -> Vec<&'static str> {
    let mut categories: Vec<&str> = Vec::new();
    for info in ACTIONS {
        if !categories.contains(&info.category) {
            categories.push(info.category);
        }
    }
    categories
}

/// Every mapper's table: what the provider calls the log or service, operation and action.
fn sources() -> Vec<(String, Vec<(&'static str, Action)>)> {
    let mut sources = Vec::new();
    for service in aws::cloudtrail::SERVICES {
        sources.push((service.source.to_owned(), service.operations.to_vec()));
    }
    for service in gcp::audit::SERVICES {
        sources.push((service.source.to_owned(), service.methods.to_vec()));
    }
    let hsm = cn::OPERATIONS.iter().map(|operation| (operation.name, operation.action)).collect();
    sources.push(("CloudHSM and Azure Cloud HSM".to_owned(), hsm));
    let vault =
        azure::keyvault::OPERATIONS.iter().map(|known| (known.name, known.action)).collect();
    sources.push(("Key Vault and Managed HSM".to_owned(), vault));
    let activity = azure::activity::OPERATIONS.iter().map(|known| (known.name, known.action));
    sources.push(("Azure Activity Log".to_owned(), activity.collect()));
    sources
}

/// The operations that an action stands for, as one cell.
fn operations(sources: &[(String, Vec<(&str, Action)>)], action: Action) -> String {
    let of_source = |(source, table): &(String, Vec<(&str, Action)>)| {
        let names: Vec<String> = table
            .iter()
            .filter(|(_, own)| *own == action)
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        (!names.is_empty()).then(|| format!("{source}: {}", names.join(", ")))
    };
    sources.iter().filter_map(of_source).collect::<Vec<_>>().join("<br>")
}

/// The tables that rules and queries see, with their columns.
pub fn schema() -> String {
    let mut lines = page("Tables");
    lines.push(format!(
        "Schema version {}. Columns are only ever added. Times are UTC with microseconds; `details` is a small JSON \
         object as text, read in SQL with `json_text`, `json_int` and `json_bool`. The views that the rules share are \
         described in [rules.md](rules.md#views).",
        schema::SCHEMA_VERSION
    ));
    for (name, meaning) in TABLES {
        lines.extend([String::new(), format!("## {name}"), String::new()]);
        lines.push((*meaning).to_owned());
        if *name == "journal" {
            lines.push(journal_note());
        }
        lines.push(String::new());
        lines.extend(header(&["column", "type", "null", "meaning"]));
        for (column, kind, nullable, meaning) in schema::describe(name) {
            if *name == "journal" && is_of_events(column) {
                continue;
            }
            let null = if nullable { "yes" } else { "" };
            lines.push(row(&[&format!("`{column}`"), &kind, null, meaning]));
        }
    }
    finish(&lines)
}

fn journal_note() -> String {
    "Rules and `keytrail query` do not see it; `events`, `quarantine` and `coverage` are views on it. It has all \
     columns of `events`, null where a row is no event, and besides them:"
        .to_owned()
}

fn is_of_events(column: &str) -> bool {
    schema::describe("events").iter().any(|(name, ..)| *name == column)
}

/// The rules in force, the clauses that they speak to, and the views.
pub fn rules(set: &RuleSet) -> String {
    let mut lines = page("Rules");
    lines.push(format!(
        "{} rules are built in. A rule says `undetermined` where it would conclude from silence and the kinds of log that \
         it needs are not covered ([what that means](rule-language.md#the-gate)).",
        set.rules().count()
    ));
    lines.push(String::new());
    lines.extend(header(&["rule", "title", "severity", "family"]));
    for rule in set.rules() {
        let header = &rule.header;
        let link = format!("[{}](#{})", header.id, anchor(&header.id));
        lines.push(row(&[&link, &header.title, header.severity.as_str(), &rule.family]));
    }
    for rule in set.rules() {
        lines.extend(rule_section(rule));
    }
    lines.extend(frameworks(set));
    lines.extend(views(set));
    finish(&lines)
}

fn rule_section(rule: &Rule) -> Vec<String> {
    let header = &rule.header;
    let mut lines = vec![String::new(), format!("## {}", header.id), String::new()];
    lines.push(format!("**{}.**", header.title));
    lines.push(String::new());
    let path = &rule.path;
    lines.push(format!("- severity: {}", header.severity));
    lines.push(format!("- file: [rules/{path}](../rules/{path})"));
    let needs = header.needs.iter().map(|(provider, kinds)| {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        format!("{provider} {}", kinds.join(", "))
    });
    let needs: Vec<String> = needs.collect();
    let needs = if needs.is_empty() { "no log".to_owned() } else { needs.join("; ") };
    lines.push(format!("- needs: {needs}"));
    let params: Vec<String> = header
        .params
        .iter()
        .map(|(name, value)| format!("`{name}` = `{}`", value.as_written()))
        .collect();
    if !params.is_empty() {
        lines.push(format!("- parameters: {}", params.join(", ")));
    }
    for (word, text) in [("Why", &header.rationale), ("What to do", &header.remediation)] {
        lines.extend([String::new(), format!("{word}: {}", text.trim())]);
    }
    lines.extend(controls(&header.controls));
    if !header.references.is_empty() {
        lines.extend([String::new(), "Read more:".to_owned(), String::new()]);
        lines.extend(header.references.iter().map(|page| format!("- <{page}>")));
    }
    lines
}

fn controls(controls: &[Control]) -> Vec<String> {
    if controls.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new()];
    lines.extend(header(&["framework", "control", "strength", "requires"]));
    for control in controls {
        let requires = control.requires.as_ref().map(|text| format!("`{text}`"));
        let strength = control.strength.as_str();
        let requires = requires.unwrap_or_default();
        lines.push(row(&[&control.framework, &control.control, strength, &requires]));
    }
    lines
}

/// Which rules speak to which clause.
fn frameworks(set: &RuleSet) -> Vec<String> {
    let mut clauses: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for rule in set.rules() {
        let id = &rule.header.id;
        let link = format!("[{id}](#{})", anchor(id));
        for control in &rule.header.controls {
            let clause = (control.framework.as_str(), control.control.as_str());
            clauses.entry(clause).or_default().insert(link.clone());
        }
    }
    let mut lines = vec![String::new(), "## Clauses".to_owned(), String::new()];
    lines.push(
        "Which rules speak to which clause of a framework; how closely stands with each rule."
            .to_owned(),
    );
    lines.push(String::new());
    lines.extend(header(&["framework", "control", "rules"]));
    for ((framework, control), rules) in clauses {
        let rules: Vec<String> = rules.into_iter().collect();
        lines.push(row(&[framework, control, &rules.join(", ")]));
    }
    lines
}

fn views(set: &RuleSet) -> Vec<String> {
    let mut lines = vec![String::new(), "## Views".to_owned(), String::new()];
    lines.push(
        "The rules share these views. Each is an SQL file, so that a fact can be followed to the events and inventory \
         rows that it was derived from; `keytrail query` reads them too."
            .to_owned(),
    );
    lines.push(String::new());
    lines.extend(header(&["view", "meaning", "uses"]));
    let mut all: Vec<_> = set.views().iter().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for view in all {
        let link = format!("[{}](../rules/{})", view.name, view.path);
        let uses: Vec<String> = view.uses.iter().map(|name| format!("`{name}`")).collect();
        lines.push(row(&[&link, &view.description, &uses.join(", ")]));
    }
    lines
}

fn page(title: &str) -> Vec<String> {
    vec![MADE.to_owned(), String::new(), format!("# {title}"), String::new()]
}

fn finish(lines: &[String]) -> String {
    format!("{}\n", lines.join("\n"))
}

fn header(names: &[&str]) -> Vec<String> {
    vec![row(names), format!("|{}", "---|".repeat(names.len()))]
}

fn row(cells: &[&str]) -> String {
    let cell = |text: &&str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").replace('|', "\\|")
    };
    format!("| {} |", cells.iter().map(cell).collect::<Vec<_>>().join(" | "))
}

/// The anchor that Markdown readers give to a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_every_table_stands_in_the_page_of_actions() {
        let page = actions();
        for (source, table) in sources() {
            for (name, action) in table {
                let line = page.lines().find(|line| line.starts_with(&format!("| `{action}` |")));
                assert!(
                    line.is_some_and(|line| line.contains(&format!("`{name}`"))),
                    "{source}: {name}"
                );
            }
        }
    }

    #[test]
    fn every_table_and_column_is_described() {
        let page = schema();
        let described: BTreeSet<&str> = TABLES.iter().map(|(name, _)| *name).collect();
        for name in schema::VISIBLE.iter().chain(&["journal"]) {
            assert!(described.contains(name), "{name}");
            for (column, ..) in schema::describe(name) {
                assert!(page.contains(&format!("| `{column}` |")), "{name}.{column}");
            }
        }
    }

    #[test]
    fn every_rule_and_every_clause_that_it_names_is_listed() {
        let text = "/*+++\nid = \"T-1\"\ntitle = \"A | b\"\nseverity = \"low\"\nrationale = \"r\"\n\
                    remediation = \"s\"\nneeds = { aws = [\"aws.kms\"] }\nparams = { period = \"1d\" }\n\
                    [[controls]]\nframework = \"f\"\ncontrol = \"1(a)\"\nstrength = \"direct\"\n\
                    requires = \"period <= 1d\"\n+++*/\nSELECT 1\n";
        let view = "/*+++\ndescription = \"\"\"What\nit shows.\"\"\"\n+++*/\nSELECT * FROM events";
        let set = RuleSet::from_texts(&[("x/t-1.sql", text), ("views/v.sql", view)]).unwrap();
        let page = rules(&set);
        for line in [
            "| [T-1](#t-1) | A \\| b | low | x |",
            "- file: [rules/x/t-1.sql](../rules/x/t-1.sql)",
            "- needs: aws `aws.kms`",
            "- parameters: `period` = `1d`",
            "| f | 1(a) | direct | `period <= 1d` |",
            "| f | 1(a) | [T-1](#t-1) |",
            "| [v](../rules/views/v.sql) | What it shows. |  |",
        ] {
            assert!(page.lines().any(|own| own == line), "{line}\n{page}");
        }
        assert_eq!(all(&set).len(), 3);
    }
}
