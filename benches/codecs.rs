//! What each codec makes of a session's state: bytes, and nanoseconds to write and to read it
//! through a [`Store`], with the envelope and every check, but without a backend.
//!
//! `cargo bench --bench codecs --all-features`; the codecs take turns, so that a busy machine slows
//! all of them.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use steadfast::backend::{Entry, Group, Key, Version, Write};
use steadfast::{Codec, State, Store};

const ROUNDS: usize = 21;
const CALLS: u32 = 20_000;
const CODECS: [Codec; 4] = [Codec::MessagePack, Codec::Postcard, Codec::Json, Codec::Bincode];

#[derive(Serialize, Deserialize)]
struct Basket {
    user: String,
    language: Option<String>,
    items: Vec<Item>,
    seen_ms: u64,
    consent: bool,
}

#[derive(Serialize, Deserialize)]
struct Item {
    sku: String,
    count: u32,
    cents: i64,
}

impl State for Basket {
    const SCHEMA: u16 = 1;
}

fn basket(items: u32) -> Basket {
    let item = |number: u32| Item {
        sku: format!("SKU-{:06}", number * 7_919),
        count: number % 5 + 1,
        cents: i64::from(number) * 1_299,
    };
    Basket {
        user: "alice@example.org".to_owned(),
        language: Some("en-GB".to_owned()),
        items: (0..items).map(item).collect(),
        seen_ms: 1_764_523_000_000,
        consent: true,
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(steadfast::connect("memory:")).unwrap();
    let store = |codec| Store::builder(backend.clone()).codec(codec).build().unwrap();
    let stores = CODECS.map(store);
    let key = stores[0].key("basket", &Group::new("alice").unwrap(), "current").unwrap();
    println!("{:>12} {:>6} {:>6} {:>9} {:>9}", "codec", "items", "bytes", "write ns", "read ns");
    for items in [0, 3, 30] {
        measure(&stores, &key, &basket(items), items);
    }
}

fn measure(stores: &[Store], key: &Key, basket: &Basket, items: u32) {
    let entries: Vec<_> = stores.iter().map(|store| stored(store, key, basket)).collect();
    let mut took = CODECS.map(|_codec| (Vec::new(), Vec::new()));
    for _round in 0..ROUNDS {
        for ((store, entry), (writes, reads)) in stores.iter().zip(&entries).zip(&mut took) {
            writes
                .push(nanos(|| drop(black_box(store.put_write(key, black_box(basket)).unwrap()))));
            reads.push(nanos(|| {
                drop(black_box(store.decode::<Basket>(key, black_box(entry)).unwrap()));
            }));
        }
    }
    for ((codec, entry), (writes, reads)) in CODECS.iter().zip(&entries).zip(&mut took) {
        let (bytes, write, read) = (entry.value.len() - HEADER_LEN, median(writes), median(reads));
        println!("{:>12} {items:>6} {bytes:>6} {write:>9.0} {read:>9.0}", format!("{codec:?}"));
    }
}

const HEADER_LEN: usize = 32;

fn stored(store: &Store, key: &Key, basket: &Basket) -> Entry {
    let Write::Put { value, .. } = store.put_write(key, basket).unwrap() else { unreachable!() };
    Entry { value, version: Version::MIN, written_us: 1, age: Duration::ZERO, left: None }
}

/// Of a call, as a mean.
fn nanos(call: impl Fn()) -> f64 {
    let started = Instant::now();
    (0..CALLS).for_each(|_call| call());
    started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(took: &mut [f64]) -> f64 {
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
