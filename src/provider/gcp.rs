//! Google Cloud: audit log entries, inventory.

pub mod audit;
pub mod inventory;
mod proto;
mod resource;
