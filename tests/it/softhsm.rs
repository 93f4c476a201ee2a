//! Tokens of `SoftHSM` in the folder of a test, as `scripts/tokens.sh` installs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Bench, Run, say};

/// A module or tool that `scripts/tokens.sh` wrote down, or that the system has.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let system = match name {
        "softhsm" => "/usr/lib/softhsm/libsofthsm2.so",
        "softhsm2-util" => "/usr/bin/softhsm2-util",
        "pkcs11-tool" => "/usr/bin/pkcs11-tool",
        _ => "",
    };
    let paths = Path::new(env!("CARGO_MANIFEST_DIR")).join(".peers/tokens/paths");
    let written = fs::read_to_string(paths).unwrap_or_default();
    let found = written.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let path = Path::new(found.unwrap_or(system)).canonicalize().ok();
    let must = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(path.is_some() || !must, "{name} is missing: run `make peers`");
    if path.is_none() {
        say(&format!("SKIPPED: {name} is missing, run `make peers`"));
    }
    path
}

/// The configuration that `SOFTHSM2_CONF` names.
pub(crate) fn conf(bench: &Bench) -> PathBuf {
    bench.path().join("softhsm2.conf")
}

/// Makes a token whose PIN, 123456, is in the file `pin`; gives the module.
pub(crate) fn token(bench: &Bench, label: &str) -> Option<PathBuf> {
    let (module, util) = (peer("softhsm")?, peer("softhsm2-util")?);
    let tokens = bench.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    bench.file("softhsm2.conf", text);
    let pin = bench.file("pin", "123456\n");
    fs::set_permissions(pin, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(util);
    command
        .arg("--module")
        .arg(&module)
        .args(["--init-token", "--free", "--label", label, "--so-pin", "12345678"])
        .args(["--pin", "123456"])
        .env("SOFTHSM2_CONF", conf(bench));
    Run::of(command).exits(0);
    Some(module)
}

/// Has pkcs11-tool do something on the token as its user; `None` where there is no such tool.
pub(crate) fn tool(
    bench: &Bench,
    (module, label): (&Path, &str),
    arguments: &[&str],
) -> Option<()> {
    let mut command = Command::new(peer("pkcs11-tool")?);
    command
        .arg("--module")
        .arg(module)
        .args(["--token-label", label, "--login", "--pin", "123456"])
        .args(arguments)
        .env("SOFTHSM2_CONF", conf(bench));
    Run::of(command).exits(0);
    Some(())
}
