//! Microsoft Azure: Key Vault and Managed HSM audit events, Cloud HSM, Activity Log, inventory.

pub mod activity;
#[cfg(feature = "collect")]
pub mod activity_log;
#[cfg(feature = "collect")]
pub mod api;
#[cfg(feature = "collect")]
pub mod auth;
#[cfg(feature = "collect")]
pub mod blobs;
pub mod cloudhsm;
#[cfg(feature = "collect")]
mod estate;
mod identity;
pub mod inventory;
#[cfg(feature = "collect")]
pub mod inventory_source;
pub mod keyvault;
mod record;
mod resource;
mod rotation;
#[cfg(feature = "collect")]
mod slices;
mod vault;
#[cfg(feature = "collect")]
pub mod workspace;
