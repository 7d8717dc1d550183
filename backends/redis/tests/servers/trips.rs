//! Commands, counted at the server.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use steadfast_backend::{Condition, ScanRequest, Ttl, Write};
use steadfast_conformance::servers::RedisServer;

use crate::{connect, key, namespace};

/// How often each command was called by a client; what scripts call is left out.
fn called(server: &RedisServer) -> BTreeMap<&'static str, u64> {
    ["get", "mget", "evalsha", "eval", "scan", "info"]
        .into_iter()
        .map(|command| (command, server.calls(command).unwrap()))
        .collect()
}

macro_rules! trip {
    ($server:expr, $call:expr, $($command:literal: $count:literal),+) => {{
        let before = called(&$server);
        let answer = $call.await.unwrap();
        let after = called(&$server);
        let found: BTreeMap<_, _> = after
            .into_iter()
            .map(|(command, count)| (command, count - before[command]))
            .filter(|(command, count)| *count > 0 && *command != "info")
            .collect();
        assert_eq!(found, BTreeMap::from([$(($command, $count)),+]), stringify!($call));
        answer
    }};
}

#[tokio::test]
async fn every_verb_takes_one_trip() {
    let server = RedisServer::start().unwrap();
    let backend = connect(&server).await;
    let (a, b) = (key("a"), key("b"));
    let ttl = Ttl::new(std::time::Duration::from_secs(60)).unwrap();
    // Scripts call GET, too, when they refuse, and to tell what is absent from what is empty.
    let _ = trip!(server, backend.write(&Write::put(a.clone(), "v")), "evalsha": 1, "get": 1);
    let _ = trip!(server, backend.get(&a), "get": 1);
    let _ = trip!(server, backend.get_many(&[a.clone(), b.clone()]), "mget": 1);
    for condition in [Condition::Always, Condition::Present] {
        let put = Write::put(a.clone(), "v").only_if(condition);
        let _ = trip!(server, backend.write(&put), "evalsha": 1);
    }
    let claim = Write::put(a.clone(), "v").only_if(Condition::Absent);
    let refused = trip!(server, backend.write(&claim), "evalsha": 1, "get": 1);
    assert!(!refused.is_applied());
    let _ = trip!(server, backend.write(&Write::touch(a.clone(), Some(ttl))), "evalsha": 1);
    let writes = vec![Write::put(a.clone(), "v"), Write::delete(b.clone())];
    let _ = trip!(server, backend.transact(&writes.clone()), "evalsha": 1, "get": 1);
    let _ = trip!(server, backend.write_many(&writes), "evalsha": 1, "get": 1);
    let _ = trip!(server, backend.write(&Write::delete(a.clone())), "evalsha": 1);
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    let _ = trip!(server, backend.write(&Write::put(a.clone(), "v")), "eval": 1, "evalsha": 1);
    let _ = trip!(server, backend.write(&Write::put(a.clone(), "v")), "evalsha": 1);
    let request = ScanRequest { namespace: namespace(), after: None, limit: NonZeroUsize::MIN };
    let _ = trip!(server, backend.scan(request), "scan": 1);
}
