//! The pages that are made from code and rule files are those of the code and the rule files.

use std::fs;
use std::path::Path;

use keytrail::pipeline::docs::all;
use keytrail::rule::RuleSet;

#[test]
fn generated_pages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = all(&RuleSet::load(None).unwrap());
    assert!(pages.len() >= 3);
    for (page, content) in pages {
        let found = fs::read_to_string(root.join(page)).unwrap_or_default();
        assert!(found == content, "{page} is out of date: run `make docs`");
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dead = Vec::new();
    let pages = fs::read_dir(root).unwrap().chain(fs::read_dir(root.join("docs")).unwrap());
    for page in pages.map(|entry| entry.unwrap().path()) {
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|t| !t.is_empty() && !t.contains("://") && !t.contains(' ')) {
            if !page.parent().unwrap().join(target).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn the_tests_that_answer_complaints_of_others_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                code += &fs::read_to_string(entry).unwrap();
            }
        }
    }
    let page = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let table = page.split("| complaint | test |").nth(1).unwrap().split("\n\n").next().unwrap();
    let named: Vec<&str> =
        table.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() > 2).collect();
    assert!(named.len() > 25, "{named:?}");
    let missing: Vec<_> =
        named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
