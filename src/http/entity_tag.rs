//! Conditional requests (RFC 9110, section 13).

use std::fmt;

use poem::Response;
use poem::http::header::{self, HeaderName};
use poem::http::{HeaderMap, HeaderValue, StatusCode};

use super::wire::trim_ows;

/// The entity tag of one version of a resource; `Display` is the value of an `ETag` header.
///
/// A tag to which a proxy has appended `-gzip`, as Apache does where it compresses, still counts as
/// this one.
///
/// ```
/// use poem::http::{HeaderMap, header};
/// use steadfast::http::EntityTag;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::IF_MATCH, "\"41\"".parse().unwrap());
/// assert!(EntityTag::of_version(41).meets_if_match(&headers));
/// assert!(!EntityTag::of_version(42).meets_if_match(&headers));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag(u64);

impl EntityTag {
    /// The tag of a version, such as that of a record.
    pub const fn of_version(version: u64) -> Self {
        Self(version)
    }

    /// Whether the request may go on: it has no `If-Match`, or one that names this tag or `*`.
    /// Weak tags do not count. Answer 412 otherwise. Ask this last: a request that is refused
    /// without the condition gets the other answer (RFC 9110, section 13.2.1).
    pub fn meets_if_match(self, request: &HeaderMap) -> bool {
        !request.contains_key(header::IF_MATCH)
            || tags(request, header::IF_MATCH).any(|tag| tag == "*" || self.is(tag))
    }

    /// The answer to a GET or HEAD, with this tag as its `ETag`. If the request's `If-None-Match`
    /// names it, that is 304 without a body; what the answer says of caching stays. A response that
    /// is not a success (2xx) stays as it is: it is no version of the resource, and no condition
    /// counts for it (RFC 9110, section 13.2.1).
    pub fn answer(self, request: &HeaderMap, mut response: Response) -> Response {
        if !response.status().is_success() {
            return response;
        }
        if let Ok(tag) = HeaderValue::try_from(self.to_string()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        let weak = |tag: &str| self.is(tag.strip_prefix("W/").unwrap_or(tag));
        if tags(request, header::IF_NONE_MATCH).any(|tag| tag == "*" || weak(tag)) {
            response.set_status(StatusCode::NOT_MODIFIED);
            response.set_body(());
            for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
                response.headers_mut().remove(name);
            }
        }
        response
    }

    /// Apache's suffix stands within the quotes, or in old versions behind them.
    fn is(self, tag: &str) -> bool {
        let tag = tag.strip_suffix("-gzip").unwrap_or(tag);
        let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        opaque.is_some_and(|opaque| {
            opaque.strip_suffix("-gzip").unwrap_or(opaque) == self.0.to_string()
        })
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The tags of a header. Ours have no commas, and a foreign one that is split names none of ours.
fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(trim_ows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: HeaderName, tags: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, tags.parse().unwrap())])
    }

    #[test]
    fn a_version_that_the_client_has_is_304_and_says_the_same_of_caching() {
        for (known, status) in [
            ("\"41\"", 304),
            ("W/\"41\"", 304),
            ("\"41-gzip\"", 304),
            ("W/\"41-gzip\"", 304),
            ("\"41\"-gzip", 304),
            ("\"0\", \"41\"", 304),
            ("*", 304),
            ("\"4\"", 200),
            ("\"41", 200),
            ("41", 200),
            ("\"41-br\"", 200),
            ("", 200),
        ] {
            let response = Response::builder()
                .content_type("application/json")
                .header(header::CACHE_CONTROL, "private, no-cache")
                .header(header::VARY, "Cookie")
                .body("{}");
            let request = request(header::IF_NONE_MATCH, known);
            let answer = EntityTag::of_version(41).answer(&request, response);
            assert_eq!(answer.status().as_u16(), status, "{known}");
            assert_eq!(answer.header("etag"), Some("\"41\""));
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
            assert_eq!(answer.header("vary"), Some("Cookie"));
            assert_eq!(answer.content_type().is_some(), status == 200);
        }
    }

    #[test]
    fn a_change_is_made_only_on_the_version_that_its_client_saw() {
        for (wanted, met) in [
            ("\"41\"", true),
            ("\"7\", \"41\"", true),
            ("\"41-gzip\"", true),
            ("*", true),
            ("W/\"41\"", false),
            ("\"42\"", false),
            ("", false),
        ] {
            let request = request(header::IF_MATCH, wanted);
            assert_eq!(EntityTag::of_version(41).meets_if_match(&request), met, "{wanted}");
        }
        assert!(EntityTag::of_version(41).meets_if_match(&HeaderMap::new()));
    }
}
