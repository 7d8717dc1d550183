use poem::http::header;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response};
use tracing::debug;

use crate::session::SessionId;
use crate::token::{CheckError, Revocations, Verified};
use crate::{Principal, Tokens};

use super::carrier::OtherIds;
use super::{Problem, SameOrigin, SessionCookie, caught};

/// Takes `Authorization: Bearer TOKEN` and leaves the token's session id and principal in the
/// request, and all that the token says as [`Verified`]: read scopes and the like from its
/// [`extra`](Verified::extra). A token without a session (`sid`) gets 401. It looks nothing up
/// unless it has [`revocations`](BearerAuth::revocations): the session behind the token may be
/// gone, which [`LiveSession`](super::LiveSession) finds out.
#[derive(Clone, Debug)]
pub struct BearerAuth {
    tokens: Tokens,
    revocations: Option<Revocations>,
    cookie: Option<(SessionCookie, SameOrigin)>,
}

/// What a token leaves in the request.
type Identity = (SessionId, Principal, Verified);

impl BearerAuth {
    /// Takes these tokens.
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens, revocations: None, cookie: None }
    }

    /// Asks for each token whether it was revoked. While the store does not answer, requests meet
    /// 503.
    #[must_use]
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Takes the session cookie of requests without `Authorization`. It leaves its [`SessionId`]
    /// only: [`LiveSession`](super::LiveSession) finds out whose it is. Browsers send cookies
    /// unasked, so unsafe requests with one are checked for another site's: 403.
    ///
    /// A log-out by a token removes this cookie only from a browser that sent the cookie of the
    /// token's session: a `Set-Cookie` that removes it is taken out of the answer to any other
    /// request with a token. The browser may be signed in with another session.
    ///
    /// ```
    /// # use steadfast::http::{BearerAuth, SameOrigin, SessionCookie};
    /// # use steadfast::token::{Key, Tokens};
    /// # let tokens = Tokens::builder("shop", Key::hs256(&[7; 32])?).any_audience().build()?;
    /// let auth = BearerAuth::new(tokens).or_cookie(SessionCookie::new(), SameOrigin::new());
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    #[must_use]
    pub fn or_cookie(mut self, cookie: SessionCookie, same_origin: SameOrigin) -> Self {
        self.cookie = Some((cookie, same_origin));
        self
    }

    async fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        if let Some((cookie, same_origin)) = &self.cookie
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            let ids = cookie.ids(request.headers());
            if !ids.is_empty() {
                same_origin.check(request.method(), request.original_uri(), request.headers())?;
            }
            return leave(request, ids);
        }
        let (id, principal, verified) = self.identify(request).await?;
        request.extensions_mut().remove::<OtherIds>();
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(principal);
        request.extensions_mut().insert(verified);
        Ok(())
    }

    /// The cookie of another session, or of none that is known, in a request with a token.
    fn foreign_cookie(&self, request: &Request) -> Option<&SessionCookie> {
        let (cookie, _) = self.cookie.as_ref()?;
        let id = request.extensions().get::<SessionId>()?;
        let is_foreign = !cookie.names(request.headers(), id);
        is_foreign.then_some(cookie)
    }

    async fn identify(&self, request: &Request) -> Result<Identity, Problem> {
        let token = bearer(request).ok_or_else(Problem::unauthenticated)?;
        let verified = self.check(token).await.map_err(|error| match error {
            CheckError::Refused(reason) => {
                debug!(%reason, "a bearer token was refused");
                Problem::invalid_token()
            }
            CheckError::Store(error) => error.into(),
        })?;
        let id = verified.session.as_deref().and_then(|id| id.parse().ok());
        let named = id.zip(Principal::new(&verified.subject).ok());
        let (id, principal) = named.ok_or_else(Problem::invalid_token)?;
        Ok((id, principal, verified))
    }

    async fn check(&self, token: &str) -> Result<Verified, CheckError> {
        // By the rules of these tokens; those of the revocations may be laxer.
        let verified = self.tokens.verify(token)?;
        if let Some(revocations) = &self.revocations {
            revocations.check(&verified).await?;
        }
        Ok(verified)
    }
}

impl<E: Endpoint> Middleware<E> for BearerAuth {
    type Output = BearerAuthEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        BearerAuthEndpoint { inner, auth: self.clone() }
    }
}

/// The endpoint that [`BearerAuth`] makes.
#[derive(Debug)]
pub struct BearerAuthEndpoint<E> {
    inner: E,
    auth: BearerAuth,
}

impl<E: Endpoint> Endpoint for BearerAuthEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.auth.admit(&mut request).await?;
        let foreign = self.auth.foreign_cookie(&request);
        let mut response = caught::call(&self.inner, request).await?.into_response();
        if let Some(cookie) = foreign {
            cookie.keep(response.headers_mut());
        }
        Ok(response)
    }
}

/// Leaves what came in cookies: the first id, and the others for
/// [`LiveSession`](super::LiveSession), if that one is dead.
fn leave(request: &mut Request, ids: Vec<SessionId>) -> Result<(), Problem> {
    let mut ids = ids.into_iter();
    let id = ids.next().ok_or_else(Problem::unauthenticated)?;
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(OtherIds(ids.collect()));
    Ok(())
}

/// The one token of a request; several are none.
fn bearer(request: &Request) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    // One space or more (RFC 9110, 11.4).
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_start_matches(' '))
}

/// Takes the session cookie and leaves its session id in the request. Browsers send cookies
/// unasked: put [`SameOrigin`] before it, or protect mutations in another way.
#[derive(Clone, Debug, Default)]
pub struct CookieAuth(pub SessionCookie);

impl<E: Endpoint> Middleware<E> for CookieAuth {
    type Output = CookieAuthEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        CookieAuthEndpoint { inner, cookie: self.0.clone() }
    }
}

/// The endpoint that [`CookieAuth`] makes.
#[derive(Debug)]
pub struct CookieAuthEndpoint<E> {
    inner: E,
    cookie: SessionCookie,
}

impl<E: Endpoint> Endpoint for CookieAuthEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, mut request: Request) -> poem::Result<Self::Output> {
        let ids = self.cookie.ids(request.headers());
        leave(&mut request, ids)?;
        caught::call(&self.inner, request).await
    }
}
