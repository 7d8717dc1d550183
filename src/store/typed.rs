//! Values into enveloped bytes and back.

use std::time::Duration;

use bytes::Bytes;

use crate::backend::{Entry, Error, ErrorKind, Key, Result, Ttl, Write};
use crate::{State, Store, schema};

use super::envelope::{self, Format, HEADER_LEN, Header, Limit};
use super::record::{Carried, Head, Opened};
use super::{Codec, Freshness, Record};

/// The layout of records that are a value and nothing else.
pub(super) const PLAIN: u16 = 0;

/// An entry out of its envelope.
pub(super) struct Unwrapped {
    pub(super) header: Header,
    pub(super) payload: Bytes,
    /// With its birth filled in.
    limit: Option<Limit>,
    limit_left: Option<Duration>,
    /// What is left of it, never overstated; `None` if it does not expire.
    pub(super) left: Option<Duration>,
    now_us: u64,
}

impl Unwrapped {
    pub(super) fn value<T: State>(&self) -> Result<T> {
        schema::read(self.header.codec, self.header.schema, &self.payload)
    }

    /// Whether the end that it was to keep has come.
    pub(super) fn is_over(&self) -> bool {
        self.limit_left.is_some_and(|left| left.is_zero())
    }

    /// When it ends, for a change that is to keep that, and the time until then.
    pub(super) fn end(&self) -> Option<(Limit, Duration)> {
        let left = self.left?;
        let life = || Ttl::new(left.max(Duration::from_millis(1))).ok();
        let limit = match self.limit {
            Some(limit) => limit,
            None => Limit { born_us: Some(self.now_us), life: life()? },
        };
        Some((limit, left))
    }
}

impl Store {
    /// Stores a value under a key, whatever is there. It lives for `ttl` from now, or until it is
    /// removed if that is `None`. To change what is there without losing the changes of others, use
    /// [`update`](Store::update).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::backend::{Group, Ttl};
    /// # use steadfast::{State, Store};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Banner(String);
    /// # impl State for Banner {
    /// #     const SCHEMA: u16 = 1;
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> steadfast::Result<()> {
    /// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    /// let key = store.key("banner", &Group::new("shop")?, "front")?;
    /// let for_a_day = Ttl::new(Duration::from_secs(86_400))?;
    /// store.set(&key, &Banner("Sale!".to_owned()), Some(for_a_day)).await?;
    /// assert!(store.get::<Banner>(&key).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`put_write`](Store::put_write) and [`write`](Store::write).
    pub async fn set<T: State>(&self, key: &Key, value: &T, ttl: Option<Ttl>) -> Result<()> {
        let put = self.put_write(key, value)?;
        // Unconditional, so it cannot be refused.
        self.write(&ttl.into_iter().fold(put, Write::expiring)).await.map(|_applied| ())
    }

    /// The write that would store a value under a key. It stores nothing by itself: make it
    /// conditional, give it a time to live, send it with [`write`](Store::write) or in a
    /// [`transact`](Store::transact). [`set`](Store::set) does it at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the [codec](Codec) cannot encode the value or would not read it
    /// back as it is, [`ErrorKind::Unsupported`] if a
    /// [write floor](super::StoreBuilder::write_floor) asks for a version that its type cannot
    /// write.
    pub fn put_write<T: State>(&self, key: &Key, value: &T) -> Result<Write> {
        let schema = self.0.floors.of::<T>();
        let out = schema::write(self.0.codec, schema, value, vec![0; HEADER_LEN])?;
        self.wrap(key, schema, PLAIN, None, out)
    }

    /// Reads an entry of a key back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if the bytes are damaged, foreign, not a `T`, or of a schema version
    /// that this build does not read. The record stays as it is.
    pub fn decode<T: State>(&self, key: &Key, entry: &Entry) -> Result<Record<T>> {
        decode_plain(entry, &self.unwrap(key, entry, PLAIN)?)
    }

    /// As [`decode`](Store::decode); `None` if the end that the record was to keep has come.
    pub(super) fn decode_live<T: State>(
        &self,
        key: &Key,
        entry: &Entry,
    ) -> Result<Option<Record<T>>> {
        let unwrapped = self.unwrap(key, entry, PLAIN)?;
        if unwrapped.is_over() {
            return Ok(None);
        }
        decode_plain(entry, &unwrapped).map(Some)
    }

    /// The write that stores a record of the library's: its own part, and the user's value if
    /// there is one.
    pub(crate) fn compose<H: Head, T: State>(
        &self,
        key: &Key,
        head: &H,
        value: Option<&T>,
        carried: Carried,
    ) -> Result<Write> {
        let mut out = vec![0; HEADER_LEN + 4];
        out = Codec::Postcard.encode(head, out)?;
        let head_len = u32::try_from(out.len() - HEADER_LEN - 4).unwrap_or(u32::MAX);
        out[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&head_len.to_be_bytes());
        let schema = value.map_or(0, |_| self.0.floors.of::<T>().max(carried.schema));
        if let Some(value) = value {
            out = schema::write(self.0.codec, schema, value, out)?;
        }
        self.wrap(key, schema, H::LAYOUT, carried.limit, out)
    }

    /// Reads a record of the library's; `None` if its absolute deadline has passed.
    pub(crate) fn open<H: Head>(&self, key: &Key, entry: &Entry) -> Result<Option<Opened<H>>> {
        let unwrapped = self.unwrap(key, entry, H::LAYOUT)?;
        if unwrapped.is_over() {
            return Ok(None);
        }
        let (head, value) = envelope::split(&unwrapped.payload)?;
        Ok(Some(Opened {
            head: Codec::Postcard.decode(&head)?,
            codec: unwrapped.header.codec,
            value,
            version: entry.version,
            written_us: entry.written_us,
            now_us: unwrapped.now_us,
            age: entry.age,
            left: unwrapped.left,
            limit_left: unwrapped.limit_left,
            carried: Carried { limit: unwrapped.limit, schema: unwrapped.header.schema },
        }))
    }

    /// Whether a record holds just this value, so that it need not be written again.
    pub(crate) fn holds<H, T: State>(&self, opened: &Opened<H>, value: &T) -> Result<bool> {
        let schema = self.0.floors.of::<T>().max(opened.carried.schema);
        let bytes = schema::write(self.0.codec, schema, value, Vec::new())?;
        Ok(opened.codec == self.0.codec && opened.carried.schema == schema && opened.value == bytes)
    }

    /// Puts a payload, which stands behind the place of its header, into its envelope.
    pub(super) fn wrap(
        &self,
        key: &Key,
        schema: u16,
        layout: u16,
        limit: Option<Limit>,
        mut out: Vec<u8>,
    ) -> Result<Write> {
        let header = Header { codec: self.0.codec, schema, layout, limit };
        header.put(Format::Clear, &mut out);
        #[cfg(feature = "encrypt")]
        if let Some(keys) = &self.0.sealing {
            header.put(Format::Sealed, &mut out);
            out = keys.seal(key, &out)?;
        }
        Ok(Write::put(key.clone(), envelope::guard(out)?))
    }

    pub(super) fn unwrap(&self, key: &Key, entry: &Entry, layout: u16) -> Result<Unwrapped> {
        let (header, format, payload) = Header::take(&entry.value)?;
        if header.layout != layout {
            let detail =
                "the record is of another kind, or of a newer version; it is left as it is";
            return Err(Error::new(ErrorKind::Corrupt, detail));
        }
        let payload = self.clear(key, format, &entry.value, payload)?;
        let limit = header.limit.map(|limit| limit.born_by(entry.written_us));
        let now_us = self.earliest_now_us(entry);
        let limit_left = limit.map(|limit| limit.left(entry.written_us, now_us));
        let left = [entry.left, limit_left].into_iter().flatten().min();
        Ok(Unwrapped { header, payload, limit, limit_left, left, now_us })
    }

    /// The store's time when it gave this entry, as early as that may have been, so that nothing
    /// ends early. Who sets deadlines in whole seconds tells the time of writes no better.
    fn earliest_now_us(&self, entry: &Entry) -> u64 {
        const FINE: Duration = Duration::from_millis(1);
        let step = self.info().capabilities.ttl_step;
        let off_us = if step > FINE { step.as_micros() } else { 0 };
        entry.now_us().saturating_sub(u64::try_from(off_us).unwrap_or(u64::MAX))
    }

    #[cfg(feature = "encrypt")]
    fn clear(&self, key: &Key, format: Format, envelope: &[u8], payload: Bytes) -> Result<Bytes> {
        match (&self.0.sealing, format) {
            (Some(keys), Format::Sealed) => keys.open(key, envelope, &payload),
            (Some(keys), Format::Clear) if !keys.accept_clear => Err(envelope::corrupt(
                "it is not encrypted; SealingKeys::accept_clear takes such records while a store \
                 changes over",
            )),
            (_, Format::Clear) => Ok(payload),
            (None, Format::Sealed) => Err(no_key()),
        }
    }

    #[cfg(not(feature = "encrypt"))]
    #[expect(clippy::unused_self, reason = "this build has no keys to look for")]
    fn clear(&self, _key: &Key, format: Format, _envelope: &[u8], payload: Bytes) -> Result<Bytes> {
        if format == Format::Clear { Ok(payload) } else { Err(no_key()) }
    }
}

fn decode_plain<T: State>(entry: &Entry, unwrapped: &Unwrapped) -> Result<Record<T>> {
    Ok(Record {
        value: unwrapped.value()?,
        version: entry.version,
        age: entry.age,
        left: unwrapped.left,
        freshness: Freshness::Fresh,
    })
}

fn no_key() -> Error {
    envelope::corrupt(
        "it is encrypted; give the store its keys (feature `encrypt`, `StoreBuilder::sealed`)",
    )
}
