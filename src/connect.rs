use std::ops::Deref;
use std::sync::Arc;

use crate::backend::{Backend, Error, ErrorKind, Result, StoreUrl};
use crate::store;

/// A kind of store: what its URLs look like, and the Cargo feature that it needs.
struct Kind {
    form: &'static str,
    schemes: &'static [&'static str],
    feature: &'static str,
    is_built_in: bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        form: "memory:",
        schemes: &["memory"],
        feature: "memory",
        is_built_in: cfg!(feature = "memory"),
    },
    Kind {
        form: "redb:PATH",
        schemes: &["redb"],
        feature: "redb",
        is_built_in: cfg!(feature = "redb"),
    },
    Kind {
        form: "sled:PATH",
        schemes: &["sled"],
        feature: "sled",
        is_built_in: cfg!(feature = "sled"),
    },
    Kind {
        form: "redis://HOST",
        schemes: &[
            "redis",
            "redis+unix",
            "redis-cluster",
            "redis-sentinel",
            "rediss",
            "rediss-cluster",
            "rediss-sentinel",
            "unix",
            "valkey",
            "valkey+unix",
            "valkey-cluster",
            "valkey-sentinel",
            "valkeys",
            "valkeys-cluster",
            "valkeys-sentinel",
        ],
        feature: "redis",
        is_built_in: cfg!(feature = "redis"),
    },
    Kind {
        form: "memcached://HOST",
        schemes: &["memcached"],
        feature: "memcached",
        is_built_in: cfg!(feature = "memcached"),
    },
];

impl Kind {
    fn of(url: &str) -> Option<&'static Self> {
        let (scheme, _rest) = url.split_once(':')?;
        KINDS.iter().find(|kind| kind.schemes.contains(&scheme))
    }
}

/// Opens the store that a URL names, so that a user of your library can choose it. Opening an
/// embedded store reads its file, and blocks meanwhile: connect before you serve. A server is asked
/// what it can do, and must be up.
///
/// | URL | feature | store |
/// | --- | --- | --- |
/// | `memory:` | `memory` | in this process, bounded, gone with it |
/// | `redb:PATH` | `redb` | a file, durable; missing folders are created |
/// | `sled:PATH` | `sled` | a folder, survives a crash but not a power loss |
/// | `redis://[[user]:password@]host[:6379][/db]` | `redis` | a Redis or Valkey server |
/// | `redis+unix:///path/to.sock[?db=N]` | `redis` | the same, by its Unix socket |
/// | `redis-cluster://host[:6379],…` | `redis` | a Redis Cluster; some of its servers are enough |
/// | `redis-sentinel://host[:26379],…/PRIMARY[/db]` | `redis` | the primary that Sentinels name |
/// | `rediss://`, `rediss-cluster://`, `rediss-sentinel://` | `redis-tls` | the same with TLS |
/// | `memcached://host[:11211],…` | `memcached` | Memcached servers, which keep each key on one of them |
///
/// In a user name, a password, a path and the value of an option, `%` and two hex digits stand for
/// a byte: `%40` for `@`. An option that a store does not know is refused.
///
/// | option | of | what |
/// | --- | --- | --- |
/// | `namespace` | all | stands in the place of the [namespace](store::StoreBuilder::namespace) in the code |
/// | `timeout` | `redis`, `memcached` | how long a call may take: `250ms`, `2s`; 1 s unless set |
/// | `connect_timeout` | `redis` | how long one attempt to connect may take; 1 s unless set |
/// | `lanes` | `redis` | connections for each server, 1 to 64; 2 unless set |
/// | `queue` | `redis` | requests under way on a connection, beyond which the store is busy; 4096 unless set |
/// | `durability` | `redis` | what a write waits for: `primary` (the default), `replicas:N`, `disk` or `disk:N` |
/// | `read` | `redis` | who is asked: `primary` (the default), or `replicas`, which may be behind |
/// | `sentinel_username`, `sentinel_password` | `redis-sentinel` | who this is to the Sentinels |
/// | `tls_ca`, `tls_cert`, `tls_key` | `rediss` | files in PEM: who vouches for the server; the client's own certificate and key |
/// | `connections` | `memcached` | how many each server gets, 1 to 1024; 2 unless set |
/// | `weights` | `memcached` | how many of the keys each server gets, in their order: `2,1,1` |
///
/// ```
/// use steadfast::Store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// let store = Store::builder(steadfast::connect("memory:?namespace=shop").await?).build()?;
/// assert_eq!(store.info().name, "memory");
///
/// let error = steadfast::connect("memory:?lanes=4").await.unwrap_err();
/// assert!(error.to_string().contains("the option lanes"));
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
pub async fn connect(url: &str) -> Result<Connected> {
    let kind = Kind::of(url).ok_or_else(unknown)?;
    if !kind.is_built_in {
        let Kind { form, feature, .. } = kind;
        let detail = format!("{form} needs the cargo feature {feature} of steadfast");
        return Err(Error::new(ErrorKind::Config, detail));
    }
    let mut url: StoreUrl = url.parse()?;
    let allowed = format!("1 to {} characters of [A-Za-z0-9._:-]", store::NAMESPACE_LEN_MAX);
    let namespace = url.take_as("namespace", &allowed, |text| {
        store::is_namespace(text).then(|| text.to_owned())
    })?;
    Ok(Connected { backend: open(kind, url).await?, namespace })
}

#[cfg_attr(
    not(any(feature = "memcached", feature = "redis")),
    expect(clippy::unused_async, reason = "only servers are waited for")
)]
async fn open(kind: &Kind, url: StoreUrl) -> Result<Arc<dyn Backend>> {
    match kind.feature {
        #[cfg(feature = "memory")]
        "memory" => {
            use crate::memory::{MemoryBackend, MemoryConfig};
            if !url.is_bare() {
                let detail = "memory: has no path; it is in this process";
                return Err(Error::new(ErrorKind::Config, detail));
            }
            url.finish()?;
            Ok(Arc::new(MemoryBackend::new(MemoryConfig::default())))
        }
        #[cfg(feature = "redb")]
        "redb" => Ok(Arc::new(crate::redb::RedbBackend::open(path_alone(url)?)?)),
        #[cfg(feature = "sled")]
        "sled" => Ok(Arc::new(crate::sled::SledBackend::open(path_alone(url)?)?)),
        #[cfg(feature = "redis")]
        "redis" => {
            use crate::redis::{RedisBackend, RedisConfig};
            Ok(Arc::new(RedisBackend::connect(RedisConfig::from_url(url)?).await?))
        }
        #[cfg(feature = "memcached")]
        "memcached" => {
            use crate::memcached::{MemcachedBackend, MemcachedConfig};
            Ok(Arc::new(MemcachedBackend::connect(MemcachedConfig::from_url(url)?).await?))
        }
        _ => {
            drop(url);
            Err(unknown())
        }
    }
}

/// The path of an embedded store, which has no options of its own.
#[cfg(any(feature = "redb", feature = "sled"))]
fn path_alone(url: StoreUrl) -> Result<String> {
    let path = url.local_path()?.to_owned();
    url.finish()?;
    Ok(path)
}

fn unknown() -> Error {
    let built_in = KINDS.iter().filter(|kind| kind.is_built_in);
    let forms: Vec<_> = built_in.map(|kind| kind.form).collect();
    let opens = if forms.is_empty() { "none".to_owned() } else { forms.join(", ") };
    let detail = format!(
        "this build cannot open that store URL; it opens {opens}; other stores need their cargo \
         feature"
    );
    Error::new(ErrorKind::Config, detail)
}

/// A store that a URL named, for [`Store::builder`](crate::Store::builder).
#[derive(Clone, Debug)]
pub struct Connected {
    /// The store.
    pub backend: Arc<dyn Backend>,
    /// What the URL says that all keys start with.
    pub namespace: Option<String>,
}

impl Deref for Connected {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}

impl From<Arc<dyn Backend>> for Connected {
    fn from(backend: Arc<dyn Backend>) -> Self {
        Self { backend, namespace: None }
    }
}

impl<B: Backend> From<Arc<B>> for Connected {
    fn from(backend: Arc<B>) -> Self {
        Self { backend, namespace: None }
    }
}
