//! The Memcached backend keeps the contract on one server, with exactly these promises.

mod suite;

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    suite::prove_on(1)
}
