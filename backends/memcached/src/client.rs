//! The client crate: its types go no further than this module and [`error`](crate::error).

use std::net::SocketAddr;
use std::time::Duration;

use memcache::exp::{
    AsyncMetaClient, Delete, Get, GetResult, GetStatus, Meta, MutationStatus, Operation, Set,
};
use steadfast_backend::Result;

use crate::error;

/// Requests that may wait to be read while the server waits for its answers to be read: as much as
/// the kernel holds for sure, or both would wait for ever.
const REQUESTS_BYTES_MAX: usize = 16 << 10;
/// What a request of a batch has besides the key, and some more.
const REQUEST_BYTES: usize = 32;

/// The connections to one server.
pub(crate) struct Client(AsyncMetaClient);

/// What the server holds under a key.
#[derive(Debug)]
pub(crate) struct Item {
    /// The client flags.
    pub(crate) format: u32,
    pub(crate) cas: u64,
    /// Seconds until it expires; `None` if it does not.
    pub(crate) left_s: Option<u32>,
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
    pub(crate) async fn new(
        address: SocketAddr,
        timeout: Duration,
        connections: usize,
    ) -> Result<Self> {
        // The wait for a connection and the dial have this limit each, so they end before the
        // caller's timeout does: when that strikes, the request may have been sent. It is the
        // limit of the exchange too, since one more timer would cost as much as all the rest of
        // this backend.
        let client = AsyncMetaClient::builder()
            .max_connections(Some(connections))
            .max_idle(connections)
            .connect_timeout(Some(timeout * 9 / 20))
            .io_timeout(None)
            .connect_async(address);
        client.await.map(Self).map_err(error::of)
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Item>> {
        item(self.run(get(key)).await?)
    }

    /// As [`get`](Self::get), without the value.
    pub(crate) async fn look(&self, key: &str) -> Result<Option<Item>> {
        item(self.run(get(key).without_value()).await?)
    }

    /// Sets the deadline. The answer is the item without its value, and with the time that was
    /// left of it **before**: the server makes its answer flag by flag, and `t` comes before `T`.
    pub(crate) async fn touch(&self, key: &str, deadline: u32) -> Result<Option<Item>> {
        item(self.run(get(key).without_value().touch_raw(deadline)).await?)
    }

    /// The items under several keys, in their order.
    pub(crate) async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Item>>> {
        let mut items = Vec::with_capacity(keys.len());
        let mut rest = keys;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest));
            let results = self.0.run_many(batch.iter().copied().map(get)).await;
            for result in results.map_err(error::of)? {
                items.push(item(result.map_err(error::of)?)?);
            }
            rest = later;
        }
        Ok(items)
    }

    /// The CAS number of what is stored now; `None` if the guard refused.
    pub(crate) async fn set(&self, key: &str, stored: Stored, guard: Guard) -> Result<Option<u64>> {
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
        let result = self.run(set).await?;
        match result.status {
            MutationStatus::Applied => result.cas.map(Some).ok_or_else(error::garbled),
            _ => Ok(None),
        }
    }

    /// True if nothing is there now; false if the guard refused.
    pub(crate) async fn delete(&self, key: &str, guard: Guard) -> Result<bool> {
        let delete = match guard {
            Guard::Cas(cas) => Delete::new(key).compare_cas(cas),
            Guard::Absent | Guard::None => Delete::new(key),
        };
        let status = self.run(delete).await?.status;
        Ok(status == MutationStatus::Applied || guard == Guard::None)
    }

    async fn run<O: Operation>(&self, operation: O) -> Result<O::Output> {
        self.0.run(operation).await.map_err(error::of)
    }
}

fn get(key: &str) -> Get {
    Get::new(key).meta(Meta::NONE.cas().ttl())
}

/// How many of these keys may be asked for at once; at least one.
fn batch_len(keys: &[&str]) -> usize {
    let mut bytes = 0;
    let fits = |key: &&&str| {
        bytes += key.len() + REQUEST_BYTES;
        bytes <= REQUESTS_BYTES_MAX
    };
    keys.iter().take_while(fits).count().max(1)
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
        value: result.value.unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_reads_fits_into_what_the_kernel_holds() {
        let longest = "k".repeat(200);
        let keys = vec![longest.as_str(); 256];
        assert_eq!(batch_len(&keys), REQUESTS_BYTES_MAX / (200 + REQUEST_BYTES));
        assert_eq!(batch_len(&keys[..3]), 3);
        let request = "mg  v f c t O255\r\n";
        assert!(request.len() < REQUEST_BYTES);
    }
}
