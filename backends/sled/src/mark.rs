//! The mark that a clean close leaves: how many commits there were.
//!
//! When sled finds its log damaged, it goes on with what is before the damage, without a word. A
//! store that opens with fewer commits than its mark has lost some that way.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sled::Db;
use steadfast_backend::ErrorKind;
use steadfast_embedded::{Fault, commits_of, fault_of_io, sync_dir};

use crate::error::fault;

const NAME: &str = "steadfast.mark";

/// The key of the store's own record.
const RECORD: &[u8] = b"msteadfast";

/// Makes everything durable, then leaves the mark. For the close: it is too slow for a commit.
pub(crate) fn leave(database: &Db, dir: &Path) -> Result<(), Fault> {
    database.flush().map_err(|error| fault(&error, dir))?;
    let Some(record) = database.get(RECORD).map_err(|error| fault(&error, dir))? else {
        return Ok(());
    };
    let io = |error| fault_of_io(&error, dir);
    File::open(dir.join("db")).and_then(|log| log.sync_all()).map_err(io)?;
    write(&dir.join("steadfast.mark.new"), &record).map_err(io)?;
    fs::rename(dir.join("steadfast.mark.new"), path(dir)).map_err(io)?;
    sync_dir(dir)
}

/// Compares the store with the mark of its last clean close, if there is one.
pub(crate) fn check(database: &Db, dir: &Path) -> Result<(), Fault> {
    let mark = match fs::read(path(dir)) {
        Ok(mark) => mark,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault_of_io(&error, dir)),
    };
    let record = database.get(RECORD).map_err(|error| fault(&error, dir))?;
    let commits = record.map_or(Ok(0), |record| commits_of(&record))?;
    if commits >= commits_of(&mark)? {
        return Ok(());
    }
    let detail = format!(
        "{} lost its newest entries to damage; keep the directory and restore a backup, or delete \
         {NAME} in it to go on without them",
        dir.display()
    );
    Err(Fault::new(ErrorKind::Corrupt, detail))
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
