//! Real servers for tests: started on a free loopback port, stopped when dropped.
//!
//! ```no_run
//! use steadfast_conformance::servers::{MemcachedServer, RedisServer};
//!
//! # fn main() -> std::io::Result<()> {
//! let redis = RedisServer::start()?;
//! redis.command(&["SET", "key", "value"])?;
//! let url = redis.url(); // "redis://127.0.0.1:12345"
//! redis.kill()?;
//! redis.restart()?; // the same port
//!
//! let memcached = MemcachedServer::builder().memory_mb(8).start()?;
//! memcached.pause()?; // the process stands still, its connections stay open
//! memcached.resume()?;
//! # Ok(()) }
//! ```
//!
//! All calls block, which is mostly well within a multi-threaded async test; otherwise call them
//! through `spawn_blocking`. Keep a server in a local variable: a `static` is never dropped, and
//! its process would outlive the tests.
//!
//! # Which binary
//!
//! `redis-server` and `memcached` on the `PATH`, or those that `STEADFAST_REDIS_SERVER` and
//! `STEADFAST_MEMCACHED` name by their paths; a Valkey server is one of them. The servers run
//! as the packages install them: Redis 6.2 or Valkey 7.2 and later, Memcached 1.6 and later.
//!
//! The feature `tls` adds [`RedisBuilder::tls`], and with it a generator of certificates.
//!
//! Where a binary is missing, a start fails and says how to install it. A test that may be left
//! out then asks first and is listed as ignored, with the reason
//! ([`RedisServer::missing`], [`Suite::ignored_if`](crate::Suite::ignored_if)).
//! `STEADFAST_REQUIRE=redis,memcached` forbids that: nothing is ignored, and the start fails.

mod cluster;
mod memcached;
mod port;
mod process;
mod program;
mod redis;
mod resp;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod wait;

pub use cluster::{RedisCluster, SlotMove};
pub use memcached::{MemcachedBuilder, MemcachedServer};
pub use redis::{RedisBuilder, RedisServer};
pub use sentinel::RedisSentinel;
