//! The behaviour suite on sled.

use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
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
    .run()
}
