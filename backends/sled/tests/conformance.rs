//! The behaviour suite on sled.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Key, Transactions};
use steadfast_conformance::{Stored, Suite};
use steadfast_sled::{Options, SledBackend};

const DECLARED: BackendInfo = BackendInfo {
    name: "sled",
    capabilities: Capabilities {
        transactions: Transactions::Any,
        scan: true,
        shared: false,
        evicts: false,
        invalidations: false,
        durability: Durability::Crash,
        ttl_step: Duration::from_millis(1),
        value_len_max: 16 << 20,
        batch_len_max: 1024,
    },
};

fn main() -> ExitCode {
    Suite::new(DECLARED, |place| async move {
        let options = Options { clock: place.clock, sweep_every: Some(Duration::from_millis(10)) };
        SledBackend::open_with(place.dir.join("state"), options)
    })
    .damaged_by(|place| sled::open(place.dir.join("state")).map(Records).map_err(io::Error::other))
    .run()
}

/// What is in the files: an entry stands under `d` and its key.
struct Records(sled::Db);

fn name(key: &Key) -> String {
    format!("d{}", key.as_str())
}

impl Stored for Records {
    fn read(&mut self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let found = self.0.get(name(key)).map_err(io::Error::other)?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    fn replace(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        self.0.insert(name(key), bytes).map_err(io::Error::other)?;
        self.0.flush().map(drop).map_err(io::Error::other)
    }

    fn estrange(&mut self, _key: &Key) -> io::Result<bool> {
        Ok(false)
    }
}
