//! What comes in with a request.

use poem::http::header::COOKIE;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use steadfast::http::{SessionCookie, idempotency_key};
use steadfast::idempotency::IdempotencyKey;

use super::bounded;

/// Each line of the input is a header.
fn headers(name: &HeaderName, input: &[u8]) -> HeaderMap {
    let lines = input.split(|byte| *byte == b'\n');
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// The id that is read is the first under our name that is one.
pub(super) fn check_cookie(input: &[u8]) {
    let headers = headers(&COOKIE, input);
    let kinds = [("__Host-sid", SessionCookie::new()), ("sid", SessionCookie::insecure_dev())];
    for (name, cookie) in kinds {
        let read = bounded(input.len(), || cookie.read(&headers));
        let lines = headers.get_all(COOKIE).iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
        let expected = values.find(|value| super::text::is_id(value));
        assert_eq!(read.map(|id| id.expose()).as_deref(), expected);
    }
}

/// A key is 1 to 255 visible characters, and the same one bare and as a string. There is one in a
/// request, in either header.
pub(super) fn check_key_header(input: &[u8]) {
    for name in ["idempotency-key", "x-idempotency-key"] {
        let headers = headers(&HeaderName::from_static(name), input);
        let read = bounded(input.len(), || idempotency_key(&headers).ok());
        let mut values = headers.values();
        let expected = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(key),
            _ => None,
        };
        assert_eq!(read, expected);
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(key) = bounded(input.len(), || IdempotencyKey::new(text)) else {
        assert!(!is_key(text));
        return;
    };
    assert!(is_key(text));
    let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
    let value = HeaderValue::try_from(quoted).unwrap();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), value)]);
    assert_eq!(idempotency_key(&headers).ok(), Some(key));
}

fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The key in a header, read in the plainest way.
fn key(text: &str) -> Option<IdempotencyKey> {
    let Some(inside) = text.strip_prefix('"') else { return IdempotencyKey::new(text).ok() };
    let (mut string, mut chars) = (String::new(), inside.chars());
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => string.push(chars.next().filter(|char| "\"\\".contains(*char))?),
            char => string.push(char),
        }
    }
    let with_parameters = format!("?1{}", chars.as_str());
    sfv::Parser::new(&with_parameters).parse::<sfv::Item>().ok()?;
    IdempotencyKey::new(string).ok()
}
