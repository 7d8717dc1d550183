//! P3 and P4 after an outage: what could not be written meanwhile is, once the store is back, so
//! that nobody waits for the lease of a claim that nobody holds.

use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::ErrorKind;
use steadfast::breaker::BreakerConfig;
use steadfast::idempotency::{
    Execution, Failure, Fingerprint, IdempotencyKey, OnLapse, Ran, Reason,
};
use steadfast::{Idempotency, Store};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

use crate::fault::{Fault, Faulty};
use crate::world::{Receipt, SECOND, World, on_every_backend, on_servers, scope};

on_every_backend!(a_claim_whose_caller_had_an_error_is_taken_back);

on_servers!(a_claim_whose_caller_had_an_error_is_taken_back);

/// None of these tests lives to see the end of it.
const LEASE: Duration = Duration::from_secs(3_600);

type Outcome = Result<Receipt, Failure<&'static str>>;

fn payments(faulty: &Arc<Faulty>) -> Idempotency<Receipt> {
    Idempotency::builder(&faulty.store()).lease(LEASE).build().unwrap()
}

async fn run<F: Future<Output = Outcome> + Send + 'static>(
    payments: &Idempotency<Receipt>,
    work: impl FnOnce(Execution<Receipt>) -> F + Send + 'static,
) -> steadfast::Result<Ran<Receipt, &'static str>> {
    let key = IdempotencyKey::new("k-1").unwrap();
    payments.run(&scope(), &key, &Fingerprint::of(["ten euros"]), work).await
}

/// What a client gets that asks again, at another replica, until nobody is at it.
async fn retried(payments: &Idempotency<Receipt>) -> Ran<Receipt, &'static str> {
    let retry = async {
        loop {
            match run(payments, |_| async { Ok(Receipt::new("again")) }).await.unwrap() {
                Ran::InFlight { .. } => sleep(Duration::from_millis(20)).await,
                ran => return ran,
            }
        }
    };
    timeout(Duration::from_secs(60), retry).await.unwrap()
}

async fn a_claim_whose_caller_had_an_error_is_taken_back(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let [here, there] = [payments(&faulty), payments(&Faulty::new(world.backend.clone()))];
    // It was made, and nobody was told, also when it was asked once more.
    faulty.fail_next(&[Fault::ReplyLost, Fault::Cut, Fault::Cut]);
    let failed = run(&here, |_| async { panic!("it is not known to be ours") }).await.unwrap_err();
    assert!(failed.is_ambiguous(), "{failed}");
    let ran = retried(&there).await;
    assert!(matches!(&ran, Ran::Executed(receipt) if *receipt == Receipt::new("again")), "{ran:?}");
}

/// It had lapsed before, so what its holders did is unknown.
#[tokio::test]
async fn a_take_over_whose_caller_had_an_error_is_ended() {
    let world = World::memory();
    let payments = |faulty: &Arc<Faulty>| -> Idempotency<Receipt> {
        let builder = Idempotency::builder(&faulty.store()).lease(LEASE);
        builder.on_lapse(OnLapse::TakeOver).build().unwrap()
    };
    let faulty = Faulty::new(world.backend.clone());
    let [here, there] = [payments(&faulty), payments(&Faulty::new(world.backend.clone()))];
    let (key, asked) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["ten euros"]));
    drop(there.begin(&scope(), &key, &asked).await.unwrap());
    world.clock.advance(LEASE + SECOND);
    // Refused as it lapsed; then made, and nobody was told.
    faulty.fail_next(&[Fault::Cut, Fault::Cut]);
    faulty.fail_after(1, Fault::ReplyLost);
    let failed = run(&here, |_| async { panic!("it is not known to be ours") }).await.unwrap_err();
    assert!(failed.is_ambiguous(), "{failed}");
    let ran = retried(&there).await;
    assert!(matches!(ran, Ran::Executed(_)), "{ran:?}");
}

/// A renewal that was made and not confirmed stands in the way of the answer.
#[tokio::test(start_paused = true)]
async fn an_answer_behind_an_unconfirmed_renewal_is_replayed() {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let (here, store) = (payments(&faulty), Arc::clone(&faulty));
    let ran = run(&here, move |execution| async move {
        store.confirm_nothing(true);
        let renewed = execution.mark_effects().await;
        assert!(renewed.is_err_and(|error| error.kind() == ErrorKind::Unconfirmed));
        Ok(Receipt::new("paid"))
    });
    let unkept = ran.await.unwrap_err();
    assert_eq!(unkept.kind(), ErrorKind::Unconfirmed, "{unkept}");
    sleep(SECOND * 30).await;
    faulty.confirm_nothing(false);
    let ran = retried(&payments(&Faulty::new(world.backend.clone()))).await;
    assert!(matches!(&ran, Ran::Replayed(receipt) if *receipt == Receipt::new("paid")), "{ran:?}");
}

/// The work ends while the store takes no writes.
async fn after_an_outage(
    outcome: impl FnOnce() -> Outcome + Send + 'static,
) -> Ran<Receipt, &'static str> {
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let (here, store) = (payments(&faulty), Arc::clone(&faulty));
    let ran = run(&here, move |_| async move {
        store.read_only(true);
        outcome()
    });
    drop(ran.await);
    let there = payments(&Faulty::new(world.backend.clone()));
    let meanwhile = run(&there, |_| async { panic!("it is running") }).await.unwrap();
    assert!(matches!(meanwhile, Ran::InFlight { .. }), "{meanwhile:?}");
    sleep(SECOND * 30).await;
    faulty.read_only(false);
    retried(&there).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_could_not_be_kept_is_replayed() {
    let ran = after_an_outage(|| Ok(Receipt::new("paid"))).await;
    assert!(matches!(&ran, Ran::Replayed(receipt) if *receipt == Receipt::new("paid")), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_not_be_given_back_is_free() {
    let ran = after_an_outage(|| Err(Failure::NotExecuted("no card"))).await;
    assert!(matches!(ran, Ran::Executed(_)), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_that_could_not_be_kept_is_unknown() {
    let ran = after_an_outage(|| Err(Failure::Unknown("the bank hung up"))).await;
    let unknown = matches!(ran, Ran::Indeterminate { reason: Reason::Failed, .. });
    assert!(unknown, "{ran:?}");
}

/// Requests come first: a store that is back is not met by all at once, whatever its breaker lets
/// through.
#[tokio::test(start_paused = true)]
async fn no_more_than_32_late_writes_ask_the_store_at_once() {
    const CLAIMS: usize = 50;
    let world = World::memory();
    let faulty = Faulty::new(world.backend.clone());
    let never_opens = BreakerConfig::default().calls_min(1_000_000);
    let store = Store::builder(faulty.clone()).attempts(1).breaker(never_opens).build().unwrap();
    let here = Idempotency::<Receipt>::builder(&store).lease(LEASE).build().unwrap();
    let all_claimed = Arc::new(Barrier::new(CLAIMS));
    let runs = (0..CLAIMS).map(|number| {
        let (here, store, all_claimed) = (here.clone(), Arc::clone(&faulty), all_claimed.clone());
        tokio::spawn(async move {
            let key = IdempotencyKey::new(format!("k-{number}")).unwrap();
            let work = |_| async move {
                all_claimed.wait().await;
                store.read_only(true);
                Ok::<_, Failure<&str>>(Receipt::new("paid"))
            };
            here.run(&scope(), &key, &Fingerprint::of(["ten euros"]), work).await
        })
    });
    for run in runs.collect::<Vec<_>>() {
        let unkept = run.await.unwrap().unwrap_err();
        assert_eq!(unkept.kind(), ErrorKind::Unavailable, "{unkept}");
    }
    let no_replies = faulty.hold_replies().await;
    faulty.read_only(false);
    faulty.writes();
    sleep(SECOND).await;
    assert_eq!(faulty.writes(), 32);
    drop(no_replies);
    sleep(SECOND).await;
    assert_eq!(faulty.writes(), CLAIMS - 32);
}
