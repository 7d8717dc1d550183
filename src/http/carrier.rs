//! How a session id comes with a request and goes back with its answer.

use poem::http::header::{CACHE_CONTROL, SET_COOKIE};
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::debug;

use crate::Result;
use crate::session::{Outcome, SessionId};

use super::SessionCookie;
use super::cookie::secret;

/// What carries the session id of one request.
#[derive(Clone, Copy)]
pub(super) enum Carrier<'a> {
    Cookie(&'a SessionCookie),
    Header(&'a HeaderName),
}

/// What a request came with.
pub(super) enum Brought {
    Id(SessionId),
    Nothing,
    /// Something else under our name.
    Rubbish,
}

impl Carrier<'_> {
    /// The first valid id counts.
    pub(super) fn read(self, headers: &HeaderMap) -> Brought {
        let values: Vec<&str> = match self {
            Self::Cookie(cookie) => cookie.values(headers).collect(),
            Self::Header(name) => {
                headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
            }
        };
        if values.len() > 1 {
            debug!(count = values.len(), "several session ids came; the first valid one counts");
        }
        match values.iter().find_map(|value| value.parse().ok()) {
            Some(id) => Brought::Id(id),
            None if values.is_empty() => Brought::Nothing,
            None => Brought::Rubbish,
        }
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
        if !headers.contains_key(CACHE_CONTROL) {
            let named = if let Self::Header(name) = self { name.as_str() } else { "Set-Cookie" };
            let value = HeaderValue::from_str(&format!("private, no-cache=\"{named}\""));
            headers.insert(CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("no-store")));
        }
        Ok(())
    }
}

/// In the place of one of the same name: browsers take two as it pleases them.
fn set_cookie(headers: &mut HeaderMap, cookie: &SessionCookie, value: HeaderValue) {
    let start = format!("{}=", cookie.name);
    let others = headers.get_all(SET_COOKIE).iter();
    let others = others.filter(|other| !other.as_bytes().starts_with(start.as_bytes()));
    let others: Vec<HeaderValue> = others.cloned().collect();
    headers.remove(SET_COOKIE);
    for value in others.into_iter().chain([value]) {
        headers.append(SET_COOKIE, value);
    }
}
