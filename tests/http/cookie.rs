//! The rules that browsers have for cookies (draft-ietf-httpbis-rfc6265bis).

use std::time::Duration;

use proptest::prelude::*;
use steadfast::backend::{Clock as _, ErrorKind, SystemClock};
use steadfast::http::{SameSite, SessionCookie};
use steadfast::session::{Lifetime, Mode, Outcome, Session, SessionHandle};
use steadfast::{Principal, Sessions};

use crate::{Visit, store};

async fn handed_over(cookie: &SessionCookie, absolute: Duration) -> String {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).absolute(absolute).build().unwrap();
    let session = sessions.create(Visit(0)).await.unwrap();
    let begun_s = u128::from(SystemClock::start().now_us() / 1_000_000);
    let value = cookie.hand_over(&session).unwrap();
    assert!(value.is_sensitive());
    let handed = value.to_str().unwrap().replace(&session.id.expose(), "ID");
    let Some((rest, expires)) = handed.split_once("; Expires=") else { return handed };
    // The same moment as that of `Max-Age`, give or take how long this took.
    let expires = httpdate::parse_http_date(expires).unwrap();
    let expires_s = expires.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() / 1_000;
    let (_, max_age) = rest.split_once("Max-Age=").unwrap();
    let max_age_s: u128 = max_age.split(';').next().unwrap().parse().unwrap();
    let now_s = u128::from(SystemClock::start().now_us() / 1_000_000);
    assert!(expires_s <= now_s + max_age_s && begun_s + max_age_s <= expires_s, "{handed}");
    rest.to_owned()
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

/// "Remember me", or not.
#[tokio::test]
async fn whether_a_cookie_outlives_the_browser_is_chosen_for_each_session() {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).absolute(HOUR * 24).build().unwrap();
    let cookie = SessionCookie::new();
    let handed = |session: &Session<Visit>| {
        let handed = cookie.hand_over(session).unwrap();
        handed.to_str().unwrap().replace(&session.id.expose(), "ID")
    };
    let forgotten = Lifetime::new().absolute(HOUR).until_closed();
    for (lifetime, expected) in [
        (Lifetime::new().idle(HOUR * 9), "__Host-sid=ID; Max-Age=86400; Path=/; "),
        (Lifetime::new().absolute(HOUR), "__Host-sid=ID; Max-Age=3600; Path=/; "),
        (forgotten, "__Host-sid=ID; Path=/; "),
    ] {
        let alice = Principal::new("alice").unwrap();
        let request = SessionHandle::new(&sessions, None, Mode::Normal);
        request.start(Visit(0)).await.unwrap();
        request.sign_in_for(&alice, "laptop", Visit(0), lifetime).await.unwrap();
        let Outcome::HandOver(session) = request.commit().await.unwrap() else { panic!() };
        assert!(handed(&session).starts_with(expected), "{}", handed(&session));
        let request = SessionHandle::new(&sessions, Some(session.id.clone()), Mode::Normal);
        request.rotate().await.unwrap();
        let Outcome::HandOver(session) = request.commit().await.unwrap() else { panic!() };
        let pair = handed(&session);
        assert_eq!(pair.contains("Max-Age"), expected.contains("Max-Age"), "{pair}");
    }
    // An anonymous session that is signed in, and one that only begins.
    let id = sessions.create(Visit(0)).await.unwrap().id;
    let request = SessionHandle::new(&sessions, Some(id), Mode::Normal);
    let bob = Principal::new("bob").unwrap();
    request.sign_in_for(&bob, "laptop", Visit(0), forgotten).await.unwrap();
    let Outcome::HandOver(session) = request.commit().await.unwrap() else { panic!() };
    assert_eq!((session.absolute_left, session.until_closed), (HOUR, true));
    let request = SessionHandle::new(&sessions, None, Mode::Normal);
    request.start_for(Visit(0), forgotten).await.unwrap();
    assert!(request.get().await.unwrap().unwrap().until_closed);
    let Outcome::HandOver(session) = request.commit().await.unwrap() else { panic!() };
    assert_eq!((session.absolute_left, session.until_closed), (HOUR, true));
    let refused = SessionHandle::new(&sessions, None, Mode::Normal);
    let long = Lifetime::new().absolute(HOUR * 25);
    assert!(refused.sign_in_for(&bob, "laptop", Visit(0), long).await.is_err());
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
        (builder().name("sid").domain("."), "a dot"),
        (builder().name("sid").domain(".."), "two dots"),
        (builder().name("sid").domain("-"), "a hyphen"),
        (builder().name("sid").domain("-a.b"), "a hyphen before a label"),
        (builder().name("sid").domain("a-.b"), "a hyphen after a label"),
        (builder().name("sid").domain("shop.test."), "a dot at the end"),
        (builder().name("sid").domain("a..b"), "an empty label"),
        (builder().name("sid").domain("..a.b"), "two dots before it"),
        (builder().name("sid").domain("a b.c"), "a domain with a space"),
        (builder().name("sid").domain("shop.test:80"), "a domain with a port"),
        (builder().name("sid").domain("bücher.test"), "a domain that is not encoded"),
        (builder().name("sid").domain("a".repeat(64)), "a long label"),
        (builder().name("sid").domain("a.".repeat(127) + "b"), "a long domain"),
        (builder().name("sid").domain("a.".repeat(512)), "a very long domain"),
        (builder().name("sid").path(""), "an empty path"),
        (builder().name("sid").path("/a\"b"), "a path with a quote"),
        (builder().name("sid").path("/a\\b"), "a path with a backslash"),
        (builder().name("sid").path("/a?b"), "a path with a query"),
        (builder().name("sid").path("/a#b"), "a path with a fragment"),
        (builder().name("sid").path("/a b"), "a path with a space"),
        (builder().name("sid").path("/a\u{7f}"), "a path with a control character"),
        (builder().name("sid").path("/é"), "a path that is not encoded"),
        (builder().name("sid").path("/a%4"), "half an encoded character"),
        (builder().name("sid").path("/a/../b"), "a path with dots"),
        (builder().name("sid").path("/a/%2E"), "a path with an encoded dot"),
        (builder().name("__host-Http-sid").path("/app"), "a prefix in small letters"),
        (builder().name("\u{2000}sid"), "a name with white space"),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::Invalid, "{what}");
    }
    for allowed in [
        builder().name("__Secure-sid").domain("example.com").path("/app"),
        builder().name("sid").path("/app"),
        builder().name("sid").path("/a/b-._~!$&'()*+,=:@/%2F%c3/"),
        builder().name("sid").domain("localhost"),
        builder().name("sid").domain(".example.com"),
        builder().name("sid").domain("127.0.0.1"),
        builder().name("sid").domain("a.".repeat(126) + "b"),
        builder().name("__Http-sid").domain("1-a.xn--bcher-kva.Test"),
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

/// Text out of what can go wrong.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/.;%=\\-_ ]{0,12}", "/[a-z%0-9./;,\\?\"]{0,12}", "(\\PC|[\\x00-\\x7f]){0,8}"]
}

proptest! {
    /// What is built is one cookie with exactly these attributes, to a parser that is not ours.
    #[test]
    fn what_is_built_is_read_as_it_was_meant(name in odd(), path in odd(), domain in odd()) {
        let builder = SessionCookie::builder().name(&*name).path(&*path).domain(&*domain);
        let Ok(built) = builder.build() else { return Ok(()) };
        let removal = built.removal().to_str().unwrap().to_owned();
        let parsed = cookie::Cookie::parse(removal).unwrap();
        prop_assert_eq!(parsed.name(), &*name);
        prop_assert_eq!((parsed.value(), parsed.path()), ("", Some(&*path)));
        let domain = domain.strip_prefix('.').unwrap_or(&domain);
        prop_assert_eq!(parsed.domain(), Some(domain));
        prop_assert_eq!((parsed.secure(), parsed.http_only()), (Some(true), Some(true)));
    }
}
