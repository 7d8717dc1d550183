//! A site whose requests say in their path what their handler does, and a browser to visit it.

use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::{BoxEndpoint, make};
use poem::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use poem::http::{HeaderName, StatusCode};
use poem::{EndpointExt, Request, Response};
use steadfast::backend::ManualClock;
use steadfast::http::{CookieSession, Problem, SessionCookie};
use steadfast::session::{Attribute, Edit, Session, SessionHandle, SessionId};
use steadfast::{Principal, Sessions, Store};
use tokio::sync::Barrier;

use crate::fault::Faulty;
use crate::{Visit, call, store};

pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const RENEWAL: Duration = Duration::from_secs(60 * 60);
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) struct Site {
    pub(crate) faulty: Arc<Faulty>,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) sessions: Sessions<Visit>,
    /// Where a handler that is told to `wait` meets the test, twice.
    pub(crate) gate: Arc<Barrier>,
    app: BoxEndpoint<'static, Response>,
}

impl Site {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|middleware| middleware)
    }

    pub(crate) fn with(
        adjust: impl FnOnce(CookieSession<Visit>) -> CookieSession<Visit>,
    ) -> Arc<Self> {
        let (faulty, store, clock) = store();
        // Ids are renewed before they can expire unused.
        let sessions = Sessions::<Visit>::builder(&store).idle(IDLE).renewal(RENEWAL);
        let sessions = sessions.grace(GRACE).size_max(2_000).build().unwrap();
        let gate = Arc::new(Barrier::new(2));
        let meet = gate.clone();
        let handler = make(move |request: Request| {
            let gate = meet.clone();
            async move { handle(&request, &gate).await }
        });
        let middleware = adjust(CookieSession::new(sessions.clone(), SessionCookie::new()));
        let app = handler.with(middleware).boxed();
        Arc::new(Self { faulty, store, clock, sessions, gate, app })
    }

    /// A request with this `Cookie` header.
    pub(crate) async fn ask(&self, path: &str, cookie: &str) -> Response {
        let request = Request::builder().uri_str(path).header(COOKIE, cookie).finish();
        call(&self.app, request).await
    }

    pub(crate) async fn ask_with(&self, path: &str, name: HeaderName, value: &str) -> Response {
        call(&self.app, Request::builder().uri_str(path).header(name, value).finish()).await
    }

    /// Time passes while the session is in use, so that it does not expire.
    pub(crate) async fn pass(&self, time: Duration, browser: &Browser) {
        let steps = 1 + u32::try_from(time.as_millis() / (IDLE / 2).as_millis()).unwrap();
        for _step in 0..steps {
            self.clock.advance(time / steps);
            self.session(browser).await;
        }
    }

    pub(crate) async fn session(&self, browser: &Browser) -> Option<Session<Visit>> {
        self.sessions.load(&browser.id()?).await.unwrap()
    }

    /// Whether the session is alive, how often its state was updated and how often it was edited.
    pub(crate) async fn counts(&self, browser: &Browser) -> Option<(u32, i64)> {
        let session = self.session(browser).await?;
        let edits = match session.attributes.get("edits") {
            Some(Attribute::Integer(edits)) => *edits,
            _ => 0,
        };
        Some((session.state.0, edits))
    }
}

/// Keeps one cookie.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) async fn go(&mut self, site: &Site, path: &str) -> Response {
        let response = site.ask(path, self.cookie.as_deref().unwrap_or_default()).await;
        self.take(&response);
        response
    }

    /// Does with an answer's cookies what a browser does.
    pub(crate) fn take(&mut self, response: &Response) {
        for set in set_cookies(response) {
            let pair = set.split(';').next().unwrap().to_owned();
            self.cookie = (!set.contains("Max-Age=0")).then_some(pair);
        }
    }

    pub(crate) fn id(&self) -> Option<SessionId> {
        let (_name, id) = self.cookie.as_deref()?.split_once('=')?;
        id.parse().ok()
    }
}

pub(crate) fn set_cookies(response: &Response) -> Vec<&str> {
    let values = response.headers().get_all(SET_COOKIE).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

pub(crate) fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(crate) fn is_removal(response: &Response) -> bool {
    matches!(set_cookies(response)[..], [one] if one.starts_with("__Host-sid=; Max-Age=0;"))
}

pub(crate) fn alice() -> Principal {
    Principal::new("alice").unwrap()
}

fn bob() -> Principal {
    Principal::new("bob").unwrap()
}

async fn handle(request: &Request, gate: &Barrier) -> Result<Response, Problem> {
    let session = request.extensions().get::<SessionHandle<Visit>>().unwrap();
    let mut response = Response::default();
    for step in request.uri().path().split('/').filter(|step| !step.is_empty()) {
        match step {
            "get" => drop(session.get().await?),
            "start" => session.start(Visit(0)).await?,
            "edit" => session.edit(Edit::new().increment("edits", 1)).await?,
            "fill" => session.edit(Edit::new().set("much", "x".repeat(2_000))).await?,
            "once" => session.edit(Edit::new().expect("once", None).set("once", true)).await?,
            "update" => session.update(|visit| visit.0 += 1).await?,
            "login" => session.sign_in(&alice(), "a browser", Visit(0)).await?,
            "bob" => session.sign_in(&bob(), "a browser", Visit(0)).await?,
            "rotate" => session.rotate().await?,
            "logout" => session.destroy().await?,
            "wait" => {
                gate.wait().await;
                gate.wait().await;
            }
            "panic" => panic!("as the test asked"),
            "fail" => return Err(Problem::new(StatusCode::BAD_REQUEST, "as the test asked")),
            "elsewhere" => drop(response.headers_mut().insert(LOCATION, "/".parse().unwrap())),
            "public" => {
                drop(
                    response
                        .headers_mut()
                        .insert(CACHE_CONTROL, "public, max-age=60".parse().unwrap()),
                );
            }
            "cookies" => {
                for cookie in ["a=1", "__Host-sid=mine", "b=2"] {
                    response.headers_mut().append(SET_COOKIE, cookie.parse().unwrap());
                }
            }
            status => response.set_status(status.parse().unwrap()),
        }
    }
    Ok(response)
}
