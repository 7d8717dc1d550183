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
//! | `check` | 1 | `INFO`, `DBSIZE`, `HELLO` |
//!
//! A version is the server's time in µs, or the last version of the key + 1, also across a delete:
//! the mark of a deleted entry stays for ten minutes. A key that expired leaves no mark, so there
//! it takes that the server's clock is not set back by more than the entry lived. The compare
//! commands of newer servers (`SET … IFEQ`, `DELEX`) are not used: they compare the whole value or
//! a digest of it, which the caller does not have, and cannot number a write by the clock.
//!
//! A key that holds another type than a string is `Corrupt` to `get` and to every write, which
//! leave it as it is. `MGET` does not tell it from an absent one, so neither does `get_many`.
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
//! Redis 6.2 or Valkey 7.2 or later, and a user with these commands. `HELLO` and `AUTH` every user
//! may call.
//!
//! | for | commands |
//! | --- | --- |
//! | all calls | `PING`, `TIME`, `SCRIPT LOAD`, and those of the table above without `INFO` |
//! | the script | `GET GETRANGE SET SETRANGE PEXPIRE PEXPIREAT PERSIST PTTL TIME` |
//! | a database other than 0 | `SELECT` |
//! | a Cluster | `CLUSTER SLOTS`, `CLUSTER INFO`, `ASKING`; `READONLY` for `read=replicas` |
//! | `durability` | `WAIT`, `WAITAOF` |
//! | [`watch`](steadfast_backend::Backend::watch) | `CLIENT TRACKING` |
//! | to list keys, `read=replicas`, and what `check` tells beyond the number of entries | `INFO` |
//! | Sentinels | `SENTINEL GET-MASTER-ADDR-BY-NAME` |
//!
//! So `+@all -@dangerous` is enough for all but the line of `INFO`, which is dangerous to Redis.
//! Without it, it is not known whether the servers evict: they count as if they did, unless
//! [`evicts`](RedisConfig::evicts) says otherwise, and `check` warns. An error for a permission
//! that is missing names the command.
//!
//! Set `maxmemory-policy noeviction`: with another policy, a full server ends sessions and forgets
//! idempotency keys; `check` warns.
//!
//! # Starting, and what is refused
//!
//! Seeds and Sentinels are asked side by side, and of a Cluster the primaries that are there are
//! enough. [`start`](RedisConfig::start) says what becomes of an outage at the start. A server that
//! answers and is not what the settings say is an error that is no outage: a Cluster that is taken
//! for a single server or the other way round, a Sentinel, a database that it does not have, wrong
//! credentials or a password where none is wanted; and until one was the right one, a server of
//! another kind, or with TLS where the settings say none, or the other way round. One whose answer
//! cannot be read is asked again for that, without a login, on up to two connections more. Servers
//! behind a network of their own may tell
//! addresses that clients cannot reach: [`address_map`](RedisConfig::address_map).
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
mod stranger;
mod supervise;
mod task;
mod url;

pub use backend::RedisBackend;
#[cfg(feature = "tls")]
pub use config::Tls;
pub use config::{Acknowledged, Address, AddressMap, Login, RedisConfig, Servers};
