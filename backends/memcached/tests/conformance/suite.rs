//! The behaviour suite on real servers.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
use steadfast_conformance::servers::MemcachedServer;
use steadfast_memcached::{MemcachedBackend, MemcachedConfig};

const DECLARED: BackendInfo = BackendInfo {
    name: "memcached",
    capabilities: Capabilities {
        transactions: Transactions::None,
        scan: false,
        shared: true,
        evicts: true,
        invalidations: false,
        durability: Durability::Volatile,
        ttl_step: Duration::from_secs(4),
        value_len_max: (1 << 20) - 512,
        batch_len_max: 256,
    },
};

/// Runs the suite on so many servers, which all cases share.
pub(crate) fn prove_on(servers: usize) -> io::Result<ExitCode> {
    let missing = MemcachedServer::missing();
    let servers = if missing.is_some() { 0 } else { servers };
    let servers: Vec<_> =
        (0..servers).map(|_| MemcachedServer::start()).collect::<Result<_, _>>()?;
    let mut addresses = servers.iter().map(|server| server.addr().to_string());
    let first = MemcachedConfig::new(addresses.next().unwrap_or_default());
    let config = addresses.fold(first, MemcachedConfig::server);
    let config = config.timeout(Duration::from_secs(30)); // a busy machine
    let open = move |_| {
        let config = config.clone();
        async move { MemcachedBackend::connect(config).await }
    };
    Ok(Suite::new(DECLARED, open).on_real_time().ignored_if(missing).run())
}
