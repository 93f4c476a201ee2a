//! Providers: how their records are read and what they mean.
//!
//! Transport and format are separate: [`mod@file`] reads recorded logs, the mappers below
//! `provider/<cloud>` are pure functions from one record to one [`Event`](crate::event::Event),
//! whichever way the record came.

pub mod aws;
pub mod azure;
#[cfg(feature = "collect")]
pub mod bucket;
pub mod cn;
pub mod file;
pub mod gcp;
#[cfg(feature = "collect")]
pub mod http;
pub mod inventory;
mod json;
mod node;
mod normalize;
#[cfg(feature = "collect")]
pub mod objects;
#[cfg(feature = "collect")]
pub mod source;

pub use json::Json;
pub use normalize::{Context, Mapped, Reason, Reject, inventory_rows, key_hint, normalize};
