//! The behaviour suite on real servers.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Key, Transactions};
use steadfast_conformance::servers::MemcachedServer;
use steadfast_conformance::{Stored, Suite};
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
    let servers = Arc::new(servers);
    let records = move |_place: &_| Ok(Records(Arc::clone(&servers)));
    let suite = Suite::new(DECLARED, open).on_real_time().ignored_if(missing);
    Ok(suite.damaged_by(records).run())
}

/// What the servers hold: of each item its client flags, which say what wrote it, and its value.
struct Records(Arc<Vec<MemcachedServer>>);

impl Records {
    /// The server that has the key, with what it has.
    fn find(&self, key: &Key) -> io::Result<Option<(&MemcachedServer, u32, Vec<u8>)>> {
        for server in &*self.0 {
            if let Some((flags, value)) = server.item(key.as_str())? {
                return Ok(Some((server, flags, value)));
            }
        }
        Ok(None)
    }
}

impl Stored for Records {
    fn read(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let found = self.find(key)?;
        Ok(found.map(|(_, flags, value)| [&flags.to_be_bytes(), &value[..]].concat()))
    }

    fn replace(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        let (server, ours, _) = self.find(key)?.ok_or(io::ErrorKind::NotFound)?;
        // Cut to less than the flags, an item has flags all the same.
        let (flags, value) = match bytes.split_first_chunk() {
            Some((flags, value)) => (u32::from_be_bytes(*flags), value),
            None => (ours, &[][..]),
        };
        server.replace_item(key.as_str(), flags, value)
    }

    fn estrange(&mut self, _key: &Key) -> io::Result<bool> {
        Ok(false)
    }
}
