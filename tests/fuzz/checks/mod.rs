//! What must hold of every parser and decoder, whatever it is given: no panic, no more memory than
//! its input accounts for, and what each check says besides.
//!
//! One source for two users: the fuzz targets, which look for new inputs, and `tests/corpus.rs`,
//! which replays the saved ones.

mod attributes;
mod envelope;
mod http;
mod record;
mod text;
mod token;
mod world;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A check, by the name of its fuzz target and of its folder in `corpus`.
pub type Check = (&'static str, fn(&[u8]));

/// Every check there is.
pub const CHECKS: &[Check] = &[
    ("attributes", attributes::check),
    ("cookie", http::check_cookie),
    ("envelope", envelope::check),
    ("id", text::check_id),
    ("key_header", http::check_key_header),
    ("key_set", token::check_key_set),
    ("record", record::check),
    ("store_key", text::check_store_key),
    ("token", token::check),
    ("url", text::check_url),
];

/// Runs one check on one input.
///
/// # Panics
///
/// If anything does not hold, or there is no such check.
pub fn run(name: &str, input: &[u8]) {
    let check = CHECKS.iter().find(|(known, _check)| *known == name);
    let (_name, check) = check.unwrap_or_else(|| panic!("add the check {name} to CHECKS"));
    check(input);
}

/// What a byte of input may come to in memory. The most is a set of one empty member, in an
/// attribute: its 6 bytes are 280 in a node of the set and 105 in the nodes of the map, 64 each.
/// Whoever changes a session holds its attributes three times: 193 a byte were measured.
const PER_BYTE: usize = 256;

/// What any call may take: messages of errors, keys, futures, the first piece of a growing buffer.
const FLAT: usize = 64 << 10;

/// Makes a call, and sees that it takes no more memory at once than an input of this length
/// accounts for. Nothing else may allocate meanwhile.
fn bounded<T>(input_len: usize, call: impl FnOnce() -> T) -> T {
    bounded_with(FLAT, input_len, call)
}

fn bounded_with<T>(flat: usize, input_len: usize, call: impl FnOnce() -> T) -> T {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let output = call();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = flat + PER_BYTE * input_len;
    assert!(taken <= allowed, "{input_len} bytes of input took {taken} bytes, over {allowed}");
    output
}
