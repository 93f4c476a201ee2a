//! What must hold for any input, one function a fuzz target. Each takes bytes and panics where a
//! promise is broken.
//!
//! The fuzz targets call them with bytes that libFuzzer makes up; `tests/it/fuzz.rs` calls them with
//! the inputs kept in `fixtures/fuzz`, and with random ones. Where the first byte chooses among
//! settings, that is said at the function.

mod canonical;
#[cfg(feature = "engine")]
mod declared;
mod files;
mod records;
mod report;
#[cfg(feature = "engine")]
mod rules;

pub use canonical::canonical;
#[cfg(feature = "engine")]
pub use declared::declared;
pub use files::{open, split};
pub use records::{classify, cloudhsm, inventory, normalize};
pub use report::report;
#[cfg(feature = "engine")]
pub use rules::rules;

/// The text of an input; `None` where it is none.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The first byte, which chooses among settings, and the rest.
fn setting(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
