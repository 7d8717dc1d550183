//! A running demo, killed when the test ends.

use std::any::Any;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use steadfast_conformance::servers::{MemcachedServer, RedisCluster, RedisServer};
use tempfile::TempDir;

use crate::client::{Client, WAIT_MAX};

/// Runs each test of a file on each store that the demo can be started with.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        $crate::server::on_lasting_stores!($($test),+);
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::new("memory:")).await;
            })+
        }
    };
}
pub(crate) use on_every_store;

/// As above, where the state outlives the demo's process.
macro_rules! on_lasting_stores {
    ($($test:ident),+ $(,)?) => {
        mod memcached {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::memcached()).await;
            })+
        }
        mod redb {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::redb()).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::redis()).await;
            })+
        }
        mod sled {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::sled()).await;
            })+
        }
    };
}
pub(crate) use on_lasting_stores;

/// A busy machine is no outage.
const PATIENCE: &str = "timeout=20s&connect_timeout=20s";

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A working directory and the environment that demos are started with in it.
#[derive(Clone)]
pub(crate) struct Home {
    dir: Arc<TempDir>,
    /// The server that keeps the state, where there is one.
    store: Arc<dyn Any + Send + Sync>,
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(state_url: &str) -> Self {
        Self::beside((), state_url)
    }

    pub(crate) fn redb() -> Self {
        Self::new("redb:./data/demo.redb")
    }

    pub(crate) fn sled() -> Self {
        Self::new("sled:./data/demo.sled")
    }

    /// A server of the test's own.
    pub(crate) fn memcached() -> Self {
        let server = MemcachedServer::start().unwrap();
        let url = format!("{}?timeout=20s", server.url());
        Self::beside(server, &url)
    }

    /// A server of the test's own.
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start().unwrap();
        let url = format!("{}?{PATIENCE}", server.url());
        Self::beside(server, &url)
    }

    /// Three servers of the test's own.
    pub(crate) fn redis_cluster() -> Self {
        let cluster = RedisCluster::start(3, 0).unwrap();
        let url = format!("{}?{PATIENCE}", cluster.url());
        Self::beside(cluster, &url)
    }

    fn beside(store: impl Any + Send + Sync, state_url: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let home = Self { dir, store: Arc::new(store), env: Vec::new() };
        let home = home.env("STATE_URL", state_url).env("PORT", "0");
        // Beside the data of a server there is no place to keep one.
        if state_url.contains("://") { home.env("JWT_SECRET", SECRET) } else { home }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With its store open.
    pub(crate) fn start(&self) -> Server {
        self.start_at_once().with_its_store()
    }

    /// The port is announced after a second, also if the store is not open by then.
    pub(crate) fn start_at_once(&self) -> Server {
        self.run(self.command())
    }

    /// With a limit to its file descriptors.
    pub(crate) fn start_with_descriptors(&self, max: u32) -> Server {
        let mut shell = Command::new("sh");
        let line = format!("ulimit -n {max}; exec {}", env!("CARGO_BIN_EXE_steadfast-demo"));
        shell.args(["-c", &line]);
        self.run(self.set_up(shell)).with_its_store()
    }

    fn run(&self, mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("the first line is {line:?}; {stderr}");
        };
        let place = (self.dir.clone(), self.store.clone());
        let log = BufReader::new(child.stderr.take().unwrap());
        Server { client: Client::new(url), child, log, _place: place }
    }

    /// For a start that must fail: what it printed.
    pub(crate) fn refuse(&self) -> Output {
        let output = self.command().stdout(Stdio::piped()).output().unwrap();
        assert!(!output.status.success(), "it started");
        output
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn command(&self) -> Command {
        self.set_up(Command::new(env!("CARGO_BIN_EXE_steadfast-demo")))
    }

    fn set_up(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path()).env_clear().env("RUST_LOG", "warn");
        command.envs(self.env.iter().cloned()).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// One demo process.
pub(crate) struct Server {
    pub(crate) client: Client,
    child: Child,
    log: BufReader<ChildStderr>,
    /// Its files and its store stay until it ends.
    _place: (Arc<TempDir>, Arc<dyn Any + Send + Sync>),
}

impl Server {
    fn with_its_store(self) -> Self {
        let (address, started) = (self.client.url.trim_start_matches("http://"), Instant::now());
        let starts = || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer.contains("the service starts"))
        };
        while starts().unwrap() {
            assert!(started.elapsed() < WAIT_MAX, "its store never opens");
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As above; what it has logged since this was last looked at.
    pub(crate) fn kill_for_log(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        log
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for its end, which must not be a success; what it has logged.
    pub(crate) fn wait_for_failure(mut self) -> String {
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert!(!self.child.wait().unwrap().success());
        log
    }

    /// Waits until it has logged this.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it ended without {text:?}");
        }
    }

    /// The processor time it has used, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name in parentheses, user and system time are the 12th and 13th.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already; that is what `kill` is for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
