//! P3 to P5: what `begin` answers, for each state of the key under each policy. The rows and their
//! order are those of the table in `steadfast::idempotency`.

use steadfast::idempotency::{
    Begin, Claim, Completion, Fingerprint, IdempotencyKey, OnLapse, Reason, Renewal, Tombstone,
};

use crate::world::{LEASE, Receipt, SECOND, World, acquired, on_every_backend, pay, scope};

on_every_backend!(every_state_has_its_answer);

/// How the key came to be as it is.
#[derive(Clone, Copy, Debug)]
enum State {
    Absent,
    Released,
    Running,
    Completed,
    Lapsed,
    LapsedAfterEffects,
    LapsedFiveTimes,
    GivenUp(Reason),
    GivenUpAfterEffects,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Acquired(u16),
    Replay,
    InFlight,
    Mismatch,
    Lapsed(u16),
    Indeterminate(Reason),
}

const POLICIES: [OnLapse; 3] = [OnLapse::Refuse, OnLapse::TakeOver, OnLapse::Recover];

/// What `begin` says under each of the policies; another fingerprint is always a mismatch.
#[rustfmt::skip]
const TABLE: [(State, [Answer; 3]); 13] = {
    use Answer::{Acquired, InFlight, Indeterminate, Lapsed, Replay};
    use Reason::{Attempts, Cancelled, Deadline, Failed, Oversize, Panicked, Shutdown};
    [
        (State::Absent, [Acquired(1); 3]),
        (State::Released, [Acquired(1); 3]),
        (State::Running, [InFlight; 3]),
        (State::Completed, [Replay; 3]),
        (State::Lapsed, [Lapsed(1), Acquired(2), Acquired(2)]),
        (State::LapsedAfterEffects, [Lapsed(1), Lapsed(1), Acquired(2)]),
        (State::LapsedFiveTimes, [Lapsed(5), Indeterminate(Attempts), Indeterminate(Attempts)]),
        (State::GivenUp(Panicked), [Indeterminate(Panicked), Acquired(2), Acquired(2)]),
        (State::GivenUp(Shutdown), [Indeterminate(Shutdown), Acquired(2), Acquired(2)]),
        (State::GivenUp(Cancelled), [Indeterminate(Cancelled), Acquired(2), Acquired(2)]),
        (State::GivenUp(Deadline), [Indeterminate(Deadline), Acquired(2), Acquired(2)]),
        (State::GivenUp(Oversize), [Indeterminate(Oversize); 3]),
        (State::GivenUpAfterEffects, [Indeterminate(Failed), Indeterminate(Failed), Acquired(2)]),
    ]
};

async fn every_state_has_its_answer(world: World) {
    for (state, answers) in TABLE {
        for (on_lapse, expected) in POLICIES.into_iter().zip(answers) {
            prepare(&world, state).await;
            let payments = world.payments().on_lapse(on_lapse).build().unwrap();
            if !matches!(state, State::Absent | State::Released) {
                let (key, other) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["x"]));
                let other = payments.begin(&scope(), &key, &other).await.unwrap();
                assert_eq!(name(&other), Answer::Mismatch, "{state:?}, {on_lapse:?}");
            }
            let begin = pay(&payments).await.unwrap();
            assert_eq!(name(&begin), expected, "{state:?}, {on_lapse:?}");
            crate::world::erase(&world).await;
        }
    }
}

fn name(begin: &Begin<Receipt>) -> Answer {
    match begin {
        Begin::Acquired(claim) => Answer::Acquired(claim.attempt()),
        Begin::Replay(_) => Answer::Replay,
        Begin::InFlight { .. } => Answer::InFlight,
        Begin::Mismatch => Answer::Mismatch,
        Begin::Lapsed { attempt } => Answer::Lapsed(*attempt),
        Begin::Indeterminate { reason, .. } => Answer::Indeterminate(*reason),
    }
}

async fn prepare(world: &World, state: State) {
    match state {
        State::Absent => {}
        State::Released => {
            claim(world).await.release().await.map(drop).unwrap();
        }
        State::Running => drop(claim(world).await),
        State::Completed => {
            let done = claim(world).await.complete(&Receipt::new("1")).await.unwrap();
            assert!(matches!(done, Completion::Completed));
        }
        State::Lapsed => lapse(world).await,
        State::LapsedAfterEffects => {
            start_effects(&mut claim(world).await).await;
            world.clock.advance(LEASE + SECOND);
        }
        State::LapsedFiveTimes => {
            for _holder in 0..5 {
                lapse(world).await;
            }
        }
        State::GivenUp(reason) => give_up(&claim(world).await, reason).await,
        State::GivenUpAfterEffects => {
            let mut claim = claim(world).await;
            start_effects(&mut claim).await;
            give_up(&claim, Reason::Failed).await;
        }
    }
}

async fn claim(world: &World) -> Claim<Receipt> {
    let payments = world.payments().on_lapse(OnLapse::Recover).build().unwrap();
    acquired(pay(&payments).await.unwrap())
}

async fn lapse(world: &World) {
    drop(claim(world).await);
    world.clock.advance(LEASE + SECOND);
}

async fn start_effects(claim: &mut Claim<Receipt>) {
    assert_eq!(claim.mark_effects().await.unwrap(), Renewal::Renewed);
}

async fn give_up(claim: &Claim<Receipt>, reason: Reason) {
    assert!(matches!(claim.tombstone(reason, None).await.unwrap(), Tombstone::Kept));
}
