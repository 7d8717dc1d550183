//! The behaviour suite on one Redis server.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};

const DECLARED: BackendInfo = BackendInfo {
    name: "redis",
    capabilities: Capabilities {
        transactions: Transactions::Any,
        scan: true,
        shared: true,
        evicts: false,
        invalidations: true,
        durability: Durability::Volatile,
        ttl_step: Duration::from_millis(1),
        value_len_max: 16 << 20,
        batch_len_max: 1024,
    },
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let server = RedisServer::start()?;
    let address = Address::tcp("127.0.0.1", server.port());
    let suite = Suite::new(DECLARED, move |_place| {
        let config = RedisConfig::new(Servers::Single(address.clone()));
        RedisBackend::connect(config)
    })
    .on_real_time();
    Ok(suite.run())
}
