//! Amazon Web Services: CloudTrail, CloudHSM audit logs, inventory.

pub mod certificates;
pub mod cloudhsm;
pub mod cloudtrail;
pub mod inventory;
pub mod policy;
