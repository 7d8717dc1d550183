use std::fs::{self, File};
use std::io;
use std::path::Path;

use steadfast_backend::ErrorKind;

use crate::Fault;

/// Creates a directory and the missing ones above it, so that they outlast a power loss.
///
/// # Errors
///
/// As [`fault_of_io`].
pub fn create_dir(dir: &Path) -> Result<(), Fault> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
    let missing: Vec<_> = missing.collect();
    fs::create_dir_all(dir).map_err(|error| fault_of_io(&error, dir))?;
    for created in missing {
        sync_dir(created.parent().unwrap_or(created))?;
    }
    Ok(())
}

/// Makes the names in a directory durable. Does nothing where directories cannot be synced.
///
/// # Errors
///
/// As [`fault_of_io`].
pub fn sync_dir(dir: &Path) -> Result<(), Fault> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    if cfg!(unix) {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| fault_of_io(&error, dir))?;
    }
    Ok(())
}

/// Says what an I/O error on a path means and what to do about it.
///
/// | cause | kind |
/// | --- | --- |
/// | no space, quota or file size limit reached | [`ErrorKind::Full`] |
/// | no permission, read-only file system | [`ErrorKind::Rejected`] |
/// | a directory where a file is needed, or the other way round; no such path | [`ErrorKind::Config`] |
/// | anything else | [`ErrorKind::Unavailable`] |
pub fn fault_of_io(error: &io::Error, path: &Path) -> Fault {
    let path = path.display();
    let (kind, detail) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (
                ErrorKind::Full,
                format!("no room left for {path}; free some space or raise the quota"),
            )
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Rejected, format!("{path} is not writable; make it so or use another path"))
        }
        io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => (
            ErrorKind::Config,
            format!(
                "{path} is a directory where a file is needed, or a file where a directory is; \
                 use another path"
            ),
        ),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
            (ErrorKind::Config, format!("{path} cannot be created; use another path"))
        }
        _ => (ErrorKind::Unavailable, format!("{path} cannot be used now; check the disk")),
    };
    Fault::new(kind, detail).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_says_what_to_do() {
        for (error, kind) in [
            (io::ErrorKind::StorageFull, ErrorKind::Full),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Rejected),
            (io::ErrorKind::IsADirectory, ErrorKind::Config),
            (io::ErrorKind::Other, ErrorKind::Unavailable),
        ] {
            let fault = fault_of_io(&error.into(), Path::new("/var/lib/shop.redb"));
            assert_eq!(fault.kind(), kind);
            assert!(fault.into_error("redb", "open").to_string().contains("/var/lib/shop.redb"));
        }
    }
}
