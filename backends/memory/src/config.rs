/// How much a [`MemoryBackend`](crate::MemoryBackend) may hold.
///
/// ```
/// use steadfast_memory::MemoryConfig;
///
/// let small = MemoryConfig { limit_bytes: 16 << 20 };
/// assert!(small.limit_bytes < MemoryConfig::default().limit_bytes);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// About how many bytes of keys, values and bookkeeping to keep before the entries used
    /// longest ago are dropped. 256 MiB by default; below
    /// [`LIMIT_BYTES_MIN`](Self::LIMIT_BYTES_MIN) it counts as that.
    pub limit_bytes: u64,
}

impl MemoryConfig {
    /// The least that is useful, 64 KiB: below it a confirmed entry might be dropped at once.
    pub const LIMIT_BYTES_MIN: u64 = 64 << 10;
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { limit_bytes: 256 << 20 }
    }
}
