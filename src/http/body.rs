use poem::error::ReadBodyError;
use poem::http::StatusCode;
use poem::{Endpoint, FromRequest, Middleware, Request, RequestBody, Result};
use serde::de::DeserializeOwned;

use super::Problem;

/// Reads the whole body into memory and answers 413 if it is longer than the limit in bytes,
/// before anything else looks at it.
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
        // A client that still sends would not read the answer: take in somewhat more.
        let body = request.take_body().into_bytes_limit(self.limit.max(TAKEN_IN_MAX)).await;
        let body = body.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => too_large(self.limit),
            _ => Problem::new(StatusCode::BAD_REQUEST, "the request body did not arrive whole"),
        })?;
        if body.len() > self.limit {
            return Err(too_large(self.limit).into());
        }
        request.set_body(body);
        self.inner.call(request).await
    }
}

const TAKEN_IN_MAX: usize = 1 << 20;

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have {limit} bytes; send less");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// A body of JSON, whatever its content type says; 400 for anything else.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<'a, T: DeserializeOwned> FromRequest<'a> for JsonBody<T> {
    async fn from_request(_request: &'a Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = body.take()?.into_bytes().await?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) => {
                // Position and category; serde's own message would quote the body.
                let detail = format!(
                    "the body is not the JSON that is expected here (line {}, column {})",
                    error.line(),
                    error.column()
                );
                Err(Problem::new(StatusCode::BAD_REQUEST, detail).kind("bad-json").into())
            }
        }
    }
}
