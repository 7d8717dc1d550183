use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

/// Down to one, so that a failure shrinks well.
const OPS: RangeInclusive<usize> = 1..=60;
/// Fewer than a run has on average, so that all runs together surely have as many as were asked
/// for.
pub(super) const OPS_PER_RUN: usize = 20;
/// Few, so that operations meet.
pub(super) const KEYS: usize = 5;

/// One operation on a backend.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Advance { units: u8 },
    Batch(Vec<Change>),
    Get(usize),
    GetMany(Vec<usize>),
    Scan,
    Sweep,
    Transact(Vec<Change>),
    Write(Change),
}

/// A write, but for what only the run can tell: the versions.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: usize,
    pub(super) verb: Verb,
    pub(super) on: On,
}

#[derive(Clone, Debug)]
pub(super) enum Verb {
    Check,
    Delete,
    Put { len: usize, ttl_units: Option<u8> },
    Touch { ttl_units: Option<u8> },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum On {
    Absent,
    Always,
    /// The version that the key has, or had last.
    LastVersion,
    /// A version that it had before, or will have.
    OtherVersion,
    Present,
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), OPS)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => change().prop_map(Operation::Write),
        2 => vec(change(), 0..5).prop_map(Operation::Batch),
        3 => vec(change(), 0..4).prop_map(Operation::Transact),
        3 => (0..KEYS).prop_map(Operation::Get),
        2 => vec(0..KEYS, 0..6).prop_map(Operation::GetMany),
        3 => (0_u8..12).prop_map(|units| Operation::Advance { units }),
        1 => Just(Operation::Scan),
        1 => Just(Operation::Sweep),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    (0..KEYS, verb(), on()).prop_map(|(key, verb, on)| Change { key, verb, on })
}

fn verb() -> impl Strategy<Value = Verb> {
    let ttl_units = || proptest::option::of(0_u8..20);
    prop_oneof![
        6 => (0_usize..40, ttl_units()).prop_map(|(len, ttl_units)| Verb::Put { len, ttl_units }),
        2 => ttl_units().prop_map(|ttl_units| Verb::Touch { ttl_units }),
        2 => Just(Verb::Delete),
        1 => Just(Verb::Check),
    ]
}

fn on() -> impl Strategy<Value = On> {
    prop_oneof![
        4 => Just(On::Always),
        2 => Just(On::Absent),
        2 => Just(On::Present),
        3 => Just(On::LastVersion),
        1 => Just(On::OtherVersion),
    ]
}
