use std::path::{Path, PathBuf};

/// Where a [`SledBackend`](crate::SledBackend) keeps its files, and how. A path turns into one.
///
/// ```
/// use steadfast_sled::SledConfig;
///
/// let config = SledConfig::new("/var/lib/shop/state").cache_bytes(256 << 20);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct SledConfig {
    pub(crate) path: PathBuf,
    pub(crate) cache_bytes: u64,
    pub(crate) reserve_bytes: u64,
}

impl SledConfig {
    /// The directory to open or create.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), cache_bytes: 64 << 20, reserve_bytes: 64 << 20 }
    }

    /// How much memory caches the files; 64 MiB unless set.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How much of the disk must stay free for a write to be accepted; 64 MiB unless set.
    ///
    /// sled does not survive a disk that is really full: after that it may hang, or find its own
    /// files damaged. Leave room for what else writes to the disk.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }
}

impl From<PathBuf> for SledConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for SledConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<&str> for SledConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<String> for SledConfig {
    fn from(path: String) -> Self {
        Self::new(path)
    }
}
