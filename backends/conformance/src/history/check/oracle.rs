//! A second opinion: trying every order. It takes ever so long for more than a few operations, and
//! is so plain that it can be seen to be right.

use steadfast_backend::{Condition, Version};

use super::check;
use crate::history::operation::{Answer, Call, Operation, Seen, Span};
use crate::history::random::Random;

/// The entry of the key; the version of a put without an answer is unknown until it shows.
#[derive(Clone, Copy)]
struct Entry {
    value: u64,
    version: Option<Version>,
}

#[derive(Clone, Copy, Default)]
struct Key {
    entry: Option<Entry>,
    last: Option<Version>,
}

/// True if some order of the operations explains all answers.
fn explains(operations: &[Operation]) -> bool {
    let answered = operations.iter().filter(|it| it.answer != Answer::Failed);
    let left: Vec<&Operation> = answered.collect();
    explains_from(Key::default(), &left)
}

fn explains_from(key: Key, left: &[&Operation]) -> bool {
    if left.iter().all(|operation| operation.answer == Answer::Unknown) {
        return true;
    }
    let ends = left.iter().filter(|it| it.answer != Answer::Unknown).map(|it| it.span.to);
    let first_end = ends.min().unwrap_or(u64::MAX);
    (0..left.len()).filter(|next| left[*next].span.from <= first_end).any(|next| {
        let mut rest = left.to_vec();
        let operation = rest.remove(next);
        apply(key, operation).is_some_and(|key| explains_from(key, &rest))
    })
}

/// The key after the operation, if that can answer so now.
fn apply(mut key: Key, operation: &Operation) -> Option<Key> {
    match (operation.call, operation.answer) {
        (_, Answer::Found(seen)) => shows(&mut key, seen).then_some(key),
        (call, Answer::Refused(seen)) => {
            let refuses = shows(&mut key, seen) && !call.admits(seen.map(|seen| seen.version));
            refuses.then_some(key)
        }
        (Call::Put { value, only_if }, answer) => {
            if !holds(&mut key, only_if) {
                return None;
            }
            let version = match answer {
                Answer::Applied(version) => Some(version?),
                _ => None,
            };
            if version.is_some() && version <= key.last {
                return None;
            }
            key.last = version.or(key.last);
            key.entry = Some(Entry { value, version });
            Some(key)
        }
        (Call::Delete { only_if }, answer) => {
            let fits = matches!(answer, Answer::Applied(None) | Answer::Unknown);
            if !fits || !holds(&mut key, only_if) {
                return None;
            }
            key.entry = None;
            Some(key)
        }
        (Call::Touch { only_if } | Call::Check { only_if }, Answer::Applied(version)) => {
            let shown = match version {
                Some(version) => is_at(&mut key, version),
                None => key.entry.is_none() && !matches!(operation.call, Call::Touch { .. }),
            };
            (shown && holds(&mut key, only_if)).then_some(key)
        }
        (_, Answer::Unknown) => Some(key),
        (_, Answer::Applied(_) | Answer::Failed) => None,
    }
}

fn shows(key: &mut Key, seen: Option<Seen>) -> bool {
    match (key.entry, seen) {
        (None, None) => true,
        (Some(entry), Some(seen)) => entry.value == seen.value && is_at(key, seen.version),
        _ => false,
    }
}

/// True if the present version is this one. Where it was unknown, it is known from now on.
fn is_at(key: &mut Key, version: Version) -> bool {
    let last = key.last;
    match &mut key.entry {
        None => false,
        Some(Entry { version: Some(present), .. }) => *present == version,
        Some(entry) => {
            if Some(version) <= last {
                return false;
            }
            entry.version = Some(version);
            key.last = Some(version);
            true
        }
    }
}

fn holds(key: &mut Key, only_if: Condition) -> bool {
    match only_if {
        Condition::Always => true,
        Condition::Absent => key.entry.is_none(),
        Condition::Present => key.entry.is_some(),
        Condition::VersionIs(version) => is_at(key, version),
    }
}

/// A history of a real register, or nearly: operations take effect at random moments of their
/// spans; then some answers are lost, and perhaps one is changed.
fn random_history(random: &mut Random) -> Vec<Operation> {
    let count = 2 + random.index(6);
    let mut moments: Vec<u64> = (0..count).map(|_| 10 + random.below(90)).collect();
    moments.sort_unstable();
    let mut key = Key::default();
    let mut operations = Vec::new();
    for (number, moment) in (1..).zip(moments) {
        let call = random_call(random, number);
        let answer = answer(&mut key, call, number);
        let from = moment - random.below(10);
        let mut operation =
            Operation { task: 0, span: Span { from, to: moment + random.below(25) }, call, answer };
        if call != Call::Get && random.below(4) == 0 {
            operation.answer = Answer::Unknown;
        }
        operations.push(operation);
    }
    if random.below(2) == 0 {
        let other = operations[random.index(count)].answer;
        let changed = &mut operations[random.index(count)];
        changed.answer = match (changed.call, other) {
            (_, Answer::Unknown | Answer::Failed) => changed.answer,
            (Call::Get, Answer::Refused(seen)) => Answer::Found(seen),
            (Call::Get, Answer::Applied(_)) => Answer::Found(None),
            (_, Answer::Found(seen)) if changed.call != Call::Get => Answer::Refused(seen),
            _ => other,
        };
    }
    operations
}

fn random_call(random: &mut Random, number: u64) -> Call {
    let only_if = match random.below(5) {
        0 | 1 => Condition::Always,
        2 => Condition::Absent,
        3 => Condition::Present,
        _ => Condition::VersionIs(Version::new(10 * (1 + random.below(number))).unwrap()),
    };
    match random.below(10) {
        0 | 1 => Call::Get,
        2 | 3 => Call::Delete { only_if },
        4 => Call::Touch { only_if },
        5 => Call::Check { only_if },
        _ => Call::Put { value: number, only_if },
    }
}

/// What a right register answers; its versions are ten times the number of the put.
fn answer(key: &mut Key, call: Call, number: u64) -> Answer {
    let entry = key.entry;
    let version = entry.and_then(|entry| entry.version);
    let seen = entry.and_then(|Entry { value, version }| Some(Seen { value, version: version? }));
    match call {
        Call::Get => Answer::Found(seen),
        call if !call.admits(version) => Answer::Refused(seen),
        Call::Put { value, .. } => {
            let version = Version::new(10 * number);
            key.entry = Some(Entry { value, version });
            Answer::Applied(version)
        }
        Call::Delete { .. } => {
            key.entry = None;
            Answer::Applied(None)
        }
        Call::Touch { .. } | Call::Check { .. } => Answer::Applied(version),
    }
}

/// True if each write without an answer that names a version names one that an answer showed.
/// Others cannot know one, and the checker does not look for those who guess right.
fn guesses_nothing(operations: &[Operation]) -> bool {
    let shows = |operation: &Operation, version| match operation.answer {
        Answer::Found(seen) | Answer::Refused(seen) => seen.map(|seen| seen.version) == version,
        Answer::Applied(applied) => applied == version,
        Answer::Failed | Answer::Unknown => false,
    };
    operations.iter().filter(|it| it.answer == Answer::Unknown).all(|it| match it.call {
        Call::Put { only_if: Condition::VersionIs(version), .. }
        | Call::Delete { only_if: Condition::VersionIs(version) } => {
            operations.iter().any(|other| shows(other, Some(version)))
        }
        _ => true,
    })
}

#[test]
fn the_checker_agrees_with_trying_every_order() {
    let mut random = Random::new(1);
    let mut rejected = 0;
    for number in 0..40_000 {
        let history = random_history(&mut random);
        if !guesses_nothing(&history) {
            continue;
        }
        let (expected, found) = (explains(&history), check(&history, &[]));
        let text: Vec<_> = history.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        assert_eq!(found.is_ok(), expected, "history {number}: {found:?}\n{text}");
        rejected += u32::from(!expected);
    }
    assert!((4_000..36_000).contains(&rejected), "{rejected} were wrong: too one-sided");
}
