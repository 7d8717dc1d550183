//! The secret that tokens are signed with.

use std::fs;
use std::io::{ErrorKind, Write as _};
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
            let secret = fs::read(path).map_err(describe)?;
            if secret.len() < LEN_MIN {
                return Err(format!("the file has fewer than {LEN_MIN} bytes; remove it"));
            }
            Ok((secret, false))
        }
        Err(failed) => Err(describe(failed.error)),
    }
}

fn random() -> Result<Vec<u8>, String> {
    let mut secret = vec![0; LEN_MIN];
    getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
    Ok(secret)
}
