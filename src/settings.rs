//! Settings: flags, environment and file made into one value each, with where it comes from.
//!
//! A flag wins over the environment, the environment over the file, the file over the default.
//! Paths in the file are relative to the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::pipeline::check::Scope;
#[cfg(feature = "collect")]
use crate::pipeline::collect::{SourceConfig, SourceConfigError};
#[cfg(feature = "verify")]
use crate::secret::SecretRef;
#[cfg(feature = "verify")]
use crate::verify::correlate::Place;
#[cfg(feature = "verify")]
use crate::verify::{Level, Policy, Uri};

/// The name of the configuration file.
pub const FILE_NAME: &str = "keytrail.toml";

/// The store where none is named.
const DEFAULT_STORE: &str = "./keytrail-store";

/// The configuration file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    store: Option<String>,
    title: Option<String>,
    rules: Option<PathBuf>,
    people: Option<PathBuf>,
    approvals: Option<PathBuf>,
    waivers: Option<PathBuf>,
    fail_on: Option<String>,
    #[serde(default)]
    scope: ScopeFile,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[cfg(feature = "collect")]
    #[serde(default)]
    source: Vec<serde_json::Map<String, serde_json::Value>>,
    #[cfg(feature = "verify")]
    #[serde(default)]
    verify: BTreeMap<String, TokenConfig>,
}

/// `[verify.NAME]`: a token to exercise.
#[cfg(feature = "verify")]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The module's shared library.
    pub module: PathBuf,
    /// The token: its label, or an RFC 7512 URI.
    pub token: String,
    /// Where the user's PIN is.
    pub pin_source: Option<SecretRef>,
    /// Where the security officer's PIN is.
    pub so_pin_source: Option<SecretRef>,
    /// How far to go.
    pub level: Option<Level>,
    /// What is expected of the token and its keys.
    pub policy: Option<PathBuf>,
    /// Existing keys to exercise.
    #[serde(default)]
    pub keys: Vec<Uri>,
    /// Whether keys of production are on the token: a drill elsewhere is a rehearsal.
    #[serde(default = "yes")]
    pub production: bool,
    /// Account, project or subscription of the HSM.
    pub account: Option<String>,
    /// Region or location of the HSM.
    pub region: Option<String>,
    /// Where the calls should stand in a log.
    #[serde(default)]
    pub log: Place,
}

#[cfg(feature = "verify")]
fn yes() -> bool {
    true
}

/// `[scope]`: what is in; everything where a list is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeFile {
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    projects: Vec<String>,
    #[serde(default)]
    subscriptions: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
}

/// What was given outside of the file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config`, else `KEYTRAIL_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--no-config`.
    pub no_config: bool,
    /// `--store`.
    pub store_flag: Option<String>,
    /// `KEYTRAIL_STORE`.
    pub store_env: Option<String>,
    /// The folder that the program was started in.
    pub folder: PathBuf,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// `flag`, `environment`, the file's path, or `default`.
    pub origin: String,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration file read; `None` where there is none.
    pub file: Option<PathBuf>,
    /// Where the store is.
    pub store: Setting<String>,
    /// The title of reports.
    pub title: Setting<String>,
    /// A folder of the user's own rules.
    pub rules: Option<PathBuf>,
    /// Who is behind which identity.
    pub people: Option<PathBuf>,
    /// Who approved what.
    pub approvals: Option<PathBuf>,
    /// Waivers.
    pub waivers: Option<PathBuf>,
    /// The least severity that makes exit code 1.
    pub fail_on: Setting<String>,
    /// What is in scope.
    pub scope: Scope,
    /// Parameters of rules: `RULE.param` → value.
    pub params: BTreeMap<String, String>,
    /// Where to collect from.
    #[cfg(feature = "collect")]
    pub sources: Vec<SourceConfig>,
    /// Tokens to exercise, by name.
    #[cfg(feature = "verify")]
    pub tokens: BTreeMap<String, TokenConfig>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not as it must be.
    #[error("the configuration {path} is wrong")]
    Parse {
        /// Which.
        path: String,
        /// Where and why.
        #[source]
        source: Misread,
    },
    /// A source is not as it must be.
    #[cfg(feature = "collect")]
    #[error("the configuration {path} is wrong")]
    Source {
        /// Which.
        path: String,
        /// Which section, and what is wrong with it.
        #[source]
        source: SourceConfigError,
    },
}

/// Where a file is wrong, and how. Values are not repeated: one may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

impl std::error::Error for Misread {}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Misread {
    fn new(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let place = before.map_or(0, |before| before.matches('\n').count());
        let line = text.lines().nth(place).unwrap_or_default();
        let (key, _) = line.split_once('=').unwrap_or_default();
        let key = key.trim().to_owned();
        Self {
            line: before.map(|_| place + 1),
            key: (!key.is_empty()).then_some(key),
            message: error.message().trim().to_owned(),
        }
    }
}

impl SettingsError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "give an existing file, or run with --no-config",
            #[cfg(feature = "collect")]
            Self::Source { .. } => "docs/sources.md shows a section for each type of source",
            Self::Parse { .. } => {
                "docs/config.md lists the keys; `keytrail config show` prints those in force"
            }
        }
    }
}

#[cfg(feature = "verify")]
impl TokenConfig {
    /// With its paths as they are beside the file.
    fn beside(self, base: &Path) -> Self {
        let beside = |source: Option<SecretRef>| {
            source.map(|source| match source {
                SecretRef::File(path) => SecretRef::File(base.join(path).display().to_string()),
                SecretRef::Env(name) => SecretRef::Env(name),
            })
        };
        Self {
            module: base.join(&self.module),
            policy: self.policy.map(|path| base.join(path)),
            pin_source: beside(self.pin_source),
            so_pin_source: beside(self.so_pin_source),
            ..self
        }
    }
}

impl Settings {
    /// Puts together what was given and what the file says.
    ///
    /// # Errors
    /// When the file cannot be read or holds a key that is not known.
    pub fn load(given: &Given) -> Result<Self, SettingsError> {
        let path = match (&given.config, given.no_config) {
            (_, true) => None,
            (Some(path), false) => Some(path.clone()),
            (None, false) => discover(&given.folder),
        };
        let file = path.as_deref().map(read).transpose()?.unwrap_or_default();
        let origin =
            path.as_ref().map_or_else(|| "default".to_owned(), |p| p.display().to_string());
        let base = path.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let from_file = |value: Option<String>, default: &str| match value {
            Some(value) => Setting { value, origin: origin.clone() },
            None => Setting { value: default.to_owned(), origin: "default".to_owned() },
        };
        let beside = |path: Option<PathBuf>| path.map(|path| base.join(path));
        let store = match (&given.store_flag, &given.store_env) {
            (Some(value), _) => Setting { value: value.clone(), origin: "flag".to_owned() },
            (None, Some(value)) => {
                Setting { value: value.clone(), origin: "environment".to_owned() }
            }
            (None, None) => {
                from_file(file.store.map(|store| beside_text(&base, store)), DEFAULT_STORE)
            }
        };
        #[cfg(feature = "collect")]
        let sources = SourceConfig::read_all(&file.source)
            .map_err(|source| SettingsError::Source { path: origin.clone(), source })?;
        #[cfg(feature = "verify")]
        let tokens = file.verify.into_iter().map(|(name, token)| (name, token.beside(&base)));
        let ScopeFile { accounts, projects, subscriptions, keys } = file.scope;
        Ok(Self {
            store,
            title: from_file(file.title, "Key management audit"),
            rules: beside(file.rules),
            people: beside(file.people),
            approvals: beside(file.approvals),
            waivers: beside(file.waivers),
            fail_on: from_file(file.fail_on, "low"),
            scope: Scope { accounts, projects, subscriptions, keys },
            params: file.params,
            #[cfg(feature = "collect")]
            sources,
            #[cfg(feature = "verify")]
            tokens: tokens.collect(),
            file: path,
        })
    }
}

/// Reads the policy of `verify`.
///
/// # Errors
/// When the file cannot be read or is none.
#[cfg(feature = "verify")]
pub fn read_policy(path: &Path) -> Result<Policy, SettingsError> {
    parse(path)
}

/// A store named in the file: an address, or a path beside the file.
fn beside_text(base: &Path, store: String) -> String {
    if store.contains("://") { store } else { base.join(store).display().to_string() }
}

/// The configuration file in `folder` or the nearest folder above it.
fn discover(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<File, SettingsError> {
    parse(path)
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: name.clone(), source })?;
    toml::from_str(&text)
        .map_err(|error| SettingsError::Parse { path: name, source: Misread::new(&text, &error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, given: Given) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        Settings::load(&Given { folder: folder.path().to_owned(), ..given })
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let text = "store = \"/from/file\"\n";
        let env = Some("/from/env".to_owned());
        let flag = Some("/from/flag".to_owned());
        let all = Given { store_flag: flag, store_env: env.clone(), ..Given::default() };
        assert_eq!(load(text, all).unwrap().store.value, "/from/flag");
        let two = Given { store_env: env, ..Given::default() };
        assert_eq!(load(text, two).unwrap().store.origin, "environment");
        assert_eq!(load(text, Given::default()).unwrap().store.value, "/from/file");
        let none = Given { no_config: true, ..Given::default() };
        assert_eq!(load(text, none).unwrap().store.value, DEFAULT_STORE);
    }

    #[test]
    fn a_key_that_is_not_known_is_an_error_that_names_it() {
        let error = load("stroe = \"x\"\n", Given::default()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("stroe"), "{source}");
    }

    #[test]
    fn paths_are_beside_the_file() {
        let settings = load("people = \"p.csv\"\n", Given::default()).unwrap();
        let base = settings.file.unwrap().parent().unwrap().to_owned();
        assert_eq!(settings.people, Some(base.join("p.csv")));
    }
}
