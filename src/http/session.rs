use std::sync::Arc;

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use crate::session::{Session, SessionHandle, SessionId};
use crate::{Principal, Sessions, State};

use super::carrier::OtherIds;
use super::{Problem, caught, mark_stale};

/// Loads the session whose id, or handle, an earlier middleware left, renews it, and leaves it for
/// the handler as `Data<&Arc<Session<T>>>`, with its [`Principal`] if it has one. 401 if it is
/// gone, 503 if the store cannot answer: an outage logs nobody out. Of several ids in cookies the
/// first one that is live counts, and is left in the request. If the handler panics, the answer is
/// 500. An answer that was made with a session that is older than it should be, while the store is
/// out, says so in its `State-Freshness`.
#[derive(Clone, Debug)]
pub struct LiveSession<T>(pub Sessions<T>);

impl<T: State, E: Endpoint> Middleware<E> for LiveSession<T> {
    type Output = LiveSessionEndpoint<T, E>;

    fn transform(&self, inner: E) -> Self::Output {
        LiveSessionEndpoint { inner, sessions: self.0.clone() }
    }
}

/// The endpoint that [`LiveSession`] makes.
#[derive(Debug)]
pub struct LiveSessionEndpoint<T, E> {
    inner: E,
    sessions: Sessions<T>,
}

impl<T: State, E: Endpoint> Endpoint for LiveSessionEndpoint<T, E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let (session, id) = self.session(&request).await?;
        if let Some(id) = id {
            request.extensions_mut().insert(id);
        }
        let named = request.extensions().get::<Principal>().map(Principal::name);
        // A token that names somebody else than its session's owner was not issued by us.
        if named.is_some() && named != session.principal.as_deref() {
            return Err(Problem::invalid_token().into());
        }
        if let Some(name) = &session.principal {
            let principal = Principal::new(name).map_err(Problem::from)?;
            request.extensions_mut().insert(principal);
        }
        let age = session.freshness;
        request.extensions_mut().insert(session);
        let response = caught::call(&self.inner, request).await?.into_response();
        Ok(mark_stale(response, age))
    }
}

type Found<T> = (Arc<Session<T>>, Option<SessionId>);

impl<T: State, E> LiveSessionEndpoint<T, E> {
    /// The session, and its id if that is not the first one that came.
    async fn session(&self, request: &Request) -> Result<Found<T>, Problem> {
        let extensions = request.extensions();
        if let Some(handle) = extensions.get::<SessionHandle<T>>() {
            let session = handle.get().await?.ok_or_else(Problem::unauthenticated)?;
            let others = extensions.get::<OtherIds>();
            let other = others.and_then(|others| others.0.iter().find(|id| **id == session.id));
            return Ok((session.clone(), other.cloned()));
        }
        let first = extensions.get::<SessionId>().ok_or_else(Problem::unauthenticated)?;
        if let Some(session) = self.sessions.load(first).await? {
            return Ok((Arc::new(session), None));
        }
        let others = extensions.get::<OtherIds>().map_or(&[][..], |others| &others.0);
        for id in others {
            if let Some(session) = self.sessions.load(id).await? {
                return Ok((Arc::new(session), Some(id.clone())));
            }
        }
        Err(Problem::invalid_token())
    }
}
