//! What is asked of a server, in the terms of the meta protocol.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use memcache::exp::{
    Delete, Get, GetResult, GetStatus, Meta, MetaCommandResult, MutationStatus, Operation, Set,
};
use steadfast_backend::Result;
use tokio::time::Instant;

use crate::error;
use crate::lane::{Asked, Lane};

/// The connections to one server.
pub(crate) struct Client {
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

/// What the server holds under a key.
#[derive(Debug)]
pub(crate) struct Item {
    /// The client flags.
    pub(crate) format: u32,
    pub(crate) cas: u64,
    /// Seconds until it expires; `None` if it does not.
    pub(crate) left_s: Option<u32>,
    /// The length of the value.
    pub(crate) len: u64,
    /// Empty where it was not asked for.
    pub(crate) value: Vec<u8>,
}

/// What the server compares before it changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Absent,
    Cas(u64),
    None,
}

/// An item to be stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) format: u32,
    /// What the protocol calls it: 0, seconds, or a date.
    pub(crate) deadline: u32,
    pub(crate) value: Vec<u8>,
}

impl Client {
    /// Makes no connection yet.
    pub(crate) fn new(address: SocketAddr, timeout: Duration, connections: usize) -> Self {
        let lanes = (0..connections).map(|_| Lane::start(address, timeout)).collect();
        Self { lanes, turn: AtomicUsize::new(0) }
    }

    pub(crate) async fn get(&self, key: &str, by: Instant) -> Result<Option<Item>> {
        item(self.run(get(key), by).await?)
    }

    /// As [`get`](Self::get), without the value.
    pub(crate) async fn look(&self, key: &str, by: Instant) -> Result<Option<Item>> {
        item(self.run(get(key).without_value(), by).await?)
    }

    /// Sets the deadline. The answer is the item without its value, and with the time that was
    /// left of it **before**: the server makes its answer flag by flag, and `t` comes before `T`.
    pub(crate) async fn touch(
        &self,
        key: &str,
        deadline: u32,
        by: Instant,
    ) -> Result<Option<Item>> {
        item(self.run(get(key).without_value().touch_raw(deadline), by).await?)
    }

    /// The items under several keys, in their order, by one lane.
    pub(crate) async fn get_many(&self, keys: &[&str], by: Instant) -> Result<Vec<Option<Item>>> {
        let lane = self.lane();
        let ask = |key: &&str| {
            let get = get(key);
            Ok((ask(lane, &get)?, get))
        };
        let asked: Vec<(Asked, Get)> = keys.iter().map(ask).collect::<Result<_>>()?;
        let mut items = Vec::with_capacity(keys.len());
        for (asked, get) in asked {
            items.push(item(parse(&get, asked.answer(by).await?)?)?);
        }
        Ok(items)
    }

    /// The CAS number of what is stored now; `None` if the guard refused.
    pub(crate) async fn set(
        &self,
        key: &str,
        stored: Stored,
        guard: Guard,
        by: Instant,
    ) -> Result<Option<u64>> {
        let mut set = Set::new(key, []).client_flags(stored.format).return_cas();
        set.value = stored.value;
        if stored.deadline != 0 {
            set = set.ttl_raw(stored.deadline);
        }
        let set = match guard {
            Guard::Absent => set.add(),
            Guard::Cas(cas) => set.compare_cas(cas),
            Guard::None => set,
        };
        let result = self.run(set, by).await?;
        match result.status {
            MutationStatus::Applied => result.cas.map(Some).ok_or_else(error::garbled),
            _ => Ok(None),
        }
    }

    /// True if nothing is there now; false if the guard refused.
    pub(crate) async fn delete(&self, key: &str, guard: Guard, by: Instant) -> Result<bool> {
        let delete = match guard {
            Guard::Cas(cas) => Delete::new(key).compare_cas(cas),
            Guard::Absent | Guard::None => Delete::new(key),
        };
        let status = self.run(delete, by).await?.status;
        Ok(status == MutationStatus::Applied || guard == Guard::None)
    }

    async fn run<O: Operation>(&self, operation: O, by: Instant) -> Result<O::Output> {
        let answer = ask(self.lane(), &operation)?.answer(by).await?;
        parse(&operation, answer)
    }

    /// Of two that take turns, the one with less to do: a big value holds up few.
    fn lane(&self) -> &Lane {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let [one, other] = [turn, turn + 1].map(|turn| &self.lanes[turn % self.lanes.len()]);
        if other.load() < one.load() { other } else { one }
    }
}

fn ask<O: Operation>(lane: &Lane, operation: &O) -> Result<Asked> {
    lane.ask(&operation.prepare().map_err(error::of)?)
}

fn parse<O: Operation>(operation: &O, answer: MetaCommandResult) -> Result<O::Output> {
    operation.parse(answer).map_err(|_protocol| error::garbled())
}

fn get(key: &str) -> Get {
    Get::new(key).meta(Meta::NONE.cas().ttl().size())
}

fn item(result: GetResult) -> Result<Option<Item>> {
    if result.status == GetStatus::Miss {
        return Ok(None);
    }
    let left_s = match result.item.ttl {
        Some(-1) => None,
        Some(seconds) => Some(u32::try_from(seconds).map_err(|_| error::garbled())?),
        None => return Err(error::garbled()),
    };
    Ok(Some(Item {
        format: result.client_flags.ok_or_else(error::garbled)?,
        cas: result.item.cas.ok_or_else(error::garbled)?,
        left_s,
        len: result.item.size.ok_or_else(error::garbled)?,
        value: result.value.unwrap_or_default(),
    }))
}
