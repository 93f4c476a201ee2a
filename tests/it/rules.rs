//! The shipped rules against their fixtures.

use std::path::Path;

use keytrail::rule::{RuleSet, run_fixtures};

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_rule_does_what_its_fixtures_say() {
    let rules = RuleSet::load(None).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rules");
    let outcomes = run_fixtures(&rules, &folder).await;
    let broken: Vec<String> = outcomes
        .iter()
        .filter_map(|o| o.problem.as_ref().map(|why| format!("{}: {}: {why}", o.rule, o.fixture)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(rules.rules().count() >= 12, "rules are missing");
    assert!(outcomes.len() >= 36, "each rule has fixtures that fire, stay quiet and cannot tell");
}
