//! From calls and answers to what each of them needs of the key and does to it.

use std::collections::{HashMap, HashSet};

use steadfast_backend::{Condition, Version};

use super::Flaw;
use crate::history::operation::{Answer, Call, Operation, Seen, Span, Value};

/// The history of one key, ready for the search.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// Writes whose answer is unknown and whose effect nobody saw, and since when.
    pub(super) spares: Vec<(u64, Spare)>,
}

/// What happened to the key at one moment of its span.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) span: Span,
    pub(super) effect: Effect,
    /// The operation to blame if it cannot have happened.
    pub(super) operation: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// A look that must find this.
    Sees(Sight),
    Puts {
        value: Value,
        version: Version,
        only_if: Condition,
    },
    /// A put that is known by its version alone: a touch or check showed that, and nobody the
    /// value. It was one of the spare puts.
    PutsSomething {
        version: Version,
    },
    Deletes {
        only_if: Condition,
    },
    /// The store may have lost everything.
    Loses,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Sight {
    Absent,
    Entry(Seen),
    Version(Version),
}

/// A write that may or may not have been made. Those of one class can stand for each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spare {
    /// A delete of whatever is there.
    Delete,
    /// A delete of this version. At most one can be made, so one is as good as many.
    DeleteOf(Version),
    PutAlways,
    PutIfAbsent,
    PutIfPresent,
    /// A put over this version.
    PutOver(Version),
}

/// When an answer first showed a put, and under which version.
struct Shown {
    version: Version,
    until: u64,
}

pub(super) fn prepare(operations: &[Operation], losses: &[Span]) -> Result<Steps, Flaw> {
    let shown = shown(operations)?;
    let mut steps = Steps::default();
    for (at, operation) in operations.iter().enumerate() {
        judge(operation).map_err(|reason| Flaw { operation: at, reason: reason.to_owned() })?;
        match operation.answer {
            Answer::Failed => {}
            Answer::Unknown => steps.add_unknown(at, operation, &shown),
            _ => steps.extend(at, operation.span, effect(operation)),
        }
    }
    let unseen = unseen_puts(&steps.steps);
    steps.steps.extend(unseen);
    for span in losses {
        steps.extend(0, *span, Some(Effect::Loses));
    }
    Ok(steps)
}

impl Steps {
    fn extend(&mut self, operation: usize, span: Span, effect: Option<Effect>) {
        self.steps.extend(effect.map(|effect| Step { span, effect, operation }));
    }

    fn add_unknown(&mut self, at: usize, operation: &Operation, shown: &HashMap<Value, Shown>) {
        let Span { from, .. } = operation.span;
        match operation.call {
            Call::Put { value, only_if } => {
                let Some(&Shown { version, until }) = shown.get(&value) else {
                    self.spares.push((from, spare_put(only_if)));
                    return;
                };
                // Made at the latest when it was shown; a nanosecond more, so that a sight that
                // nothing explains is blamed before it.
                let span = Span { from, to: until + 1 };
                self.extend(at, span, Some(Effect::Puts { value, version, only_if }));
            }
            Call::Delete { only_if } => {
                self.spares.extend(spare_delete(only_if).map(|spare| (from, spare)));
            }
            Call::Get | Call::Touch { .. } | Call::Check { .. } => {}
        }
    }
}

/// What an answer says of the key; `None` if there is none.
fn effect(operation: &Operation) -> Option<Effect> {
    Some(match (operation.call, operation.answer) {
        (_, Answer::Found(seen) | Answer::Refused(seen)) => {
            Effect::Sees(seen.map_or(Sight::Absent, Sight::Entry))
        }
        (Call::Put { value, only_if }, Answer::Applied(version)) => {
            Effect::Puts { value, version: version?, only_if }
        }
        (Call::Delete { only_if }, Answer::Applied(_)) => Effect::Deletes { only_if },
        (_, Answer::Applied(version)) => {
            Effect::Sees(version.map_or(Sight::Absent, Sight::Version))
        }
        (_, Answer::Failed | Answer::Unknown) => return None,
    })
}

/// Which put each answer shows. Each must be of a value that was put, and keep its version.
fn shown(operations: &[Operation]) -> Result<HashMap<Value, Shown>, Flaw> {
    let mut puts = HashMap::new();
    let mut shown: HashMap<Value, Shown> = HashMap::new();
    for operation in operations {
        let Call::Put { value, .. } = operation.call else { continue };
        puts.insert(value, operation);
        if let Answer::Applied(Some(version)) = operation.answer {
            shown.insert(value, Shown { version, until: operation.span.to });
        }
    }
    for (at, operation) in operations.iter().enumerate() {
        let Some(Seen { value, version }) = operation.seen() else { continue };
        let flaw = |reason: &str| Err(Flaw { operation: at, reason: reason.to_owned() });
        let Some(put) = puts.get(&value) else {
            return flaw("it shows a value that nobody put under this key");
        };
        match put.answer {
            Answer::Failed => return flaw("it shows a put that answered: failed, nothing changed"),
            Answer::Refused(_) => return flaw("it shows a put that was refused"),
            _ if put.span.from > operation.span.to => {
                return flaw("it shows a put that had not begun");
            }
            _ => {}
        }
        let until = operation.span.to;
        let first = shown.entry(value).or_insert(Shown { version, until });
        if first.version != version {
            return flaw("it shows a value under another version than before");
        }
        first.until = first.until.min(until);
    }
    Ok(shown)
}

/// What is wrong with an answer in itself.
fn judge(operation: &Operation) -> Result<(), &'static str> {
    let call = operation.call;
    match operation.answer {
        Answer::Refused(seen) if call.admits(seen.map(|seen| seen.version)) => {
            Err("it was refused, and its condition holds of what the answer shows")
        }
        Answer::Applied(version) => match (call, version) {
            (Call::Put { .. }, None) => Err("an applied put has no version"),
            (Call::Delete { .. }, Some(_)) => Err("an applied delete leaves a version"),
            (Call::Touch { .. } | Call::Check { .. }, _) if !call.admits(version) => {
                Err("it was applied, and its condition does not hold of what the answer shows")
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn spare_put(only_if: Condition) -> Spare {
    match only_if {
        Condition::Always => Spare::PutAlways,
        Condition::Absent => Spare::PutIfAbsent,
        Condition::Present => Spare::PutIfPresent,
        Condition::VersionIs(version) => Spare::PutOver(version),
    }
}

fn spare_delete(only_if: Condition) -> Option<Spare> {
    match only_if {
        Condition::Always | Condition::Present => Some(Spare::Delete),
        Condition::Absent => None,
        Condition::VersionIs(version) => Some(Spare::DeleteOf(version)),
    }
}

/// The puts that are known by their versions alone, each between its first sight's begin and end:
/// before that, nobody can tell whether it was made already.
fn unseen_puts(steps: &[Step]) -> Vec<Step> {
    let known = steps.iter().filter_map(|step| match step.effect {
        Effect::Puts { version, .. } => Some(version),
        _ => None,
    });
    let known: HashSet<Version> = known.collect();
    let mut unseen: HashMap<Version, Step> = HashMap::new();
    for step in steps {
        let (Effect::Sees(Sight::Version(version))
        | Effect::Puts { only_if: Condition::VersionIs(version), .. }
        | Effect::Deletes { only_if: Condition::VersionIs(version) }) = step.effect
        else {
            continue;
        };
        if known.contains(&version) {
            continue;
        }
        let effect = Effect::PutsSomething { version };
        let first = Step { span: step.span, effect, operation: step.operation };
        let first = unseen.entry(version).or_insert(first);
        first.span.from = first.span.from.min(step.span.from);
        if step.span.to < first.span.to {
            (first.span.to, first.operation) = (step.span.to, step.operation);
        }
    }
    let after = |step: Step| Step { span: Span { to: step.span.to + 1, ..step.span }, ..step };
    unseen.into_values().map(after).collect()
}
