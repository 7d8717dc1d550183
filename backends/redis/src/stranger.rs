//! Who is there, where a server takes connections and cannot be understood.
//!
//! The client library keeps nothing of an answer that it cannot read, so the question is put again,
//! on a connection of its own: without a login, and before anybody has spoken with the server. Only
//! what it says itself counts. One that says nothing may be about to die, or to start.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use steadfast_backend::ErrorKind;

use crate::config::{Address, RedisConfig, Servers};
use crate::error::Fault;

/// Redis answers the first line and passes over the second, which ends the head of a request to an
/// HTTP server.
const PING: &[u8] = b"PING\r\n\r\n";
/// With so many bytes of an answer it is told whose it is.
const ENOUGH: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Redis,
    /// An error in Redis's protocol, such as of a port or a proxy that takes TLS only.
    Error,
    Tls,
    Http,
    Memcached,
    Other,
}

/// Why this is certainly the wrong server, if it is. A handshake of TLS has failed, where that is
/// asked for.
pub(crate) async fn wrong(
    config: &RedisConfig,
    address: &Address,
    is_encrypted: bool,
    has_answered: bool,
) -> Option<Fault> {
    let asked = tokio::time::timeout(config.connect_timeout / 2, ask(address, is_encrypted));
    let scheme = match config.servers {
        Servers::Single(_) => "",
        Servers::Cluster(_) => "-cluster",
        Servers::Sentinel { .. } => "-sentinel",
    };
    let detail = match (asked.await.ok()??, is_encrypted) {
        (Speech::Redis, false) | (Speech::Tls, true) | (Speech::Error, _) => return None,
        // A proxy that passes TLS on to a server that is away may answer plain text like this.
        (Speech::Http | Speech::Other, true) if !has_answered => return None,
        (Speech::Redis, true) => {
            format!("this server expects no TLS; connect to it as redis{scheme}://HOST")
        }
        (Speech::Tls, false) => {
            format!("this server expects TLS; connect to it as rediss{scheme}://HOST")
        }
        (Speech::Http, _) => {
            "this is an HTTP server, not Redis; check the host and the port".into()
        }
        (Speech::Memcached, _) => "this is a Memcached server, not Redis; connect to it as \
                                   memcached://HOST, or check the host and the port"
            .into(),
        (Speech::Other, _) => {
            "what answers here is neither Redis nor Valkey; check the host and the port".into()
        }
    };
    Some(Fault::new(ErrorKind::Config, detail).untouched())
}

/// `None` if nobody says a word.
async fn ask(address: &Address, is_encrypted: bool) -> Option<Speech> {
    match (answer(address, PING).await, is_encrypted) {
        (Some(answer), _) => Some(speech(&answer)),
        (None, true) => None,
        // Many that expect TLS hang up without a word when they hear something else.
        (None, false) => answer(address, &tls_hello()).await.map(|answer| speech(&answer)),
    }
}

async fn answer(address: &Address, question: &[u8]) -> Option<Vec<u8>> {
    match address {
        Address::Tcp(host, port) => {
            said(TcpStream::connect((host.as_str(), *port)).await.ok()?, question).await
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            said(tokio::net::UnixStream::connect(path).await.ok()?, question).await
        }
        #[cfg(not(unix))]
        Address::Unix(_path) => None,
    }
}

async fn said(mut stream: impl AsyncRead + AsyncWrite + Unpin, question: &[u8]) -> Option<Vec<u8>> {
    // Who speaks first may have hung up already.
    let _ = stream.write_all(question).await;
    let mut said = Vec::new();
    while said.len() < ENOUGH && stream.read_buf(&mut said).await.is_ok_and(|len| len > 0) {}
    (!said.is_empty()).then_some(said)
}

fn speech(answer: &[u8]) -> Speech {
    match answer {
        [b'-'] | [b'-', b'E', ..] => Speech::Error,
        [b'+' | b'-' | b'$' | b':', ..] | [b'*', b'0'..=b'9', ..] => Speech::Redis,
        // An alert, or the next step of the handshake.
        [0x15 | 0x16, 3, ..] => Speech::Tls,
        [b'<', ..] => Speech::Http,
        _ if answer.starts_with(b"HTTP/") => Speech::Http,
        _ if answer.starts_with(b"ERROR") => Speech::Memcached,
        _ => Speech::Other,
    }
}

/// The smallest `ClientHello` there is. Whatever it lacks, the server says so in TLS.
fn tls_hello() -> Vec<u8> {
    let (record, handshake) = ([0x16, 3, 1, 0, 45], [1, 0, 0, 41]);
    let (version, random, session) = ([3, 3], [0; 32], [0]);
    let (ciphers, compression) = ([0, 2, 0xc0, 0x2f], [1, 0]);
    [&record[..], &handshake, &version, &random, &session, &ciphers, &compression].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_is_told_by_the_first_bytes() {
        for (answer, whose) in [
            (&b"+PONG\r\n"[..], Speech::Redis),
            (b"-NOAUTH Authentication required.\r\n", Speech::Redis),
            (b"-LOADING Redis is loading the dataset in memory\r\n", Speech::Redis),
            (b"-ERR unencrypted connection is prohibited\r\n", Speech::Error),
            (b"-", Speech::Error),
            (b"\x15\x03\x03\x00\x02\x02\x32", Speech::Tls),
            (b"\x16\x03\x03\x00\x7a", Speech::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", Speech::Http),
            (b"<html>", Speech::Http),
            (b"ERROR\r\nERROR\r\n", Speech::Memcached),
            (b"SSH-2.0-x\r\n", Speech::Other),
            (b"220 mail\r\n", Speech::Other),
            (b"* OK mail\r\n", Speech::Other),
            (b"\x15", Speech::Other),
        ] {
            assert_eq!(speech(answer), whose, "{answer:?}");
        }
    }

    #[test]
    fn the_lengths_in_the_greeting_are_those_of_what_follows() {
        let hello = tls_hello();
        assert_eq!((hello[4] as usize, hello[8] as usize), (hello.len() - 5, hello.len() - 9));
    }
}
