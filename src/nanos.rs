use std::time::Duration;

const PER_SECOND: u64 = 1_000_000_000;

/// A span in nanoseconds; the longest that fits, which are 584 years, for a longer one.
#[inline]
#[expect(clippy::disallowed_methods, reason = "the rest of the second is added")]
pub(crate) fn nanos(span: Duration) -> u64 {
    // Without a multiplication of 128 bits.
    span.as_secs().saturating_mul(PER_SECOND).saturating_add(u64::from(span.subsec_nanos()))
}
