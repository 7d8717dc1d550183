//! The durable embedded backend of `steadfast`, on [redb](https://docs.rs/redb).
//!
//! An acknowledged write is on stable storage: every commit ends in an `fsync`, which writers that
//! wait at the same time share. One process opens the file at a time.
//!
//! ```
//! use steadfast_backend::{Backend, Group, Key, Namespace, Write};
//! use steadfast_redb::RedbBackend;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data/shop.redb");
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # runtime.block_on(async {
//! let backend = RedbBackend::open(path)?; // missing directories are created
//! let key = Key::new(&Namespace::new("shop")?, &Group::new("alice")?, "cart")?;
//! let written = backend.write(&Write::put(key.clone(), "apples")).await?;
//! assert!(written.is_applied());
//! assert_eq!(backend.get(&key).await?.unwrap().value, "apples");
//! backend.close().await
//! # }).unwrap();
//! ```
//!
//! # When something goes wrong
//!
//! | what | [kind](steadfast_backend::ErrorKind) | what to do |
//! | --- | --- | --- |
//! | the file is open in another process, or twice in this one | `Busy` | stop the other, or use another path |
//! | no permission, read-only file system | `Rejected` | make it writable |
//! | a directory, or a file of something else | `Config` | use another path |
//! | damaged or truncated, or written by a newer version | `Corrupt` | restore a backup; upgrade |
//! | no space left | `Full` | free some; the next write works again, without a restart. What only removes something works meanwhile, from 1 MiB that a file beside this one keeps |
//! | any other I/O error | `Unavailable` | the file is opened again at the next call |
//!
//! After an unclean stop, opening reads and checks the whole file, and says so in the log. After a
//! clean one it does not, unless [`RedbConfig::verify_on_open`] asks for it. A new file can be read
//! by its owner alone.
//!
//! Nothing is deleted or repaired by guessing: a file that is refused stays as it is. Containing a
//! panic of the engine on a damaged file needs `panic = "unwind"`, which is Rust's default.
//!
//! # Format
#![doc = include_str!("../FORMAT.md")]

mod config;
mod creation;
mod engine;
mod error;
mod reserve;

#[cfg(test)]
mod disk;
#[cfg(test)]
mod faults;

pub use config::RedbConfig;
pub use engine::{RedbBackend, RedbEngine};
pub use steadfast_embedded::Options;
