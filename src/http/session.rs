use std::sync::Arc;

use poem::{Endpoint, Middleware, Request, Result};

use crate::session::SessionId;
use crate::{Principal, Sessions, State};

use super::Problem;

/// Loads the session whose id an earlier middleware left, renews it, and leaves it for the handler
/// as `Data<&Arc<Session<T>>>`, with its [`Principal`] if it has one. 401 if it is gone, 503 if the
/// store cannot answer: an outage logs nobody out.
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
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> Result<Self::Output> {
        let id = request.extensions().get::<SessionId>();
        let id = id.ok_or_else(Problem::unauthenticated)?.clone();
        let session = self.sessions.load(&id).await.map_err(Problem::from)?;
        let session = session.ok_or_else(Problem::invalid_token)?;
        let named = request.extensions().get::<Principal>().map(Principal::name);
        // A token that names somebody else than its session's owner was not issued by us.
        if named.is_some() && named != session.principal.as_deref() {
            return Err(Problem::invalid_token().into());
        }
        if let Some(name) = &session.principal {
            let principal = Principal::new(name).map_err(Problem::from)?;
            request.extensions_mut().insert(principal);
        }
        request.extensions_mut().insert(Arc::new(session));
        self.inner.call(request).await
    }
}
