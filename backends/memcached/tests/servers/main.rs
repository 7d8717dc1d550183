//! The backend on real servers: what it costs them, what they hold, and what happens when they
//! fail.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;
mod connect;
mod faults;
mod memory;
mod stored;
mod time;
mod trips;
