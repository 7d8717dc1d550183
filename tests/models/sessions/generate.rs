//! Histories of sessions, as data that shrinks.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use crate::link::Fate;

/// Few, so that their sessions meet.
pub(super) const PRINCIPALS: usize = 2;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Calls at the same time, and whose turn it is.
    Together { runs: Vec<Run>, picks: Vec<u8> },
    /// Time passes.
    Advance(Advance),
    /// A record of a session is damaged, or was written by a newer version.
    Damage { record: Record, at: usize, damage: Damage },
    /// The store is opened anew; meanwhile its clock was set by ten minutes, back or forward.
    Restart { back: bool },
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
    /// Which id it is about, from the youngest, of those that were ever handed out.
    pub(super) id: usize,
    pub(super) who: usize,
    /// Whether it is made by the replica that refuses at the limit, and not by the one that evicts.
    pub(super) refuses: bool,
    pub(super) fates: Vec<Fate>,
    /// After how many turns it is dropped.
    pub(super) drop_after: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    Create,
    SignIn,
    Elevate,
    Find,
    Peek,
    /// With an effect, or without.
    Update(bool),
    Edit(Vec<Change>),
    /// A renewal, or a change of privilege.
    Rotate(bool),
    Destroy,
    DestroyDevice,
    DestroyAll,
    Devices,
}

/// Of one of a few attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Clear,
    Discard(u8, u8),
    Expect(u8, Option<i64>),
    Increment(u8, i64),
    Insert(u8, u8),
    Remove(u8),
    Set(u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Session,
    User,
    Devices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    CutOff,
    Flip(usize),
    NewerFormat,
    NewerLayout,
    /// Of what the session holds.
    NewerSchema,
}

pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..30)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (vec(run(), 1..=4), vec(any::<u8>(), 0..30))
            .prop_map(|(runs, picks)| Step::Together { runs, picks }),
        12 => run().prop_map(|run| Step::Together { runs: vec![run], picks: Vec::new() }),
        8 => advance().prop_map(Step::Advance),
        1 => (record(), 0_usize..8, damage())
            .prop_map(|(record, at, damage)| Step::Damage { record, at, damage }),
        1 => any::<bool>().prop_map(|back| Step::Restart { back }),
    ]
}

fn advance() -> impl Strategy<Value = Advance> {
    prop_oneof![
        2 => (1_u64..700).prop_map(Advance::Seconds),
        3 => (0_usize..40, any::<bool>())
            .prop_map(|(moment, before)| Advance::To { moment, before }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![Just(Record::Session), Just(Record::User), Just(Record::Devices)]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::CutOff),
        (0_usize..200).prop_map(Damage::Flip),
        Just(Damage::NewerFormat),
        Just(Damage::NewerLayout),
        Just(Damage::NewerSchema),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let who = 0..PRINCIPALS;
    let drop_after = weighted(0.1, 1_usize..8);
    (verb(), 0_usize..6, who, any::<bool>(), fates(), drop_after).prop_map(
        |(verb, id, who, refuses, fates, drop_after)| Run {
            verb,
            id,
            who,
            refuses,
            fates,
            drop_after,
        },
    )
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![4 => Just(Fate::Fine), 1 => Just(Fate::Cut), 2 => Just(Fate::ReplyLost)];
    prop_oneof![3 => Just(Vec::new()), 1 => vec(fate, 1..6)]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        2 => Just(Verb::Create),
        5 => Just(Verb::SignIn),
        2 => Just(Verb::Elevate),
        3 => Just(Verb::Find),
        1 => Just(Verb::Peek),
        6 => prop::bool::weighted(0.8).prop_map(Verb::Update),
        5 => vec(change(), 0..4).prop_map(Verb::Edit),
        5 => any::<bool>().prop_map(Verb::Rotate),
        3 => Just(Verb::Destroy),
        2 => Just(Verb::DestroyDevice),
        1 => Just(Verb::DestroyAll),
        3 => Just(Verb::Devices),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let (name, value) = (0_u8..3, 0_u8..3);
    prop_oneof![
        1 => Just(Change::Clear),
        2 => (name.clone(), value.clone()).prop_map(|(name, member)| Change::Discard(name, member)),
        1 => (name.clone(), weighted(0.5, 0_i64..3))
            .prop_map(|(name, number)| Change::Expect(name, number)),
        5 => (name.clone(), 1_i64..3).prop_map(|(name, by)| Change::Increment(name, by)),
        4 => (name.clone(), value.clone()).prop_map(|(name, member)| Change::Insert(name, member)),
        2 => name.clone().prop_map(Change::Remove),
        1 => (name, value).prop_map(|(name, value)| Change::Set(name, value)),
    ]
}
