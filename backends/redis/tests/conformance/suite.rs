//! What the backend promises on every kind of Redis, and how the suite is run on one.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

/// Runs the suite on servers that it starts, if there are any to start.
pub(crate) fn prove<Running>(
    transactions: Transactions,
    start: impl FnOnce() -> io::Result<(Running, Servers)>,
) -> io::Result<ExitCode> {
    let missing = RedisServer::missing();
    let started = if missing.is_none() { Some(start()?) } else { None };
    let servers = started.as_ref().map(|(_running, servers)| servers.clone());
    let suite = Suite::new(declared(transactions), move |_place| {
        let nowhere = || Servers::Single(Address::tcp("127.0.0.1", 0));
        let mut config = RedisConfig::new(servers.clone().unwrap_or_else(nowhere));
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    // The model needs no more of one kind of Redis than of another.
    let suite = suite.on_real_time().model_ops(2_500).ignored_if(missing);
    Ok(suite.run())
}

fn declared(transactions: Transactions) -> BackendInfo {
    BackendInfo {
        name: "redis",
        capabilities: Capabilities {
            transactions,
            scan: true,
            shared: true,
            evicts: false,
            invalidations: true,
            durability: Durability::Volatile,
            ttl_step: Duration::from_millis(1),
            value_len_max: 16 << 20,
            batch_len_max: 1024,
        },
    }
}
