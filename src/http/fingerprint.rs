use poem::Request;
use serde_json::Value;

use crate::idempotency::Fingerprint;

/// What makes two requests the same: method, path, query, and the body in a canonical form.
pub(super) fn fingerprint(request: &Request, body: &[u8]) -> Fingerprint {
    let uri = request.original_uri();
    Fingerprint::of([
        request.method().as_str().as_bytes(),
        uri.path().as_bytes(),
        uri.query().unwrap_or_default().as_bytes(),
        &canonical(body),
    ])
}

/// JSON without the freedom in white space and in the order of members; other bodies as they are.
/// Numbers keep their spelling: `1` and `1.0` differ, so no precision is lost that a handler might
/// see.
fn canonical(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string().into_bytes()
        }
        Err(_not_json) => body.to_vec(),
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
        assert_ne!(canonical(b"9007199254740993"), canonical(b"9007199254740992"));
    }
}
