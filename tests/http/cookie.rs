//! The rules that browsers have for cookies (draft-ietf-httpbis-rfc6265bis).

use std::time::Duration;

use steadfast::backend::ErrorKind;
use steadfast::http::{SameSite, SessionCookie};
use steadfast::{Principal, Sessions};

use crate::{Visit, store};

async fn handed_over(cookie: &SessionCookie, absolute: Duration) -> String {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).absolute(absolute).build().unwrap();
    let session = sessions.create(Visit(0)).await.unwrap();
    let value = cookie.hand_over(&session).unwrap();
    assert!(value.is_sensitive());
    value.to_str().unwrap().replace(&session.id.expose(), "ID")
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn the_cookie_is_host_only_secure_and_lives_as_long_as_the_session() {
    let expected = "__Host-sid=ID; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(handed_over(&SessionCookie::new(), HOUR).await, expected);
    let default = SessionCookie::builder().build().unwrap();
    assert_eq!(handed_over(&default, HOUR).await, expected);
}

#[tokio::test]
async fn a_lifetime_is_capped_at_400_days_and_rounded_up() {
    let handed = handed_over(&SessionCookie::new(), HOUR * 24 * 500).await;
    assert!(handed.contains("; Max-Age=34560000;"), "{handed}");
    let handed = handed_over(&SessionCookie::new(), HOUR + Duration::from_millis(1)).await;
    assert!(handed.contains("; Max-Age=3601;"), "{handed}");
}

#[tokio::test]
async fn a_cookie_until_the_browser_closes_has_no_lifetime() {
    let cookie = SessionCookie::builder().until_closed().build().unwrap();
    let handed = handed_over(&cookie, HOUR).await;
    assert_eq!(handed, "__Host-sid=ID; Path=/; Secure; HttpOnly; SameSite=Lax");
}

/// Otherwise the browser keeps the one and adds the other.
#[tokio::test]
async fn a_removal_repeats_every_attribute() {
    let every = SessionCookie::builder()
        .name("__Secure-id")
        .domain("example.com")
        .path("/app")
        .same_site(SameSite::None)
        .partitioned();
    let closed = every.clone().until_closed().build().unwrap();
    let every = every.build().unwrap();
    for cookie in [SessionCookie::new(), SessionCookie::insecure_dev(), every, closed] {
        let handed = handed_over(&cookie, HOUR).await;
        let removal = cookie.removal();
        let removal = removal.to_str().unwrap();
        let (pair, attributes) = removal.split_once("; ").unwrap();
        assert!(pair.ends_with('='), "{removal}");
        for attribute in handed.split("; ").skip(1).filter(|one| !one.starts_with("Max-Age")) {
            assert!(attributes.split("; ").any(|one| one == attribute), "{attribute}: {removal}");
        }
        let count = handed.split("; ").filter(|one| !one.starts_with("Max-Age")).count();
        assert_eq!(removal.split("; ").count(), count + 2, "{removal}");
        assert!(attributes.contains("Max-Age=0; "), "{removal}");
        assert!(attributes.contains("; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), "{removal}");
        assert_eq!(pair.trim_end_matches('='), handed.split('=').next().unwrap());
    }
}

#[test]
fn what_browsers_would_ignore_is_refused_when_it_is_built() {
    let builder = SessionCookie::builder;
    for (refused, what) in [
        (builder().domain("example.com"), "__Host- with a domain"),
        (builder().path("/app"), "__Host- with a path"),
        (builder().name("__HOST-sid").path("/app"), "the prefix in capitals"),
        (builder().name("__Host-Http-sid").domain("example.com"), "a longer prefix"),
        (builder().name(""), "no name"),
        (builder().name("a b"), "a name with a space"),
        (builder().name("a=b"), "a name with an equals sign"),
        (builder().name("a".repeat(2_000)), "a long name"),
        (builder().name("sid").domain(""), "an empty domain"),
        (builder().name("sid").domain("a.b; Secure"), "a domain with more behind it"),
        (builder().name("sid").path("app"), "a path without a slash"),
        (builder().name("sid").path("/a;b"), "a path with a semicolon"),
        (builder().name("sid").path("/a\r\nb"), "a path with a line break"),
        (builder().name("sid").path(format!("/{}", "a".repeat(1_024))), "a long path"),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::Invalid, "{what}");
    }
    for allowed in [
        builder().name("__Secure-sid").domain("example.com").path("/app"),
        builder().name("sid").path("/app"),
        builder().same_site(SameSite::None).partitioned(),
    ] {
        let removal = allowed.build().unwrap().removal();
        assert!(removal.to_str().unwrap().contains("; Secure; HttpOnly; "), "{removal:?}");
    }
}

#[tokio::test]
async fn a_longer_id_fits_too() {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).build().unwrap();
    let alice = Principal::new("alice").unwrap();
    let session = sessions.sign_in(&alice, "laptop", Visit(0)).await.unwrap();
    let name = "n".repeat(1_024);
    let cookie = SessionCookie::builder().name(&*name).build().unwrap();
    let handed = cookie.hand_over(&session).unwrap();
    let pair = handed.to_str().unwrap().split(';').next().unwrap();
    assert!(pair.len() <= 4_096, "{}", pair.len());
}
