use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use steadfast_backend::{Error, ErrorKind, Result, Start};

use crate::error::NAME;

/// Where the servers are and how to use them.
///
/// ```
/// use std::time::Duration;
/// use steadfast_redis::{Address, RedisConfig, Servers};
///
/// let mut config = RedisConfig::new(Servers::Single(Address::tcp("127.0.0.1", 6379)));
/// config.timeout = Duration::from_millis(250);
/// assert_eq!(config.lanes, 2);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The servers.
    pub servers: Servers,
    /// Who this is to them.
    pub login: Login,
    /// Which database; a Cluster has only 0.
    pub database: u32,
    /// How to encrypt the connections; `None` sends everything in the clear.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// How long one call may take, waiting for a connection included. A second unless set.
    pub timeout: Duration,
    /// How long one attempt to connect may take. A second unless set.
    pub connect_timeout: Duration,
    /// How many connections share the small requests of a server, 1 to 64; values over 64 KiB have
    /// one of their own, and so have reads of keys whose value was that large when this process
    /// last saw it. Two unless set. Of writes that wait by
    /// [`durability`](RedisConfig::durability) each of as many more has one under way.
    pub lanes: usize,
    /// How many requests may be under way on one connection; the next one is
    /// [`Busy`](ErrorKind::Busy). 1 to 65536; 4096 unless set.
    pub queue_len_max: usize,
    /// What a write waits for.
    pub durability: Acknowledged,
    /// Whether `get` and `get_many` ask the replicas where there are any. What they answer may be
    /// older than the last write, so that even its own writer does not see it, and a session that
    /// was ended is still shown; while the primary is away, by any time.
    pub read_from_replicas: bool,
    /// When [`connect`](crate::RedisBackend::connect) returns.
    pub start: Start,
    /// Whether the servers may drop live entries to make room, as
    /// [`Capabilities::evicts`](steadfast_backend::Capabilities::evicts) tells it. If `None`, they
    /// are asked (`INFO`); where that cannot be found out before `connect` returns, they may.
    /// Servers that do although this says that they do not are refused.
    pub evicts: Option<bool>,
    /// Where to connect to instead of the addresses that a Cluster or Sentinels tell, for clients
    /// that cannot reach those.
    pub address_map: AddressMap,
}

impl RedisConfig {
    /// The settings that suit most.
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            login: Login::default(),
            database: 0,
            #[cfg(feature = "tls")]
            tls: None,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            lanes: 2,
            queue_len_max: 4096,
            durability: Acknowledged::ByPrimary,
            read_from_replicas: false,
            start: Start::Connected,
            evicts: None,
            address_map: AddressMap::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |detail: &str| Err(Error::new(ErrorKind::Config, detail).at(NAME, "connect"));
        let addresses = self.servers.addresses();
        if addresses.is_empty() {
            return wrong("no server is named; give at least one");
        }
        if !matches!(self.servers, Servers::Single(_))
            && addresses.iter().any(|address| matches!(address, Address::Unix(_)))
        {
            return wrong("a Cluster and Sentinels are reached by TCP, not by a Unix socket");
        }
        if matches!(self.servers, Servers::Cluster(_)) && self.database != 0 {
            return wrong("a Cluster has only database 0; leave the number out");
        }
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return wrong("a timeout must be longer than zero");
        }
        if !(1..=64).contains(&self.lanes) {
            return wrong("the number of lanes is 1 to 64");
        }
        if !(1..=QUEUE_LEN_MAX as usize).contains(&self.queue_len_max) {
            return wrong("the queue has room for 1 to 65536 requests");
        }
        let is_lame = |login: &Login| login.username.is_some() && login.password.is_none();
        if is_lame(&self.login)
            || matches!(&self.servers, Servers::Sentinel { login, .. } if is_lame(login))
        {
            return wrong(
                "a user name needs a password, which may be empty, as in redis://USER:@HOST; a \
                 password alone is that of the default user",
            );
        }
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| !tls.is_pem()) {
            return wrong("a certificate or key is not PEM; it begins with -----BEGIN");
        }
        if matches!(self.durability, Acknowledged::ByReplicas(0)) {
            return wrong("waiting for 0 replicas is no waiting; leave the durability out");
        }
        Ok(())
    }
}

pub(crate) const QUEUE_LEN_MAX: u32 = 65_536;

/// Which servers keep the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server, or what looks like one.
    Single(Address),
    /// A Redis Cluster; any of its servers lead to the others.
    Cluster(Vec<Address>),
    /// The primary that Sentinels name; a failover is followed.
    Sentinel {
        /// Where the Sentinels are.
        sentinels: Vec<Address>,
        /// What they call the primary.
        primary: String,
        /// Who this is to the Sentinels.
        login: Login,
    },
}

impl Servers {
    pub(crate) fn addresses(&self) -> &[Address] {
        match self {
            Self::Single(address) => std::slice::from_ref(address),
            Self::Cluster(seeds) => seeds,
            Self::Sentinel { sentinels, .. } => sentinels,
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses().iter().map(Address::to_string).collect();
        f.write_str(&addresses.join(", "))
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// A host and a port.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp(host.into(), port)
    }

    /// `host:port`, as redirects tell it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self::tcp(host, port.parse().ok()?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Other addresses for those that a Cluster or Sentinels tell.
///
/// ```
/// use steadfast_redis::{Address, AddressMap};
///
/// let map: AddressMap = "10.0.0.1:7000=127.0.0.1:7401,10.0.0.2=localhost".parse()?;
/// assert_eq!(map.apply(Address::tcp("10.0.0.1", 7000)), Address::tcp("127.0.0.1", 7401));
/// assert_eq!(map.apply(Address::tcp("10.0.0.2", 7000)), Address::tcp("localhost", 7000));
/// assert_eq!(map.apply(Address::tcp("10.0.0.3", 7000)), Address::tcp("10.0.0.3", 7000));
/// # Ok::<(), steadfast_backend::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap(Vec<(Place, Place)>);

/// A host, and a port where it matters.
type Place = (String, Option<u16>);

impl AddressMap {
    /// Where to connect to.
    #[must_use]
    pub fn apply(&self, told: Address) -> Address {
        let Address::Tcp(host, port) = &told else { return told };
        let is_told = |(of, number): &Place| of == host && number.is_none_or(|it| it == *port);
        match self.0.iter().find(|(from, _to)| is_told(from)) {
            Some((_from, (host, number))) => Address::tcp(host.clone(), number.unwrap_or(*port)),
            None => told,
        }
    }
}

impl FromStr for AddressMap {
    type Err = Error;

    /// `TOLD=REAL,…`: both with a port, or both without, where the port stays what it is.
    fn from_str(text: &str) -> Result<Self> {
        let pair = |pair: &str| {
            let (from, to) = pair.split_once('=')?;
            let (from, to) = (place(from)?, place(to)?);
            (from.1.is_some() == to.1.is_some()).then_some((from, to))
        };
        let pairs = text.split(',').map(pair).collect::<Option<_>>();
        pairs.map(Self).ok_or_else(|| {
            let detail = "addresses are mapped by TOLD=REAL,…, each HOST:PORT or each HOST alone, \
                          as in 10.0.0.1:7000=127.0.0.1:7401";
            Error::new(ErrorKind::Config, detail)
        })
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn place(text: &str) -> Option<Place> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port {
        "" => None,
        port => Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?),
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| (host.to_owned(), port))
}

/// A user name and a password; `Debug` shows neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; `None` for the default one.
    pub username: Option<String>,
    /// The password, if the server wants one.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |part: &Option<String>| part.as_ref().map(|_| "…");
        f.debug_struct("Login")
            .field("username", &given(&self.username))
            .field("password", &given(&self.password))
            .finish()
    }
}

/// How to encrypt.
#[cfg(feature = "tls")]
#[derive(Clone, Default)]
pub struct Tls {
    /// The certificates, in PEM, of who may vouch for the server; the system's if `None`.
    pub roots_pem: Option<Vec<u8>>,
    /// The client's certificate and key, in PEM, for servers that ask for one.
    pub client_pem: Option<(Vec<u8>, Vec<u8>)>,
}

#[cfg(feature = "tls")]
impl Tls {
    fn is_pem(&self) -> bool {
        let client = self.client_pem.iter().flat_map(|(certificate, key)| [certificate, key]);
        let mut parts = self.roots_pem.iter().chain(client);
        parts.all(|pem| pem.windows(11).any(|window| window == b"-----BEGIN "))
    }
}

#[cfg(feature = "tls")]
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots_pem", &self.roots_pem.is_some())
            .field("client_pem", &self.client_pem.is_some())
            .finish()
    }
}

/// What a write waits for before it is acknowledged.
///
/// If it does not come in time, the call fails as [`ErrorKind::Unconfirmed`] and is ambiguous: the
/// write is made, and may be lost in a failover. A refusal is waited for as well, because what it
/// tells may be lost, too. Reads wait for nothing: they may show what is not confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledged {
    /// The primary has it in memory.
    #[default]
    ByPrimary,
    /// So many replicas have it in memory, too (`WAIT`).
    ByReplicas(u32),
    /// The primary and so many replicas have it on disk (`WAITAOF`, since Redis 7.2, with
    /// `appendonly yes`).
    OnDisk {
        /// How many replicas, besides the primary.
        replicas: u32,
    },
}
