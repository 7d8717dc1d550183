//! How a connection comes about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisConnectionInfo, Value,
};
use socket2::TcpKeepalive;
use steadfast_backend::ErrorKind;

use crate::config::{Address, Login, RedisConfig};
use crate::error::{Fault, Then, nonsense, sound};
use crate::frame::number;
use crate::script;

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

/// Connects to a server of the data, and asks all that must be known before it is used. Bounded
/// by the connect timeout.
pub(crate) async fn server(
    config: &RedisConfig,
    address: &Address,
    role: Role,
) -> Result<Dialled, Fault> {
    within(config.connect_timeout, address, async {
        let mut connection = open(config, address, &config.login, config.database, None).await?;
        let mut hello = redis::pipe();
        hello.cmd("ROLE").cmd("SCRIPT").arg("LOAD").arg(script::BODY);
        if role == Role::Replica {
            // What a Cluster wants of who reads from a replica; elsewhere it is refused.
            hello.cmd("READONLY");
        }
        hello.cmd("TIME");
        let asked = Instant::now();
        let count = hello.len();
        let answers = connection.send_packed_commands(&hello, 0, count).await?;
        let mut answers = answers.into_iter();
        let found = role_in(sound(answers.next().ok_or_else(nonsense)?)?)?;
        if found != role {
            let detail = format!("the server at {address} is a {found:?} now, not a {role:?}");
            return Err(Fault::new(ErrorKind::Unavailable, detail).untouched().then(Then::Resolve));
        }
        let loaded = answers.next().ok_or_else(nonsense)?;
        if role == Role::Primary {
            sound(loaded)?;
        }
        let now_us = time(sound(answers.last().ok_or_else(nonsense)?)?)?;
        Ok(Dialled { connection, now_us, asked })
    })
    .await
}

/// Connects to whom no data is asked of: a Sentinel, or a server that only knows the Cluster.
pub(crate) async fn bare(
    config: &RedisConfig,
    address: &Address,
    login: &Login,
) -> Result<MultiplexedConnection, Fault> {
    within(config.connect_timeout, address, open(config, address, login, 0, None)).await
}

/// Connects to a server whose pushes are heard.
pub(crate) async fn listening(
    config: &RedisConfig,
    address: &Address,
    ear: Ear,
) -> Result<MultiplexedConnection, Fault> {
    let opened = open(config, address, &config.login, config.database, Some(ear));
    within(config.connect_timeout, address, opened).await
}

async fn within<T>(
    time: Duration,
    address: &Address,
    dialling: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(time, dialling).await {
        Ok(Ok(dialled)) => Ok(dialled),
        Ok(Err(fault)) => Err(fault),
        Err(_elapsed) => {
            let detail = format!(
                "no connection to {address} within {time:?}; check that the server is up and that \
                 nothing in between drops packets"
            );
            Err(Fault::new(ErrorKind::Unavailable, detail).untouched())
        }
    }
}

async fn open(
    config: &RedisConfig,
    address: &Address,
    login: &Login,
    database: u32,
    ear: Option<Ear>,
) -> Result<MultiplexedConnection, Fault> {
    let mut settings = RedisConnectionInfo::default()
        .set_db(database.into())
        .set_lib_name("steadfast", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    // Deadlines are the caller's; the connection has no timeout of its own.
    let mut how = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(config.queue_len_max);
    if let Some(ear) = ear {
        settings = settings.set_protocol(ProtocolVersion::RESP3);
        how = how.set_push_sender(move |push| {
            ear(push);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let client = client(config, address, settings)?;
    Ok(client.get_multiplexed_async_connection_with_config(&how).await?)
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

fn role_in(answer: Value) -> Result<Role, Fault> {
    let Value::Array(parts) = answer else { return Err(nonsense()) };
    match parts.first() {
        Some(Value::BulkString(role)) if role == b"master" => Ok(Role::Primary),
        Some(Value::BulkString(role)) if role == b"slave" => Ok(Role::Replica),
        _ => Err(nonsense()),
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
    ping.cmd("ROLE").cmd("TIME");
    ping
}

/// The answers to [`ping`].
pub(crate) fn pong(answers: Vec<Value>) -> Result<(Role, u64), Fault> {
    let mut answers = answers.into_iter();
    let mut next = || sound(answers.next().ok_or_else(nonsense)?);
    Ok((role_in(next()?)?, time(next()?)?))
}
