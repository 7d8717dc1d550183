use poem::http::{HeaderMap, StatusCode};
use sfv::{BareItem, Parser};

use crate::idempotency::IdempotencyKey;

use super::Problem;

/// The headers a key may come in; the first is the standard's.
const HEADERS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// The request's one idempotency key, for a middleware or a handler of your own;
/// [`Idempotent`](super::Idempotent) reads it by itself. It stands in `Idempotency-Key` or
/// `X-Idempotency-Key`: bare, as most clients send it, or as a structured-field string (RFC 9651),
/// in which it may have spaces. `"k"` and `k` are the same key.
///
/// ```
/// use poem::http::HeaderMap;
/// use steadfast::http::idempotency_key;
///
/// let mut headers = HeaderMap::new();
/// assert!(idempotency_key(&headers).is_err());
/// headers.insert("idempotency-key", "8e03978e-40d5-43e8-bc93-6894a57f9324".parse().unwrap());
/// assert!(idempotency_key(&headers).is_ok());
/// ```
///
/// # Errors
///
/// A [`Problem`] with status 400, if there is no key, more than one, or one that is none.
pub fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let Some(value) = values.next() else {
        let detail = "this request changes something and needs a header `Idempotency-Key`: 1 to \
                      255 visible ASCII characters, a new one for each new request and the same \
                      one for a retry";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail).kind("key-missing"));
    };
    if values.next().is_some() {
        return Err(malformed("send one idempotency key, in one header"));
    }
    let Ok(text) = value.to_str() else { return Err(malformed(FORM)) };
    let key = match text.strip_prefix('"') {
        Some(_string) => unquote(text),
        None => Some(text).filter(|text| !text.contains(' ')).map(str::to_owned),
    };
    key.and_then(|key| IdempotencyKey::new(key).ok()).ok_or_else(|| malformed(FORM))
}

const FORM: &str = "an idempotency key is 1 to 255 visible ASCII characters, bare or as a \
                    structured-field string; in the string it may have spaces";

fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).kind("key-malformed")
}

/// The string of a structured-field item; its parameters do not matter.
fn unquote(text: &str) -> Option<String> {
    let item = Parser::new(text).parse::<sfv::Item>().ok()?;
    match item.bare_item {
        BareItem::String(string) => Some(string.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[(&'static str, &str)]) -> Option<IdempotencyKey> {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, value.parse().unwrap());
        }
        idempotency_key(&headers).ok()
    }

    #[test]
    fn bare_and_quoted_keys_are_the_same_key() {
        let bare = parse(&[("idempotency-key", "a-1")]).unwrap();
        for (name, value) in [
            ("idempotency-key", r#""a-1""#),
            ("x-idempotency-key", "a-1"),
            ("x-idempotency-key", r#""a-1";q=1"#),
        ] {
            assert_eq!(parse(&[(name, value)]).as_ref(), Some(&bare), "{value}");
        }
    }

    #[test]
    fn a_quoted_key_may_have_spaces() {
        let spaced = parse(&[("idempotency-key", r#""order 17""#)]).unwrap();
        assert_eq!(parse(&[("x-idempotency-key", r#""order 17";q=1"#)]), Some(spaced.clone()));
        for other in [r#""order17""#, r#""order  17""#, r#""order 17 ""#] {
            let other = parse(&[("idempotency-key", other)]);
            assert!(other.is_some() && other != Some(spaced.clone()), "{other:?}");
        }
        assert!(parse(&[("idempotency-key", &format!("\"{}\"", " ".repeat(255)))]).is_some());
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "k".repeat(256);
        let quoted = format!("\"{long}\"");
        let bad = ["", " ", "a b", r#""a"#, r#""""#, "é", &long, &quoted, r#""a", "b""#];
        for value in bad {
            assert!(parse(&[("idempotency-key", value)]).is_none(), "{value}");
        }
        assert!(parse(&[]).is_none());
        assert!(parse(&[("idempotency-key", "a"), ("idempotency-key", "a")]).is_none());
        assert!(parse(&[("idempotency-key", "a"), ("x-idempotency-key", "b")]).is_none());
        assert!(parse(&[("idempotency-key", &"k".repeat(255))]).is_some());
    }
}
