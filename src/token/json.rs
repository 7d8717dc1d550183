//! JSON as strict as tokens need it: no member stands twice, at any depth, and nothing is nested
//! without end. Readers that serde derives check neither.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::backend::{Error, ErrorKind};

/// The bytes of a part of a token.
pub(super) fn write(part: &impl Serialize) -> crate::Result<Vec<u8>> {
    serde_json::to_vec(part).map_err(|cause| {
        Error::new(ErrorKind::Invalid, "the claims cannot be written as JSON").caused_by(cause)
    })
}

/// Whether these bytes are one JSON value in strict UTF-8, without a member that stands twice in
/// its object, and with at most so many arrays and objects inside each other.
pub(super) fn is_strict(bytes: &[u8], depth_max: u8) -> bool {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Strict { depth_left: depth_max }.deserialize(&mut json).and_then(|()| json.end()).is_ok()
}

struct Strict {
    depth_left: u8,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<impl Fn() -> Self + use<E>, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let depth_left = depth_left.ok_or_else(|| E::custom("it is nested too deep"))?;
        Ok(move || Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            members.next_value_seed(inner())?;
        }
        Ok(())
    }
}
