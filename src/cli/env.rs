//! The environment: the one place that reads it.

use std::path::PathBuf;

/// Names the store.
const STORE: &str = "KEYTRAIL_STORE";
/// Names the configuration file.
const CONFIG: &str = "KEYTRAIL_CONFIG";
/// Filters the log on stderr, such as `keytrail=debug`.
const LOG: &str = "KEYTRAIL_LOG";

#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that the configuration or the command line refers to.
#[cfg(any(feature = "collect", feature = "verify"))]
pub(super) fn named(name: &str) -> Option<String> {
    read(name)
}

/// All variables, of which a worker of `verify` gets some.
#[cfg(feature = "verify")]
pub(super) fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The name of this machine.
#[cfg(feature = "verify")]
pub(super) fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "host".to_owned())
}

/// Where locks of tokens are kept: a folder of the user's own.
#[cfg(feature = "verify")]
pub(super) fn lock_folder() -> PathBuf {
    let own = read("XDG_RUNTIME_DIR").map(PathBuf::from);
    let home = || read("HOME").map(|home| PathBuf::from(home).join(".cache"));
    own.or_else(home).unwrap_or_else(std::env::temp_dir).join("keytrail")
}

/// The store named in the environment.
pub(super) fn store() -> Option<String> {
    read(STORE)
}

/// The configuration file named in the environment.
pub(super) fn config() -> Option<PathBuf> {
    read(CONFIG).map(PathBuf::from)
}

/// The filter of the log.
pub(super) fn log() -> Option<String> {
    read(LOG)
}

/// Whether the environment asks for no colour: <https://no-color.org>, or a dumb terminal.
pub(super) fn no_color() -> bool {
    read("NO_COLOR").is_some() || read("TERM").as_deref() == Some("dumb")
}

/// The folder that the program was started in.
pub(super) fn folder() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// This program's own file.
pub(super) fn program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// The command line as typed, for reports.
pub(super) fn command_line() -> String {
    let quote = |arg: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,*".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            arg
        } else {
            format!("'{}'", arg.replace('\'', "'\\''"))
        }
    };
    let args = std::env::args().skip(1).map(quote);
    std::iter::once("keytrail".to_owned()).chain(args).collect::<Vec<_>>().join(" ")
}
