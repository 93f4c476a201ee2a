//! Recorded logs: files and folders, plain or gzip, cut into items without ever holding more than
//! one item in memory, and each item told apart by its content.

mod classify;
mod open;
mod origin;
mod outline;
mod piece;
mod split;
mod text;

pub use classify::{Class, Glance, Item, classify, glance};
pub use open::{FileError, Input, find, open, unpack};
pub use origin::Origin;
pub use outline::Outline;
pub use piece::{Piece, Place, Split, SplitError, Wrapper};
pub use split::split;

/// What a hostile file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one item; a longer one is put into quarantine, cut.
    pub item_bytes: usize,
    /// Nesting of one item.
    pub depth: usize,
    /// Decompressed bytes of one file; reading stops there.
    pub file_bytes: u64,
    /// Items of a file that may be unknown before the file is given up as unrecognised.
    pub unknown_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { item_bytes: 16 << 20, depth: 100, file_bytes: 256 << 30, unknown_items: 200 }
    }
}
