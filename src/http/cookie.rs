use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;
use poem::http::{HeaderMap, HeaderValue, header};

use crate::backend::{Clock as _, Error, ErrorKind, Result, SystemClock};
use crate::session::{Session, SessionId};
use crate::token::whole_seconds;

use super::SessionCookieBuilder;
use super::wire::trim_ows;

/// How a session id travels in a cookie: `__Host-sid`, `Path=/`, `Secure`, `HttpOnly`,
/// `SameSite=Lax`, and the session's absolute lifetime as `Max-Age` and `Expires`
/// (draft-ietf-httpbis-rfc6265bis). [`builder`](SessionCookie::builder) makes other ones.
///
/// ```
/// use steadfast::http::SessionCookie;
///
/// let removal = SessionCookie::new().removal();
/// assert!(removal.to_str().unwrap().starts_with("__Host-sid=; Max-Age=0; Path=/; Secure"));
/// ```
#[derive(Clone, Debug)]
pub struct SessionCookie {
    pub(super) name: Cow<'static, str>,
    /// All of them but the lifetime: what hands a cookie over and what removes it must agree.
    pub(super) attributes: Cow<'static, str>,
    pub(super) removal: HeaderValue,
    pub(super) persistent: bool,
    pub(super) secure: bool,
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionCookie {
    /// The cookie for services that are reached by HTTPS.
    pub const fn new() -> Self {
        Self {
            name: Cow::Borrowed("__Host-sid"),
            attributes: Cow::Borrowed("Path=/; Secure; HttpOnly; SameSite=Lax"),
            removal: HeaderValue::from_static(
                "__Host-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax; \
                 Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            persistent: true,
            secure: true,
        }
    }

    /// The cookie for development over plain HTTP: named `sid`, and not `Secure`.
    /// [`CookieSession`](super::CookieSession) warns of it when it starts.
    pub const fn insecure_dev() -> Self {
        Self {
            name: Cow::Borrowed("sid"),
            attributes: Cow::Borrowed("Path=/; HttpOnly; SameSite=Lax"),
            removal: HeaderValue::from_static(
                "sid=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; \
                 Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            persistent: true,
            secure: false,
        }
    }

    /// Starts from [`new`](SessionCookie::new).
    pub fn builder() -> SessionCookieBuilder {
        SessionCookieBuilder::new()
    }

    /// The `Set-Cookie` value that hands a session to a browser. Send it when a session is
    /// created, not on each use: it carries the absolute lifetime, unless the browser is to forget
    /// it when it closes ([`Lifetime::until_closed`](crate::session::Lifetime::until_closed)). As
    /// `Max-Age`, which counts, and as `Expires` by this node's clock, for clients that do not know
    /// `Max-Age`; without it Java's `CookieManager` would send the id in quotes. The answer must
    /// say `Cache-Control: private` or `no-store`: a shared cache would hand the session to others.
    ///
    /// # Errors
    ///
    /// None in practice: [`ErrorKind::Other`] if the id does not fit a header.
    pub fn hand_over<T>(&self, session: &Session<T>) -> Result<HeaderValue> {
        let Self { name, attributes, .. } = self;
        let id = session.id.expose();
        let max_age_s = whole_seconds(session.absolute_left.min(MAX_AGE_MAX));
        let persistent = self.persistent && !session.until_closed;
        let mut cookie = format!("{name}={id}");
        if persistent {
            cookie = format!("{cookie}; Max-Age={max_age_s}");
        }
        cookie = format!("{cookie}; {attributes}");
        if persistent {
            cookie = format!("{cookie}; Expires={}", fmt_http_date(expiry(max_age_s)));
        }
        secret(&cookie)
    }

    /// The `Set-Cookie` value that removes it.
    pub fn removal(&self) -> HeaderValue {
        self.removal.clone()
    }

    /// The session id in a request: the first valid one under our name. Which of several names a
    /// live session, [`CookieSession`](super::CookieSession) and
    /// [`LiveSession`](super::LiveSession) find out.
    pub fn read(&self, headers: &HeaderMap) -> Option<SessionId> {
        self.values(headers).find_map(|id| id.parse().ok())
    }

    /// What a request has under our name, valid or not.
    pub(super) fn values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        // Cookies of others may hold any bytes.
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
        let pairs = pairs.filter(|(name, _value)| trim_ows(name) == self.name);
        pairs.map(|(_name, value)| unquoted(trim_ows(value)))
    }

    /// Whether a request came with the cookie of this session.
    pub(super) fn names(&self, headers: &HeaderMap, id: &SessionId) -> bool {
        self.values(headers).any(|value| value.parse().is_ok_and(|named: SessionId| named == *id))
    }

    /// Takes what removes the cookie out of a response: the browser keeps it.
    pub(super) fn keep(&self, response: &mut HeaderMap) {
        retain_set_cookies(response, |value| !(self.is_set_by(value) && is_removal(value)));
    }

    /// Whether a `Set-Cookie` is about this cookie.
    pub(super) fn is_set_by(&self, set_cookie: &HeaderValue) -> bool {
        let value = set_cookie.as_bytes().strip_prefix(self.name.as_bytes());
        value.is_some_and(|value| value.starts_with(b"="))
    }

    /// The ids in a request, each once; no more of them than are worth a look-up.
    pub(super) fn ids(&self, headers: &HeaderMap) -> Vec<SessionId> {
        distinct_ids(self.values(headers))
    }
}

/// Takes the other `Set-Cookie` headers out of a response.
pub(super) fn retain_set_cookies(headers: &mut HeaderMap, keep: impl Fn(&HeaderValue) -> bool) {
    let kept = headers.get_all(header::SET_COOKIE).iter().filter(|value| keep(value));
    let kept: Vec<HeaderValue> = kept.cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Which of several is alive takes a look-up each, and who sends many is no browser.
const IDS_MAX: usize = 8;

pub(super) fn distinct_ids<'a>(values: impl Iterator<Item = &'a str>) -> Vec<SessionId> {
    let mut ids: Vec<SessionId> = Vec::new();
    for id in values.filter_map(|value| value.parse().ok()) {
        if ids.len() < IDS_MAX && !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// Without the quotes that a value may be in (RFC 6265, 4.1.1): Java's cookie jar adds them.
fn unquoted(value: &str) -> &str {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(value)
}

/// Whether a `Set-Cookie` removes its cookie: no value, and no life.
pub(super) fn is_removal(set_cookie: &HeaderValue) -> bool {
    let Ok(text) = set_cookie.to_str() else { return false };
    let mut parts = text.split(';').map(trim_ows);
    let pair = parts.next().and_then(|pair| pair.split_once('='));
    pair.is_some_and(|(_name, value)| trim_ows(value).is_empty())
        && parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0"))
}

/// Browsers cap a cookie's life at 400 days.
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);

fn expiry(max_age_s: u64) -> SystemTime {
    let now = Duration::from_micros(SystemClock::start().now_us());
    UNIX_EPOCH + now + Duration::from_secs(max_age_s)
}

/// A header that no log shows.
pub(super) fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|cause| {
        Error::new(ErrorKind::Other, "the session id does not fit a header").caused_by(cause)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
