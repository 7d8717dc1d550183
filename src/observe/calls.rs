use std::fmt;

use crate::backend::{Error, ErrorKind, Key};

/// What stands for a key in an event. It is made only if somebody wants to see it.
pub(crate) struct Digest<'a>(pub(crate) &'a Key);

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.digest())
    }
}

/// What the store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    GetMany,
    Write,
    Transact,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::GetMany, Self::Write, Self::Transact];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetMany => "get_many",
            Self::Write => "write",
            Self::Transact => "transact",
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The store did not answer, or was not asked because it does not.
    Outage,
    /// It was turned away.
    Busy,
    Error,
}

impl Outcome {
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::Outage, Self::Busy, Self::Error];

    pub(crate) fn of<T>(answer: &Result<T, Error>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(error) if error.is_outage() => Self::Outage,
            Err(error) if error.kind() == ErrorKind::Busy => Self::Busy,
            Err(_) => Self::Error,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Outage => "outage",
            Self::Busy => "busy",
            Self::Error => "error",
        }
    }
}
