use std::time::Duration;

use poem::http::{HeaderMap, StatusCode, header};
use poem::{Body, Endpoint, FromRequest, Middleware, Request, RequestBody, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::canonical::without_mark;
use super::hint::hint;
use super::wire::trim_ows;
use super::{Problem, caught};

/// Reads the whole body into memory before anything else looks at it. Answers 413 if it is longer
/// than the limit in bytes, and 408 if it does not arrive within 30 seconds.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

impl<E: Endpoint> Middleware<E> for BodyLimit {
    type Output = BodyLimitEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        BodyLimitEndpoint { inner, limit: self.0 }
    }
}

/// The endpoint that [`BodyLimit`] makes.
#[derive(Debug)]
pub struct BodyLimitEndpoint<E> {
    inner: E,
    limit: usize,
}

impl<E: Endpoint> Endpoint for BodyLimitEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> Result<Self::Output> {
        let body = take_in(request.take_body(), self.limit).await?;
        request.set_body(body);
        caught::call(&self.inner, request).await
    }
}

const ARRIVES_WITHIN: Duration = Duration::from_secs(30);
/// How much of a body that is too long is thrown away: a client that still sends would not read
/// the answer.
const THROWN_AWAY_MAX: usize = 64 << 20;

/// The whole body, within the limit and in time.
pub(super) async fn take_in(body: Body, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    timeout(ARRIVES_WITHIN, read_all(body, limit)).await.unwrap_or_else(|_elapsed| {
        let detail = "the request body did not arrive in time";
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
    })
}

async fn read_all(body: Body, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    let (mut reader, mut chunk) = (body.into_async_read(), vec![0; 16 * 1024]);
    let (mut body, mut len) = (Vec::new(), 0);
    while len <= limit.saturating_add(THROWN_AWAY_MAX) {
        let read = reader.read(&mut chunk).await.map_err(|_broken_off| {
            Problem::new(StatusCode::BAD_REQUEST, "the request body did not arrive whole")
        })?;
        if read == 0 {
            break;
        }
        len += read;
        if len <= limit {
            body.extend_from_slice(&chunk[..read]);
        }
    }
    if len <= limit { Ok(body) } else { Err(too_large(limit)) }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have {limit} bytes; send less");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// A body that is one JSON object, with the content type `application/json`. It is 415 for another
/// type, which a form of another site could send without asking, and 400 for another body: that
/// says which member is missing or wrong, and quotes nothing of the body.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<'a, T: DeserializeOwned> FromRequest<'a> for JsonBody<T> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> Result<Self> {
        if !is_json(request.headers()) {
            let detail = "send JSON, with the content type application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into());
        }
        let body = body.take().map_err(|taken| Problem::of(taken.into()))?;
        let bytes = body.into_bytes().await.map_err(|failed| Problem::of(failed.into()))?;
        // serde's own messages would quote the body.
        let object: Map<String, Value> =
            serde_json::from_slice(without_mark(&bytes)).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                bad_json(format!("the body is not a JSON object (line {line}, column {column})"))
            })?;
        let object = Value::Object(object);
        let value = T::deserialize(&object).map_err(|_quotes| bad_json(hint::<T>(&object)))?;
        Ok(Self(value))
    }
}

/// Whether the one content type is JSON; its parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let one = one.to_str().unwrap_or_default();
    let media_type = trim_ows(one.split(';').next().unwrap_or_default()).to_ascii_lowercase();
    media_type == "application/json"
}

fn bad_json(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).kind("bad-json")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_whole_or_not_at_all_whatever_the_limit() {
        let limit = THROWN_AWAY_MAX + 100_000;
        for (len, taken) in [(limit, Some(limit)), (limit + 1, None)] {
            let body = Body::from_async_read(tokio::io::repeat(7).take(len as u64));
            assert_eq!(take_in(body, limit).await.ok().map(|body| body.len()), taken);
        }
    }
}
