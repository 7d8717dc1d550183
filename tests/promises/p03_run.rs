//! P3 for work that steadfast runs itself: it is begun, kept alive and settled in the background,
//! and whatever breaks off is never silently run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use steadfast::backend::Write;
use steadfast::idempotency::{
    Begin, CompletedWith, Execution, Failure, Fingerprint, IdempotencyKey, OnLapse, Ran, Reason,
    Renewal,
};
use steadfast::{ErrorKind, Idempotency, Store};
use tokio::time::{Instant, sleep};

use crate::fault::{Fault, Faulty};
use crate::world::{
    LEASE, Receipt, SECOND, World, acquired, alice, on_every_backend, on_servers, pay, scope, until,
};

on_every_backend!(
    work_that_comes_twice_runs_once,
    of_fifty_at_once_one_executes,
    what_was_not_executed_frees_its_key,
    a_failure_or_a_panic_follows_the_policy,
    a_panic_after_the_effects_began_is_never_run_again,
    a_dropped_call_runs_on,
    keeping_an_answer_is_tried_again,
    work_goes_on_from_its_checkpoint;
    what_the_work_committed_counts_whatever_comes_after,
);

on_servers!(
    work_that_comes_twice_runs_once,
    of_fifty_at_once_one_executes,
    what_was_not_executed_frees_its_key,
    a_dropped_call_runs_on,
    work_goes_on_from_its_checkpoint;
    a_failure_or_a_panic_follows_the_policy,
    keeping_an_answer_is_tried_again,
    what_the_work_committed_counts_whatever_comes_after,
);

type Outcome = Result<Receipt, Failure<&'static str>>;

/// Runs work under the key `k-1`.
async fn run<F: Future<Output = Outcome> + Send + 'static>(
    payments: &Idempotency<Receipt>,
    work: impl FnOnce(Execution<Receipt>) -> F + Send + 'static,
) -> steadfast::Result<Ran<Receipt, &'static str>> {
    let key = IdempotencyKey::new("k-1").unwrap();
    payments.run(&scope(), &key, &Fingerprint::of(["ten euros"]), work).await
}

fn paid() -> impl Future<Output = Outcome> + Send {
    std::future::ready(Ok(Receipt::new("paid")))
}

fn unwanted() -> impl Future<Output = Outcome> + Send {
    std::future::poll_fn(|_context| panic!("it ran again"))
}

async fn work_that_comes_twice_runs_once(world: World) {
    let payments = world.payments().build().unwrap();
    let first = run(&payments, |_| paid()).await.unwrap();
    assert!(matches!(first, Ran::Executed(receipt) if receipt == Receipt::new("paid")));
    let again = run(&payments, |_| unwanted()).await.unwrap();
    assert!(matches!(again, Ran::Replayed(receipt) if receipt == Receipt::new("paid")));
    let (key, other) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["a hundred"]));
    let other = payments.run(&scope(), &key, &other, |_| unwanted()).await.unwrap();
    assert!(matches!(other, Ran::Mismatch), "{other:?}");
}

/// Who comes while it runs is told to wait, and who comes just after gets the answer.
async fn of_fifty_at_once_one_executes(world: World) {
    let (payments, runs) = (world.payments().build().unwrap(), Arc::new(AtomicU32::new(0)));
    let calls = (0..50).map(|_call| {
        let (payments, runs) = (payments.clone(), runs.clone());
        tokio::spawn(async move {
            run(&payments, move |_| async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                paid().await
            })
            .await
            .unwrap()
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let ran = call.await.unwrap();
        let fits = matches!(ran, Ran::Executed(_) | Ran::Replayed(_) | Ran::InFlight { .. });
        assert!(fits, "{ran:?}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn what_was_not_executed_frees_its_key(world: World) {
    let payments = world.payments().build().unwrap();
    let refused = run(&payments, |_| async { Err(Failure::NotExecuted("no card")) }).await.unwrap();
    assert!(matches!(refused, Ran::Failed("no card")), "{refused:?}");
    assert!(matches!(run(&payments, |_| paid()).await.unwrap(), Ran::Executed(_)));
}

async fn a_failure_or_a_panic_follows_the_policy(world: World) {
    for panics in [false, true] {
        let refuse = world.payments().build().unwrap();
        let ran = run(&refuse, move |_| async move {
            assert!(!panics, "as the test asked");
            Err("the bank hung up")?
        });
        let (ran, reason) =
            (ran.await.unwrap(), [Reason::Failed, Reason::Panicked][usize::from(panics)]);
        assert!(matches!(ran, Ran::Failed(_) | Ran::Indeterminate { .. }), "{ran:?}");
        let again = run(&refuse, |_| unwanted()).await.unwrap();
        assert!(matches!(again, Ran::Indeterminate { reason: r, .. } if r == reason), "{again:?}");

        let take_over = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
        assert!(matches!(run(&take_over, |_| paid()).await.unwrap(), Ran::Executed(_)));
        crate::world::erase(&world).await;
    }
}

async fn a_panic_after_the_effects_began_is_never_run_again(world: World) {
    let payments = world.payments().on_lapse(OnLapse::TakeOver).build().unwrap();
    let ran = run(&payments, |execution| async move {
        assert_eq!(execution.mark_effects().await.unwrap(), Renewal::Renewed);
        panic!("as the test asked")
    });
    assert!(matches!(ran.await.unwrap(), Ran::Indeterminate { reason: Reason::Panicked, .. }));
    for advance in [Duration::ZERO, LEASE * 10] {
        world.clock.advance(advance);
        let again = run(&payments, |_| unwanted()).await.unwrap();
        let told = matches!(again, Ran::Indeterminate { reason: Reason::Panicked, .. });
        assert!(told, "{again:?}");
    }
}

async fn a_dropped_call_runs_on(world: World) {
    let payments = world.payments().build().unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (left, has_left) = tokio::sync::oneshot::channel();
    {
        let call = run(&payments, move |_| async move {
            begun.send(()).unwrap();
            has_left.await.unwrap();
            paid().await
        });
        let mut call = std::pin::pin!(call);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    has_begun.await.unwrap();
    left.send(()).unwrap();
    until("it has ended", async || {
        let answer = run(&payments, |_| unwanted()).await.unwrap();
        assert!(matches!(answer, Ran::Replayed(_) | Ran::InFlight { .. }), "{answer:?}");
        matches!(answer, Ran::Replayed(_))
    })
    .await;
}

/// A panic, an error, another answer: the client gets what was committed.
async fn what_the_work_committed_counts_whatever_comes_after(world: World) {
    let payments = world.payments().build().unwrap();
    let account = world.store.key("account", &alice().group(), "main").unwrap();
    for ending in ["panic", "error", "answer"] {
        let change = Write::put(account.clone(), ending);
        let ran = run(&payments, move |execution| async move {
            let done = execution.complete_with(&Receipt::new("paid"), vec![change]).await.unwrap();
            assert!(matches!(done, CompletedWith::Completed));
            assert_ne!(ending, "panic", "as the test asked");
            if ending == "error" { Err("afterthought")? } else { paid().await }
        });
        let ran = ran.await.unwrap();
        let (Ran::Executed(receipt) | Ran::Replayed(receipt)) = ran else { panic!("{ran:?}") };
        assert_eq!(receipt, Receipt::new("paid"), "{ending}");
        assert!(matches!(run(&payments, |_| unwanted()).await.unwrap(), Ran::Replayed(_)));
        let stored = world.backend.get(&account).await.unwrap().unwrap().value;
        assert_eq!(stored, ending);
        crate::world::erase(&world).await;
    }
}

async fn keeping_an_answer_is_tried_again(world: World) {
    for fault in [Fault::Cut, Fault::ReplyLost] {
        let faulty = Faulty::new(world.backend.clone());
        let payments = Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
        // The claim passes.
        faulty.fail_next(&[fault, fault]);
        faulty.fail_after(1, fault);
        let first = run(&payments, |_| paid()).await.unwrap();
        assert!(matches!(first, Ran::Executed(_)), "{first:?}");
        assert!(matches!(run(&payments, |_| unwanted()).await.unwrap(), Ran::Replayed(_)));
        crate::world::erase(&world).await;
    }
}

async fn work_goes_on_from_its_checkpoint(world: World) {
    let payments = world.payments().on_lapse(OnLapse::Recover).build().unwrap();
    let ran = run(&payments, |execution| async move {
        assert_eq!(execution.checkpoint(), None);
        assert_eq!(execution.save_checkpoint("charged").await.unwrap(), Renewal::Renewed);
        Err("the printer is out of paper")?
    });
    assert!(matches!(ran.await.unwrap(), Ran::Failed(_)));
    let ran = run(&payments, |execution| async move {
        assert_eq!(
            (execution.attempt(), &execution.checkpoint().unwrap()[..]),
            (2, &b"charged"[..])
        );
        paid().await
    });
    assert!(matches!(ran.await.unwrap(), Ran::Executed(_)));
}

/// On a paused clock, which moves as soon as nothing else does; the store's moves with it where a
/// test says so. On the memory backend, which does nothing in the background.
mod in_time {
    use super::*;

    /// Two replicas on one store; each has its own settings and its own shutdown.
    fn replicas(world: &World) -> [Idempotency<Receipt>; 2] {
        [(); 2].map(|()| world.payments().on_lapse(OnLapse::TakeOver).build().unwrap())
    }

    async fn both(world: &World, span: Duration) {
        for _second in 0..span.as_millis() / 1_000 {
            sleep(SECOND).await;
            world.clock.advance(SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_is_renewed_for_as_long_as_the_work_takes() {
        let world = World::memory();
        let [one, other] = replicas(&world);
        let slow = tokio::spawn(async move {
            run(&one, |execution| async move {
                sleep(LEASE * 8).await;
                assert!(!execution.is_lease_lost());
                paid().await
            })
            .await
        });
        for _minute in 0..7 {
            both(&world, LEASE).await;
            let meanwhile = pay(&other).await.unwrap();
            let Begin::InFlight { lease_left, attempt: 1 } = meanwhile else {
                panic!("{meanwhile:?}");
            };
            assert!(lease_left >= LEASE / 2, "{lease_left:?}");
        }
        both(&world, LEASE * 2).await;
        assert!(matches!(slow.await.unwrap().unwrap(), Ran::Executed(_)));
    }

    /// The process was frozen, and somebody took over meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_holder_that_was_taken_over_is_told_and_serves_the_winner() {
        for winner_is_done in [false, true] {
            let world = World::memory();
            let [one, other] = replicas(&world);
            let frozen = tokio::spawn(async move {
                run(&one, |execution| async move {
                    execution.lease_lost().await;
                    sleep(SECOND).await;
                    Ok(Receipt::new("zombie"))
                })
                .await
            });
            sleep(SECOND).await;
            world.clock.advance(LEASE);
            let successor = acquired(pay(&other).await.unwrap());
            assert_eq!(successor.attempt(), 2);
            if winner_is_done {
                sleep(LEASE / 3).await;
                drop(successor.complete(&Receipt::new("winner")).await.unwrap());
            }
            match frozen.await.unwrap().unwrap() {
                Ran::Replayed(receipt) if winner_is_done => {
                    assert_eq!(receipt, Receipt::new("winner"));
                }
                Ran::InFlight { .. } if !winner_is_done => {}
                ran => panic!("{ran:?}"),
            }
        }
    }

    /// A renewal that fails is tried again, and only the end of the lease is a loss.
    #[tokio::test(start_paused = true)]
    async fn an_error_of_a_renewal_is_not_a_loss() {
        let world = World::memory();
        let faulty = Faulty::new(world.backend.clone());
        let payments =
            Idempotency::<Receipt>::builder(&faulty.store()).lease(LEASE).build().unwrap();
        for fault in [Fault::Cut, Fault::ReplyLost, Fault::Hang] {
            faulty.fail_after(1, fault);
            let ran = run(&payments, |execution| async move {
                sleep(LEASE * 2).await;
                assert!(!execution.is_lease_lost());
                paid().await
            });
            assert!(matches!(ran.await.unwrap(), Ran::Executed(_)), "{fault:?}");
            crate::world::erase(&world).await;
        }
    }

    /// Counted from before the claim was sent, so it is never later than on the store.
    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_is_told_when_its_lease_must_be_over() {
        let world = World::memory();
        for fault in [Fault::Cut, Fault::Hang] {
            let faulty = Faulty::new(world.backend.clone());
            // Nothing but the lease bounds how long a renewal is waited for.
            let store = Store::builder(faulty.clone()).attempts(1).deadline(LEASE * 2);
            let store = store.build().unwrap();
            let payments = Idempotency::<Receipt>::builder(&store).lease(LEASE).build().unwrap();
            let begun = Instant::now();
            faulty.fail_next(&[fault; 3]);
            // The claim itself is slow.
            faulty.fail_after(0, Fault::Slow);
            let ran = run(&payments, move |execution| async move {
                execution.lease_lost().await;
                assert_eq!(begun.elapsed(), LEASE, "{fault:?}");
                paid().await
            });
            // Nobody took over, so its work counts.
            assert!(matches!(ran.await.unwrap(), Ran::Executed(_)), "{fault:?}");
            crate::world::erase(&world).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_cut_off_at_its_deadline() {
        let world = World::memory();
        let payments = world.payments().build().unwrap();
        let begun = Instant::now();
        let ran = run(&payments, |_| std::future::pending());
        assert!(matches!(ran.await.unwrap(), Ran::Indeterminate { reason: Reason::Deadline, .. }));
        assert_eq!(begun.elapsed(), Duration::from_secs(600));
        let again = run(&payments, |_| unwanted()).await.unwrap();
        assert!(matches!(again, Ran::Indeterminate { reason: Reason::Deadline, .. }), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_lets_work_end_and_keeps_what_it_cut_off_as_unknown() {
        for takes in [SECOND, SECOND * 20] {
            let world = World::memory();
            let [one, other] = replicas(&world);
            let running = tokio::spawn({
                let one = one.clone();
                async move {
                    run(&one, move |execution| async move {
                        assert_eq!(execution.mark_effects().await.unwrap(), Renewal::Renewed);
                        sleep(takes).await;
                        paid().await
                    })
                    .await
                }
            });
            sleep(SECOND / 2).await;
            let drained = tokio::spawn({
                let one = one.clone();
                async move { one.shutdown(SECOND * 10).await }
            });
            tokio::task::yield_now().await;
            let refused = run(&one, |_| unwanted()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Closed);
            let ended = takes == SECOND;
            assert_eq!(drained.await.unwrap(), ended);
            match (running.await.unwrap().unwrap(), run(&other, |_| unwanted()).await.unwrap()) {
                (Ran::Executed(_), Ran::Replayed(_)) if ended => {}
                (
                    Ran::Indeterminate { reason: Reason::Shutdown, .. },
                    Ran::Indeterminate { reason: Reason::Shutdown, .. },
                ) if !ended => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_may_wait_for_the_answer() {
        for (takes, answered) in [(SECOND * 3, true), (SECOND * 9, false)] {
            let world = World::memory();
            let payments = world.payments().wait(SECOND * 5).build().unwrap();
            let slow = tokio::spawn({
                let payments = payments.clone();
                async move {
                    run(&payments, move |_| async move {
                        sleep(takes).await;
                        paid().await
                    })
                    .await
                }
            });
            sleep(SECOND).await;
            let (begun, retry) = (Instant::now(), run(&payments, |_| unwanted()).await.unwrap());
            match retry {
                Ran::Replayed(_) if answered => assert!(begun.elapsed() < SECOND * 3),
                Ran::InFlight { .. } if !answered => assert!(begun.elapsed() <= SECOND * 5),
                other => panic!("{other:?}"),
            }
            assert!(matches!(slow.await.unwrap().unwrap(), Ran::Executed(_)));
        }
        assert!(World::memory().payments().wait(SECOND * 6).build().is_err());
    }
}
