use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Request, Response};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use crate::idempotency::{Claim, Completion, OnLapse, Renewal};

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

/// Runs the handler on a task of its own and waits for it. If the wait is cut off because the
/// client went away, the task goes on.
pub(super) async fn execute<E: Endpoint + 'static>(
    endpoint: Arc<E>,
    mut request: Request,
    claim: HttpClaim,
    on_lapse: OnLapse,
    beat: Duration,
) -> Result<Response, Problem> {
    let execution = Execution { effect_id: claim.effect_id(), attempt: claim.attempt() };
    request.extensions_mut().insert(execution);
    let handler = tokio::spawn(async move {
        match endpoint.call(request).await {
            Ok(output) => output.into_response(),
            Err(error) => Problem::from_poem(error),
        }
    });
    let run = tokio::spawn(supervise(handler, claim, on_lapse, beat));
    run.await.unwrap_or_else(|_panicked| Err(broken()))
}

/// Keeps the lease while the handler runs, then settles the claim.
async fn supervise(
    mut handler: JoinHandle<Response>,
    mut claim: HttpClaim,
    on_lapse: OnLapse,
    beat: Duration,
) -> Result<Response, Problem> {
    let mut beats = interval(beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.tick().await;
    let response = loop {
        tokio::select! {
            ended = &mut handler => break ended,
            _ = beats.tick() => renew(&mut claim).await,
        }
    };
    let Ok(response) = response else {
        error!("a handler panicked");
        settle_unknown(claim, on_lapse).await;
        return Err(broken());
    };
    match class(response.status()) {
        Class::Final => complete(claim, response).await,
        Class::NotExecuted => {
            give_back(claim).await;
            Ok(response)
        }
        Class::Unknown => {
            settle_unknown(claim, on_lapse).await;
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
    let (answer, response) = StoredResponse::capture(response).await?;
    match claim.complete(&answer).await? {
        Completion::Completed => Ok(response),
        // What this run did does not count; the winner's answer is the answer.
        Completion::Fenced { winner: Some(answer) } => Ok(answer.replay()),
        Completion::Fenced { winner: None } => Err(in_flight(Duration::from_secs(1))),
    }
}

async fn settle_unknown(claim: HttpClaim, on_lapse: OnLapse) {
    if on_lapse == OnLapse::TakeOver {
        give_back(claim).await;
    }
}

async fn give_back(claim: HttpClaim) {
    if let Err(error) = claim.release().await {
        warn!(%error, "an idempotency key could not be given back; it lapses");
    }
}

fn broken() -> Problem {
    let detail = "the request failed inside the service; try again with the same key";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}
