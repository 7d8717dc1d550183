//! A server at its `maxmemory`: what removes something needs no memory.

use steadfast_backend::{Condition, ErrorKind, Transacted, Write};
use steadfast_conformance::servers::RedisServer;

use crate::{connect, key};

#[tokio::test]
async fn a_transaction_that_gives_memory_back_is_made_on_a_full_server() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    for name in ["session", "list"] {
        assert!(backend.write(&Write::put(key(name), "old")).await.unwrap().is_applied());
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    // Of these one is not there, so that nothing is given back.
    let nothing = [Write::put(key("list"), "new"), Write::delete(key("absent"))];
    let error = backend.transact(&nothing).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Full, false), "{error:?}");
    assert_eq!(backend.get(&key("list")).await.unwrap().unwrap().value, "old");

    let end = [
        Write::put(key("list"), "new").only_if(Condition::Present),
        Write::delete(key("session")).only_if(Condition::Present),
    ];
    match backend.transact(&end).await.unwrap() {
        Transacted::Applied { versions } => {
            assert!(versions[0].is_some() && versions[1].is_none(), "in the order of the writes");
        }
        refused @ Transacted::Refused { .. } => panic!("{refused:?}"),
    }
    assert!(backend.get(&key("session")).await.unwrap().is_none());
    assert_eq!(backend.get(&key("list")).await.unwrap().unwrap().value, "new");
}
