//! A read that the near cache answers takes nothing from the allocator.

#![cfg(feature = "memory")]

use std::time::Duration;

use allocation_counter::measure;
use serde::{Deserialize, Serialize};
use steadfast::backend::Group;
use steadfast::store::{NearConfig, Reads};
use steadfast::{State, Store};

#[derive(Serialize, Deserialize)]
struct Flag(u64);

impl State for Flag {
    const SCHEMA: u16 = 1;
}

#[test]
fn a_hit_in_the_near_cache_allocates_nothing() {
    const READS: u64 = 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hour = Duration::from_secs(3_600);
    let store = runtime.block_on(async {
        let backend = steadfast::connect("memory:").await.unwrap();
        Store::builder(backend).near(NearConfig::default().keep(hour)).build().unwrap()
    });
    let key = store.key("flag", &Group::new("all").unwrap(), "dark-mode").unwrap();
    let put = store.put_write(&key, &Flag(7)).unwrap();
    assert!(runtime.block_on(store.write(&put)).unwrap().is_applied());
    let read = async || {
        let flag = store.get_as::<Flag>(&key, Reads::within(hour)).await.unwrap().unwrap();
        assert_eq!(flag.value.0, 7);
    };
    runtime.block_on(read());
    let empty = measure(|| runtime.block_on(async {})).count_total;
    let reads = measure(|| {
        runtime.block_on(async {
            for _ in 0..READS {
                read().await;
            }
        });
    });
    // The cache behind keeps its books once in a while, which may take some.
    let taken = reads.count_total - empty;
    println!("{taken} allocations in {READS} reads");
    assert!(taken < READS / 1_000, "{taken} allocations in {READS} reads");
}
