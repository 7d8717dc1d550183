use bytes::Bytes;
use poem::Response;
use poem::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::backend::{Error, ErrorKind, Result};

/// A response as it is kept for retries: status, some headers, body. `Debug` shows no content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
}

impl State for StoredResponse {
    const SCHEMA: u16 = 1;
}

/// What describes the body and survives a replay. Never `Set-Cookie`: a retry must not hand out a
/// session.
const REPLAYED_HEADERS: [HeaderName; 8] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LINK,
    header::LOCATION,
];

impl StoredResponse {
    /// Reads a response whole; gives what is kept of it, and the response again.
    pub(super) async fn capture(response: Response) -> Result<(Self, Response)> {
        let (parts, body) = response.into_parts();
        let body = body.into_bytes().await.map_err(|cause| {
            let detail = "the handler's response body failed; the client gets an error";
            Error::new(ErrorKind::Other, detail).caused_by(cause)
        })?;
        let stored = Self {
            status: parts.status.as_u16(),
            headers: kept(&parts.headers),
            body: body.clone(),
        };
        Ok((stored, Response::from_parts(parts, body.into())))
    }

    /// The same answer again, marked as such.
    pub(super) fn replay(self) -> Response {
        let mut response = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK))
            .header("idempotent-replayed", "true");
        for (name, value) in self.headers {
            response = response.header(name, &value[..]);
        }
        response.body(self.body)
    }
}

fn kept(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let mut kept = Vec::new();
    for name in REPLAYED_HEADERS {
        let values = headers.get_all(&name).iter();
        let values = values.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        kept.extend(values.map(|value| (name.as_str().to_owned(), value)));
    }
    kept
}

impl std::fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredResponse({}, {} bytes)", self.status, self.body.len())
    }
}
