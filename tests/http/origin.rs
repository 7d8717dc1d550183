//! Requests that a browser sends for a page of another site (cross-site request forgery).

use std::time::Duration;

use poem::endpoint::make_sync;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint, EndpointExt as _, Request};
use steadfast::backend::ErrorKind;
use steadfast::http::{BearerAuth, Idempotent, LiveSession, SameOrigin, SessionCookie};
use steadfast::idempotency::OnLapse;
use steadfast::token::{Claims, Key};
use steadfast::{Principal, Sessions, Tokens};

use crate::{Visit, call, idempotency, is_replay, problem, store};

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    lines.iter().map(line).collect()
}

const HOST: (&str, &str) = ("host", "shop.example.com");

fn passes(same_origin: &SameOrigin, method: &Method, lines: &[(&str, &str)]) -> bool {
    same_origin.check(method, &Uri::from_static("/cart"), &headers(lines)).is_ok()
}

#[test]
fn only_its_own_pages_may_change_anything() {
    let check = |lines: &[(&str, &str)]| passes(&SameOrigin::new(), &Method::POST, lines);
    for own in [
        &[HOST][..],
        &[HOST, ("sec-fetch-site", "same-origin")],
        &[HOST, ("sec-fetch-site", "none")],
        &[HOST, ("origin", "https://shop.example.com")],
        &[HOST, ("origin", "https://SHOP.example.com:443")],
        &[("host", "shop.example.com:443"), ("origin", "https://shop.example.com")],
        &[("host", "localhost:8080"), ("origin", "http://localhost:8080")],
        &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")],
        // What a proxy does to `Host` is no matter where the browser itself compares.
        &[("host", "10.0.0.7"), ("sec-fetch-site", "same-origin"), ("origin", "https://a.b")],
    ] {
        assert!(check(own), "{own:?}");
    }
    for other in [
        &[HOST, ("sec-fetch-site", "cross-site")][..],
        &[HOST, ("sec-fetch-site", "same-site")],
        &[HOST, ("sec-fetch-site", "Same-Origin")],
        &[HOST, ("sec-fetch-site", "")],
        &[HOST, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
        &[HOST, ("sec-fetch-site", "cross-site"), ("origin", "https://shop.example.com")],
        &[HOST, ("origin", "https://evil.example.com")],
        &[HOST, ("origin", "https://shop.example.com.evil.org")],
        &[HOST, ("origin", "https://shop.example.com:8443")],
        &[HOST, ("origin", "http://shop.example.com:443")],
        &[HOST, ("origin", "https://shop.example.com@evil.org")],
        &[HOST, ("origin", "https://shop.example.com:x")],
        &[HOST, ("origin", "null")],
        &[HOST, ("origin", "")],
        &[HOST, ("origin", "chrome-extension://shop.example.com")],
        &[HOST, ("origin", "https://shop.example.com"), ("origin", "https://evil.org")],
        &[("origin", "https://shop.example.com")],
        &[HOST, ("host", "evil.org"), ("origin", "https://evil.org")],
    ] {
        assert!(!check(other), "{other:?}");
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!passes(&SameOrigin::new(), &method, other), "{method} {other:?}");
        }
        for safe in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
            let safe = safe.parse().unwrap();
            assert!(passes(&SameOrigin::new(), &safe, other), "{safe} {other:?}");
        }
    }
}

/// Browsers let a page open a WebSocket to any host, with the cookies of that host.
#[test]
fn a_page_of_another_site_opens_no_web_socket() {
    let opens = |line| {
        let lines = [HOST, ("upgrade", "websocket"), ("connection", "upgrade"), line];
        passes(&SameOrigin::new(), &Method::GET, &lines)
    };
    assert!(!opens(("origin", "https://evil.example.com")));
    assert!(!opens(("origin", "null")));
    assert!(!opens(("sec-fetch-site", "cross-site")));
    assert!(opens(("origin", "https://shop.example.com")));
    assert!(opens(("sec-fetch-site", "same-origin")));
    assert!(opens(("user-agent", "no browser")));
}

#[test]
fn over_http_2_the_host_is_that_of_the_uri() {
    let uri = Uri::from_static("https://shop.example.com/cart");
    let check = |lines| SameOrigin::new().check(&Method::POST, &uri, &headers(lines)).is_ok();
    assert!(check(&[("origin", "https://shop.example.com")]));
    assert!(!check(&[("origin", "https://evil.org"), ("host", "evil.org")]));
}

#[test]
fn an_origin_that_is_trusted_may_send_anything() {
    let same_origin = SameOrigin::new().trust("https://app.example.com").unwrap();
    for (origin, site) in
        [("https://app.example.com", "same-site"), ("https://App.example.com:443", "cross-site")]
    {
        let lines = [HOST, ("origin", origin), ("sec-fetch-site", site)];
        assert!(passes(&same_origin, &Method::POST, &lines), "{origin}");
    }
    for origin in ["http://app.example.com", "https://app.example.com:8443", "null"] {
        assert!(!passes(&same_origin, &Method::POST, &[HOST, ("origin", origin)]), "{origin}");
    }
    for bad in ["", "null", "app.example.com", "https://", "https://a.b/", "https://u@a.b", "*"] {
        let error = SameOrigin::new().trust(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    }
}

struct Home {
    /// A token of alice's session, and the cookie of the same session.
    token: String,
    cookie: String,
    tokens: Tokens,
    sessions: Sessions<Visit>,
    store: steadfast::Store,
}

async fn home() -> Home {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let session = sessions.sign_in(&alice, "a test", Visit(0)).await.unwrap();
    let key = Key::hs256(&[7; 32]).unwrap();
    let tokens = Tokens::builder("shop", key).any_audience().build().unwrap();
    let claims = Claims::new("alice").session(session.id.expose());
    let token = tokens.issue(&claims, Duration::from_secs(60)).unwrap();
    let (token, id) = (format!("Bearer {token}"), session.id.expose());
    Home { token, cookie: format!("__Host-sid={id}"), tokens, sessions, store }
}

impl Home {
    fn auth(&self) -> BearerAuth {
        BearerAuth::new(self.tokens.clone()).or_cookie(SessionCookie::new(), SameOrigin::new())
    }
}

fn post(lines: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(Method::POST).uri_str("/cart").finish();
    *request.headers_mut() = headers(lines);
    request
}

async fn status(app: &impl Endpoint, lines: &[(&str, &str)]) -> u16 {
    call(app, post(lines)).await.status().as_u16()
}

#[tokio::test]
async fn a_route_takes_a_token_or_the_session_cookie() {
    let home = home().await;
    let name = |request: &Request| request.extensions().get::<Principal>().unwrap().name().len();
    let who = make_sync(move |request| name(&request).to_string());
    let app = who.with(LiveSession(home.sessions.clone())).with(home.auth());
    let (token, cookie) = (("authorization", &*home.token), ("cookie", &*home.cookie));
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(status(&app, &[token]).await, 200);
    assert_eq!(status(&app, &[cookie]).await, 200);
    assert_eq!(status(&app, &[]).await, 401);
    assert_eq!(status(&app, &[("authorization", "Bearer x"), cookie]).await, 401);
    // No browser adds a token by itself.
    assert_eq!(status(&app, &[token, cookie, cross]).await, 200);
    let refused = call(&app, post(&[HOST, cookie, cross])).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(problem(refused).await["type"], "urn:steadfast:problem:cross-origin");
}

#[tokio::test]
async fn as_a_middleware_it_checks_every_unsafe_request() {
    let app = make_sync(|_request| "done").with(SameOrigin::new());
    assert_eq!(status(&app, &[HOST, ("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(status(&app, &[HOST, ("sec-fetch-site", "cross-site")]).await, 403);
}

/// With the session its owner's name is gone, too, and the retry still gets its answer.
#[tokio::test]
async fn the_retry_of_a_log_out_by_cookie_gets_its_answer() {
    let home = home().await;
    let sessions = home.sessions.clone();
    let log_out = poem::endpoint::make(move |request: Request| {
        let sessions = sessions.clone();
        async move {
            let id = request.extensions().get::<steadfast::session::SessionId>().unwrap().clone();
            sessions.destroy(&id).await.unwrap();
            StatusCode::NO_CONTENT
        }
    });
    let once = Idempotent::new(idempotency(&home.store, OnLapse::Refuse)).per_session();
    let app = log_out.with(LiveSession(home.sessions.clone())).with(once).with(home.auth());
    let key = |key| [("idempotency-key", key), ("cookie", &*home.cookie)];
    for replayed in [false, true] {
        let answer = call(&app, post(&key("a"))).await;
        assert_eq!((answer.status().as_u16(), is_replay(&answer)), (204, replayed));
    }
    assert_eq!(status(&app, &key("b")).await, 401);
    let other = format!("{}A", &home.cookie[..home.cookie.len() - 1]);
    assert_eq!(status(&app, &[("idempotency-key", "a"), ("cookie", &*other)]).await, 401);
}
