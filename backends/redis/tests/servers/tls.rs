use steadfast_backend::{Backend, ErrorKind, Write};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers, Tls};

use crate::key;

fn encrypted(server: &RedisServer, roots_of: &RedisServer) -> RedisConfig {
    // The certificate is for this name.
    let address = Address::tcp("localhost", server.port());
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
    config.timeout = std::time::Duration::from_millis(200);
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
