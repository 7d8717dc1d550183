//! Answers that stand for an answer which is not there.

use std::time::Duration;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};

use crate::idempotency::Reason;

use super::Problem;
use super::stored::{REPLAYED, StoredResponse};

/// To the client whose handler broke off.
pub(super) fn broken() -> Problem {
    let detail = "the request failed inside the service and may have had effects; a retry with \
                  the same key runs it again only where that is safe";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).member("outcome", "unknown")
}

/// To the client whose handler lost its lease to one that still runs.
pub(super) fn taken_over() -> Problem {
    in_flight(Duration::from_secs(1))
}

pub(super) fn in_flight(lease_left: Duration) -> Problem {
    let detail = "the same request is still executing; try again later with the same key";
    Problem::new(StatusCode::CONFLICT, detail)
        .kind("in-progress")
        .member("outcome", "pending")
        .member("retryable", true)
        .retry_after(lease_left)
}

/// To a retry, when nobody knows what the first request came to.
pub(super) fn outcome(reason: Reason, told: Option<StoredResponse>) -> Response {
    match (reason, told) {
        (Reason::Oversize, Some(told)) => told.replay(),
        (Reason::Oversize, None) => not_retained(None).into_response(),
        (_, Some(told)) => told.replay_unknown(),
        (Reason::Panicked, None) => {
            let mut response = broken().into_response();
            response.headers_mut().insert(REPLAYED.0, REPLAYED.1);
            response
        }
        (_, None) => lapsed().into_response(),
    }
}

/// To a retry, when the holder of its key died.
pub(super) fn lapsed() -> Problem {
    let detail = "an earlier run of this request did not finish and may have had effects; it is \
                  not run again; look at what it changed before you use a new key";
    Problem::new(StatusCode::CONFLICT, detail)
        .kind("outcome-unknown")
        .member("outcome", "unknown")
        .member("retryable", false)
}

/// To a retry, when the answer was too large to be kept, or a stream.
pub(super) fn not_retained(digest: Option<String>) -> Problem {
    let detail = "this request was executed; its answer was too large to be kept for a retry, or \
                  was a stream; it is not executed again";
    let problem = Problem::new(StatusCode::GONE, detail)
        .kind("result-not-retained")
        .member("outcome", "done")
        .member("retryable", false);
    digest.into_iter().fold(problem, |problem, digest| problem.member("digest", digest))
}
