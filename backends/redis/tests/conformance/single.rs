//! The behaviour suite on one Redis server.

mod declared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::Transactions;
use steadfast_conformance::Suite;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let server = RedisServer::start()?;
    let servers = Servers::Single(Address::tcp("127.0.0.1", server.port()));
    let suite = Suite::new(declared::declared(Transactions::Any), move |_place| {
        let mut config = RedisConfig::new(servers.clone());
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    Ok(suite.on_real_time().run())
}
