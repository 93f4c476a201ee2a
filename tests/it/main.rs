//! Behaviour tests: one binary, since each further one would link the engine again.
//!
//! Modules that need a peer (a browser, another reader of the store) ask [`peers`] for it: without
//! it they say `SKIPPED`, and fail where `CI=true`.
#![cfg(test)]
#![expect(clippy::string_slice, reason = "what is cut in tests is known")]

mod architecture;
mod harness;
mod normalize;
mod peers;
#[cfg(feature = "engine")]
mod rules;
#[cfg(feature = "engine")]
mod store;
