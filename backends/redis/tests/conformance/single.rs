//! The behaviour suite on one Redis server.

mod suite;

use std::io;
use std::process::ExitCode;

use steadfast_backend::Transactions;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, Servers};

fn main() -> io::Result<ExitCode> {
    let start = || {
        let server = RedisServer::start()?;
        let servers = Servers::Single(Address::tcp("127.0.0.1", server.port()));
        Ok((server, servers))
    };
    suite::prove(Transactions::Any, start, |server, _key| Ok(server))
}
