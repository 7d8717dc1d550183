use std::path::{Path, PathBuf};

use steadfast_backend::ErrorKind;

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
    /// false. After an I/O error the file is opened again without this check; redb still reads what
    /// it needs to recover, which may be all of it.
    ///
    /// Without it a large file opens faster, but damage to the engine's own pages may show later,
    /// as an error or as an entry that is missing. Entries carry a checksum of their own either
    /// way.
    #[must_use]
    pub fn verify_on_open(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Whether to check a file that was lost to this; `None` when it is opened for the first time.
    pub(crate) fn verifies(&self, lost_to: Option<ErrorKind>) -> bool {
        // A disk that was full or did not answer has damaged nothing, and all readers wait.
        self.verify && lost_to.is_none_or(|kind| kind == ErrorKind::Corrupt)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_verified_at_first_and_where_it_may_be_damaged() {
        let config = RedbConfig::new("state.redb");
        assert!(config.verifies(None));
        assert!(config.verifies(Some(ErrorKind::Corrupt)));
        assert!(!config.verifies(Some(ErrorKind::Full)));
        assert!(!config.verifies(Some(ErrorKind::Unavailable)));
        assert!(!config.verify_on_open(false).verifies(None));
    }
}
