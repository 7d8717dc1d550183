//! P7: a machine's clock that is wrong by ten minutes breaks nothing.
//!
//! Embedded stores have one process and so one clock; it may be set back while the process is
//! down. (Replicas on a shared store use the store's clock only.)

use std::time::Duration;

use steadfast::Store;
use steadfast::backend::{Backend, ManualClock};
use steadfast::redb::{Options, RedbBackend};

use crate::world::{Basket, IDLE, SECOND, sessions};

const TEN_MINUTES: Duration = Duration::from_secs(600);
const NOON_US: u64 = 1_700_000_000_000_000;

#[tokio::test]
async fn a_clock_that_was_set_back_revives_nothing_and_reuses_no_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let open = |now_us| {
        let clock = ManualClock::at_us(now_us);
        let options = Options { clock: clock.clone(), sweep_every: None };
        let backend = RedbBackend::open_with(path.as_path(), options).unwrap();
        (clock, std::sync::Arc::new(backend))
    };

    let (clock, backend) = open(NOON_US);
    let store = Store::builder(backend.clone()).build().unwrap();
    let sessions_before = sessions(&store);
    let expired = sessions_before.create(Basket::default()).await.unwrap().id;
    clock.advance(IDLE * 2);
    assert!(sessions_before.load(&expired).await.unwrap().is_none());
    let live = sessions_before.create(Basket::default()).await.unwrap();
    backend.close().await.unwrap();
    drop((store, sessions_before, backend));

    let set_back_us = NOON_US - u64::try_from(TEN_MINUTES.as_micros()).unwrap();
    let (clock, backend) = open(set_back_us);
    let sessions_after = sessions(&Store::builder(backend).build().unwrap());
    assert!(sessions_after.load(&expired).await.unwrap().is_none(), "revived");
    let updated = sessions_after.update(&live.id, |basket| basket.items.push(1)).await.unwrap();
    assert!(updated.version > live.version, "a version was reused");
    clock.advance(IDLE - SECOND);
    assert!(sessions_after.load(&live.id).await.unwrap().is_some(), "early");
    clock.advance(IDLE * 2);
    assert!(sessions_after.load(&live.id).await.unwrap().is_none(), "late");
}
