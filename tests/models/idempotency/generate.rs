//! Histories of idempotency keys, as data that shrinks.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use steadfast::idempotency::OnLapse;

use crate::link::Fate;

/// Few, so that their holders meet.
pub(super) const KEYS: usize = 2;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Calls at the same time, and whose turn it is.
    Together {
        runs: Vec<Run>,
        picks: Vec<u8>,
    },
    Advance(Advance),
    /// The store drops a key's record, as one that evicts may.
    Evict {
        key: usize,
    },
    /// The store is opened anew; meanwhile its clock was set by ten minutes, back or forward.
    Restart {
        back: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Advance {
    Seconds(u64),
    /// To just before, or just after, one of the moments at which something ends.
    To {
        moment: usize,
        before: bool,
    },
}

/// One call, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) verb: Verb,
    pub(super) key: usize,
    /// Whose claim it is about, from the youngest: the others are zombies by then.
    pub(super) claim: usize,
    pub(super) on_lapse: OnLapse,
    pub(super) fates: Vec<Fate>,
    /// After how many turns its process crashes.
    pub(super) drop_after: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// With one of two requests.
    Begin(u8),
    Renew,
    MarkEffects,
    SaveCheckpoint(u8),
    Complete,
    /// With an effect in the same store.
    CompleteWith,
    Tombstone {
        oversize: bool,
        answered: bool,
    },
    Release,
    /// The record was looked at so many looks ago.
    Resolve {
        completed: bool,
        looks: usize,
    },
}

pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..40)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        14 => (vec(run(), 1..=4), vec(any::<u8>(), 0..20))
            .prop_map(|(runs, picks)| Step::Together { runs, picks }),
        14 => run().prop_map(|run| Step::Together { runs: vec![run], picks: Vec::new() }),
        10 => advance().prop_map(Step::Advance),
        1 => (0..KEYS).prop_map(|key| Step::Evict { key }),
        1 => any::<bool>().prop_map(|back| Step::Restart { back }),
    ]
}

fn advance() -> impl Strategy<Value = Advance> {
    prop_oneof![
        2 => (1_u64..90).prop_map(Advance::Seconds),
        3 => (0_usize..8, any::<bool>())
            .prop_map(|(moment, before)| Advance::To { moment, before }),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let drop_after = weighted(0.15, 1_usize..6);
    (verb(), 0..KEYS, 0_usize..4, on_lapse(), fates(), drop_after).prop_map(
        |(verb, key, claim, on_lapse, fates, drop_after)| Run {
            verb,
            key,
            claim,
            on_lapse,
            fates,
            drop_after,
        },
    )
}

fn on_lapse() -> impl Strategy<Value = OnLapse> {
    prop_oneof![
        1 => Just(OnLapse::Refuse),
        3 => Just(OnLapse::TakeOver),
        2 => Just(OnLapse::Recover),
    ]
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![3 => Just(Fate::Fine), 1 => Just(Fate::Cut), 2 => Just(Fate::ReplyLost)];
    prop_oneof![2 => Just(Vec::new()), 1 => vec(fate, 1..5)]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        12 => prop_oneof![9 => Just(0_u8), 1 => Just(1)].prop_map(Verb::Begin),
        4 => Just(Verb::Renew),
        2 => Just(Verb::MarkEffects),
        2 => (0_u8..3).prop_map(Verb::SaveCheckpoint),
        4 => Just(Verb::Complete),
        4 => Just(Verb::CompleteWith),
        3 => (prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(oversize, answered)| Verb::Tombstone { oversize, answered }),
        2 => Just(Verb::Release),
        2 => (any::<bool>(), 0_usize..3)
            .prop_map(|(completed, looks)| Verb::Resolve { completed, looks }),
    ]
}
