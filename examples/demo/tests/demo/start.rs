//! Bad settings stop the start with one line that says what to do.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use steadfast_conformance::servers::{MemcachedServer, RedisServer};

use crate::client::while_told;
use crate::server::{Home, SECRET};

/// Starts, expects the refusal, and gives its one line.
fn refusal(home: &Home) -> String {
    let output = home.refuse();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // Warnings of the log come with a time stamp; the refusal is the line without.
    let lines: Vec<_> = stderr.lines().filter(|line| !line.contains(" WARN ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    // A store that needs longer than a second to say no is refused after the announcement.
    assert!(output.stdout.is_empty() || lines[0].starts_with("STATE_URL: "), "{stderr}");
    lines[0].to_owned()
}

#[test]
fn a_bad_value_names_the_variable_and_what_is_allowed() {
    for (name, value) in [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("HOST", "not a host"),
        ("JWT_SECRET", "canary-short"),
        ("JWT_SECRET", ""),
        ("TOKEN_ISSUER", &"i".repeat(257)),
        ("SESSION_TTL", "0"),
        ("SESSION_TTL", "-1"),
        ("SESSION_MAX_AGE", "1h"),
        ("SESSION_MAX_AGE", "315360001"),
        ("IDEMPOTENCY_TTL", "1e3"),
        ("IDEMPOTENCY_LEASE", "86400"),
        ("ENABLE_METRICS", "yes"),
        ("REPLICA", "one two"),
        ("REPLICA", &"r".repeat(65)),
        ("RUST_LOG", "notalevel"),
        ("RUST_LOG", "info,steadfast=loud"),
        ("STATE_URL", "carrier-pigeon:canary-coop"),
        ("STATE_URL", "redb:"),
        ("STATE_URL", "redb://./data"),
        ("STATE_URL", "redis://user:canary-word@127.0.0.1?canary%20word=1"),
        ("STATE_URL", "redis://user:canary-word@127.0.0.1/canary"),
        ("STATE_URL", "memcached://user:canary-word@127.0.0.1:1"),
        ("STATE_URL", "memcached://127.0.0.1:1/canary"),
    ] {
        let line = refusal(&Home::new("memory:").env(name, value));
        assert!(line.contains(name), "{name}={value}: {line}");
        assert!(!line.contains("canary"), "{line}");
        let helps = ["allowed", "choose", "opens", "form", "takes", "a number", "check ", "leave"];
        let helps = helps.iter().any(|word| line.contains(word));
        assert!(helps, "{name}={value}: {line}");
    }
}

/// As from a file that ends with a new line.
#[test]
fn white_space_around_a_value_is_refused_by_name() {
    for (name, value) in [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("STATE_URL", "redb:./data/canary.redb"),
        ("REDIS_URL", "redis://:canary@127.0.0.1"),
        ("JWT_SECRET", "canary-0123456789abcdef0123456789abcdef"),
        ("TOKEN_ISSUER", "canary"),
        ("SESSION_TTL", "60"),
        ("ENABLE_METRICS", "true"),
        ("REPLICA", "canary"),
        ("RUST_LOG", "warn"),
    ] {
        for value in [format!("{value}\n"), format!(" {value}"), format!("{value}\u{a0}")] {
            let home = if name == "REDIS_URL" { Home::new("") } else { Home::new("memory:") };
            let line = refusal(&home.env(name, &value));
            assert!(line.starts_with(&format!("{name}: ")), "{value:?}: {line}");
            assert!(line.contains("white space") && !line.contains("canary"), "{line}");
        }
    }
}

#[test]
fn help_lists_each_variable_and_route_and_another_argument_is_refused() {
    let home = Home::new("carrier-pigeon:coop");
    let help = home.command().arg("--help").stdout(Stdio::piped()).output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty(), "{help:?}");
    let help = String::from_utf8(help.stdout).unwrap();
    let config = include_str!("../../src/config.rs").split('"').skip(1).step_by(2);
    let is_variable = |word: &&str| {
        word.len() > 3 && word.chars().all(|char| char.is_ascii_uppercase() || char == '_')
    };
    let variables: Vec<_> = config.filter(is_variable).collect();
    assert!(variables.contains(&"SESSION_TTL"), "{variables:?}");
    let app = include_str!("../../src/app.rs").split(".at(\"").skip(1);
    let routes: Vec<_> = app.filter_map(|route| route.split('"').next()).collect();
    assert!(routes.contains(&"/cart/items"), "{routes:?}");
    for word in variables.iter().chain(&routes) {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let refused = home.command().arg("--port").output().unwrap();
    let line = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && line.lines().count() == 1, "{line}");
    assert!(line.contains("--port") && line.contains("--help"), "{line}");
}

#[test]
fn the_log_tells_a_new_secret_from_a_kept_one() {
    let home = Home::redb().env("RUST_LOG", "info");
    for said in ["using a random one, which is kept", "using the kept one"] {
        let log = home.start().kill_for_log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("JWT_SECRET")).collect();
        assert!(lines.len() == 1 && lines[0].contains(said), "{log}");
        assert!(lines[0].contains("data/jwt-secret"), "{log}");
    }
}

/// A middleman's answer has none.
#[tokio::test]
async fn every_answer_names_its_replica() {
    let home = Home::new("memory:");
    let (named, unnamed) = (home.clone().env("REPLICA", "eu-1:[a]").start(), home.start());
    let address = unnamed.client.url.strip_prefix("http://").unwrap();
    for (server, name) in [(&named, "eu-1:[a]"), (&unnamed, address)] {
        for path in ["/", "/livez", "/health", "/cart", "/nowhere"] {
            assert_eq!(server.client.get(path).await.header("x-replica"), Some(name), "{path}");
        }
    }
}

/// The port is announced after a second; all but `/livez` waits for the store.
#[tokio::test]
async fn a_store_that_does_not_answer_does_not_stop_the_start() {
    let redis = RedisServer::start().unwrap();
    let urls = [
        format!("{}?timeout=500ms", redis.url()),
        format!("redis://user:canary-word@{}?timeout=500ms", redis.addr()),
    ];
    redis.kill().unwrap();
    let [right, wrong] = urls.map(|url| {
        Home::new(&url).env("JWT_SECRET", SECRET).env("RUST_LOG", "warn").start_at_once()
    });
    for server in [&right, &wrong] {
        assert_eq!(server.client.get("/livez").await.status, 200);
        for path in ["/", "/health", "/metrics", "/cart", "/nowhere"] {
            let answer = server.client.get(path).await;
            answer.problem(503);
            assert!(answer.header("retry-after").is_some(), "{path}");
        }
    }
    redis.restart().unwrap();
    while_told(&[503], async || right.client.get("/health").await).await;
    let user = right.client.log_in("alice").await;
    assert_eq!(user.add("a", 1, "k").await.status, 201);
    assert!(right.kill_for_log().contains("the store does not answer"));
    // This one is turned away now, with its line.
    let log = tokio::task::spawn_blocking(|| wrong.wait_for_failure()).await.unwrap();
    let line = log.lines().last().unwrap();
    assert!(line.starts_with("STATE_URL: ") && !log.contains("canary"), "{log}");
}

#[test]
fn a_store_that_answers_and_is_wrong_stops_the_start() {
    let redis = RedisServer::start().unwrap();
    let addr = redis.addr();
    for url in [
        format!("redis://user:canary-word@{addr}"),
        format!("redis://{addr}/99"),
        format!("redis-cluster://{addr}"),
        format!("redis-sentinel://{addr}/main"),
    ] {
        let line = refusal(&Home::new(&url).env("JWT_SECRET", SECRET));
        assert!(line.starts_with("STATE_URL: ") && !line.contains("canary"), "{url}: {line}");
    }
}

/// Answers each line as an HTTP server does.
fn http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if stream.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        }
    });
    address
}

#[test]
fn a_server_of_another_kind_stops_the_start() {
    let (redis, memcached) = (RedisServer::start().unwrap(), MemcachedServer::start().unwrap());
    let (redis, memcached, http) = (redis.addr(), memcached.addr(), http());
    for (url, words) in [
        (format!("redis://:canary@{http}"), "an HTTP server"),
        (format!("redis-cluster://{http}"), "an HTTP server"),
        (format!("redis-sentinel://{http}/main"), "an HTTP server"),
        (format!("redis://:canary@{http}?wait=60m"), "an HTTP server"),
        (format!("redis://{memcached}"), "memcached://HOST"),
        (format!("rediss://{redis}"), "no TLS"),
        (format!("memcached://{http}"), "an HTTP server"),
        (format!("memcached://{redis}"), "redis://HOST"),
        (format!("memcached://{redis}?wait=60m"), "redis://HOST"),
    ] {
        let line = refusal(&Home::new(&url).env("JWT_SECRET", SECRET));
        assert!(line.starts_with("STATE_URL: ") && line.contains(words), "{url}: {line}");
        assert!(!line.contains("canary"), "{line}");
    }
}

#[test]
fn a_bad_data_file_stops_the_start_and_is_kept() {
    for (url, file) in [("redb:./data/demo.redb", "demo.redb"), ("sled:./data/demo", "demo/conf")] {
        let home = Home::new(url);
        let path = home.path().join("data").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let foreign = b"somebody else's data".repeat(1_000);
        fs::write(&path, &foreign).unwrap();
        let line = refusal(&home);
        assert!(line.starts_with("STATE_URL: "), "{line}");
        assert_eq!(fs::read(&path).unwrap(), foreign, "{url}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_told() {
    for home in [Home::redb(), Home::sled()] {
        let server = home.start();
        let line = refusal(&home);
        assert!(line.starts_with("STATE_URL: "), "{line}");
        assert_eq!(server.client.get("/health").await.status, 200);
    }
}

#[tokio::test]
async fn a_given_secret_makes_tokens_good_at_every_replica_and_metrics_can_be_off() {
    let home = Home::new("memory:").env("JWT_SECRET", SECRET).env("ENABLE_METRICS", "false");
    let (one, other) = (home.start(), home.start());
    assert_eq!(one.client.get("/metrics").await.status, 404);
    let user = one.client.log_in("alice").await;
    assert_eq!(user.get("/session").await.status, 200);
    // The token is good there too, but the session is in the other process's memory.
    user.at(&other.client).get("/session").await.problem(401);
}

/// Found by an outage of half a minute, whose warnings filled the pipe.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request() {
    let server = Home::new("memory:").env("RUST_LOG", "info").start();
    // Each writes a line, and a pipe holds 64 KiB.
    for _ in 0..1_500 {
        let health = server.client.get("/health");
        let health = tokio::time::timeout(Duration::from_secs(20), health).await;
        assert_eq!(health.unwrap().status, 200);
    }
}

#[test]
fn a_url_is_blamed_on_the_variable_it_came_from() {
    let line = refusal(&Home::new("").env("REDIS_URL", "carrier-pigeon:coop"));
    assert!(line.starts_with("REDIS_URL: "), "{line}");
}
