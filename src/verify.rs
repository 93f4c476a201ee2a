//! Exercises keys through a PKCS #11 module and says what is true of them: attributes are claims,
//! what a token does is not.
//!
//! The module is loaded in a worker process alone ([`worker_main`]); here is what asks it. [`run`]
//! finds the token, logs in once, makes the checks of a level, removes what it made whatever
//! happens, and gives a [`Verification`]. Nothing here reads the environment, the clock or a
//! configuration file: the layer above hands all of it over in a [`Job`].

#[expect(unsafe_code, reason = "calling C is what the worker is for; nothing else may")]
mod raw;

mod bench;
mod check;
pub mod correlate;
mod environment;
mod lock;
mod module;
mod names;
mod orphan;
mod outside;
mod pin;
pub mod policy;
mod process;
pub mod result;
mod run;
mod survey;
mod template;
mod token;
pub mod uri;
pub mod wire;
mod worker;

pub use self::check::{CheckInfo, checks};
pub use self::environment::environment;
pub use self::lock::LockError;
pub use self::module::ModuleError;
pub use self::pin::{Pin, PinError};
pub use self::policy::{Policy, PolicyError};
pub use self::process::{Launch, Lost};
pub use self::result::{CheckResult, Level, Verdict, Verification};
pub use self::run::{Job, VerifyError, run};
pub use self::token::AccessError;
pub use self::token::trouble::Trouble;
pub use self::uri::Uri;
pub use self::worker::{WORKER_ARGUMENT, worker_main};
