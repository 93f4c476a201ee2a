//! What can be wrong with a question to the engine. A broken query is no such error: it becomes an
//! `error` result of its rule.

use std::fmt;

/// What is wrong with one file, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1; `None` where the problem is about the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}; {}", self.file, self.problem, self.remedy),
            None => write!(f, "{}: {}; {}", self.file, self.problem, self.remedy),
        }
    }
}

/// What is wrong with a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Files that cannot be used: every one of them, not the first.
    #[error("{}", lines(.0))]
    Files(Vec<FileProblem>),
    /// A rule or view that does not exist.
    #[error("no rule is called `{asked}`{}", near.as_ref().map_or_else(
        || "; `keytrail rules list` shows them all".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    ))]
    UnknownRule {
        /// What was asked for.
        asked: String,
        /// The closest id.
        near: Option<String>,
    },
    /// A parameter that does not exist, or a value of the wrong type.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// `RULE.param` as it was given.
        name: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A query outside of any rule failed.
    #[error("{0}")]
    Query(String),
}

fn lines(problems: &[FileProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
