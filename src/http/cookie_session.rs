use poem::http::header::{COOKIE, HeaderMap, HeaderName, VARY};
use poem::http::{HeaderValue, StatusCode};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};
use tracing::warn;

use crate::session::{Mode, Outcome, SessionError, SessionHandle};
use crate::{Sessions, State};

use super::carrier::{Brought, Carrier, OtherIds};
use super::stored::REPLAYED;
use super::{Problem, SessionCookie, caught, mark_stale};

/// Gives each request a [`SessionHandle`] for the session its cookie names, commits what the
/// handler did with it before the answer leaves, and tells the browser.
///
/// | situation | answer |
/// | --- | --- |
/// | the handler does not use the session | as it is; no trip, no header |
/// | a session is new, or has a new id | `Set-Cookie` with the id; none otherwise |
/// | it was logged out, has expired or was revoked, or the cookie is no id | `Set-Cookie` that removes it |
/// | several cookies of the name came | the first one that names a live session counts, and none is removed for the others; a log-out, or a sign-in as somebody else, ends them all |
/// | the answer is a replay of [`Idempotent`](super::Idempotent) | the session is looked up once, so that the replay of a log-out removes the cookie, too |
/// | its id was just replaced by another request | no `Set-Cookie`: the browser may have the new one |
/// | the handler fails, panics, or answers 5xx | changes that wait and new ids are dropped together; a log-out stands |
/// | the session ended while the handler ran | the handler's answer, or 409 if [asked for](CookieSession::conflict_when_gone) |
/// | the store cannot keep the changes | 503 with `Retry-After` in the place of the answer; no cookie is set or removed |
///
/// An answer that depends on the session says `Vary: Cookie`. No shared cache may store one with a
/// cookie of ours, whatever the handler's `Cache-Control` says: it becomes private. Browsers send
/// cookies unasked: put [`SameOrigin`](super::SameOrigin) before it, or protect mutations in
/// another way.
///
/// A handler behind [`Idempotent`](super::Idempotent) must not rely on changes that wait: they are
/// made after its answer is kept, so if the client goes away or the commit fails they are lost, and
/// a retry replays success. Use [`SessionHandle::update`], which changes at once, or
/// [`Execution::complete_with`](super::Execution::complete_with).
///
/// Handlers take `Data<&SessionHandle<T>>`; behind a [`LiveSession`](super::LiveSession), which
/// refuses requests without a session, also `Data<&Arc<Session<T>>>`.
///
/// ```
/// use poem::web::Data;
/// use poem::{EndpointExt as _, Route, handler};
/// use steadfast::http::{CookieSession, Problem, SessionCookie};
/// use steadfast::session::{Edit, SessionHandle};
/// use steadfast::{Principal, Sessions, State, Store};
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Visit {
///     pages: u32,
/// }
/// impl State for Visit {
///     const SCHEMA: u16 = 1;
/// }
///
/// #[handler]
/// async fn choose_theme(Data(session): Data<&SessionHandle<Visit>>) -> poem::Result<()> {
///     session.start(Visit { pages: 0 }).await.map_err(Problem::from)?;
///     session.edit(Edit::new().set("theme", "dark")).await.map_err(Problem::from)?;
///     Ok(())
/// }
///
/// #[handler]
/// async fn log_in(Data(session): Data<&SessionHandle<Visit>>) -> poem::Result<()> {
///     // Check the password here.
///     let alice = Principal::new("alice").map_err(Problem::from)?;
///     session.sign_in(&alice, "Firefox", Visit { pages: 0 }).await.map_err(Problem::from)?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// let sessions: Sessions<Visit> = Sessions::builder(&store).build()?;
/// let app = Route::new()
///     .at("/theme", poem::post(choose_theme))
///     .at("/login", poem::post(log_in))
///     .with(CookieSession::new(sessions, SessionCookie::new()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CookieSession<T> {
    sessions: Sessions<T>,
    cookie: SessionCookie,
    header: Option<HeaderName>,
    mode: Mode,
    conflict_when_gone: bool,
}

impl<T> CookieSession<T> {
    /// Sessions whose id travels in this cookie.
    pub fn new(sessions: Sessions<T>, cookie: SessionCookie) -> Self {
        Self { sessions, cookie, header: None, mode: Mode::Normal, conflict_when_gone: false }
    }

    /// For clients that keep no cookies: a request with this header, empty if it has no session
    /// yet, is served by the header alone. A new id comes back in the same header, and no cookie
    /// is read or set.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }

    /// What requests to this route may do with their session.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Answers 409 if the session ended before the changes of a request were kept. Otherwise the
    /// answer passes: a user who logs out does not miss what a request still had to say.
    #[must_use]
    pub fn conflict_when_gone(mut self) -> Self {
        self.conflict_when_gone = true;
        self
    }

    fn carrier(&self, headers: &HeaderMap) -> Carrier<'_> {
        match &self.header {
            Some(name) if headers.contains_key(name) => Carrier::Header(name),
            _ => Carrier::Cookie(&self.cookie),
        }
    }

    /// What the browser is told if the changes could not be kept, or a problem.
    fn excuse(&self, error: SessionError) -> Result<Outcome<T>, Problem> {
        match error {
            SessionError::Gone(_) if !self.conflict_when_gone => Ok(Outcome::Keep),
            SessionError::Gone(_) => {
                let detail = "the session ended before the changes of this request were kept";
                Err(Problem::new(StatusCode::CONFLICT, detail).kind("session-gone"))
            }
            error => Err(error.into()),
        }
    }

    fn vary(&self, headers: &mut HeaderMap) {
        for name in self.header.iter().chain([&COOKIE]) {
            headers.append(VARY, HeaderValue::from(name.clone()));
        }
    }
}

impl<T: State + Clone, E: Endpoint> Middleware<E> for CookieSession<T> {
    type Output = CookieSessionEndpoint<T, E>;

    fn transform(&self, inner: E) -> Self::Output {
        if !self.cookie.secure {
            warn!("the session cookie travels in the clear: for development only");
        }
        CookieSessionEndpoint { inner, settings: self.clone() }
    }
}

/// The endpoint that [`CookieSession`] makes.
#[derive(Debug)]
pub struct CookieSessionEndpoint<T, E> {
    inner: E,
    settings: CookieSession<T>,
}

impl<T: State + Clone, E: Endpoint> Endpoint for CookieSessionEndpoint<T, E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let settings = &self.settings;
        let carrier = settings.carrier(request.headers());
        let Brought { ids, rubbish } = carrier.read(request.headers());
        if let Some((first, others)) = ids.split_first() {
            request.extensions_mut().insert(first.clone());
            request.extensions_mut().insert(OtherIds(others.to_vec()));
        }
        let handle = SessionHandle::of_several(&settings.sessions, ids, settings.mode);
        request.extensions_mut().insert(handle.clone());
        let answer = caught::call(&self.inner, request).await.map(IntoResponse::into_response);
        if answer.as_ref().is_ok_and(|response| response.headers().contains_key(REPLAYED.0)) {
            // Its first run may have ended the session; if the store is out, nobody knows.
            drop(handle.get().await);
        }

        let failed = answer.as_ref().map_or(true, |response| response.status().is_server_error());
        let outcome = if failed {
            handle.discard().await
        } else {
            handle.commit().await.or_else(|error| settings.excuse(error))?
        };
        if !handle.is_used() {
            return answer;
        }
        let outcome = match outcome {
            Outcome::Keep if rubbish => Outcome::Remove,
            outcome => outcome,
        };
        let mut response = answer.unwrap_or_else(Problem::from_poem);
        settings.vary(response.headers_mut());
        carrier.write(response.headers_mut(), &outcome).map_err(Problem::from)?;
        Ok(mark_stale(response, handle.freshness().await))
    }
}
