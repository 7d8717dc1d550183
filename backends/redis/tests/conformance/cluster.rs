//! The behaviour suite on a Cluster of three servers.

mod suite;

use std::io;
use std::process::ExitCode;

use steadfast_backend::Transactions;
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_redis::{Address, Servers};

fn main() -> io::Result<ExitCode> {
    let start = || {
        let cluster = RedisCluster::start(3, 0)?;
        let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
        let servers = Servers::Cluster(cluster.nodes().iter().map(node).collect());
        Ok((cluster, servers))
    };
    suite::prove(Transactions::SameGroup, start, |cluster: &RedisCluster, key| {
        let slot = cluster.slot_of(key.as_str())?;
        Ok(&cluster.nodes()[cluster.slot_owner(slot)?])
    })
}
