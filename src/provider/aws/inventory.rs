//! Inventory documents of the aws command-line tool.

use serde_json::Value;

use super::super::Reject;
use super::super::inventory::{Inventory, InventoryContext, InventoryKind};

/// Tells which inventory document `value` is; `None` when it is none.
pub fn detect(_value: &Value) -> Option<InventoryKind> {
    None
}

/// Reads one inventory document.
///
/// # Errors
/// When it lacks what identifies its subject.
pub fn read(
    _kind: InventoryKind,
    _value: &Value,
    _context: &InventoryContext,
) -> Result<Inventory, Reject> {
    Ok(Inventory::default())
}

/// The key that a path names.
pub fn key_hint_from_path(_path: &str) -> Option<String> {
    None
}
