//! The jobs of the program, each told from start to finish.

pub mod docs;
pub mod import;
