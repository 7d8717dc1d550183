use std::borrow::Cow;
use std::time::Duration;

use poem::http::{HeaderMap, HeaderValue, header};

use crate::backend::{Error, ErrorKind, Result};
use crate::session::{Session, SessionId};
use crate::token::whole_seconds;

use super::SessionCookieBuilder;

/// How a session id travels in a cookie: `__Host-sid`, `Path=/`, `Secure`, `HttpOnly`,
/// `SameSite=Lax`, and the session's absolute lifetime as `Max-Age`
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
    /// created, not on each use: it carries the absolute lifetime.
    ///
    /// # Errors
    ///
    /// None in practice: [`ErrorKind::Other`] if the id does not fit a header.
    pub fn hand_over<T>(&self, session: &Session<T>) -> Result<HeaderValue> {
        let Self { name, attributes, .. } = self;
        let id = session.id.expose();
        let max_age_s = whole_seconds(session.absolute_left.min(MAX_AGE_MAX));
        let lifetime =
            if self.persistent { format!("; Max-Age={max_age_s}") } else { String::new() };
        let cookie = format!("{name}={id}{lifetime}; {attributes}");
        secret(&cookie)
    }

    /// The `Set-Cookie` value that removes it.
    pub fn removal(&self) -> HeaderValue {
        self.removal.clone()
    }

    /// The session id in a request: the first valid one under our name.
    pub fn read(&self, headers: &HeaderMap) -> Option<SessionId> {
        self.values(headers).find_map(|id| id.parse().ok())
    }

    /// What a request has under our name, valid or not.
    pub(super) fn values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let lines = headers.get_all(header::COOKIE).iter();
        // Cookies of others may hold any bytes.
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
        pairs.filter(|(name, _value)| *name == self.name).map(|(_name, value)| value)
    }
}

/// Browsers cap a cookie's life at 400 days.
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);

/// A header that no log shows.
pub(super) fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|cause| {
        Error::new(ErrorKind::Other, "the session id does not fit a header").caused_by(cause)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
