use std::sync::Arc;

use poem::http::{HeaderName, HeaderValue, StatusCode};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use tracing::warn;

use crate::backend::{Clock, Error, ErrorKind};
use crate::idempotency::{Begin, Scope, detached, forget, refuse};
use crate::observe::Claimed;
use crate::session::SessionId;
use crate::{Idempotency, Principal};

use super::age::Age;
use super::body::take_in;
use super::execute::{Ran, execute};
use super::fingerprint::fingerprint;
use super::key::idempotency_key;
use super::origin::is_safe;
use super::stored::Keeping;
use super::{Problem, StoredResponse, caught, unknown};

/// Runs the handler once per idempotency key and answers every retry with the same response.
///
/// A key belongs to one [`Principal`] and one route; the request must carry a principal, which
/// [`BearerAuth`](super::BearerAuth) or [`LiveSession`](super::LiveSession) leave. The same request
/// means the same method, path, query and body, where JSON without fractions may differ in white
/// space and in the order of members. The handler runs apart from the connection: if the client
/// goes away it runs on, and the retry gets its answer. The lease is renewed while it runs.
/// Requests that are safe (GET, HEAD, OPTIONS, QUERY, TRACE) pass as they are.
///
/// | situation | answer |
/// | --- | --- |
/// | no key, or a malformed one | 400 |
/// | the key was used for another request | 422 |
/// | the same request is running | 409 with `Retry-After` |
/// | done before | the same response, with `Idempotent-Replayed: true` |
/// | done before, with an answer too large to be kept, or a stream | 410 with its digest and `Location` |
/// | a former run failed and may not run again | its answer, with the member `"outcome": "unknown"` |
/// | a former run died and may not run again | 409, outcome unknown |
/// | the key is older than what is remembered, where [asked for](Self::refuse_old_keys) | 412 |
/// | the store cannot answer, or the process shuts down | 503 with `Retry-After`; nothing was executed, or the retry finds out; but see [`fail_open`](Self::fail_open) and [`even_when_full`](Self::even_when_full) |
///
/// Behind a [`CookieSession`](super::CookieSession), the handler's session changes that wait for
/// its commit are made after the answer is kept. A client that goes away, or a commit that fails,
/// loses them, and the retry replays success. In such a handler change the session at once, with
/// [`SessionHandle::update`](crate::session::SessionHandle::update), or keep what counts together
/// with the answer, with [`Execution::complete_with`](super::Execution::complete_with).
///
/// Which responses are kept is said by [`Outcome`](super::Outcome); whether a request whose
/// outcome is unknown may run again, by [`OnLapse`](crate::idempotency::OnLapse).
#[derive(Clone, Debug)]
pub struct Idempotent {
    idempotency: Idempotency<StoredResponse>,
    keys: Keys,
    keeping: Arc<Keeping>,
    request_len_max: usize,
    age: Option<Age>,
    unclaimed: Unclaimed,
}

/// When a handler runs though its key could not be claimed.
#[derive(Clone, Copy, Debug, Default)]
struct Unclaimed {
    when_out: bool,
    when_full: bool,
}

impl Unclaimed {
    fn allows(self, error: &Error) -> bool {
        let is_out = error.is_outage() || error.kind() == ErrorKind::Unconfirmed;
        (self.when_out && is_out) || self.allows_unkept(error)
    }

    /// The same of its answer, which could not be kept.
    fn allows_unkept(self, error: &Error) -> bool {
        self.when_full && error.kind() == ErrorKind::Full
    }
}

/// Whose keys they are.
#[derive(Clone, Copy, Debug)]
enum Keys {
    Principal,
    Session,
    Anybody,
}

impl Idempotent {
    /// Keys that belong to a principal and a route.
    pub fn new(idempotency: Idempotency<StoredResponse>) -> Self {
        let (keys, keeping) = (Keys::Principal, Arc::default());
        let unclaimed = Unclaimed::default();
        Self { idempotency, keys, keeping, request_len_max: 1 << 20, age: None, unclaimed }
    }

    /// Keys that belong to a session: for what is done to the session itself. With a key that
    /// another session of the principal has used, the handler runs. A session that has got a new id
    /// meanwhile counts as another one. Needs a [`SessionId`] in the request, and no principal: the
    /// retry of a log-out gets its answer although nobody can tell any more whose session it was. A
    /// `Set-Cookie` of the handler that removes a cookie is replayed, too.
    /// [`BearerAuth`](super::BearerAuth), [`CookieAuth`](super::CookieAuth) and
    /// [`CookieSession`](super::CookieSession) leave it.
    #[must_use]
    pub fn per_session(self) -> Self {
        let mut keyed = Self { keys: Keys::Session, ..self };
        Arc::make_mut(&mut keyed.keeping).removals = true;
        keyed
    }

    /// Keys that belong to a route alone, for routes without log-in. Who guesses a key gets its
    /// answer.
    #[must_use]
    pub fn anonymous(self) -> Self {
        Self { keys: Keys::Anybody, ..self }
    }

    /// The longest request in bytes, 1 MiB unless set. Longer ones get 413, and those
    /// that do not arrive within 30 seconds 408.
    #[must_use]
    pub fn request_limit(self, request_len_max: usize) -> Self {
        Self { request_len_max, ..self }
    }

    /// The longest response in bytes that is kept, 256 KiB unless set. Longer ones are delivered,
    /// and a retry is told that they are gone. So are streams, whose parts reach the client as they
    /// come: `text/event-stream`, and a body without `Content-Length` that is not there at once.
    #[must_use]
    pub fn response_limit(mut self, body_len_max: usize) -> Self {
        Arc::make_mut(&mut self.keeping).body_len_max = body_len_max;
        self
    }

    /// Also replays this header, besides those that describe a body: `Content-Type`,
    /// `Content-Language`, `Content-Encoding`, `Content-Disposition`, `Cache-Control`, `ETag`,
    /// `Link`, `Location`, `Retry-After`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for headers that a replay must not carry: credentials, cookies, and
    /// what belongs to one connection or moment.
    pub fn replay_header(mut self, name: HeaderName) -> crate::Result<Self> {
        if !Keeping::allows(&name) {
            let detail = format!("a replay must not carry {name}; leave it out");
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let headers = &mut Arc::make_mut(&mut self.keeping).headers;
        if !headers.contains(&name) {
            headers.push(name);
        }
        Ok(self)
    }

    /// While the store is out, or confirms no write, runs the handler without a claim instead of
    /// answering 503: a retry runs it again. For effects that may be made twice rather than not at
    /// all: a log-out that cannot be made must at least be tried, so that this process
    /// [serves](crate::store::Reads::serve_stale) the session no more. The handler gets
    /// no [`Execution`](super::Execution) then, and its answer says
    /// `Idempotency-Status: bypassed`; it is logged, and counted as `bypassed` in the
    /// [metrics](crate::observe).
    #[must_use]
    pub fn fail_open(mut self) -> Self {
        self.unclaimed.when_out = true;
        self
    }

    /// On a store that is full, runs the handler without a claim instead of answering 503, and
    /// gives its answer though it cannot be kept. For handlers that only remove something and may
    /// run twice, such as a log-out: a key for which there is no room must keep nobody signed in.
    /// What is said of the answer is as for [`fail_open`](Self::fail_open).
    #[must_use]
    pub fn even_when_full(mut self) -> Self {
        self.unclaimed.when_full = true;
        self
    }

    /// Refuses new requests that say themselves that they are older than what is remembered,
    /// instead of running again what may have been forgotten: 412. The age is that of a key which
    /// is a UUID of version 7, and of the header `Repeatability-First-Sent` (OASIS Repeatable
    /// Requests). This is the one place where a node's clock counts, and the client's: they may
    /// be ten minutes apart.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a retention of ten minutes or less: every request that has an age
    /// could be too old.
    pub fn refuse_old_keys(self, clock: impl Clock) -> crate::Result<Self> {
        let age = Some(Age::new(clock, self.idempotency.retention())?);
        Ok(Self { age, ..self })
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

    async fn call(&self, request: Request) -> Result<Response> {
        if is_safe(request.method()) {
            let answer = caught::call(&*self.inner, request).await;
            return answer.map(IntoResponse::into_response);
        }
        let answer = self.settings.answer(request, self.inner.clone()).await?;
        Ok(answer)
    }
}

impl Idempotent {
    async fn answer<E: Endpoint + 'static>(
        &self,
        mut request: Request,
        endpoint: Arc<E>,
    ) -> Result<Response> {
        let key = idempotency_key(request.headers())?;
        let scope = self.scope(&request)?;
        let body = take_in(request.take_body(), self.request_len_max).await?;
        let fingerprint = fingerprint(&request, &body)?;
        request.set_body(body);
        let too_old = self.age.as_ref().is_some_and(|age| age.is_over(&key, request.headers()));

        let (idempotency, keeping) = (self.idempotency.clone(), self.keeping.clone());
        let unclaimed = self.unclaimed;
        // On a task of its own, so that a client that goes away cuts off neither the handler nor
        // the claim: nobody would hold it.
        let task = detached(async move {
            let _entered = idempotency.enter()?;
            let claimed = idempotency.begin_waiting(&scope, &key, &fingerprint).await;
            let (begin, sent) = match claimed {
                Err(error) if unclaimed.allows(&error) => {
                    return Ok(bypass(&*endpoint, request, &idempotency, &error).await);
                }
                claimed => claimed?,
            };
            match begin {
                Begin::Acquired(claim) if too_old && claim.attempt() == 1 => {
                    refuse(claim).await;
                    Err(key_too_old())
                }
                Begin::Acquired(claim) => {
                    let ran = execute(endpoint, request, (claim, sent), &idempotency, keeping);
                    match ran.await? {
                        Ran::Kept(response) => Ok(response),
                        Ran::Unkept(error, response, execution)
                            if unclaimed.allows_unkept(&error) =>
                        {
                            // A retry runs again, so it must find nobody at it.
                            forget(&execution).await;
                            Ok(bypassed(response, &idempotency, &error))
                        }
                        Ran::Unkept(error, ..) => Err(error.into()),
                    }
                }
                Begin::Replay(answer) => Ok(answer.replay()),
                Begin::InFlight { lease_left, .. } => Err(unknown::in_flight(lease_left)),
                Begin::Mismatch => Err(key_reused()),
                Begin::Lapsed { .. } => Err(unknown::lapsed()),
                Begin::Indeterminate { reason, answer } => Ok(unknown::outcome(reason, answer)),
            }
        });
        let answer = task.await.unwrap_or_else(|_cut_off| Err(unknown::broken()));
        answer.map_err(poem::Error::from)
    }

    fn scope(&self, request: &Request) -> std::result::Result<Scope, Problem> {
        let route = format!("{} {}", request.method(), request.original_uri().path());
        let session = request.extensions().get::<SessionId>();
        let principal = request.extensions().get::<Principal>();
        match (self.keys, principal, session) {
            (Keys::Anybody, ..) => Ok(Scope::anonymous(&route)),
            (Keys::Principal, Some(principal), _) => Ok(Scope::of(principal, &route)),
            (Keys::Principal, None, Some(_)) => Err(scope_unverified()),
            (Keys::Session, Some(principal), Some(id)) => {
                Ok(Scope::of(principal, &format!("{route} {}", id.digest())))
            }
            (Keys::Session, None, Some(id)) => {
                Ok(Scope::of_session(id.tag(), &id.digest(), &route))
            }
            (Keys::Principal | Keys::Session, _, None) => Err(Problem::unauthenticated()),
        }
    }
}

/// Runs the handler though nobody can tell whether it ran before.
async fn bypass<E: Endpoint>(
    endpoint: &E,
    request: Request,
    idempotency: &Idempotency<StoredResponse>,
    error: &Error,
) -> Response {
    let response = match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => Problem::from_poem(error),
    };
    bypassed(response, idempotency, error)
}

/// The answer to a request that a retry would run again.
fn bypassed(
    mut response: Response,
    idempotency: &Idempotency<StoredResponse>,
    error: &Error,
) -> Response {
    idempotency.meters.claim(Claimed::Bypassed);
    warn!(%error, "a request ran without a claim or its answer is not kept, as the store fails");
    response.headers_mut().insert(IDEMPOTENCY_STATUS, HeaderValue::from_static("bypassed"));
    response
}

const IDEMPOTENCY_STATUS: HeaderName = HeaderName::from_static("idempotency-status");

fn key_reused() -> Problem {
    let detail = "this idempotency key was used for another request; use a new key for a new \
                  request, and repeat a request unchanged";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        .kind("key-reused")
        .member("retryable", false)
}

fn key_too_old() -> Problem {
    let detail = "this request is older than what is remembered, so it cannot be told whether it \
                  was executed; it was not executed now; look before you use a new key";
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
        .kind("key-too-old")
        .member("retryable", false)
}

/// Two users must not share a namespace.
fn scope_unverified() -> Problem {
    let detail = "it is not known whose request this is; log in as a user";
    Problem::new(StatusCode::FORBIDDEN, detail).kind("scope-unverified").member("retryable", false)
}
