//! JSON without the freedom in white space and in the order of members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A body in the form in which two that say the same are equal.
pub(super) enum Canonical {
    Json(Vec<u8>),
    /// JSON in which a member stands twice.
    Doubled,
    /// Not JSON, or JSON with fractions: two that differ could read as the same number.
    Other,
}

/// JSON without the byte order mark that some clients put before it (RFC 8259, section 8.1).
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

pub(super) fn canonical(body: &[u8]) -> Canonical {
    match serde_json::from_slice::<Strict>(without_mark(body)) {
        Ok(Strict(mut value)) if is_exact(&value) => {
            value.sort_all_objects();
            Canonical::Json(value.to_string().into_bytes())
        }
        // The only thing about data that `Strict` objects to.
        Err(error) if error.is_data() => Canonical::Doubled,
        _ => Canonical::Other,
    }
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// A value no member of which stands twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Vec<u8> {
        match canonical(body.as_bytes()) {
            Canonical::Json(json) => json,
            Canonical::Doubled => panic!("{body}"),
            Canonical::Other => body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn order_and_space_do_not_matter_and_values_do() {
        let one = form(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        assert_eq!(one, form(" { \"b\": {\"d\":null, \"c\":[1, 2]},\n\"a\":1 }"));
        assert_eq!(one, form(r#"{"\u0061":1,"b":{"c":[1,2],"d":null}}"#));
        for other in [
            r#"{"a":2,"b":{"c":[1,2],"d":null}}"#,
            r#"{"a":1,"b":{"c":[2,1],"d":null}}"#,
            r#"{"a":"1","b":{"c":[1,2],"d":null}}"#,
            r#"{"a":true,"b":{"c":[1,2],"d":null}}"#,
            r#"{"a":-1,"b":{"c":[1,2],"d":null}}"#,
            "a=1",
            "",
        ] {
            assert_ne!(one, form(other));
        }
    }

    #[test]
    fn numbers_that_differ_stay_different() {
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("36893488147419103233", "36893488147419103232"),
            ("[0.1]", "[0.10000000000000001]"),
        ] {
            assert_ne!(form(one), form(other));
        }
    }

    #[test]
    fn doubled_members_are_seen_wherever_they_are() {
        for body in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(matches!(canonical(body.as_bytes()), Canonical::Doubled), "{body}");
        }
        let deep = "[".repeat(10_000);
        assert!(matches!(canonical(deep.as_bytes()), Canonical::Other));
    }
}
