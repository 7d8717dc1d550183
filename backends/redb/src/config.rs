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
            verify: false,
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

    /// Whether each opening reads the whole file and checks every page, which takes minutes for
    /// gigabytes. Unless set, redb does that only where the file was not closed cleanly.
    ///
    /// Without it, damage to the engine's own pages that came about while the file was closed may
    /// show later, as an error or as an entry that is missing. Entries carry a checksum of their
    /// own either way.
    #[must_use]
    pub fn verify_on_open(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Whether to ask for the check; `lost_to` is what an open file was lost to, `None` when it is
    /// opened for the first time.
    pub(crate) fn verifies(&self, lost_to: Option<ErrorKind>) -> bool {
        match lost_to {
            None => self.verify,
            // A disk that was full or did not answer has damaged nothing, and all readers wait.
            Some(kind) => kind == ErrorKind::Corrupt,
        }
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
    fn a_file_is_verified_where_that_is_asked_for_or_it_may_be_damaged() {
        let config = RedbConfig::new("state.redb");
        assert!(!config.verifies(None));
        assert!(config.verifies(Some(ErrorKind::Corrupt)));
        assert!(!config.verifies(Some(ErrorKind::Full)));
        assert!(!config.verifies(Some(ErrorKind::Unavailable)));
        assert!(config.verify_on_open(true).verifies(None));
    }
}
