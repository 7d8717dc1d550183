//! The behaviour suite on redb.

use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
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
    .run()
}
