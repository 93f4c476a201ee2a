//! The Arrow schema of the journal.
