// Where the README links to a file, these pages have something better: the first definition counts.
#![doc = "[a service with cookies]: https://docs.rs/crate/steadfast/latest/source/examples/"]
#![doc = "[Apache-2.0]: https://docs.rs/crate/steadfast/latest/source/LICENSE-APACHE"]
#![doc = "[breaker]: crate::breaker"]
#![doc = "[CONTRIBUTING]: https://docs.rs/crate/steadfast/latest/source/.github/CONTRIBUTING.md"]
#![doc = "[finalize]: https://docs.rs/crate/steadfast/latest/source/examples/rolling_upgrade.rs"]
#![doc = "[Grafana dashboard]: https://docs.rs/crate/steadfast/latest/source/examples/monitoring/"]
#![doc = "[journal]: crate::session::SessionsBuilder::journal"]
#![doc = "[MIT]: https://docs.rs/crate/steadfast/latest/source/LICENSE-MIT"]
#![doc = "[outage]: https://docs.rs/crate/steadfast/latest/source/examples/outage.rs"]
#![doc = "[Prometheus example]: https://docs.rs/crate/steadfast/latest/source/examples/"]
#![doc = "[their names]: crate::observe"]
#![doc = "[written down]: https://docs.rs/steadfast-redb"]
#![doc = ""]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod breaker;
mod cleanup;
mod connect;
mod fields;
pub mod idempotency;
mod nanos;
pub mod observe;
mod principal;
mod random;
pub mod schema;
pub mod session;
mod span;
pub mod store;
mod supervise;
mod text;

#[cfg(feature = "poem")]
pub mod http;
#[cfg(feature = "jwt")]
pub mod token;

/// The contract that storage engines implement.
pub use steadfast_backend as backend;
pub use steadfast_backend::{Error, ErrorKind, Result};

/// The Memcached engine.
#[cfg(feature = "memcached")]
pub use steadfast_memcached as memcached;
/// The in-process engine.
#[cfg(feature = "memory")]
pub use steadfast_memory as memory;
/// The durable embedded engine.
#[cfg(feature = "redb")]
pub use steadfast_redb as redb;
/// The Redis and Valkey engine.
#[cfg(feature = "redis")]
pub use steadfast_redis as redis;
/// The sled engine.
#[cfg(feature = "sled")]
pub use steadfast_sled as sled;

pub use cleanup::{Cleanup, CleanupBuilder, LastRun, Removed};
pub use connect::{Connected, Connector, connect};
pub use idempotency::Idempotency;
pub use principal::Principal;
pub use schema::State;
pub use session::Sessions;
pub use store::{Codec, Store};
#[cfg(feature = "jwt")]
pub use token::Tokens;
