//! Amazon Web Services: CloudTrail, CloudHSM audit logs, inventory.

pub mod certificates;
pub mod cloudhsm;
pub mod cloudtrail;
mod dates;
pub mod inventory;
pub mod policy;
