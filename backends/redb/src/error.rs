use std::io;
use std::path::Path;

use redb::Error;
use steadfast_backend::ErrorKind;
use steadfast_embedded::{Fault, fault_of_io};

/// Says what an error of redb means for whoever runs the service. All but a refusal to open leave
/// redb's handle useless, so the fault is marked as lost.
pub(crate) fn fault(error: impl Into<Error>, path: &Path) -> Fault {
    let error = error.into();
    let at = path.display();
    let (kind, detail) = match &error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => (
            ErrorKind::Busy,
            format!(
                "another process has {at} open, or this one twice; stop it or use another path"
            ),
        ),
        Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => return foreign(path),
        Error::Io(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => {
            return fault_of_io(cause, path).lost();
        }
        Error::UpgradeRequired(_) => (
            ErrorKind::Corrupt,
            format!(
                "{at} has a format of redb before 3.0; upgrade it with redb 2.6, then try again"
            ),
        ),
        // redb has no error of its own for this.
        Error::Corrupted(text) if text.contains("file format version <=") => (
            ErrorKind::Corrupt,
            format!("{at} was written by a newer redb; upgrade this service or use another path"),
        ),
        Error::Corrupted(_) | Error::Io(_) => {
            (ErrorKind::Corrupt, format!("{at} is damaged; keep the file and restore a backup"))
        }
        Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. } => return foreign(path),
        _ => (ErrorKind::Unavailable, format!("{at} cannot be used now; check the disk")),
    };
    Fault::new(kind, detail).caused_by(error).lost()
}

/// A file that is none of ours.
pub(crate) fn foreign(path: &Path) -> Fault {
    let detail = format!("{} belongs to something else; use another path", path.display());
    Fault::new(ErrorKind::Config, detail)
}
