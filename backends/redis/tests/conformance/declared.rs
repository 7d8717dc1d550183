//! What the backend promises on every kind of Redis.

use std::time::Duration;

use steadfast_backend::{BackendInfo, Capabilities, Durability, Transactions};

pub(crate) const fn declared(transactions: Transactions) -> BackendInfo {
    BackendInfo {
        name: "redis",
        capabilities: Capabilities {
            transactions,
            scan: true,
            shared: true,
            evicts: false,
            invalidations: true,
            durability: Durability::Volatile,
            ttl_step: Duration::from_millis(1),
            value_len_max: 16 << 20,
            batch_len_max: 1024,
        },
    }
}
