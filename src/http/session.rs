use std::sync::Arc;

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result};

use crate::session::{Session, SessionHandle, SessionId};
use crate::{Principal, Sessions, State};

use super::{Problem, mark_stale};

/// Loads the session whose id, or handle, an earlier middleware left, renews it, and leaves it for
/// the handler as `Data<&Arc<Session<T>>>`, with its [`Principal`] if it has one. 401 if it is
/// gone, 503 if the store cannot answer: an outage logs nobody out. An answer that was made with a
/// session that is older than it should be, while the store is out, says so in its
/// `State-Freshness`.
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
        let session = self.session(&request).await?;
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
        let response = self.inner.call(request).await?.into_response();
        Ok(mark_stale(response, age))
    }
}

impl<T: State, E> LiveSessionEndpoint<T, E> {
    async fn session(&self, request: &Request) -> std::result::Result<Arc<Session<T>>, Problem> {
        let extensions = request.extensions();
        if let Some(handle) = extensions.get::<SessionHandle<T>>() {
            return handle.get().await?.ok_or_else(Problem::unauthenticated);
        }
        let id = extensions.get::<SessionId>().ok_or_else(Problem::unauthenticated)?;
        self.sessions.load(id).await?.map(Arc::new).ok_or_else(Problem::invalid_token)
    }
}
