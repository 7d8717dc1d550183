//! What stands between a call and the store: in this order the deadline, the limit of calls under
//! way, the breaker, the attempt, and what pays for another one.

use std::sync::Arc;
use std::time::Duration;

use steadfast::backend::{Backend, Group, Key, ManualClock, Retry, Write};
use steadfast::breaker::BreakerState;
use steadfast::idempotency::{Begin, Fingerprint, IdempotencyKey};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::session::{Edit, Mode, Rotation, SessionHandle};
use steadfast::store::{NearConfig, Reads, StoreBuilder};
use steadfast::{Error, ErrorKind, Idempotency, Result, Sessions, Store};
use tokio::time::{Instant, sleep};

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, Receipt, scope};

const DEADLINE: Duration = Duration::from_secs(2);

fn faulty() -> Arc<Faulty> {
    Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())))
}

fn builder(faulty: &Arc<Faulty>) -> StoreBuilder {
    let backend: Arc<dyn Backend> = faulty.clone();
    Store::builder(backend).deadline(DEADLINE)
}

fn key(store: &Store) -> Key {
    store.key("basket", &Group::new("g").unwrap(), "k").unwrap()
}

async fn get(store: &Store) -> Result<()> {
    store.get::<Basket>(&key(store)).await.map(drop)
}

async fn put(store: &Store) -> Result<()> {
    let put: Write = store.put_write(&key(store), &Basket::default()).unwrap();
    store.write(&put).await.map(|written| assert!(written.is_applied()))
}

#[tokio::test(start_paused = true)]
async fn a_read_that_gets_lost_is_made_again_in_time() {
    for fault in [Fault::Cut, Fault::Hang] {
        let faulty = faulty();
        let store = builder(&faulty).build().unwrap();
        let begun = Instant::now();
        faulty.fail_next(&[fault; 2]);
        get(&store).await.unwrap();
        assert_eq!(faulty.trips(), 3, "{fault:?}");
        assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
        faulty.fail_next(&[fault; 3]);
        assert!(get(&store).await.unwrap_err().is_outage());
        assert_eq!(faulty.trips(), 3, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_late_is_put_twice_if_that_is_wanted() {
    for wanted in [false, true] {
        let faulty = faulty();
        let store = builder(&faulty).hedge_reads(wanted).build().unwrap();
        for _ in 0..100 {
            get(&store).await.unwrap();
        }
        faulty.trips();
        let begun = Instant::now();
        faulty.fail_next(&[Fault::Slow]);
        get(&store).await.unwrap();
        let took = begun.elapsed().as_millis();
        assert_eq!((faulty.trips(), took), if wanted { (2, 1) } else { (1, 500) });
        faulty.fail_next(&[Fault::Slow]);
        put(&store).await.unwrap();
        assert_eq!(faulty.trips(), 1, "a write is not");
    }
}

#[tokio::test(start_paused = true)]
async fn one_read_in_fifty_may_be_put_twice() {
    const READS: usize = 1_000;
    let faulty = faulty();
    let store = builder(&faulty).hedge_reads(true).build().unwrap();
    get(&store).await.unwrap();
    faulty.trips();
    for _ in 0..READS {
        // All are late, as far as the first one tells.
        faulty.fail_next(&[Fault::Slow]);
        get(&store).await.unwrap();
        faulty.heal();
    }
    let twice = faulty.trips() - READS;
    assert!((1..=READS / 50 + 2).contains(&twice), "{twice} of {READS}");
}

#[tokio::test(start_paused = true)]
async fn of_two_answers_the_good_one_counts() {
    for (first, second) in [(Fault::Slow, Fault::Cut), (Fault::Hang, Fault::Slow)] {
        let faulty = faulty();
        let store = builder(&faulty).attempts(1).hedge_reads(true).build().unwrap();
        get(&store).await.unwrap();
        faulty.fail_next(&[first, second]);
        get(&store).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_made_again_only_if_it_was_not_made() {
    let faulty = faulty();
    let store = builder(&faulty).build().unwrap();
    faulty.fail_next(&[Fault::Cut; 2]);
    put(&store).await.unwrap();
    assert_eq!(faulty.trips(), 3);
    for fault in [Fault::Hang, Fault::ReplyLost] {
        faulty.fail_next(&[fault]);
        let error = put(&store).await.unwrap_err();
        assert!(error.is_outage() && error.is_ambiguous(), "{error:?}");
        assert_eq!(faulty.trips(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_several_trips_has_one_deadline() {
    let faulty = faulty();
    let store = builder(&faulty).attempts(1).build().unwrap();
    let sessions = Sessions::<Basket>::builder(&store).build().unwrap();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let begun = Instant::now();
    // Each trip would be in time, and the fifth is not any more.
    faulty.fail_next(&[Fault::Slow; 16]);
    for _ in 0..3 {
        let begun = Instant::now();
        sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        assert!(begun.elapsed() <= DEADLINE);
    }
    assert!(begun.elapsed() > DEADLINE, "{:?}", begun.elapsed());
    faulty.fail_next(&[Fault::Hang; 16]);
    let begun = Instant::now();
    sessions.update(&id, |basket| basket.items.push(1)).await.unwrap_err();
    assert_eq!(begun.elapsed().as_millis(), DEADLINE.as_millis());
}

/// What a request does with its session, and what a holder does with its claim, are calls as well:
/// the write that nobody answers is made twice, and both have one deadline.
#[tokio::test(start_paused = true)]
async fn a_request_and_a_claim_have_one_deadline_for_each_call() {
    let faulty = faulty();
    let store = builder(&faulty).attempts(1).build().unwrap();
    let sessions = Sessions::<Basket>::builder(&store).build().unwrap();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let request = SessionHandle::new(&sessions, Some(id), Mode::Normal);
    request.edit(Edit::new().set("theme", "dark")).await.unwrap();
    let payments = Idempotency::<Receipt>::builder(&store).build().unwrap();
    let key = IdempotencyKey::new("k").unwrap();
    let begun = payments.begin(&scope(), &key, &Fingerprint::of(["ten euros"])).await.unwrap();
    let Begin::Acquired(mut claim) = begun else { panic!("{begun:?}") };
    faulty.fail_next(&[Fault::Hang; 16]);
    let begun = Instant::now();
    request.update(|basket: &mut Basket| basket.items.push(1)).await.unwrap_err();
    assert_eq!(begun.elapsed().as_millis(), DEADLINE.as_millis(), "an update");
    let begun = Instant::now();
    request.commit().await.map(drop).unwrap_err();
    assert_eq!(begun.elapsed().as_millis(), DEADLINE.as_millis(), "a commit");
    let begun = Instant::now();
    claim.renew().await.map(drop).unwrap_err();
    assert_eq!(begun.elapsed().as_millis(), DEADLINE.as_millis(), "a renewal");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_spared_and_tried_again_with_few() {
    let faulty = faulty();
    let store = builder(&faulty).attempts(1).build().unwrap();
    faulty.fail_next(&[Fault::Cut; 20]);
    for _ in 0..20 {
        get(&store).await.unwrap_err();
    }
    assert_eq!(state(&store), BreakerState::Open);
    faulty.trips();
    let error: Error = put(&store).await.unwrap_err();
    assert!(error.is_outage() && !error.is_ambiguous() && faulty.trips() == 0, "{error:?}");
    let Retry::After(after) = error.retry() else { panic!("{error:?}") };
    assert!(after <= Duration::from_millis(300), "{after:?}");
    // The health check asks all the same.
    store.check().await.unwrap();
    sleep(after).await;
    for _ in 0..7 {
        get(&store).await.unwrap();
    }
    assert_eq!(state(&store), BreakerState::Closed);
}

fn state(store: &Store) -> BreakerState {
    let breakers = store.breakers();
    assert_eq!(breakers.len(), 1, "one server");
    breakers[0].1.state
}

/// However long it was out, it is used again soon.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_used_again_within_two_seconds() {
    let faulty = faulty();
    let store = builder(&faulty).build().unwrap();
    faulty.fail_next(&[Fault::Cut; 10_000]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        get(&store).await.unwrap_err();
        sleep(Duration::from_millis(10)).await;
    }
    faulty.heal();
    let back = Instant::now();
    while get(&store).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn repeats_end_when_nothing_pays_for_them() {
    let faulty = faulty();
    // One that never opens.
    let breaker = steadfast::breaker::BreakerConfig::default().calls_min(1_000_000);
    let store = builder(&faulty).breaker(breaker).build().unwrap();
    faulty.fail_next(&[Fault::Cut; 1_000]);
    for _ in 0..100 {
        get(&store).await.unwrap_err();
    }
    let trips = faulty.trips();
    assert!((130..=140).contains(&trips), "{trips} trips for 100 calls, and 500 / 14 repeats");
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_may_be_under_way_are_turned_away_at_once() {
    let faulty = faulty();
    let store = builder(&faulty).in_flight_max(4).attempts(1).build().unwrap();
    faulty.fail_next(&[Fault::Hang; 4]);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { get(&store).await })
        })
        .collect();
    while faulty.trips() == 0 {
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let error = get(&store).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Busy, Duration::ZERO));
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    get(&store).await.unwrap();
}

/// A call that is turned away has taken no probe of a breaker, and one that the breaker refuses has
/// not reached the store: the order is fixed.
#[tokio::test(start_paused = true)]
async fn the_limit_comes_before_the_breaker_and_the_breaker_before_the_store() {
    let faulty = faulty();
    let store = builder(&faulty).in_flight_max(1).attempts(1).build().unwrap();
    faulty.fail_next(&[Fault::Cut; 20]);
    for _ in 0..20 {
        get(&store).await.unwrap_err();
    }
    sleep(Duration::from_secs(2)).await;
    // The one probe is under way, and holds the only place.
    faulty.fail_next(&[Fault::Slow]);
    let probe = tokio::spawn({
        let store = store.clone();
        async move { get(&store).await }
    });
    sleep(Duration::from_millis(100)).await;
    assert_eq!(get(&store).await.unwrap_err().kind(), ErrorKind::Busy, "not Unavailable");
    probe.await.unwrap().unwrap();
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let bad = [
        builder(&faulty()).deadline(Duration::ZERO),
        builder(&faulty()).attempts(0),
        builder(&faulty()).in_flight_max(0),
    ];
    for builder in bad {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Invalid);
    }
}

/// The look took most of the time that there is; what is left of it is the touch's.
#[tokio::test(start_paused = true)]
async fn a_session_of_a_request_is_read_and_touched_within_one_deadline() {
    let clock = ManualClock::at_us(1_700_000_000_000_000);
    let inner = MemoryBackend::with_clock(MemoryConfig::default(), clock.clone());
    let faulty = Faulty::new(Arc::new(inner));
    let deadline = Duration::from_millis(600);
    let store = builder(&faulty).attempts(1).deadline(deadline).build().unwrap();
    let sessions = Sessions::<Basket>::builder(&store).build().unwrap();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    clock.advance(Duration::from_secs(20 * 60));
    faulty.trips();
    faulty.fail_next(&[Fault::Slow, Fault::Hang]);
    let started = Instant::now();
    let request = SessionHandle::new(&sessions, Some(id), Mode::Normal);
    assert!(request.get().await.unwrap().is_some());
    assert_eq!(faulty.trips(), 2);
    assert!(started.elapsed() < deadline + Duration::from_millis(60), "{:?}", started.elapsed());
}

/// Where reads are shared, each would otherwise bring a deadline of its own.
#[tokio::test(start_paused = true)]
async fn a_session_that_has_moved_is_found_within_one_deadline() {
    let (faulty, deadline) = (faulty(), Duration::from_millis(600));
    let store = builder(&faulty).attempts(1).deadline(deadline).near(NearConfig::default());
    let reads = Reads::within(Duration::from_secs(1));
    let sessions = Sessions::<Basket>::builder(&store.build().unwrap()).reads(reads);
    let sessions = sessions.build().unwrap();
    // Elsewhere: what this process writes itself it need not ask for.
    let elsewhere = builder(&faulty).build().unwrap();
    let elsewhere = Sessions::<Basket>::builder(&elsewhere).build().unwrap();
    let id = elsewhere.create(Basket::default()).await.unwrap().id;
    elsewhere.rotate(&id, Rotation::Renewal).await.unwrap();
    faulty.trips();
    faulty.fail_next(&[Fault::Slow, Fault::Hang]);
    let started = Instant::now();
    let error = sessions.load(&id).await.unwrap_err();
    assert_eq!((error.kind(), faulty.trips()), (ErrorKind::Timeout, 2));
    assert!(started.elapsed() < deadline + Duration::from_millis(60), "{:?}", started.elapsed());
}
