use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Error, ErrorKind, Result};
use crate::store::Codec;

/// A type whose values are stored. Its schema version is written beside every value.
///
/// Raise the version when the shape changes, and say how the version before it is read. Each step
/// names the one before it only, so a record of any age comes up one step at a time.
///
/// With the default [`Codec`] a type may use serde as it may for JSON: with `skip_serializing_if`,
/// `tag`, `untagged`, `flatten`, and fields such as `serde_json::Value`. A field that is new and
/// has `#[serde(default)]`, and one that is gone, need no new version then. With
/// [`Codec::Postcard`] and bincode none of that works, and a write of such a type fails; the table
/// at [`Codec`] says what each one holds.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use steadfast::schema::{Downcast, Older, State};
///
/// #[derive(Serialize, Deserialize)]
/// struct VisitV1 {
///     pages: u32,
/// }
///
/// impl State for VisitV1 {
///     const SCHEMA: u16 = 1;
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Visit {
///     pages: u32,
///     language: Option<String>,
/// }
///
/// impl State for Visit {
///     const SCHEMA: u16 = 2;
///
///     fn upcast(older: Older<'_>) -> steadfast::Result<Self> {
///         let VisitV1 { pages } = older.read()?;
///         Ok(Self { pages, language: None })
///     }
///
///     // While builds that know no version 2 still run; see `StoreBuilder::write_floor`. They can
///     // keep no language, so it is not asked for before `Store::finalize`.
///     fn downcast(&self, to: Downcast) -> steadfast::Result<Vec<u8>> {
///         to.write(&VisitV1 { pages: self.pages })
///     }
/// }
/// ```
pub trait State: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the type's shape, from 1.
    const SCHEMA: u16;

    /// Makes a value of one of an earlier version. Read it as the type of the version before this
    /// one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`], as it is without this method, for a version that is not read any
    /// more; the record is kept as it is.
    fn upcast(older: Older<'_>) -> Result<Self> {
        Err(older.unknown())
    }

    /// Writes the value as the type of the version before this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`], as it is without this method, if the value cannot be said in
    /// that version; nothing is written then.
    fn downcast(&self, to: Downcast) -> Result<Vec<u8>> {
        Err(to.unknown())
    }
}

/// No typed state: for sessions that only have attributes.
impl State for () {
    const SCHEMA: u16 = 1;
}

/// A stored value of an earlier version.
#[derive(Debug)]
pub struct Older<'a> {
    codec: Codec,
    schema: u16,
    /// The version that asks: what is read next is older.
    asking: u16,
    bytes: &'a [u8],
}

impl Older<'_> {
    /// The version it was written under.
    pub fn schema(&self) -> u16 {
        self.schema
    }

    /// The value as a type of an earlier version; if it is older still, that type's own
    /// [`State::upcast`] is asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if it is not one, [`ErrorKind::Invalid`] if `P` is not earlier than
    /// the type that asks.
    pub fn read<P: State>(self) -> Result<P> {
        check_step::<P>(self.asking)?;
        read(self.codec, self.schema, self.bytes)
    }

    fn unknown(&self) -> Error {
        let detail = format!(
            "the record has schema version {} and version {} does not say how to read it \
             (State::upcast); it is left as it is",
            self.schema, self.asking
        );
        Error::new(ErrorKind::Corrupt, detail)
    }
}

/// Where a value goes that is written under an earlier version.
#[derive(Debug)]
pub struct Downcast {
    codec: Codec,
    schema: u16,
    /// The version that asks: what is written next is older.
    asking: u16,
    out: Vec<u8>,
}

impl Downcast {
    /// The version to be written.
    pub fn schema(&self) -> u16 {
        self.schema
    }

    /// Writes the value as a type of an earlier version; if an older one still is asked for, that
    /// type's own [`State::downcast`] goes on.
    ///
    /// # Errors
    ///
    /// As [`State::downcast`], and [`ErrorKind::Invalid`] if `P` is not earlier than the type that
    /// asks, or cannot be encoded.
    pub fn write<P: State>(self, value: &P) -> Result<Vec<u8>> {
        check_step::<P>(self.asking)?;
        write(self.codec, self.schema, value, self.out)
    }

    fn unknown(&self) -> Error {
        let detail = format!(
            "a value of schema version {} is to be written as version {}, and State::downcast \
             does not say how; give it, or take the write floor away",
            self.asking, self.schema
        );
        Error::new(ErrorKind::Unsupported, detail)
    }
}

/// Each step goes down, so that there is an end.
fn check_step<P: State>(asking: u16) -> Result<()> {
    if P::SCHEMA < asking {
        return Ok(());
    }
    let detail = format!(
        "schema version {asking} is to be read from or written as version {}, which is not \
         earlier; name the type of the version before",
        P::SCHEMA
    );
    Err(Error::new(ErrorKind::Invalid, detail))
}

/// A value from bytes of any version up to the type's own.
pub(crate) fn read<T: State>(codec: Codec, schema: u16, bytes: &[u8]) -> Result<T> {
    match schema {
        _ if schema == T::SCHEMA => codec.decode(bytes),
        _ if schema < T::SCHEMA => T::upcast(Older { codec, schema, asking: T::SCHEMA, bytes }),
        _ => {
            let detail = format!(
                "the record has schema version {schema} and this build reads up to {}; it is left \
                 as it is; read it with a newer build",
                T::SCHEMA
            );
            Err(Error::new(ErrorKind::Corrupt, detail))
        }
    }
}

/// Appends the bytes of a value, under its type's own version or an earlier one.
pub(crate) fn write<T: State>(
    codec: Codec,
    schema: u16,
    value: &T,
    out: Vec<u8>,
) -> Result<Vec<u8>> {
    if schema >= T::SCHEMA {
        return codec.encode_readable(value, out);
    }
    value.downcast(Downcast { codec, schema, asking: T::SCHEMA, out })
}
