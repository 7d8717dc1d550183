//! Sessions that come in cookies.

use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{EndpointExt, Request, handler};
use steadfast::http::{CookieAuth, LiveSession, SessionCookie};
use steadfast::session::Session;
use steadfast::{Principal, Sessions};

use crate::fault::Fault;
use crate::{Visit, call, store};

#[handler]
fn pages(Data(session): Data<&Arc<Session<Visit>>>) -> String {
    format!("{} {}", session.principal.as_deref().unwrap_or("nobody"), session.state.0)
}

#[tokio::test]
async fn a_cookie_brings_its_session_and_nothing_else_does() {
    let (faulty, store, _clock) = store();
    let sessions: Sessions<Visit> = Sessions::builder(&store).build().unwrap();
    let cookie = SessionCookie::new();
    let app = pages.with(LiveSession(sessions.clone())).with(CookieAuth(cookie.clone()));
    let with = |value: &str| Request::builder().header(header::COOKIE, value).finish();

    let anonymous = sessions.create(Visit(1)).await.unwrap();
    let alice = Principal::new("alice").unwrap();
    let signed_in = sessions.sign_in(&alice, "laptop", Visit(2)).await.unwrap();
    for (session, body) in [(&anonymous, "nobody 1"), (&signed_in, "alice 2")] {
        let handed = cookie.hand_over(session).unwrap();
        assert!(handed.is_sensitive());
        let pair = handed.to_str().unwrap().split(';').next().unwrap();
        let response = call(&app, with(&format!("a=b; {pair}; c=d"))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().into_string().await.unwrap(), body);
    }

    let id = anonymous.id.expose();
    for (value, trips) in [
        ("", 0),
        ("sid=x", 0),
        (&format!("sid={id}"), 0),
        (&format!("__Host-sid={id}x"), 0),
        (&format!("__Host-sid={}", "A".repeat(43)), 1),
    ] {
        faulty.trips();
        let response = call(&app, with(value)).await;
        assert_eq!((response.status(), faulty.trips()), (StatusCode::UNAUTHORIZED, trips));
    }
    // An outage logs nobody out.
    faulty.fail_next(&[Fault::Cut]);
    let response = call(&app, with(&format!("__Host-sid={id}"))).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert!(!response.headers().contains_key(header::SET_COOKIE));
}
