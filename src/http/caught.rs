//! Panics of handlers become answers.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use poem::http::StatusCode;
use poem::{Endpoint, Request, Result};
use tracing::error;

use super::Problem;
use super::problem::FAILED;

/// Calls an endpoint; a panic in it is 500, and does not close the connection of whoever asked.
/// The endpoint and the request are not used again after it.
pub(super) async fn call<E: Endpoint>(endpoint: &E, request: Request) -> Result<E::Output> {
    let call = AssertUnwindSafe(endpoint.call(request)).catch_unwind();
    call.await.unwrap_or_else(|_panic| {
        error!("a handler panicked");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, FAILED).into())
    })
}
