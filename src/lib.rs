//! keytrail: an audit-log collector and compliance reporter for keys in HSMs and cloud
//! key-management services.
//!
//! Layers, lowest first (a module uses only lower ones): [`event`], [`finding`] → [`provider`],
//! [`report`], [`ledger`], `verify` → `store` → `rule` → `pipeline` → `settings` → `cli`.

pub mod event;
pub mod finding;
pub mod ledger;
pub mod provider;
pub mod report;
pub mod secret;

#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod pipeline;
#[cfg(feature = "engine")]
pub mod rule;
#[cfg(feature = "engine")]
pub mod settings;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "verify")]
pub mod verify;
