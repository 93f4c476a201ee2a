//! A run told start to finish: the lock, the token, the checks, and leaving nothing behind.

mod course;

use std::path::PathBuf;

use jiff::Timestamp;

use self::course::Course;
pub(super) use self::course::forget;
use super::check::checks;
use super::lock::{Lock, LockError};
use super::module::{self, ModuleError};
use super::pin::Pin;
use super::policy::{Policy, PolicyError};
use super::process::Launch;
use super::result::{Known, Level, Verification};
use super::token::trouble::Trouble;
use super::token::{Access, AccessError, Token};
use super::uri::Uri;

/// All that a run needs.
pub struct Job<'a> {
    /// How the worker is started.
    pub launch: Launch,
    /// The module's absolute path.
    pub module: PathBuf,
    /// Which token.
    pub token: Uri,
    /// The user's PIN; without one only public objects are seen.
    pub pin: Option<Pin>,
    /// The security officer's PIN, for the level `operator`.
    pub so_pin: Option<Pin>,
    /// How far to go.
    pub level: Level,
    /// What is expected.
    pub policy: Policy,
    /// Existing keys to exercise, beside those that the policy names.
    pub keys: Vec<Uri>,
    /// What earlier runs stored of keys.
    pub known: Vec<Known>,
    /// A name of this machine, which tells its leftovers from those of others.
    pub host: String,
    /// Where lock files are kept.
    pub locks: PathBuf,
    /// The clock.
    pub clock: &'a dyn Fn() -> Timestamp,
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The module's file.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Another run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The token.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The level asks for more than the policy allows.
    #[error("the level operator may cost the token; the policy does not mark it as expendable")]
    NotExpendable,
}

impl From<Trouble> for VerifyError {
    fn from(trouble: Trouble) -> Self {
        Self::Access(trouble.into())
    }
}

/// Exercises a token.
///
/// # Errors
///
/// Where the token could not be reached at all. Whatever goes wrong later is in the result.
pub fn run(job: Job<'_>) -> Result<Verification, VerifyError> {
    if job.level == Level::Operator && !job.policy.expendable {
        return Err(VerifyError::NotExpendable);
    }
    job.policy.check(checks().map(|check| check.id))?;
    let file = module::examine(&job.module)?;
    let wait = job.policy.limits.lock_seconds;
    let starting = Lock::take(&job.locks, &file.path.display().to_string(), wait)?;
    let started = (job.clock)();
    let access = Access {
        launch: job.launch,
        module: file.path.clone(),
        reserved: job.policy.module.reserved.clone(),
        token: job.token,
        pin: job.pin,
        so_pin: job.so_pin,
        limits: job.policy.limits,
        clock: job.clock,
    };
    let mut token = Token::find(access)?;
    let name = format!("{}|{}", token.info.manufacturer, token.info.serial);
    let _using = Lock::take(&job.locks, &name, wait)?;
    token.enter(job.level >= Level::Drill)?;
    drop(starting);
    let chosen = Chosen { policy: job.policy, level: job.level, keys: job.keys, known: job.known };
    let mut course = Course::new(token, chosen, &job.host, started)?;
    course.warn(&file);
    course.go();
    Ok(course.document(&file, started))
}

/// What was asked of a run.
struct Chosen {
    policy: Policy,
    level: Level,
    keys: Vec<Uri>,
    known: Vec<Known>,
}
