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
        let mut values = lines.flat_map(|line| values_of(name.as_bytes(), line.as_bytes()));
        let expected = values.find(|value| super::text::is_id(value));
        assert_eq!(read.map(|id| id.expose()), expected);
    }
}

/// The values of one name in a `Cookie` header, octet by octet as in RFC 6265: what is around a
/// name or a value and is no part of it are the octets 32 and 9.
fn values_of(name: &[u8], line: &[u8]) -> Vec<String> {
    let (mut values, mut at) = (Vec::new(), 0);
    while at < line.len() {
        let end = (at..line.len()).find(|end| line[*end] == 0x3b).unwrap_or(line.len());
        if let Some(equals) = (at..end).find(|place| line[*place] == 0x3d)
            && inside(line, at, equals) == name
        {
            let mut value = inside(line, equals + 1, end);
            if let [0x22, quoted @ .., 0x22] = value {
                value = quoted;
            }
            values.extend(String::from_utf8(value.to_vec()));
        }
        at = end + 1;
    }
    values
}

fn inside(line: &[u8], mut start: usize, mut end: usize) -> &[u8] {
    let is_space = |octet: u8| octet == 0x20 || octet == 0x09;
    while start < end && is_space(line[start]) {
        start += 1;
    }
    while end > start && is_space(line[end - 1]) {
        end -= 1;
    }
    &line[start..end]
}

/// A key is 1 to 255 visible characters, and the same one bare and as a string, in which it may
/// have spaces. There is one in a request, in either header.
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
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// The key in a header, read in the plainest way.
fn key(text: &str) -> Option<IdempotencyKey> {
    let Some(inside) = text.strip_prefix('"') else {
        let bare = text.bytes().all(|byte| byte != 0x20);
        return bare.then(|| IdempotencyKey::new(text).ok())?;
    };
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
