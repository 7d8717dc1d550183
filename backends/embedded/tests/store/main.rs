//! The store on an engine that fails on command.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod expiry;
mod full;
mod group_commit;
mod support;
