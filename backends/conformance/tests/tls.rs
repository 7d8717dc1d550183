//! A Redis server with TLS is known by its own authority, and takes nothing in the clear.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use steadfast_conformance::servers::RedisServer;

/// The answer to a ping of `server` by a client that trusts the authority of `trusted`.
fn ping(
    server: &RedisServer,
    name: ServerName<'static>,
    trusted: &RedisServer,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted.ca_path()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(server.addr())?);
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

#[test]
fn redis_speaks_tls_to_those_who_trust_its_authority() {
    let server = RedisServer::builder().tls().start().unwrap();
    let other = RedisServer::builder().tls().start().unwrap();
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    let host = ServerName::try_from("localhost").unwrap();
    let addr = ServerName::IpAddress(IpAddr::from(server.addr().ip()));
    assert_eq!(ping(&server, host, &server).unwrap(), "+PONG\r\n");
    assert_eq!(ping(&server, addr.clone(), &server).unwrap(), "+PONG\r\n");
    let error = ping(&server, addr.clone(), &other).unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    server.restart().unwrap();
    assert_eq!(ping(&server, addr, &server).unwrap(), "+PONG\r\n");
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn redis_with_tls_takes_nothing_in_the_clear() {
    let server = RedisServer::builder().tls().password("secret").start().unwrap();
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    assert!(!String::from_utf8_lossy(&reply).contains("PONG"));
    assert!(server.url().starts_with("rediss://:secret@127.0.0.1:"), "{}", server.url());
}
