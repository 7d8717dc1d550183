//! The Memcached backend of `steadfast`, over the meta protocol.
//!
//! ```no_run
//! use steadfast_backend::{Backend, Group, Key, Namespace, Write};
//! use steadfast_memcached::{MemcachedBackend, MemcachedConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> steadfast_backend::Result<()> {
//! let config = MemcachedConfig::new("cache-1:11211").server("cache-2:11211");
//! let backend = MemcachedBackend::connect(config).await?;
//! let key = Key::new(&Namespace::new("shop")?, &Group::new("alice")?, "cart")?;
//! let written = backend.write(&Write::put(key.clone(), "apples")).await?;
//! assert!(written.is_applied());
//! # Ok(())
//! # }
//! ```
//!
//! It runs on Memcached 1.6.10 and later, over TCP, without a password and without TLS.
//!
//! # What Memcached cannot do
//!
//! It has no transactions, lists no keys and tells no changes; it drops live entries when its
//! memory is full, and all of them when it ends. The capabilities say so, and what needs more
//! refuses this backend when it is built. It can compare and set, so one key at a time changes
//! safely.
//!
//! | call | trips |
//! | --- | --- |
//! | `get` | 1 |
//! | `get_many`, side by side over the servers | 1 for each 16 KiB of keys |
//! | put, always, if absent or of a version; delete, always or of a version | 1, refused 2 |
//! | put or delete, if present | 2 |
//! | delete, if absent; check | 1 |
//! | touch, always or if present | 1, refused 2 |
//! | touch of a version | 2, refused 2 |
//! | `write_many` | those of its writes, one after another |
//!
//! What is weaker than on other backends:
//!
//! * **A touch of a version is not one step.** Memcached compares nothing when it sets a deadline,
//!   so the touch looks first, and looks again at what it touched. If a put came between, it is
//!   refused, and the new entry gets its own deadline back; for the moment of a trip, and if the
//!   touching process dies just then, it has the touch's. Value, version and age are never wrong.
//! * **An unconditional put or delete sees nothing of what was there**, so it overwrites what
//!   another program wrote under the key. All other writes leave it as it is and answer `Corrupt`.
//! * **A put that the server has no memory for removes the entry that was there.** Memcached does
//!   so lest the old one be taken for the new.
//! * **The keys of one call may live on several servers**, whose clocks may differ. Ages and times
//!   of one key always agree.
//!
//! # Versions
//!
//! A version is the CAS number of the item. A server numbers everything that it stores by one
//! counter, so the versions of a key rise across deletes too, until the server ends and its data
//! with it. The next one counts anew: a version that was read before may then be that of another
//! write, and compare as equal.
//!
//! Newer servers let the client choose the number (`E`). That would carry versions across a
//! restart, and it is not used, since it cannot keep them rising: a put that compares nothing
//! stores the number whatever the present one is, and two clients whose notions of the server's
//! clock differ by a second would store a later put under a lower number. The same holds for a put
//! after a delete, which leaves no number to compare with. And mixing both ways, clocks where the
//! present number is known and the counter elsewhere, makes the next counted number lower than
//! any clock.
//!
//! # Time
//!
//! All time is the server's: read from it every second, carried on by the node's monotonic clock,
//! never by its wall clock. Memcached counts whole seconds and may lag two behind, so every figure
//! is on the safe side of that:
//!
//! * An entry lives up to four seconds longer than asked, and never shorter.
//! * `age` and `left` may be two to four seconds too small, and are never too large.
//! * A deadline over 30 days from now is a date by the server's clock. Memcached cannot count
//!   beyond January 2038; such a TTL is `Invalid`.
//!
//! This holds as long as a server's timer runs: one that stood still catches up within moments of
//! going on, and counts the seconds between as gone.
//!
//! # Which server has a key
//!
//! Weighted rendezvous hashing. A server of weight `w` has `w` seeds, `XXH3_64(address, seed = n)`
//! for `n` from 0 to `w - 1`, over the text of its address with the port. A key lives on the server
//! that has the seed with the highest `XXH3_64(key, seed)`. So every node finds the same, whatever
//! the order of the servers; and adding or removing one moves only the keys that come to it or
//! leave it.
//!
//! # When a server fails
//!
//! It is **out**, and calls for its keys answer `Unavailable` at once, as soon as it closes the
//! connection that watches over it, or leaves it without an answer for the timeout. It is asked
//! every second, and whenever a call gets no answer. Its keys go nowhere else: a server that comes
//! back would then hold older entries than another, and there must be one truth. While it is out it
//! is tried four times a second, by the addresses that its name has by then, and used again as soon
//! as it answers. Names are also looked up every 30 seconds.
//!
//! | what | [kind](steadfast_backend::ErrorKind) | what to do |
//! | --- | --- | --- |
//! | a server is out, or closed the connection | `Unavailable` | start it; see that it is reached |
//! | an answer that is garbled | `Unavailable` | look at what is in between |
//! | silence | `Timeout` | look at its load; allow more time |
//! | no more connections at the server | `Busy`; while it is reached `Unavailable` | raise `-c` |
//! | thousands of calls wait for one connection | `Busy` | make fewer at once |
//! | no memory, and evictions are off | `Full` | raise `-m`, or start it without `-M` |
//! | a value over the limit of the smallest server | `TooLarge` | store less, or raise `-I` |
//! | what another program or a newer version wrote | `Corrupt` | upgrade; use another namespace |
//! | not Memcached, too old, a password, `-C` | `Config` | start another server |
//!
//! An error is ambiguous if a request that changes something was sent and not answered.
//!
//! # What is stored
//!
//! The item's key is the whole key. Its client flags are `0x73666d31` ("sfm1"): the format. Its
//! value begins with twelve bytes, little-endian: eight for when it was written, in microseconds
//! since the Unix epoch on the server's clock, at the earliest that it may have been; and four for
//! by how many microseconds it may have been later. The rest is the value as it was put.

mod admin;
mod answers;
mod backend;
mod client;
mod clock;
mod config;
mod error;
mod expiry;
mod health;
mod keeper;
mod lane;
mod read;
mod record;
mod router;
mod server;
mod url;
mod write;

pub use backend::MemcachedBackend;
pub use config::MemcachedConfig;
