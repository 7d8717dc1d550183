//! Says what is wrong with a JSON body, in words of the type that was expected. A message of
//! serde's own would quote the body.

use std::fmt::{self, Display};

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected,
    IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// What is wrong with this value as a `T`.
pub(super) fn hint<T: DeserializeOwned>(value: &Value) -> String {
    T::deserialize(Json(value)).err().unwrap_or(Hint::of("a value is not valid")).to_string()
}

/// An error that holds names and expectations of the type, and nothing of the value.
#[derive(Debug)]
struct Hint {
    /// The members that lead to it, those whose names the type has.
    path: Vec<&'static str>,
    what: String,
}

impl Hint {
    fn of(what: impl Into<String>) -> Self {
        Self { path: Vec::new(), what: what.into() }
    }

    fn within(mut self, member: Option<&'static str>) -> Self {
        self.path.extend(member);
        self
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            let path: Vec<_> = self.path.iter().rev().copied().collect();
            write!(f, "the member `{}`: ", path.join("."))?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Hint {}

impl de::Error for Hint {
    /// It may quote the value.
    fn custom<T: Display>(_message: T) -> Self {
        Self::of("a value is not valid")
    }

    fn invalid_type(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(format!("expected {expected}"))
    }

    fn invalid_value(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(format!("expected {expected}"))
    }

    fn invalid_length(_len: usize, expected: &dyn Expected) -> Self {
        Self::of(format!("expected {expected}"))
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Self::of(format!("expected one of {}", names(expected)))
    }

    fn unknown_field(_field: &str, expected: &'static [&'static str]) -> Self {
        Self::of(format!("there is a member that is not known; known are {}", names(expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(format!("the member `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of(format!("the member `{field}` stands there twice"))
    }
}

fn names(expected: &[&str]) -> String {
    expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

struct Json<'a>(&'a Value);

impl<'de> Deserializer<'de> for Json<'_> {
    type Error = Hint;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Hint> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(members) => visitor.visit_map(Members::of(members, &[])),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Hint> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Hint> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Hint> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members::of(members, fields)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Hint> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(Variant(variant, None)),
            Value::Object(members) if members.len() == 1 => match members.iter().next() {
                Some((variant, value)) => visitor.visit_enum(Variant(variant, Some(value))),
                None => Err(Hint::custom("")),
            },
            _ => Err(Hint::of("expected the name of a variant, or an object with one member")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Hint;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Hint> {
        self.0.next().map(|value| seed.deserialize(Json(value))).transpose()
    }
}

/// The members of an object, and the names that its type has for them.
struct Members<'a> {
    rest: serde_json::map::Iter<'a>,
    fields: &'static [&'static str],
    next: Option<(&'a str, &'a Value)>,
}

impl<'a> Members<'a> {
    fn of(members: &'a Map<String, Value>, fields: &'static [&'static str]) -> Self {
        Self { rest: members.iter(), fields, next: None }
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Hint;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Hint> {
        self.next = self.rest.next().map(|(name, value)| (name.as_str(), value));
        let name = self.next.map(|(name, _value)| name.to_owned());
        name.map(|name| seed.deserialize(text(name))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Hint> {
        let (name, value) = self.next.take().ok_or_else(|| Hint::custom(""))?;
        let field = self.fields.iter().copied().find(|field| *field == name);
        seed.deserialize(Json(value)).map_err(|hint| hint.within(field))
    }
}

fn text(text: String) -> StringDeserializer<Hint> {
    text.into_deserializer()
}

/// The name of a variant, and what it holds.
struct Variant<'a>(&'a str, Option<&'a Value>);

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Hint;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'a>), Hint> {
        Ok((seed.deserialize(text(self.0.to_owned()))?, Content(self.1)))
    }
}

struct Content<'a>(Option<&'a Value>);

impl<'a> Content<'a> {
    fn value(&self) -> Result<Json<'a>, Hint> {
        self.0.map(Json).ok_or_else(|| Hint::of("expected an object with one member"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Hint;

    fn unit_variant(self) -> Result<(), Hint> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(Hint::of("expected the name of a variant alone")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Hint> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Hint> {
        self.value()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Hint> {
        self.value()?.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    struct Order {
        sku: String,
        qty: u8,
        note: Option<Note>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        tags: BTreeMap<String, u32>,
        #[serde(default)]
        pair: Option<(u8, u8)>,
        #[serde(default, deserialize_with = "picky")]
        picky: (),
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    struct Note {
        text: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    enum Kind {
        #[default]
        Gift,
        Other(u8),
    }

    fn picky<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(D::Error::custom(format!("missing field `{text}`, expected {text}")))
    }

    /// The member that is missing or wrong stands there, and nothing that the client sent.
    #[test]
    fn a_hint_names_the_member_and_quotes_nothing() {
        let order = |name: &str, value: Value| {
            let mut order = json!({ "sku": "canary", "qty": 1 });
            order[name] = value;
            order
        };
        for (body, expected) in [
            (json!({ "qty": 1 }), "the member `sku` is missing"),
            (order("sku", json!(77_701)), "the member `sku`: expected a string"),
            (order("qty", json!("canary")), "the member `qty`: expected u8"),
            (order("qty", json!(77_701)), "the member `qty`: expected u8"),
            (order("qty", json!(-77_701)), "the member `qty`: expected u8"),
            (order("qty", json!(77_701.5)), "the member `qty`: expected u8"),
            (order("note", json!({})), "the member `note`: the member `text` is missing"),
            (
                order("note", json!({ "text": ["canary"] })),
                "the member `note.text`: expected a string",
            ),
            (order("kind", json!("canary")), "the member `kind`: expected one of `gift`, `other`"),
            (order("kind", json!({ "other": "canary" })), "the member `kind`: expected u8"),
            (order("tags", json!({ "canary": "canary" })), "the member `tags`: expected u32"),
            (order("pair", json!([1])), "the member `pair`: expected a tuple of size 2"),
            (order("picky", json!("canary")), "the member `picky`: a value is not valid"),
            (
                order("canary", json!(1)),
                "there is a member that is not known; known are `sku`, `qty`, `note`, `kind`, \
                 `tags`, `pair`, `picky`",
            ),
        ] {
            let said = hint::<Order>(&body);
            assert_eq!(said, expected, "{body}");
            assert!(!said.contains("canary") && !said.contains("777"), "{said}");
            assert!(serde_json::from_value::<Order>(body).is_err());
        }
    }
}
