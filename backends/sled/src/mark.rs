//! The mark beside sled's own files: how many commits there were.
//!
//! When sled finds its log damaged, it takes that for the torn end of a crash and goes on with
//! what is before it, without a word. A store that opens with fewer commits than its mark has lost
//! some that way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sled::Db;
use steadfast_backend::ErrorKind;
use steadfast_embedded::{Fault, commits_of, fault_of_io};

use crate::error::fault;

const NAME: &str = "steadfast.mark";

/// The key of the store's own record.
const RECORD: &[u8] = b"msteadfast";

/// The open mark. Like what it counts, it survives the death of the process; after a power loss
/// both may be behind.
#[derive(Debug)]
pub(crate) struct Mark(Mutex<File>);

impl Mark {
    pub(crate) fn open(dir: &Path) -> Result<Self, Fault> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(NAME));
        open.map(|file| Self(Mutex::new(file))).map_err(|error| fault_of_io(&error, dir))
    }

    /// Notes the store's own record as it was committed. It is always as long, so this needs no
    /// room on the disk; should it fail, damage to this commit would go unnoticed, and that is all.
    pub(crate) fn note(&self, record: &[u8]) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _unnoted = file.rewind().and_then(|()| file.write_all(record));
    }

    /// Makes everything durable, first what is counted and then the count. For the close: it is
    /// too slow for a commit.
    pub(crate) fn sync(&self, database: &Db, dir: &Path) -> Result<(), Fault> {
        database.flush().map_err(|error| fault(&error, dir))?;
        let log = File::open(dir.join("db")).and_then(|log| log.sync_all());
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.and_then(|()| file.sync_all()).map_err(|error| fault_of_io(&error, dir))
    }
}

/// Compares the store with its mark, if there is one.
pub(crate) fn check(database: &Db, dir: &Path) -> Result<(), Fault> {
    let mark = match fs::read(dir.join(NAME)) {
        Ok(mark) => mark,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault_of_io(&error, dir)),
    };
    let record = database.get(RECORD).map_err(|error| fault(&error, dir))?;
    let commits = record.map_or(Ok(0), |record| commits_of(&record))?;
    // A process that died before its first commit leaves an empty mark.
    if mark.is_empty() || commits >= commits_of(&mark)? {
        return Ok(());
    }
    let detail = format!(
        "{} lost its newest entries to damage; keep the directory and restore a backup, or delete \
         {NAME} in it to go on without them",
        dir.display()
    );
    Err(Fault::new(ErrorKind::Corrupt, detail))
}
