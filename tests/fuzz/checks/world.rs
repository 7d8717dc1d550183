//! Stores to put bytes into. They are made once, and their time stands still.

use std::sync::{Arc, LazyLock};

use steadfast::backend::{Backend, Bytes, Key, ManualClock, Write};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::store::SealingKeys;
use steadfast::{Codec, Error, ErrorKind, Store};
use tokio::runtime::{Builder, Runtime};

use super::{FLAT, bounded_with};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

pub(super) struct World {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) clear: Store,
    /// Reads encrypted records only. It writes postcard, in which any bytes can stand for a value.
    pub(super) sealed: Store,
    /// Reads both.
    pub(super) mixed: Store,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = ManualClock::at_us(1_700_000_000_000_000);
        let backend: Arc<dyn Backend> =
            Arc::new(MemoryBackend::with_clock(MemoryConfig::default(), clock));
        let store = || Store::builder(backend.clone());
        let keys = SealingKeys::new(7, &[7; 32]);
        Self {
            clear: store().build().unwrap(),
            sealed: store().codec(Codec::Postcard).sealed(keys.clone()).build().unwrap(),
            mixed: store().sealed(keys.accept_clear()).build().unwrap(),
            backend,
        }
    }

    pub(super) fn put(&self, key: &Key, bytes: &Bytes) {
        let put = Write::put(key.clone(), bytes.clone());
        assert!(block_on(self.backend.write(&put)).unwrap().is_applied());
    }

    pub(super) fn stored(&self, key: &Key) -> Option<Bytes> {
        block_on(self.backend.get(key)).unwrap().map(|entry| entry.value)
    }

    /// What cannot be read is said to be corrupt, and is still there.
    pub(super) fn assert_kept(&self, error: &Error, key: &Key, bytes: &Bytes) {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(self.stored(key).as_ref(), Some(bytes), "{error}");
    }
}

/// As `bounded`, for a call that decodes what is in this envelope.
///
/// serde takes a sequence's word for its length up to 1 MiB. postcard, JSON and `MessagePack` do
/// not pass on what the input cannot hold; bincode does.
pub(super) fn bounded_by<T>(envelope: &[u8], call: impl FnOnce() -> T) -> T {
    const BINCODE: u8 = 2;
    let hint = if envelope.get(3) == Some(&BINCODE) { 1 << 20 } else { 0 };
    bounded_with(FLAT + hint, envelope.len(), call)
}

/// The same bytes with an envelope's magic, length and checksum, which no fuzzer guesses.
pub(super) fn mended(input: &[u8]) -> Bytes {
    let mut bytes = input.to_vec();
    bytes.resize(bytes.len().max(32), 0);
    bytes[..2].copy_from_slice(b"SF");
    let len = u32::try_from(bytes.len() - 32).unwrap();
    bytes[24..28].copy_from_slice(&len.to_be_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..28]);
    hasher.update(&bytes[32..]);
    bytes[28..32].copy_from_slice(&hasher.finalize().to_be_bytes());
    bytes.into()
}
