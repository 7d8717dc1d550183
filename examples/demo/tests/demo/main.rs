//! The demo as its users meet it: a process, an address, HTTP.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod client;
mod server;

mod at_once;
mod degraded;
mod full;
mod process;
mod replicas;
mod restart;
mod routes;
mod start;
