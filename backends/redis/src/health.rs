//! What a server tells about itself.

use redis::{FromRedisValue, Value};
use steadfast_backend::{ErrorKind, Health, Replication};

use crate::config::{Acknowledged, Address};
use crate::dial::{Hello, Role};
use crate::endpoint::Endpoint;
use crate::error::{Fault, nonsense, sound};

/// From `INFO`, as far as the user may call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) is_primary: bool,
    /// The user may call `INFO`; if not, only `entries` and whether it is a primary are known.
    pub(crate) is_told: bool,
    pub(crate) entries: u64,
    pub(crate) used_bytes: u64,
    /// 0: no bound.
    pub(crate) limit_bytes: u64,
    pub(crate) policy: String,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
    /// Where the replicas that are connected are.
    pub(crate) replicas: Vec<Address>,
    pub(crate) lag_bytes: Option<u64>,
}

fn take<T: FromRedisValue>(answer: Value) -> Result<T, Fault> {
    redis::from_redis_value(sound(answer)?).map_err(|_of_another_type| nonsense())
}

impl Report {
    /// One trip.
    pub(crate) async fn of(endpoint: &Endpoint) -> Result<Self, Fault> {
        let mut questions = redis::pipe();
        // Several sections in one question are understood since Redis 7.
        for section in ["memory", "stats", "replication"] {
            questions.cmd("INFO").arg(section);
        }
        questions.cmd("DBSIZE").cmd("HELLO");
        let mut answers = endpoint.ask_all(&questions).await?;
        let hello = Hello::read(answers.pop().ok_or_else(nonsense)?)?;
        let entries = take(answers.pop().ok_or_else(nonsense)?)?;
        let text = answers.into_iter().map(take::<String>).collect::<Result<String, _>>();
        let report = match text {
            Ok(text) => Self { is_told: true, ..Self::read(&text) },
            Err(fault) if fault.kind == ErrorKind::Rejected => Self::default(),
            Err(fault) => return Err(fault),
        };
        Ok(Self { entries, is_primary: hello.role == Some(Role::Primary), ..report })
    }

    fn read(text: &str) -> Self {
        let mut report = Self::default();
        let mut offset = 0;
        let mut slowest: Option<u64> = None;
        for (name, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
            let number = || value.parse().unwrap_or_default();
            match name {
                "used_memory" => report.used_bytes = number(),
                "maxmemory" => report.limit_bytes = number(),
                "maxmemory_policy" => value.clone_into(&mut report.policy),
                "evicted_keys" => report.evicted = number(),
                "expired_keys" => report.expired = number(),
                "master_repl_offset" => offset = number(),
                _ if is_replica(name) => {
                    let Some(replica) = Replica::read(value) else { continue };
                    report.replicas.push(replica.address);
                    slowest = Some(slowest.unwrap_or(u64::MAX).min(replica.offset));
                }
                _ => {}
            }
        }
        report.lag_bytes = slowest.map(|slowest| u64::saturating_sub(offset, slowest));
        report
    }

    /// Whether the server drops live entries when its memory is full.
    pub(crate) fn evicts(&self) -> bool {
        self.limit_bytes > 0 && self.policy != "noeviction"
    }

    /// What an operator should change.
    pub(crate) fn warnings(&self, durability: Acknowledged) -> Vec<String> {
        if !self.is_told {
            let warning = "the user may not call INFO, so it is not known whether the server drops \
                           live entries, how full it is and whether replicas are connected; allow \
                           it (ACL SETUSER NAME +info)";
            return vec![warning.to_owned()];
        }
        let mut warnings = Vec::new();
        if self.evicts() {
            warnings.push(format!(
                "maxmemory-policy is {}: when the memory is full, sessions are ended and \
                 idempotency keys forgotten, so that a retry runs again; set noeviction",
                self.policy
            ));
        }
        let wanted = match durability {
            Acknowledged::ByPrimary => 0,
            Acknowledged::ByReplicas(replicas) | Acknowledged::OnDisk { replicas } => replicas,
        };
        let connected = self.replicas();
        if connected < wanted {
            warnings.push(format!(
                "writes wait for {wanted} replicas and {connected} are connected: no write is \
                 confirmed"
            ));
        }
        warnings
    }

    fn replicas(&self) -> u32 {
        u32::try_from(self.replicas.len()).unwrap_or(u32::MAX)
    }

    /// Of several primaries together: sums, and the worst lag.
    pub(crate) fn health(reports: &[Self], durability: Acknowledged) -> Result<Health, Fault> {
        if reports.iter().any(|report| !report.is_primary) {
            let detail = "the server is a replica now, and takes no writes";
            return Err(Fault::new(ErrorKind::Unavailable, detail));
        }
        let sum = |of: fn(&Self) -> u64| reports.iter().map(of).sum::<u64>();
        let told = reports.iter().all(|report| report.is_told);
        let bounded = reports.iter().all(|report| report.limit_bytes > 0);
        let mut warnings: Vec<_> =
            reports.iter().flat_map(|report| report.warnings(durability)).collect();
        warnings.dedup();
        Ok(Health {
            entries: Some(sum(|report| report.entries)),
            used_bytes: told.then(|| sum(|report| report.used_bytes)),
            limit_bytes: bounded.then(|| sum(|report| report.limit_bytes)),
            evicted: told.then(|| sum(|report| report.evicted)),
            expired: told.then(|| sum(|report| report.expired)),
            replication: told.then(|| Replication {
                replicas: reports.iter().map(Self::replicas).sum(),
                lag_bytes: reports.iter().filter_map(|report| report.lag_bytes).max(),
            }),
            warnings,
            ..Health::default()
        })
    }
}

/// `slave0` and so on.
fn is_replica(name: &str) -> bool {
    name.strip_prefix("slave").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

struct Replica {
    address: Address,
    offset: u64,
}

impl Replica {
    /// `ip=…,port=…,state=online,offset=…,lag=…`, if it has caught up once.
    fn read(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = text.split(',').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        if field("state")? != "online" {
            return None;
        }
        let address = Address::tcp(field("ip")?, field("port")?.parse().ok()?);
        Some(Self { address, offset: field("offset")?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Memory\r\nused_memory:100\r\nmaxmemory:1000\r\n\
        maxmemory_policy:allkeys-lru\r\nevicted_keys:3\r\nexpired_keys:4\r\nrole:master\r\n\
        connected_slaves:2\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=90,lag=1\r\n\
        slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\nslave_expires:7\r\n\
        master_repl_offset:100\r\n";

    fn report() -> Report {
        Report { is_told: true, is_primary: true, ..Report::read(INFO) }
    }

    #[test]
    fn info_is_read() {
        let report = report();
        assert!(report.evicts());
        assert_eq!((report.used_bytes, report.limit_bytes), (100, 1_000));
        assert_eq!((report.evicted, report.expired), (3, 4));
        assert_eq!(report.replicas, [Address::tcp("10.0.0.2", 6_379)]);
        assert_eq!(report.lag_bytes, Some(10));
    }

    #[test]
    fn a_policy_that_evicts_and_missing_replicas_are_warned_of() {
        let report = report();
        assert_eq!(report.warnings(Acknowledged::ByReplicas(1)).len(), 1);
        assert_eq!(report.warnings(Acknowledged::ByReplicas(2)).len(), 2);
        let unbounded = Report { limit_bytes: 0, ..report };
        assert!(unbounded.warnings(Acknowledged::ByPrimary).is_empty());
    }

    #[test]
    fn several_primaries_are_summed_and_a_replica_is_an_outage() {
        let report = report();
        let health = Report::health(&[report.clone(), report.clone()], Acknowledged::ByPrimary);
        let health = health.unwrap();
        assert_eq!((health.used_bytes, health.limit_bytes), (Some(200), Some(2_000)));
        assert_eq!(health.warnings.len(), 1);
        let replica = Report { is_primary: false, ..report };
        assert!(Report::health(&[replica], Acknowledged::ByPrimary).is_err());
    }
}
