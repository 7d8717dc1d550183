use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Request, Response};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument as _, error, warn};

use crate::Idempotency;
use crate::backend::ErrorKind;
use crate::idempotency::{Claim, Completion, Reason, Renewal};

use super::idempotent::in_flight;
use super::{Problem, StoredResponse};

type HttpClaim = Claim<StoredResponse>;

/// What a handler behind [`Idempotent`](super::Idempotent) may know of its run; take it with
/// `Data<&Execution>`.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The same for every attempt at this key: derive the identity of what you make from it.
    pub effect_id: String,
    /// 1 for the first run, more if earlier ones died.
    pub attempt: u16,
}

/// Runs on a task of its own and waits for it. If the wait is cut off because the client went
/// away, the task goes on.
pub(super) async fn detached(
    work: impl Future<Output = Result<Response, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|_panicked| Err(broken()))
}

/// Runs the handler, keeps the lease meanwhile, then settles the claim.
pub(super) async fn execute<E: Endpoint + 'static>(
    endpoint: Arc<E>,
    mut request: Request,
    mut claim: HttpClaim,
    idempotency: &Idempotency<StoredResponse>,
) -> Result<Response, Problem> {
    let (effect_id, attempt) = (claim.effect_id().to_owned(), claim.attempt());
    request.extensions_mut().insert(Execution { effect_id, attempt });
    // A task of its own, so that its panic is not ours.
    let handler = async move {
        match endpoint.call(request).await {
            Ok(output) => output.into_response(),
            Err(error) => Problem::from_poem(error),
        }
    };
    let mut handler = tokio::spawn(handler.in_current_span());
    let started = Instant::now();
    let mut beats = interval_at(started + idempotency.lease() / 3, idempotency.lease() / 3);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let response = loop {
        tokio::select! {
            ended = &mut handler => break ended,
            _ = beats.tick(), if started.elapsed() < RENEWED_MAX => renew(&mut claim).await,
        }
    };
    let Ok(response) = response else {
        error!("a handler panicked");
        abandon(claim).await;
        return Err(broken());
    };
    settle(claim, response).await
}

/// A handler that hangs must not hold its key for ever.
const RENEWED_MAX: Duration = Duration::from_secs(600);

async fn settle(claim: HttpClaim, response: Response) -> Result<Response, Problem> {
    match class(response.status()) {
        Class::Final => complete(claim, response).await,
        // A run before this one may have got further.
        Class::NotExecuted if claim.attempt() == 1 => {
            release(claim).await;
            Ok(response)
        }
        Class::NotExecuted | Class::Unknown => {
            abandon(claim).await;
            Ok(response)
        }
    }
}

/// An error is not a loss: the next beat tries again, and the completion finds out.
async fn renew(claim: &mut HttpClaim) {
    match claim.renew().await {
        Ok(Renewal::Renewed) => {}
        Ok(Renewal::Lost) => warn!("an idempotency lease was lost while its handler runs"),
        Err(error) => warn!(%error, "an idempotency lease could not be renewed"),
    }
}

/// What a status says of the effects.
enum Class {
    Final,
    NotExecuted,
    Unknown,
}

fn class(status: StatusCode) -> Class {
    match status.as_u16() {
        400 | 401 | 403 | 408 | 409 | 413 | 415 | 422 | 425 | 429 => Class::NotExecuted,
        500.. => Class::Unknown,
        _ => Class::Final,
    }
}

/// The answer is kept before the client sees the first byte of it.
async fn complete(claim: HttpClaim, response: Response) -> Result<Response, Problem> {
    let Ok((answer, response)) = StoredResponse::capture(response).await else {
        abandon(claim).await;
        return Err(broken());
    };
    match claim.complete(&answer).await {
        Ok(Completion::Completed) => Ok(response),
        // What this run did does not count; the winner's answer is the answer.
        Ok(Completion::Fenced { winner: Some(answer) }) => Ok(answer.replay()),
        Ok(Completion::Fenced { winner: None }) => Err(in_flight(Duration::from_secs(1))),
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            error!(%error, "an answer is too large to be kept");
            abandon(claim).await;
            Err(broken())
        }
        Err(error) => Err(error.into()),
    }
}

/// The outcome is unknown: the key lapses at once, and the policy says what a retry gets.
async fn abandon(claim: HttpClaim) {
    if let Err(error) = claim.tombstone(Reason::Failed, None).await {
        warn!(%error, "an idempotency key could not be given up; it lapses with its lease");
    }
}

async fn release(claim: HttpClaim) {
    if let Err(error) = claim.release().await {
        warn!(%error, "an idempotency key could not be given back; it lapses with its lease");
    }
}

fn broken() -> Problem {
    let detail = "the request failed inside the service; try again with the same key";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}
