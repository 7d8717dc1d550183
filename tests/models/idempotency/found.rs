//! Histories that the model has found to go wrong, as short as they came.

use steadfast::idempotency::OnLapse;

use crate::link::Fate;
use crate::place::{Engine, Place};

use super::generate::{Run, Step, Verb};
use super::run::History;

/// The claim was made twice, since the first reply was lost. The second failed before it reached
/// the store, and so the key was said not to be claimed.
#[test]
fn a_claim_whose_reply_was_lost_is_not_said_to_have_failed() {
    for engine in [Engine::Memory, Engine::Redb, Engine::Sled] {
        let (verb, on_lapse) = (Verb::Begin(0), OnLapse::Refuse);
        let fates = vec![Fate::ReplyLost, Fate::Cut];
        let run = Run { verb, key: 0, claim: 0, on_lapse, fates, drop_after: None };
        let step = Step::Together { runs: vec![run], picks: Vec::new() };
        let outcome = History::check(&Place::of(engine), &[step]);
        assert!(outcome.is_ok(), "{engine:?}: {}", outcome.unwrap_err());
    }
}
