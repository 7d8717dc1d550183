//! Whether two values say the same to serde.

use std::fmt::{self, Display};
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use serde::ser::{self, Serialize, Serializer};

/// A number for what a value says to serde. Equal values have equal numbers; the items of a
/// sequence count in any order, because two equal sets may list them in two orders.
///
/// Unlike bytes of a codec it tells `Some(None)` from `None`, and it needs nothing to be told
/// apart that the codec under test would mix up.
pub(super) fn digest(value: &impl Serialize, human_readable: bool) -> Result<u64, Unsaid> {
    value.serialize(Digest { human_readable })
}

/// The value's own `Serialize` gave up.
#[derive(Debug)]
pub(super) struct Unsaid;

impl Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value does not serialize")
    }
}

impl std::error::Error for Unsaid {}

impl ser::Error for Unsaid {
    fn custom<T: Display>(_cause: T) -> Self {
        Self
    }
}

#[derive(Clone, Copy)]
struct Digest {
    human_readable: bool,
}

fn mark(of: impl Hash) -> u64 {
    FixedState::default().hash_one(of)
}

macro_rules! scalars {
    ($($method:ident: $scalar:ty),+ $(,)?) => {$(
        fn $method(self, value: $scalar) -> Result<u64, Unsaid> {
            Ok(mark((stringify!($scalar), value)))
        }
    )+};
}

impl Serializer for Digest {
    type Ok = u64;
    type Error = Unsaid;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    scalars! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128,
    }

    fn is_human_readable(&self) -> bool {
        self.human_readable
    }

    fn serialize_f32(self, value: f32) -> Result<u64, Unsaid> {
        let bits = if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
        Ok(mark(("f32", bits)))
    }

    fn serialize_f64(self, value: f64) -> Result<u64, Unsaid> {
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        Ok(mark(("f64", bits)))
    }

    fn serialize_none(self) -> Result<u64, Unsaid> {
        Ok(mark("none"))
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<u64, Unsaid> {
        Ok(mark(("some", value.serialize(self)?)))
    }

    fn serialize_unit(self) -> Result<u64, Unsaid> {
        Ok(mark("unit"))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<u64, Unsaid> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<u64, Unsaid> {
        Ok(mark(("variant", variant)))
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<u64, Unsaid> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, Unsaid> {
        Ok(mark((variant, value.serialize(self)?)))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Parts, Unsaid> {
        Ok(self.parts("seq"))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Parts, Unsaid> {
        Ok(self.parts("tuple"))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Parts, Unsaid> {
        Ok(self.parts("tuple"))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts, Unsaid> {
        Ok(self.parts(variant))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Parts, Unsaid> {
        Ok(self.parts("map"))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Parts, Unsaid> {
        Ok(self.parts("struct"))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts, Unsaid> {
        Ok(self.parts(variant))
    }
}

impl Digest {
    fn parts(self, what: &'static str) -> Parts {
        Parts { digest: self, what, sum: 0, count: 0, key: 0 }
    }
}

/// Of a value that has several.
struct Parts {
    digest: Digest,
    what: &'static str,
    sum: u64,
    count: u64,
    /// Of the value that comes next.
    key: u64,
}

impl Parts {
    /// The sum is the same in any order of the parts.
    fn add<T: ?Sized + Serialize>(&mut self, place: impl Hash, value: &T) -> Result<(), Unsaid> {
        let part = mark((place, value.serialize(self.digest)?));
        self.sum = self.sum.wrapping_add(part);
        self.count += 1;
        Ok(())
    }

    fn add_next<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsaid> {
        self.add(self.count, value)
    }

    fn whole(self) -> u64 {
        mark((self.what, self.sum, self.count))
    }
}

impl ser::SerializeSeq for Parts {
    type Ok = u64;
    type Error = Unsaid;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsaid> {
        self.add((), value)
    }

    fn end(self) -> Result<u64, Unsaid> {
        Ok(self.whole())
    }
}

impl ser::SerializeMap for Parts {
    type Ok = u64;
    type Error = Unsaid;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Unsaid> {
        self.key = key.serialize(self.digest)?;
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsaid> {
        self.add(self.key, value)
    }

    fn end(self) -> Result<u64, Unsaid> {
        Ok(self.whole())
    }
}

macro_rules! in_order {
    ($($several:ident: $method:ident),+ $(,)?) => {$(
        impl ser::$several for Parts {
            type Ok = u64;
            type Error = Unsaid;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsaid> {
                self.add_next(value)
            }

            fn end(self) -> Result<u64, Unsaid> {
                Ok(self.whole())
            }
        }
    )+};
}

in_order! {
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! by_name {
    ($($several:ident),+ $(,)?) => {$(
        impl ser::$several for Parts {
            type Ok = u64;
            type Error = Unsaid;

            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unsaid> {
                self.add(name, value)
            }

            fn end(self) -> Result<u64, Unsaid> {
                Ok(self.whole())
            }
        }
    )+};
}

by_name!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use super::*;

    fn of(value: impl Serialize) -> u64 {
        digest(&value, true).unwrap()
    }

    #[test]
    fn equal_sets_and_maps_are_alike_in_whatever_order_they_list_their_members() {
        for round in 0..32 {
            let members = round..round + 32;
            let (one, other) = (members.clone(), members.clone().rev());
            assert_eq!(of(one.collect::<HashSet<_>>()), of(other.collect::<HashSet<_>>()));
            let (one, other) = (members.clone().zip(1..), members.zip(1..));
            assert_eq!(of(one.collect::<HashMap<_, _>>()), of(other.collect::<BTreeMap<_, _>>()));
        }
    }

    #[test]
    fn what_differs_is_not_alike() {
        assert_ne!(of(None::<Option<u8>>), of(Some(None::<u8>)));
        assert_ne!(of((1_u8, 2_u8)), of((2_u8, 1_u8)));
        assert_ne!(of(vec![1_u8, 1]), of(vec![1_u8]));
        assert_ne!(of(BTreeMap::from([(1_u8, 2_u8)])), of(BTreeMap::from([(2_u8, 1_u8)])));
        assert_ne!(of(0.0_f64), of(-0.0_f64));
        assert_eq!(of(f64::NAN), of(-f64::NAN));
    }
}
