use serde_json::Value;

use crate::idempotency::Fingerprint;

/// What makes two requests to one route the same: the query, and the body in a canonical form.
pub(super) fn fingerprint(query: Option<&str>, body: &[u8]) -> Fingerprint {
    Fingerprint::of([query.unwrap_or_default().as_bytes(), &canonical(body)])
}

/// JSON without the freedom in white space and in the order of members; the last of doubled
/// members counts. Other bodies are taken as they are, and so is JSON with fractions: two that
/// differ could read as the same number.
fn canonical(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) if is_exact(&value) => {
            value.sort_all_objects();
            value.to_string().into_bytes()
        }
        _ => body.to_vec(),
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

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn order_and_space_do_not_matter_and_values_do() {
        let one = canonical(br#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        assert_eq!(one, canonical(b" { \"b\": {\"d\":null, \"c\":[1, 2]},\n\"a\":1 }"));
        for other in [
            &br#"{"a":2,"b":{"c":[1,2],"d":null}}"#[..],
            br#"{"a":1,"b":{"c":[2,1],"d":null}}"#,
            br#"{"a":"1","b":{"c":[1,2],"d":null}}"#,
            b"a=1",
            b"",
        ] {
            assert_ne!(one, canonical(other));
        }
    }

    #[test]
    fn numbers_that_differ_stay_different() {
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("36893488147419103233", "36893488147419103232"),
            ("[0.1]", "[0.10000000000000001]"),
        ] {
            assert_ne!(canonical(one.as_bytes()), canonical(other.as_bytes()));
        }
    }
}
