//! The behaviour suite on a primary and its replica, found by Sentinels.

mod declared;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::Transactions;
use steadfast_conformance::Suite;
use steadfast_conformance::servers::{RedisSentinel, RedisServer};
use steadfast_redis::{Address, Login, RedisBackend, RedisConfig, Servers};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let group = RedisSentinel::start()?;
    let address = |sentinel: &RedisServer| Address::tcp("127.0.0.1", sentinel.port());
    let servers = Servers::Sentinel {
        sentinels: group.sentinels().iter().map(address).collect(),
        primary: "mymaster".to_owned(),
        login: Login::default(),
    };
    let suite = Suite::new(declared::declared(Transactions::Any), move |_place| {
        let mut config = RedisConfig::new(servers.clone());
        config.timeout = Duration::from_secs(30); // a busy machine, and values of 16 MiB
        RedisBackend::connect(config)
    });
    Ok(suite.on_real_time().model_ops(1_000).run())
}
