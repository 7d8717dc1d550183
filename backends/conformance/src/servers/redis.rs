use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::program::REDIS;
use super::resp::{Connection, Reply};
#[cfg(feature = "tls")]
use super::tls;
use super::wait::wait_for;

/// A Redis (or Valkey) server of the test's own. See the [module](super) page.
///
/// By default it keeps nothing on disk: after [`kill`](Self::kill) and
/// [`restart`](Self::restart) it is empty.
pub struct RedisServer {
    process: Process,
    port: Port,
    socket: PathBuf,
    transport: Transport,
    login: Option<Login>,
}

/// How clients are to reach the server. The Unix socket is always there, for the commands of
/// the test itself: nobody else's server can answer in the private directory.
#[derive(Clone, Copy, Debug)]
enum Transport {
    Tcp,
    #[cfg(feature = "tls")]
    Tls,
    Unix,
}

#[derive(Clone)]
struct Login {
    user: Option<String>,
    password: String,
}

/// What a [`RedisServer`] is started with.
#[derive(Clone)]
#[must_use]
pub struct RedisBuilder {
    directives: Vec<(String, String)>,
    transport: Transport,
    login: Option<Login>,
    is_replica: bool,
    pub(crate) is_sentinel: bool,
}

impl RedisServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    ///
    /// As [`RedisBuilder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server with other settings.
    pub fn builder() -> RedisBuilder {
        RedisBuilder {
            directives: Vec::new(),
            transport: Transport::Tcp,
            login: None,
            is_replica: false,
            is_sentinel: false,
        }
    }

    /// Why tests cannot have a Redis server here: for
    /// [`Suite::ignored_if`](crate::Suite::ignored_if). `None` if one is installed, or if
    /// `STEADFAST_REQUIRE` says that the tests must run.
    pub fn missing() -> Option<&'static str> {
        REDIS.missing()
    }

    /// The address clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port of [`addr`](Self::addr).
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The certificate by which clients know a server of [`RedisBuilder::tls`].
    #[cfg(feature = "tls")]
    pub fn ca_path(&self) -> PathBuf {
        self.socket.with_file_name(tls::CA)
    }

    /// The URL for clients, with the credentials if there are any: `redis://127.0.0.1:12345`,
    /// `rediss://127.0.0.1:12345` or `redis+unix:///path`.
    pub fn url(&self) -> String {
        let login = self.login.as_ref().map(Login::url_part).unwrap_or_default();
        match self.transport {
            Transport::Tcp => format!("redis://{login}{}", self.addr()),
            #[cfg(feature = "tls")]
            Transport::Tls => format!("rediss://{login}{}", self.addr()),
            Transport::Unix => format!("redis+unix://{login}{}", self.socket.display()),
        }
    }

    /// The process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills the process (SIGKILL) and waits for its end. Its port stays reserved.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Starts the server again, after [`kill`](Self::kill) or instead of it: the same port,
    /// directory and settings. Returns when it answers and has loaded its data.
    ///
    /// # Errors
    ///
    /// As [`RedisBuilder::start`].
    pub fn restart(&self) -> io::Result<()> {
        self.process.restart(|pid| is_ready(&self.socket, self.login.as_ref(), pid))
    }

    /// Makes the process stand still (SIGSTOP): its connections stay open, and new ones are
    /// taken by the system, but nothing answers.
    ///
    /// # Errors
    ///
    /// When the server is down.
    pub fn pause(&self) -> io::Result<()> {
        self.process.pause()
    }

    /// Lets a paused process go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When the server is down.
    pub fn resume(&self) -> io::Result<()> {
        self.process.resume()
    }

    /// Whether it was neither killed nor paused, nor ended by itself.
    pub(crate) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Sends one command and returns the reply as text: an array one element a line, nil as "".
    ///
    /// It goes through the Unix socket on a connection of its own, so that no proxy and no
    /// broken TCP path is in its way. The server counts it like any other command.
    ///
    /// # Errors
    ///
    /// An error reply, with its text; a server that is down or does not answer.
    pub fn command(&self, command: &[&str]) -> io::Result<String> {
        self.call(command)?.text()
    }

    /// What a value of the type string holds; `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command), and where a value of another type is.
    pub fn value(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        match self.call(&["GET", key])? {
            Reply::Error(message) => Err(io::Error::other(message)),
            reply => Ok(reply.into_bytes()),
        }
    }

    /// Stores other bytes; how long they live stays.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn replace_value(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.call(&[b"SET", key.as_bytes(), value, b"KEEPTTL"])?.text().map(drop)
    }

    pub(crate) fn call<A: AsRef<[u8]>>(&self, command: &[A]) -> io::Result<Reply> {
        connect(&self.socket, self.login.as_ref())?.call(command)
    }

    /// One field of `INFO section`.
    ///
    /// # Errors
    ///
    /// When there is no such field, or as [`command`](Self::command).
    pub fn stat(&self, section: &str, field: &str) -> io::Result<String> {
        let info = self.command(&["INFO", section])?;
        field_of(&info, field).map(str::to_owned).ok_or_else(|| {
            let message = format!("INFO {section} has no field {field}");
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }

    /// How often the server ran a command since its start or `CONFIG RESETSTAT`. A name is in
    /// lower case, with a subcommand `client|list`.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn calls(&self, command: &str) -> io::Result<u64> {
        let stats = self.command(&["INFO", "commandstats"])?;
        let calls = field_of(&stats, &format!("cmdstat_{command}"))
            .and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok());
        Ok(calls.unwrap_or(0))
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl RedisBuilder {
    /// Adds a line of `redis.conf`, with the value as it stands there.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Has [`RedisServer::url`] name the Unix socket.
    pub fn unix_socket(mut self) -> Self {
        self.transport = Transport::Unix;
        self
    }

    /// Takes only TLS on its port, with a new certificate for `localhost` and `127.0.0.1`. Who
    /// trusts [`RedisServer::ca_path`] trusts it; clients need no certificate.
    #[cfg(feature = "tls")]
    pub fn tls(mut self) -> Self {
        self.transport = Transport::Tls;
        self
    }

    /// Asks every client for this password (`requirepass`).
    pub fn password(mut self, password: &str) -> Self {
        self.login = Some(Login { user: None, password: password.into() });
        self.arg("requirepass", &quoted(password))
    }

    /// Lets this user do everything, and clients without a name nothing.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.login = Some(Login { user: Some(name.into()), password: password.into() });
        let rule = format!("{} on {} ~* &* +@all", quoted(name), quoted(&format!(">{password}")));
        self.arg("user", &rule).arg("user", "default off")
    }

    /// Makes it a replica of a running server. The start waits until they are in step.
    pub fn replica_of(mut self, master: &RedisServer) -> Self {
        self.is_replica = true;
        if let Some(Login { user, password }) = &master.login {
            if let Some(user) = user {
                self = self.arg("masteruser", &quoted(user));
            }
            self = self.arg("masterauth", &quoted(password));
        }
        self.arg("replicaof", &format!("127.0.0.1 {}", master.port()))
    }

    /// Keeps the data over a [`restart`](RedisServer::restart), each write on disk before its
    /// answer.
    pub fn persist(self) -> Self {
        self.arg("appendonly", "yes").arg("appendfsync", "always")
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// When the binary is missing, with how to get it; when it ends or does not get ready, with
    /// what it printed.
    pub fn start(self) -> io::Result<RedisServer> {
        let dir = tempfile::tempdir()?;
        let port = Port::reserve()?;
        let socket = dir.path().join("redis.sock");
        #[cfg(feature = "tls")]
        if let Transport::Tls = self.transport {
            tls::write_files(dir.path())?;
        }
        fs::write(dir.path().join("redis.conf"), self.config(&dir, &port, &socket))?;
        let mut args = vec![OsString::from("redis.conf")];
        args.extend(self.is_sentinel.then(|| "--sentinel".into()));
        let ready = |pid| is_ready(&socket, self.login.as_ref(), pid);
        let process = Process::start(&REDIS, args, dir, ready)?;
        let Self { transport, login, is_replica, .. } = self;
        let server = RedisServer { process, port, socket, transport, login };
        if is_replica {
            wait_for("the first synchronization", || {
                let status = server.stat("replication", "master_link_status")?;
                Ok((status == "up").then_some(()))
            })?;
        }
        Ok(server)
    }

    /// A file rather than arguments: every version reads it alike, and passwords stay out of
    /// the list of processes.
    fn config(&self, dir: &TempDir, port: &Port, socket: &Path) -> String {
        let own = [
            ("bind", "127.0.0.1".into()),
            ("unixsocket", quoted(&socket.to_string_lossy())),
            ("daemonize", "no".into()),
            ("dir", quoted(&dir.path().to_string_lossy())),
        ];
        let server = [
            ("save", "\"\"".into()),
            ("appendonly", "no".into()),
            // Without a disk, a master sends no writes until a new replica reports, after a second.
            ("repl-diskless-sync", "no".into()),
        ];
        let server = server.into_iter().filter(|_| !self.is_sentinel);
        let own = own
            .into_iter()
            .chain(self.listening(port))
            .chain(server)
            .map(|(name, value)| format!("{name} {value}\n"));
        let given = self.directives.iter().map(|(name, value)| format!("{name} {value}\n"));
        own.chain(given).collect()
    }

    fn listening(&self, port: &Port) -> Vec<(&'static str, String)> {
        match self.transport {
            #[cfg(feature = "tls")]
            Transport::Tls => tls::directives(port.number()),
            Transport::Tcp | Transport::Unix => vec![("port", port.number().to_string())],
        }
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl Login {
    /// `user:password@`, each byte that could mean something else escaped.
    fn url_part(&self) -> String {
        let escaped = |text: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let escape = |byte| match byte {
                byte if plain(byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            };
            text.bytes().map(escape).collect()
        };
        let user = self.user.as_deref().map(escaped).unwrap_or_default();
        format!("{user}:{}@", escaped(&self.password))
    }
}

/// A value of `redis.conf` that may hold spaces and quotes.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn connect(socket: &Path, login: Option<&Login>) -> io::Result<Connection> {
    let mut connection = Connection::open(socket)?;
    if let Some(Login { user, password }) = login {
        let user = user.as_deref().into_iter();
        let auth = ["AUTH"].into_iter().chain(user).chain([password.as_str()]);
        connection.call(&auth.collect::<Vec<_>>())?.text()?;
    }
    Ok(connection)
}

/// Whether this very process answers and has its data. While it loads, PING is an error.
fn is_ready(socket: &Path, login: Option<&Login>, pid: u32) -> io::Result<bool> {
    let mut connection = connect(socket, login)?;
    connection.call(&["PING"])?.text()?;
    let info = connection.call(&["INFO", "server"])?.text()?;
    Ok(field_of(&info, "process_id") == Some(&pid.to_string()))
}

pub(crate) fn field_of<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
}
