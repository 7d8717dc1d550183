//! Room on the disk for what only removes something.
//!
//! redb writes a changed page to a new place, so on a disk without a byte left it can remove
//! nothing. A file beside the database keeps some room, and gives it back in pieces when a commit
//! that removes something finds none. What stores something never gets it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::engine::open_or_create;

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
            let file = open_or_create(Path::new(&name))?;
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

/// Written out, since a hole would keep no room, and with bytes that no file system can compress.
fn write_page(file: &mut File, at: u64) -> io::Result<()> {
    // xorshift64; each page begins with another number, so that no two are stored as one.
    let mut number = 0x9e37_79b9_7f4a_7c15 ^ at;
    let mut page = [0; PAGE_LEN];
    for word in page.chunks_exact_mut(8) {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        word.copy_from_slice(&number.to_le_bytes());
    }
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&page)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::{LEN, PIECE_LEN, Reserve};

    #[test]
    fn the_reserve_is_a_file_that_is_filled_and_given_back_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join("state.redb"), dir.path().join("state.redb.reserve"));
        let len = || fs::metadata(&file).unwrap().len();
        let reserve = Reserve::beside(&path);
        reserve.fill();
        assert_eq!(len(), LEN);
        for left in (0..LEN / PIECE_LEN).rev() {
            assert!(reserve.give());
            assert_eq!(len(), left * PIECE_LEN);
        }
        assert!(!reserve.give(), "nothing is left");
        reserve.fill();
        assert_eq!(len(), LEN, "what was given is taken again");
        drop(reserve);
        let again = Reserve::beside(&path);
        assert!(again.give());
        assert_eq!(len(), LEN - PIECE_LEN, "what was there counts");
    }

    /// Compressed, or stored once for all, it would keep less room than it says.
    #[test]
    fn no_part_of_the_reserve_is_there_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        Reserve::beside(&path).fill();
        let bytes = fs::read(dir.path().join("state.redb.reserve")).unwrap();
        let words: HashSet<_> = bytes.chunks_exact(8).collect();
        assert_eq!(words.len() * 8, bytes.len());
        let ones: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let half = LEN * 4;
        assert!(ones.abs_diff(half) < half / 100, "{ones} of {}", LEN * 8);
    }
}
