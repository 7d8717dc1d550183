//! The behaviour suite on a primary and its replica, found by Sentinels.

mod suite;

use std::io;
use std::process::ExitCode;

use steadfast_backend::Transactions;
use steadfast_conformance::servers::{RedisSentinel, RedisServer};
use steadfast_redis::{Address, Login, Servers};

fn main() -> io::Result<ExitCode> {
    let start = || {
        let group = RedisSentinel::start()?;
        let address = |sentinel: &RedisServer| Address::tcp("127.0.0.1", sentinel.port());
        let servers = Servers::Sentinel {
            sentinels: group.sentinels().iter().map(address).collect(),
            primary: "mymaster".to_owned(),
            login: Login::default(),
        };
        Ok((group, servers))
    };
    suite::prove(Transactions::Any, start, |group, _key| group.master())
}
