//! Sessions: what callers are told, at the same time and over failing links, is what whole calls
//! in some order would tell.
//!
//! | promise | where it is checked |
//! | --- | --- |
//! | P1 no lost update | each session keeps who changed it, in order, and counters and sets beside |
//! | P2 no resurrection | every id that was ever handed out is looked at after each step |
//! | P6 deadlines hold | time stops just before and just after each deadline |
//! | P7 clock proof | the store is opened anew with a clock that was set by ten minutes |
//! | P9 outage is explicit | a failure that is not ambiguous has changed nothing |
//! | P10 nothing destroyed unread | records are damaged, or newer |
//! | P13 cancel safe | calls are dropped at any await |
//!
//! At every step, too: a principal's list names its live sessions, the limit holds, and versions
//! grow with each change. At the end nothing is left that no deadline removes.

mod accept;
mod attempt;
mod call;
mod content;
mod damage;
mod found;
mod generate;
mod run;
mod world;

use crate::generated::check;
use crate::place::{Engine, Place};

const FAILURES: &str = "proptest-regressions/models-sessions.txt";

#[test]
fn histories_on_memory_are_explained() {
    histories_are_explained(Engine::Memory, 100);
}

#[test]
fn histories_where_keys_change_alone_are_explained() {
    histories_are_explained(Engine::Alone, 100);
}

#[test]
fn histories_on_redb_are_explained() {
    histories_are_explained(Engine::Redb, 10);
}

#[test]
fn histories_on_sled_are_explained() {
    histories_are_explained(Engine::Sled, 10);
}

fn histories_are_explained(engine: Engine, percent: u32) {
    let place = Place::of(engine);
    let outcome = |history: Vec<generate::Step>| run::History::check(&place, &history);
    check(FAILURES, percent, generate::history(), outcome);
}
