//! The behaviour suite on a Cluster of three servers.

mod suite;

use std::io;
use std::process::ExitCode;

use steadfast_backend::Transactions;
use steadfast_conformance::servers::{RedisCluster, RedisServer};
use steadfast_redis::{Address, Servers};

fn main() -> io::Result<ExitCode> {
    suite::prove(Transactions::SameGroup, || {
        let cluster = RedisCluster::start(3, 0)?;
        let node = |node: &RedisServer| Address::tcp("127.0.0.1", node.port());
        let servers = Servers::Cluster(cluster.nodes().iter().map(node).collect());
        Ok((cluster, servers))
    })
}
