use std::num::NonZeroUsize;

use steadfast_backend::{ErrorKind, ScanRequest, Write};
use steadfast_conformance::servers::RedisServer;

use crate::{connect, eventually, key, namespace};

#[tokio::test]
async fn a_scan_that_meets_another_life_of_the_server_says_so() {
    let server = RedisServer::builder().persist().start().unwrap();
    let backend = connect(&server).await;
    let puts: Vec<_> =
        (0..1_000).map(|number| Write::put(key(&format!("{number}")), "v")).collect();
    for put in backend.write_many(&puts).await.unwrap() {
        assert!(put.unwrap().is_applied());
    }
    let request = |after| ScanRequest { namespace: namespace(), after, limit: NonZeroUsize::MIN };
    let first = backend.scan(request(None)).await.unwrap();
    assert!(first.next.is_some());
    server.kill().unwrap();
    server.restart().unwrap();
    eventually("it is connected again", async || backend.get(&key("0")).await.is_ok()).await;
    // The server draws the order of its keys anew each time it starts.
    let error = backend.scan(request(first.next)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error:?}");
}
