//! CloudHSM audit text blocks.

use super::super::{Context, Mapped, Reject};

/// Translates one record.
///
/// # Errors
/// When the record cannot be translated.
pub fn map(_raw: &str, _context: &Context) -> Result<Mapped, Reject> {
    Err(Reject::missing("not built yet"))
}

/// Whether a line begins a block.
pub fn is_block_start(line: &str) -> bool {
    line.contains("Time: ")
}

/// Whether a text is a block.
pub fn looks_like(text: &str) -> bool {
    text.contains("Time: ")
}
