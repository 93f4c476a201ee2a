//! Google Cloud: audit log entries, inventory.

pub mod audit;
pub mod inventory;
