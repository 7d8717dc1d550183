//! P1 to P4 and P9 while the link to a real server is cut, stalled and loses answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast::breaker::BreakerConfig;
use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey};
use steadfast::session::SessionError;
use steadfast::{Idempotency, Store};
use steadfast_conformance::proxy::FaultProxy;
use steadfast_conformance::servers::{MemcachedServer, RedisServer};
use tokio::task::JoinSet;

use crate::world::{Basket, Receipt, alice, scope, sessions};

macro_rules! behind_a_bad_link {
    ($($test:ident),+ $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Link::to_redis().await).await;
            })+
        }
        mod memcached {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Link::to_memcached().await).await;
            })+
        }
    };
}

behind_a_bad_link!(
    updates_that_were_acknowledged_all_stand_once,
    what_was_ended_stays_ended,
    one_key_is_executed_once_and_answers_the_same,
);

const MS: Duration = Duration::from_millis(1);

/// A store on a real server behind a link that fails when it is told to.
struct Link {
    store: Store,
    proxy: FaultProxy,
    /// Over once this is set.
    over: Arc<AtomicBool>,
    _server: Box<dyn std::any::Any + Send + Sync>,
}

impl Link {
    async fn to_redis() -> Self {
        let server = RedisServer::start().unwrap();
        Self::to("redis", server.addr(), server).await
    }

    async fn to_memcached() -> Self {
        let server = MemcachedServer::start().unwrap();
        Self::to("memcached", server.addr(), server).await
    }

    async fn to(
        scheme: &str,
        address: std::net::SocketAddr,
        server: impl std::any::Any + Send + Sync,
    ) -> Self {
        let proxy = FaultProxy::to(address).await.unwrap();
        let url = format!("{scheme}://{}?timeout=300ms", proxy.addr());
        let store = Store::builder(steadfast::connect(&url).await.unwrap());
        // The link fails several times a second, and should be met each time.
        let breaker = BreakerConfig::default().open(MS * 5, MS * 20);
        let store = store.breaker(breaker).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        Self { store, proxy, over, _server: Box::new(server) }
    }

    /// Every fault in turn, three times; then all is well again, and it is over.
    async fn fail(&self) {
        let pause = |millis| tokio::time::sleep(Duration::from_millis(millis));
        for _round in 0..3 {
            self.proxy.cut();
            pause(100).await;
            self.proxy.heal();
            pause(300).await;
            self.proxy.swallow_replies();
            pause(200).await;
            self.proxy.heal();
            pause(300).await;
            self.proxy.stall();
            pause(400).await;
            self.proxy.heal();
            pause(300).await;
            self.proxy.swallow_next_reply();
            pause(300).await;
        }
        self.over.store(true, Ordering::SeqCst);
        self.proxy.heal();
    }
}

/// Again until it succeeds: each call may fail as long as the link does, and only as an outage.
async fn until_it_works<T, E: Into<SessionError>, F: Future<Output = Result<T, E>>>(
    call: impl Fn() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match call().await.map_err(Into::into) {
            Ok(value) => return value,
            Err(SessionError::Store(error)) if error.is_outage() => {}
            Err(error) => panic!("not an outage: {error:?}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "it never works again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn updates_that_were_acknowledged_all_stand_once(link: Link) {
    let sessions = sessions(&link.store);
    let (alice, empty) = (alice(), Basket::default());
    let id = until_it_works(|| sessions.sign_in(&alice, "laptop", empty.clone())).await.id;
    let mut writers = JoinSet::new();
    for writer in 0..4_u32 {
        let (sessions, id, over) = (sessions.clone(), id.clone(), Arc::clone(&link.over));
        writers.spawn(async move {
            let (mut made, mut never) = (BTreeSet::new(), BTreeSet::new());
            let mut number = writer * 10_000;
            while !over.load(Ordering::SeqCst) {
                number += 1;
                match sessions.update(&id, |basket| basket.items.push(number)).await {
                    Ok(_changed) => drop(made.insert(number)),
                    Err(SessionError::Store(error)) if error.is_ambiguous() => {}
                    Err(SessionError::Store(error)) if error.is_outage() => {
                        never.insert(number);
                    }
                    Err(error) => panic!("the session was lost: {error:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (made, never)
        });
    }
    link.fail().await;
    let written = writers.join_all().await;
    let session = until_it_works(|| sessions.load(&id)).await.unwrap();
    let mut found = BTreeMap::new();
    for item in session.state.items {
        *found.entry(item).or_insert(0) += 1;
    }
    assert!(found.values().all(|count| *count == 1), "made twice: {found:?}");
    for (made, never) in written {
        assert!(!made.is_empty() && made.iter().all(|item| found.contains_key(item)), "lost");
        assert!(!never.iter().any(|item| found.contains_key(item)), "refused, and made");
    }
}

async fn what_was_ended_stays_ended(link: Link) {
    let (sessions, alice) = (sessions(&link.store), alice());
    let visits = async {
        let mut visits = 0;
        while !link.over.load(Ordering::SeqCst) {
            let sign_in = || sessions.sign_in(&alice, "laptop", Basket::default());
            let id = until_it_works(sign_in).await.id;
            let late = (sessions.clone(), id.clone());
            let late = tokio::spawn(async move {
                let (sessions, id) = late;
                for item in 0..20 {
                    let _ = sessions.update(&id, |basket| basket.items.push(item)).await;
                }
            });
            until_it_works(|| sessions.destroy(&id)).await;
            late.await.unwrap();
            let loaded = until_it_works(|| sessions.load(&id)).await;
            assert!(loaded.is_none(), "a session came back after its end");
            visits += 1;
        }
        visits
    };
    let ((), visits) = tokio::join!(link.fail(), visits);
    assert!(visits > 0);
    until_it_works(|| sessions.destroy_all(&alice)).await;
    assert!(until_it_works(|| sessions.devices(&alice, None)).await.is_empty());
}

async fn one_key_is_executed_once_and_answers_the_same(link: Link) {
    let payments = Idempotency::<Receipt>::builder(&link.store).build().unwrap();
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let (payments, over) = (payments.clone(), Arc::clone(&link.over));
        clients.spawn(async move {
            let (mut executed, mut answers) = (Vec::new(), BTreeMap::new());
            for number in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let key = IdempotencyKey::new(format!("k-{number}")).unwrap();
                let asked = Fingerprint::of(["ten euros"]);
                match payments.begin(&scope(), &key, &asked).await {
                    Ok(Begin::Acquired(claim)) => {
                        executed.push(number);
                        let receipt = Receipt::new(&format!("{client} {number}"));
                        match claim.complete(&receipt).await {
                            Ok(Completion::Completed) => drop(answers.insert(number, receipt)),
                            Ok(fenced @ Completion::Fenced { .. }) => panic!("{fenced:?}"),
                            Err(error) => assert!(error.is_outage(), "{error:?}"),
                        }
                    }
                    Ok(Begin::Replay(receipt)) => drop(answers.insert(number, receipt)),
                    Ok(Begin::InFlight { .. }) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert!(error.is_outage(), "{error:?}"),
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            (executed, answers)
        });
    }
    link.fail().await;
    let (mut executed, mut answers) = (BTreeSet::new(), BTreeMap::<_, Receipt>::new());
    for (of_client, told) in clients.join_all().await {
        for number in of_client {
            assert!(executed.insert(number), "key {number} was executed twice");
        }
        for (number, receipt) in told {
            let first = answers.entry(number).or_insert_with(|| receipt.clone());
            assert_eq!(*first, receipt, "two answers to key {number}");
        }
    }
    assert!(!executed.is_empty());
    // What a holder was told is what every retry is told.
    for (number, receipt) in answers {
        let key = IdempotencyKey::new(format!("k-{number}")).unwrap();
        let again = until_it_works(|| async {
            let asked = Fingerprint::of(["ten euros"]);
            payments.begin(&scope(), &key, &asked).await.map_err(SessionError::from)
        });
        match again.await {
            Begin::Replay(replayed) => assert_eq!(replayed, receipt, "key {number}"),
            other => panic!("key {number}: {other:?}"),
        }
    }
}
