//! Where the server is that should be asked.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::Value;
use redis::aio::MultiplexedConnection;
use steadfast_backend::ErrorKind;
use tokio::sync::Mutex;

use crate::config::{Address, Login, RedisConfig};
use crate::dial;
use crate::error::{Fault, nonsense, sound};
use crate::frame::number;

pub(crate) enum Locate {
    /// Always there.
    At(Address),
    /// Where Sentinels say.
    BySentinels(Sentinels),
}

pub(crate) struct Sentinels {
    addresses: Vec<Address>,
    primary: String,
    login: Login,
    /// The one that answered last.
    last: AtomicUsize,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Locate {
    pub(crate) fn by_sentinels(sentinels: &[Address], primary: &str, login: &Login) -> Self {
        Self::BySentinels(Sentinels {
            addresses: sentinels.to_vec(),
            primary: primary.to_owned(),
            login: login.clone(),
            last: AtomicUsize::new(0),
            connection: Mutex::new(None),
        })
    }

    pub(crate) async fn find(&self, config: &RedisConfig) -> Result<Address, Fault> {
        match self {
            Self::At(address) => Ok(address.clone()),
            Self::BySentinels(sentinels) => sentinels.find(config).await,
        }
    }

    /// Another address than this one, if that is where the server is now.
    pub(crate) async fn moved_from(
        &self,
        address: &Address,
        config: &RedisConfig,
    ) -> Option<Address> {
        let Self::BySentinels(sentinels) = self else { return None };
        sentinels.find(config).await.ok().filter(|found| found != address)
    }
}

impl fmt::Display for Locate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::BySentinels(sentinels) => f.write_str(&sentinels.primary),
        }
    }
}

impl Sentinels {
    /// Asks the one that answered last, then the others.
    async fn find(&self, config: &RedisConfig) -> Result<Address, Fault> {
        let (count, first) = (self.addresses.len(), self.last.load(Ordering::Relaxed));
        let mut problem = None;
        for turn in 0..count {
            let at = (first + turn) % count;
            match self.ask(config, at).await {
                Ok(address) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(address);
                }
                Err(fault) => problem = problem.or(Some(fault)),
            }
        }
        Err(problem.unwrap_or_else(nonsense))
    }

    async fn ask(&self, config: &RedisConfig, at: usize) -> Result<Address, Fault> {
        let mut kept = self.connection.lock().await;
        // The kept connection is to the one that answered last.
        let reused = kept.take().filter(|_| at == self.last.load(Ordering::Relaxed));
        let mut connection = match reused {
            Some(connection) => connection,
            None => dial::bare(config, &self.addresses[at], &self.login).await?,
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let answer = connection.send_packed_command(&question);
        let answer = tokio::time::timeout(config.connect_timeout, answer).await;
        let Ok(answer) = answer else {
            let detail = "the Sentinel does not answer";
            return Err(Fault::new(ErrorKind::Unavailable, detail).untouched());
        };
        let address = self.address(sound(answer?)?)?;
        *kept = Some(connection);
        Ok(address)
    }

    fn address(&self, answer: Value) -> Result<Address, Fault> {
        let parts = match answer {
            Value::Array(parts) => parts,
            Value::Nil => {
                let detail = format!(
                    "the Sentinels know no primary that is called {:?}; see SENTINEL MASTERS",
                    self.primary
                );
                return Err(Fault::new(ErrorKind::Config, detail).untouched());
            }
            _ => return Err(nonsense()),
        };
        let [Value::BulkString(host), Value::BulkString(port)] = &parts[..] else {
            return Err(nonsense());
        };
        let host = String::from_utf8(host.clone()).map_err(|_not_text| nonsense())?;
        let port = number(port).and_then(|port| u16::try_from(port).ok()).ok_or_else(nonsense)?;
        Ok(Address::tcp(host, port))
    }
}
