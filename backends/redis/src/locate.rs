//! Where the server is that should be asked.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use redis::Value;
use redis::aio::MultiplexedConnection;
use steadfast_backend::ErrorKind;

use crate::config::{Address, Login, RedisConfig};
use crate::dial::{self, Acquaintance};
use crate::error::{Fault, nonsense, sound};
use crate::frame::number;
use crate::race;

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
    /// There was one that answered.
    was_told: AtomicBool,
    /// And the connection to it.
    kept: Mutex<Option<(usize, MultiplexedConnection)>>,
}

impl Locate {
    pub(crate) fn by_sentinels(sentinels: &[Address], primary: &str, login: &Login) -> Self {
        Self::BySentinels(Sentinels {
            addresses: sentinels.to_vec(),
            primary: primary.to_owned(),
            login: login.clone(),
            last: AtomicUsize::new(0),
            was_told: AtomicBool::new(false),
            kept: Mutex::new(None),
        })
    }

    pub(crate) async fn find(&self, config: &RedisConfig) -> Result<Address, Fault> {
        match self {
            Self::At(address) => Ok(address.clone()),
            Self::BySentinels(sentinels) => sentinels.find(config).await,
        }
    }

    /// Why there is no connection to what was found.
    pub(crate) fn led_to(&self, fault: Fault) -> Fault {
        let Self::BySentinels(sentinels) = self else { return fault };
        if !fault.is_outage() {
            return fault;
        }
        let detail = format!(
            "the Sentinels say where {} is, but {}; if that is no address to connect to from \
             here, say where it is by address_map=TOLD=REAL",
            sentinels.primary, fault.detail
        );
        Fault { detail, ..fault }
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
    /// Asks the one that answered last, and soon the others.
    async fn find(&self, config: &RedisConfig) -> Result<Address, Fault> {
        let (count, first) = (self.addresses.len(), self.last.load(Ordering::Relaxed));
        let turns = (0..count).map(|turn| (first + turn) % count);
        let asks: Vec<_> = turns.map(|at| self.ask(config, at)).collect();
        let found = race::first(asks, |_found| true).await;
        let (at, address) = found.map_err(|fault| self.in_service(fault))?;
        self.last.store(at, Ordering::Relaxed);
        self.was_told.store(true, Ordering::Relaxed);
        Ok(config.address_map.apply(address))
    }

    /// Once they have led somewhere, one that says something wrong while the others are silent has
    /// lost its configuration, say: that is a part of the outage.
    fn in_service(&self, fault: Fault) -> Fault {
        if self.was_told.load(Ordering::Relaxed) && !fault.is_outage() {
            return Fault { kind: ErrorKind::Unavailable, ..fault };
        }
        fault
    }

    async fn ask(&self, config: &RedisConfig, at: usize) -> Result<(usize, Address), Fault> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = if let Some((_of, kept)) = kept.filter(|(of, _kept)| *of == at) {
            kept
        } else {
            let known = Acquaintance::known(self.was_told.load(Ordering::Relaxed));
            dial::bare(config, &self.addresses[at], &self.login, known).await?
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let answer = connection.send_packed_command(&question);
        let answer = tokio::time::timeout(config.connect_timeout, answer).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
        });
        let found = answer.map_err(Fault::from).and_then(sound).and_then(|it| self.address(it));
        let address = found.map_err(|fault| fault.at(&self.addresses[at]))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, connection));
        Ok((at, address))
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
