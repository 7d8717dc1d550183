//! What redb leaves of a new file if its creation is cut short.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Builder, StorageBackend};

/// redb writes its magic number last. Until then the file has zeros there, and redb takes it for
/// one that is not its own.
const MAGIC_LEN: usize = 9;

/// True if the file is exactly what redb leaves of a new one before its first sync: of the right
/// length, and empty but for the header, which may have reached the disk or not.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn is_cut_short(mut file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.rewind()?;
    file.take(MAGIC_LEN as u64).read_to_end(&mut start)?;
    if start != [0; MAGIC_LEN] {
        return Ok(false);
    }
    let begun = Begun::observe();
    let begun = begun.state();
    if begun.header.is_empty() || begun.len != file.metadata()?.len() {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let (header, rest) = bytes.split_at(begun.header.len().min(bytes.len()));
    let empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    Ok(empty(rest) && (empty(header) || header == begun.header))
}

/// A disk that ends a creation at its first sync, and keeps what was written until then.
#[derive(Clone, Debug, Default)]
struct Begun(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    len: u64,
    header: Vec<u8>,
}

impl Begun {
    fn observe() -> Self {
        let begun = Self::default();
        // It fails at the sync, as it shall.
        drop(Builder::new().create_with_backend(begun.clone()));
        begun
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Begun {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, _offset: u64, _out: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Interrupted.into())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 {
            self.state().header = data.to_vec();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn is_begun(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        is_cut_short(&file).unwrap()
    }

    #[test]
    fn only_what_redb_began_is_taken_for_it() {
        let begun = Begun::observe();
        let len = usize::try_from(begun.state().len).unwrap();
        let mut header = begun.state().header.clone();
        assert!(len > 4096 && header[..MAGIC_LEN] == [0; MAGIC_LEN] && header.len() >= 320);
        header.resize(len, 0);
        assert!(is_begun(&header));
        assert!(is_begun(&vec![0; len]), "the header did not reach the disk");
        for at in [MAGIC_LEN - 1, MAGIC_LEN, 300, 4_000, 5_000, len - 1] {
            let mut foreign = header.clone();
            foreign[at] ^= 0x40;
            assert!(!is_begun(&foreign), "byte {at} is not redb's");
        }
        for foreign in [9, 4_096, len - 1, len + 1] {
            assert!(!is_begun(&vec![0; foreign]), "{foreign} zeros");
        }
        assert!(!is_begun(b"") && !is_begun(b"x"));
    }
}
