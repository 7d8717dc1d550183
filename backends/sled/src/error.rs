use std::io;
use std::path::Path;

use sled::Error;
use steadfast_backend::ErrorKind;
use steadfast_embedded::{Fault, fault_of_io};

/// Says what an error of sled means for whoever runs the service. sled keeps failing after any of
/// them, so the fault is marked as lost.
pub(crate) fn fault(error: &Error, path: &Path) -> Fault {
    let at = path.display();
    let (kind, detail) = match error {
        // sled has no error of its own for this.
        Error::Io(cause) if cause.to_string().starts_with("could not acquire lock") => (
            ErrorKind::Busy,
            format!(
                "another process has {at} open, or this one twice; stop it or use another path"
            ),
        ),
        Error::Io(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            ) =>
        {
            damaged(path)
        }
        Error::Io(cause) => return fault_of_io(cause, path).lost(),
        Error::Unsupported(text) if text.contains("pagecache version") => (
            ErrorKind::Corrupt,
            format!("{at} was written by another version of sled; export it with that one"),
        ),
        Error::Corruption { .. } | Error::ReportableBug(_) => damaged(path),
        _ => (ErrorKind::Unavailable, format!("{at} cannot be used now; check the disk")),
    };
    // Its text may name a tree or hold bytes of a page; only its kind is kept.
    Fault::new(kind, detail).lost()
}

/// A directory that is none of ours.
pub(crate) fn foreign(path: &Path) -> Fault {
    let detail = format!("{} belongs to something else; use another path", path.display());
    Fault::new(ErrorKind::Config, detail)
}

fn damaged(path: &Path) -> (ErrorKind, String) {
    let detail = "is damaged; keep the directory and restore a backup";
    (ErrorKind::Corrupt, format!("{} {detail}", path.display()))
}
