//! Google Cloud: audit log entries, inventory, and the sources that read both.

#[cfg(feature = "collect")]
mod api;
pub mod audit;
#[cfg(feature = "collect")]
mod auth;
#[cfg(feature = "collect")]
pub mod bucket;
#[cfg(test)]
#[cfg(feature = "collect")]
mod double;
#[cfg(feature = "collect")]
mod hierarchy;
pub mod inventory;
#[cfg(feature = "collect")]
pub mod kms;
#[cfg(feature = "collect")]
pub mod logging;
#[cfg(feature = "collect")]
mod parts;
mod proto;
mod resource;

#[cfg(feature = "collect")]
pub use api::GcpEndpoints;
#[cfg(feature = "collect")]
pub use auth::{GcpAccess, GcpAuth};
