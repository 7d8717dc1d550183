use sha2::{Digest, Sha256};

/// A SHA-256 over fields that cannot run into each other: each is preceded by its length.
pub(crate) struct Fields(Sha256);

impl Fields {
    /// `purpose` keeps hashes of one use apart from those of another.
    pub(crate) fn new(purpose: &str) -> Self {
        Self(Sha256::new()).field(purpose)
    }

    pub(crate) fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
