use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use crate::backend::{Backend, Error, ErrorKind, Result, Start, StoreUrl};
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
        let scheme = scheme(url)?;
        KINDS.iter().find(|kind| kind.schemes.contains(&&*scheme))
    }
}

/// What stands before the first colon, in lower case.
fn scheme(url: &str) -> Option<String> {
    url.split_once(':').map(|(scheme, _rest)| scheme.to_ascii_lowercase())
}

/// Opens the store that a URL names, so that a user of your library can choose it. Opening an
/// embedded store reads its file, and blocks meanwhile: connect before you serve. A server is asked
/// what it can do, and must be up, unless the URL says otherwise: [starting without a
/// server](Connector#starting-without-a-server). A [`Connector`] opens stores of your own, too.
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
/// a byte: `%40` for `@`. An empty password is `user:@`. White space is refused, but for spaces
/// within a path. An option that a store does not know is refused.
///
/// | option | of | what |
/// | --- | --- | --- |
/// | `namespace` | all | stands in the place of the [namespace](store::StoreBuilder::namespace) in the code |
/// | `limit` | `memory` | about how many bytes it may hold: `512KiB`, `64MiB`, `2GiB`; 256 MiB unless set |
/// | `wait` | `redis`, `memcached` | how long an outage at the start is waited for: `30s` |
/// | `start` | `redis`, `memcached` | `connected` (the default), or `disconnected`: at once, without the server |
/// | `verify` | `redb` | `true`: each opening checks the whole file, not only after an unclean stop |
/// | `timeout` | `redis`, `memcached` | how long a call may take: `250ms`, `2s`; 1 s unless set |
/// | `connect_timeout` | `redis` | how long one attempt to connect may take; 1 s unless set |
/// | `lanes` | `redis` | connections for each server, 1 to 64; 2 unless set |
/// | `queue` | `redis` | requests under way on a connection, beyond which the store is busy; 4096 unless set |
/// | `durability` | `redis` | what a write waits for: `primary` (the default), `replicas:N`, `disk` or `disk:N` |
/// | `read` | `redis` | who is asked: `primary` (the default), or `replicas`, which may be behind |
/// | `evicts` | `redis` | whether the server may drop live entries to make room, `yes` or `no`; it is asked unless set |
/// | `address_map` | `redis-cluster`, `redis-sentinel` | where to connect to instead of what the servers tell: `10.0.0.1:7000=127.0.0.1:7401,…`, or hosts alone |
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
/// [`ErrorKind::Config`] for a URL that this build cannot open, an option it does not know, or a
/// server that is not what the URL says (another kind of server, no Cluster, no such database);
/// [`ErrorKind::Rejected`] for wrong credentials or a permission that is missing; an
/// [outage](Error::is_outage) if nobody answers. The URL itself is not repeated, for it may hold a
/// password.
pub async fn connect(url: &str) -> Result<Connected> {
    Connector::new().connect(url).await
}

/// Opens stores by their URLs, as [`connect`] does, and with settings of the program's own.
///
/// # Stores of your own
///
/// ```
/// use steadfast::backend::StoreUrl;
/// use steadfast::Connector;
/// # use steadfast::memory::{MemoryBackend as Toy, MemoryConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// let connector = Connector::new().with("toy", async |mut url: StoreUrl| {
///     let colour = url.take("colour");
///     url.finish()?; // refuses every other option
/// #   drop(colour);
///     Ok(Toy::new(MemoryConfig::default()))
/// });
/// let store = connector.connect("toy:?colour=red&namespace=shop").await?;
/// assert_eq!(store.namespace.as_deref(), Some("shop"));
/// let error = connector.connect("toy:?size=3").await.unwrap_err();
/// assert!(error.to_string().contains("the option size; toy takes namespace, colour"));
/// let memory = connector.connect("memory:").await?; // and all that `connect` opens
/// # drop(memory);
/// # Ok(())
/// # }
/// ```
///
/// # Starting without a server
///
/// A service that must start while its server is down says so in the URL, or by
/// [`start`](Connector::start):
///
/// | option | what |
/// | --- | --- |
/// | `wait=30s` | an outage is waited for that long, then it is an error |
/// | `start=disconnected` | nothing is waited for. Every call is an outage, "never connected", until the server has answered once; from then on all works |
///
/// A server that answers and cannot be used is no outage: a wrong password, a permission that is
/// missing ([`ErrorKind::Rejected`]), no such database, no Cluster, another kind of server, TLS
/// where none is expected or none where it is ([`ErrorKind::Config`]). With `wait` that is an error
/// at once; disconnected, [`check`](Backend::check) and every other call give that error, and the
/// server is looked at again every five seconds, should it be mended. Once the right server has
/// answered, another one in its place is an outage.
///
/// What is asked of a server is then assumed. Redis counts as one that evicts, so that
/// `Revocations::new` refuses it, unless the URL has `evicts=no`; a server that does evict is
/// refused then. A value in Memcached may have the usual megabyte, and a server with a smaller
/// `-I` is refused.
///
/// ```
/// use steadfast::backend::Start;
/// use steadfast::Connector;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> steadfast::Result<()> {
/// let connector = Connector::new().start(Start::Disconnected);
/// # if cfg!(feature = "redis") {
/// let store = connector.connect("redis://127.0.0.1:1?evicts=no").await?; // nobody is there
/// let error = store.check().await.unwrap_err();
/// assert!(error.is_outage() && error.to_string().contains("never connected"));
/// # }
/// # let _ = connector;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Connector {
    own: Vec<(String, Open)>,
    start: Start,
}

type Open = Arc<dyn Fn(StoreUrl) -> Opening + Send + Sync>;
type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn Backend>>> + Send>>;

impl Connector {
    /// Opens what [`connect`] opens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also opens URLs of this scheme, by `open`. It takes the options that it knows, and ends with
    /// [`StoreUrl::finish`]. A scheme that is already known is from now on this one.
    #[must_use]
    pub fn with<B, Fut>(
        mut self,
        scheme: &str,
        open: impl Fn(StoreUrl) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        B: Backend,
        Fut: Future<Output = Result<B>> + Send + 'static,
    {
        let open = move |url| -> Opening {
            let opening = open(url);
            Box::pin(async { Ok(Arc::new(opening.await?) as Arc<dyn Backend>) })
        };
        let scheme = scheme.to_ascii_lowercase();
        self.own.retain(|(known, _open)| *known != scheme);
        self.own.push((scheme, Arc::new(open)));
        self
    }

    /// When connecting to a server returns, unless the URL says it (`wait`, `start`). Stores that
    /// are no servers are open when [`connect`](Connector::connect) returns.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Opens the store that a URL names.
    ///
    /// # Errors
    ///
    /// As [`connect`], and what an `open` of your own says.
    pub async fn connect(&self, url: &str) -> Result<Connected> {
        let parsed = url.parse::<StoreUrl>();
        // What begins or ends with white space is told so, whatever it would be without.
        if url.trim() != url {
            parsed.as_ref().map_err(Clone::clone)?;
        }
        let scheme = scheme(url).unwrap_or_default();
        if let Some((_scheme, open)) = self.own.iter().find(|(known, _open)| *known == scheme) {
            let (url, namespace) = namespaced(parsed?)?;
            return Ok(Connected { backend: open(url).await?, namespace });
        }
        let kind = Kind::of(url).ok_or_else(|| self.unknown())?;
        if !kind.is_built_in {
            let Kind { form, feature, .. } = kind;
            let detail = format!("{form} needs the cargo feature {feature} of steadfast");
            return Err(Error::new(ErrorKind::Config, detail));
        }
        let (url, namespace) = namespaced(parsed?)?;
        Ok(Connected { backend: open(kind, url, self.start).await?, namespace })
    }

    fn unknown(&self) -> Error {
        let own = self.own.iter().map(|(scheme, _open)| format!("{scheme}:"));
        let built_in = KINDS.iter().filter(|kind| kind.is_built_in);
        let forms: Vec<_> = built_in.map(|kind| kind.form.to_owned()).chain(own).collect();
        let opens = if forms.is_empty() { "none".to_owned() } else { forms.join(", ") };
        let detail = format!(
            "this build cannot open that store URL; it opens {opens}; other stores need their \
             cargo feature"
        );
        Error::new(ErrorKind::Config, detail)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own: Vec<_> = self.own.iter().map(|(scheme, _open)| scheme).collect();
        f.debug_struct("Connector").field("own", &own).field("start", &self.start).finish()
    }
}

/// Takes out the option that all stores have.
fn namespaced(mut url: StoreUrl) -> Result<(StoreUrl, Option<String>)> {
    let allowed = format!("1 to {} characters of [A-Za-z0-9._:-]", store::NAMESPACE_LEN_MAX);
    let namespace = url.take_as("namespace", &allowed, |text| {
        store::is_namespace(text).then(|| text.to_owned())
    })?;
    Ok((url, namespace))
}

#[cfg_attr(
    not(any(feature = "memcached", feature = "redis")),
    expect(clippy::unused_async, reason = "only servers are waited for")
)]
async fn open(kind: &Kind, url: StoreUrl, start: Start) -> Result<Arc<dyn Backend>> {
    match kind.feature {
        #[cfg(feature = "memory")]
        "memory" => {
            use crate::memory::{MemoryBackend, MemoryConfig};
            Ok(Arc::new(MemoryBackend::new(MemoryConfig::from_url(url)?)))
        }
        #[cfg(feature = "redb")]
        "redb" => {
            use crate::redb::{RedbBackend, RedbConfig};
            let mut url = url;
            let verify = url.take_as("verify", "true or false", |text| text.parse().ok())?;
            let config = RedbConfig::new(path_alone(url)?);
            Ok(Arc::new(RedbBackend::open(config.verify_on_open(verify.unwrap_or(false)))?))
        }
        #[cfg(feature = "sled")]
        "sled" => Ok(Arc::new(crate::sled::SledBackend::open(path_alone(url)?)?)),
        #[cfg(feature = "redis")]
        "redis" => {
            use crate::redis::{RedisBackend, RedisConfig};
            let mut url = url;
            let start = url.take_start()?.unwrap_or(start);
            let mut config = RedisConfig::from_url(url)?;
            config.start = start;
            Ok(Arc::new(RedisBackend::connect(config).await?))
        }
        #[cfg(feature = "memcached")]
        "memcached" => {
            use crate::memcached::{MemcachedBackend, MemcachedConfig};
            let mut url = url;
            let start = url.take_start()?.unwrap_or(start);
            let config = MemcachedConfig::from_url(url)?.start(start);
            Ok(Arc::new(MemcachedBackend::connect(config).await?))
        }
        _ => {
            drop((url, start));
            let detail = "this build cannot open that store URL";
            Err(Error::new(ErrorKind::Config, detail))
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
