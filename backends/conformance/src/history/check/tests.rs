//! What the checker must find, and what it must let pass: each as a history of a few operations.

use steadfast_backend::{Condition, Version};

use super::{Flaw, check};
use crate::history::operation::{Answer, Call, Operation, Seen, Span};

const ALWAYS: Condition = Condition::Always;
const PRESENT: Condition = Condition::Present;

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn is(number: u64) -> Condition {
    Condition::VersionIs(version(number))
}

fn seen(value: u64, number: u64) -> Seen {
    Seen { value, version: version(number) }
}

fn found(value: u64, number: u64) -> Answer {
    Answer::Found(Some(seen(value, number)))
}

fn refused(value: u64, number: u64) -> Answer {
    Answer::Refused(Some(seen(value, number)))
}

fn made(number: u64) -> Answer {
    Answer::Applied(Some(version(number)))
}

const MISS: Answer = Answer::Found(None);
const DELETED: Answer = Answer::Applied(None);

fn put(value: u64, only_if: Condition) -> Call {
    Call::Put { value, only_if }
}

fn delete(only_if: Condition) -> Call {
    Call::Delete { only_if }
}

fn touch(only_if: Condition) -> Call {
    Call::Touch { only_if }
}

fn operation(from: u64, to: u64, call: Call, answer: Answer) -> Operation {
    Operation { task: 0, span: Span { from, to }, call, answer }
}

/// Operations that follow each other, by their calls and answers.
fn sequence(calls: &[(Call, Answer)]) -> Vec<Operation> {
    let at = |at: usize| u64::try_from(at).unwrap() * 10;
    let calls = calls.iter().enumerate();
    calls.map(|(n, (call, answer))| operation(at(n), at(n) + 5, *call, *answer)).collect()
}

fn verdict(operations: &[Operation]) -> Result<(), Flaw> {
    check(operations, &[])
}

/// Checks that the operation at this place is the one that nothing explains.
#[track_caller]
fn rejects(operations: &[Operation], operation: usize) {
    let flaw = verdict(operations).expect_err("it has a flaw");
    assert_eq!(flaw.operation, operation, "{}", flaw.reason);
}

#[track_caller]
fn accepts(operations: &[Operation]) {
    assert_eq!(verdict(operations), Ok(()));
}

#[test]
fn a_plain_story_passes() {
    accepts(&sequence(&[
        (Call::Get, MISS),
        (touch(ALWAYS), Answer::Refused(None)),
        (put(1, Condition::Absent), made(10)),
        (put(2, Condition::Absent), refused(1, 10)),
        (touch(PRESENT), made(10)),
        (put(3, is(10)), made(20)),
        (put(4, is(10)), refused(3, 20)),
        (Call::Check { only_if: is(20) }, made(20)),
        (delete(is(20)), DELETED),
        (delete(ALWAYS), DELETED),
        (Call::Check { only_if: Condition::Absent }, DELETED),
        (put(5, PRESENT), Answer::Refused(None)),
        (put(6, Condition::Absent), made(30)),
        (Call::Get, found(6, 30)),
    ]));
}

#[test]
fn a_lost_update_is_found() {
    let both_over_ten = [
        operation(0, 1, put(1, ALWAYS), made(10)),
        operation(2, 9, put(2, is(10)), made(20)),
        operation(2, 8, put(3, is(10)), made(30)),
    ];
    rejects(&both_over_ten, 2);
}

#[test]
fn a_confirmed_put_that_is_gone_is_found() {
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (Call::Get, MISS)]), 1);
}

#[test]
fn a_stale_read_is_found() {
    rejects(
        &sequence(&[
            (put(1, ALWAYS), made(10)),
            (put(2, ALWAYS), made(20)),
            (Call::Get, found(1, 10)),
        ]),
        2,
    );
}

#[test]
fn reads_going_backwards_are_found() {
    // While the second put is under way, either value may be read, but not the new one first.
    let story = |first, second| {
        [
            operation(0, 1, put(1, ALWAYS), made(10)),
            operation(2, 9, put(2, ALWAYS), made(20)),
            operation(3, 4, Call::Get, first),
            operation(5, 6, Call::Get, second),
        ]
    };
    accepts(&story(found(1, 10), found(2, 20)));
    rejects(&story(found(2, 20), found(1, 10)), 3);
}

#[test]
fn a_resurrected_entry_is_found() {
    let story = [(put(1, ALWAYS), made(10)), (delete(ALWAYS), DELETED), (Call::Get, found(1, 10))];
    rejects(&sequence(&story), 2);
    let story = [(put(1, ALWAYS), made(10)), (delete(ALWAYS), DELETED), (touch(ALWAYS), made(10))];
    rejects(&sequence(&story), 2);
}

#[test]
fn a_put_where_none_may_be_is_found() {
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (put(2, Condition::Absent), made(20))]), 1);
    rejects(&sequence(&[(put(1, PRESENT), made(10))]), 0);
}

#[test]
fn a_reused_or_falling_version_is_found() {
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (put(2, ALWAYS), made(10))]), 1);
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (put(2, ALWAYS), made(9))]), 1);
    let again = [(put(1, ALWAYS), made(10)), (delete(ALWAYS), DELETED), (put(2, ALWAYS), made(10))];
    rejects(&sequence(&again), 2);
    let other = [(put(1, ALWAYS), made(10)), (Call::Get, found(1, 11))];
    rejects(&sequence(&other), 1);
}

#[test]
fn a_refusal_that_shows_what_was_not_there_is_found() {
    let story = |answer| {
        sequence(&[
            (put(1, ALWAYS), made(10)),
            (put(2, ALWAYS), made(20)),
            (put(3, is(15)), answer),
        ])
    };
    accepts(&story(refused(2, 20)));
    rejects(&story(refused(1, 10)), 2);
    rejects(&story(Answer::Refused(None)), 2);
}

#[test]
fn a_refusal_whose_condition_holds_is_found() {
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (put(2, is(10)), refused(1, 10))]), 1);
    rejects(&sequence(&[(put(1, Condition::Absent), Answer::Refused(None))]), 0);
}

#[test]
fn an_answer_that_contradicts_its_call_is_found() {
    rejects(&sequence(&[(put(1, ALWAYS), Answer::Applied(None))]), 0);
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (delete(ALWAYS), made(10))]), 1);
    rejects(&sequence(&[(put(1, ALWAYS), made(10)), (touch(is(9)), made(10))]), 1);
    rejects(&sequence(&[(touch(ALWAYS), DELETED)]), 0);
}

#[test]
fn a_value_from_elsewhere_is_found() {
    rejects(&sequence(&[(Call::Get, found(7, 10))]), 0);
    rejects(&sequence(&[(Call::Get, found(1, 10)), (put(1, ALWAYS), made(10))]), 0);
}

#[test]
fn a_failed_or_refused_put_that_shows_is_found_and_named() {
    let story =
        [(put(1, ALWAYS), made(10)), (put(2, ALWAYS), Answer::Failed), (Call::Get, found(2, 20))];
    let reason = verdict(&sequence(&story)).unwrap_err().reason;
    assert_eq!(reason, "it shows a put that answered: failed, nothing changed");
    let story = [story[0], (put(2, Condition::Absent), refused(1, 10)), story[2]];
    let reason = verdict(&sequence(&story)).unwrap_err().reason;
    assert_eq!(reason, "it shows a put that was refused");
    let story = [story[0], (Call::Get, found(1, 11))];
    let reason = verdict(&sequence(&story)).unwrap_err().reason;
    assert_eq!(reason, "it shows a value under another version than before");
}

#[test]
fn a_failed_delete_that_was_made_is_found() {
    let story = [(put(1, ALWAYS), made(10)), (delete(ALWAYS), Answer::Failed), (Call::Get, MISS)];
    rejects(&sequence(&story), 2);
}

#[test]
fn a_write_without_an_answer_may_be_made_never_at_once_or_late() {
    let story = |reads: &[Answer]| {
        let mut story = vec![(put(1, ALWAYS), made(10)), (put(2, is(10)), Answer::Unknown)];
        story.extend(reads.iter().map(|read| (Call::Get, *read)));
        sequence(&story)
    };
    accepts(&story(&[found(1, 10), found(1, 10)]));
    accepts(&story(&[found(2, 20), found(2, 20)]));
    accepts(&story(&[found(1, 10), found(2, 20)]));
    rejects(&story(&[found(2, 20), found(1, 10)]), 3);
    let deletes = |reads: &[Answer]| {
        let mut story = vec![(put(1, ALWAYS), made(10)), (delete(ALWAYS), Answer::Unknown)];
        story.extend(reads.iter().map(|read| (Call::Get, *read)));
        sequence(&story)
    };
    accepts(&deletes(&[found(1, 10), found(1, 10)]));
    accepts(&deletes(&[found(1, 10), MISS]));
    rejects(&deletes(&[MISS, found(1, 10)]), 3);
}

#[test]
fn a_write_without_an_answer_that_is_made_twice_is_found() {
    let put_twice = [
        (put(1, ALWAYS), Answer::Unknown),
        (Call::Get, found(1, 10)),
        (put(2, ALWAYS), made(20)),
        (Call::Get, found(1, 10)),
    ];
    rejects(&sequence(&put_twice), 3);
    let put_again = [
        (put(1, ALWAYS), Answer::Unknown),
        (Call::Get, found(1, 10)),
        (put(2, ALWAYS), made(20)),
        (Call::Get, found(1, 30)),
    ];
    rejects(&sequence(&put_again), 3);
    let deleted_twice = [
        (put(1, ALWAYS), made(10)),
        (delete(ALWAYS), Answer::Unknown),
        (Call::Get, MISS),
        (put(2, ALWAYS), made(20)),
        (Call::Get, MISS),
    ];
    rejects(&sequence(&deleted_twice), 4);
}

#[test]
fn a_conditional_write_without_an_answer_keeps_its_condition() {
    let story = [
        (put(1, ALWAYS), made(10)),
        (delete(is(10)), Answer::Unknown),
        (put(2, is(10)), made(20)),
        (Call::Get, MISS),
    ];
    rejects(&sequence(&story), 3);
    let story = [
        (put(1, ALWAYS), made(10)),
        (put(2, Condition::Absent), Answer::Unknown),
        (Call::Get, found(2, 20)),
    ];
    rejects(&sequence(&story), 2);
}

#[test]
fn a_put_that_nobody_saw_can_explain_that_a_key_is_there() {
    let story = |first| sequence(&[(put(1, first), Answer::Unknown), (put(2, PRESENT), made(20))]);
    accepts(&story(ALWAYS));
    accepts(&story(Condition::Absent));
    rejects(&story(PRESENT), 1);
    // By its version alone it can be seen too, as one put and no more.
    let touched = [(put(1, ALWAYS), Answer::Unknown), (touch(ALWAYS), made(10))];
    accepts(&sequence(&touched));
    let twice = [touched[0], touched[1], (touch(ALWAYS), made(20))];
    rejects(&sequence(&twice), 2);
    rejects(&sequence(&[(touch(ALWAYS), made(10))]), 0);
}

#[test]
fn overlapping_calls_may_take_any_order() {
    accepts(&[
        operation(0, 20, put(1, ALWAYS), made(30)),
        operation(0, 20, put(2, ALWAYS), made(10)),
        operation(0, 20, put(3, is(10)), made(20)),
        operation(0, 20, delete(is(30)), DELETED),
        operation(0, 20, Call::Get, found(3, 20)),
        operation(0, 20, Call::Get, MISS),
        operation(5, 15, Call::Get, found(1, 30)),
        operation(0, 20, put(4, Condition::Absent), made(40)),
        operation(21, 22, Call::Get, found(4, 40)),
    ]);
}

#[test]
fn a_delete_is_used_once() {
    // One delete, and the key was seen absent twice with a put in between.
    rejects(
        &[
            operation(0, 1, put(1, ALWAYS), made(10)),
            operation(2, 30, delete(ALWAYS), DELETED),
            operation(3, 4, Call::Get, MISS),
            operation(5, 6, put(2, ALWAYS), made(20)),
            operation(7, 8, Call::Get, MISS),
        ],
        4,
    );
}

#[test]
fn a_loss_explains_an_absent_key_and_new_versions_and_nothing_else() {
    let story = |after: &[(Call, Answer)]| {
        let mut story = vec![(put(1, ALWAYS), made(10)), (Call::Get, found(1, 10))];
        story.extend(after);
        sequence(&story)
    };
    let lost = [Span { from: 16, to: 18 }];
    let with = |after: &[(Call, Answer)]| check(&story(after), &lost).map_err(|it| it.operation);
    assert_eq!(with(&[(Call::Get, found(1, 10))]), Ok(()));
    assert_eq!(with(&[(Call::Get, MISS), (put(2, Condition::Absent), made(5))]), Ok(()));
    assert_eq!(with(&[(Call::Get, MISS), (Call::Get, found(1, 10))]), Err(3));
    assert_eq!(with(&[(put(2, ALWAYS), made(10)), (Call::Get, found(2, 10))]), Ok(()));
    assert_eq!(with(&[(put(2, ALWAYS), made(20)), (Call::Get, MISS)]), Err(3));
    // Before and after it, the key is not forgotten.
    rejects(&story(&[(Call::Get, MISS)]), 2);
    let late = check(&story(&[(Call::Get, MISS)]), &[Span { from: 28, to: 30 }]);
    assert_eq!(late.map_err(|flaw| flaw.operation), Err(2));
}

#[test]
fn writes_around_a_loss_may_be_on_either_side() {
    let lost = [Span { from: 10, to: 20 }];
    let story = |read| {
        [
            operation(0, 30, put(1, ALWAYS), made(50)),
            operation(0, 30, put(2, ALWAYS), made(40)),
            operation(31, 32, Call::Get, read),
        ]
    };
    for read in [found(1, 50), found(2, 40), MISS] {
        assert_eq!(check(&story(read), &lost), Ok(()), "{read}");
    }
    rejects(&story(found(2, 40)), 2);
}

#[test]
fn a_flaw_says_what_the_key_may_hold() {
    let story = [(put(1, ALWAYS), made(10)), (put(2, ALWAYS), made(20)), (Call::Get, MISS)];
    let flaw = verdict(&sequence(&story)).unwrap_err();
    assert!(flaw.reason.contains("may hold: 2 (version 20)"), "{}", flaw.reason);
}
