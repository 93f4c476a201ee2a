//! Amazon Web Services: CloudTrail, CloudHSM audit logs, inventory.

#[cfg(feature = "collect")]
mod api;
#[cfg(feature = "collect")]
pub mod audit_logs;
#[cfg(feature = "collect")]
pub mod auth;
pub mod certificates;
pub mod cloudhsm;
pub mod cloudtrail;
#[cfg(feature = "collect")]
pub mod collect_inventory;
mod dates;
#[cfg(feature = "collect")]
pub mod digest;
pub mod inventory;
#[cfg(feature = "collect")]
pub mod lookup;
pub mod policy;
#[cfg(feature = "collect")]
pub mod scope;
#[cfg(all(test, feature = "collect"))]
mod server;
#[cfg(feature = "collect")]
pub mod trail;
