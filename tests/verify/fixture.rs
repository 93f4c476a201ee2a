//! Tokens of one's own for each test. `scripts/tokens.sh` says where their modules are; a token
//! that is not there is said, and its test does nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use keytrail::verify::result::Level;
use keytrail::verify::wire::{self, Kind, Login, Reply, Request};
use keytrail::verify::{
    Job, Launch, Pin, Policy, Verdict, Verification, VerifyError, WORKER_ARGUMENT, environment, run,
};
use tempfile::TempDir;

/// A token, and what belongs to it.
pub(crate) struct Token {
    pub(crate) module: PathBuf,
    pub(crate) label: String,
    pub(crate) pin: &'static str,
    pub(crate) so_pin: &'static str,
    pub(crate) reserved: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) folder: TempDir,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A path that `scripts/tokens.sh` wrote down, else the one of the system's package.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let system = match name {
        "softhsm" => "/usr/lib/softhsm/libsofthsm2.so",
        "softhsm2-util" => "/usr/bin/softhsm2-util",
        "pkcs11-tool" => "/usr/bin/pkcs11-tool",
        "pkcs11-spy" => "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so",
        "nss" => "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
        "certutil" => "/usr/bin/certutil",
        "opencryptoki" => "/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so",
        "tpm2" => "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so",
        "swtpm" => "/usr/bin/swtpm",
        _ => "",
    };
    let written = fs::read_to_string(root().join(".peers/tokens/paths")).unwrap_or_default();
    let found = written.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let path = PathBuf::from(found.unwrap_or(system));
    if path.is_file() {
        // Modules are links into versions on some systems.
        return path.canonicalize().ok();
    }
    let must = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let may_lack = ["opencryptoki", "tpm2", "swtpm"].contains(&name);
    assert!(!must || may_lack, "{name} is missing; run scripts/tokens.sh");
    eprintln!("SKIPPED: {name} is missing; run scripts/tokens.sh");
    None
}

/// Runs a tool, which must succeed.
pub(crate) fn tool(program: &Path, arguments: &[&str], environment: &BTreeMap<String, String>) {
    let output = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("keytrail-token-").tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn softhsm() -> Option<Token> {
    let (module, util) = (peer("softhsm")?, peer("softhsm2-util")?);
    let folder = folder();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    let content = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    fs::write(&conf, content).unwrap();
    let environment = BTreeMap::from([("SOFTHSM2_CONF".to_owned(), text(&conf).to_owned())]);
    let arguments = [
        "--module",
        text(&module),
        "--init-token",
        "--free",
        "--label",
        "audit-a",
        "--so-pin",
        "12345678",
        "--pin",
        "123456",
    ];
    tool(&util, &arguments, &environment);
    Some(Token {
        module,
        label: "audit-a".to_owned(),
        pin: "123456",
        so_pin: "12345678",
        reserved: None,
        environment,
        folder,
    })
}

pub(crate) fn kryoptic() -> Option<Token> {
    let (module, tool_path) = (peer("kryoptic")?, peer("pkcs11-tool")?);
    let folder = folder();
    let conf = folder.path().join("kryoptic.conf");
    let base = folder.path().join("token.sql");
    fs::write(
        &conf,
        format!("[[slots]]\nslot = 0\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", base.display()),
    )
    .unwrap();
    let environment = BTreeMap::from([("KRYOPTIC_CONF".to_owned(), text(&conf).to_owned())]);
    let module_text = text(&module);
    let init = [
        "--module",
        module_text,
        "--slot",
        "0",
        "--init-token",
        "--label",
        "kry",
        "--so-pin",
        "12345678",
    ];
    tool(&tool_path, &init, &environment);
    let pin = [
        "--module",
        module_text,
        "--slot",
        "0",
        "--login",
        "--login-type",
        "so",
        "--so-pin",
        "12345678",
        "--init-pin",
        "--pin",
        "12345678",
    ];
    tool(&tool_path, &pin, &environment);
    Some(Token {
        module,
        label: "kry".to_owned(),
        pin: "12345678",
        so_pin: "12345678",
        reserved: None,
        environment,
        folder,
    })
}

pub(crate) fn nss() -> Option<Token> {
    let (module, certutil) = (peer("nss")?, peer("certutil")?);
    let folder = folder();
    let (base, pin) = (folder.path().join("db"), folder.path().join("pin"));
    fs::create_dir(&base).unwrap();
    fs::write(&pin, "12345678\n").unwrap();
    let base = format!("sql:{}", base.display());
    tool(&certutil, &["-N", "-d", &base, "-f", text(&pin)], &BTreeMap::new());
    Some(Token {
        module,
        label: "NSS Certificate DB".to_owned(),
        pin: "12345678",
        so_pin: "",
        reserved: Some(format!(
            "configDir='{base}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
        )),
        environment: BTreeMap::new(),
        folder,
    })
}

/// The one token of opencryptoki, which `scripts/tokens.sh` starts where it may.
pub(crate) fn opencryptoki() -> Option<Token> {
    let module = peer("opencryptoki")?;
    // What a daemon that was killed leaves is not the daemon.
    let runs = |file: &str| {
        let pid = fs::read_to_string(file).unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.trim())).unwrap_or_default();
        name.trim() == "pkcsslotd"
    };
    if !["/var/run/pkcsslotd.pid", "/run/opencryptoki/pkcsslotd.pid"].into_iter().any(runs) {
        eprintln!("SKIPPED: pkcsslotd does not run; scripts/tokens.sh starts it as root");
        return None;
    }
    Some(Token {
        module,
        label: "ocktok".to_owned(),
        pin: "123456",
        so_pin: "76543210",
        reserved: None,
        environment: BTreeMap::new(),
        folder: folder(),
    })
}

/// A software TPM of one's own, and the module's token in it.
pub(crate) fn tpm2() -> Option<(Token, Swtpm)> {
    let (module, swtpm, tool_path) = (peer("tpm2")?, peer("swtpm")?, peer("pkcs11-tool")?);
    let folder = folder();
    for name in ["state", "store"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (swtpm, port) = Swtpm::start(&swtpm, folder.path());
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let environment = BTreeMap::from([
        variable("TPM2_PKCS11_TCTI", format!("swtpm:host=127.0.0.1,port={port}")),
        variable("TPM2_PKCS11_STORE", folder.path().join("store").display().to_string()),
        variable("TPM2_PKCS11_LOG_LEVEL", "0".to_owned()),
    ]);
    let module_text = text(&module);
    let init = [
        "--module",
        module_text,
        "--slot-index",
        "0",
        "--init-token",
        "--label",
        "tpmtok",
        "--so-pin",
        "mysopin1",
    ];
    tool(&tool_path, &init, &environment);
    let pin = [
        "--module",
        module_text,
        "--token-label",
        "tpmtok",
        "--login",
        "--login-type",
        "so",
        "--so-pin",
        "mysopin1",
        "--init-pin",
        "--pin",
        "123456",
    ];
    tool(&tool_path, &pin, &environment);
    let token = Token {
        module,
        label: "tpmtok".to_owned(),
        pin: "123456",
        so_pin: "mysopin1",
        reserved: None,
        environment,
        folder,
    };
    Some((token, swtpm))
}

/// A running software TPM.
pub(crate) struct Swtpm {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Swtpm {
    /// Starts one on two free ports in a row.
    fn start(program: &Path, folder: &Path) -> (Self, u16) {
        let log = folder.join("swtpm.log");
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let Some(next) = free.checked_add(1) else { continue };
            if TcpListener::bind(("127.0.0.1", next)).is_err() {
                continue;
            }
            let mut child = Command::new(program)
                .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
                .arg("--tpmstate")
                .arg(format!("dir={}", folder.join("state").display()))
                .arg("--server")
                .arg(format!("type=tcp,port={free},bindaddr=127.0.0.1"))
                .arg("--ctrl")
                .arg(format!("type=tcp,port={next},bindaddr=127.0.0.1"))
                .arg("--log")
                .arg(format!("file={},level=20", log.display()))
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            for _ in 0..100 {
                // The control port: connecting to the other one would be a client's session.
                if TcpStream::connect(("127.0.0.1", next)).is_ok() {
                    return (Self { child, log }, free);
                }
                sleep(Duration::from_millis(50));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        panic!("no software TPM starts");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Token {
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.module.reserved.clone_from(&self.reserved);
        policy
    }

    pub(crate) fn job(&self, level: Level, policy: Policy) -> Job<'static> {
        Job {
            launch: Launch {
                program: PathBuf::from(env!("CARGO_BIN_EXE_verify-worker")),
                environment: environment(self.environment.clone(), &[]),
            },
            module: self.module.clone(),
            token: format!("pkcs11:token={}", self.label.replace(' ', "%20")).parse().unwrap(),
            pin: Some(Pin::new(self.pin.as_bytes().to_vec())),
            so_pin: (!self.so_pin.is_empty()).then(|| Pin::new(self.so_pin.as_bytes().to_vec())),
            level,
            policy,
            keys: Vec::new(),
            known: Vec::new(),
            host: "test".to_owned(),
            locks: self.folder.path().join("locks"),
            clock: &Timestamp::now,
        }
    }

    pub(crate) fn verify(&self, level: Level) -> Verification {
        self.try_verify(level, self.policy()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_verify(
        &self,
        level: Level,
        policy: Policy,
    ) -> Result<Verification, VerifyError> {
        run(self.job(level, policy))
    }
}

/// A worker of one's own, to prepare a token through.
pub(crate) struct Raw {
    child: Child,
    pub(crate) session: u64,
}

impl Raw {
    /// Opens a session for writing and logs in.
    pub(crate) fn enter(token: &Token) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_verify-worker"))
            .arg(WORKER_ARGUMENT)
            .envs(&token.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut raw = Self { child, session: 0 };
        raw.ask(&Request::Load { module: token.module.display().to_string() });
        raw.ask(&Request::Initialize { reserved: token.reserved.clone() });
        let slot = raw.ask(&Request::Slots).numbers[0];
        raw.session = raw.ask(&Request::OpenSession { slot, write: true }).numbers[0];
        wire::write(raw.child.stdin.as_mut().unwrap(), Kind::UserPin, token.pin.as_bytes())
            .unwrap();
        raw.ask(&Request::Login { session: raw.session, login: Login::User });
        raw
    }

    /// Makes a call, which must succeed.
    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        let payload = serde_json::to_vec(request).unwrap();
        wire::write(self.child.stdin.as_mut().unwrap(), Kind::Json, &payload).unwrap();
        let (_, payload) = wire::read(self.child.stdout.as_mut().unwrap()).unwrap().unwrap();
        let reply: Reply = serde_json::from_slice(&payload).unwrap();
        assert_eq!((reply.rv, &reply.fault), (0, &None), "{request:?}");
        reply
    }

    pub(crate) fn leave(mut self) {
        self.ask(&Request::Finalize);
        drop(self.child.wait());
    }
}

/// The first verdict of a check.
#[track_caller]
pub(crate) fn verdict(document: &Verification, id: &str) -> Verdict {
    let row = document.checks.iter().find(|row| row.id == id);
    row.unwrap_or_else(|| panic!("{id} was not made")).verdict
}

/// All rows in short, for messages.
pub(crate) fn rows(document: &Verification) -> String {
    let row = |row: &keytrail::verify::CheckResult| {
        format!(
            "{:<26} {:<14} {:<22} {:<34} {}\n",
            row.id,
            row.verdict.as_str(),
            row.function.as_deref().unwrap_or(""),
            row.rv.as_deref().unwrap_or(""),
            row.message
        )
    };
    document.checks.iter().map(row).collect()
}
