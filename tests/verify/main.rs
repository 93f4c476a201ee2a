//! `verify` with real tokens, and with a module made to misbehave. Needs no engine.
//!
//! A token that `scripts/tokens.sh` could not get is said (`SKIPPED`); where `CI=true` that fails,
//! save for those that need root or a daemon.
#![cfg(test)]
#![expect(clippy::print_stderr, reason = "what was left out, and how long things took, is told")]

mod fault;
mod fixture;
mod matrix;
mod operator;
mod oracle;
mod safety;
mod speed;
mod usage;
