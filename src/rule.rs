//! Rules: SQL files that judge subjects, and the engine that runs them.
//!
//! A rule is one SQL file with a TOML header ([`RuleSet`] reads them all); [`assess`] runs a
//! selection over [`Tables`] and answers a [`Question`]. Rule SQL is untrusted: it is one read-only
//! query over the documented tables and views, bounded in memory, time and rows. What goes wrong
//! within one rule is an `error` result of that rule; only what is wrong with the question itself
//! (a rule file that cannot be read, an unknown rule, a bad parameter, a bad waiver) is a
//! [`RuleError`].

mod assess;
mod bind;
mod contract;
mod cut;
mod declared;
mod error;
mod fixture;
mod functions;
mod gate;
mod header;
mod json;
mod param;
mod requires;
mod rows;
mod sandbox;
mod sequence;
mod session;
mod set;
mod waiver;
mod worker;

pub use assess::{Answer, Question, assess};
pub use cut::Tables;
pub use declared::{read_approvals, read_people};
pub use error::{FileProblem, RuleError};
pub use fixture::{FixtureOutcome, run_fixtures};
pub use functions::glob as glob_matches;
pub use header::RuleHeader;
pub use json::to_json;
pub use param::{Param, ParamOverride, Params};
pub use sandbox::Limits;
pub use session::{Frame, Session};
pub use set::{Rule, RuleSet, View};
pub use waiver::{Waiver, read_waivers};
pub use worker::{Hire, serve};
