use std::collections::BTreeMap;
use std::io;

use super::redis::{RedisServer, field_of};
use super::resp::Reply;
use super::wait::wait_for;

const SLOTS: usize = 16_384;
/// How long a silent node is waited for. Shorter, and a busy machine alone would depose masters.
const NODE_TIMEOUT_MS: &str = "2000";
const MIGRATE_TIMEOUT_MS: &str = "5000";

/// A Redis Cluster of the test's own. See the [module](super) page.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use steadfast_conformance::servers::RedisCluster;
///
/// let cluster = RedisCluster::start(3, 0)?;
/// let slot = cluster.slot_of("key")?;
/// let target = (cluster.slot_owner(slot)? + 1) % 3;
/// let moving = cluster.begin_move(slot, target)?;
/// moving.move_keys(1)?; // clients are now redirected key by key, with ASK
/// moving.finish()?; // and from now on with MOVED
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

/// A slot on its way from one master to another. Dropping it leaves the slot half-way.
#[derive(Debug)]
#[must_use]
pub struct SlotMove<'a> {
    cluster: &'a RedisCluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl RedisCluster {
    /// Starts that many masters, which share the slots evenly, and replicas of each. Returns when
    /// every node knows all of it. Takes some seconds: a new master waits before it serves.
    ///
    /// An automatic failover needs at least three masters.
    ///
    /// # Errors
    ///
    /// As [`RedisBuilder::start`](super::RedisBuilder::start), or when the nodes do not come to
    /// agree.
    pub fn start(masters: usize, replicas_per_master: usize) -> io::Result<Self> {
        let count = masters * (1 + replicas_per_master);
        let nodes = (0..count).map(|_| start_node()).collect::<io::Result<Vec<_>>>()?;
        let cluster = Self { nodes };
        cluster.share_slots(masters)?;
        cluster.introduce()?;
        cluster.add_replicas(masters)?;
        cluster.wait_settled()?;
        Ok(cluster)
    }

    fn share_slots(&self, masters: usize) -> io::Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            // Different from the start, so that no two masters argue over them.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        for (index, node) in self.nodes[..masters].iter().enumerate() {
            let slots = index * SLOTS / masters..(index + 1) * SLOTS / masters;
            let command = ["CLUSTER", "ADDSLOTS"].map(str::to_owned).into_iter();
            node.call(&command.chain(slots.map(|slot| slot.to_string())).collect::<Vec<_>>())?
                .text()?;
        }
        Ok(())
    }

    /// Lets every node meet every other, which is faster than waiting for gossip.
    fn introduce(&self) -> io::Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..index] {
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()])?;
            }
        }
        wait_for("the meeting of all nodes", || {
            for node in &self.nodes {
                let seen = seen_by(node)?;
                if seen.len() < self.nodes.len() || seen.iter().any(|line| line.is("handshake")) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    fn add_replicas(&self, masters: usize) -> io::Result<()> {
        for (index, replica) in self.nodes.iter().enumerate().skip(masters) {
            replica.command(&["CLUSTER", "REPLICATE", &self.id(index % masters)?])?;
        }
        wait_for("the first synchronization", || {
            for replica in &self.nodes[masters..] {
                if replica.stat("replication", "master_link_status")? != "up" {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// The URL for clients: `redis-cluster://127.0.0.1:12345,127.0.0.1:12346`, with every node.
    pub fn url(&self) -> String {
        let addrs = self.nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>();
        format!("redis-cluster://{}", addrs.join(","))
    }

    /// All nodes. At the start the masters come first, and node `i` after them is a replica of
    /// master `i % masters`.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The slot of a key.
    ///
    /// # Errors
    ///
    /// When no node runs or answers.
    pub fn slot_of(&self, key: &str) -> io::Result<u16> {
        let slot = self.any()?.command(&["CLUSTER", "KEYSLOT", key])?;
        slot.parse().map_err(io::Error::other)
    }

    /// The index of the master that serves a slot, as the first running node knows it.
    ///
    /// # Errors
    ///
    /// When no node runs or answers, or when nobody serves the slot.
    pub fn slot_owner(&self, slot: u16) -> io::Result<usize> {
        let seen = seen_by(self.any()?)?;
        let owner = seen.iter().find(|line| line.serves(slot)).map(|line| line.port);
        let index = self.nodes.iter().position(|node| Some(node.port()) == owner);
        index.ok_or_else(|| io::Error::other(format!("no node serves slot {slot}")))
    }

    /// Moves a slot with its keys to another master, while clients go on.
    ///
    /// # Errors
    ///
    /// When a node refuses a step, or when the nodes do not come to agree.
    pub fn move_slot(&self, slot: u16, to: usize) -> io::Result<()> {
        self.begin_move(slot, to)?.finish()
    }

    /// Opens the way for a slot, and moves nothing yet.
    ///
    /// # Errors
    ///
    /// When a node refuses.
    pub fn begin_move(&self, slot: u16, to: usize) -> io::Result<SlotMove<'_>> {
        let from = self.slot_owner(slot)?;
        let moving = SlotMove { cluster: self, slot, from, to };
        moving.set(to, &["IMPORTING", &self.id(from)?])?;
        moving.set(from, &["MIGRATING", &self.id(to)?])?;
        Ok(moving)
    }

    /// Makes a replica the master of its slots, without loss (`CLUSTER FAILOVER`).
    ///
    /// # Errors
    ///
    /// When the node is no replica, or when the nodes do not come to agree.
    pub fn failover(&self, replica: usize) -> io::Result<()> {
        let node = &self.nodes[replica];
        node.command(&["CLUSTER", "FAILOVER"])?;
        wait_for("the failover", || {
            Ok((node.stat("replication", "role")? == "master").then_some(()))
        })?;
        self.wait_settled()
    }

    /// Waits until all running nodes agree on who serves which slot, and only running nodes
    /// serve: after a master was killed, until its replica took over.
    ///
    /// # Errors
    ///
    /// When that takes too long.
    pub fn wait_settled(&self) -> io::Result<()> {
        wait_for("the agreement of all nodes", || Ok(self.is_settled()?.then_some(())))
    }

    fn is_settled(&self) -> io::Result<bool> {
        let running = self.nodes.iter().filter(|node| node.is_running()).collect::<Vec<_>>();
        let mut agreed = None;
        for node in &running {
            if field_of(&node.command(&["CLUSTER", "INFO"])?, "cluster_state") != Some("ok") {
                return Ok(false);
            }
            let serving = seen_by(node)?.into_iter().filter(|line| !line.slots.is_empty());
            let owners = serving.map(|line| (line.port, line.slots)).collect::<BTreeMap<_, _>>();
            if *agreed.get_or_insert_with(|| owners.clone()) != owners {
                return Ok(false);
            }
        }
        let owners = agreed.unwrap_or_default();
        Ok(owners.keys().all(|port| running.iter().any(|node| node.port() == *port)))
    }

    fn any(&self) -> io::Result<&RedisServer> {
        let running = self.nodes.iter().find(|node| node.is_running());
        running.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no node is running"))
    }

    fn id(&self, node: usize) -> io::Result<String> {
        self.nodes[node].command(&["CLUSTER", "MYID"])
    }
}

impl SlotMove<'_> {
    /// Moves up to that many keys, and returns how many it moved.
    ///
    /// # Errors
    ///
    /// When a node refuses.
    pub fn move_keys(&self, limit: usize) -> io::Result<usize> {
        let Self { cluster, slot, from, to } = self;
        let (from, to) = (&cluster.nodes[*from], &cluster.nodes[*to]);
        let (slot, limit) = (slot.to_string(), limit.to_string());
        let Reply::Array(keys) = from.call(&["CLUSTER", "GETKEYSINSLOT", &slot, &limit])? else {
            return Err(io::Error::other("the node lists no keys"));
        };
        if keys.is_empty() {
            return Ok(0);
        }
        let port = to.port().to_string();
        let command = ["MIGRATE", "127.0.0.1", &port, "", "0", MIGRATE_TIMEOUT_MS, "KEYS"];
        let mut command = command.map(Vec::from).to_vec();
        let count = keys.len();
        command.extend(keys.into_iter().filter_map(Reply::into_bytes));
        from.call(&command)?.text()?;
        Ok(count)
    }

    /// Moves the remaining keys, hands the slot over, and waits until all nodes know.
    ///
    /// # Errors
    ///
    /// When a node refuses, or when the nodes do not come to agree.
    pub fn finish(self) -> io::Result<()> {
        while self.move_keys(100)? > 0 {}
        let owner = self.cluster.id(self.to)?;
        // The new owner first: the slot must never be nobody's.
        self.set(self.to, &["NODE", &owner])?;
        self.set(self.from, &["NODE", &owner])?;
        self.cluster.wait_settled()
    }

    fn set(&self, node: usize, state: &[&str]) -> io::Result<()> {
        let slot = self.slot.to_string();
        let command = [&["CLUSTER", "SETSLOT", &slot], state].concat();
        self.cluster.nodes[node].command(&command).map(drop)
    }
}

fn start_node() -> io::Result<RedisServer> {
    RedisServer::builder()
        .arg("cluster-enabled", "yes")
        .arg("cluster-node-timeout", NODE_TIMEOUT_MS)
        .arg("cluster-announce-ip", "127.0.0.1")
        .start()
}

/// A line of `CLUSTER NODES`: what one node knows of another, or of itself.
struct Line {
    port: u16,
    flags: String,
    /// `5461` or `0-5460`; slots on their way stand in brackets and are left out.
    slots: Vec<String>,
}

impl Line {
    /// `id ip:port@bus flags master ping pong epoch link slot...`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let (addr, flags) = (words.next()?, words.next()?);
        let port = addr.split('@').next()?.rsplit(':').next()?.parse().ok()?;
        let slots = words.skip(5).filter(|slot| !slot.starts_with('[')).map(str::to_owned);
        Some(Self { port, flags: flags.to_owned(), slots: slots.collect() })
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.split(',').any(|each| each == flag)
    }

    fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bound = |text: &str| text.parse::<u16>();
            bound(first).is_ok_and(|first| first <= slot)
                && bound(last).is_ok_and(|last| slot <= last)
        })
    }
}

fn seen_by(node: &RedisServer) -> io::Result<Vec<Line>> {
    Ok(node.command(&["CLUSTER", "NODES"])?.lines().filter_map(Line::parse).collect())
}
