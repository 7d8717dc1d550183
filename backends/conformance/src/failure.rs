use std::fmt::Debug;

use steadfast_backend::{Entry, Error, ErrorKind, Result, Version, Written};

/// How a case ended.
pub(crate) type Outcome<T = ()> = std::result::Result<T, Failure>;

/// What a case found wrong, in words for the backend's author.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("a call failed that should not: {error:?}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(format!("the suite itself failed: {error}"))
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(format!("a task died: {error}"))
    }
}

/// Ends the case with this message.
macro_rules! fail {
    ($($message:tt)+) => { return Err($crate::failure::Failure(format!($($message)+))) };
}

/// Ends the case with the message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition { $crate::failure::fail!($($message)+) }
    };
}

/// Ends the case unless both sides are equal.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($message:tt)+) => {
        // A match, so that temporaries live as long as they are looked at.
        match (&$found, &$expected) {
            (found, expected) if found == expected => {}
            (found, expected) => {
                let message = format!($($message)+);
                $crate::failure::fail!("{message}: found {found:?}, expected {expected:?}")
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq, fail};

/// The version after a write that must be applied.
pub(crate) fn applied(written: Written) -> Outcome<Option<Version>> {
    match written {
        Written::Applied { version } => Ok(version),
        Written::Refused { current } => {
            fail!("the write was refused (by {current:?}) and should be applied")
        }
    }
}

/// What stood in the way of a write that must be refused.
pub(crate) fn refused(written: Written) -> Outcome<Option<Entry>> {
    match written {
        Written::Refused { current } => Ok(current),
        Written::Applied { .. } => fail!("the write was applied and should be refused"),
    }
}

/// The entry that must be there.
pub(crate) fn present(entry: Option<Entry>, what: &str) -> Outcome<Entry> {
    entry.ok_or_else(|| Failure(format!("{what}: no entry is there, and one should be")))
}

/// Checks that a call failed, and as which kind.
pub(crate) fn ensure_kind<T: Debug>(result: Result<T>, kind: ErrorKind, what: &str) -> Outcome {
    match result {
        Ok(answer) => fail!("{what}: answered {answer:?} and should fail as {kind:?}"),
        Err(error) => {
            ensure_eq!(error.kind(), kind, "{what}: kind of {error:?}");
            Ok(())
        }
    }
}
