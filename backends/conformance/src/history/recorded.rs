use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::{Flaw, check};
use super::operation::{Answer, Call, Operation, Span};

/// A violation shows at most this many operations; the file has all of them.
const SHOWN_MAX: usize = 40;
/// How many writes before the wrong answer are shown.
const BEFORE: usize = 8;

/// What was called and answered in one run of a [`History`](super::History).
pub struct Recorded {
    pub(super) seed: u64,
    pub(super) took: Duration,
    /// By key, each in the order in which they began.
    pub(super) keys: Vec<Vec<Operation>>,
    pub(super) losses: Vec<Span>,
    pub(super) misdeeds: Vec<String>,
}

/// How much happened in a history, to see that it was not a trifle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Reads that were answered, per key.
    pub reads: usize,
    /// Writes that were made.
    pub applied: usize,
    /// Writes that were refused.
    pub refused: usize,
    /// Writes that failed, or were in a refused transaction, and changed nothing.
    pub failed: usize,
    /// Writes that were dropped, or whose error leaves open whether they were made.
    pub unknown: usize,
    /// How often the store was allowed to lose its data.
    pub losses: usize,
    /// How long the writing took.
    pub took: Duration,
}

impl Recorded {
    /// Looks for an order of whole operations, one after another within their spans, that explains
    /// every answer, for each key.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] of what the contract says of one key: the answer that no order
    /// explains, with what happened around it. The history of its key is saved to a file in the
    /// directory for temporary files, which the violation names. Also a call that hung.
    pub fn check(&self) -> Result<Figures, Violation> {
        if let Some(misdeed) = self.misdeeds.first() {
            return Err(Violation::new(format!("{misdeed} (seed {})", self.seed)));
        }
        for (key, operations) in self.keys.iter().enumerate() {
            check(operations, &self.losses).map_err(|flaw| self.violation(key, &flaw))?;
        }
        Ok(self.figures())
    }

    /// How much happened.
    pub fn figures(&self) -> Figures {
        let (losses, took) = (self.losses.len(), self.took);
        let mut figures = Figures { losses, took, ..Figures::default() };
        for operation in self.keys.iter().flatten() {
            *match operation.answer {
                Answer::Found(_) => &mut figures.reads,
                Answer::Applied(_) => &mut figures.applied,
                Answer::Refused(_) => &mut figures.refused,
                Answer::Failed => &mut figures.failed,
                Answer::Unknown => &mut figures.unknown,
            } += 1;
        }
        figures
    }

    fn violation(&self, key: usize, flaw: &Flaw) -> Violation {
        let operations = &self.keys[key];
        let wrong = &operations[flaw.operation];
        let mut text = format!("seed {}, key {key}: {}\n", self.seed, flaw.reason);
        for at in around(operations, flaw.operation) {
            let mark = if at == flaw.operation { "->" } else { "  " };
            let _ = writeln!(text, "{mark} {}", operations[at]);
        }
        for loss in self.losses.iter().filter(|loss| loss.overlaps(wrong.span)) {
            let _ = writeln!(text, "   data may be lost from {} to {} ns", loss.from, loss.to);
        }
        let saved = self.save(key);
        let _ = match &saved {
            Ok(path) => write!(text, "all {} operations: {}", operations.len(), path.display()),
            Err(error) => write!(text, "the whole history could not be saved: {error}"),
        };
        Violation { text, saved: saved.ok() }
    }

    fn save(&self, key: usize) -> std::io::Result<PathBuf> {
        let name = format!("steadfast-history-{}-{key}.txt", self.seed);
        let path = std::env::temp_dir().join(name);
        let mut text = String::new();
        for operation in &self.keys[key] {
            let _ = writeln!(text, "{operation}");
        }
        for loss in &self.losses {
            let _ = writeln!(text, "data may be lost from {} to {} ns", loss.from, loss.to);
        }
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// The operations that tell the story of a wrong answer: what overlaps it, the last writes before
/// it, and those that it shows.
fn around(operations: &[Operation], at: usize) -> Vec<usize> {
    let wrong = &operations[at];
    let changes = |operation: &Operation| {
        let changing = matches!(operation.call, Call::Put { .. } | Call::Delete { .. });
        changing && matches!(operation.answer, Answer::Applied(_) | Answer::Unknown)
    };
    let versions = |operation: &Operation| match operation.answer {
        Answer::Found(seen) | Answer::Refused(seen) => seen.map(|seen| seen.version),
        Answer::Applied(version) => version,
        Answer::Failed | Answer::Unknown => None,
    };
    let value = wrong.seen().map(|seen| seen.value);
    let told = |operation: &Operation| match operation.call {
        Call::Put { value: put, .. } => {
            Some(put) == value
                || (versions(wrong).is_some() && versions(operation) == versions(wrong))
        }
        _ => false,
    };
    let before = operations[..at].iter().filter(|it| it.span.to < wrong.span.from && changes(it));
    let first = before.rev().nth(BEFORE - 1).map_or(0, |operation| operation.span.from);
    let shown = |operation: &Operation| {
        let near = operation.span.from >= first && operation.span.from <= wrong.span.to;
        near && (changes(operation) || operation.span.overlaps(wrong.span)) || told(operation)
    };
    let mut places: Vec<usize> =
        (0..operations.len()).filter(|place| *place != at && shown(&operations[*place])).collect();
    let excess = places.len().saturating_sub(SHOWN_MAX);
    places.drain(..excess);
    places.push(at);
    places.sort_unstable();
    places
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, applied, refused, failed, unknown, losses, took } = self;
        write!(f, "{applied} writes applied, {refused} refused, {failed} failed, ")?;
        write!(f, "{unknown} without an answer; {reads} reads; {losses} losses; in {took:.1?}")
    }
}

/// What a backend did that the contract does not allow, in words for its author.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    text: String,
    saved: Option<PathBuf>,
}

impl Violation {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), saved: None }
    }

    /// The file with the whole history of the key.
    pub fn saved(&self) -> Option<&Path> {
        self.saved.as_deref()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // So that an `unwrap` in a test prints lines.
        f.write_str(&self.text)
    }
}

impl std::error::Error for Violation {}
