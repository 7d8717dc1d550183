use std::time::Duration;

use poem::http::{StatusCode, header};
use poem::{IntoResponse, PathPattern, Response};
use serde_json::{Map, Value, json};
use tracing::{error, warn};

use crate::backend::{Error, ErrorKind, Retry};
use crate::session::SessionError;
use crate::token::whole_seconds;

/// An error answer after RFC 9457: `application/problem+json` with `type`, `status`, `title` and
/// `detail`.
///
/// ```
/// use poem::http::StatusCode;
/// use steadfast::http::Problem;
///
/// let problem = Problem::new(StatusCode::CONFLICT, "the cart changed; load it again");
/// assert_eq!(poem::IntoResponse::into_response(problem).status(), 409);
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// A name that programs can tell situations of one status apart by.
    kind: Option<&'static str>,
    detail: String,
    retry_after: Option<Duration>,
    /// The value of `WWW-Authenticate`.
    challenge: Option<&'static str>,
    /// Besides those that every problem has.
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem whose title is the status's own; `detail` is for the person who reads it.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: None,
            detail: detail.into(),
            retry_after: None,
            challenge: None,
            members: Vec::new(),
        }
    }

    /// The last part of its `type`, which is `urn:steadfast:problem:KIND`; `about:blank` without.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Says when to try again: whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// One more member of the document, for programs. Those that every problem has stay as they
    /// are.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// 401 for a request without a token.
    pub fn unauthenticated() -> Self {
        let detail = "this needs a session; log in, and send what you got with each request";
        let problem = Self::new(StatusCode::UNAUTHORIZED, detail);
        Self { challenge: Some("Bearer"), ..problem }
    }

    /// 401 for a token or session that is not valid (any more). It does not say why: the client
    /// can only log in again, and an attacker should learn nothing.
    pub fn invalid_token() -> Self {
        let detail = "the token or its session is not valid any more; log in again";
        let problem = Self::new(StatusCode::UNAUTHORIZED, detail).kind("invalid-token");
        Self { challenge: Some(r#"Bearer error="invalid_token""#), ..problem }
    }

    /// Any error of poem's as a problem of the same status; problems pass unchanged. For
    /// [`catch_all_error`](poem::EndpointExt::catch_all_error).
    pub fn from_poem(error: poem::Error) -> Response {
        // What the router noted, for those who count requests by route.
        let route = error.data::<PathPattern>().cloned();
        let mut response = if error.is_from_response() {
            error.into_response()
        } else {
            Self::of(error).into_response()
        };
        if let Some(route) = route {
            response.extensions_mut().insert(route);
        }
        response
    }

    /// As [`from_poem`](Self::from_poem), of an error that is no response.
    pub(super) fn of(error: poem::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(problem) => problem,
            Err(error) if error.status().is_server_error() => {
                warn!(%error, "a request failed");
                Self::new(error.status(), FAILED)
            }
            Err(error) => Self::new(error.status(), error.to_string()),
        }
    }
}

/// All that a client learns of an error that is for the service to mend. A retry may meet it again.
pub(super) const FAILED: &str = "the service failed; its log says why";

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl std::error::Error for Problem {}

impl poem::error::ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let kind = self.kind.map_or_else(
            || "about:blank".to_owned(),
            |kind| format!("urn:steadfast:problem:{kind}"),
        );
        let status = self.status.as_u16();
        let own = json!({ "type": kind, "status": status, "title": title, "detail": self.detail });
        let body = self.members.iter().map(|(name, value)| (*name, value));
        let own = own.as_object().into_iter().flatten();
        let body: Map<String, Value> = body
            .chain(own.map(|(name, value)| (name.as_str(), value)))
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/problem+json")
            .header(header::CACHE_CONTROL, "no-store");
        if let Some(after) = self.retry_after {
            response = response.header(header::RETRY_AFTER, whole_seconds(after).max(1));
        }
        if let Some(challenge) = self.challenge {
            response = response.header(header::WWW_AUTHENTICATE, challenge);
        }
        response.body(Value::Object(body).to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        poem::error::ResponseError::as_response(&self)
    }
}

impl From<Error> for Problem {
    /// What a client may know of an error: 503 with `Retry-After` where the store failed, 413 for a
    /// value that is too large, and 500 for [`ErrorKind::Invalid`], whose text is for whoever wrote
    /// the handler: where you parse what the client sent, answer 400 yourself. What the client is
    /// not told goes to the log.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => {
                error!(%error, "a handler asked for what is not valid");
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, FAILED);
            }
            ErrorKind::TooLarge | ErrorKind::Contended => {}
            _ => warn!(%error, "the state store failed"),
        }
        match error.kind() {
            ErrorKind::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "this is more than the store takes")
            }
            ErrorKind::Contended => {
                let detail = "too many requests change the same data; try again";
                Self::unavailable(detail, error.retry()).kind("contended")
            }
            ErrorKind::Corrupt => {
                let detail = "the stored data cannot be read; it is left as it is";
                Self::unavailable(detail, error.retry()).kind("record-unreadable")
            }
            _ => {
                let detail = "the state store cannot answer; send the same request again";
                Self::unavailable(detail, error.retry()).kind("store-unavailable")
            }
        }
    }
}

impl Problem {
    fn unavailable(detail: &str, retry: Retry) -> Self {
        let after = match retry {
            Retry::After(after) => after,
            Retry::Never => Duration::from_secs(1),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(after)
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Gone(_) => Self::invalid_token(),
            SessionError::Changed => {
                let detail = "the session was changed by another request; load it again";
                Self::new(StatusCode::CONFLICT, detail).kind("session-changed")
            }
            SessionError::SomebodyElse => {
                let detail = "this session is signed in as somebody else; log out first";
                Self::new(StatusCode::CONFLICT, detail).kind("session-of-another")
            }
            SessionError::LimitReached { .. } => {
                let detail = "too many sessions are open; log out on another device first";
                Self::new(StatusCode::CONFLICT, detail).kind("session-limit")
            }
            SessionError::Committed | SessionError::ReadOnly => {
                error!(%error, "a handler may not do this to its session");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, FAILED)
            }
            SessionError::Store(error) if error.kind() == ErrorKind::Contended => {
                let detail = "too many requests change this session; try again";
                let problem = Self::new(StatusCode::CONFLICT, detail).kind("session-contended");
                problem.retry_after(Duration::from_secs(1))
            }
            SessionError::Store(error) if error.kind() == ErrorKind::TooLarge => {
                let detail = "this is more than a session holds";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail).kind("session-too-large")
            }
            SessionError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_the_nanosecond() {
        let problem = Problem::new(StatusCode::CONFLICT, "");
        let problem = problem.retry_after(Duration::new(2, 1)).into_response();
        assert_eq!(problem.headers()[header::RETRY_AFTER], "3");
    }

    #[test]
    fn what_is_ours_to_mend_is_not_blamed_on_the_client() {
        let error = Error::new(ErrorKind::Invalid, "check its Serialize implementation");
        let problem = Problem::from(error);
        assert_eq!((problem.status.as_u16(), problem.detail.as_str()), (500, FAILED));
        let problem = Problem::from(Error::new(ErrorKind::TooLarge, "detail"));
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
