use std::sync::Arc;

use crate::backend::{Backend, Error, ErrorKind, Result};
#[cfg(feature = "memory")]
use crate::memory::{MemoryBackend, MemoryConfig};

/// What a URL of one scheme looks like, and what opens its path.
struct Scheme {
    form: &'static str,
    open: fn(&str) -> Result<Arc<dyn Backend>>,
}

/// The schemes this build can open.
const SCHEMES: &[Scheme] = &[
    #[cfg(feature = "memory")]
    Scheme { form: "memory:", open: |_| Ok(Arc::new(MemoryBackend::new(MemoryConfig::default()))) },
    #[cfg(feature = "redb")]
    Scheme { form: "redb:PATH", open: |path| Ok(Arc::new(crate::redb::RedbBackend::open(path)?)) },
    #[cfg(feature = "sled")]
    Scheme { form: "sled:PATH", open: |path| Ok(Arc::new(crate::sled::SledBackend::open(path)?)) },
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
    let (name, rest) = url.split_once(':').ok_or_else(unknown)?;
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    // `redb://data/x` would be `/data/x`, which nobody means.
    let form = format!("{name}:{}", if path.is_empty() { "" } else { "PATH" });
    let scheme = SCHEMES.iter().find(|scheme| scheme.form == form && !path.starts_with("//"));
    let scheme = scheme.ok_or_else(unknown)?;
    if let Some(option) = options.split('&').find(|option| !option.is_empty()) {
        // What is not plainly the name of an option may be a part of a password.
        let shown = option.split_once('=').map(|(name, _value)| name).filter(|name| is_name(name));
        let shown =
            shown.map_or_else(|| "an option".to_owned(), |name| format!("the option {name}"));
        let detail = format!("the store URL has {shown}; {name}: takes no options");
        return Err(Error::new(ErrorKind::Config, detail));
    }
    (scheme.open)(path)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn unknown() -> Error {
    let forms: Vec<_> = SCHEMES.iter().map(|scheme| scheme.form).collect();
    let opens = if forms.is_empty() { "none".to_owned() } else { forms.join(", ") };
    let detail = format!(
        "this build cannot open that store URL; it opens {opens}; other stores need their cargo \
         feature"
    );
    Error::new(ErrorKind::Config, detail)
}
