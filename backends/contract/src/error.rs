use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What backends answer.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. It answers four questions: what ([`kind`](Error::kind)), does it count as
/// an outage ([`is_outage`](Error::is_outage)), may it have happened all the same
/// ([`is_ambiguous`](Error::is_ambiguous)), and what next ([`retry`](Error::retry)).
///
/// A miss and a lost race are not errors. No error shows a value, a credential or a whole key.
/// `Display` is one line that ends in what to do; `Debug` adds the cause. A clone is the same
/// error, for another who waited for the same.
///
/// ```
/// use steadfast_backend::{Error, ErrorKind, Retry};
///
/// let error = Error::new(ErrorKind::Full, "the disk is full; free some space")
///     .at("redb", "write");
/// assert_eq!(error.to_string(), "redb write: the disk is full; free some space");
/// assert!(!error.is_outage() && !error.is_ambiguous());
/// assert_eq!(error.retry(), Retry::Never);
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    backend: &'static str,
    operation: &'static str,
    detail: String,
    ambiguous: bool,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; `detail` says what is wrong, what is allowed and what to do.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            backend: "",
            operation: "",
            detail: detail.into(),
            ambiguous: false,
            retry_after: None,
            source: None,
        }))
    }

    /// The answer of [`watch`](crate::Backend::watch) where the store does not tell what changes.
    pub fn unwatched() -> Self {
        let detail = "this store does not tell what changes in it; bound the age of what is cached";
        Self::new(ErrorKind::Unsupported, detail)
    }

    /// Names the backend and the operation.
    #[must_use]
    pub fn at(mut self, backend: &'static str, operation: &'static str) -> Self {
        self.0.backend = backend;
        self.0.operation = operation;
        self
    }

    /// Keeps the cause. The cause's text must not hold values or credentials.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Marks that the write may or may not have been applied. Set it where the bytes were sent,
    /// not by the kind of the error.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.0.ambiguous = true;
        self
    }

    /// Says when a repeat makes sense, where that is known better than from the kind.
    #[must_use]
    pub fn after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The backend that failed; empty where the error came from before any backend.
    pub fn backend(&self) -> &'static str {
        self.0.backend
    }

    /// True if the store did not answer: a timeout, or no connection. Bad input, a full store and
    /// wrong credentials are not outages.
    pub fn is_outage(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout | ErrorKind::Unavailable)
    }

    /// True if the write may have been applied.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// When a repeat of the same call makes sense.
    pub fn retry(&self) -> Retry {
        self.0.retry_after.map_or_else(|| self.0.kind.retry(), Retry::After)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.backend.is_empty() {
            write!(f, "{} {}: ", self.0.backend, self.0.operation)?;
        }
        f.write_str(&self.0.detail)?;
        if self.0.ambiguous {
            f.write_str(" (the write may have been applied)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store is up but takes no more work now.
    Busy,
    /// The backend was closed by [`Backend::close`](crate::Backend::close).
    Closed,
    /// A setting, a path or a URL is wrong.
    Config,
    /// Others kept changing the same record; nothing was changed by this call.
    Contended,
    /// Stored bytes cannot be read: damaged, foreign, or written by a newer version. They are
    /// left as they are.
    Corrupt,
    /// The store has no room left.
    Full,
    /// The call itself is wrong: a bad key, TTL or transaction.
    Invalid,
    /// Anything else.
    Other,
    /// The store refused: wrong credentials, or no permission.
    Rejected,
    /// No answer in time.
    Timeout,
    /// A value or a batch is over the limit.
    TooLarge,
    /// The store cannot be reached.
    Unavailable,
    /// The store did not confirm in time that what it has now survives what was asked: the loss of
    /// a server, or of power. The change was made, or another one before it: a refusal that is not
    /// confirmed is this error, too.
    Unconfirmed,
    /// This backend cannot do that.
    Unsupported,
}

impl ErrorKind {
    fn retry(self) -> Retry {
        match self {
            Self::Busy
            | Self::Contended
            | Self::Timeout
            | Self::Unavailable
            | Self::Unconfirmed => Retry::After(Duration::from_millis(100)),
            _ => Retry::Never,
        }
    }
}

/// When a repeat of the same call makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before something is changed.
    Never,
    /// After this time.
    After(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn only_silence_is_an_outage() {
        assert!(Error::new(ErrorKind::Timeout, "").is_outage());
        assert!(Error::new(ErrorKind::Unavailable, "").is_outage());
        for kind in [ErrorKind::Rejected, ErrorKind::Full, ErrorKind::Corrupt, ErrorKind::Closed] {
            assert!(!Error::new(kind, "").is_outage(), "{kind:?}");
        }
    }

    #[test]
    fn who_knows_when_to_come_back_says_so() {
        let error = Error::new(ErrorKind::Unavailable, "");
        assert_eq!(error.retry(), Retry::After(Duration::from_millis(100)));
        let later = Duration::from_secs(3);
        assert_eq!(error.after(later).retry(), Retry::After(later));
    }

    #[test]
    fn debug_tells_the_causes() {
        let error = Error::new(ErrorKind::Other, "outer").at("redb", "open").caused_by("inner");
        assert_eq!(format!("{error:?}"), "Other: redb open: outer\n  caused by: inner");
    }
}
