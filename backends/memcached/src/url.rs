//! The settings as a URL tells them.

use steadfast_backend::{Error, ErrorKind, Result, StoreUrl};

use crate::config::{CONNECTIONS_MAX, DEFAULT_PORT, MemcachedConfig, WEIGHT_MAX};

impl MemcachedConfig {
    /// The settings that a URL tells: `memcached://host[:11211],host2…`, with these options.
    ///
    /// | option | what |
    /// | --- | --- |
    /// | `timeout` | as `250ms` or `2s` |
    /// | `connections` | how many a server gets from this process, besides the one that watches it |
    /// | `wait` | how long an outage at the start is waited for, as `30s` |
    /// | `start` | `connected`, or `disconnected`: [at once](steadfast_backend::Start::Disconnected) |
    /// | `weights` | those of the servers, in their order: `2,1,1` |
    ///
    /// ```
    /// use steadfast_memcached::MemcachedConfig;
    ///
    /// let url = "memcached://cache-1,cache-2:11212?weights=2,1&timeout=250ms".parse()?;
    /// let config = MemcachedConfig::from_url(url)?;
    /// # let _ = config;
    /// # Ok::<(), steadfast_backend::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is not in this table.
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        if url.scheme() != "memcached" {
            return Err(wrong("the scheme of a Memcached URL is memcached"));
        }
        if url.username().is_some() || url.password().is_some() {
            return Err(wrong("memcached:// takes no user name and no password; leave them out"));
        }
        let servers = url.servers(DEFAULT_PORT)?;
        if !["", "/"].contains(&url.path()) {
            return Err(wrong("memcached:// has no path; leave it out, or use ?namespace=NAME"));
        }
        let allowed = format!("a number from 1 to {WEIGHT_MAX} for each server, as in 2,1,1");
        let weights = url.take_as("weights", &allowed, |text| {
            let weights = text.split(',').map(|weight| weight.parse().ok());
            let weights: Vec<u32> = weights.collect::<Option<_>>()?;
            let fit = weights.iter().all(|weight| (1..=WEIGHT_MAX).contains(weight));
            (fit && weights.len() == servers.len()).then_some(weights)
        })?;
        let weights = weights.unwrap_or_else(|| vec![1; servers.len()]);
        let mut config = Self::without_servers();
        for ((host, port), weight) in servers.into_iter().zip(weights) {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            config = config.weighted_server(format!("{host}:{port}"), weight);
        }
        if let Some(timeout) = url.take_time("timeout")? {
            config = config.timeout(timeout);
        }
        if let Some(connections) = url.take_number("connections", 1..=CONNECTIONS_MAX)? {
            config = config.connections(connections as usize);
        }
        if let Some(start) = url.take_start()? {
            config = config.start(start);
        }
        url.finish()?;
        config.check()?;
        Ok(config)
    }
}

fn wrong(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<MemcachedConfig> {
        MemcachedConfig::from_url(text.parse()?)
    }

    fn servers(text: &str) -> Vec<(String, u32)> {
        let servers = parse(text).unwrap().servers;
        servers.into_iter().map(|server| (server.address, server.weight)).collect()
    }

    #[test]
    fn servers_have_ports_and_weights() {
        let one = |address: &str, weight| (address.to_owned(), weight);
        assert_eq!(servers("memcached://h"), [one("h:11211", 1)]);
        let three = servers("memcached://h1,h2:7,[::1]/?weights=2,1,100");
        assert_eq!(three, [one("h1:11211", 2), one("h2:7", 1), one("[::1]:11211", 100)]);
    }

    #[test]
    fn options_set_what_they_say() {
        let config = parse("memcached://h?timeout=250ms&connections=4").unwrap();
        assert_eq!((config.timeout, config.connections), (Duration::from_millis(250), 4));
    }

    #[test]
    fn what_cannot_work_says_what_can() {
        for (text, word) in [
            ("memcached:h", "memcached://HOST"),
            ("memcache://h", "scheme"),
            ("memcached://canary:canary@h", "no password"),
            ("memcached://h/canary", "no path"),
            ("memcached://h,h", "twice"),
            ("memcached://h1,h2?weights=1", "for each server"),
            ("memcached://h?weights=canary", "for each server"),
            ("memcached://h?weights=101", "1 to 100"),
            ("memcached://h?connections=0", "1 to 1024"),
            ("memcached://h?timeout=0s", "timeout"),
            ("memcached://h?lanes=2", "the option lanes; memcached takes weights, timeout"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            let told = error.to_string();
            assert!(told.contains(word) && !told.contains("canary"), "{text}: {told}");
        }
    }
}
