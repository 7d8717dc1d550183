//! What caches may do with an answer that hands over a session id or removes it.

use poem::http::header::{CACHE_CONTROL, HeaderName};
use poem::http::{HeaderMap, HeaderValue};

use super::wire::{list, trim_ows};

/// Lets no shared cache store the answer, whatever its handler says of caching: others would get
/// the session. Where the handler says nothing, a private cache does not use the header `secret`
/// again either.
pub(super) fn forbid_sharing(headers: &mut HeaderMap, secret: &str) {
    let value = match private(headers) {
        Control::Unset => HeaderValue::from_str(&format!("private, no-cache=\"{secret}\"")),
        Control::Private => return forget_targeted(headers),
        Control::Shared(said) => HeaderValue::from_str(&said),
        Control::Unreadable => Ok(NO_STORE),
    };
    headers.insert(CACHE_CONTROL, value.unwrap_or(NO_STORE));
    forget_targeted(headers);
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What a handler says of caching.
enum Control {
    Unset,
    /// No shared cache may store it.
    Private,
    /// One might. What it says instead, with all else that the handler says.
    Shared(String),
    Unreadable,
}

fn private(headers: &HeaderMap) -> Control {
    let mut directives = Vec::new();
    for value in headers.get_all(CACHE_CONTROL) {
        match value.to_str().ok().and_then(list) {
            Some(more) => directives.extend(more),
            None => return Control::Unreadable,
        }
    }
    if directives.is_empty() {
        return Control::Unset;
    }
    let named = |name: &str| directives.iter().any(|one| is(one, name));
    let bare = directives.iter().any(|one| one.eq_ignore_ascii_case("private"));
    let never = named("no-store") && !named("must-understand");
    if (bare || never) && !named("public") && !named("s-maxage") {
        return Control::Private;
    }
    directives.retain(|one| !SHARING.iter().any(|name| is(one, name)));
    directives.insert(0, "private");
    Control::Shared(directives.join(", "))
}

/// What `private` replaces or would contradict.
const SHARING: [&str; 3] = ["public", "private", "s-maxage"];

fn is(directive: &str, name: &str) -> bool {
    let (named, _value) = directive.split_once('=').unwrap_or((directive, ""));
    trim_ows(named).eq_ignore_ascii_case(name)
}

/// Headers by which a handler speaks to one cache, which then does not look at `Cache-Control`:
/// RFC 9213 and older ones.
fn forget_targeted(headers: &mut HeaderMap) {
    let targeted = |name: &&HeaderName| {
        let name = name.as_str();
        name.ends_with("cdn-cache-control")
            || ["surrogate-control", "x-accel-expires"].contains(&name)
    };
    let targeted: Vec<HeaderName> = headers.keys().filter(targeted).cloned().collect();
    for name in targeted {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(given: &[&'static str]) -> String {
        let given = given.iter().map(|value| (CACHE_CONTROL, HeaderValue::from_static(value)));
        let mut headers: HeaderMap = given.collect();
        forbid_sharing(&mut headers, "Set-Cookie");
        let mut values = headers.get_all(CACHE_CONTROL).iter();
        let control = values.next().unwrap().to_str().unwrap().to_owned();
        assert!(values.next().is_none());
        control
    }

    #[test]
    fn no_shared_cache_may_store_a_session_id() {
        for (given, expected) in [
            (&[][..], "private, no-cache=\"Set-Cookie\""),
            (&["public, max-age=60"], "private, max-age=60"),
            (&["max-age=60"], "private, max-age=60"),
            (&["Public", "S-MaxAge=5, max-age=9"], "private, max-age=9"),
            (&["private=\"x-a, x-b\", max-age=9"], "private, max-age=9"),
            (&["no-store, must-understand"], "private, no-store, must-understand"),
            (&["no-cache=\"a, public\", public"], "private, no-cache=\"a, public\""),
            (&["private, s-maxage=9"], "private"),
            (&["no-cache=\"a, private"], "no-store"),
            // These say so already.
            (&["private"], "private"),
            (&["no-store"], "no-store"),
            (&["max-age=0, Private , no-transform"], "max-age=0, Private , no-transform"),
        ] {
            assert_eq!(control(given), expected, "{given:?}");
        }
    }

    #[test]
    fn a_cache_that_is_spoken_to_by_name_is_not_told_otherwise() {
        let mut headers = HeaderMap::new();
        for name in ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"] {
            headers.insert(name, HeaderValue::from_static("max-age=60"));
        }
        headers.insert("x-accel-expires", HeaderValue::from_static("60"));
        forbid_sharing(&mut headers, "Set-Cookie");
        assert_eq!(headers.len(), 1, "{headers:?}");
    }
}
