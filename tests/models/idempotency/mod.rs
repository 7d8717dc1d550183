//! Idempotency: whatever processes do that crash, freeze, lose replies and come back, callers are
//! told what whole calls in some order would tell, and an effect that commits with its answer
//! happens once in the life of a key.
//!
//! | promise | where it is checked |
//! | --- | --- |
//! | P3 one execution | the effects in the store are counted after each step |
//! | P4 same answer | a completed key keeps its answer, byte for byte, until it is forgotten |
//! | P5 lapsed is not absent | time stops just before and just after the end of a lease |
//! | P7 clock proof | the store is opened anew with a clock that was set by ten minutes |
//! | P9 outage is explicit | a failure that is not ambiguous has changed nothing |
//! | P13 cancel safe | processes crash at any await |
//!
//! Beside that: fences grow, a holder that was overtaken is told and changes nothing, a zombie's
//! release frees nothing, and what nobody may run again nobody does.
//!
//! The life of a key begins when it is claimed and ends when its record goes: its retention is
//! over, it was released or resolved to be absent, or the store has evicted it. What holds beyond
//! that is little: a claim whose record is gone completes if the key is still absent, and is
//! fenced if somebody else has begun since. So after an eviction two holders may execute at the
//! same time, but only one of them completes; if that answer goes, too, before the other one
//! completes, both have.

mod accept;
mod call;
mod found;
mod generate;
mod run;
mod world;

use crate::generated::check;
use crate::place::{Engine, Place};

const FAILURES: &str = "proptest-regressions/models-idempotency.txt";

#[test]
fn keys_on_memory_are_explained() {
    keys_are_explained(Engine::Memory, 200);
}

#[test]
fn keys_that_change_alone_are_explained() {
    keys_are_explained(Engine::Alone, 50);
}

#[test]
fn keys_on_redb_are_explained() {
    keys_are_explained(Engine::Redb, 10);
}

#[test]
fn keys_on_sled_are_explained() {
    keys_are_explained(Engine::Sled, 10);
}

fn keys_are_explained(engine: Engine, percent: u32) {
    let place = Place::of(engine);
    let outcome = |history: Vec<generate::Step>| run::History::check(&place, &history);
    check(FAILURES, percent, generate::history(), outcome);
}
