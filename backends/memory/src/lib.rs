//! The in-process backend of `steadfast`: bounded by bytes, ordered by recency, on [`moka`].
//!
//! It is the near end of the range: nothing survives the process and no other process sees it,
//! but it keeps every rule of the contract, down to transactions over any keys and exact
//! deadlines. When it is full it drops what was used longest ago, never what was just written.
//!
//! ```
//! use steadfast_backend::{Backend, Group, Key, Namespace, Write};
//! use steadfast_memory::{MemoryBackend, MemoryConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> steadfast_backend::Result<()> {
//! let backend = MemoryBackend::new(MemoryConfig::default());
//! let key = Key::new(&Namespace::new("shop")?, &Group::new("alice")?, "cart")?;
//! let _ = backend.write(&Write::put(key.clone(), "milk")).await?;
//! assert_eq!(backend.get(&key).await?.unwrap().value, "milk");
//! # Ok(())
//! # }
//! ```

mod backend;
mod config;
mod index;
mod record;
mod store;
mod sweeper;

pub use backend::MemoryBackend;
pub use config::MemoryConfig;
