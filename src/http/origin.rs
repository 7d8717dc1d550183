//! Whether a browser sends a request for a page of another origin.

use poem::http::header::{HOST, HeaderName, ORIGIN, UPGRADE};
use poem::http::uri::Authority;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint, Middleware, Request};

use crate::backend::{Error, ErrorKind};

use super::{Problem, caught};

/// Refuses requests that a browser sends for a page of another origin (cross-site request
/// forgery): 403. Browsers add cookies to requests that no user asked for, so a service that
/// takes session cookies needs this, or tokens in its forms.
///
/// | request | passes |
/// | --- | --- |
/// | GET, HEAD, OPTIONS, TRACE, QUERY without `Upgrade` | yes: they must not change anything |
/// | with `Sec-Fetch-Site` (all current browsers) | `same-origin`, and `none`: what the user typed |
/// | else with `Origin` (RFC 6454) | if it has the host and port that the request was sent to |
/// | else | yes: no browser sent it |
/// | with an `Origin` that is [trusted](SameOrigin::trust) | yes |
///
/// A WebSocket is opened by a GET with `Upgrade`, for which browsers do not ask the service whether
/// the page may read it: such a GET is checked as a POST is.
///
/// Another host of the same site is another origin, too: who controls one subdomain must not
/// write on another. As a middleware it checks all requests; put it outermost.
/// [`BearerAuth::or_cookie`](super::BearerAuth::or_cookie) checks those that bring the cookie.
/// Without a framework, call [`check`](SameOrigin::check).
///
/// ```
/// use poem::http::{HeaderMap, Method, Uri};
/// use steadfast::http::SameOrigin;
///
/// let same_origin = SameOrigin::new().trust("https://app.example.com")?;
/// let uri = Uri::from_static("https://shop.example.com/cart");
/// let mut headers = HeaderMap::new();
/// headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
/// assert!(same_origin.check(&Method::POST, &uri, &headers).is_err());
/// assert!(same_origin.check(&Method::GET, &uri, &headers).is_ok());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SameOrigin {
    trusted: Vec<Origin>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl SameOrigin {
    /// Trusts no other origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets pages of this origin send any request: `https://app.example.com`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for anything but a scheme, a host and perhaps a port.
    pub fn trust(mut self, origin: &str) -> crate::Result<Self> {
        let Some(origin) = Origin::parse(origin) else {
            let detail = "an origin has a scheme, a host and perhaps a port, and no path: \
                          https://app.example.com";
            return Err(Error::new(ErrorKind::Invalid, detail));
        };
        self.trusted.push(origin);
        Ok(self)
    }

    /// Checks one request. Over HTTP/2 the host is that of the URI, else that of `Host`.
    ///
    /// # Errors
    ///
    /// A [`Problem`] with status 403, for a request that another origin may have caused.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let is_harmless = is_safe(method) && !headers.contains_key(UPGRADE);
        if is_harmless || self.is_own(uri, headers) {
            return Ok(());
        }
        let detail = "a page of another site sent this request; send it from this site";
        Err(Problem::new(StatusCode::FORBIDDEN, detail).kind("cross-origin"))
    }

    fn is_own(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Ok(origin) = only(headers, &ORIGIN) else { return false };
        let Ok(site) = only(headers, &FETCH_SITE) else { return false };
        let named = origin.and_then(|origin| Origin::parse(origin.to_str().ok()?));
        if named.as_ref().is_some_and(|origin| self.trusted.contains(origin)) {
            return true;
        }
        match (site, origin, named) {
            (Some(site), ..) => [&b"same-origin"[..], b"none"].contains(&site.as_bytes()),
            (None, None, _) => true,
            (None, Some(_), Some(origin)) => origin.is_at(uri, headers),
            // `null`, for instance.
            (None, Some(_), None) => false,
        }
    }
}

/// Methods that change nothing: those of RFC 9110, 9.2.1, and QUERY.
pub(super) fn is_safe(method: &Method) -> bool {
    ["GET", "HEAD", "OPTIONS", "QUERY", "TRACE"].contains(&method.as_str())
}

/// The header, which must not stand there twice.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(()),
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority: Authority = rest.parse().ok()?;
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || rest.contains('@') {
            return None;
        }
        let port = port(&authority).ok()?;
        let (scheme, host) = (scheme.to_ascii_lowercase(), authority.host().to_ascii_lowercase());
        let port = port.or_else(|| default_port(&scheme));
        (!host.is_empty()).then_some(Self { scheme, host, port })
    }

    /// Whether the request was sent there. Its scheme is not known behind a proxy.
    fn is_at(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(default) = default_port(&self.scheme) else { return false };
        let Ok(host) = only(headers, &HOST) else { return false };
        let host = || host.and_then(|host| host.to_str().ok()?.parse().ok());
        let Some(authority) = uri.authority().cloned().or_else(host) else { return false };
        let Ok(port) = port(&authority) else { return false };
        let port = port.or(Some(default));
        authority.host().eq_ignore_ascii_case(&self.host) && port == self.port
    }
}

/// The port, if one is named; an error if what stands there is no port.
fn port(authority: &Authority) -> Result<Option<u16>, ()> {
    let named = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    match named.strip_prefix(authority.host()).ok_or(())?.strip_prefix(':') {
        None => Ok(None),
        Some(port) => port.parse().map(Some).map_err(drop),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl<E: Endpoint> Middleware<E> for SameOrigin {
    type Output = SameOriginEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        SameOriginEndpoint { inner, same_origin: self.clone() }
    }
}

/// The endpoint that [`SameOrigin`] makes.
#[derive(Debug)]
pub struct SameOriginEndpoint<E> {
    inner: E,
    same_origin: SameOrigin,
}

impl<E: Endpoint> Endpoint for SameOriginEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, request: Request) -> poem::Result<Self::Output> {
        self.same_origin.check(request.method(), request.original_uri(), request.headers())?;
        caught::call(&self.inner, request).await
    }
}
