use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::{Endpoint, Middleware, Request, Response, Result};

use crate::idempotency::{Begin, Scope};
use crate::session::SessionId;
use crate::{Idempotency, Principal};

use super::execute::{detached, execute};
use super::fingerprint::fingerprint;
use super::key::idempotency_key;
use super::{Problem, StoredResponse};

/// Runs the handler once per idempotency key and answers every retry with the same response.
///
/// A key belongs to one [`Principal`] and one route; the request must carry a principal, which
/// [`BearerAuth`](super::BearerAuth) or [`LiveSession`](super::LiveSession) leave. The handler runs
/// apart from the connection: if the client goes away it runs on, and the retry gets its answer.
/// The lease is renewed while it runs. Request and response are held in memory: put a
/// [`BodyLimit`](super::BodyLimit) before it.
///
/// | situation | answer |
/// | --- | --- |
/// | no key, or a malformed one | 400 |
/// | the key was used for another request | 422 |
/// | the same request is running | 409 with `Retry-After` |
/// | done before | the same response, with `Idempotent-Replayed: true` |
/// | a former run died and the policy is to refuse | 409, outcome unknown |
/// | the store cannot answer | 503 with `Retry-After`; nothing was executed, or the retry finds out |
///
/// Which responses are kept: all but those that say that nothing was executed (400, 401, 403, 408,
/// 409, 413, 415, 422, 425, 429), after which the key is free again, and 5xx, after which the
/// outcome is unknown: the key lapses at once, as it does after a panic. With
/// [`OnLapse::TakeOver`](crate::idempotency::OnLapse::TakeOver), which says that the handler may
/// run again, the next retry runs it; with [`OnLapse::Refuse`](crate::idempotency::OnLapse::Refuse)
/// it is told. An answer that is too large to be kept counts as a 500.
#[derive(Clone, Debug)]
pub struct Idempotent {
    idempotency: Idempotency<StoredResponse>,
    per_session: bool,
}

impl Idempotent {
    /// Keys that belong to a principal and a route.
    pub fn new(idempotency: Idempotency<StoredResponse>) -> Self {
        Self { idempotency, per_session: false }
    }

    /// Keys that belong to a session besides: for what is done to the session itself. With a key
    /// that another session of the principal has used, the handler runs.
    #[must_use]
    pub fn per_session(self) -> Self {
        Self { per_session: true, ..self }
    }
}

impl<E: Endpoint + 'static> Middleware<E> for Idempotent {
    type Output = IdempotentEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        IdempotentEndpoint { inner: Arc::new(inner), settings: self.clone() }
    }
}

/// The endpoint that [`Idempotent`] makes.
#[derive(Debug)]
pub struct IdempotentEndpoint<E> {
    inner: Arc<E>,
    settings: Idempotent,
}

impl<E: Endpoint + 'static> Endpoint for IdempotentEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let key = idempotency_key(request.headers())?;
        let scope = self.settings.scope(&request)?;
        let body = request.take_body().into_bytes().await?;
        let fingerprint = fingerprint(request.original_uri().query(), &body);
        request.set_body(body);

        let (idempotency, endpoint) = (self.settings.idempotency.clone(), self.inner.clone());
        // On a task of its own, so that a client that goes away cuts off neither the handler nor
        // the claim: nobody would hold it.
        detached(async move {
            match idempotency.begin(&scope, &key, &fingerprint).await? {
                Begin::Acquired(claim) => execute(endpoint, request, claim, &idempotency).await,
                Begin::Replay(answer) => Ok(answer.replay()),
                Begin::InFlight { lease_left, .. } => Err(in_flight(lease_left)),
                Begin::Mismatch => Err(key_reused()),
                Begin::Lapsed { .. } | Begin::Indeterminate { .. } => Err(outcome_unknown()),
            }
        })
        .await
        .map_err(poem::Error::from)
    }
}

impl Idempotent {
    fn scope(&self, request: &Request) -> std::result::Result<Scope, Problem> {
        let principal = request.extensions().get::<Principal>();
        let principal = principal.ok_or_else(Problem::unauthenticated)?;
        let mut route = format!("{} {}", request.method(), request.original_uri().path());
        if self.per_session {
            let id =
                request.extensions().get::<SessionId>().ok_or_else(Problem::unauthenticated)?;
            route = format!("{route} {}", id.digest());
        }
        Ok(Scope::of(principal, &route))
    }
}

pub(super) fn in_flight(lease_left: Duration) -> Problem {
    let detail = "the same request is still executing; try again later with the same key";
    Problem::new(StatusCode::CONFLICT, detail).kind("in-progress").retry_after(lease_left)
}

fn key_reused() -> Problem {
    let detail = "this idempotency key was used for another request; use a new key for a new \
                  request, and repeat a request unchanged";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).kind("key-reused")
}

fn outcome_unknown() -> Problem {
    let detail = "an earlier run of this request did not finish and may have had effects; it is \
                  not run again; look at what it changed before you use a new key";
    Problem::new(StatusCode::CONFLICT, detail).kind("outcome-unknown")
}
