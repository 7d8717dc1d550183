//! Whether what a caller was told fits a world, and what the world learns from it.

use std::time::Duration;

use steadfast::backend::Version;
use steadfast::idempotency::{KeyState, Status};

use super::call::{Answer, Call, Facts, Told};
use super::generate::Verb;
use super::world::{Attempt, Expected, Phase, World, micros};

/// Versions run ahead of the time. No step happens so close to a deadline.
pub(super) const TOLERANCE_US: u64 = 5_000;

/// A call that has ended, as its caller saw it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) call: Call,
    /// `None` if its process crashed.
    pub(super) told: Option<Told>,
    /// It met a fault.
    pub(super) struck: bool,
    pub(super) turns: (usize, usize),
}

/// The worlds that a call can leave which ended so; none if it could not.
pub(super) fn after(world: &World, done: &Done, now_us: u64) -> Vec<World> {
    let attempt = || Attempt { call: &done.call, now_us, world: world.clone() }.run();
    match &done.told {
        Some(Told::Failed { .. }) if !done.struck => vec![],
        // A holder is promised less: it repeats what failed, and is told then.
        Some(Told::Failed { ambiguous: false }) if done.call.facts.is_none() => vec![world.clone()],
        None | Some(Told::Failed { .. }) => vec![world.clone(), attempt().1],
        Some(told) => {
            let (expected, mut after) = attempt();
            let fits = fits(&expected, told, &mut after, done.call.key);
            let mut worlds: Vec<_> = fits.then_some(after).into_iter().collect();
            worlds.extend(overtaken(done, told, attempt().1));
            worlds
        }
    }
}

/// It was kept that the outcome is unknown, the reply was lost, and when the holder looked again
/// somebody had taken over.
fn overtaken(done: &Done, told: &Told, mut after: World) -> Option<World> {
    let facts = done.call.facts.as_ref()?;
    let is_tombstone = matches!(done.call.verb, Verb::Tombstone { .. });
    let is_overtaken = done.struck && is_tombstone && matches!(told, Told::Fenced(_));
    is_overtaken.then(|| {
        after.overtaken.push((facts.key, facts.number));
        after
    })
}

fn fits(expected: &Expected, told: &Told, world: &mut World, key: usize) -> bool {
    match (expected, told) {
        (Expected::Acquired, Told::Acquired(facts, fence)) => {
            is_acquired(world, key, facts, *fence)
        }
        (Expected::Replay(answer), Told::Replay(told)) => answer == told,
        (Expected::InFlight { left_us, attempt }, Told::InFlight { lease_left, attempt: told }) => {
            is_close(*left_us, *lease_left) && attempt == told
        }
        (Expected::Lapsed { attempt }, Told::Lapsed { attempt: told }) => attempt == told,
        (
            Expected::Indeterminate { reason, answer },
            Told::Indeterminate { reason: told, answer: told_answer },
        ) => reason == told && answer == told_answer,
        (Expected::Fenced(winner), Told::Fenced(told)) => winner == told,
        (Expected::Mismatch, Told::Mismatch)
        | (Expected::Done, Told::Done)
        | (Expected::Lost, Told::Lost)
        | (Expected::Refused, Told::Refused) => true,
        _ => false,
    }
}

fn is_acquired(world: &mut World, key: usize, facts: &Facts, fence: Version) -> bool {
    let record = world.keys[key].as_ref();
    record.is_some_and(|record| {
        record.attempt == facts.attempt && record.checkpoint == facts.checkpoint
    }) && world.has_effect_id(key, &facts.effect_id)
        && world.has_version(key, fence.get())
}

fn is_close(us: u64, told: Duration) -> bool {
    us.abs_diff(micros(told)) < TOLERANCE_US
}

/// The world, if it is the one that somebody sees who looks at a key and its effects.
pub(super) fn seen(
    mut world: World,
    key: usize,
    status: Option<&Status<Answer>>,
    effects: u32,
    now_us: u64,
) -> Option<World> {
    let record = world.keys[key].clone();
    let fits = match (&record, status) {
        (None, None) => true,
        (Some(record), Some(status)) => {
            let state = match (&record.phase, &status.state) {
                (Phase::Running, KeyState::Running { lease_left }) => {
                    !record.is_lapsed(now_us)
                        && is_close(record.lease_end_us() - now_us, *lease_left)
                }
                (Phase::Running, KeyState::Lapsed) => record.is_lapsed(now_us),
                (Phase::Completed(answer), KeyState::Completed(seen)) => answer == seen,
                (
                    Phase::Indeterminate { reason, answer },
                    KeyState::Indeterminate { reason: seen, answer: seen_answer },
                ) => reason == seen && answer == seen_answer,
                _ => false,
            };
            state
                && record.attempt == status.attempt
                && record.effects_started == status.effects_started
                && record.checkpoint == status.checkpoint.as_ref().map(|checkpoint| checkpoint[0])
                && is_close(now_us - record.written_us, status.age)
                && world.has_version(key, status.version.get())
                && world.has_effect_id(key, &status.effect_id)
        }
        _ => false,
    };
    (fits && world.effects[key] == effects && world.effects_of_life[key] <= 1).then_some(world)
}
