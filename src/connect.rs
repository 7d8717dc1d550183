use std::sync::Arc;

use crate::backend::{Backend, Error, ErrorKind, Result};

/// The schemes this build can open.
const SCHEMES: &[&str] = &[
    #[cfg(feature = "memory")]
    "memory:",
    #[cfg(feature = "redb")]
    "redb:PATH",
    #[cfg(feature = "sled")]
    "sled:PATH",
];

/// Opens the backend that a URL names, so that a user of your library can choose it. Opening an
/// embedded store reads its file, and blocks meanwhile: connect before you serve.
///
/// | URL | feature | backend |
/// | --- | --- | --- |
/// | `memory:` | `memory` | in this process, bounded, gone with it |
/// | `redb:PATH` | `redb` | a file, durable; missing folders are created |
/// | `sled:PATH` | `sled` | a folder, survives a crash but not a power loss |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// let backend = steadfast::connect("memory:").await?;
/// assert_eq!(backend.info().name, "memory");
/// let error = steadfast::connect("carrier-pigeon:coop").await.unwrap_err();
/// assert!(error.to_string().contains("memory:"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::Config`] for a URL that this build cannot open or an option it does not know; the
/// URL itself is not repeated, for it may hold a password. Otherwise what the backend says.
pub async fn connect(url: &str) -> Result<Arc<dyn Backend>> {
    let (scheme, rest) = url.split_once(':').ok_or_else(unknown)?;
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let backend: Arc<dyn Backend> = match (scheme, path) {
        // `redb://data/x` would be `/data/x`, which nobody means.
        (_, path) if path.starts_with("//") => return Err(unknown()),
        #[cfg(feature = "memory")]
        ("memory", "") => {
            no_options(options)?;
            Arc::new(crate::memory::MemoryBackend::new(crate::memory::MemoryConfig::default()))
        }
        #[cfg(feature = "redb")]
        ("redb", path) if !path.is_empty() => {
            no_options(options)?;
            Arc::new(crate::redb::RedbBackend::open(path)?)
        }
        #[cfg(feature = "sled")]
        ("sled", path) if !path.is_empty() => {
            no_options(options)?;
            Arc::new(crate::sled::SledBackend::open(path)?)
        }
        _ => return Err(unknown()),
    };
    Ok(backend)
}

fn no_options(options: &str) -> Result<()> {
    let Some(option) = options.split('&').find(|option| !option.is_empty()) else { return Ok(()) };
    let name = option.split('=').next().unwrap_or_default();
    let detail = format!("the store URL has the option {name:?}; this store takes no options");
    Err(Error::new(ErrorKind::Config, detail))
}

fn unknown() -> Error {
    let detail = format!(
        "this build cannot open that store URL; it opens {}; other stores need their cargo feature",
        if SCHEMES.is_empty() { "none".to_owned() } else { SCHEMES.join(", ") }
    );
    Error::new(ErrorKind::Config, detail)
}
