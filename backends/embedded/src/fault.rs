use std::fmt::Display;

use steadfast_backend::{Error, ErrorKind};

/// What goes on inside, before it has a caller.
pub(crate) type Outcome<T> = Result<T, Fault>;

/// Why an engine failed. It can be cloned, because one failed commit is the answer to every
/// writer of its group.
///
/// ```
/// use steadfast_backend::ErrorKind;
/// use steadfast_embedded::Fault;
///
/// let fault = Fault::new(ErrorKind::Full, "the disk is full; free some space").unsure();
/// assert!(fault.into_error("redb", "write").is_ambiguous());
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: ErrorKind,
    detail: String,
    cause: Option<String>,
    unsure: bool,
    lost: bool,
}

impl Fault {
    /// A fault of this kind; `detail` says what is wrong and what to do about it.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), cause: None, unsure: false, lost: false }
    }

    /// Keeps the text of the cause, which must hold neither values nor keys.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Marks that the changes may have been made all the same.
    #[must_use]
    pub fn unsure(mut self) -> Self {
        self.unsure = true;
        self
    }

    /// Marks that the changes were certainly not made.
    #[must_use]
    pub fn sure(mut self) -> Self {
        self.unsure = false;
        self
    }

    /// Marks that the engine's handle is of no more use and must be opened again. A commit that
    /// ends so may have been made.
    #[must_use]
    pub fn lost(mut self) -> Self {
        self.lost = true;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True if the changes may have been made.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// True if the engine must be opened again.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The error a caller gets.
    pub fn into_error(self, backend: &'static str, operation: &'static str) -> Error {
        let mut error = Error::new(self.kind, self.detail).at(backend, operation);
        if let Some(cause) = self.cause {
            error = error.caused_by(cause);
        }
        if self.unsure { error.ambiguous() } else { error }
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the backend was closed; open it again")
    }
}
