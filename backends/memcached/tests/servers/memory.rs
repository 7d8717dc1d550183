//! Servers whose memory is full.

use steadfast_backend::{Backend, ErrorKind, Write};
use steadfast_conformance::servers::MemcachedServer;

use crate::common::{connect, key, put};

const LEN: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_evict_is_full_and_says_so() {
    let server = MemcachedServer::builder().memory_mb(8).arg("-M").start().unwrap();
    let backend = connect(&server).await;
    let mut full = None;
    for number in 0..200 {
        let put = Write::put(key(&number.to_string()), vec![1; LEN]);
        if let Err(error) = backend.write(&put).await {
            full = Some(error);
            break;
        }
    }
    let full = full.unwrap();
    assert_eq!(full.kind(), ErrorKind::Full, "{full:?}");
    assert!(!full.is_ambiguous() && !full.is_outage());
    // What is there stays, and room that is made is used.
    assert!(backend.get(&key("0")).await.unwrap().is_some());
    for number in 0..20 {
        assert!(
            backend.write(&Write::delete(key(&number.to_string()))).await.unwrap().is_applied()
        );
    }
    put(&backend, Write::put(key("new"), vec![1; LEN])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_evicts_and_the_check_tells() {
    let server = MemcachedServer::builder().memory_mb(8).start().unwrap();
    let backend = connect(&server).await;
    let health = backend.check().await.unwrap();
    assert_eq!((health.evicted, health.warnings.len()), (Some(0), 0));
    for number in 0..200 {
        put(&backend, Write::put(key(&number.to_string()), vec![1; LEN])).await;
    }
    let health = backend.check().await.unwrap();
    assert!(health.evicted > Some(50), "{health:?}");
    assert_eq!(health.limit_bytes, Some(8 << 20));
    assert!(health.used_bytes > Some(1 << 20) && health.used_bytes <= health.limit_bytes);
    let address = server.addr().to_string();
    assert!(health.warnings.iter().any(|it| it.contains(&address)), "{:?}", health.warnings);
    assert_eq!(backend.get(&key("0")).await.unwrap(), None);
}
