//! The servers of the tests are real, are the test's own, and do as they are told.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use steadfast_conformance::servers::{MemcachedServer, RedisCluster, RedisSentinel, RedisServer};

/// Whether the process is there, dead and unreaped ones included.
fn exists(pid: u32) -> bool {
    let probe = Command::new("kill").arg("-0").arg(pid.to_string()).stderr(Stdio::null()).status();
    probe.unwrap().success()
}

/// What a plain client on TCP is answered, for as long as a busy machine may take.
fn ask(addr: SocketAddr, request: &str) -> io::Result<String> {
    ask_within(Duration::from_secs(30), addr, request)
}

/// The same where no answer is to come.
fn ask_in_vain(addr: SocketAddr, request: &str) -> io::Error {
    ask_within(Duration::from_millis(200), addr, request).unwrap_err()
}

fn ask_within(time: Duration, addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(time))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = [0; 256];
    let len = stream.read(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply[..len]).into_owned())
}

#[test]
fn redis_answers_on_tcp_and_on_its_socket() {
    let server = RedisServer::start().unwrap();
    assert_eq!(ask(server.addr(), "PING\r\n").unwrap(), "+PONG\r\n");
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(server.stat("server", "process_id").unwrap(), server.pid().to_string());
}

#[test]
fn redis_replies_are_text_and_errors_are_errors() {
    let server = RedisServer::start().unwrap();
    assert_eq!(server.command(&["RPUSH", "list", "a b", ""]).unwrap(), "2");
    assert_eq!(server.command(&["LRANGE", "list", "0", "-1"]).unwrap(), "a b\n");
    assert_eq!(server.command(&["GET", "none"]).unwrap(), "");
    let error = server.command(&["GET", "list"]).unwrap_err();
    assert!(error.to_string().starts_with("WRONGTYPE"), "{error}");
}

#[test]
fn redis_counts_calls() {
    let server = RedisServer::start().unwrap();
    assert_eq!(server.calls("get").unwrap(), 0);
    for _ in 0..3 {
        server.command(&["GET", "key"]).unwrap();
    }
    assert_eq!(server.calls("get").unwrap(), 3);
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    assert_eq!(server.calls("get").unwrap(), 0);
}

#[test]
fn redis_is_killed_and_restarts_empty_on_its_port() {
    let server = RedisServer::start().unwrap();
    let (port, pid) = (server.port(), server.pid());
    server.command(&["SET", "key", "value"]).unwrap();
    server.kill().unwrap();
    assert!(!exists(pid));
    assert!(server.command(&["PING"]).is_err());
    assert!(ask(server.addr(), "PING\r\n").is_err());
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "");
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
}

#[test]
fn a_persisting_redis_keeps_its_data() {
    let server = RedisServer::builder().persist().start().unwrap();
    server.command(&["SET", "key", "value"]).unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "value");
}

#[test]
fn redis_stands_still_while_paused() {
    let server = RedisServer::start().unwrap();
    server.pause().unwrap();
    server.pause().unwrap();
    // The system takes the connection, and nobody answers on it.
    let error = ask_in_vain(server.addr(), "PING\r\n");
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    server.resume().unwrap();
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
    server.pause().unwrap();
    server.restart().unwrap();
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_dead_server_is_not_signalled() {
    let server = RedisServer::start().unwrap();
    server.kill().unwrap();
    assert_eq!(server.pause().unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(server.resume().unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn redis_asks_for_a_password() {
    let server = RedisServer::builder().password("top \"secret\"/1").start().unwrap();
    assert!(ask(server.addr(), "GET key\r\n").unwrap().starts_with("-NOAUTH"));
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
    let start = "redis://:top%20%22secret%22%2F1@127.0.0.1:";
    assert!(server.url().starts_with(start), "{}", server.url());
    assert!(!format!("{server:?}").contains("secret"));
}

#[test]
fn redis_knows_only_its_user() {
    let server = RedisServer::builder().user("alice", "pass word").unix_socket().start().unwrap();
    assert!(ask(server.addr(), "GET key\r\n").unwrap().starts_with("-NOAUTH"));
    assert_eq!(server.command(&["ACL", "WHOAMI"]).unwrap(), "alice");
    let url = format!("redis+unix://alice:pass%20word@{}", server.socket().display());
    assert_eq!(server.url(), url);
}

#[test]
fn a_replica_follows_its_master() {
    let master = RedisServer::builder().password("secret").start().unwrap();
    master.command(&["SET", "key", "value"]).unwrap();
    let replica = RedisServer::builder().replica_of(&master).start().unwrap();
    assert_eq!(replica.command(&["GET", "key"]).unwrap(), "value");
    assert_eq!(replica.stat("replication", "role").unwrap(), "slave");
    assert_eq!(master.command(&["WAIT", "1", "5000"]).unwrap(), "1");
}

#[test]
fn a_failed_start_says_why() {
    let error = RedisServer::builder().arg("no-such-directive", "1").start().unwrap_err();
    assert!(error.to_string().contains("no-such-directive"), "{error}");
    let error = MemcachedServer::builder().arg("--no-such-option").start().unwrap_err();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

/// Run by the next test in an environment of its own.
#[test]
fn what_is_missing() {
    for (missing, started) in [
        (RedisServer::missing(), RedisServer::start().map(drop)),
        (MemcachedServer::missing(), MemcachedServer::start().map(drop)),
    ] {
        println!("missing: {missing:?}, started: {started:?}");
    }
}

#[test]
fn a_missing_server_is_a_reason_to_ignore_unless_it_is_required() {
    let run = |required: &str, redis: Option<&str>| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "what_is_missing", "--nocapture"]);
        test.env("PATH", "/nowhere").env("STEADFAST_REQUIRE", required);
        test.env_remove("STEADFAST_MEMCACHED").env_remove("STEADFAST_REDIS_SERVER");
        test.envs(redis.map(|path| ("STEADFAST_REDIS_SERVER", path)));
        String::from_utf8(test.output().unwrap().stdout).unwrap()
    };
    let output = run("memcached", None);
    assert!(output.contains("missing: Some(\"needs redis-server"), "{output}");
    assert!(output.contains("apt-get install redis-server"), "{output}");
    assert!(output.contains("missing: None"), "{output}");
    assert!(output.contains("apt-get install memcached"), "{output}");
    assert!(!run("redis, memcached", None).contains("missing: Some"));
    assert!(run("", Some("/nowhere/redis")).contains("cannot run `/nowhere/redis`"));
}

#[test]
fn memcached_answers() {
    let server = MemcachedServer::builder().memory_mb(8).start().unwrap();
    assert!(ask(server.addr(), "version\r\n").unwrap().starts_with("VERSION"));
    assert_eq!(server.url(), format!("memcached://127.0.0.1:{}", server.port()));
    assert_eq!(server.command("set key 0 0 4\r\nMN\r\n").unwrap(), "STORED\r\n");
    assert_eq!(server.command("get key").unwrap(), "VALUE key 0 4\r\nMN\r\n\r\nEND\r\n");
    assert_eq!(server.stat("limit_maxbytes").unwrap().unwrap(), (8 << 20).to_string());
    assert_eq!(server.stat("pid").unwrap().unwrap(), server.pid().to_string());
    assert_eq!(server.stat("none").unwrap(), None);
}

#[test]
fn memcached_is_killed_restarted_and_paused() {
    let server = MemcachedServer::start().unwrap();
    let (port, pid) = (server.port(), server.pid());
    server.command("set key 0 0 1\r\nx").unwrap();
    server.kill().unwrap();
    assert!(!exists(pid));
    assert!(server.command("get key").is_err());
    server.restart().unwrap();
    assert_eq!(server.command("get key").unwrap(), "END\r\n");
    assert_eq!(server.port(), port);
    server.pause().unwrap();
    ask_in_vain(server.addr(), "version\r\n");
    server.resume().unwrap();
    assert!(server.command("version").unwrap().starts_with("VERSION"));
}

#[test]
fn nothing_is_left_of_a_dropped_server() {
    let redis = RedisServer::start().unwrap();
    let paused = RedisServer::start().unwrap();
    let memcached = MemcachedServer::start().unwrap();
    paused.pause().unwrap();
    let pids = [redis.pid(), paused.pid(), memcached.pid()];
    assert!(pids.into_iter().all(exists));
    let folder = redis.socket().parent().unwrap().to_owned();
    drop((redis, paused, memcached));
    assert!(!pids.into_iter().any(exists));
    assert!(!folder.exists());
}

#[test]
fn servers_do_not_share_ports() {
    let servers =
        (0..8).map(|_| std::thread::spawn(|| RedisServer::start().unwrap())).collect::<Vec<_>>();
    let servers = servers.into_iter().map(|server| server.join().unwrap()).collect::<Vec<_>>();
    for (value, server) in servers.iter().enumerate() {
        server.command(&["SET", "key", &value.to_string()]).unwrap();
    }
    for (value, server) in servers.iter().enumerate() {
        let reply = ask(server.addr(), "GET key\r\n").unwrap();
        assert_eq!(reply, format!("$1\r\n{value}\r\n"));
    }
}

#[test]
fn a_cluster_serves_and_moves_a_slot_with_its_keys() {
    let cluster = RedisCluster::start(3, 0).unwrap();
    let nodes = cluster.nodes();
    assert_eq!(cluster.url().matches("127.0.0.1:").count(), 3);
    let slot = cluster.slot_of("{tag}1").unwrap();
    let from = cluster.slot_owner(slot).unwrap();
    let to = (from + 1) % 3;
    for key in ["{tag}1", "{tag}2", "{tag}3"] {
        nodes[from].command(&["SET", key, "value"]).unwrap();
    }
    let moved = |node: usize| nodes[node].command(&["GET", "{tag}1"]).unwrap_err().to_string();
    assert_eq!(moved(to), format!("MOVED {slot} {}", nodes[from].addr()));

    let moving = cluster.begin_move(slot, to).unwrap();
    assert_eq!(moving.move_keys(1).unwrap(), 1);
    assert_eq!(cluster.slot_owner(slot).unwrap(), from);
    let read = ["MGET", "{tag}1", "{tag}2", "{tag}3"];
    let error = nodes[from].command(&read).unwrap_err().to_string();
    assert!(error.starts_with("TRYAGAIN"), "{error}");
    let error = nodes[from].command(&["GET", "{tag}4"]).unwrap_err().to_string();
    assert_eq!(error, format!("ASK {slot} {}", nodes[to].addr()));

    moving.finish().unwrap();
    assert_eq!(cluster.slot_owner(slot).unwrap(), to);
    assert_eq!(nodes[to].command(&read).unwrap(), "value\nvalue\nvalue");
    for node in (0..3).filter(|node| *node != to) {
        assert_eq!(moved(node), format!("MOVED {slot} {}", nodes[to].addr()));
    }
    cluster.move_slot(slot, from).unwrap();
    assert_eq!(nodes[from].command(&read).unwrap(), "value\nvalue\nvalue");
}

#[test]
fn a_cluster_fails_over_when_told_and_when_a_master_dies() {
    let cluster = RedisCluster::start(3, 1).unwrap();
    let nodes = cluster.nodes();
    let slot = cluster.slot_of("key").unwrap();
    let master = cluster.slot_owner(slot).unwrap();
    let replica = master + 3;
    nodes[master].command(&["SET", "key", "value"]).unwrap();
    cluster.failover(replica).unwrap();
    assert_eq!(cluster.slot_owner(slot).unwrap(), replica);
    assert_eq!(nodes[replica].command(&["GET", "key"]).unwrap(), "value");

    nodes[replica].kill().unwrap();
    cluster.wait_settled().unwrap();
    assert_eq!(cluster.slot_owner(slot).unwrap(), master);
    assert_eq!(nodes[master].command(&["GET", "key"]).unwrap(), "value");

    nodes[replica].restart().unwrap();
    cluster.wait_settled().unwrap();
    assert_eq!(cluster.slot_owner(slot).unwrap(), master);
}

#[test]
fn sentinels_fail_over_when_told_and_when_the_master_dies() {
    let group = RedisSentinel::start().unwrap();
    assert!(group.url().ends_with("/mymaster"), "{}", group.url());
    let first = group.current_master_port().unwrap();
    assert_eq!(first, group.servers()[0].port());
    group.servers()[0].command(&["SET", "key", "value"]).unwrap();
    assert_eq!(group.servers()[0].command(&["WAIT", "1", "5000"]).unwrap(), "1");

    let second = group.failover().unwrap();
    assert_eq!(second, group.servers()[1].port());
    assert_eq!(group.master().unwrap().command(&["GET", "key"]).unwrap(), "value");

    group.wait_ready().unwrap();
    group.master().unwrap().kill().unwrap();
    assert_eq!(group.wait_new_master(second).unwrap(), first);
    assert_eq!(group.master().unwrap().command(&["SET", "key", "new"]).unwrap(), "OK");
}
