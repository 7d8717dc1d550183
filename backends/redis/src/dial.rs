//! How a connection comes about.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value,
};
use socket2::TcpKeepalive;
use steadfast_backend::ErrorKind;

use crate::config::{Address, Login, RedisConfig, Servers};
use crate::error::{Fault, Then, a_cluster, nonsense, sound};
use crate::frame::number;
use crate::{script, stranger};

/// Hears what a server pushes, in order with its answers.
pub(crate) type Ear = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// What a fresh connection has told of its server.
pub(crate) struct Dialled {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) now_us: u64,
    pub(crate) asked: Instant,
}

/// Which part a server must play to be the one that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Replica,
}

/// Whether a server is known to be one of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// Nobody has spoken with it yet: if something else answers, the address is wrong.
    New,
    /// It was spoken with, or such a server told of it: if something else answers, that passes.
    Known,
}

impl Acquaintance {
    pub(crate) fn known(is_known: bool) -> Self {
        if is_known { Self::Known } else { Self::New }
    }
}

/// Connects to a server of the data, and asks all that must be known before it is used. Bounded
/// by the connect timeout; half as long again is taken to look who a new one is that cannot be
/// understood.
pub(crate) async fn server(
    config: &RedisConfig,
    address: &Address,
    role: Role,
    acquaintance: Acquaintance,
) -> Result<Dialled, Fault> {
    within(config, address, acquaintance, async |progress| {
        let mut connection = open(config, address, None, progress).await?;
        let mut questions = ping();
        questions.cmd("SCRIPT").arg("LOAD").arg(script::BODY);
        if role == Role::Replica {
            // What a Cluster wants of who reads from a replica; elsewhere it is refused.
            questions.cmd("READONLY");
        }
        let asked = Instant::now();
        let (login, database) = (&config.login, config.database);
        let answers = greet(&mut connection, login, database, questions).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().ok_or_else(nonsense);
        let found = Hello::read(next()?)?;
        found.suits(config)?;
        if found.role != Some(role) {
            let found = found.role.ok_or_else(nonsense)?;
            let detail = format!("the server is a {found:?} now, not a {role:?}");
            return Err(Fault::new(ErrorKind::Unavailable, detail).untouched().then(Then::Resolve));
        }
        let now_us = time(sound(next()?)?)?;
        let loaded = next()?;
        if role == Role::Primary {
            sound(loaded)?;
        }
        Ok(Dialled { connection, now_us, asked })
    })
    .await
}

/// Connects to whom no data is asked of: a Sentinel, or a server that only knows the Cluster.
pub(crate) async fn bare(
    config: &RedisConfig,
    address: &Address,
    login: &Login,
    acquaintance: Acquaintance,
) -> Result<MultiplexedConnection, Fault> {
    within(config, address, acquaintance, async |progress| {
        let mut connection = open(config, address, None, progress).await?;
        greet(&mut connection, login, 0, redis::pipe()).await?;
        Ok(connection)
    })
    .await
}

/// Connects to a server whose pushes are heard.
pub(crate) async fn listening(
    config: &RedisConfig,
    address: &Address,
    ear: Ear,
) -> Result<MultiplexedConnection, Fault> {
    let dialling = async |progress: &Progress| open(config, address, Some(ear), progress).await;
    within(config, address, Acquaintance::Known, dialling).await
}

/// What came of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "some answer a handshake only"))]
enum Contact {
    /// It came about, with TLS if that is asked for.
    Connected,
    /// One side refused the other in the handshake of TLS.
    Declined,
    /// The handshake was answered otherwise than in TLS.
    NotTls,
    /// It did not come about, and nobody said a word.
    Silent,
}

impl Contact {
    /// Whether an answer in plain text can tell who this is. Where TLS is spoken it cannot: it may
    /// come from a proxy, which goes on while the server behind it is away.
    fn is_worth_asking(self, is_encrypted: bool) -> bool {
        match self {
            Self::Connected => !is_encrypted,
            Self::Declined => false,
            Self::NotTls => true,
            Self::Silent => is_encrypted,
        }
    }

    /// Why there is no connection.
    #[cfg(feature = "tls")]
    fn failed(error: &RedisError) -> Self {
        use std::error::Error;
        type Shared = Arc<dyn Error + Send + Sync>;
        let cause = error.source().and_then(|cause| cause.downcast_ref::<Shared>());
        let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let cause = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>());
        match cause {
            None => Self::Silent,
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                Self::NotTls
            }
            Some(_) => Self::Declined,
        }
    }

    #[cfg(not(feature = "tls"))]
    fn failed(_error: &RedisError) -> Self {
        Self::Silent
    }
}

/// What is known so far of the connection.
#[derive(Default)]
struct Progress(OnceLock<Contact>);

impl Progress {
    fn note(&self, contact: Contact) {
        // It is opened once.
        let _ = self.0.set(contact);
    }
}

async fn within<T>(
    config: &RedisConfig,
    address: &Address,
    acquaintance: Acquaintance,
    dialling: impl AsyncFnOnce(&Progress) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (time, progress) = (config.connect_timeout, Progress::default());
    let dialled = tokio::time::timeout(time, dialling(&progress)).await;
    let contact = progress.0.into_inner().unwrap_or(Contact::Silent);
    let is_encrypted = is_encrypted(config, address);
    let (fault, is_understood) = match dialled {
        Ok(Ok(dialled)) => return Ok(dialled),
        // What it says itself does nothing; a connection that breaks may have.
        Ok(Err(fault)) => {
            let is_understood = fault.untouched || fault.then != Then::Replace;
            (fault, is_understood)
        }
        Err(_elapsed) => (silent(config, contact, is_encrypted), false),
    };
    let fault = match acquaintance {
        Acquaintance::Known if fault.kind == ErrorKind::Other => {
            Fault { kind: ErrorKind::Unavailable, ..fault }
        }
        Acquaintance::New if !is_understood && contact.is_worth_asking(is_encrypted) => {
            let has_answered = contact != Contact::Silent;
            stranger::wrong(config, address, is_encrypted, has_answered).await.unwrap_or(fault)
        }
        _ => fault,
    };
    Err(fault.at(address))
}

/// No answer came in time.
fn silent(config: &RedisConfig, contact: Contact, is_encrypted: bool) -> Fault {
    let time = config.connect_timeout;
    let detail = if contact == Contact::Connected {
        let tls = if is_encrypted { "expects no TLS" } else { "expects TLS" };
        format!(
            "the server takes connections, but gave no answer within {time:?}; check that it is \
             not stopped or overloaded, that it is Redis or Valkey, and whether it {tls}"
        )
    } else {
        format!(
            "no connection within {time:?}; check that the server is up and that nothing in \
             between drops packets"
        )
    };
    Fault::new(ErrorKind::Unavailable, detail).untouched()
}

#[cfg(feature = "tls")]
fn is_encrypted(config: &RedisConfig, address: &Address) -> bool {
    config.tls.is_some() && matches!(address, Address::Tcp(..))
}

#[cfg(not(feature = "tls"))]
fn is_encrypted(_config: &RedisConfig, _address: &Address) -> bool {
    false
}

/// Opens a connection. Only with an ear it is logged in, too.
async fn open(
    config: &RedisConfig,
    address: &Address,
    ear: Option<Ear>,
    progress: &Progress,
) -> Result<MultiplexedConnection, Fault> {
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    // Deadlines are the caller's; the connection has no timeout of its own.
    let mut how = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(config.queue_len_max);
    if let Some(ear) = ear {
        settings = settings
            .set_db(config.database.into())
            .set_lib_name(LIB_NAME, LIB_VERSION)
            .set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = &config.login.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &config.login.password {
            settings = settings.set_password(password);
        }
        how = how.set_push_sender(move |push| {
            ear(push);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let client = client(config, address, settings)?;
    let opened = client.get_multiplexed_async_connection_with_config(&how).await;
    progress.note(opened.as_ref().map_or_else(Contact::failed, |_opened| Contact::Connected));
    Ok(opened?)
}

const LIB_NAME: &str = "steadfast";
const LIB_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Logs in and asks the first questions, in one trip. The client library would log in, too, but
/// does not tell why it was refused.
async fn greet(
    connection: &mut MultiplexedConnection,
    login: &Login,
    database: u32,
    questions: Pipeline,
) -> Result<Vec<Value>, Fault> {
    let mut greeting = redis::pipe();
    if let Some(password) = &login.password {
        greeting.cmd("AUTH").arg(login.username.as_deref()).arg(password);
    }
    if database != 0 {
        greeting.cmd("SELECT").arg(database);
    }
    let checked = greeting.len();
    // Servers that do not know these refuse them, and that is fine.
    for (name, value) in [("LIB-NAME", LIB_NAME), ("LIB-VER", LIB_VERSION)] {
        greeting.cmd("CLIENT").arg("SETINFO").arg(name).arg(value);
    }
    let greeted = greeting.len();
    for question in questions.cmd_iter() {
        greeting.add_command(question.clone());
    }
    let answers = connection.send_packed_commands(&greeting, 0, greeting.len()).await?;
    let mut answers = answers.into_iter();
    for answer in answers.by_ref().take(checked) {
        sound(answer)?;
    }
    Ok(answers.skip(greeted - checked).collect())
}

fn client(
    config: &RedisConfig,
    address: &Address,
    settings: RedisConnectionInfo,
) -> Result<Client, Fault> {
    let info = |address: ConnectionAddr| -> Result<ConnectionInfo, Fault> {
        let info = address.into_connection_info()?;
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp(config.timeout)))
    };
    let (host, port) = match address {
        Address::Unix(path) => {
            return Ok(Client::open(info(ConnectionAddr::Unix(path.clone()))?)?);
        }
        Address::Tcp(host, port) => (host.clone(), *port),
    };
    #[cfg(feature = "tls")]
    if let Some(tls) = &config.tls {
        return encrypted(tls, info, host, port);
    }
    Ok(Client::open(info(ConnectionAddr::Tcp(host, port))?)?)
}

#[cfg(feature = "tls")]
fn encrypted(
    tls: &crate::config::Tls,
    info: impl FnOnce(ConnectionAddr) -> Result<ConnectionInfo, Fault>,
    host: String,
    port: u16,
) -> Result<Client, Fault> {
    // Whoever was first has chosen for the whole process; either choice is fine here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client_tls = tls
        .client_pem
        .clone()
        .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
    let certificates = redis::TlsCertificates { client_tls, root_cert: tls.roots_pem.clone() };
    let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    Client::build_with_tls(info(address)?, certificates).map_err(|error| {
        let detail = format!("the TLS settings do not work ({error}); check the PEM files");
        Fault::new(ErrorKind::Config, detail).untouched()
    })
}

/// Small requests go at once, and a peer that is gone is noticed by the kernel, too.
fn tcp(timeout: Duration) -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(timeout.max(Duration::from_secs(5)));
    settings
}

/// What a server says of itself (`HELLO`, which every user may call).
pub(crate) struct Hello {
    /// A Sentinel has none.
    pub(crate) role: Option<Role>,
    mode: String,
}

impl Hello {
    pub(crate) fn read(answer: Value) -> Result<Self, Fault> {
        let parts: HashMap<String, Value> =
            redis::from_redis_value(sound(answer)?).map_err(|_other| nonsense())?;
        let text = |name: &str| match parts.get(name) {
            Some(Value::BulkString(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let role = match text("role").as_deref() {
            Some("master") => Some(Role::Primary),
            Some("replica" | "slave") => Some(Role::Replica),
            _ => None,
        };
        Ok(Self { role, mode: text("mode").unwrap_or_default() })
    }

    /// Whether it is what it is taken for.
    fn suits(&self, config: &RedisConfig) -> Result<(), Fault> {
        if self.mode == "sentinel" {
            let detail = "this is a Sentinel; connect to it as redis-sentinel://HOST/PRIMARY";
            return Err(Fault::new(ErrorKind::Config, detail).untouched());
        }
        if self.mode == "cluster" && !matches!(config.servers, Servers::Cluster(_)) {
            return Err(a_cluster());
        }
        Ok(())
    }
}

/// The answer to `TIME`.
pub(crate) fn time(answer: Value) -> Result<u64, Fault> {
    let Value::Array(parts) = answer else { return Err(nonsense()) };
    let part = |at: usize| match parts.get(at) {
        Some(Value::BulkString(digits)) => number(digits),
        _ => None,
    };
    let (seconds, micros) = (part(0).ok_or_else(nonsense)?, part(1).ok_or_else(nonsense)?);
    Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Whether the server still plays its part, and what time it is.
pub(crate) fn ping() -> Pipeline {
    let mut ping = redis::pipe();
    ping.cmd("HELLO").cmd("TIME");
    ping
}

/// The answers to [`ping`].
pub(crate) fn pong(answers: Vec<Value>) -> Result<(Hello, u64), Fault> {
    let mut answers = answers.into_iter();
    let hello = Hello::read(answers.next().ok_or_else(nonsense)?)?;
    Ok((hello, time(sound(answers.next().ok_or_else(nonsense)?)?)?))
}
