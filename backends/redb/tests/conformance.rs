//! The behaviour suite on redb.

use std::process::ExitCode;
use std::time::Duration;

use redb::{ReadableDatabase as _, TableDefinition};
use steadfast_backend::{BackendInfo, Capabilities, Durability, Key, Transactions};
use steadfast_conformance::{Stored, Suite};
use steadfast_redb::{Options, RedbBackend};

const DECLARED: BackendInfo = BackendInfo {
    name: "redb",
    capabilities: Capabilities {
        transactions: Transactions::Any,
        scan: true,
        shared: false,
        evicts: false,
        invalidations: false,
        durability: Durability::Durable,
        ttl_step: Duration::from_millis(1),
        value_len_max: 16 << 20,
        batch_len_max: 1024,
    },
};

fn main() -> ExitCode {
    Suite::new(DECLARED, |place| async move {
        let options = Options { clock: place.clock, sweep_every: Some(Duration::from_millis(10)) };
        RedbBackend::open_with(place.dir.join("state.redb"), options)
    })
    .damaged_by(|place| redb::Database::open(place.dir.join("state.redb")).map(Records).map_err(io))
    .run()
}

/// What is in the file: FORMAT.md names the table.
struct Records(redb::Database);

const DATA: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("steadfast_data");

fn io(error: impl Into<redb::Error>) -> std::io::Error {
    std::io::Error::other(error.into())
}

impl Stored for Records {
    fn read(&mut self, key: &Key) -> std::io::Result<Option<Vec<u8>>> {
        let table = self.0.begin_read().map_err(io)?.open_table(DATA).map_err(io)?;
        let found = table.get(key.as_str().as_bytes()).map_err(io)?;
        Ok(found.map(|bytes| bytes.value().to_owned()))
    }

    fn replace(&mut self, key: &Key, bytes: &[u8]) -> std::io::Result<()> {
        let changes = self.0.begin_write().map_err(io)?;
        let mut table = changes.open_table(DATA).map_err(io)?;
        drop(table.insert(key.as_str().as_bytes(), bytes).map_err(io)?);
        drop(table);
        changes.commit().map_err(io)
    }

    fn estrange(&mut self, _key: &Key) -> std::io::Result<bool> {
        Ok(false)
    }
}
