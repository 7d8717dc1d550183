mod digest;
mod message_pack;

use std::any::type_name;
use std::fmt::Display;

#[cfg(feature = "bincode")]
use bincode::{config::standard, error::DecodeError, serde::decode_from_slice};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Error, ErrorKind, Result};

use self::message_pack::NESTING_MAX;

/// How values become bytes. The codec is written beside every value, so a store can be switched:
/// old values stay readable as long as their codec's feature is on.
///
/// | | `MessagePack` | `Json` | `Postcard` | `Bincode` |
/// | --- | --- | --- | --- | --- |
/// | `skip_serializing_if`, a new field with `default` | yes | yes | no | no |
/// | `tag`, `untagged`, `flatten` | yes | yes | no | no |
/// | fields such as `serde_json::Value` | yes | yes | no | no |
/// | maps whose keys are not strings | yes | scalars only | yes | yes |
/// | NaN and infinities | yes | no | yes | yes |
/// | `u128` and `i128` | yes | yes | yes | yes |
/// | `u128` within `tag`, `untagged` or `flatten` | no | no | no | no |
/// | `Some(None)` and `Some(())` | no | no | yes | yes |
/// | levels of nesting | 127 | 127 | any | any |
///
/// A write of a value that would not be read back as it is fails with [`ErrorKind::Invalid`], and
/// stores nothing. `MessagePack` checks that in debug builds, and in each build where the value has
/// a 128-bit integer: what it cannot hold, serde itself loses, and a test of the type finds it. The
/// others check each write.
///
/// ```
/// use steadfast::Codec;
///
/// assert_eq!(Codec::default(), Codec::MessagePack);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// [`MessagePack`](https://msgpack.org/): compact, and it describes itself. Fields and variants
    /// stand by name, so it reads back whatever JSON reads back, and more.
    #[default]
    MessagePack,
    /// [postcard](https://postcard.jamesmunns.com/): the smallest, with a stable wire format. It
    /// does not describe itself: it knows the fields of a type by their order only.
    Postcard,
    /// bincode 2.0.1, for data shared with programs that use it. It does not describe itself. It is
    /// unmaintained (RUSTSEC-2025-0141): prefer postcard.
    #[cfg(feature = "bincode")]
    Bincode,
    /// JSON: larger, but readable by people and by other languages.
    #[cfg(feature = "json")]
    Json,
}

impl Codec {
    /// The byte that stands for it in the envelope.
    pub(super) fn id(self) -> u8 {
        match self {
            Self::Postcard => 1,
            #[cfg(feature = "bincode")]
            Self::Bincode => 2,
            #[cfg(feature = "json")]
            Self::Json => 3,
            Self::MessagePack => 4,
        }
    }

    pub(super) fn from_id(id: u8) -> Result<Self> {
        let detail = match id {
            1 => return Ok(Self::Postcard),
            #[cfg(feature = "bincode")]
            2 => return Ok(Self::Bincode),
            #[cfg(feature = "json")]
            3 => return Ok(Self::Json),
            4 => return Ok(Self::MessagePack),
            _ => {
                "the record's codec is not in this build; add the feature `bincode` or `json`, or \
                 read it with a newer version"
            }
        };
        Err(Error::new(ErrorKind::Corrupt, detail))
    }

    /// Whether the bytes say what they are, so that the type need not know.
    fn describes_itself(self) -> bool {
        match self {
            Self::MessagePack => true,
            Self::Postcard => false,
            #[cfg(feature = "bincode")]
            Self::Bincode => false,
            #[cfg(feature = "json")]
            Self::Json => true,
        }
    }

    /// Encodes a value of a user's, and sees that it will be read back as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it will not.
    pub(crate) fn encode_readable<T: Serialize + DeserializeOwned>(
        self,
        value: &T,
        out: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let start = out.len();
        let out = self.encode(value, out).map_err(|_cause| self.unencodable::<T>())?;
        let bytes = &out[start..];
        if self == Self::MessagePack && !message_pack::is_sound(bytes) {
            let detail = format!(
                "a value of {} is nested more than {NESTING_MAX} levels deep; nothing is stored; \
                 make it flatter",
                type_name::<T>()
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        // What the others lose may depend on the value: a field that is left out, a NaN.
        let is_checked = cfg!(debug_assertions)
            || self != Self::MessagePack
            || message_pack::may_hold_128_bits(bytes);
        if is_checked && !self.reads_back(value, bytes) {
            return Err(self.unreadable::<T>());
        }
        Ok(out)
    }

    fn reads_back<T: Serialize + DeserializeOwned>(self, value: &T, bytes: &[u8]) -> bool {
        let digest = |value: &T| digest::digest(value, self.describes_itself()).ok();
        let back = self.decode::<T>(bytes).ok();
        back.is_some_and(|back| digest(&back).is_some_and(|back| digest(value) == Some(back)))
    }

    pub(crate) fn encode(self, value: &impl Serialize, mut out: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::MessagePack => message_pack::encode(value, &mut out).map_err(failed)?,
            Self::Postcard => return postcard::to_extend(value, out).map_err(failed),
            #[cfg(feature = "bincode")]
            Self::Bincode => {
                bincode::serde::encode_into_std_write(value, &mut out, standard())
                    .map_err(failed)?;
            }
            #[cfg(feature = "json")]
            Self::Json => serde_json::to_writer(&mut out, value).map_err(failed)?,
        }
        Ok(out)
    }

    /// Reads exactly one value; left-over bytes are an error.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        let (value, rest) = match self {
            Self::MessagePack if !message_pack::is_sound(bytes) => {
                return Err(undecodable("it is not one value"));
            }
            Self::MessagePack => (message_pack::decode(bytes).map_err(undecodable)?, &[][..]),
            Self::Postcard => postcard::take_from_bytes(bytes).map_err(undecodable)?,
            #[cfg(feature = "bincode")]
            Self::Bincode => {
                let (value, len) = decode_bincode(bytes).map_err(undecodable)?;
                (value, bytes.get(len..).unwrap_or_default())
            }
            #[cfg(feature = "json")]
            Self::Json => (serde_json::from_slice(bytes).map_err(undecodable)?, &[][..]),
        };
        if rest.is_empty() { Ok(value) } else { Err(undecodable("bytes are left over")) }
    }

    fn unencodable<T>(self) -> Error {
        let detail = format!(
            "a value of {} cannot be encoded with {self:?}; nothing is stored; {}",
            type_name::<T>(),
            self.advice()
        );
        Error::new(ErrorKind::Invalid, detail)
    }

    fn unreadable<T>(self) -> Error {
        let detail = format!(
            "a value of {} would not be read back as it is with {self:?}; nothing is stored; {}",
            type_name::<T>(),
            self.advice()
        );
        Error::new(ErrorKind::Invalid, detail)
    }

    fn advice(self) -> &'static str {
        if self.describes_itself() {
            "see Codec for what it can hold; serde itself loses Some(None), Some(()), a u128 \
             within tag, untagged or flatten, and fields that it writes and does not read"
        } else {
            "types with serde attributes such as skip_serializing_if, tag, untagged or flatten, or \
             with fields such as serde_json::Value, need the default codec"
        }
    }
}

/// The limit bounds what a hostile length makes the decoder allocate. It is a constant to bincode,
/// so there is one for each size class. A byte counts for 16 at most: numbers count by their type,
/// however short they are written.
#[cfg(feature = "bincode")]
fn decode_bincode<T: DeserializeOwned>(
    bytes: &[u8],
) -> std::result::Result<(T, usize), DecodeError> {
    match bytes.len() {
        0..=0x1000 => decode_from_slice(bytes, standard().with_limit::<{ 16 * 0x1000 }>()),
        0x1001..=0x1_0000 => decode_from_slice(bytes, standard().with_limit::<{ 16 * 0x1_0000 }>()),
        0x1_0001..=0x10_0000 => {
            decode_from_slice(bytes, standard().with_limit::<{ 16 * 0x10_0000 }>())
        }
        _ => decode_from_slice(bytes, standard().with_limit::<{ 64 << 20 }>()),
    }
}

/// The codec's own message is dropped: it may quote the value.
fn failed(_cause: impl Display) -> Error {
    Error::new(ErrorKind::Invalid, "the value cannot be encoded; check its Serialize")
}

fn undecodable(_cause: impl Display) -> Error {
    let detail = "the record does not decode as the type asked for; it is left as it is; if the \
                  type's shape changed, raise State::SCHEMA";
    Error::new(ErrorKind::Corrupt, detail)
}

#[cfg(all(test, feature = "bincode"))]
mod tests {
    use super::*;

    #[test]
    fn bincode_reads_whatever_it_wrote_at_the_edge_of_each_size_class() {
        for len in [0x1000, 0x1_0000, 0x10_0000, 0x40_0000].map(|edge| edge - 16) {
            // The numbers that count most, in one byte each.
            let numbers = vec![0_u128; len];
            let bytes = Codec::Bincode.encode(&numbers, Vec::new()).unwrap();
            let after: Vec<u128> = Codec::Bincode.decode(&bytes).unwrap();
            assert_eq!(after, numbers);
        }
    }

    #[test]
    fn bincode_does_not_take_the_word_of_a_length() {
        // 48 MiB of text, in a record of 5 bytes.
        let error = Codec::Bincode.decode::<String>(&[0xfc, 0, 0, 0, 3]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
