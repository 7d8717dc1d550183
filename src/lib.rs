#![doc = include_str!("../README.md")]

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
