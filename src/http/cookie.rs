use std::time::Duration;

use poem::http::{HeaderMap, HeaderValue, header};

use crate::backend::{Error, ErrorKind, Result};
use crate::session::{Session, SessionId};

use super::problem::whole_seconds;

/// How a session id travels in a cookie: `__Host-sid`, `Path=/`, `Secure`, `HttpOnly`,
/// `SameSite=Lax`, and the session's absolute lifetime as `Max-Age`
/// (draft-ietf-httpbis-rfc6265bis).
///
/// ```
/// use steadfast::http::SessionCookie;
///
/// let removal = SessionCookie::new().removal();
/// assert!(removal.to_str().unwrap().starts_with("__Host-sid=; Max-Age=0; Path=/; Secure"));
/// ```
#[derive(Clone, Debug)]
pub struct SessionCookie {
    name: &'static str,
    attributes: &'static str,
    removal: &'static str,
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
            name: "__Host-sid",
            attributes: "Path=/; Secure; HttpOnly; SameSite=Lax",
            removal: "__Host-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax; \
                      Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }

    /// The cookie for development over plain HTTP: named `sid`, and not `Secure`.
    pub const fn insecure_dev() -> Self {
        Self {
            name: "sid",
            attributes: "Path=/; HttpOnly; SameSite=Lax",
            removal: "sid=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; \
                      Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }

    /// The `Set-Cookie` value that hands a session to a browser. Send it when a session is
    /// created, not on each use: it carries the absolute lifetime.
    ///
    /// # Errors
    ///
    /// None in practice: [`ErrorKind::Other`] if the id does not fit a header.
    pub fn hand_over<T>(&self, session: &Session<T>) -> Result<HeaderValue> {
        let max_age_s = whole_seconds(session.absolute_left.min(MAX_AGE_MAX));
        let Self { name, attributes, .. } = self;
        let id = session.id.expose();
        let cookie = format!("{name}={id}; Max-Age={max_age_s}; {attributes}");
        let mut value = HeaderValue::from_str(&cookie).map_err(|cause| {
            Error::new(ErrorKind::Other, "the session id does not fit a header").caused_by(cause)
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The `Set-Cookie` value that removes it.
    pub fn removal(&self) -> HeaderValue {
        HeaderValue::from_static(self.removal)
    }

    /// The session id in a request: the first valid one under our name.
    pub fn read(&self, headers: &HeaderMap) -> Option<SessionId> {
        let lines = headers.get_all(header::COOKIE).iter();
        // Cookies of others may hold any bytes.
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
        pairs.filter(|(name, _id)| *name == self.name).find_map(|(_name, id)| id.parse().ok())
    }
}

/// Browsers cap a cookie's life at 400 days.
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);
