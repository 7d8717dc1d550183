//! The Memcached backend keeps the same contract when the keys are spread over three servers.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::prove_on(3)
}
