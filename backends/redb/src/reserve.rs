//! Room on the disk for what only removes something.
//!
//! redb writes a changed page to a new place, so on a disk without a byte left it can remove
//! nothing. A file of zeros beside the database keeps some room, and gives it back in pieces when a
//! commit that removes something finds none. What stores something never gets it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What is kept: enough for many removals, whose pages are used again.
const LEN: u64 = 8 * PIECE_LEN;
/// More than the pages of one commit that removes something.
const PIECE_LEN: u64 = 128 << 10;
const PAGE_LEN: usize = 4 << 10;

/// Where the room is kept.
#[derive(Debug)]
pub(crate) enum Reserve {
    Nowhere,
    /// In a file, which is so long.
    Beside(Mutex<(File, u64)>),
    #[cfg(test)]
    On(crate::disk::Disk),
}

impl Reserve {
    /// Beside the database. Without the right to make a file there, there is none.
    pub(crate) fn beside(path: &Path) -> Self {
        let mut name = OsString::from(path);
        name.push(".reserve");
        let open = || -> io::Result<_> {
            let options = OpenOptions::new().write(true).create(true).truncate(false).clone();
            let file = options.open(&name)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        };
        open().map_or(Self::Nowhere, |held| Self::Beside(Mutex::new(held)))
    }

    /// Takes what is missing, as far as there is room.
    pub(crate) fn fill(&self) {
        match self {
            Self::Nowhere => {}
            Self::Beside(held) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                let (file, len) = &mut *held;
                while *len < LEN && write_page(file, *len).is_ok() {
                    *len += PAGE_LEN as u64;
                }
            }
            #[cfg(test)]
            Self::On(disk) => disk.state().reserve(LEN / PAGE_LEN as u64),
        }
    }

    /// Gives back a piece. False if nothing is left.
    pub(crate) fn give(&self) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Beside(held) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                let (file, len) = &mut *held;
                let less = len.saturating_sub(PIECE_LEN);
                if *len == 0 || file.set_len(less).is_err() {
                    return false;
                }
                *len = less;
                true
            }
            #[cfg(test)]
            Self::On(disk) => disk.state().give_back(PIECE_LEN / PAGE_LEN as u64),
        }
    }
}

/// Written out: a hole would keep no room.
fn write_page(file: &mut File, at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&[0; PAGE_LEN])
}
