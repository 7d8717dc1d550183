//! What is left when the process is killed at a random moment.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use steadfast_sled::SledBackend;

#[path = "../../embedded/testing/crash.rs"]
mod crash;

#[test]
fn a_killed_process_keeps_what_it_acknowledged() {
    crash::run("a_killed_process_keeps_what_it_acknowledged", |path| {
        Ok(Arc::new(SledBackend::open(path)?))
    });
}
