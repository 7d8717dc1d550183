//! Versions, where the server's clock does not help.

use std::time::Duration;

use steadfast_backend::{Condition, ErrorKind, Version, Write, Written};
use steadfast_conformance::servers::RedisServer;

use crate::{connect, key};

/// A version that the server's clock reaches in a century.
const FUTURE: u64 = 5_000_000_000_000_000;

fn version(written: &Written) -> Version {
    match written {
        Written::Applied { version } => version.unwrap(),
        Written::Refused { .. } => panic!("refused"),
    }
}

#[tokio::test]
async fn they_rise_though_the_clock_is_set_back_and_the_entry_deleted() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    let key = key("k");
    // As a server would have written it whose clock was ahead.
    let frame = format!("S1{FUTURE:016}{:014}value", 0);
    server.command(&["SET", key.as_str(), &frame]).unwrap();
    let entry = backend.get(&key).await.unwrap().unwrap();
    assert_eq!((entry.version.get(), entry.age), (FUTURE, Duration::ZERO));
    let put = Write::put(key.clone(), "v").only_if(Condition::VersionIs(entry.version));
    let next = version(&backend.write(&put).await.unwrap());
    assert_eq!(next.get(), FUTURE + 1);
    assert!(backend.write(&Write::delete(key.clone())).await.unwrap().is_applied());
    assert_eq!(backend.get(&key).await.unwrap(), None);
    let stale = Write::put(key.clone(), "v").only_if(Condition::VersionIs(next));
    assert_eq!(backend.write(&stale).await.unwrap(), Written::Refused { current: None });
    let again = Write::put(key.clone(), "v").only_if(Condition::Absent);
    assert_eq!(version(&backend.write(&again).await.unwrap()).get(), FUTURE + 2);
}

#[tokio::test]
async fn the_mark_of_a_deleted_entry_goes_by_itself() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    let key = key("k");
    assert!(backend.write(&Write::put(key.clone(), "v")).await.unwrap().is_applied());
    assert!(backend.write(&Write::delete(key.clone())).await.unwrap().is_applied());
    let left = server.command(&["PTTL", key.as_str()]).unwrap();
    let left_ms: i64 = left.trim().trim_start_matches(':').parse().unwrap();
    assert!((1..=600_000).contains(&left_ms), "{left}");
    // Deleting what is absent leaves none.
    let other = crate::key("other");
    assert!(backend.write(&Write::delete(other.clone())).await.unwrap().is_applied());
    assert!(server.command(&["EXISTS", other.as_str()]).unwrap().contains('0'));
}

#[tokio::test]
async fn what_others_wrote_is_reported_and_left_alone() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    let [text, list] = ["text", "list"].map(key);
    server.command(&["SET", text.as_str(), "somebody else's"]).unwrap();
    server.command(&["RPUSH", list.as_str(), "somebody else's"]).unwrap();
    for key in [&text, &list] {
        let error = backend.get(key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        for write in [
            Write::put(key.clone(), "v"),
            Write::put(key.clone(), "v").only_if(Condition::Absent),
            Write::touch(key.clone(), None),
            Write::delete(key.clone()),
        ] {
            let error = backend.write(&write.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            assert!(!error.is_ambiguous(), "{error:?}");
            let error = backend.transact(&[write]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
    }
    assert!(server.command(&["GET", text.as_str()]).unwrap().contains("somebody else's"));
    assert!(server.command(&["LLEN", list.as_str()]).unwrap().contains('1'));
}
