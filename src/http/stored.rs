use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use poem::http::header::{self, HeaderName, HeaderValue};
use poem::http::{HeaderMap, StatusCode};
use poem::{Body, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::sync::oneshot;
use tracing::warn;

use crate::State;

use super::Problem;
use super::cookie::is_removal;
use super::unknown::{broken, not_retained};
use super::wire::trim_ows;

/// A response as it is kept for retries: status, some headers, body. Of a body that is too large,
/// or a stream, its digest is kept, once the client has it. `Debug` shows no content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: StoredBody,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum StoredBody {
    Whole(Bytes),
    TooLarge { sha256: Option<[u8; 32]> },
}

impl State for StoredResponse {
    const SCHEMA: u16 = 1;
}

/// What a replay carries, so that nobody takes it for the first answer.
pub(super) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

impl StoredResponse {
    /// The same answer again, marked as such.
    pub(super) fn replay(self) -> Response {
        let (mut response, kept) = match self.body {
            StoredBody::Whole(body) => {
                let response = Response::builder().status(status(self.status)).body(body);
                (response, self.headers)
            }
            StoredBody::TooLarge { sha256 } => {
                // As in RFC 9530.
                let digest = sha256.map(|hash| format!("sha-256=:{}:", STANDARD.encode(hash)));
                let mut kept = self.headers;
                kept.retain(|(name, _value)| name == header::LOCATION.as_str());
                (not_retained(digest).into_response(), kept)
            }
        };
        let headers = response.headers_mut();
        for (name, value) in kept {
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::try_from(&value[..]))
            {
                headers.append(name, value);
            }
        }
        headers.insert(REPLAYED.0, REPLAYED.1);
        response
    }

    /// The same answer again, as a problem that says that its outcome is not known.
    pub(super) fn replay_unknown(mut self) -> Response {
        let status = status(self.status);
        let problem = match &self.body {
            StoredBody::Whole(body) if self.is_problem() => serde_json::from_slice(body).ok(),
            _ => None,
        };
        if let Some(Value::Object(mut problem)) = problem {
            problem.insert("outcome".to_owned(), "unknown".into());
            self.body = StoredBody::Whole(Value::Object(problem).to_string().into());
            return self.replay();
        }
        let detail = "an earlier run of this request failed with this status and may have had \
                      effects; it is not run again";
        let problem = Problem::new(status, detail).kind("outcome-unknown");
        let mut response = problem.member("outcome", "unknown").into_response();
        response.headers_mut().insert(REPLAYED.0, REPLAYED.1);
        response
    }

    fn is_problem(&self) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(name, value)| {
            name == header::CONTENT_TYPE.as_str() && value.starts_with(b"application/problem+json")
        })
    }

    pub(super) fn with_digest(mut self, sha256: [u8; 32]) -> Self {
        self.body = StoredBody::TooLarge { sha256: Some(sha256) };
        self
    }
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}

impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = match &self.body {
            StoredBody::Whole(body) => body.len().to_string(),
            StoredBody::TooLarge { .. } => "too many".to_owned(),
        };
        write!(f, "StoredResponse({}, {len} bytes)", self.status)
    }
}

/// The digest of a body that is on its way to the client.
pub(super) type Rest = oneshot::Receiver<[u8; 32]>;

/// What is kept of responses.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    pub(super) headers: Vec<HeaderName>,
    pub(super) body_len_max: usize,
    /// Also each `Set-Cookie` that removes a cookie. Not where another session may have begun in
    /// the client since: the replay would remove its cookie.
    pub(super) removals: bool,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { headers: REPLAYED_HEADERS.to_vec(), body_len_max: 256 * 1024, removals: false }
    }
}

/// What describes the body and survives a replay. Never a `Set-Cookie` that sets one: a retry must
/// not hand out a session.
const REPLAYED_HEADERS: [HeaderName; 9] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
];

/// Credentials, what belongs to one connection or one moment, and what the body itself brings.
const NEVER_REPLAYED: [&str; 18] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-csrf-token",
    "x-xsrf-token",
    "idempotent-replayed",
];

impl Keeping {
    pub(super) fn allows(name: &HeaderName) -> bool {
        !NEVER_REPLAYED.contains(&name.as_str())
    }

    /// Reads a response up to the limit; gives what is kept of it, the response again, and, if it
    /// is longer or a stream, where its digest comes out once it is sent.
    pub(super) async fn capture(
        &self,
        response: Response,
    ) -> Result<(StoredResponse, Response, Option<Rest>), Problem> {
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status.as_u16(), self.kept(&parts.headers));
        let mut reader = body.into_async_read();
        let read = read_start(&mut reader, self.body_len_max, Pace::of(&parts.headers)).await;
        let (start, whole) = read.map_err(|error| {
            warn!(%error, "the body of a response failed");
            broken()
        })?;
        if whole {
            let start = Bytes::from(start);
            let body = StoredBody::Whole(start.clone());
            let response = Response::from_parts(parts, start.into());
            return Ok((StoredResponse { status, headers, body }, response, None));
        }
        let (digest, rest) = oneshot::channel();
        let body = Hashed {
            reader: io::Cursor::new(start).chain(reader),
            hash: Sha256::new(),
            digest: Some(digest),
        };
        let response = Response::from_parts(parts, Body::from_async_read(body));
        let body = StoredBody::TooLarge { sha256: None };
        Ok((StoredResponse { status, headers, body }, response, Some(rest)))
    }

    fn kept(&self, headers: &HeaderMap) -> Vec<(String, Bytes)> {
        let mut kept = Vec::new();
        for name in &self.headers {
            // A header that the response ties to its connection is not part of the answer.
            if names(headers.get_all(header::CONNECTION)).any(|tied| tied == name.as_str()) {
                continue;
            }
            let values = headers.get_all(name).iter();
            let values = values.map(|value| Bytes::copy_from_slice(value.as_bytes()));
            kept.extend(values.map(|value| (name.as_str().to_owned(), value)));
        }
        if self.removals {
            let removals = headers.get_all(header::SET_COOKIE).iter();
            let removals = removals.filter(|value| is_removal(value));
            let removals = removals.map(|value| Bytes::copy_from_slice(value.as_bytes()));
            kept.extend(removals.map(|value| (header::SET_COOKIE.as_str().to_owned(), value)));
        }
        kept
    }
}

/// How a body comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Its length is known: it will be there soon, and is waited for.
    Known,
    /// What is there at once is taken. As soon as something has to be waited for it is a stream,
    /// and the client gets each part when it comes.
    Unknown,
    /// Events: nothing of it is kept.
    Stream,
}

impl Pace {
    fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = trim_ows(content_type.split(';').next().unwrap_or_default());
        if media_type.eq_ignore_ascii_case("text/event-stream") {
            Self::Stream
        } else if headers.contains_key(header::CONTENT_LENGTH) {
            Self::Known
        } else {
            Self::Unknown
        }
    }
}

/// Reads up to the limit, and a little more; gives what was read, and whether that was all.
async fn read_start(
    reader: &mut (impl AsyncRead + Unpin),
    limit: usize,
    pace: Pace,
) -> io::Result<(Vec<u8>, bool)> {
    let (mut start, mut chunk) = (Vec::new(), vec![0; 8 * 1024]);
    while pace != Pace::Stream && start.len() <= limit {
        let mut buf = ReadBuf::new(&mut chunk);
        let there = poll_fn(|context| match Pin::new(&mut *reader).poll_read(context, &mut buf) {
            Poll::Pending if pace == Pace::Unknown => Poll::Ready(Ok(false)),
            read => read.map_ok(|()| true),
        });
        if !there.await? {
            break;
        }
        if buf.filled().is_empty() {
            return Ok((start, true));
        }
        start.extend_from_slice(buf.filled());
    }
    Ok((start, false))
}

fn names(values: header::GetAll<'_, HeaderValue>) -> impl Iterator<Item = String> {
    let values = values.into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| trim_ows(name).to_ascii_lowercase())
}

/// Passes a body on and tells its digest at its end.
struct Hashed<R> {
    reader: R,
    hash: Sha256,
    digest: Option<oneshot::Sender<[u8; 32]>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Hashed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(context, buf))?;
        let read = &buf.filled()[filled..];
        self.hash.update(read);
        if read.is_empty()
            && buf.remaining() > 0
            && let Some(digest) = self.digest.take()
        {
            // Nobody may wait for it any more.
            let _received = digest.send(std::mem::take(&mut self.hash).finalize().into());
        }
        Poll::Ready(Ok(()))
    }
}
