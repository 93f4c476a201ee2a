//! The shape of the code: layers, who may name what, sizes, and the pages that describe it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src`, lowest layer first. Modules on one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["event", "secret"],
    &["finding"],
    &["provider", "report", "forward", "verify", "ledger"],
    &["store"],
    &["rule"],
    &["pipeline"],
    &["settings"],
    &["cli"],
];

/// Names that only some files may use, given by the beginning of their path below `src`.
const RESERVED: &[(&str, &[&str])] = &[
    ("deltalake::", &["store"]),
    ("object_store::", &["store", "provider"]),
    ("datafusion::", &["store", "rule"]),
    ("askama::", &["report"]),
    ("cryptoki_sys::", &["verify"]),
    ("clap::", &["cli"]),
    ("clap_complete::", &["cli"]),
    ("clap_mangen::", &["cli"]),
    ("indicatif::", &["cli"]),
    ("tracing_subscriber::", &["cli"]),
    ("toml::", &["settings", "rule", "cli/commands/config"]),
    ("println!", &["cli/console"]),
    ("print!", &["cli/console"]),
    ("io::stdout", &["cli/console"]),
    ("io::stderr", &["cli/console"]),
    ("env::var", &["cli/env"]),
    ("env::args", &["cli", "main"]),
    ("Timestamp::now", &["cli", "main"]),
    // A signature is good for minutes from the moment that it is made.
    ("SystemTime::now", &["cli", "provider/aws/auth"]),
    ("reqwest::", &["provider/http", "provider/bucket"]),
    ("aws_config::", &["provider/aws/auth"]),
    ("aws_sigv4::", &["provider/aws/auth"]),
    ("google_cloud_auth::", &["provider/gcp/auth"]),
    ("azure_identity::", &["provider/azure/auth"]),
];

/// How long a file may be, tests aside.
const FILE_LINES: usize = 500;

struct Source {
    /// Path below `src`.
    path: String,
    /// The code without its tests, comments and strings.
    code: String,
    /// Lines without tests.
    lines: usize,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    assert!(paths.len() > 50, "the sources were not found");
    paths.iter().filter(|path| !path.ends_with("tests.rs")).map(|path| read(path)).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let tests = text.find("#[cfg(test)]\nmod ").filter(|at| text[*at..].contains('{'));
    let text = &text[..tests.unwrap_or(text.len())];
    let relative = path.strip_prefix(root().join("src")).unwrap();
    Source {
        path: relative.display().to_string(),
        code: code_of(text),
        lines: text.lines().count(),
    }
}

/// The text without comments and the content of strings; enough for finding names.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = &rest[hashes + 2..];
            rest = body.find(&close).map_or("", |end| &body[end + close.len()..]);
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            rest = end.map_or("", |end| &rest[end + 2..]);
        } else if let Some(quote) =
            ["'\"'", "'\\\"'", "'\\''"].iter().find(|q| rest.starts_with(**q))
        {
            rest = &rest[quote.len()..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// The number of `#` of a raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The words that follow each `before` in the code.
fn words_after(code: &str, before: &str) -> BTreeSet<String> {
    code.match_indices(before)
        .map(|(at, _)| {
            let rest = &code[at + before.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .filter(|word: &String| !word.is_empty())
        .collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level module that a file belongs to; none for the crate's root.
fn module_of(path: &str) -> Option<&str> {
    let first = path.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then_some(first)
}

/// Whether `name` stands in the code as a name of its own.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[track_caller]
fn none(violations: &[String], what: &str) {
    assert!(violations.is_empty(), "{what}:\n{}", violations.join("\n"));
}

#[test]
fn modules_use_only_lower_layers() {
    let mut violations = Vec::new();
    for source in sources() {
        let Some(module) = module_of(&source.path) else { continue };
        let Some(own) = layer_of(module) else {
            violations.push(format!("src/{}: `{module}` has no layer", source.path));
            continue;
        };
        for used in words_after(&source.code, "crate::") {
            if used != module && layer_of(&used).is_some_and(|layer| layer >= own) {
                violations.push(format!("src/{}: `{module}` uses `{used}`", source.path));
            }
        }
    }
    none(&violations, "layers crossed");
}

#[test]
fn every_use_names_one_module() {
    let braced = sources().into_iter().filter(|source| source.code.contains("crate::{"));
    let violations: Vec<String> = braced.map(|source| format!("src/{}", source.path)).collect();
    none(&violations, "write `use crate::x::…` once a module in");
}

#[test]
fn no_path_climbs_past_its_own_top_level_module() {
    let mut violations = Vec::new();
    for source in sources() {
        let depth = source.path.matches('/').count() + 1;
        if module_of(&source.path).is_some() && source.code.contains(&"super::".repeat(depth)) {
            violations.push(format!("src/{}", source.path));
        }
    }
    none(&violations, "`super::` reaches the root of the crate, where layers are not checked");
}

#[test]
fn names_stay_with_the_modules_that_own_them() {
    let mut violations = Vec::new();
    for source in sources() {
        for (name, owners) in RESERVED {
            let owned = owners.iter().any(|owner| {
                source.path.strip_prefix(owner).is_some_and(|rest| rest.starts_with(['.', '/']))
            });
            if !owned && names(&source.code, name) {
                violations.push(format!("src/{}: names {name}", source.path));
            }
        }
    }
    none(&violations, "names used outside the modules that own them");
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter(|source| source.lines > FILE_LINES);
    let violations: Vec<String> =
        long.map(|source| format!("src/{}: {} lines", source.path, source.lines)).collect();
    none(&violations, "files of more than 500 lines without tests");
}

#[test]
fn the_page_on_architecture_is_short_and_every_path_it_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 150, "ARCHITECTURE.md has {} lines", text.lines().count());
    let named = text.split('`').skip(1).step_by(2).filter(|name| is_path(name));
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let linked = linked.filter(|target| !target.is_empty() && !target.contains("://"));
    let missing: Vec<String> = named
        .chain(linked)
        .filter(|name| !root().join(name.trim_end_matches('/')).exists())
        .map(str::to_owned)
        .collect();
    none(&missing, "ARCHITECTURE.md names what does not exist");
}

/// Whether a word in code type is meant as a path of this repository.
fn is_path(word: &str) -> bool {
    const TOPS: &[&str] =
        &["src/", "rules/", "tests/", "fixtures/", "templates/", "docs/", "scripts/", ".ci/"];
    let plain = !word.contains([' ', '*', '<', '{', '…', '$', ':', '(']);
    let ends = [".rs", ".md", ".toml", ".sql", ".html", ".sh"];
    plain
        && (TOPS.iter().any(|top| word.starts_with(top))
            || (!word.contains('/')
                && ends.iter().any(|end| word.len() > 4 && word.ends_with(end))
                && word.chars().next().is_some_and(char::is_uppercase)))
}

#[test]
fn the_scanner_drops_comments_strings_and_tests() {
    let code = code_of("a // crate::x\nb \"crate::{ \\\" \" c r#\"deltalake::\"# '\"' d");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert!(names("use clap::Parser;", "clap::") && !names("use my_clap::x;", "clap::"));
    assert!(is_path("src/store.rs") && is_path("README.md") && !is_path("a/b") && !is_path("x.rs"));
}
