use crate::backend::Write;

use super::fence::{Fence, Token};

/// Writes of this process that are under way. From when it begins, what is kept may be old; when
/// it has been made, what is kept was overtaken.
///
/// What is deleted is not given any more from then on, whatever becomes of the delete: this process
/// knows that it should be gone.
#[derive(Debug)]
pub(in crate::store) struct OwnWrite<'a> {
    fence: &'a Fence,
    /// One for each class of records, taken after the writes began and before they were sent.
    tokens: Vec<Token>,
    /// Whether what is kept is overtaken even if nobody knows that the writes were made.
    deletes: bool,
}

impl<'a> OwnWrite<'a> {
    pub(super) fn begin(
        fence: &'a Fence,
        mut stripes: Vec<usize>,
        writes: &[Write],
        at_ns: u64,
    ) -> Self {
        stripes.sort_unstable();
        stripes.dedup();
        let deletes = writes.iter().any(|write| matches!(write, Write::Delete { .. }));
        let begun = |stripe: usize| {
            bump(fence, stripe, deletes);
            fence.capture(stripe, at_ns)
        };
        let tokens = stripes.into_iter().map(begun).collect();
        Self { fence, tokens, deletes }
    }

    /// Others were seen to have been made.
    pub(super) fn overtook(mut self) {
        self.deletes = true;
    }

    /// They were made. Gives the tokens of what they left, one for each class.
    pub(super) fn made(mut self) -> Vec<Token> {
        let tokens = std::mem::take(&mut self.tokens);
        tokens.iter().map(|token| self.fence.hard_by(token)).collect()
    }

    /// When they began, on the cache's clock.
    pub(super) fn at_ns(&self) -> u64 {
        self.tokens.first().map_or(0, |token| token.at_ns)
    }
}

fn bump(fence: &Fence, stripe: usize, hard: bool) {
    if hard {
        fence.hard(stripe);
    } else {
        fence.soft(stripe);
    }
}

/// Also when it is cut off.
impl Drop for OwnWrite<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            bump(self.fence, token.stripe, self.deletes);
        }
    }
}
