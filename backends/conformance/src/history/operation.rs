use std::fmt;
use std::time::Duration;

use steadfast_backend::{Condition, Version};

/// A number that stands for one value; no two puts of a history have the same.
pub(crate) type Value = u64;

/// One call about one key, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) task: usize,
    pub(crate) span: Span,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
}

/// From when to when, in nanoseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Span {
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Put { value: Value, only_if: Condition },
    Touch { only_if: Condition },
    Delete { only_if: Condition },
    Check { only_if: Condition },
}

impl Call {
    /// True if the condition holds of this version (`None`: absent), in the contract's words.
    pub(crate) fn admits(self, current: Option<Version>) -> bool {
        match self {
            Self::Get => true,
            Self::Touch { only_if } => current.is_some() && only_if.holds(current),
            Self::Put { only_if, .. } | Self::Delete { only_if } | Self::Check { only_if } => {
                only_if.holds(current)
            }
        }
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Of a get: the entry, or that there is none.
    Found(Option<Seen>),
    /// Made; with the version that the key has now.
    Applied(Option<Version>),
    /// Not made; with what stood in the way.
    Refused(Option<Seen>),
    /// An error that says that nothing was changed.
    Failed,
    /// Dropped, or an error that leaves it open: made at any time since the call, or never.
    Unknown,
}

/// An entry as an answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) value: Value,
    pub(crate) version: Version,
}

impl Operation {
    /// The entry that its answer shows.
    pub(crate) fn seen(&self) -> Option<Seen> {
        match self.answer {
            Answer::Found(seen) | Answer::Refused(seen) => seen,
            Answer::Applied(_) | Answer::Failed | Answer::Unknown => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.span.from, self.span.to].map(Duration::from_nanos);
        let (from, to) = (from.as_secs_f64() * 1e3, to.as_secs_f64() * 1e3);
        write!(f, "[{from:12.6} ms .. {to:12.6} ms] task {:3}: ", self.task)?;
        write!(f, "{} -> {}", self.call, self.answer)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let only_if = match self {
            Self::Get => return f.write_str("get"),
            Self::Put { value, only_if } => {
                write!(f, "put of {value:x}")?;
                only_if
            }
            Self::Touch { only_if } => {
                f.write_str("touch")?;
                only_if
            }
            Self::Delete { only_if } => {
                f.write_str("delete")?;
                only_if
            }
            Self::Check { only_if } => {
                f.write_str("check")?;
                only_if
            }
        };
        match only_if {
            Condition::Always => Ok(()),
            Condition::Absent => f.write_str(" if absent"),
            Condition::Present => f.write_str(" if present"),
            Condition::VersionIs(version) => write!(f, " if version {}", version.get()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |seen: &Option<Seen>| match seen {
            Some(seen) => format!("{:x} (version {})", seen.value, seen.version.get()),
            None => "absent".to_owned(),
        };
        match self {
            Self::Found(seen) => f.write_str(&shown(seen)),
            Self::Applied(None) => f.write_str("applied, absent"),
            Self::Applied(Some(version)) => write!(f, "applied, version {}", version.get()),
            Self::Refused(seen) => write!(f, "refused by {}", shown(seen)),
            Self::Failed => f.write_str("failed, nothing changed"),
            Self::Unknown => f.write_str("unknown: made at some time since, or never"),
        }
    }
}
