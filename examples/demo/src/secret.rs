//! The secret that tokens are signed with.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use steadfast::backend::StoreUrl;
use tempfile::NamedTempFile;
use tracing::{info, warn};

const LEN_MIN: usize = 32;

/// A secret that was given must be long enough.
pub(crate) fn checked(secret: String) -> Result<Vec<u8>, String> {
    if secret.len() >= LEN_MIN {
        return Ok(secret.into_bytes());
    }
    Err(format!(
        "JWT_SECRET: it has {} bytes; allowed is {LEN_MIN} or more, from a random source",
        secret.len()
    ))
}

/// A random secret, kept beside the data so that tokens survive a restart.
pub(crate) fn kept_or_random(state_url: &str) -> Result<Vec<u8>, String> {
    let Some(path) = path_beside(state_url) else {
        warn!("JWT_SECRET is not set: using a random one, which only this process knows");
        return random();
    };
    let (secret, is_new) = kept(&path).map_err(|error| {
        format!("JWT_SECRET: no secret can be kept at {}: {error}; set it", path.display())
    })?;
    let path = path.display();
    if is_new {
        warn!(%path, "JWT_SECRET is not set: using a random one, which is kept at this path");
    } else {
        info!(%path, "JWT_SECRET is not set: using the kept one at this path");
    }
    Ok(secret)
}

/// The folder of an embedded store's data.
fn path_beside(state_url: &str) -> Option<PathBuf> {
    let url: StoreUrl = state_url.parse().ok()?;
    if !["redb", "sled"].contains(&url.scheme()) {
        return None;
    }
    let folder = Path::new(url.path()).parent().unwrap_or(Path::new(""));
    Some(folder.join("jwt-secret"))
}

/// The secret of a file, which is made if it is not there, and whether it was made now.
fn kept(path: &Path) -> Result<(Vec<u8>, bool), String> {
    let describe = |error: std::io::Error| error.to_string();
    // First, for on a full disk none can be made.
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        kept => return kept.map(|secret| (secret, false)).map_err(describe),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(describe)?;
    // Readable by its owner only, and under its name only when it is whole.
    let mut file = NamedTempFile::new_in(folder).map_err(describe)?;
    let secret = random()?;
    file.write_all(&secret).and_then(|()| file.as_file().sync_all()).map_err(describe)?;
    match file.persist_noclobber(path) {
        Ok(_file) => Ok((secret, true)),
        Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {
            read(path).map(|secret| (secret, false)).map_err(describe)
        }
        Err(failed) => Err(describe(failed.error)),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let secret = fs::read(path)?;
    if secret.len() < LEN_MIN {
        return Err(io::Error::other(format!(
            "the file has fewer than {LEN_MIN} bytes; remove it"
        )));
    }
    Ok(secret)
}

fn random() -> Result<Vec<u8>, String> {
    let mut secret = vec![0; LEN_MIN];
    getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
    Ok(secret)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    /// As on a full disk. In this folder not even root can make a file.
    #[test]
    fn a_kept_secret_needs_no_room() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; LEN_MIN]).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert_eq!(kept(&path).unwrap(), (vec![7; LEN_MIN], false));
    }
}
