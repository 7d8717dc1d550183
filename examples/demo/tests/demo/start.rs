//! Bad settings stop the start with one line that says what to do.

use std::fs;
use std::time::Duration;

use crate::server::{Home, SECRET};

/// Starts, expects the refusal, and gives its one line.
fn refusal(home: &Home) -> String {
    let output = home.refuse();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // Warnings of the log come with a time stamp; the refusal is the line without.
    let lines: Vec<_> = stderr.lines().filter(|line| !line.contains(" WARN ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(output.stdout.is_empty());
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
        ("STATE_URL", "carrier-pigeon:canary-coop"),
        ("STATE_URL", "redb:"),
        ("STATE_URL", "redb://./data"),
        ("STATE_URL", "redis://user:canary-word@127.0.0.1?canary%20word=1"),
        ("STATE_URL", "redis://user:canary-word@127.0.0.1/canary"),
        ("STATE_URL", "redis://user:canary-word@127.0.0.1:1?timeout=100ms"),
        ("STATE_URL", "redis-cluster://:canary-word@127.0.0.1:1,127.0.0.1:2?timeout=100ms"),
        ("STATE_URL", "redis-sentinel://:canary-word@127.0.0.1:1/main?timeout=100ms"),
        ("STATE_URL", "rediss://:canary-word@127.0.0.1:1?timeout=100ms"),
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
