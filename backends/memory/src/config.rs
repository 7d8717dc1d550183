use steadfast_backend::{Error, ErrorKind, Result, StoreUrl};

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

    /// The settings that a URL tells: `memory:`, with the option `limit`, as in
    /// `memory:?limit=64MiB`.
    ///
    /// ```
    /// use steadfast_memory::MemoryConfig;
    ///
    /// let config = MemoryConfig::from_url("memory:?limit=64MiB".parse()?)?;
    /// assert_eq!(config.limit_bytes, 64 << 20);
    /// # Ok::<(), steadfast_backend::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for anything else, and for a limit below
    /// [`LIMIT_BYTES_MIN`](Self::LIMIT_BYTES_MIN).
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        let wrong = |detail| Err(Error::new(ErrorKind::Config, detail));
        if url.scheme() != "memory" || !url.is_bare() {
            return wrong("memory: has no path; it is in this process");
        }
        let limit = url.take_bytes("limit")?;
        url.finish()?;
        if limit.is_some_and(|limit| limit < Self::LIMIT_BYTES_MIN) {
            return wrong("the option limit is at least 64KiB");
        }
        Ok(limit.map_or_else(Self::default, |limit_bytes| Self { limit_bytes }))
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { limit_bytes: 256 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_sets_the_limit() {
        let read = |text: &str| MemoryConfig::from_url(text.parse()?);
        assert_eq!(read("memory:").unwrap(), MemoryConfig::default());
        assert_eq!(read("memory:?limit=64KiB").unwrap().limit_bytes, 64 << 10);
        assert_eq!(read("MEMORY:?limit=2GiB").unwrap().limit_bytes, 2 << 30);
        for (text, word) in [
            ("memory:x", "no path"),
            ("memory:?limit=63KiB", "at least 64KiB"),
            ("memory:?limit=64", "a size"),
            ("memory:?size=1GiB", "memory takes limit"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
