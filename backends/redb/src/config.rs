use std::path::{Path, PathBuf};

/// Where a [`RedbBackend`](crate::RedbBackend) keeps its file, and how. A path turns into one.
///
/// ```
/// use steadfast_redb::RedbConfig;
///
/// let config = RedbConfig::new("/var/lib/shop/state.redb").cache_bytes(256 << 20);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct RedbConfig {
    pub(crate) path: PathBuf,
    pub(crate) cache_bytes: usize,
    pub(crate) verify: bool,
    #[cfg(test)]
    pub(crate) disk: Option<crate::disk::Disk>,
}

impl RedbConfig {
    /// The file to open or create.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 64 << 20,
            verify: true,
            #[cfg(test)]
            disk: None,
        }
    }

    /// How much memory caches the file; 64 MiB unless set.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether opening reads the whole file and checks every page; it does unless this is set to
    /// false.
    ///
    /// Without it a large file opens faster, but damage to the engine's own pages may show later,
    /// as an error or as an entry that is missing. Entries carry a checksum of their own either
    /// way.
    #[must_use]
    pub fn verify_on_open(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
}

impl From<PathBuf> for RedbConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for RedbConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<&str> for RedbConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<String> for RedbConfig {
    fn from(path: String) -> Self {
        Self::new(path)
    }
}
