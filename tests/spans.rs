//! What is done for a caller is logged under the caller's span, whichever task does it. Alone in
//! its process: who listens to events is a matter of all threads.

#![cfg(feature = "redis")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::backend::{Error, Group, Ttl};
use steadfast::store::{NearConfig, Reads};
use steadfast::{State, Store};
use steadfast_conformance::servers::RedisServer;
use tracing::Instrument as _;
use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Serialize, Deserialize)]
struct Flag(u64);

impl State for Flag {
    const SCHEMA: u16 = 1;
}

#[tokio::test]
async fn what_is_done_for_a_request_is_logged_under_its_span() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG);
    let subscriber = subscriber.with_ansi(false).with_writer(move || Sink(sink.clone()));
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let server = RedisServer::start().unwrap();
    let store = Store::builder(steadfast::connect(&server.url()).await.unwrap());
    let store = store.near(NearConfig::default()).build().unwrap();
    let group = Group::new("all").unwrap();
    let [read, looked_up] =
        ["read", "looked-up"].map(|name| store.key("flag", &group, name).unwrap());
    let request = async {
        let reads = Reads::within(Duration::from_secs(5));
        assert!(store.get_as::<Flag>(&read, reads).await.unwrap().is_none());
        let ttl = Ttl::new(Duration::from_secs(5)).unwrap();
        let flag = store.cached(&looked_up, ttl, || async {
            tracing::info!("loading");
            Ok::<_, Error>(Flag(1))
        });
        flag.await.unwrap();
    };
    request.instrument(tracing::info_span!("request", id = 7)).await;
    let told = String::from_utf8(told.lock().unwrap().clone()).unwrap();
    let get = format!("operation=\"get\" namespace=\"app:v1:flag\" key={}", read.digest());
    for what in [get.as_str(), "loading", "operation=\"write\""] {
        let line = told.lines().find(|line| line.contains(what));
        assert!(line.is_some_and(|line| line.contains("request{id=7}")), "{what}: {told}");
    }
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
