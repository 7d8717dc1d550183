//! What the backend promises on every kind of Redis, and how the suite is run on one.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Key, Transactions};
use steadfast_conformance::servers::RedisServer;
use steadfast_conformance::{Stored, Suite};
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

/// The server that keeps a key.
type Keeper<Running> = for<'a> fn(&'a Running, &Key) -> io::Result<&'a RedisServer>;

/// Runs the suite on servers that it starts, if there are any to start.
pub(crate) fn prove<Running: Send + Sync + 'static>(
    transactions: Transactions,
    start: impl FnOnce() -> io::Result<(Running, Servers)>,
    keeper: Keeper<Running>,
) -> io::Result<ExitCode> {
    let missing = RedisServer::missing();
    let started = if missing.is_none() { Some(start()?) } else { None };
    let (running, servers) = started.unzip();
    let running = Arc::new(running);
    let suite = Suite::new(declared(transactions), move |_place| {
        let nowhere = || Servers::Single(Address::tcp("127.0.0.1", 0));
        let mut config = RedisConfig::new(servers.clone().unwrap_or_else(nowhere));
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    // The model needs no more of one kind of Redis than of another.
    let suite = suite.on_real_time().model_ops(2_500).ignored_if(missing);
    let records = move |_place: &_| Ok(Records { running: Arc::clone(&running), keeper });
    Ok(suite.damaged_by(records).run())
}

/// What the servers hold.
struct Records<Running> {
    running: Arc<Option<Running>>,
    keeper: Keeper<Running>,
}

impl<Running> Records<Running> {
    fn keeper(&self, key: &Key) -> io::Result<&RedisServer> {
        let running = self.running.as_ref().as_ref();
        (self.keeper)(running.ok_or(io::ErrorKind::NotConnected)?, key)
    }
}

impl<Running: Send + Sync> Stored for Records<Running> {
    fn read(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let (server, key) = (self.keeper(key)?, key.as_str());
        if server.command(&["TYPE", key])? == "list" {
            return server.command(&["LRANGE", key, "0", "-1"]).map(|list| Some(list.into_bytes()));
        }
        server.value(key)
    }

    fn replace(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        self.keeper(key)?.replace_value(key.as_str(), bytes)
    }

    fn estrange(&mut self, key: &Key) -> io::Result<bool> {
        let (server, key) = (self.keeper(key)?, key.as_str());
        server.command(&["DEL", key])?;
        server.command(&["RPUSH", key, "somebody else's"])?;
        Ok(true)
    }
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
