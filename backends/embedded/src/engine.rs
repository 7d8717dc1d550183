use std::fmt::Debug;

use bytes::Bytes;
use steadfast_backend::BackendInfo;

use crate::Fault;

/// An ordered map of bytes in a file. Blocking; [`Embedded`](crate::Embedded) calls
/// [`commit`](Engine::commit) from one thread only, and the rest from many.
///
/// No call may panic, whatever the file holds: run the engine's code inside a
/// [`Slot`](crate::Slot).
pub trait Engine: Debug + Send + Sync + Sized + 'static {
    /// What [`open`](Engine::open) needs to know.
    type Config;

    /// Name and capabilities, as a literal.
    const INFO: BackendInfo;

    /// Opens or creates the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is in use, is damaged or belongs to something else. A file
    /// that is refused is left as it is.
    fn open(config: Self::Config) -> Result<Self, Fault>;

    /// The values under some keys of one table, all from one snapshot.
    ///
    /// # Errors
    ///
    /// If the engine did not answer, or found its file damaged.
    fn read(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Fault>;

    /// The first `limit` keys of a span, in order, each with the first `head_len` bytes of its
    /// value.
    ///
    /// # Errors
    ///
    /// As [`read`](Engine::read).
    fn span(&self, table: Table, span: Span<'_>) -> Result<Vec<(Bytes, Bytes)>, Fault>;

    /// Makes all changes or none, and returns once they are as durable as the engine gets.
    /// Nothing of an uncommitted change may be visible to [`read`](Engine::read).
    ///
    /// # Errors
    ///
    /// Anything that keeps the changes from being made. Where the engine cannot know whether they
    /// were, it says [`Fault::lost`]: the handle is opened again and the file tells.
    fn commit(&self, ops: Vec<Op>) -> Result<(), Fault>;

    /// How many keys a table has; `None` if that cannot be told without counting.
    ///
    /// # Errors
    ///
    /// As [`read`](Engine::read).
    fn len(&self, table: Table) -> Result<Option<u64>, Fault>;

    /// How many bytes the files have.
    ///
    /// # Errors
    ///
    /// As [`read`](Engine::read).
    fn size_bytes(&self) -> Result<u64, Fault>;

    /// Closes the file and releases its lock. Later calls fail with
    /// [`ErrorKind::Closed`](steadfast_backend::ErrorKind::Closed).
    ///
    /// # Errors
    ///
    /// If the engine could not write what it still had to.
    fn close(&self) -> Result<(), Fault>;
}

/// The three maps of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Key → frame.
    Data,
    /// Deadline and key → nothing.
    Expiry,
    /// The one record about the store itself.
    Meta,
}

/// The part of a table that [`Engine::span`] lists: after `after`, up to but without `end`.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The span starts right after this key; an empty one starts at the beginning.
    pub after: &'a [u8],
    /// The span ends before this key.
    pub end: &'a [u8],
    /// The most keys to return.
    pub limit: usize,
    /// How much of each value to return, in bytes.
    pub head_len: usize,
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub struct Op {
    /// Where.
    pub table: Table,
    /// Which.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the key nor the value may show.
        let len = self.value.as_ref().map(Vec::len);
        f.debug_struct("Op").field("table", &self.table).field("len", &len).finish_non_exhaustive()
    }
}
