//! The Memcached backend keeps the same contract when the keys are spread over three servers.

mod suite;

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    suite::prove_on(3)
}
