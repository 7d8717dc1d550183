//! The Redis and Valkey backend of `steadfast`: one server, a Cluster, or Sentinels.
//!
//! ```no_run
//! use steadfast_backend::Backend;
//! use steadfast_redis::{RedisBackend, RedisConfig};
//!
//! # async fn example() -> steadfast_backend::Result<()> {
//! let config: RedisConfig = "redis://127.0.0.1:6379?timeout=500ms".parse()?;
//! let backend = RedisBackend::connect(config).await?;
//! println!("{:?}", backend.check().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does on the wire
//!
//! | call | trips | commands |
//! | --- | --- | --- |
//! | `get` | 1 | `GET` |
//! | `get_many` | 1 for each server | `MGET` for each slot |
//! | `write`, `transact` | 1 | `EVALSHA` of `write.lua`; `EVAL` once the server forgot it |
//! | `write_many` | 1; on a Cluster 1 for each run of writes of one slot | `EVALSHA` |
//! | `scan` | 2 a page | `SCAN`, `INFO`; `GETRANGE` |
//! | `check` | 1 | `INFO` |
//!
//! A version is the server's time in µs, or the last version of the key + 1, also across a delete:
//! the mark of a deleted entry stays for ten minutes. A key that expired leaves no mark, so there
//! it takes that the server's clock is not set back by more than the entry lived. The compare
//! commands of newer servers (`SET … IFEQ`, `DELEX`) are not used: they compare the whole value or
//! a digest of it, which the caller does not have, and cannot number a write by the clock.
//!
//! A scan of a Cluster whose slots move may miss keys that moved from a server that was yet to be
//! listed to one that had been; it fails as `Contended` where it can tell.
//!
//! Ages and times to live that a read tells are the server's time as it was when it last told it,
//! carried on by the local monotonic clock: within a trip's time of the truth, and rounded to the
//! safe side. Those that a refused write tells are exact.
//!
//! # When the servers fail
//!
//! Every call ends within [`timeout`](RedisConfig::timeout). While there is no connection, calls
//! wait for an attempt that is under way, and fail at once as `Unavailable` in the pause of up to
//! half a second after it; there is one attempt at a time. A link that breaks without a word is
//! noticed within 1.5 seconds. A write whose answer did not come is
//! [ambiguous](steadfast_backend::Error::is_ambiguous); one that the server refused, or for which
//! there was no connection, is not.
//!
//! # What the servers must allow
//!
//! Redis 6.2 or Valkey 7.2 or later, and a user with the commands of the table and those that the
//! script uses (`GETRANGE SET SETRANGE PEXPIRE PEXPIREAT PERSIST TIME`), `ROLE`, `SCRIPT LOAD` and
//! `PING`; on a Cluster `ASKING`, `READONLY` and `CLUSTER`; for `durability` `WAIT` and `WAITAOF`;
//! for [`watch`](steadfast_backend::Backend::watch) `CLIENT TRACKING`. Set
//! `maxmemory-policy noeviction`: with another policy, a full server ends sessions and forgets
//! idempotency keys; `check` warns.
//!
//! Replication is asynchronous: a failover loses what the new primary did not have yet, unless
//! [`durability`](RedisConfig::durability) asks that writes wait for it. Then no answer of a write,
//! a refusal either, comes before replicas or disks have what it tells; reads wait for nothing, and
//! may show what a failover loses.

mod backend;
mod clock;
mod cluster;
mod config;
mod contact;
mod dial;
mod endpoint;
mod error;
mod feed;
mod frame;
mod gate;
mod health;
mod lane;
mod large;
mod locate;
mod pace;
mod probe;
mod question;
mod race;
mod router;
mod scan;
mod script;
mod shard;
mod slots;
mod supervise;
mod task;
mod url;

pub use backend::RedisBackend;
#[cfg(feature = "tls")]
pub use config::Tls;
pub use config::{Acknowledged, Address, AddressMap, Login, RedisConfig, Servers};
