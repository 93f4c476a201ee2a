//! The jobs of the program, each told from start to finish.

pub mod check;
#[cfg(feature = "collect")]
pub mod collect;
pub mod demo;
pub mod docs;
mod facts;
pub mod import;
#[cfg(feature = "collect")]
pub mod prove;
pub mod report;
#[cfg(feature = "verify")]
pub mod verify;
pub mod worker;
