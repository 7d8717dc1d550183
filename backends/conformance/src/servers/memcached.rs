use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::port::Port;
use super::process::Process;
use super::program::MEMCACHED;

/// A server that stands still must not stop the test.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// The answer to `mn`, which is sent after every command: where its reply ends.
const END: &[u8] = b"MN\r\n";

/// A Memcached server of the test's own. See the [module](super) page.
#[derive(Debug)]
pub struct MemcachedServer {
    process: Process,
    port: Port,
}

/// What a [`MemcachedServer`] is started with.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MemcachedBuilder {
    args: Vec<OsString>,
}

impl MemcachedServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    ///
    /// As [`MemcachedBuilder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server with other settings.
    pub fn builder() -> MemcachedBuilder {
        MemcachedBuilder::default()
    }

    /// Why tests cannot have a Memcached server here: for
    /// [`Suite::ignored_if`](crate::Suite::ignored_if). `None` if one is installed, or if
    /// `STEADFAST_REQUIRE` says that the tests must run.
    pub fn missing() -> Option<&'static str> {
        MEMCACHED.missing()
    }

    /// The address clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port of [`addr`](Self::addr).
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL for clients: `memcached://127.0.0.1:12345`.
    pub fn url(&self) -> String {
        format!("memcached://{}", self.addr())
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

    /// Starts the server again, empty, after [`kill`](Self::kill) or instead of it: the same
    /// port and settings.
    ///
    /// # Errors
    ///
    /// As [`MemcachedBuilder::start`].
    pub fn restart(&self) -> io::Result<()> {
        self.process.restart(|pid| is_ready(self.addr(), pid))
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

    /// Sends one command of the text protocol, such as `flush_all` or `set key 0 0 1\r\nx`, on a
    /// connection of its own, and returns the reply as text, lines ended by `\r\n`.
    ///
    /// # Errors
    ///
    /// A server that is down or does not answer. An error reply is a reply.
    pub fn command(&self, command: &str) -> io::Result<String> {
        let reply = ask(self.addr(), command.as_bytes())?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    /// The client flags and the value under a key; `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn item(&self, key: &str) -> io::Result<Option<(u32, Vec<u8>)>> {
        let reply = ask(self.addr(), format!("get {key}").as_bytes())?;
        if reply == b"END\r\n" {
            return Ok(None);
        }
        let item = || {
            let line_len = reply.iter().position(|byte| *byte == b'\n')? + 1;
            let line = std::str::from_utf8(&reply[..line_len]).ok()?;
            let flags = line.split(' ').nth(2)?.parse().ok()?;
            Some((flags, reply[line_len..].strip_suffix(b"\r\nEND\r\n")?.to_owned()))
        };
        item().map(Some).ok_or_else(|| io::Error::other("the server's reply is not an item"))
    }

    /// Stores other bytes, under other client flags, for an hour.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command), and where the server does not store them.
    pub fn replace_item(&self, key: &str, flags: u32, value: &[u8]) -> io::Result<()> {
        let line = format!("set {key} {flags} 3600 {}\r\n", value.len());
        let reply = ask(self.addr(), &[line.as_bytes(), value].concat())?;
        if reply == b"STORED\r\n" {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&reply).into_owned()))
    }

    /// One value of `stats`; `None` if the server does not keep it.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn stat(&self, name: &str) -> io::Result<Option<String>> {
        stat(self.addr(), name)
    }
}

impl MemcachedBuilder {
    /// The memory for items, in megabytes (`-m`).
    pub fn memory_mb(self, megabytes: u32) -> Self {
        self.arg("-m").arg(megabytes.to_string())
    }

    /// Adds an argument of the command line.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// When the binary is missing, with how to get it; when it ends or does not get ready, with
    /// what it printed.
    pub fn start(self) -> io::Result<MemcachedServer> {
        let port = Port::reserve()?;
        let number = port.number().to_string();
        let mut args = ["-l", "127.0.0.1", "-p", &number, "-U", "0"].map(OsString::from).to_vec();
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root unless it is told to.
            args.extend(["-u", "root"].map(OsString::from));
        }
        args.extend(self.args);
        let addr = port.addr();
        let ready = |pid| is_ready(addr, pid);
        let process = Process::start(&MEMCACHED, args, tempfile::tempdir()?, ready)?;
        Ok(MemcachedServer { process, port })
    }
}

/// Whether this very process answers.
fn is_ready(addr: SocketAddr, pid: u32) -> io::Result<bool> {
    Ok(stat(addr, "pid")? == Some(pid.to_string()))
}

fn stat(addr: SocketAddr, name: &str) -> io::Result<Option<String>> {
    let stats = ask(addr, b"stats")?;
    let stats = String::from_utf8_lossy(&stats);
    let value = |line: &str| {
        let value = line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' ')?;
        Some(value.to_owned())
    };
    Ok(stats.lines().find_map(value))
}

fn ask(addr: SocketAddr, command: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(REPLY_LIMIT))?;
    stream.set_write_timeout(Some(REPLY_LIMIT))?;
    stream.write_all(&[command, b"\r\nmn\r\n"].concat())?;
    let (mut reply, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => reply.extend_from_slice(&chunk[..len]),
        }
        let rest = reply.strip_suffix(END);
        if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.ends_with(b"\r\n")) {
            return Ok(rest.to_owned());
        }
    }
}
