//! The connection that watches over a server. It speaks the text protocol, because `stats` is not
//! part of the meta protocol.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use steadfast_backend::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::clock::ServerClock;
use crate::error;

/// Since then `ms` takes the length as its second word and answers with the CAS number.
const VERSION_MIN: [u32; 3] = [1, 6, 10];
/// Many times what the statistics of a server take.
const REPLY_BYTES_MAX: usize = 64 << 10;
const END: &[u8] = b"END\r\n";

/// A connection to a server that is fit to be used.
#[derive(Debug)]
pub(crate) struct Admin {
    stream: TcpStream,
    address: SocketAddr,
    limit: Duration,
}

/// A server as it was found.
pub(crate) struct Found {
    pub(crate) admin: Admin,
    pub(crate) clock: ServerClock,
    pub(crate) stats: Stats,
    /// The longest item it takes, in bytes.
    pub(crate) item_len_max: usize,
}

/// What a server said of itself.
#[derive(Debug)]
pub(crate) struct Stats {
    text: String,
    asked: Instant,
    answered: Instant,
}

impl Admin {
    /// Finds the server of this name and sees whether it is fit to be used: the first of its
    /// addresses that answers. Gives each step this time.
    pub(crate) async fn open(name: &str, limit: Duration) -> Result<Found> {
        let mut failed = unknown(name);
        for address in resolve(name, limit).await? {
            match Self::open_at(address, limit).await {
                Ok(found) => return Ok(found),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn open_at(address: SocketAddr, limit: Duration) -> Result<Found> {
        let dialled = timeout(limit, TcpStream::connect(address)).await;
        let stream = dialled.map_err(|_| error::no_answer())?.map_err(error::unreachable_now)?;
        stream.set_nodelay(true).map_err(error::unreachable_now)?;
        let mut admin = Self { stream, address, limit };
        // The settings first: a server that stood still until now has moved on when it then shows
        // its clock.
        let settings = admin.ask("stats settings").await?;
        let stats = admin.stats().await?;
        check_version(stats.text("version"))?;
        if settings.text("cas_enabled") == Some("no") {
            return Err(unfit("it gives its items no CAS numbers; start it without -C"));
        }
        let item_len_max = settings.number("item_size_max").and_then(|len| len.try_into().ok());
        let item_len_max = item_len_max.ok_or_else(|| unfit("it names no item_size_max"))?;
        let clock = stats.clock().ok_or_else(|| unfit("it shows no time"))?;
        Ok(Found { admin, clock, stats, item_len_max })
    }

    /// Gives each question this time from now on.
    pub(crate) fn wait_up_to(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stats(&mut self) -> Result<Stats> {
        self.ask("stats").await
    }

    /// Waits until the server closes the connection, which it does when it ends.
    pub(crate) async fn closed(&self) {
        // Between questions it has nothing to say, so whatever can be read is the end.
        if self.stream.readable().await.is_ok() {
            let mut byte = [0];
            while matches!(self.stream.try_read(&mut byte), Err(error) if would_block(&error)) {
                if self.stream.readable().await.is_err() {
                    break;
                }
            }
        }
    }

    /// After an error, or when it is dropped half-way, the connection is of no use any more.
    async fn ask(&mut self, command: &str) -> Result<Stats> {
        let limit = self.limit;
        match timeout(limit, self.exchange(command)).await {
            Ok(answer) => answer,
            Err(_) => Err(error::no_answer()),
        }
    }

    async fn exchange(&mut self, command: &str) -> Result<Stats> {
        let asked = Instant::now();
        let request = format!("{command}\r\n");
        self.stream.write_all(request.as_bytes()).await.map_err(error::unreachable_now)?;
        let mut reply = Vec::new();
        loop {
            let read = self.stream.read_buf(&mut reply).await.map_err(error::unreachable_now)?;
            if read == 0 {
                return Err(error::unreachable_now(io::ErrorKind::UnexpectedEof.into()));
            }
            let begins = reply.starts_with(b"STAT ") || reply.len() < 5;
            if !begins || reply.len() > REPLY_BYTES_MAX {
                return Err(refusal(&reply));
            }
            if reply.ends_with(END) {
                let text = String::from_utf8_lossy(&reply).into_owned();
                return Ok(Stats { text, asked, answered: Instant::now() });
            }
        }
    }
}

impl Stats {
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// What it shows of the server's clock.
    pub(crate) fn clock(&self) -> Option<ServerClock> {
        let second = self.number("time")?;
        Some(ServerClock::shown(second, self.asked, self.answered))
    }

    /// From the question to the answer.
    pub(crate) fn took(&self) -> Duration {
        self.answered.duration_since(self.asked)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' ').map(str::trim)
        })
    }
}

/// What a server means that does not answer with its statistics.
fn refusal(reply: &[u8]) -> Error {
    let what = match reply {
        [b'-' | b'+', ..] => "a Redis server, not Memcached (that is redis://HOST)",
        [b'<', ..] => "an HTTP server, not Memcached",
        // An alert of TLS.
        [0x15, 3, ..] => "a server that expects TLS, which this backend does not speak",
        _ if reply.starts_with(b"HTTP/") => "an HTTP server, not Memcached",
        _ if reply.starts_with(b"CLIENT_ERROR unauthenticated") => {
            return unfit("it wants a password, which cannot be given; start it without -Y");
        }
        _ if reply.starts_with(b"ERROR Too many open connections") => {
            let detail = "it has as many connections as it takes; raise -c, or close some";
            return Error::new(ErrorKind::Unavailable, detail);
        }
        _ if reply.starts_with(b"SERVER_ERROR") => {
            let detail = "it could not tell its statistics; see whether it has memory left";
            return Error::new(ErrorKind::Unavailable, detail);
        }
        _ => "not a Memcached server",
    };
    unfit(&format!("it is {what}; check the host and the port"))
}

/// The addresses a name has now.
pub(crate) async fn resolve(name: &str, limit: Duration) -> Result<Vec<SocketAddr>> {
    let found = timeout(limit, lookup_host(name)).await.map_err(|_| unknown(name))?;
    Ok(found.map_err(|error| unknown(name).caused_by(error))?.collect())
}

fn unknown(name: &str) -> Error {
    let detail = format!("the name {name} has no address now; look at the name service");
    Error::new(ErrorKind::Unavailable, detail)
}

fn unfit(why: &str) -> Error {
    Error::new(ErrorKind::Config, why)
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn check_version(version: Option<&str>) -> Result<()> {
    let version = version.unwrap_or("unknown");
    let mut parts = version.split(|char: char| !char.is_ascii_digit());
    let mut part = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0_u32);
    if [part(), part(), part()] < VERSION_MIN {
        let [major, minor, patch] = VERSION_MIN;
        let detail = format!(
            "its version is {version}, and this backend needs the meta protocol of \
             {major}.{minor}.{patch} or later; upgrade it"
        );
        return Err(unfit(&detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_without_the_meta_protocol_is_refused() {
        for version in ["1.6.10", "1.6.18", "1.6.41-extstore", "1.7.0", "2.0"] {
            assert!(check_version(Some(version)).is_ok(), "{version}");
        }
        for version in [Some("1.6.9"), Some("1.5.22"), Some("mcrouter"), None] {
            let error = check_version(version).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("1.6.10"), "{error}");
        }
    }

    #[test]
    fn a_statistic_is_found_by_its_whole_name() {
        let now = Instant::now();
        let text = "STAT time 17\r\nSTAT time_in_listen_disabled_us 9\r\nEND\r\n".to_owned();
        let stats = Stats { text, asked: now, answered: now };
        assert_eq!(stats.number("time"), Some(17));
        assert_eq!(stats.number("tim"), None);
    }
}
