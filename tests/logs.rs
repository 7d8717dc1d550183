//! P12 for what is logged. Alone in its process: who listens to events is a matter of all threads.

#![cfg(feature = "memory")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::backend::Group;
use steadfast::store::{NearConfig, Reads};
use steadfast::{State, Store};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Serialize, Deserialize)]
struct Basket {
    item: u32,
}

impl State for Basket {
    const SCHEMA: u16 = 1;
}

/// Each call is told of at the finest level, and neither what it is about nor whose it is.
#[tokio::test]
async fn an_event_of_a_call_has_neither_key_nor_value() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    let subscriber = subscriber.with_writer(move || Sink(sink.clone())).finish();
    let _listening = subscriber.set_default();
    let store = Store::builder(steadfast::connect("memory:").await.unwrap());
    let store = store.near(NearConfig::default()).build().unwrap();
    let key = store.key("basket", &Group::new("canary-group").unwrap(), "canary-name").unwrap();
    let basket = Basket { item: 987_654_321 };
    assert!(store.write(&store.put_write(&key, &basket).unwrap()).await.unwrap().is_applied());
    for _ in 0..2 {
        store.get_as::<Basket>(&key, Reads::within(Duration::from_secs(5))).await.unwrap();
    }
    let told = String::from_utf8(told.lock().unwrap().clone()).unwrap();
    assert!(told.contains(&key.digest()) && told.contains("outcome"), "{told}");
    for how in ["result=\"miss\" age_ms=0", "result=\"hit\""] {
        assert!(told.contains(how), "{told}");
    }
    assert!(!told.contains("canary") && !told.contains("987654321"), "{told}");
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
