//! [`MessagePack`](https://msgpack.org/), with fields and variants by name.
//!
//! To serde it is a format for people, as JSON is: what is read through `tag`, `untagged` or
//! `flatten` is always taken for that, so types with two forms, such as IP addresses, would not be
//! read back there in the other one.

use rmp_serde::decode::{Deserializer, Error as Undecodable};
use rmp_serde::encode::{Error as Unencodable, Serializer};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// How many values may be within each other: as many as in JSON, by `serde_json`.
pub(super) const NESTING_MAX: usize = 127;

pub(super) fn encode(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    value.serialize(&mut Serializer::new(out).with_struct_map().with_human_readable())
}

/// Reads what [`is_sound`].
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    T::deserialize(&mut Deserializer::from_read_ref(bytes).with_human_readable())
}

/// Whether it is one value, complete and not nested too deeply, and nothing else: a second look at
/// each byte. `rmp-serde` counts no levels of enums, and reserves room for as many items as a
/// length claims.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let mut look = Deserializer::from_read_ref(bytes);
    look.set_max_depth(NESTING_MAX + 1);
    let is_one = IgnoredAny::deserialize(&mut look).is_ok();
    // Any byte would do as a marker, so none is left.
    is_one && matches!(bool::deserialize(&mut look), Err(Undecodable::InvalidMarkerRead(_)))
}

/// Whether a 128-bit integer may be in it: it is written as 16 bytes.
pub(super) fn may_hold_128_bits(bytes: &[u8]) -> bool {
    const BIN_8: u8 = 0xc4;
    // Most values have none at all, which is found out faster.
    bytes.contains(&BIN_8) && bytes.windows(2).any(|pair| pair == [BIN_8, 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Not(Box<Self>),
    }

    #[test]
    fn a_chain_of_enums_that_would_overflow_the_stack_is_not_sound() {
        let level = [&[0x81, 0xa3][..], b"Not"].concat();
        let bomb = [level.repeat(1 << 20), b"\xa4Leaf".to_vec()].concat();
        assert!(!is_sound(&bomb));
        assert!(!is_sound(&[0x91].repeat(1 << 20)));
        let tree = [level.repeat(NESTING_MAX), b"\xa4Leaf".to_vec()].concat();
        assert!(is_sound(&tree) && decode::<Tree>(&tree).is_ok());
    }

    #[test]
    fn no_length_is_taken_at_its_word() {
        // Each claims 2^32 - 1: items, pairs, bytes of text, bytes, bytes of an extension.
        for marker in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
            let claim = [&[marker, 255, 255, 255, 255][..], &[0x93; 16]].concat();
            assert!(!is_sound(&claim), "{marker:x}");
        }
    }

    #[test]
    fn exactly_one_value_is_sound() {
        let mut bytes = Vec::new();
        encode(&("text", [1, 200], None::<u8>), &mut bytes).unwrap();
        assert!(is_sound(&bytes));
        for len in 0..bytes.len() {
            assert!(!is_sound(&bytes[..len]), "{len}");
        }
        bytes.push(0xc0);
        assert!(!is_sound(&bytes));
    }

    #[test]
    fn each_integer_of_128_bits_is_found() {
        let encoded = |value: &dyn Fn(&mut Vec<u8>) -> Result<(), Unencodable>| {
            let mut bytes = Vec::new();
            value(&mut bytes).unwrap();
            bytes
        };
        for large in [0, 1, u128::from(u64::MAX) + 1, u128::MAX] {
            let value = (1, Some(large), "x");
            assert!(may_hold_128_bits(&encoded(&|out| encode(&value, out))), "{large}");
        }
        for large in [0, -1, i128::MIN, i128::MAX] {
            assert!(may_hold_128_bits(&encoded(&|out| encode(&[large], out))), "{large}");
        }
        assert!(!may_hold_128_bits(&encoded(&|out| encode(&(u64::MAX, "text"), out))));
    }
}
