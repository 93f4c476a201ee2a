//! The jobs of the program, each told from start to finish.

pub mod check;
pub mod demo;
pub mod docs;
mod facts;
pub mod import;
pub mod report;
