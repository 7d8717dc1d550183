//! A handler that panics has an answer, and changes nothing of its session.

use std::time::Duration;

use poem::endpoint::make_sync;
use poem::http::header::{AUTHORIZATION, COOKIE};
use poem::{EndpointExt as _, Request};
use steadfast::Tokens;
use steadfast::http::{BearerAuth, BodyLimit, CookieAuth, Idempotent, LiveSession, SameOrigin};
use steadfast::idempotency::OnLapse;
use steadfast::token::{Claims, Key};

use crate::site::{Browser, Site, set_cookies};
use crate::{call, idempotency, problem, store};

#[tokio::test]
async fn a_panic_behind_the_session_cookie_is_500_and_commits_nothing() {
    for path in ["/panic", "/edit/rotate/panic", "/start/panic", "/login/panic"] {
        let site = Site::new();
        let mut browser = Browser::default();
        browser.go(&site, "/start").await;
        let response = browser.go(&site, path).await;
        assert_eq!(response.status(), 500, "{path}");
        assert!(set_cookies(&response).is_empty(), "{path}");
        let detail = problem(response).await["detail"].as_str().unwrap().to_owned();
        assert!(!detail.contains("as the test asked") && !detail.contains("again"), "{detail}");
        assert_eq!(site.counts(&browser).await, Some((0, 0)), "{path}");
        assert_eq!(site.session(&browser).await.unwrap().principal, None, "{path}");
    }
}

#[tokio::test]
async fn a_panic_behind_a_token_or_a_live_session_is_500() {
    let site = Site::new();
    let mut browser = Browser::default();
    browser.go(&site, "/login").await;
    let key = Key::hs256(&[7; 32]).unwrap();
    let tokens = Tokens::builder("shop", key).any_audience().build().unwrap();
    let claims = Claims::new("alice").session(browser.id().unwrap().expose());
    let token = tokens.issue(&claims, Duration::from_secs(60)).unwrap();
    let panics = || make_sync(|_request| -> () { panic!("as the test asked") });
    let live = || panics().with(LiveSession(site.sessions.clone()));
    let bearer = || BearerAuth::new(tokens.clone());
    for app in [
        panics().with(bearer()).map_to_response().boxed(),
        panics().with(CookieAuth::default()).map_to_response().boxed(),
        live().with(CookieAuth::default()).boxed(),
        live().with(bearer()).boxed(),
    ] {
        let request = Request::builder().header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(COOKIE, browser.cookie.clone().unwrap()).finish();
        let response = call(&app, request).await;
        assert_eq!(response.status(), 500);
        problem(response).await;
    }
}

#[tokio::test]
async fn a_panic_behind_what_only_looks_at_the_request_is_500() {
    let panics = || make_sync(|_request| -> () { panic!("as the test asked") });
    let (_faulty, store, _clock) = store();
    for app in [
        panics().with(SameOrigin::new()).map_to_response().boxed(),
        panics().with(BodyLimit(1_024)).map_to_response().boxed(),
        panics().with(Idempotent::new(idempotency(&store, OnLapse::Refuse))).boxed(),
    ] {
        let response = call(&app, Request::default()).await;
        assert_eq!(response.status(), 500);
        problem(response).await;
    }
}
