use crate::backend::Write;

use super::fence::Fence;

/// Writes of this process that are under way. From when it begins, what is kept may be old; when
/// it has been made, what is kept was overtaken.
///
/// What is deleted is not given any more from then on, whatever becomes of the delete: this process
/// knows that it should be gone.
#[derive(Debug)]
pub(in crate::store) struct OwnWrite<'a> {
    fence: &'a Fence,
    stripes: Vec<usize>,
    /// Whether what is kept is overtaken even if nobody knows that the writes were made.
    deletes: bool,
}

impl<'a> OwnWrite<'a> {
    pub(super) fn begin(fence: &'a Fence, mut stripes: Vec<usize>, writes: &[Write]) -> Self {
        stripes.sort_unstable();
        stripes.dedup();
        let deletes = writes.iter().any(|write| matches!(write, Write::Delete { .. }));
        let own = Self { fence, stripes, deletes };
        own.bump(deletes);
        own
    }

    /// They were made, or others were seen to have been made.
    pub(in crate::store) fn overtook(mut self) {
        self.deletes = true;
    }

    fn bump(&self, hard: bool) {
        for stripe in &self.stripes {
            if hard {
                self.fence.hard(*stripe);
            } else {
                self.fence.soft(*stripe);
            }
        }
    }
}

/// Also when it is cut off.
impl Drop for OwnWrite<'_> {
    fn drop(&mut self) {
        self.bump(self.deletes);
    }
}
