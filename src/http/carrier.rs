//! How a session id comes with a request and goes back with its answer.

use poem::http::header::SET_COOKIE;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::debug;

use crate::Result;
use crate::session::{Outcome, SessionId};

use super::SessionCookie;
use super::cacheable::forbid_sharing;
use super::cookie::{distinct_ids, retain_set_cookies, secret};

/// What carries the session id of one request.
#[derive(Clone, Copy)]
pub(super) enum Carrier<'a> {
    Cookie(&'a SessionCookie),
    Header(&'a HeaderName),
}

/// What a request came with.
pub(super) struct Brought {
    /// Valid ids, the first one first.
    pub(super) ids: Vec<SessionId>,
    /// Something else stands under our name, and no id.
    pub(super) rubbish: bool,
}

/// The ids that came besides the first, which is in the request as a [`SessionId`].
#[derive(Clone)]
pub(super) struct OtherIds(pub(super) Vec<SessionId>);

impl Carrier<'_> {
    pub(super) fn read(self, headers: &HeaderMap) -> Brought {
        let values: Vec<&str> = match self {
            Self::Cookie(cookie) => cookie.values(headers).collect(),
            Self::Header(name) => {
                headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
            }
        };
        if values.len() > 1 {
            debug!(count = values.len(), "several session ids came; the first live one counts");
        }
        let ids = distinct_ids(values.iter().copied());
        let rubbish = ids.is_empty() && !values.is_empty();
        Brought { ids, rubbish }
    }

    /// Tells the client of its session, in what it was named by.
    pub(super) fn write<T>(self, headers: &mut HeaderMap, outcome: &Outcome<T>) -> Result<()> {
        match (self, outcome) {
            (_, Outcome::Keep) | (Self::Header(_), Outcome::Remove) => return Ok(()),
            (Self::Cookie(cookie), Outcome::HandOver(session)) => {
                set_cookie(headers, cookie, cookie.hand_over(session)?);
            }
            (Self::Cookie(cookie), Outcome::Remove) => {
                set_cookie(headers, cookie, cookie.removal());
            }
            (Self::Header(name), Outcome::HandOver(session)) => {
                headers.insert(name, secret(&session.id.expose())?);
            }
        }
        let named = if let Self::Header(name) = self { name.as_str() } else { "Set-Cookie" };
        forbid_sharing(headers, named);
        Ok(())
    }
}

/// In the place of one of the same name: browsers take two as it pleases them.
fn set_cookie(headers: &mut HeaderMap, cookie: &SessionCookie, value: HeaderValue) {
    retain_set_cookies(headers, |other| !cookie.is_set_by(other));
    headers.append(SET_COOKIE, value);
}
