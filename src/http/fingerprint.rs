use poem::Request;
use poem::http::{Method, StatusCode, Uri, header};

use crate::idempotency::Fingerprint;

use super::Problem;
use super::canonical::{Canonical, canonical, without_mark};
use super::wire::trim_ows;

/// What makes two requests the same: method, path and query as they were sent, what kind of body,
/// and the body.
pub(super) fn fingerprint(request: &Request, body: &[u8]) -> Result<Fingerprint, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(&[][..], |value| value.as_bytes());
    let content_type = String::from_utf8_lossy(content_type);
    // As it was before routers took their part of it.
    print(request.method(), request.original_uri(), &content_type, body)
}

fn print(
    method: &Method,
    uri: &Uri,
    content_type: &str,
    body: &[u8],
) -> Result<Fingerprint, Problem> {
    let (media_type, boundary) = parse(content_type);
    let head = [method.as_str(), uri.path(), uri.query().unwrap_or_default()];
    let head = head.map(|part| part.as_bytes().to_vec());
    let (kind, parts) = match boundary {
        Some(boundary) => (media_type, split(body, &boundary)),
        None => match canonical(body) {
            // Many clients send JSON under the type that their library has by default. A type that
            // says more than JSON says another thing.
            Canonical::Json(json) if !media_type.ends_with("+json") => (String::new(), vec![json]),
            Canonical::Json(json) => (media_type, vec![json]),
            Canonical::Doubled if is_json(&media_type) => return Err(doubled()),
            _ if is_json(&media_type) => (media_type, vec![without_mark(body).to_vec()]),
            _ => (media_type, vec![body.to_vec()]),
        },
    };
    Ok(Fingerprint::of(head.into_iter().chain([kind.into_bytes()]).chain(parts)))
}

/// What is not typed may be JSON.
fn is_json(media_type: &str) -> bool {
    media_type.is_empty() || media_type.contains("json")
}

fn doubled() -> Problem {
    let detail = "a JSON object has two members of one name; which one counts is anybody's guess";
    Problem::new(StatusCode::BAD_REQUEST, detail).kind("bad-json")
}

/// The media type in lower case, without parameters; the boundary if it has parts.
fn parse(content_type: &str) -> (String, Option<String>) {
    let mut pieces = content_type.split(';').map(trim_ows);
    let media_type = pieces.next().unwrap_or_default().to_ascii_lowercase();
    if !media_type.starts_with("multipart/") {
        return (media_type, None);
    }
    let mut parameters = pieces.filter_map(|piece| piece.split_once('='));
    let boundary = parameters.find(|(name, _)| trim_ows(name).eq_ignore_ascii_case("boundary"));
    let boundary = boundary.map(|(_, value)| trim_ows(value).trim_matches('"').to_owned());
    (media_type, boundary.filter(|boundary| !boundary.is_empty()))
}

/// The parts of a multipart body: what stands between the delimiters (RFC 2046, section 5.1.1),
/// which are another random text each time.
fn split(body: &[u8], boundary: &str) -> Vec<Vec<u8>> {
    let body = [b"\r\n", body].concat();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let (mut parts, mut rest) = (Vec::new(), &body[..]);
    while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
        parts.push(rest[..at].to_vec());
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(rest.to_vec());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(content_type: &str, body: &str) -> Fingerprint {
        print(&Method::POST, &Uri::from_static("/a"), content_type, body.as_bytes()).unwrap()
    }

    fn form(boundary: &str, value: &str) -> Fingerprint {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n\
             --{boundary}--\r\n"
        );
        typed(&format!("multipart/form-data; boundary={boundary}"), &body)
    }

    #[test]
    fn a_boundary_does_not_matter_and_the_parts_do() {
        assert_eq!(form("x7", "1"), form("y-another", "1"));
        assert_ne!(form("x7", "1"), form("x7", "2"));
        assert_ne!(form("x7", "1"), form("x7", "1\r\n--x7\r\n\r\n"));
        let quoted = typed("Multipart/Form-Data; Boundary=\"b\"", "--b\r\n\r\n1\r\n--b--");
        assert_eq!(quoted, typed("multipart/form-data;boundary=b", "--b\r\n\r\n1\r\n--b--"));
    }

    #[test]
    fn the_type_counts_where_it_says_more_than_the_body() {
        assert_eq!(typed("application/json; charset=utf-8", "{}"), typed("text/plain", "{ }"));
        assert_ne!(typed("application/json", "{}"), typed("application/merge-patch+json", "{}"));
        assert_eq!(typed("Text/Plain; charset=utf-8", "a"), typed("text/plain", "a"));
        assert_ne!(typed("text/plain", "a"), typed("application/xml", "a"));
    }

    /// RFC 8259, section 8.1: some clients put it there, and some proxies take it away.
    #[test]
    fn a_byte_order_mark_before_json_does_not_matter() {
        for body in [r#"{"qty":1}"#, r#"{"qty":1.5}"#] {
            let marked = format!("\u{feff}{body}");
            for content_type in ["application/json", "application/merge-patch+json", ""] {
                assert_eq!(typed(content_type, body), typed(content_type, &marked));
            }
        }
        assert_ne!(typed("text/plain", "a"), typed("text/plain", "\u{feff}a"));
    }

    #[test]
    fn only_space_and_tab_are_white_space() {
        let parts = |space: &str| {
            let content_type =
                format!("multipart/form-data;{space}boundary{space}={space}b{space}");
            typed(&content_type, "--b\r\n\r\n1\r\n--b--")
        };
        assert_eq!(parts(" \t"), parts(""));
        for other in ["\u{a0}", "\u{2000}", "\u{b}"] {
            assert_ne!(parts(other), parts(""), "{other:?}");
        }
    }

    #[test]
    fn method_path_and_query_count() {
        let print = |method: &str, uri: &str| {
            print(&method.parse().unwrap(), &uri.parse().unwrap(), "", b"").unwrap()
        };
        let post = print("POST", "/a?b=1");
        for (method, uri) in [("PUT", "/a?b=1"), ("POST", "/a?b=2"), ("POST", "/A?b=1")] {
            assert_ne!(print(method, uri), post, "{method} {uri}");
        }
    }

    #[test]
    fn doubled_members_are_refused_in_json_only() {
        let parse = |content_type| {
            let body = br#"[{"a":1,"b":{"a":1,"a":2}}]"#;
            print(&Method::POST, &Uri::from_static("/a"), content_type, body).is_ok()
        };
        assert!(!parse("application/json") && !parse(""));
        assert!(parse("text/plain"));
    }
}
