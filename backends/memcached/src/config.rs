use std::time::Duration;

use steadfast_backend::{Error, ErrorKind, Result, Start};

/// Each unit of weight costs every call a hash of its key.
pub(crate) const WEIGHT_MAX: u32 = 100;
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
pub(crate) const CONNECTIONS_MAX: u32 = 1_024;
pub(crate) const DEFAULT_PORT: u16 = 11_211;

/// Which servers a [`MemcachedBackend`](crate::MemcachedBackend) uses, and how. An address turns
/// into one.
///
/// ```
/// use std::time::Duration;
/// use steadfast_memcached::MemcachedConfig;
///
/// let config = MemcachedConfig::new("cache-1:11211")
///     .server("cache-2:11211")
///     .weighted_server("cache-3:11211", 2) // twice the memory
///     .timeout(Duration::from_millis(250));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct MemcachedConfig {
    pub(crate) servers: Vec<ServerConfig>,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) start: Start,
}

#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    /// `host:port`; with the weight, it decides which keys live there.
    pub(crate) address: String,
    pub(crate) weight: u32,
}

impl MemcachedConfig {
    /// One server: `host:port`, or `host` for port 11211.
    ///
    /// The text is what decides which keys live there, not what it resolves to: write it alike on
    /// every node, and keep it when the machine behind it is replaced.
    pub fn new(address: impl Into<String>) -> Self {
        Self::without_servers().server(address)
    }

    pub(crate) fn without_servers() -> Self {
        let (timeout, start) = (Duration::from_secs(1), Start::default());
        Self { servers: Vec::new(), timeout, connections: 2, start }
    }

    /// One more server. Adding or removing one moves only the keys that come to it or leave it.
    #[must_use]
    pub fn server(self, address: impl Into<String>) -> Self {
        self.weighted_server(address, 1)
    }

    /// One more server, which gets `weight` times the keys of one of weight 1. A weight is 1 to
    /// 100; small ones are best, since each unit costs every call a few nanoseconds.
    #[must_use]
    pub fn weighted_server(mut self, address: impl Into<String>, weight: u32) -> Self {
        let address = with_port(address.into());
        self.servers.push(ServerConfig { address, weight });
        self
    }

    /// How long a call may take in all, with its wait for a connection and every trip; 1 s unless
    /// set. A server that stays silent for as long is taken for dead.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections a server gets from this process, 1 to 1024; 2 unless set. Calls share
    /// them: requests that are ready together go out together, so more connections are slower,
    /// but a big value holds up fewer calls. One more connection watches over the server.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// When [`connect`](crate::MemcachedBackend::connect) returns. With [`Start::Disconnected`] a
    /// value may have the usual megabyte, and a server that takes less (`-I`) is not used.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What is wrong with the settings, if anything is.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |detail: String| Err(Error::new(ErrorKind::Config, detail));
        for (at, ServerConfig { address, weight }) in self.servers.iter().enumerate() {
            if self.servers[..at].iter().any(|earlier| earlier.address == *address) {
                return wrong(format!("the server {address} is named twice; name it once"));
            }
            if !(1..=WEIGHT_MAX).contains(weight) {
                let detail = format!("{address}: a weight is 1 to {WEIGHT_MAX}, not {weight}");
                return wrong(detail);
            }
        }
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            let timeout = self.timeout;
            return wrong(format!("a timeout is up to an hour and not zero, not {timeout:?}"));
        }
        if !(1..=CONNECTIONS_MAX as usize).contains(&self.connections) {
            let detail = format!(
                "a server gets 1 to {CONNECTIONS_MAX} connections, not {}",
                self.connections
            );
            return wrong(detail);
        }
        Ok(())
    }
}

impl From<&str> for MemcachedConfig {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

impl From<String> for MemcachedConfig {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

/// So that `host` and `host:11211` are the same server.
fn with_port(address: String) -> String {
    let port = address.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        address
    } else {
        format!("{address}:{DEFAULT_PORT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_usual_port() {
        let port = |address: &str| MemcachedConfig::new(address).servers[0].address.clone();
        assert_eq!(port("cache"), "cache:11211");
        assert_eq!(port("cache:11212"), "cache:11212");
        assert_eq!(port("127.0.0.1"), "127.0.0.1:11211");
        assert_eq!(port("[::1]"), "[::1]:11211");
        assert_eq!(port("[::1]:7"), "[::1]:7");
    }

    #[test]
    fn bad_settings_are_refused_with_a_reason() {
        let one = || MemcachedConfig::new("a:1");
        assert!(one().server("b:1").check().is_ok());
        let bad = [
            (one().server("a:1"), "twice"),
            (one().weighted_server("b:1", 0), "weight"),
            (one().weighted_server("b:1", 101), "weight"),
            (one().timeout(Duration::ZERO), "timeout"),
            (one().timeout(Duration::MAX), "timeout"),
            (one().connections(0), "connections"),
            (one().connections(usize::MAX), "connections"),
        ];
        for (config, word) in bad {
            let error = config.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
