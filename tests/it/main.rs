//! Behaviour tests: one binary, since each further one would link the engine again.
//!
//! Modules that need a peer (a browser, another reader of the store) ask [`peers`] for it: without
//! it they say `SKIPPED`, and fail where `CI=true`.
#![cfg(test)]
#![expect(clippy::string_slice, reason = "what is cut in tests is known")]

mod architecture;
#[cfg(feature = "engine")]
mod cli;
#[cfg(all(feature = "engine", feature = "collect"))]
mod collect;
#[cfg(all(feature = "engine", feature = "collect", target_os = "linux"))]
mod collect_crash;
#[cfg(all(feature = "engine", target_os = "linux"))]
mod crash;
#[cfg(feature = "engine")]
mod demo;
#[cfg(feature = "engine")]
mod docs;
#[cfg(all(feature = "engine", feature = "collect"))]
mod failures;
#[cfg(feature = "engine")]
mod fuzz;
#[cfg(feature = "engine")]
mod harness;
#[cfg(feature = "engine")]
mod import;
#[cfg(all(feature = "engine", feature = "collect", target_os = "linux"))]
mod interrupt;
#[cfg(feature = "engine")]
mod maintain;
mod normalize;
#[cfg(feature = "engine")]
mod peers;
#[cfg(all(feature = "engine", target_os = "linux"))]
mod polls;
#[cfg(feature = "engine")]
mod query;
#[cfg(feature = "engine")]
mod report;
#[cfg(feature = "engine")]
mod rules;
#[cfg(feature = "engine")]
mod sandbox;
#[cfg(feature = "engine")]
mod servers;
#[cfg(all(feature = "engine", target_os = "linux"))]
mod shim;
#[cfg(all(feature = "engine", feature = "verify"))]
mod softhsm;
#[cfg(feature = "engine")]
mod store;
#[cfg(all(feature = "engine", feature = "verify"))]
mod verify;
#[cfg(all(feature = "engine", feature = "verify"))]
mod verify_page;
#[cfg(feature = "engine")]
mod whole;
