//! The behaviour suite on a Unix socket.

mod declared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::Transactions;
use steadfast_conformance::Suite;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let server = RedisServer::builder().unix_socket().start()?;
    let servers = Servers::Single(Address::Unix(server.socket().to_owned()));
    let suite = Suite::new(declared::declared(Transactions::Any), move |_place| {
        let mut config = RedisConfig::new(servers.clone());
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    Ok(suite.on_real_time().model_ops(1_000).run())
}
