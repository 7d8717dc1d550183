//! A disk in memory that fails on command: out of space, failing syncs, and power cuts that leave
//! any part of what was not synced.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// The unit that a disk writes whole.
const SECTOR_LEN: usize = 512;
/// The unit in which it gives room.
const PAGE_LEN: usize = 4 << 10;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What a reader sees.
    image: Vec<u8>,
    /// What survives a power cut for certain.
    synced: Vec<u8>,
    /// What was written since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    /// How many more calls work; `None`: all.
    pub(crate) calls_left: Option<u64>,
    /// No length above this.
    pub(crate) len_max: Option<u64>,
    /// No more pages that hold something, beside those in reserve.
    pub(crate) pages_max: Option<u64>,
    pages: BTreeSet<usize>,
    reserved: u64,
    pub(crate) sync_fails: bool,
    pub(crate) syncs: u64,
}

impl Disk {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as it is found after a power cut: of what was not synced, `keep` says for each
    /// sector whether it got there.
    pub(crate) fn after_power_cut(&self, mut keep: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let mut image = state.synced.clone();
        image.resize(state.image.len().max(image.len()), 0);
        for (offset, data) in &state.pending {
            for (at, sector) in data.chunks(SECTOR_LEN).enumerate() {
                let at = offset + at * SECTOR_LEN;
                if keep() && at + sector.len() <= image.len() {
                    image[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        let synced = image.clone();
        Self(Arc::new(Mutex::new(State { image, synced, ..State::default() })))
    }
}

impl State {
    fn call(&mut self) -> io::Result<()> {
        match &mut self.calls_left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl State {
    /// Keeps so many pages free, as far as there are any.
    pub(crate) fn reserve(&mut self, wanted: u64) {
        let Some(max) = self.pages_max else { return };
        self.reserved = wanted.min(max.saturating_sub(self.pages.len() as u64));
    }

    pub(crate) fn give_back(&mut self, pages: u64) -> bool {
        let had = self.reserved;
        self.reserved = had.saturating_sub(pages);
        had > 0
    }

    /// A page takes room from when it is first written.
    fn fill_pages(&mut self, bytes: std::ops::Range<usize>) -> io::Result<()> {
        let pages = bytes.start / PAGE_LEN..bytes.end.div_ceil(PAGE_LEN);
        let new: Vec<_> = pages.filter(|page| !self.pages.contains(page)).collect();
        let used = (self.pages.len() + new.len()) as u64 + self.reserved;
        if !new.is_empty() && self.pages_max.is_some_and(|max| used > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.pages.extend(new);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let from = state.image.get(start..start + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        if state.len_max.is_some_and(|max| len > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.image.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        if state.sync_fails {
            return Err(io::Error::other("the disk does not sync"));
        }
        state.syncs += 1;
        state.synced = state.image.clone();
        state.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        state.fill_pages(start..start + data.len())?;
        let into = state.image.get_mut(start..start + data.len());
        into.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        state.pending.push((start, data.to_vec()));
        Ok(())
    }
}
