//! The sled backend of `steadfast`, on [sled](https://docs.rs/sled) 0.34.
//!
//! **An acknowledged write survives the death of the process, not a power loss.** sled's flush
//! ends in `sync_file_range`, which does not make a file durable; sled calls `fsync` about twice a
//! second on its own. Where a power loss may not cost a write, use `steadfast-redb`.
//!
//! **Damage is noticed.** When sled finds its log damaged as it opens, it takes that for the torn
//! end of a crash and goes on with what is before it, without a word. Here each commit leaves a
//! mark of how far the log went, and a store that opens with less is refused; but by then sled has
//! changed its files. Values carry a checksum.
//!
//! **A full disk must not happen.** sled may hang or find its own files damaged after one, so
//! writes are refused as `Full` while there is still [room in reserve](SledConfig::reserve_bytes).
//! Deletes, and the removal of expired entries, go on.
//!
//! ```
//! use steadfast_backend::{Backend, Group, Key, Namespace, Write};
//! use steadfast_sled::SledBackend;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data/shop");
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # runtime.block_on(async {
//! let backend = SledBackend::open(path)?; // a directory; missing ones are created
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
//! | the directory is open in another process, or twice in this one | `Busy` | stop the other, or use another path |
//! | no permission, read-only file system | `Rejected` | make it writable |
//! | a file, or a directory of something else | `Config` | use another path |
//! | damaged, or written by another version of sled | `Corrupt` | restore a backup |
//! | the reserve of the disk is reached | `Full` | free some; the next write works again, without a restart |
//! | any other I/O error | `Unavailable` | the files are opened again at the next call |
//!
//! sled panics on some damage. That is contained and becomes `Corrupt`, which needs
//! `panic = "unwind"`, Rust's default.
//!
//! # Format
#![doc = include_str!("../FORMAT.md")]

mod config;
mod engine;
mod error;
mod mark;

pub use config::SledConfig;
pub use engine::{SledBackend, SledEngine};
pub use steadfast_embedded::Options;
