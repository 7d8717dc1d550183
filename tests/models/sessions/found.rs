//! Histories that the model has found to go wrong, as short as they came.

use crate::link::Fate;
use crate::place::{Engine, Place};

use super::generate::{Advance, Run, Step, Verb};
use super::run::History;

fn run(verb: Verb) -> Run {
    Run { verb, id: 0, who: 0, refuses: false, fates: Vec::new(), drop_after: None }
}

fn alone(verb: Verb) -> Step {
    Step::Together { runs: vec![run(verb)], picks: Vec::new() }
}

#[track_caller]
fn assert_explained(steps: &[Step]) {
    for engine in [Engine::Alone, Engine::Memory, Engine::Redb, Engine::Sled] {
        let outcome = History::check(&Place::of(engine), steps);
        assert!(outcome.is_ok(), "{engine:?}: {}", outcome.unwrap_err());
    }
}

/// The list was read before a rotation and the sessions after it: the one that got a new id was
/// left out, though it lives.
#[test]
fn a_list_of_devices_has_the_session_that_is_rotated_meanwhile() {
    let runs = vec![run(Verb::Devices), run(Verb::Rotate(false))];
    let picks = vec![0, 1, 1, 1, 0];
    assert_explained(&[alone(Verb::SignIn), Step::Together { runs, picks }]);
}

/// The same with a sign-in at the limit: the list had neither the old session nor the new one.
#[test]
fn a_list_of_devices_is_of_one_moment() {
    let runs = vec![run(Verb::Devices), run(Verb::SignIn)];
    let picks = vec![0, 1, 1, 1, 1, 0];
    assert_explained(&[alone(Verb::SignIn), alone(Verb::SignIn), Step::Together { runs, picks }]);
}

/// The read that tells what became of a sign-in failed, and so the sign-in was said not to have
/// happened.
#[test]
fn a_sign_in_whose_reply_was_lost_is_not_said_to_have_failed() {
    let fates = vec![Fate::Fine, Fate::ReplyLost, Fate::Fine, Fate::Cut];
    let runs = vec![Run { fates, ..run(Verb::SignIn) }];
    assert_explained(&[Step::Together { runs, picks: Vec::new() }]);
}

/// The principal's record went first, and whoever came after it was told that all sessions had
/// been ended.
#[test]
fn a_session_that_has_expired_is_not_called_revoked() {
    let soon = || Step::Advance(Advance::Seconds(590));
    assert_explained(&[
        alone(Verb::SignIn),
        soon(),
        alone(Verb::Find),
        soon(),
        alone(Verb::Find),
        Step::Advance(Advance::Seconds(30)),
    ]);
}

/// Its caller was told that the session is gone, and so that nothing was written; but the session
/// went on with the change, under its new id.
#[test]
fn an_update_that_a_rotation_carried_on_is_not_said_to_be_lost() {
    let fates = vec![Fate::Fine, Fate::ReplyLost];
    let runs = vec![Run { fates, ..run(Verb::Update(true)) }, run(Verb::Rotate(false))];
    let picks = vec![0, 0, 1, 1, 1, 0];
    assert_explained(&[alone(Verb::Create), Step::Together { runs, picks }]);
}

/// The renewal had followed the old id when another rotation overtook it, and called the session
/// missing: its client would have dropped the cookie that the other one has just set.
#[test]
fn a_renewal_that_is_overtaken_tells_that_the_session_goes_on() {
    let runs = vec![Run { id: 1, ..run(Verb::Rotate(true)) }, run(Verb::Rotate(false))];
    let picks = vec![0, 0, 1, 1, 1, 0];
    let overtaken = Step::Together { runs, picks };
    assert_explained(&[alone(Verb::Create), alone(Verb::Rotate(true)), overtaken]);
}

/// The update was made, its reply was lost, and then all sessions were ended; its repetition met
/// that first, and the failure of the read after it was said to be all that happened.
#[test]
fn an_update_that_a_log_out_everywhere_overtook_is_not_said_to_have_failed() {
    let fates = vec![Fate::Fine, Fate::ReplyLost, Fate::Fine, Fate::Cut];
    let runs = vec![
        Run { fates, ..run(Verb::Update(true)) },
        run(Verb::DestroyAll),
        run(Verb::Devices),
        run(Verb::Update(true)),
    ];
    let picks = vec![160, 60, 3, 2, 58, 42, 29, 178];
    assert_explained(&[alone(Verb::SignIn), Step::Together { runs, picks }]);
}

/// Where keys change alone: the name before the rotation was removed, the one after it was not, and
/// then nothing told any more that the session had only got another id.
#[test]
fn a_log_out_on_another_device_that_fails_forgets_no_rotation() {
    let fates = vec![Fate::Fine, Fate::ReplyLost, Fate::Cut];
    let cut_off = Run { fates, ..run(Verb::DestroyDevice) };
    assert_explained(&[
        alone(Verb::SignIn),
        alone(Verb::Rotate(false)),
        alone(Verb::Devices),
        Step::Together { runs: vec![cut_off], picks: Vec::new() },
    ]);
}

/// Where keys change alone: the session was over, the list could not be written, and the error of
/// the next look said that nothing had been done.
#[test]
fn a_log_out_on_another_device_that_is_half_done_is_not_said_to_have_failed() {
    let fates = vec![Fate::Fine, Fate::Fine, Fate::Cut, Fate::Cut];
    let cut_off = Run { fates, ..run(Verb::DestroyDevice) };
    assert_explained(&[
        alone(Verb::SignIn),
        alone(Verb::Devices),
        Step::Together { runs: vec![cut_off], picks: Vec::new() },
    ]);
}

/// The renewal was made and its reply was lost; before it was repeated, a step-up gave the session
/// yet another id. What stood under the renewed id by then, that it had moved on, was taken for the
/// session, and the version of that for the session's own.
#[test]
fn a_renewal_that_was_overtaken_before_it_was_told_does_not_give_a_dead_id() {
    let fates = vec![Fate::Fine, Fate::ReplyLost];
    let runs = vec![
        run(Verb::Create),
        run(Verb::Find),
        Run { id: 1, ..run(Verb::Elevate) },
        Run { id: 1, fates, ..run(Verb::Rotate(true)) },
    ];
    let picks = vec![0, 3, 143, 1, 62, 46];
    assert_explained(&[
        alone(Verb::SignIn),
        alone(Verb::Rotate(false)),
        alone(Verb::Create),
        alone(Verb::SignIn),
        alone(Verb::Create),
        Step::Together { runs, picks },
    ]);
}

/// The step-up was made, its reply was lost, and before it was repeated, the session was ended on
/// another device: under the old id stood the mark of the step-up, and the model did not know it.
#[test]
fn a_step_up_that_a_log_out_overtook_before_it_was_told_may_find_its_own_mark() {
    let fates = vec![Fate::Fine, Fate::ReplyLost];
    let runs = vec![run(Verb::DestroyDevice), Run { fates, ..run(Verb::Rotate(false)) }];
    let picks = vec![31, 127];
    assert_explained(&[
        alone(Verb::SignIn),
        alone(Verb::Rotate(false)),
        alone(Verb::Devices),
        Step::Together { runs, picks },
    ]);
}
