//! A running demo, killed when the test ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::client::Client;

/// Runs each test of a file on each store that the demo can be started with here.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::new("memory:")).await;
            })+
        }
        mod redb {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::new("redb:./data/demo.redb")).await;
            })+
        }
        mod sled {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::server::Home::new("sled:./data/demo.sled")).await;
            })+
        }
    };
}
pub(crate) use on_every_store;

/// A working directory and the environment that demos are started with in it.
pub(crate) struct Home {
    dir: Arc<TempDir>,
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(state_url: &str) -> Self {
        let home = Self { dir: Arc::new(tempfile::tempdir().unwrap()), env: Vec::new() };
        home.env("STATE_URL", state_url).env("PORT", "0")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn start(&self) -> Server {
        let mut child = self.command().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("the first line is {line:?}; {stderr}");
        };
        Server { client: Client::new(url), child, _dir: self.dir.clone() }
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

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast-demo"));
        command.current_dir(self.dir.path()).env_clear().envs(self.env.iter().cloned());
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// One demo process.
pub(crate) struct Server {
    pub(crate) client: Client,
    child: Child,
    /// Its files stay until it ends.
    _dir: Arc<TempDir>,
}

impl Server {
    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already; that is what `kill` is for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
