//! The memory backend keeps the contract, with exactly these promises.

use std::process::ExitCode;
use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};
use steadfast_conformance::Suite;
use steadfast_memory::{MemoryBackend, MemoryConfig};

const DECLARED: BackendInfo = BackendInfo {
    name: "memory",
    capabilities: Capabilities {
        transactions: Transactions::Any,
        scan: true,
        shared: false,
        evicts: true,
        invalidations: false,
        durability: Durability::Process,
        ttl_step: Duration::from_millis(1),
        value_len_max: 16 << 20,
        batch_len_max: 1024,
    },
};

fn main() -> ExitCode {
    Suite::new(DECLARED, |place| async move {
        Ok(MemoryBackend::with_clock(MemoryConfig::default(), place.clock))
    })
    .run()
}
