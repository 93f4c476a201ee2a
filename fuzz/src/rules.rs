//! Rule and view files.

use keytrail::rule::{RuleError, RuleSet};

const HEAD: &str = "/*+++\nid = \"X-1\"\ntitle = \"t\"\nseverity = \"low\"\nrationale = \"r\"\n\
                    remediation = \"r\"\n";

/// Any text as a rule, as the header of one, as its query, and as a view: it is read or refused
/// with its file and line, the same each time. The SQL is parsed where a view is read.
pub fn rules(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let query = format!("{HEAD}+++*/\n{text}");
    let header = format!("{HEAD}{text}\n+++*/\nSELECT 1");
    for (path, text) in [
        ("x/rule.sql", text),
        ("x/query.sql", &query),
        ("x/header.sql", &header),
        ("views/v.sql", text),
    ] {
        let read = || RuleSet::from_texts(&[(path, text)]);
        match (read(), read()) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.digest(), other.digest(), "{text}");
                assert_eq!(one.rules().count() + one.views().len(), 1, "{text}");
                for rule in one.rules() {
                    assert!(!rule.sql.trim().is_empty(), "a rule without a query: {text}");
                    one.info(rule, &[]).unwrap();
                }
            }
            (Err(RuleError::Files(problems)), Err(_)) => {
                assert!(!problems.is_empty(), "{text}");
                let lines = text.lines().count() + 1;
                for problem in problems {
                    assert_eq!(problem.file, path);
                    assert!(
                        problem.line.is_none_or(|line| (1..=lines).contains(&line)),
                        "{problem}"
                    );
                    assert!(!problem.remedy.is_empty(), "{problem}");
                }
            }
            (one, _) => panic!("{one:?} from {text}"),
        }
    }
}
