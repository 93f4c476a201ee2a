//! The shipped rules against their fixtures.

use std::path::Path;

use keytrail::rule::{RuleSet, run_fixtures};

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_rule_does_what_its_fixtures_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Read from disk, so that a rule can be worked on without building anything.
    let rules = RuleSet::from_folder(&root.join("rules")).unwrap_or_else(|e| panic!("{e}"));
    let outcomes = run_fixtures(&rules, &root.join("fixtures/rules")).await;
    let broken: Vec<String> = outcomes
        .iter()
        .filter_map(|o| o.problem.as_ref().map(|why| format!("{}: {}: {why}", o.rule, o.fixture)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(rules.rules().count() >= 12, "rules are missing");
    assert!(outcomes.len() >= 36, "each rule has fixtures that fire, stay quiet and cannot tell");
}

#[test]
fn the_rules_in_the_program_are_those_of_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let shipped = RuleSet::load(None).unwrap();
    let on_disk = RuleSet::from_folder(&folder).unwrap();
    let digests = |set: &RuleSet| -> Vec<String> {
        set.rules().map(|rule| format!("{} {}", rule.header.id, rule.digest)).collect()
    };
    assert_eq!(digests(&shipped), digests(&on_disk));
}
