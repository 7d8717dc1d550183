use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Request, Response};
use tracing::error;

use crate::backend::{Condition, Entry, Error, Key, Write};
use crate::idempotency::{self, Claim, CompletedWith, Ending, Reason, Settled, detached, give_up};
use crate::store::{UPDATE_ATTEMPTS_MAX, contended};
use crate::{Idempotency, State, Store};

use super::stored::{Keeping, Rest};
use super::{Problem, StoredResponse, unknown};

/// What a handler behind [`Idempotent`](super::Idempotent) knows of its run, and what it can say
/// meanwhile; take it with `Data<&Execution>`. It is an
/// [`idempotency::Execution`] whose answers are responses.
#[derive(Clone, Debug)]
pub struct Execution {
    inner: idempotency::Execution<StoredResponse>,
    keeping: Arc<Keeping>,
    /// What the handler has committed.
    committed: Arc<OnceLock<StoredResponse>>,
}

/// How [`Execution::complete_with`] ended.
#[derive(Debug)]
#[must_use = "only `Response` has made the changes"]
pub enum Responded {
    /// The changes are made, and this response is kept; return it unchanged. If somebody else
    /// took over, it is theirs, and the changes are not made.
    Response(Response),
    /// The condition of a change did not hold. Nothing changed: look at what is there and try
    /// again.
    Refused {
        /// The first such change, by its position.
        index: usize,
        /// What is there in its place.
        current: Option<Entry>,
    },
}

impl Execution {
    /// Keeps the response for all retries and makes changes of yours, all or nothing, in one
    /// transaction; see [`Claim::complete_with`]. Everything that can fail comes before.
    ///
    /// # Errors
    ///
    /// What the store says; return it: if the response was kept all the same, the client gets it.
    /// 500 for a second call after one that kept its response: complete once, with all changes.
    pub async fn complete_with(
        &self,
        response: Response,
        changes: Vec<Write>,
    ) -> Result<Responded, Problem> {
        if self.committed.get().is_some() {
            error!("a handler completed its request twice; the second changes were not made");
            return Err(unknown::broken());
        }
        let (answer, response, _rest) = self.keeping.capture(response).await?;
        Ok(match self.inner.complete_with(&answer, changes).await? {
            CompletedWith::Completed => {
                let _first = self.committed.get_or_init(|| answer);
                Responded::Response(response)
            }
            CompletedWith::Fenced { winner: Some(answer) } => Responded::Response(answer.replay()),
            CompletedWith::Fenced { winner: None } => return Err(unknown::taken_over()),
            CompletedWith::Refused { index, current } => Responded::Refused { index, current },
        })
    }

    /// Changes a record by a closure, as [`Store::update`] does, and keeps the response that the
    /// closure makes in the same transaction: the change counts once, without a mark in the record.
    /// The record then lives until it is removed. If the closure changes nothing, its response is
    /// returned and not yet kept. All keys must be as for
    /// [`complete_with`](Execution::complete_with).
    ///
    /// A backend without transactions makes the change first, and the response is kept after the
    /// handler. A second run may come in between, so there the closure must find its own change:
    /// store the [`effect_id`](idempotency::Execution::effect_id) with it.
    ///
    /// # Errors
    ///
    /// As [`Store::update`] and [`complete_with`](Execution::complete_with).
    pub async fn complete_with_update<T: State>(
        &self,
        store: &Store,
        key: &Key,
        change: impl FnMut(&mut Option<T>) -> Response,
    ) -> Result<Response, Problem> {
        if !store.transacts() {
            return Ok(store.update(key, None, change).await?.output);
        }
        store.one_call(self.commit_update(store, key, change)).await
    }

    async fn commit_update<T: State>(
        &self,
        store: &Store,
        key: &Key,
        mut change: impl FnMut(&mut Option<T>) -> Response,
    ) -> Result<Response, Problem> {
        let (mut turn, mut current) = (None, store.entry(key).await?);
        for _attempt in 0..UPDATE_ATTEMPTS_MAX {
            let (write, response) = store.plan(key, None, current.as_ref(), &mut change)?;
            let Some(write) = write else { return Ok(response) };
            let version = current.as_ref().map(|entry| entry.version);
            let only_if = version.map_or(Condition::Absent, Condition::VersionIs);
            match self.complete_with(response, vec![write.only_if(only_if)]).await? {
                Responded::Response(response) => return Ok(response),
                Responded::Refused { current: winner, .. } => current = winner,
            }
            store.count_lost_race();
            if turn.is_none() {
                turn = Some(store.turn(key).await?);
                current = store.entry(key).await?;
            }
        }
        Err(contended(UPDATE_ATTEMPTS_MAX).into())
    }
}

impl Deref for Execution {
    type Target = idempotency::Execution<StoredResponse>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

/// A response, and who waits for the rest of its body.
type Told = (Response, Option<(Rest, StoredResponse, Execution)>);

/// What is to be answered, once the handler has run.
pub(super) enum Ran {
    /// Every retry gets the same.
    Kept(Response),
    /// The store does not keep the answer. The claim is still there.
    Unkept(Error, Response, idempotency::Execution<StoredResponse>),
}

/// Runs the handler and settles the claim by what it answers.
pub(super) async fn execute<E: Endpoint + 'static>(
    endpoint: Arc<E>,
    mut request: Request,
    (claim, sent): (Claim<StoredResponse>, tokio::time::Instant),
    idempotency: &Idempotency<StoredResponse>,
    keeping: Arc<Keeping>,
) -> Result<Ran, Problem> {
    let work = |inner| async move {
        let execution = Execution { inner, keeping, committed: Arc::default() };
        request.extensions_mut().insert(execution.clone());
        let response = match endpoint.call(request).await {
            Ok(output) => output.into_response(),
            Err(error) => Problem::from_poem(error),
        };
        ending(response, execution).await
    };
    let told = match idempotency.execute(claim, sent, work).await? {
        Settled::Own(
            Ending::Answer(_, told) | Ending::NotExecuted(_, told) | Ending::Unknown(_, _, told),
        ) => told,
        Settled::Unkept(error, (response, _rest), execution) => {
            return Ok(Ran::Unkept(error, response, execution));
        }
        // What this run did does not count; the winner's answer is the answer.
        Settled::Fenced(Some(answer)) => return Ok(Ran::Kept(answer.replay())),
        Settled::Fenced(None) => return Err(unknown::taken_over()),
        Settled::Broken(_reason) => return Err(unknown::broken()),
    };
    let (response, rest) = told;
    if let Some((rest, answer, execution)) = rest {
        // Once the client has it all, its digest is known.
        drop(detached(async move {
            if let Ok(digest) = rest.await {
                let answer = answer.with_digest(digest);
                drop(give_up(&execution, Reason::Oversize, Some(&answer)).await);
            }
        }));
    }
    Ok(Ran::Kept(response))
}

/// What the answer says of the effects. It is kept before the client sees the first byte of it.
async fn ending(response: Response, execution: Execution) -> Ending<StoredResponse, Told, Told> {
    let outcome = Outcome::of(&response);
    if let (Outcome::Final, Some(answer)) = (outcome, execution.committed.get()) {
        return Ending::Answer(answer.clone(), (response, None));
    }
    let (answer, response, rest) = match execution.keeping.capture(response).await {
        Ok(captured) => captured,
        Err(problem) => {
            let told = (problem.into_response(), None);
            return Ending::Unknown(Reason::Failed, None, told);
        }
    };
    match (outcome, rest) {
        (Outcome::Final, None) => Ending::Answer(answer, (response, None)),
        (Outcome::Final, Some(rest)) => {
            let told = (response, Some((rest, answer.clone(), execution)));
            Ending::Unknown(Reason::Oversize, Some(answer), told)
        }
        (Outcome::NotExecuted, _) => Ending::NotExecuted(Some(answer), (response, None)),
        (Outcome::Unknown, _) => Ending::Unknown(Reason::Failed, Some(answer), (response, None)),
    }
}

/// What an answer says of the effects of its request. By its status, unless the handler puts one
/// of these among the extensions of the response.
///
/// ```
/// use poem::Response;
/// use poem::http::StatusCode;
/// use steadfast::http::Outcome;
///
/// // Too busy to begin: the key stays free.
/// let busy = Response::builder()
///     .status(StatusCode::SERVICE_UNAVAILABLE)
///     .extension(Outcome::NotExecuted)
///     .finish();
/// assert_eq!(Outcome::of(&busy), Outcome::NotExecuted);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are what the answer says: it is kept, and every retry gets it. Any status that is not
    /// one of the others'.
    Final,
    /// There are none: the key is free again. 400, 401, 403, 408, 409, 413, 415, 422, 425, 429.
    NotExecuted,
    /// Nobody knows. 5xx.
    Unknown,
}

impl Outcome {
    /// What a response says.
    pub fn of(response: &Response) -> Self {
        response.data::<Self>().copied().unwrap_or_else(|| Self::of_status(response.status()))
    }

    fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 401 | 403 | 408 | 409 | 413 | 415 | 422 | 425 | 429 => Self::NotExecuted,
            500.. => Self::Unknown,
            _ => Self::Final,
        }
    }
}
