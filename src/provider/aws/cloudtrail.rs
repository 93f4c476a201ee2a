//! CloudTrail records.

use super::super::{Context, Mapped, Reject};

/// Translates one record.
///
/// # Errors
/// When the record cannot be translated.
pub fn map(_raw: &str, _context: &Context) -> Result<Mapped, Reject> {
    Err(Reject::missing("not built yet"))
}
