//! The Memcached backend keeps the contract on one server, with exactly these promises.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::prove_on(1)
}
