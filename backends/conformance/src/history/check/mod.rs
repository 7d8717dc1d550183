//! Whether some order of whole operations explains all answers about one key.
//!
//! Deciding that is exponential for histories in general. Here it is not, because values are
//! unique and versions strictly increase: an answer tells which put it saw, and the versions tell
//! the order of the puts. What is left to search is where the deletes stand, and which of the
//! writes without an answer were made; `search` does it in about the time that reading takes.

mod search;
mod steps;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use super::operation::{Operation, Span};

/// The answer that nothing explains.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Which operation, by its place in the history.
    pub(crate) operation: usize,
    pub(crate) reason: String,
}

/// Checks the history of one key, which was absent at the start. At some moment of each loss the
/// store may have forgotten the key, with its versions. Conditions name versions that some answer
/// showed.
pub(crate) fn check(operations: &[Operation], losses: &[Span]) -> Result<(), Flaw> {
    search::search(&steps::prepare(operations, losses)?)
}
