//! The behaviour suite on a Cluster of three servers.

mod declared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::Transactions;
use steadfast_conformance::Suite;
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let cluster = RedisCluster::start(3, 0)?;
    let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
    let servers = Servers::Cluster(cluster.nodes().iter().map(node).collect());
    let suite = Suite::new(declared::declared(Transactions::SameGroup), move |_place| {
        let mut config = RedisConfig::new(servers.clone());
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    Ok(suite.on_real_time().model_ops(1_000).run())
}
