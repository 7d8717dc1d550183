use std::io;

use super::redis::RedisServer;
use super::wait::wait_for;

const NAME: &str = "mymaster";
const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// A master and a replica under three sentinels, of the test's own. See the [module](super) page.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use steadfast_conformance::servers::RedisSentinel;
///
/// let group = RedisSentinel::start()?;
/// let old = group.current_master_port()?;
/// group.master()?.kill()?;
/// group.wait_new_master(old)?; // the sentinels noticed, and promoted the replica
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts them all. Returns when the sentinels know each other and the replica, so that they
    /// could fail over.
    ///
    /// # Errors
    ///
    /// As [`RedisBuilder::start`](super::RedisBuilder::start), or when the sentinels do not
    /// find each other.
    pub fn start() -> io::Result<Self> {
        let master = RedisServer::start()?;
        let replica = RedisServer::builder().replica_of(&master).start()?;
        let sentinels = (0..SENTINELS).map(|_| start_sentinel(master.port()));
        let sentinels = sentinels.collect::<io::Result<Vec<_>>>()?;
        let group = Self { servers: vec![master, replica], sentinels };
        group.wait_ready()?;
        Ok(group)
    }

    /// The URL for clients: `redis-sentinel://127.0.0.1:12345,.../mymaster`, with every sentinel.
    pub fn url(&self) -> String {
        let addrs = self.sentinels.iter().map(|each| each.addr().to_string()).collect::<Vec<_>>();
        format!("redis-sentinel://{}/{NAME}", addrs.join(","))
    }

    /// The two servers. At the start the first is the master.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The three sentinels.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The server that the sentinels call the master, dead or alive.
    ///
    /// # Errors
    ///
    /// As [`current_master_port`](Self::current_master_port).
    pub fn master(&self) -> io::Result<&RedisServer> {
        let port = self.current_master_port()?;
        let master = self.servers.iter().find(|server| server.port() == port);
        master.ok_or_else(|| io::Error::other(format!("the master's port {port} is a stranger's")))
    }

    /// The port of [`master`](Self::master), by the first running sentinel.
    ///
    /// # Errors
    ///
    /// When no sentinel runs or answers.
    pub fn current_master_port(&self) -> io::Result<u16> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.is_running());
        let absent = || io::Error::new(io::ErrorKind::NotFound, "no sentinel is running");
        master_port(sentinel.ok_or_else(absent)?)
    }

    /// Has the sentinels promote the replica while the master is well, and returns the new
    /// master's port when all of them know it. The old master is made a replica some seconds
    /// later: until then it takes writes, which are lost.
    ///
    /// # Errors
    ///
    /// When there is no replica in step, or when it takes too long.
    pub fn failover(&self) -> io::Result<u16> {
        let old = self.current_master_port()?;
        self.sentinels[0].command(&["SENTINEL", "FAILOVER", NAME])?;
        self.wait_new_master(old)
    }

    /// Waits until all running sentinels name another master than the one on this port, and it
    /// is one. Returns its port.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_new_master(&self, old: u16) -> io::Result<u16> {
        wait_for("the failover", || {
            for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.is_running()) {
                if master_port(sentinel)? == old {
                    return Ok(None);
                }
            }
            let master = self.master()?;
            let is_master = master.stat("replication", "role")? == "master";
            Ok(is_master.then(|| master.port()))
        })
    }

    /// Waits until the sentinels could fail over (again): they know each other, both servers run
    /// and one is the other's replica, in step.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_ready(&self) -> io::Result<()> {
        wait_for("the readiness for a failover", || Ok(self.is_ready()?.then_some(())))
    }

    fn is_ready(&self) -> io::Result<bool> {
        let master = self.master()?.port();
        for server in self.servers.iter().filter(|server| server.port() != master) {
            let replication = server.command(&["INFO", "replication"])?;
            let follows = format!("master_port:{master}\r\n");
            if !replication.contains("master_link_status:up") || !replication.contains(&follows) {
                return Ok(false);
            }
        }
        for sentinel in &self.sentinels {
            // "status=ok,...,slaves=1,sentinels=3": the master is well, and who else is known.
            let known = sentinel.stat("sentinel", "master0")?;
            let replicas = sentinel.command(&["SENTINEL", "REPLICAS", NAME])?;
            let replica_is_up = replicas.contains("\nslave\n") && replicas.contains("\nok\n");
            let all = known.contains("status=ok") && known.ends_with("slaves=1,sentinels=3");
            if !all || !replica_is_up {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn start_sentinel(master: u16) -> io::Result<RedisServer> {
    let mut sentinel = RedisServer::builder()
        .arg("sentinel", &format!("monitor {NAME} 127.0.0.1 {master} {QUORUM}"))
        .arg("sentinel", &format!("down-after-milliseconds {NAME} 1000"))
        .arg("sentinel", &format!("failover-timeout {NAME} 3000"));
    sentinel.is_sentinel = true;
    let sentinel = sentinel.start()?;
    // How often it looks and tells, in ms: the usual seconds make for slow tests. Redis 6.2 does
    // not know these settings, and is waited for.
    let periods = ["info-period", "500", "publish-period", "200", "tilt-period", "1000"];
    let _ = sentinel.command(&[&["SENTINEL", "DEBUG"], &periods[..]].concat());
    Ok(sentinel)
}

fn master_port(sentinel: &RedisServer) -> io::Result<u16> {
    let addr = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
    let port = addr.lines().nth(1).and_then(|port| port.parse().ok());
    port.ok_or_else(|| io::Error::other("the sentinel names no master"))
}
