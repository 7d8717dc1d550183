#[cfg(feature = "bincode")]
use bincode::{config::standard, error::DecodeError, serde::decode_from_slice};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Error, ErrorKind, Result};

/// How values become bytes. The codec is written beside every value, so a store can be switched:
/// old values stay readable as long as their codec's feature is on.
///
/// ```
/// use steadfast::Codec;
///
/// assert_eq!(Codec::default(), Codec::Postcard);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// [postcard](https://postcard.jamesmunns.com/): compact, with a stable wire format. Like
    /// bincode it does not describe itself: types with `#[serde(untagged)]` or
    /// `#[serde(flatten)]` need JSON.
    #[default]
    Postcard,
    /// bincode 2.0.1, for data shared with programs that use it. It is unmaintained
    /// (RUSTSEC-2025-0141): prefer postcard.
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
        }
    }

    pub(super) fn from_id(id: u8) -> Result<Self> {
        let detail = match id {
            1 => return Ok(Self::Postcard),
            #[cfg(feature = "bincode")]
            2 => return Ok(Self::Bincode),
            #[cfg(feature = "json")]
            3 => return Ok(Self::Json),
            _ => {
                "the record's codec is not in this build; add the feature `bincode` or `json`, or \
                 read it with a newer version"
            }
        };
        Err(Error::new(ErrorKind::Corrupt, detail))
    }

    pub(crate) fn encode(self, value: &impl Serialize, out: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::Postcard => postcard::to_extend(value, out).map_err(unencodable),
            #[cfg(feature = "bincode")]
            Self::Bincode => {
                let mut out = out;
                bincode::serde::encode_into_std_write(value, &mut out, standard())
                    .map_err(unencodable)?;
                Ok(out)
            }
            #[cfg(feature = "json")]
            Self::Json => {
                let mut out = out;
                serde_json::to_writer(&mut out, value).map_err(unencodable)?;
                Ok(out)
            }
        }
    }

    /// Reads exactly one value; left-over bytes are an error.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        let (value, rest) = match self {
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
fn unencodable(_cause: impl std::fmt::Display) -> Error {
    let detail = "the value cannot be encoded; check its Serialize implementation (maps with \
                  non-string keys in JSON, sequences of unknown length in postcard)";
    Error::new(ErrorKind::Invalid, detail)
}

fn undecodable(_cause: impl std::fmt::Display) -> Error {
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
