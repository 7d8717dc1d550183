//! What the backend costs over the bare client: reads and conditional writes of 64 tasks through
//! both, with values of 256 bytes, as many connections, and `TCP_NODELAY` on all. They take turns
//! within one run, so that a busy machine slows both.
//!
//! `cargo bench -p steadfast-redis`; `STEADFAST_BENCH_ROUNDS` sets how many turns each takes.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, Script};
use steadfast_backend::{Backend, Condition, Group, Key, Namespace, Write, Written};
use steadfast_conformance::servers::RedisServer;
use steadfast_redis::{Address, RedisBackend, RedisConfig, Servers};
use tokio::runtime::Runtime;

const TASKS: usize = 64;
const TURN: Duration = Duration::from_millis(250);
const VALUE_LEN: usize = 256;
const CONNECTIONS: usize = 2;

/// What one would write by hand: compare the version, write the next one and the value.
const BY_HAND: &str = "
    local current = redis.call('HGET', KEYS[1], 'version') or '0'
    if current ~= ARGV[1] then return {0, current} end
    local version = string.format('%.0f', tonumber(current) + 1)
    redis.call('HSET', KEYS[1], 'version', version, 'value', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return {1, version}";

fn main() {
    if let Some(missing) = RedisServer::missing() {
        println!("not measured: {missing}");
        return;
    }
    let rounds = std::env::var("STEADFAST_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.map_or(25, |rounds| rounds.parse().unwrap());
    let server = RedisServer::start().unwrap();
    Runtime::new().unwrap().block_on(measure(&server, rounds));
}

async fn measure(server: &RedisServer, rounds: usize) {
    let servers = Servers::Single(Address::tcp("127.0.0.1", server.port()));
    let mut config = RedisConfig::new(servers);
    config.lanes = CONNECTIONS;
    let backend = Arc::new(RedisBackend::connect(config).await.unwrap());
    let mut bare = Vec::new();
    for _connection in 0..CONNECTIONS {
        bare.push(connect(server).await);
    }
    let own_script = Script::new(include_str!("../src/write.lua"));
    let by_hand = Script::new(BY_HAND);
    for script in [&own_script, &by_hand] {
        script.prepare_invoke().load_async(&mut bare[0]).await.unwrap();
    }
    for number in 0..TASKS {
        let put = Write::put(key("read", number), vec![1; VALUE_LEN]);
        assert!(backend.write(&put).await.unwrap().is_applied());
    }
    let (mut gets, mut same, mut hand) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let connection = |number: usize| bare[number % CONNECTIONS].clone();
        let ours = rate(|number| read_ours(Arc::clone(&backend), number)).await;
        let theirs = rate(|number| read_bare(connection(number), number)).await;
        gets.push(ours / theirs);
        let ours = rate(|number| write_ours(Arc::clone(&backend), number)).await;
        let script = |number| write_same(connection(number), own_script.clone(), number);
        let with_same = rate(script).await;
        let script = |number| write_by_hand(connection(number), by_hand.clone(), number);
        let with_hand = rate(script).await;
        same.push(ours / with_same);
        hand.push(ours / with_hand);
        println!(
            "{round}: put {ours:.0}/s, same script {with_same:.0}/s, by hand {with_hand:.0}/s"
        );
    }
    tell("get / bare GET", &mut gets);
    tell("conditional put / bare call of the same script", &mut same);
    tell("conditional put / bare call of a minimal script", &mut hand);
    backend.close().await.unwrap();
}

fn tell(what: &str, ratios: &mut [f64]) {
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!("{TASKS} tasks, {what}: {median:.2} x ({least:.2} to {most:.2})");
}

async fn connect(server: &RedisServer) -> MultiplexedConnection {
    let info = server.url().into_connection_info().unwrap();
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let config = AsyncConnectionConfig::new();
    let client = Client::open(info).unwrap();
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

fn key(kind: &str, number: usize) -> Key {
    let group = Group::new(&format!("user-{number}")).unwrap();
    Key::new(&Namespace::new("bench").unwrap(), &group, kind).unwrap()
}

/// Calls per second of all tasks together.
async fn rate<Calls: Future<Output = u32> + Send + 'static>(calls: impl Fn(usize) -> Calls) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(calls(number))).collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn read_ours(backend: Arc<RedisBackend>, number: usize) -> u32 {
    let (key, started, mut count) = (key("read", number), Instant::now(), 0);
    while started.elapsed() < TURN {
        assert_eq!(backend.get(&key).await.unwrap().unwrap().value.len(), VALUE_LEN);
        count += 1;
    }
    count
}

async fn read_bare(mut connection: MultiplexedConnection, number: usize) -> u32 {
    let (key, started, mut count) = (key("read", number), Instant::now(), 0);
    while started.elapsed() < TURN {
        let get = redis::cmd("GET").arg(key.as_str()).to_owned();
        let value: Vec<u8> = get.query_async(&mut connection).await.unwrap();
        assert!(value.len() > VALUE_LEN);
        count += 1;
    }
    count
}

async fn write_ours(backend: Arc<RedisBackend>, number: usize) -> u32 {
    let (key, started, mut count) = (key("ours", number), Instant::now(), 0);
    let mut only_if = Condition::Always;
    let ttl = steadfast_backend::Ttl::new(Duration::from_secs(3_600)).unwrap();
    while started.elapsed() < TURN {
        let put = Write::put(key.clone(), vec![1; VALUE_LEN]).expiring(ttl).only_if(only_if);
        let Written::Applied { version } = backend.write(&put).await.unwrap() else {
            panic!("refused")
        };
        only_if = Condition::VersionIs(version.unwrap());
        count += 1;
    }
    count
}

async fn write_same(mut connection: MultiplexedConnection, script: Script, number: usize) -> u32 {
    let (key, started, mut count) = (key("same", number), Instant::now(), 0);
    let (mut verb, mut version) = ("pa", String::new());
    let value = vec![1_u8; VALUE_LEN];
    while started.elapsed() < TURN {
        let mut call = script.key(key.as_str());
        call.arg("each").arg(verb).arg(&version).arg(3_600_000).arg(&value);
        let (_now, applied): (String, String) = call.invoke_async(&mut connection).await.unwrap();
        (verb, version) = ("p=", applied);
        count += 1;
    }
    count
}

async fn write_by_hand(
    mut connection: MultiplexedConnection,
    script: Script,
    number: usize,
) -> u32 {
    let (key, started, mut count) = (key("hand", number), Instant::now(), 0);
    let read = redis::cmd("HGET").arg(key.as_str()).arg("version").to_owned();
    let version: Option<String> = read.query_async(&mut connection).await.unwrap();
    let (mut version, value) = (version.unwrap_or_else(|| "0".to_owned()), vec![1_u8; VALUE_LEN]);
    while started.elapsed() < TURN {
        let mut call = script.key(key.as_str());
        call.arg(&version).arg(&value).arg(3_600_000);
        let (applied, next): (u8, String) = call.invoke_async(&mut connection).await.unwrap();
        assert_eq!(applied, 1);
        version = next;
        count += 1;
    }
    count
}
