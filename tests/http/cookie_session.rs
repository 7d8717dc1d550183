//! Requests with a session cookie: what they cost, and what the browser is told.

use std::sync::Arc;
use std::time::Duration;

use poem::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE, VARY};
use poem::http::{HeaderName, StatusCode};
use poem::web::Data;
use poem::{EndpointExt as _, Request};
use steadfast::Principal;
use steadfast::http::{CookieSession, LiveSession, SessionCookie};
use steadfast::session::Session;

use crate::site::{Browser, RENEWAL, Site, alice, header, is_removal, set_cookies};
use crate::{Visit, call};

async fn visitor(site: &Site) -> Browser {
    let mut browser = Browser::default();
    browser.go(site, "/start").await;
    site.faulty.trips();
    browser
}

#[tokio::test]
async fn an_untouched_request_costs_no_trip_and_gets_no_header() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let rubbish = "__Host-sid=rubbish".to_owned();
    for cookie in [None, browser.cookie.clone(), Some(rubbish)] {
        browser.cookie = cookie;
        for path in ["/", "/404", "/500", "/fail"] {
            let response = browser.go(&site, path).await;
            assert_eq!(site.faulty.trips(), 0, "{path}");
            assert!(set_cookies(&response).is_empty(), "{path}");
            assert_eq!(header(&response, VARY), None, "{path}");
        }
    }
}

#[tokio::test]
async fn each_step_costs_what_it_must() {
    for (path, anonymous, signed_in) in [
        ("/get", 1, 1),
        ("/get/get", 1, 1),
        ("/edit", 2, 2),
        ("/get/edit/edit/get", 2, 2),
        ("/update", 2, 2),
        ("/get/update", 2, 2),
        ("/start", 1, 1),
        ("/rotate", 3, 3),
        ("/edit/rotate", 3, 3),
        ("/logout", 2, 2),
        ("/login", 3, 3),
    ] {
        for (login, trips) in [(false, anonymous), (true, signed_in)] {
            let site = Site::new();
            let mut browser = Browser::default();
            browser.go(&site, if login { "/login" } else { "/start" }).await;
            site.faulty.trips();
            assert_eq!(browser.go(&site, path).await.status(), 200);
            assert_eq!(site.faulty.trips(), trips, "{path}, signed in: {login}");
        }
    }
    for (path, trips) in [("/get", 0), ("/start", 1), ("/start/edit/update", 1), ("/login", 2)] {
        let site = Site::new();
        assert_eq!(Browser::default().go(&site, path).await.status(), 200);
        assert_eq!(site.faulty.trips(), trips, "{path}, without a cookie");
    }
}

#[tokio::test]
async fn a_cookie_is_set_when_the_id_is_new_and_never_on_use() {
    let site = Site::new();
    let mut browser = Browser::default();
    for (path, sets) in [
        ("/get", false),
        ("/start/edit", true),
        ("/get", false),
        ("/edit", false),
        ("/update", false),
        ("/start", false),
        ("/login", true),
        ("/get/edit", false),
        ("/rotate", true),
        ("/login", true),
        ("/get", false),
    ] {
        let before = browser.cookie.clone();
        let response = browser.go(&site, path).await;
        assert_eq!(set_cookies(&response).len(), usize::from(sets), "{path}");
        assert_eq!(browser.cookie != before, sets, "{path}");
    }
    assert_eq!(site.counts(&browser).await, Some((1, 3)));
    assert_eq!(site.session(&browser).await.unwrap().principal.as_deref(), Some("alice"));
}

/// Robots keep no cookies: each of their requests would leave a session behind.
#[tokio::test]
async fn a_request_without_data_stores_nothing() {
    let site = Site::new();
    for _request in 0..100 {
        Browser::default().go(&site, "/get").await;
        Browser::default().go(&site, "/start/logout").await;
        Browser::default().go(&site, "/start/fail").await;
    }
    assert_eq!(site.faulty.trips(), 0);
}

#[tokio::test]
async fn a_client_cannot_choose_an_id() {
    let site = Site::new();
    for path in ["/start", "/login"] {
        let chosen = format!("__Host-sid={}", "A".repeat(43));
        let mut browser = Browser { cookie: Some(chosen.clone()) };
        assert_eq!(browser.go(&site, path).await.status(), 200);
        assert_ne!(browser.cookie, Some(chosen.clone()));
        assert!(site.session(&browser).await.is_some());
        assert!(site.session(&Browser { cookie: Some(chosen) }).await.is_none());
    }
}

#[tokio::test]
async fn the_first_valid_of_several_cookies_counts() {
    let site = Site::new();
    let (one, two) = (visitor(&site).await, visitor(&site).await);
    let (one_id, two_id) = (one.cookie.clone().unwrap(), two.cookie.clone().unwrap());
    let cookies = format!("a=b; __Host-sid=rubbish; {one_id}; c; {two_id}");
    let response = site.ask("/edit", &cookies).await;
    assert!(set_cookies(&response).is_empty());
    assert_eq!(site.counts(&one).await, Some((0, 1)));
    assert_eq!(site.counts(&two).await, Some((0, 0)));
}

#[tokio::test]
async fn what_names_no_session_is_removed() {
    let site = Site::new();
    let mut expired = visitor(&site).await;
    site.clock.advance(Duration::from_secs(24 * 3_600));
    assert!(is_removal(&expired.go(&site, "/get").await));

    let mut revoked = Browser::default();
    revoked.go(&site, "/login").await;
    site.sessions.destroy_all(&alice()).await.unwrap();
    let mut logged_out = visitor(&site).await;
    site.sessions.destroy(&logged_out.id().unwrap()).await.unwrap();
    for browser in [&mut revoked, &mut logged_out] {
        // An error says it as well.
        assert!(is_removal(&browser.clone().go(&site, "/edit").await));
        assert!(is_removal(&browser.clone().go(&site, "/get/500").await));
        assert!(is_removal(&browser.go(&site, "/get").await));
        assert!(browser.cookie.is_none(), "a __Host- cookie can be removed");
    }
    site.faulty.trips();
    for rubbish in ["__Host-sid=", "__Host-sid=rubbish", "__Host-sid=\"AAAA\"; __Host-sid=x"] {
        assert!(is_removal(&site.ask("/get", rubbish).await), "{rubbish}");
    }
    assert_eq!(site.faulty.trips(), 0, "a malformed id is not looked up");
    assert!(set_cookies(&site.ask("/get", "sid=x; other").await).is_empty());
}

#[tokio::test]
async fn an_answer_sets_one_cookie_of_our_name() {
    let site = Site::new();
    let response = Browser::default().go(&site, "/cookies/start").await;
    let cookies = set_cookies(&response);
    assert_eq!((cookies.len(), &cookies[..2]), (3, &["a=1", "b=2"][..]));
    assert!(cookies[2].starts_with("__Host-sid=") && !cookies[2].contains("mine"));
    // Without one of ours, those of the application are left alone.
    assert_eq!(set_cookies(&site.ask("/cookies", "").await).len(), 3);
}

#[tokio::test]
async fn an_answer_that_depends_on_the_session_is_not_shared() {
    let site = Site::new();
    let mut browser = Browser::default();
    let ours = r#"private, no-cache="Set-Cookie""#;
    for (path, control) in [
        ("/start", Some(ours)),
        ("/get", None),
        ("/get/404", None),
        ("/get/fail", Some("no-store")),
        ("/login/public", Some("private, max-age=60")),
        ("/get/public", Some("public, max-age=60")),
        ("/logout/204", Some(ours)),
    ] {
        let response = browser.go(&site, path).await;
        assert_eq!(header(&response, VARY), Some("cookie"), "{path}");
        assert_eq!(header(&response, CACHE_CONTROL), control, "{path}");
    }
}

/// The handler does not know that an id is due, and says that all may keep its answer.
#[tokio::test]
async fn a_renewed_id_is_in_no_shared_cache() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    site.pass(RENEWAL, &browser).await;
    let response = browser.go(&site, "/get/public").await;
    assert_eq!(set_cookies(&response).len(), 1);
    assert_eq!(header(&response, CACHE_CONTROL), Some("private, max-age=60"));
}

/// A browser follows a redirect at once, and must find what was saved before.
#[tokio::test]
async fn a_redirect_leaves_after_the_save() {
    let site = Site::new();
    let mut browser = Browser::default();
    let response = browser.go(&site, "/start/edit/elsewhere/303").await;
    assert_eq!(
        (response.status(), header(&response, LOCATION)),
        (StatusCode::SEE_OTHER, Some("/"))
    );
    assert_eq!(site.counts(&browser).await, Some((0, 1)));
    browser.go(&site, "/edit/elsewhere/302").await;
    assert_eq!(site.counts(&browser).await, Some((0, 2)));
}

/// A route that needs a session, behind the middleware: what needs a principal can follow.
#[tokio::test]
async fn a_session_can_be_made_mandatory_without_a_second_read() {
    #[poem::handler]
    fn name(
        Data(principal): Data<&Principal>,
        Data(session): Data<&Arc<Session<Visit>>>,
    ) -> String {
        format!("{} {}", principal.name(), session.state.0)
    }
    let site = Site::new();
    let sessions = site.sessions.clone();
    let app = name.with(LiveSession(sessions.clone()));
    let app = app.with(CookieSession::new(sessions, SessionCookie::new()));
    let ask = |browser: &Browser| {
        let cookie = browser.cookie.clone().unwrap_or_default();
        call(&app, Request::builder().header(COOKIE, cookie).finish())
    };
    assert_eq!(ask(&Browser::default()).await.status(), 401);
    assert_eq!(site.faulty.trips(), 0);

    let mut browser = Browser::default();
    browser.go(&site, "/login").await;
    site.faulty.trips();
    let response = ask(&browser).await;
    assert_eq!(site.faulty.trips(), 1);
    assert_eq!(response.into_body().into_string().await.unwrap(), "alice 0");
    site.pass(RENEWAL, &browser).await;
    assert_eq!(set_cookies(&ask(&browser).await).len(), 1, "its id is renewed");
    site.sessions.destroy(&browser.id().unwrap()).await.unwrap();
    let response = ask(&browser).await;
    assert!(response.status() == 401 && is_removal(&response));
}

#[tokio::test]
async fn a_client_with_a_header_gets_no_cookie() {
    const NAME: HeaderName = HeaderName::from_static("x-session");
    let site = Site::with(|middleware| middleware.header(NAME));
    let response = site.ask_with("/start", NAME, "").await;
    let control = r#"private, no-cache="x-session""#;
    assert_eq!(header(&response, CACHE_CONTROL), Some(control));
    assert_eq!(header(&response, SET_COOKIE), None);
    let anonymous = header(&response, NAME).unwrap().to_owned();
    assert!(response.headers()[NAME].is_sensitive());

    let response = site.ask_with("/edit", NAME, &anonymous).await;
    assert_eq!((header(&response, NAME), header(&response, SET_COOKIE)), (None, None));
    let varies = response.headers().get_all(VARY).iter().collect::<Vec<_>>();
    assert_eq!(varies, ["x-session", "cookie"]);
    let response = site.ask_with("/login", NAME, &anonymous).await;
    let signed_in = header(&response, NAME).unwrap().to_owned();
    assert_ne!(signed_in, anonymous);
    let response = site.ask_with("/logout", NAME, &signed_in).await;
    assert_eq!((header(&response, NAME), header(&response, SET_COOKIE)), (None, None));
    assert!(site.sessions.load(&signed_in.parse().unwrap()).await.unwrap().is_none());

    // Others have cookies, on the same route.
    let mut browser = Browser::default();
    browser.go(&site, "/start").await;
    assert!(site.session(&browser).await.is_some());
}
