//! What steadfast promises, one file a promise, each on every backend.
//!
//! Time moves only when a test moves it, except on servers, which have their own: they run what
//! moves none, and `real_time`. They are started here, so they have to be installed.

#![cfg(all(feature = "memory", feature = "redb", feature = "sled"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::unchecked_time_subtraction, reason = "spans are constants of these tests")]

mod alone;
mod declared;
mod fault;
mod world;

mod cleanup;
mod full_store;
mod guarded;
#[cfg(feature = "redis")]
mod journal;
mod journal_model;
mod kept_end;
mod lookups;
mod p01_no_lost_update;
mod p02_no_resurrection;
mod p03_exactly_once;
#[cfg(feature = "runtime")]
mod p03_late;
mod p03_one_execution;
#[cfg(feature = "runtime")]
mod p03_run;
mod p03_the_table;
mod p04_same_answer;
mod p05_lapsed_is_not_absent;
mod p06_deadlines_hold;
mod p07_clock_proof;
#[cfg(all(feature = "memcached", feature = "redis"))]
mod p08_bounded_staleness;
mod p09_outage_is_explicit;
mod p10_nothing_destroyed_unread;
#[cfg(all(feature = "jwt", feature = "redis", feature = "runtime"))]
mod p11_confirmed;
mod p12_no_secrets_out;
mod p13_cancel_safe;
#[cfg(all(feature = "memcached", feature = "redis"))]
mod real_faults;
mod real_time;
mod revoked_tokens;
mod schema_versions;
mod sealed_at_rest;
mod sessions;
