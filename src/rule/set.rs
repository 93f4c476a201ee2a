//! The rule and view files in force: the embedded ones, and a user's own on top of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use include_dir::{Dir, include_dir};

use crate::event::sha256_hex;
use crate::finding::{ParamInfo, RuleInfo};

use super::error::{FileProblem, RuleError};
use super::functions::glob;
use super::header::{RuleHeader, read_rule, read_view};
use super::param::{ParamOverride, Params, resolve};
use super::sandbox;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/rules");

/// The folder of the views.
const VIEWS: &str = "views";

/// A rule file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it says about itself.
    pub header: RuleHeader,
    /// The folder it lies in; `custom:<folder>` for a user's own.
    pub family: String,
    /// Its path below the folder of rules.
    pub path: String,
    /// The query, with empty lines in place of the header.
    pub sql: String,
    /// SHA-256 of the file.
    pub digest: String,
}

/// A view file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its name: that of the file.
    pub name: String,
    /// What it shows, one sentence.
    pub description: String,
    /// Its parameters.
    pub params: Params,
    /// Its path below the folder of rules.
    pub path: String,
    /// The query, with empty lines in place of the header.
    pub sql: String,
    /// The views that it reads.
    pub uses: Vec<String>,
    /// Whether the file is a user's own.
    pub custom: bool,
}

/// All rules and views in force.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: BTreeMap<String, Rule>,
    /// Each after the views that it uses.
    views: Vec<View>,
    digest: String,
    replaced: Vec<String>,
}

/// One file before it is read.
struct SourceFile {
    /// Path below the folder of rules, with `/`.
    path: String,
    /// The name used in messages.
    shown: String,
    text: String,
    custom: bool,
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    rules: BTreeMap<String, (Rule, String, bool)>,
    views: BTreeMap<String, (View, String, bool)>,
    replaced: Vec<String>,
    problems: Vec<FileProblem>,
}

impl RuleSet {
    /// Reads the embedded files, and those of `custom` on top: a rule of the same id or a view of
    /// the same name replaces the embedded one. The error lists every file that cannot be used.
    pub fn load(custom: Option<&Path>) -> Result<Self, RuleError> {
        let mut files = Vec::new();
        embedded(&EMBEDDED, &mut files);
        if let Some(folder) = custom {
            read_folder(folder, "", true, &mut files)?;
        }
        Self::from_files(files)
    }

    /// Reads a folder of rules as if it were the embedded one.
    pub fn from_folder(folder: &Path) -> Result<Self, RuleError> {
        let mut files = Vec::new();
        read_folder(folder, "", false, &mut files)?;
        Self::from_files(files)
    }

    /// Reads files given as path below the folder of rules and text.
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, RuleError> {
        let file = |(path, text): &(&str, &str)| SourceFile {
            path: (*path).to_owned(),
            shown: (*path).to_owned(),
            text: (*text).to_owned(),
            custom: false,
        };
        Self::from_files(texts.iter().map(file).collect())
    }

    fn from_files(mut files: Vec<SourceFile>) -> Result<Self, RuleError> {
        // The embedded files first, so that a user's own replace them.
        files.sort_by(|a, b| (a.custom, &a.path).cmp(&(b.custom, &b.path)));
        let mut reading = Reading::default();
        for file in &files {
            reading.file(file);
        }
        let views = reading.ordered_views();
        if !reading.problems.is_empty() {
            reading.problems.sort();
            return Err(RuleError::Files(reading.problems));
        }
        let digest = reading.digest(&files);
        let rules = reading.rules.into_iter().map(|(id, (rule, ..))| (id, rule)).collect();
        Ok(Self { rules, views, digest, replaced: reading.replaced })
    }

    /// The rules by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    /// The views, each after those that it uses.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// The views that a rule reads, and those that they read.
    pub(super) fn views_of(&self, rule: &Rule) -> impl Iterator<Item = &View> {
        let mut wanted: BTreeSet<String> = sandbox::tables_named(&rule.sql).into_iter().collect();
        for view in self.views.iter().rev() {
            if wanted.contains(&view.name) {
                wanted.extend(view.uses.iter().cloned());
            }
        }
        self.views.iter().filter(move |view| wanted.contains(&view.name))
    }

    /// Whether a rule, or a view that it reads, is a user's own file.
    pub(super) fn is_own(&self, rule: &Rule) -> bool {
        rule.family.starts_with("custom") || self.views_of(rule).any(|view| view.custom)
    }

    /// SHA-256 over the sorted paths and bytes of all files in force.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The ids of embedded rules and the names of embedded views (`view NAME`) that a user's own
    /// files replaced.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// The rule of this id, whatever its case. The error names the closest one.
    pub fn get(&self, id: &str) -> Result<&Rule, RuleError> {
        self.rules()
            .find(|rule| rule.header.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| RuleError::UnknownRule { asked: id.to_owned(), near: self.near(id) })
    }

    /// The rules whose id one of the globs matches, whatever their case; all without globs. The
    /// error names a glob that matches none.
    pub fn select(&self, globs: &[String]) -> Result<Vec<&Rule>, RuleError> {
        let matches = |asked: &str, rule: &Rule| {
            glob(&rule.header.id.to_ascii_lowercase(), &asked.to_ascii_lowercase())
        };
        for asked in globs {
            if !self.rules().any(|rule| matches(asked, rule)) {
                return Err(RuleError::UnknownRule {
                    asked: asked.clone(),
                    near: self.near(asked),
                });
            }
        }
        let wanted =
            |rule: &&Rule| globs.is_empty() || globs.iter().any(|asked| matches(asked, rule));
        Ok(self.rules().filter(wanted).collect())
    }

    /// The rule as a report shows it, with the parameters used.
    pub fn info(&self, rule: &Rule, overrides: &[ParamOverride]) -> Result<RuleInfo, RuleError> {
        let header = &rule.header;
        let used = resolve(&header.id, &header.params, overrides)?;
        let shown = |(name, default): (&String, &super::param::Param)| ParamInfo {
            name: name.clone(),
            value: used.get(name).unwrap_or(default).as_written(),
            default: default.as_written(),
        };
        Ok(RuleInfo {
            id: header.id.clone(),
            title: header.title.clone(),
            severity: header.severity,
            family: rule.family.clone(),
            needs: header.needs.clone(),
            params: header.params.iter().map(shown).collect(),
            rationale: header.rationale.clone(),
            remediation: header.remediation.clone(),
            references: header.references.clone(),
            controls: header.controls.clone(),
            sql: rule.sql.trim().to_owned(),
            digest: rule.digest.clone(),
        })
    }

    /// Checks that each override names a rule or view in force and a parameter of it, and that its
    /// value has the right type.
    pub fn check_overrides(&self, overrides: &[ParamOverride]) -> Result<(), RuleError> {
        for change in overrides {
            let view = self.views.iter().find(|view| view.name == change.rule);
            let params = match view {
                Some(view) => &view.params,
                None => &self.get(&change.rule)?.header.params,
            };
            resolve(&change.rule, params, std::slice::from_ref(change))?;
        }
        Ok(())
    }

    fn near(&self, asked: &str) -> Option<String> {
        let asked = asked.to_ascii_lowercase();
        let distance = |id: &str| levenshtein(&asked, &id.to_ascii_lowercase());
        let (distance, id) = self.rules.keys().map(|id| (distance(id), id)).min()?;
        (distance <= 1 + asked.len() / 3).then(|| id.clone())
    }
}

fn embedded(folder: &Dir<'static>, files: &mut Vec<SourceFile>) {
    for file in folder.files() {
        let path = file.path().to_string_lossy().replace('\\', "/");
        if file.path().extension().is_some_and(|own| own == "sql") {
            let text = String::from_utf8_lossy(file.contents()).into_owned();
            files.push(SourceFile { shown: format!("rules/{path}"), path, text, custom: false });
        }
    }
    for inner in folder.dirs() {
        embedded(inner, files);
    }
}

/// Reads the `.sql` files of a folder and the folders in it.
fn read_folder(
    folder: &Path,
    below: &str,
    custom: bool,
    files: &mut Vec<SourceFile>,
) -> Result<(), RuleError> {
    let unreadable = |path: &Path, error: std::io::Error| {
        RuleError::Files(vec![FileProblem {
            file: path.display().to_string(),
            line: None,
            problem: format!("cannot be read: {error}"),
            remedy: "name a folder of rules that can be read".to_owned(),
        }])
    };
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A link to a folder could lead in a circle; hidden entries are copies kept by tools.
        if name.starts_with('.') || (path.is_dir() && path.is_symlink()) {
            continue;
        }
        let inner = if below.is_empty() { name } else { format!("{below}/{name}") };
        if path.is_dir() {
            read_folder(&path, &inner, custom, files)?;
        } else if Path::new(&inner).extension().is_some_and(|extension| extension == "sql") {
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            files.push(SourceFile { shown: path.display().to_string(), path: inner, text, custom });
        }
    }
    Ok(())
}

impl Reading {
    fn file(&mut self, file: &SourceFile) {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if folder == VIEWS {
            self.view(file, name.strip_suffix(".sql").unwrap_or(name));
        } else {
            self.rule(file, folder);
        }
    }

    fn rule(&mut self, file: &SourceFile, folder: &str) {
        let (header, sql) = match read_rule(&file.shown, &file.text) {
            Ok(read) => read,
            Err(problems) => return self.problems.extend(problems),
        };
        let id = header.id.clone();
        let family = match (file.custom, folder) {
            (false, _) => folder.to_owned(),
            (true, "") => "custom".to_owned(),
            (true, _) => format!("custom:{folder}"),
        };
        let digest = sha256_hex(file.text.as_bytes());
        let rule = Rule { header, family, path: file.path.clone(), sql, digest };
        let before = self.rules.insert(id.clone(), (rule, file.shown.clone(), file.custom));
        self.replace(file, before.map(|(_, shown, custom)| (shown, custom)), &id);
    }

    fn view(&mut self, file: &SourceFile, name: &str) {
        let (header, sql) = match read_view(&file.shown, &file.text) {
            Ok(read) => read,
            Err(problems) => return self.problems.extend(problems),
        };
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let taken = crate::event::schema::table(name).is_some();
        if taken || name.is_empty() || !name.chars().all(lower) {
            self.problems.push(FileProblem {
                file: file.shown.clone(),
                line: None,
                problem: format!("`{name}` is no name for a view"),
                remedy: "name the file with lower-case letters, digits and `_`, and not like a \
                         table"
                    .to_owned(),
            });
        }
        let view = View {
            name: name.to_owned(),
            description: header.description,
            params: header.params,
            path: file.path.clone(),
            uses: sandbox::tables_named(&sql),
            sql,
            custom: file.custom,
        };
        let before = self.views.insert(name.to_owned(), (view, file.shown.clone(), file.custom));
        let before = before.map(|(_, shown, custom)| (shown, custom));
        self.replace(file, before, &format!("view {name}"));
    }

    /// Notes what a file replaces; two files of one origin may not have the same name.
    fn replace(&mut self, file: &SourceFile, before: Option<(String, bool)>, name: &str) {
        match before {
            Some((other, custom)) if custom == file.custom => self.problems.push(FileProblem {
                file: file.shown.clone(),
                line: None,
                problem: format!("`{name}` is also the name of {other}"),
                remedy: "rename one of them".to_owned(),
            }),
            Some(_) => self.replaced.push(name.to_owned()),
            None => {}
        }
    }

    /// The views, each after those that it uses. Views that use each other are a problem.
    fn ordered_views(&mut self) -> Vec<View> {
        let names: BTreeSet<String> = self.views.keys().cloned().collect();
        let mut waiting: Vec<View> = self.views.values().map(|(view, ..)| view.clone()).collect();
        for view in &mut waiting {
            view.uses.retain(|name| names.contains(name));
        }
        let mut ordered: Vec<View> = Vec::new();
        while !waiting.is_empty() {
            let (ready, rest): (Vec<View>, Vec<View>) = waiting.into_iter().partition(|view| {
                view.uses.iter().all(|name| ordered.iter().any(|done| done.name == *name))
            });
            waiting = rest;
            if ready.is_empty() {
                break;
            }
            ordered.extend(ready);
        }
        for view in &waiting {
            let shown = self.views.get(&view.name).map(|(_, shown, _)| shown.clone());
            self.problems.push(FileProblem {
                file: shown.unwrap_or_default(),
                line: None,
                problem: format!(
                    "the view takes part in a circle, or uses one that does: it uses {}",
                    view.uses.join(", ")
                ),
                remedy: "let views use only views that do not use them".to_owned(),
            });
        }
        ordered
    }

    fn digest(&self, files: &[SourceFile]) -> String {
        let in_force: BTreeSet<&str> = self
            .rules
            .values()
            .map(|(_, shown, _)| shown.as_str())
            .chain(self.views.values().map(|(_, shown, _)| shown.as_str()))
            .collect();
        let mut sorted: Vec<(&str, &str)> = files
            .iter()
            .filter(|file| in_force.contains(file.shown.as_str()))
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect();
        sorted.sort_unstable();
        let mut all = Vec::new();
        for (path, text) in sorted {
            // Lengths first, so that no two lists of files give the same bytes.
            all.extend_from_slice(format!("{} {}\n", path.len(), text.len()).as_bytes());
            all.extend_from_slice(path.as_bytes());
            all.extend_from_slice(text.as_bytes());
        }
        sha256_hex(&all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> String {
        format!(
            "/*+++\nid = \"{id}\"\ntitle = \"t\"\nseverity = \"low\"\nrationale = \"r\"\n\
             remediation = \"r\"\nparams = {{ period = \"1d\" }}\n+++*/\nSELECT 1\n"
        )
    }

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn every_file_that_cannot_be_used_is_listed() {
        let error = RuleSet::from_texts(&[
            ("a/good.sql", &rule("A-1")),
            ("a/none.sql", "SELECT 1"),
            ("b/bad.sql", "/*+++ id = 1 +++*/ SELECT 1"),
            ("b/same.sql", &rule("A-1")),
            ("views/Upper.sql", "SELECT 1"),
            ("views/keys.sql", "SELECT 1"),
        ]);
        let RuleError::Files(problems) = error.unwrap_err() else { panic!("not about files") };
        let files: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(
            files,
            ["a/none.sql", "b/bad.sql", "b/same.sql", "views/Upper.sql", "views/keys.sql"]
        );
    }

    #[test]
    fn views_come_after_those_that_they_use() {
        let set = RuleSet::from_texts(&[
            ("views/a.sql", "SELECT * FROM b JOIN c ON true"),
            ("views/b.sql", "WITH a AS (SELECT * FROM c) SELECT * FROM a"),
            ("views/c.sql", "SELECT * FROM events"),
        ]);
        let set = set.unwrap();
        let names: Vec<&str> = set.views().iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }

    #[test]
    fn views_in_a_circle_are_an_error() {
        let error = RuleSet::from_texts(&[
            ("views/a.sql", "SELECT * FROM b"),
            ("views/b.sql", "SELECT * FROM a"),
            ("views/c.sql", "SELECT * FROM c"),
            ("views/d.sql", "SELECT 1"),
        ]);
        let RuleError::Files(problems) = error.unwrap_err() else { panic!("not about files") };
        assert_eq!(problems.len(), 3, "{problems:#?}");
    }

    #[test]
    fn a_users_own_file_replaces_the_embedded_one_and_is_marked() {
        let shipped = tempfile::tempdir().unwrap();
        write(shipped.path(), "rotation/rot-01.sql", &rule("ROT-01"));
        write(shipped.path(), "views/v.sql", "SELECT 1");
        let own = tempfile::tempdir().unwrap();
        write(own.path(), "mine/other.sql", &rule("ROT-01").replace("\"t\"", "\"mine\""));
        write(own.path(), "top.sql", &rule("OWN-1"));
        write(own.path(), "views/v.sql", "SELECT 2");
        write(own.path(), "notes.txt", "not a rule");
        let mut files = Vec::new();
        read_folder(shipped.path(), "", false, &mut files).unwrap();
        let before = RuleSet::from_files(files).unwrap();
        let mut files = Vec::new();
        read_folder(shipped.path(), "", false, &mut files).unwrap();
        read_folder(own.path(), "", true, &mut files).unwrap();
        let set = RuleSet::from_files(files).unwrap();
        assert_eq!(set.get("rot-01").unwrap().header.title, "mine");
        assert_eq!(set.get("ROT-01").unwrap().family, "custom:mine");
        assert_eq!(set.get("OWN-1").unwrap().family, "custom");
        assert_eq!(set.views()[0].sql, "SELECT 2");
        assert_eq!(set.replaced(), ["ROT-01", "view v"]);
        assert_ne!(set.digest(), before.digest());
        assert!(RuleSet::load(Some(Path::new("/nowhere/at/all"))).is_err());
    }

    #[test]
    fn the_digest_depends_on_names_and_bytes_and_not_on_order() {
        let (a, b) = (rule("A-1"), rule("B-1"));
        let digest =
            |texts: &[(&str, &str)]| RuleSet::from_texts(texts).unwrap().digest().to_owned();
        let first = digest(&[("x/a.sql", &a), ("x/b.sql", &b)]);
        assert_eq!(first, digest(&[("x/b.sql", &b), ("x/a.sql", &a)]));
        assert_ne!(first, digest(&[("x/c.sql", &a), ("x/b.sql", &b)]));
        assert_ne!(first, digest(&[("x/a.sql", &format!("{a} ")), ("x/b.sql", &b)]));
        assert_eq!(first.len(), 64);
    }

    #[test]
    fn an_unknown_rule_is_answered_with_the_closest_one() {
        let texts = [("x/a.sql", &*rule("ROT-01")), ("x/b.sql", &*rule("DC-04"))];
        let set = RuleSet::from_texts(&texts).unwrap();
        let near = |asked: &str| match set.get(asked) {
            Err(RuleError::UnknownRule { near, .. }) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(near("ROT-1").as_deref(), Some("ROT-01"));
        assert_eq!(near("something-else"), None);
        let select = |glob: &str| set.select(&[glob.to_owned()]).map(|rules| rules.len());
        assert_eq!((select("rot-*"), select("*")), (Ok(1), Ok(2)));
        assert!(select("LIF-*").is_err());
        assert_eq!(set.select(&[]).unwrap().len(), 2);
        for (name, good) in [
            ("ROT-01.period=2d", true),
            ("ROT-1.period=2d", false),
            ("ROT-01.perod=2d", false),
            ("ROT-01.period=two", false),
        ] {
            let change = ParamOverride::parse(name).unwrap();
            assert_eq!(set.check_overrides(&[change]).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn the_shipped_rules_can_be_read() {
        RuleSet::load(None).unwrap_or_else(|error| panic!("{error}"));
    }
}
