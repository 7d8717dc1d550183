//! The settings as a URL tells them.

use std::path::PathBuf;
use std::str::FromStr;

use steadfast_backend::{Error, ErrorKind, Result, StoreUrl};

use crate::config::{Acknowledged, Address, Login, QUEUE_LEN_MAX, RedisConfig, Servers};

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

impl RedisConfig {
    /// The settings that a URL tells.
    ///
    /// | URL | servers |
    /// | --- | --- |
    /// | `redis://[[user]:password@]host[:6379][/db]` | one |
    /// | `redis+unix:///path/to.sock[?db=N]`, `unix:/path/to.sock` | one, by its Unix socket |
    /// | `redis-cluster://host[:6379],…` | a Cluster |
    /// | `redis-sentinel://host[:26379],…/PRIMARY[/db]` | the primary that Sentinels name |
    ///
    /// `rediss`, `rediss-cluster` and `rediss-sentinel` are the same with TLS. `valkey` may stand
    /// for `redis` everywhere.
    ///
    /// | option | what |
    /// | --- | --- |
    /// | `timeout`, `connect_timeout` | as `250ms` or `2s` |
    /// | `lanes`, `queue` | connections for each server, and requests under way on each |
    /// | `durability` | what a write waits for: `primary`, `replicas:N`, `disk` or `disk:N` |
    /// | `read` | who answers reads: `primary` or `replicas` |
    /// | `wait` | how long an outage at the start is waited for, as `30s` |
    /// | `start` | `connected`, or `disconnected`: [at once](steadfast_backend::Start::Disconnected) |
    /// | `evicts` | whether the servers may drop live entries, `yes` or `no`, where they are not asked |
    /// | `address_map` | [other addresses](crate::AddressMap) for those that a Cluster or Sentinels tell |
    /// | `sentinel_username`, `sentinel_password` | who this is to the Sentinels |
    /// | `tls_ca`, `tls_cert` and `tls_key` | files in PEM: who vouches for the server; the client's own |
    ///
    /// ```
    /// use steadfast_redis::{Acknowledged, RedisConfig};
    ///
    /// let config: RedisConfig = "redis://:word@cache-1/2?durability=replicas:1".parse()?;
    /// assert_eq!(config.database, 2);
    /// assert_eq!(config.durability, Acknowledged::ByReplicas(1));
    /// # Ok::<(), steadfast_backend::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for what is not in these tables, TLS without the Cargo feature `tls`,
    /// or a file that cannot be read.
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        let scheme = url.scheme().replacen("valkey", "redis", 1);
        let (servers, database) = servers(&scheme, &mut url)?;
        let mut config = Self::new(servers);
        config.login = login(url.username(), url.password());
        config.database = database;
        if let Some(timeout) = url.take_time("timeout")? {
            config.timeout = timeout;
        }
        if let Some(timeout) = url.take_time("connect_timeout")? {
            config.connect_timeout = timeout;
        }
        if let Some(lanes) = url.take_number("lanes", 1..=64)? {
            config.lanes = lanes as usize;
        }
        if let Some(queue) = url.take_number("queue", 1..=QUEUE_LEN_MAX)? {
            config.queue_len_max = queue as usize;
        }
        let durability = "primary, replicas:N, disk or disk:N";
        if let Some(durability) = url.take_as("durability", durability, acknowledged)? {
            config.durability = durability;
        }
        let from_replicas = url.take_as("read", "primary or replicas", |value| match value {
            "primary" => Some(false),
            "replicas" => Some(true),
            _ => None,
        })?;
        config.read_from_replicas = from_replicas.unwrap_or(false);
        config.start = url.take_start()?.unwrap_or_default();
        config.evicts = url.take_as("evicts", "yes or no", |value| match value {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })?;
        if let Some(map) = url.take("address_map") {
            config.address_map = map.parse()?;
        }
        if scheme.starts_with("rediss") {
            encrypt(&mut config, &mut url)?;
        }
        url.finish()?;
        config.check()?;
        Ok(config)
    }
}

impl FromStr for RedisConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_url(text.parse()?)
    }
}

/// The servers, and the number of the database.
fn servers(scheme: &str, url: &mut StoreUrl) -> Result<(Servers, u32)> {
    let tcp = |port| -> Result<Vec<Address>> {
        let servers = url.servers(port)?.into_iter();
        Ok(servers.map(|(host, port)| Address::Tcp(host, port)).collect())
    };
    let path = url.path().strip_prefix('/').unwrap_or_default();
    match scheme {
        "redis" | "rediss" => match &tcp(PORT)?[..] {
            [server] => Ok((Servers::Single(server.clone()), database(path)?)),
            _ => Err(wrong(
                "redis:// is one server; several are redis-cluster:// or redis-sentinel://",
            )),
        },
        "redis-cluster" | "rediss-cluster" => Ok((Servers::Cluster(tcp(PORT)?), database(path)?)),
        "redis-sentinel" | "rediss-sentinel" => {
            let sentinels = tcp(SENTINEL_PORT)?;
            let (primary, number) = path.split_once('/').unwrap_or((path, ""));
            if primary.is_empty() {
                return Err(wrong(
                    "redis-sentinel:// names the primary, as the Sentinels do: \
                     redis-sentinel://HOST/PRIMARY",
                ));
            }
            let (primary, number) = (primary.to_owned(), database(number)?);
            let (username, password) =
                (url.take("sentinel_username"), url.take("sentinel_password"));
            let login = Login { username, password };
            Ok((Servers::Sentinel { sentinels, primary, login }, number))
        }
        "redis+unix" | "unix" => {
            if !url.path().starts_with('/') || url.servers(PORT).is_ok() {
                return Err(wrong(
                    "a Unix socket is redis+unix:///PATH, with the path from the root",
                ));
            }
            let address = Address::Unix(PathBuf::from(url.path()));
            let number = url.take_number("db", 0..=DATABASE_MAX)?;
            Ok((Servers::Single(address), number.unwrap_or(0)))
        }
        _ => Err(wrong(
            "the scheme of a Redis URL is redis, rediss, redis+unix, unix, redis-cluster, \
             rediss-cluster, redis-sentinel or rediss-sentinel",
        )),
    }
}

const DATABASE_MAX: u32 = 1_000_000;

fn database(text: &str) -> Result<u32> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|number| *number <= DATABASE_MAX);
    number.ok_or_else(|| wrong("the database in a Redis URL is a number, as in redis://HOST/2"))
}

fn login(username: Option<&str>, password: Option<&str>) -> Login {
    Login { username: username.map(str::to_owned), password: password.map(str::to_owned) }
}

fn acknowledged(text: &str) -> Option<Acknowledged> {
    let (by, replicas) = match text.split_once(':') {
        Some((by, replicas)) => (by, Some(replicas.parse().ok()?)),
        None => (text, None),
    };
    match (by, replicas) {
        ("primary", None) => Some(Acknowledged::ByPrimary),
        ("replicas", Some(replicas)) => Some(Acknowledged::ByReplicas(replicas)),
        ("disk", replicas) => Some(Acknowledged::OnDisk { replicas: replicas.unwrap_or(0) }),
        _ => None,
    }
}

#[cfg(feature = "tls")]
fn encrypt(config: &mut RedisConfig, url: &mut StoreUrl) -> Result<()> {
    let mut pem = |option: &'static str| {
        let read = |path| {
            std::fs::read(path).map_err(|cause| {
                wrong(format!("the file that the option {option} names cannot be read: {cause}"))
            })
        };
        url.take(option).map(read).transpose()
    };
    let roots_pem = pem("tls_ca")?;
    let client_pem = match (pem("tls_cert")?, pem("tls_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(wrong("the options tls_cert and tls_key go together; give both")),
    };
    config.tls = Some(crate::config::Tls { roots_pem, client_pem });
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn encrypt(_config: &mut RedisConfig, _url: &mut StoreUrl) -> Result<()> {
    Err(wrong(
        "rediss:// is Redis with TLS, which this build lacks; it needs the cargo feature redis-tls \
         of steadfast, or tls of steadfast-redis",
    ))
}

fn wrong(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> RedisConfig {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> String {
        let error = text.parse::<RedisConfig>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    fn single(text: &str) -> Address {
        match parse(text).servers {
            Servers::Single(address) => address,
            servers => panic!("{servers:?}"),
        }
    }

    #[test]
    fn one_server_has_an_address_a_login_and_a_database() {
        let config = parse("redis://us%40er:wo%2Frd@cache-1:7000/15");
        assert_eq!(config.servers, Servers::Single(Address::tcp("cache-1", 7_000)));
        assert_eq!(config.login, login(Some("us@er"), Some("wo/rd")));
        assert_eq!(config.database, 15);
        assert_eq!(single("redis://h"), Address::tcp("h", 6_379));
        assert_eq!(single("valkey://[::1]/"), Address::tcp("::1", 6_379));
        assert_eq!(parse("redis://:word@h").login, login(None, Some("word")));
    }

    #[test]
    fn a_unix_socket_has_a_path() {
        for text in ["unix:/run/r.sock", "redis+unix:///run/r.sock", "redis+unix:/run/r%2Esock"] {
            assert_eq!(single(text), Address::Unix("/run/r.sock".into()));
        }
        let config = parse("redis+unix://:word@/run/r.sock?db=3");
        assert_eq!((config.database, config.login), (3, login(None, Some("word"))));
        for text in ["unix:", "unix:r.sock", "redis+unix://run/r.sock", "unix:/r?db=x"] {
            refusal(text);
        }
    }

    #[test]
    fn several_servers_are_a_cluster_or_sentinels() {
        let servers = parse("redis-cluster://:word@h1,h2:1").servers;
        let both = vec![Address::tcp("h1", 6_379), Address::tcp("h2", 1)];
        assert_eq!(servers, Servers::Cluster(both));

        let options = "sentinel_username=guard&sentinel_password=pass";
        let config = parse(&format!("redis-sentinel://:word@h1,h2:1/main/2?{options}"));
        let sentinels = vec![Address::tcp("h1", 26_379), Address::tcp("h2", 1)];
        let to_sentinels = login(Some("guard"), Some("pass"));
        let primary = "main".to_owned();
        let expected = Servers::Sentinel { sentinels, primary, login: to_sentinels };
        assert_eq!((config.servers, config.database), (expected, 2));
        assert_eq!(config.login, login(None, Some("word")));
    }

    #[test]
    fn options_set_what_they_say() {
        let config = parse("redis://h?timeout=250ms&connect_timeout=3s&lanes=8&queue=100");
        assert_eq!(config.timeout, Duration::from_millis(250));
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
        assert_eq!((config.lanes, config.queue_len_max), (8, 100));
        assert!(!config.read_from_replicas);
        assert!(parse("redis://h?read=replicas").read_from_replicas);
        assert!(!parse("redis://h?read=primary").read_from_replicas);
        for (text, expected) in [
            ("primary", Acknowledged::ByPrimary),
            ("replicas:2", Acknowledged::ByReplicas(2)),
            ("disk", Acknowledged::OnDisk { replicas: 0 }),
            ("disk:1", Acknowledged::OnDisk { replicas: 1 }),
        ] {
            assert_eq!(parse(&format!("redis://h?durability={text}")).durability, expected);
        }
    }

    #[test]
    fn what_cannot_work_says_what_can() {
        for (text, word) in [
            ("redis:h", "redis://HOST"),
            ("redis://", "redis://HOST"),
            ("redis://h1,h2", "redis-cluster://"),
            ("redis://h/x", "database"),
            ("redis://h/1/2", "database"),
            ("redis://h/-1", "database"),
            ("redis-cluster://h/1", "database"),
            ("redis-sentinel://h", "PRIMARY"),
            ("redis-sentinel://h/", "PRIMARY"),
            ("redis-sentinel://h/main/x", "database"),
            ("redis-pigeon://h", "redis-sentinel"),
            ("redis://user@h", "password"),
            ("redis-sentinel://h/main?sentinel_username=u", "password"),
            ("redis://h?lanes=65", "1 to 64"),
            ("redis://h?queue=0", "1 to"),
            ("redis://h?timeout=0s", "timeout"),
            ("redis://h?connect_timeout=1", "connect_timeout"),
            ("redis://h?durability=replicas", "replicas:N"),
            ("redis://h?durability=replicas:x", "replicas:N"),
            ("redis://h?durability=replicas:0", "0 replicas"),
            ("redis://h?durability=primary:1", "replicas:N"),
            ("redis://h?read=any", "replicas"),
            ("redis://h?db=1", "option db"),
            ("redis://h?sentinel_password=x", "option sentinel_password"),
            ("redis://h?tls_ca=/x", "option tls_ca"),
            ("redis://h?pool=3", "option pool; redis takes timeout, connect_timeout, lanes"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_is_on_with_the_certificates_that_are_named() {
        for text in ["rediss://h", "valkeys://h", "rediss-cluster://h", "rediss-sentinel://h/main"]
        {
            assert!(parse(text).tls.is_some_and(|tls| tls.roots_pem.is_none()), "{text}");
        }
        assert!(parse("redis://h").tls.is_none());
        let file = std::env::temp_dir().join(format!("steadfast-{}.pem", std::process::id()));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----").unwrap();
        let file = file.display();
        let tls = parse(&format!("rediss://h?tls_ca={file}&tls_cert={file}&tls_key={file}")).tls;
        let tls = tls.unwrap();
        assert!(tls.roots_pem.is_some() && tls.client_pem.is_some());
        assert!(refusal("rediss://h?tls_ca=/canary").contains("tls_ca"));
        assert!(refusal(&format!("rediss://h?tls_cert={file}")).contains("tls_key"));
        std::fs::remove_file(file.to_string()).unwrap();
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_that_is_not_built_in_names_its_feature() {
        for text in ["rediss://h", "valkeys://h", "rediss-cluster://h", "rediss-sentinel://h/main"]
        {
            assert!(refusal(text).contains("redis-tls"), "{text}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        for text in [
            "redis://canary:canary@h1,h2",
            "redis://canary@h",
            "redis://h/canary",
            "redis-sentinel://:canary@h/?sentinel_password=canary",
            "redis-sentinel://h/main?sentinel_username=canary",
            "rediss://h?tls_ca=/canary",
            "redis://h?durability=canary",
        ] {
            assert!(!refusal(text).contains("canary"), "{text}");
        }
        let options = "sentinel_username=canary&sentinel_password=canary";
        let config = parse(&format!("redis-sentinel://canary:canary@h/main?{options}"));
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    }
}
