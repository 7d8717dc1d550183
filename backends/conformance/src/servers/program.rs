use std::env;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

/// A server's binary.
#[derive(Debug)]
pub(crate) struct Program {
    /// As `STEADFAST_REQUIRE` names it.
    name: &'static str,
    /// As the `PATH` knows it.
    binary: &'static str,
    /// The environment variable with another path.
    variable: &'static str,
    /// What a test needs that cannot run without it.
    need: &'static str,
    /// The Debian package.
    package: &'static str,
}

pub(crate) const REDIS: Program = Program {
    name: "redis",
    binary: "redis-server",
    variable: "STEADFAST_REDIS_SERVER",
    need: "needs redis-server, which is not installed",
    package: "redis-server",
};

pub(crate) const MEMCACHED: Program = Program {
    name: "memcached",
    binary: "memcached",
    variable: "STEADFAST_MEMCACHED",
    need: "needs memcached, which is not installed",
    package: "memcached",
};

impl Program {
    pub(crate) fn command(&self) -> Command {
        Command::new(env::var_os(self.variable).unwrap_or_else(|| OsString::from(self.binary)))
    }

    /// Why a test cannot run here, unless it must run.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let required = env::var("STEADFAST_REQUIRE").unwrap_or_default();
        let required = required.split(',').any(|name| name.trim() == self.name);
        // A path that was given and does not exist is a mistake, which the start reports.
        if required || env::var_os(self.variable).is_some() {
            return None;
        }
        let tried = self.command().arg("--version").stdout(Stdio::null()).status();
        let absent = tried.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        absent.then_some(self.need)
    }

    /// Says what to do about a binary that did not start.
    pub(crate) fn explain(&self, error: &io::Error) -> io::Error {
        let Self { binary, variable, package, .. } = self;
        let path = self.command().get_program().to_string_lossy().into_owned();
        let message = format!(
            "cannot run `{path}`: {error}; install it (Debian: `apt-get install {package}`), \
             or set {variable} to the path of a {binary}"
        );
        io::Error::new(error.kind(), message)
    }

    pub(crate) fn binary(&self) -> &'static str {
        self.binary
    }
}
