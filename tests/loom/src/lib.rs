//! The lock-free parts under loom, which tries every order that threads may take, and every value
//! that the memory model lets them see.
//!
//! `cargo test --release --manifest-path tests/loom/Cargo.toml`

#![cfg(test)]

mod breaker;
mod fence;
mod hot;
