//! The behaviour suite on a Unix socket.

mod suite;

use std::io;
use std::process::ExitCode;

use steadfast_backend::Transactions;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, Servers};

fn main() -> io::Result<ExitCode> {
    let start = || {
        let server = RedisServer::builder().unix_socket().start()?;
        let servers = Servers::Single(Address::Unix(server.socket().to_owned()));
        Ok((server, servers))
    };
    suite::prove(Transactions::Any, start, |server, _key| Ok(server))
}
