//! Whatever happens to the link and to the session meanwhile: each change is in the store once, or
//! it is reported, and what others did stands.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use steadfast::backend::{Backend, Namespace, ScanRequest};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::redb::RedbBackend;
use steadfast::session::{JournalConfig, Saved, SessionError, SessionId, Unsaved};
use steadfast::store::{NearConfig, Reads};
use steadfast::{Sessions, Store};

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, alice};

const KEEP: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// This node loses the store for so many calls; one may still reach it and lose its reply.
    Cut {
        calls: usize,
        lost: Option<usize>,
    },
    Heal,
    Here,
    There,
    Read,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (prop_oneof![1_usize..6, Just(5_000)], proptest::option::of(0_usize..4))
            .prop_map(|(calls, lost)| Step::Cut { calls, lost }),
        3 => Just(Step::Heal),
        8 => Just(Step::Here),
        2 => Just(Step::There),
        2 => Just(Step::Read),
        1 => Just(Step::End),
    ]
}

/// Who was told what of each change.
#[derive(Default)]
struct Told {
    stored: BTreeSet<u32>,
    queued: BTreeSet<u32>,
    ended: bool,
}

async fn run(steps: &[Step]) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let (faulty, dir) = (Faulty::new(Arc::clone(&backend)), tempfile::tempdir().unwrap());
    let local = Arc::new(RedbBackend::open(dir.path().join("journal.redb")).unwrap());
    let reports = Arc::new(Mutex::new(BTreeSet::new()));
    let told = Arc::clone(&reports);
    let store = Store::builder(faulty.clone() as Arc<dyn Backend>).attempts(1);
    let store = store.near(NearConfig::default().keep(KEEP)).build().unwrap();
    let here: Sessions<Basket> = Sessions::builder(&store)
        .reads(Reads::latest().serve_stale(KEEP))
        .journal(JournalConfig::new(local.clone()))
        .on_unsaved(move |unsaved: &Unsaved<Basket>| {
            told.lock().unwrap().extend(unsaved.state.as_ref().unwrap().items.iter().copied());
        })
        .build()
        .unwrap();
    let there = Store::builder(backend).build().unwrap();
    let there: Sessions<Basket> = Sessions::builder(&there).build().unwrap();
    let id = there.sign_in(&alice(), "", Basket::default()).await.unwrap().id;
    here.load(&id).await.unwrap().unwrap();

    let mut told = Told::default();
    for (item, step) in (0..).zip(steps) {
        take(*step, item, (&here, &there), &faulty, &id, &mut told).await;
    }
    faulty.heal();
    until_empty(&*local).await;

    let reported = reports.lock().unwrap().clone();
    let Some(session) = there.load(&id).await.unwrap() else {
        assert!(told.ended, "the session is lost");
        return;
    };
    let items = session.state.items;
    let kept: BTreeSet<u32> = items.iter().copied().collect();
    assert_eq!(kept.len(), items.len(), "a change was made twice: {items:?}");
    assert!(kept.is_superset(&told.stored), "{:?} are not all in {items:?}", told.stored);
    for item in &told.queued {
        let found = kept.contains(item) || reported.contains(item);
        assert!(found, "{item} is in neither {items:?} nor {reported:?}");
    }
}

async fn take(
    step: Step,
    item: u32,
    (here, there): (&Sessions<Basket>, &Sessions<Basket>),
    faulty: &Faulty,
    id: &SessionId,
    told: &mut Told,
) {
    match step {
        Step::Cut { calls, lost } => {
            faulty.heal();
            faulty.fail_next(&vec![Fault::Cut; calls]);
            if let Some(passing) = lost {
                faulty.fail_after(passing, Fault::ReplyLost);
            }
        }
        Step::Heal => faulty.heal(),
        Step::Here => {
            match here.update_or_queue(id, |basket| basket.items.push(item)).await {
                Ok(Saved::Stored(_)) => drop(told.stored.insert(item)),
                Ok(Saved::Queued { .. }) => drop(told.queued.insert(item)),
                Err(SessionError::Gone(_)) => assert!(told.ended, "nobody has ended it"),
                // It may be made, once.
                Err(_outage) => {}
            }
        }
        Step::There => match there.update(id, |basket| basket.items.push(item)).await {
            Ok(_) => drop(told.stored.insert(item)),
            Err(error) => assert!(told.ended, "{error:?}"),
        },
        Step::Read => {
            // What was queued here shows here, unless others changed or ended the session.
            let _read = here.load(id).await;
        }
        Step::End => {
            there.destroy(id).await.unwrap();
            told.ended = true;
        }
    }
}

async fn until_empty(journal: &dyn Backend) {
    let started = Instant::now();
    let request = || ScanRequest {
        namespace: Namespace::new("app").unwrap(),
        after: None,
        limit: std::num::NonZeroUsize::new(10).unwrap(),
    };
    while !journal.scan(request()).await.unwrap().keys.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "something waits for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn each_change_is_made_once_or_reported() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..30);
    TestRunner::new(config)
        .run(&steps, |steps| {
            runtime.block_on(run(&steps));
            Ok(())
        })
        .unwrap();
}
