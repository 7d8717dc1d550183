use std::time::Duration;

use crate::{Error, ErrorKind, Result, Write};

/// Who a backend is and what it can do. Known without I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// The engine's name, as errors and metrics show it: `"redb"`.
    pub name: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a backend can do: a committed literal per engine, compared by its conformance test.
///
/// A domain type checks what it needs when it is built, not at first use.
///
/// ```
/// use std::time::Duration;
/// use steadfast_backend::{Capabilities, Durability, Transactions};
///
/// let embedded = Capabilities {
///     transactions: Transactions::Any,
///     scan: true,
///     shared: false,
///     evicts: false,
///     invalidations: false,
///     durability: Durability::Durable,
///     ttl_step: Duration::from_millis(1),
///     value_len_max: 1 << 20,
///     batch_len_max: 1024,
/// };
/// assert!(embedded.transactions >= Transactions::SameGroup);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Capabilities {
    /// Which keys can change together.
    pub transactions: Transactions,
    /// Whether [`scan`](crate::Backend::scan) works.
    pub scan: bool,
    /// Whether other processes see the same data.
    pub shared: bool,
    /// Whether live entries may be dropped to make room.
    pub evicts: bool,
    /// Whether [`watch`](crate::Backend::watch) works: the store tells what others change.
    pub invalidations: bool,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// The granularity of deadlines: an entry may live this much longer than asked, never shorter.
    pub ttl_step: Duration,
    /// The longest value in bytes.
    pub value_len_max: usize,
    /// The most writes in one batch or transaction, and the most keys in one `get_many`. Where
    /// there are transactions, sessions need 5 or more: they change 4 records together, and one
    /// for each session that ends meanwhile. With less than 260 a principal has fewer sessions
    /// than the 256 it has by default.
    pub batch_len_max: usize,
}

impl Capabilities {
    /// Whether reads may show a write before it is [confirmed](crate::ErrorKind::Unconfirmed):
    /// where processes share servers whose replicas or disks are waited for. Who concludes from a
    /// read that nothing is left to do has to have that confirmed by a write, such as a
    /// [`Check`](Write::Check).
    pub fn shows_unconfirmed(&self) -> bool {
        self.shared && matches!(self.durability, Durability::Replicated | Durability::Durable)
    }

    /// Checks one write against the limits, before any I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if the value is longer than [`Capabilities::value_len_max`].
    pub fn check_write(&self, write: &Write) -> Result<()> {
        match write {
            Write::Put { value, .. } if value.len() > self.value_len_max => {
                let detail = format!(
                    "a value may have {} bytes and this one has {}; store less, or split it",
                    self.value_len_max,
                    value.len()
                );
                Err(Error::new(ErrorKind::TooLarge, detail))
            }
            _ => Ok(()),
        }
    }

    /// Checks the number of writes or keys in one call, before any I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] above [`Capabilities::batch_len_max`].
    pub fn check_batch_len(&self, len: usize) -> Result<()> {
        if len <= self.batch_len_max {
            return Ok(());
        }
        let detail =
            format!("one call may carry {} items, not {len}; send several", self.batch_len_max);
        Err(Error::new(ErrorKind::TooLarge, detail))
    }

    /// Checks a whole transaction, before any I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the backend has no transactions, [`ErrorKind::Invalid`]
    /// if a key stands in it twice or the keys are not of one group where that is needed, and as
    /// [`Capabilities::check_write`] and [`Capabilities::check_batch_len`].
    pub fn check_transaction(&self, writes: &[Write]) -> Result<()> {
        if self.transactions == Transactions::None {
            let detail = "this backend has no transactions; change one key at a time, or choose \
                          a backend that has them";
            return Err(Error::new(ErrorKind::Unsupported, detail));
        }
        self.check_batch_len(writes.len())?;
        for (at, write) in writes.iter().enumerate() {
            self.check_write(write)?;
            if writes[..at].iter().any(|earlier| earlier.key() == write.key()) {
                let detail = "a key may stand in a transaction once; merge the two writes";
                return Err(Error::new(ErrorKind::Invalid, detail));
            }
            let together = write.key().group() == writes[0].key().group();
            if self.transactions == Transactions::SameGroup && !together {
                let detail = "all keys of a transaction need the same group on this backend";
                return Err(Error::new(ErrorKind::Invalid, detail));
            }
        }
        Ok(())
    }
}

/// Which keys can change together, from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transactions {
    /// Each key alone.
    None,
    /// Keys of one [`Group`](crate::Group).
    SameGroup,
    /// Any keys.
    Any,
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: it dies with this process.
    Process,
    /// The death of this process, but not of the server that holds it.
    Volatile,
    /// The death of any process, but not a power loss.
    Crash,
    /// The loss of one server, as far as its replicas had the write.
    Replicated,
    /// A power loss: it is on stable storage before it is acknowledged.
    Durable,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_servers_that_are_waited_for_show_what_is_not_confirmed() {
        for (shared, durability, expected) in [
            (true, Durability::Replicated, true),
            (true, Durability::Durable, true),
            (true, Durability::Volatile, false),
            // An embedded store shows no write before it is on the disk.
            (false, Durability::Durable, false),
        ] {
            let capabilities = Capabilities {
                transactions: Transactions::Any,
                scan: true,
                shared,
                evicts: false,
                invalidations: false,
                durability,
                ttl_step: Duration::from_millis(1),
                value_len_max: 1,
                batch_len_max: 1,
            };
            assert_eq!(capabilities.shows_unconfirmed(), expected, "{durability:?}");
        }
    }
}
