//! Microsoft Azure: Key Vault and Managed HSM audit events, Cloud HSM, Activity Log, inventory.

pub mod activity;
pub mod cloudhsm;
mod identity;
pub mod inventory;
pub mod keyvault;
mod record;
mod resource;
mod rotation;
mod vault;
