use std::time::Duration;

/// A span in nanoseconds; the longest that fits, which are 584 years, for a longer one.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
