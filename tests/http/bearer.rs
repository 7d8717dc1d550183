//! Bearer tokens: one opaque 401 for whatever is wrong with them, and 503 while nobody knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::make_sync;
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use steadfast::http::{BearerAuth, SameOrigin, SessionCookie};
use steadfast::token::{Claims, Key, Revocations, Verified};
use steadfast::{Principal, Sessions, Tokens};

use crate::fault::{Fault, Faulty};
use crate::{Visit, call, store, text};

struct Home {
    faulty: Arc<Faulty>,
    tokens: Tokens,
    revocations: Revocations,
    /// A token of alice's, with a session.
    token: String,
}

async fn home() -> Home {
    let (faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let session = sessions.sign_in(&alice, "a test", Visit(0)).await.unwrap();
    let key = Key::hs256(&[7; 32]).unwrap();
    let tokens = Tokens::builder("shop", key).any_audience().build().unwrap();
    let claims = Claims::new("alice").session(session.id.expose());
    let token = tokens.issue(&claims, Duration::from_secs(60)).unwrap();
    let revocations = Revocations::best_effort(&store, &tokens);
    faulty.trips();
    Home { faulty, tokens, revocations, token }
}

fn endpoint(auth: BearerAuth) -> impl Endpoint {
    make_sync(|request| request.extensions().get::<Principal>().unwrap().name().to_owned())
        .with(auth)
}

async fn send(endpoint: &impl Endpoint, authorization: &str) -> Response {
    call(endpoint, Request::builder().header(header::AUTHORIZATION, authorization).finish()).await
}

#[tokio::test]
async fn a_good_token_passes_without_a_look_up() {
    let home = home().await;
    let endpoint = endpoint(BearerAuth::new(home.tokens.clone()));
    let mut answer = send(&endpoint, &format!("bearer {}", home.token)).await;
    assert_eq!(answer.take_body().into_string().await.unwrap(), "alice");
    assert_eq!(home.faulty.trips(), 0);
}

/// RFC 9110, 11.6.2: `1*SP`.
#[tokio::test]
async fn several_spaces_after_the_scheme_are_one() {
    let home = home().await;
    let endpoint = endpoint(BearerAuth::new(home.tokens.clone()));
    for (spaces, status) in [(" ", 200), ("  ", 200), ("     ", 200), ("\t", 401), (" \t", 401)] {
        let answer = send(&endpoint, &format!("Bearer{spaces}{}", home.token)).await;
        assert_eq!(answer.status(), status, "{spaces:?}");
    }
}

/// Scopes, for instance.
#[tokio::test]
async fn a_handler_reads_what_else_the_token_says() {
    let home = home().await;
    let id = home.tokens.verify(&home.token).unwrap().session.unwrap();
    let claims = Claims::new("alice").session(id).extra(&BTreeMap::from([("scope", "pay")]));
    let token = home.tokens.issue(&claims.unwrap(), Duration::from_secs(60)).unwrap();
    let endpoint = make_sync(|request| {
        let verified = request.extensions().get::<Verified>().unwrap();
        verified.extra::<BTreeMap<String, serde_json::Value>>().unwrap()["scope"].to_string()
    });
    let endpoint = endpoint.with(BearerAuth::new(home.tokens));
    assert_eq!(text(send(&endpoint, &format!("Bearer {token}")).await).await, "\"pay\"");
}

/// The browser may be signed in with another session than the token's.
#[tokio::test]
async fn an_answer_to_a_token_removes_the_cookie_of_no_other_session() {
    let home = home().await;
    let auth = BearerAuth::new(home.tokens.clone());
    let leave = make_sync(|_request| {
        let removal = SessionCookie::new().removal();
        let response = Response::builder().header(header::SET_COOKIE, removal);
        response.header(header::SET_COOKIE, "theme=; Max-Age=0").finish()
    });
    let leave = leave.with(auth.or_cookie(SessionCookie::new(), SameOrigin::new()));
    let own = home.tokens.verify(&home.token).unwrap().session.unwrap();
    let other = format!("{}A", "B".repeat(42));
    let both = format!("__Host-sid={other}; __Host-sid={own}");
    let [own, other] = [own, other].map(|id| format!("__Host-sid={id}"));
    for (by_token, cookie, removed) in [
        (true, own.as_str(), 2),
        (true, &both, 2),
        (true, &other, 1),
        (true, "theme=dark", 1),
        (false, &other, 2),
    ] {
        let mut request = Request::builder().header(header::COOKIE, cookie);
        if by_token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", home.token));
        }
        let answer = call(&leave, request.finish()).await;
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter().count();
        assert_eq!((answer.status().as_u16(), cookies), (200, removed), "{by_token}, {cookie}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_looks_the_same() {
    let home = home().await;
    let auth = BearerAuth::new(home.tokens.clone()).revocations(home.revocations.clone());
    let endpoint = endpoint(auth);
    assert_eq!(send(&endpoint, &format!("Bearer {}", home.token)).await.status(), StatusCode::OK);
    home.revocations.revoke(&home.tokens.verify(&home.token).unwrap()).await.unwrap();

    let sessionless = home.tokens.issue(&Claims::new("alice"), Duration::from_secs(60)).unwrap();
    let changed = format!("{}A", home.token);
    let mut answers = Vec::new();
    for token in [home.token.as_str(), &sessionless, &changed, "x", &"x".repeat(4_000)] {
        let mut answer = send(&endpoint, &format!("Bearer {token}")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = answer.header(header::WWW_AUTHENTICATE).unwrap().to_owned();
        assert_eq!(challenge, r#"Bearer error="invalid_token""#);
        answers.push(answer.take_body().into_string().await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn while_the_store_does_not_answer_nobody_is_let_in() {
    let home = home().await;
    let auth = BearerAuth::new(home.tokens.clone()).revocations(home.revocations.clone());
    let endpoint = endpoint(auth);
    home.faulty.fail_next(&[Fault::Cut]);
    let answer = send(&endpoint, &format!("Bearer {}", home.token)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header(header::RETRY_AFTER).is_some());
    assert_eq!(send(&endpoint, &format!("Bearer {}", home.token)).await.status(), StatusCode::OK);
}
