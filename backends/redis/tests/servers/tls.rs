use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use steadfast_backend::{Backend, ErrorKind, Start, Write};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers, Tls};

use crate::{eventually, key};

fn encrypted(server: &RedisServer, roots_of: &RedisServer) -> RedisConfig {
    // The certificate is for this name.
    encrypted_at(Address::tcp("localhost", server.port()), roots_of)
}

fn encrypted_at(address: Address, roots_of: &RedisServer) -> RedisConfig {
    let mut config = RedisConfig::new(Servers::Single(address));
    let roots_pem = std::fs::read(roots_of.ca_path()).unwrap();
    config.tls = Some(Tls { roots_pem: Some(roots_pem), client_pem: None });
    config
}

#[tokio::test]
async fn encrypted_connections_work_and_tell_of_changes() {
    let server = RedisServer::builder().tls().start().unwrap();
    let backend = RedisBackend::connect(encrypted(&server, &server)).await.unwrap();
    assert!(backend.write(&Write::put(key("k"), "v")).await.unwrap().is_applied());
    assert_eq!(backend.get(&key("k")).await.unwrap().unwrap().value, "v");
    assert!(backend.info().capabilities.invalidations);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let (server, other) = (RedisServer::builder().tls(), RedisServer::builder().tls());
    let (server, other) = (server.start().unwrap(), other.start().unwrap());
    let mut config = encrypted(&server, &other);
    config.timeout = Duration::from_millis(200);
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_is_a_mistake_in_the_settings() {
    let mut config = RedisConfig::new(Servers::Single(Address::tcp("127.0.0.1", 1)));
    config.tls = Some(Tls { roots_pem: Some(b"no PEM".to_vec()), client_pem: None });
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

/// What a proxy does with those who speak TLS.
#[derive(Clone, Copy, Debug)]
enum Handshake {
    HungUp,
    /// It is finished, and then this is said in TLS.
    Finished(&'static str),
}

/// A proxy with the certificate of this server, whose own server is away. It says this to all who
/// speak plain text.
fn proxy(server: &RedisServer, handshake: Handshake, plain: &'static str) -> Address {
    let file = |name| server.ca_path().with_file_name(name);
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = rustls::ServerConfig::builder().with_no_client_auth();
    let settings = Arc::new(settings.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::tcp("127.0.0.1", listener.local_addr().unwrap().port());
    let answer = move |mut stream: TcpStream| -> std::io::Result<()> {
        let (mut first, mut request) = ([0], [0; 4096]);
        stream.peek(&mut first)?;
        match handshake {
            _ if first != [0x16] => {
                let _ = stream.read(&mut request)?;
                stream.write_all(plain.as_bytes())
            }
            Handshake::HungUp => Ok(()),
            Handshake::Finished(answer) => {
                let mut tls = rustls::ServerConnection::new(Arc::clone(&settings)).unwrap();
                let mut tls = rustls::Stream::new(&mut tls, &mut stream);
                let _ = tls.read(&mut request)?;
                tls.write_all(answer.as_bytes())
            }
        }
    };
    std::thread::spawn(move || {
        // Who asked may have gone.
        listener.incoming().flatten().for_each(|stream| answer(stream).unwrap_or_default());
    });
    address
}

const HTTP: &str = "HTTP/1.1 400 Bad Request\r\n\r\n";
const PROHIBITED: &str = "-ERR unencrypted connection is prohibited\r\n";

#[tokio::test]
async fn a_proxy_whose_server_is_away_is_no_stranger_by_its_plain_text() {
    let server = RedisServer::builder().tls().start().unwrap();
    let connecting = [
        (Handshake::Finished(""), HTTP),
        (Handshake::Finished(""), "+PONG\r\n"),
        (Handshake::Finished("HTTP/1.1 502 Bad Gateway\r\n\r\n"), HTTP),
        (Handshake::HungUp, HTTP),
        (Handshake::HungUp, "<html>400</html>"),
        (Handshake::HungUp, PROHIBITED),
        (Handshake::HungUp, "\0\0\0\0\0"),
    ]
    .map(|(handshake, plain)| {
        let config = encrypted_at(proxy(&server, handshake, plain), &server);
        (handshake, plain, tokio::spawn(RedisBackend::connect(config)))
    });
    for (handshake, plain, connecting) in connecting {
        let error = connecting.await.unwrap().unwrap_err();
        assert!(error.is_outage(), "{handshake:?}, {plain:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_named_whatever_is_said_in_plain_text() {
    let (server, other) = (RedisServer::builder().tls(), RedisServer::builder().tls());
    let (server, other) = (server.start().unwrap(), other.start().unwrap());
    for plain in [HTTP, PROHIBITED, "+PONG\r\n"] {
        let address = proxy(&server, Handshake::Finished(""), plain);
        let mut config = encrypted_at(address, &other);
        config.start = Start::Disconnected;
        let backend = RedisBackend::connect(config).await.unwrap();
        eventually("the certificate is named", async || {
            let error = backend.check().await.unwrap_err();
            assert!(error.is_outage(), "{plain:?}: {error:?}");
            error.to_string().contains("certificate")
        })
        .await;
    }
}
