//! Cookies as clients really send them: in quotes, several of one name, or with a name that only
//! looks like ours.

use poem::http::header::COOKIE;
use poem::http::{HeaderMap, HeaderValue};
use poem::{EndpointExt as _, Request};
use steadfast::http::{CookieAuth, LiveSession, SessionCookie};
use steadfast::session::SessionId;

use crate::site::{Browser, Site, header, is_removal, set_cookies};
use crate::{call, text};

/// All that Unicode calls white space.
const WHITE_SPACE: [char; 25] = [
    '\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{85}', '\u{a0}', '\u{1680}', '\u{2000}',
    '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}', '\u{2008}',
    '\u{2009}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}',
];

fn id(letter: &str) -> String {
    letter.repeat(42) + "A"
}

fn read(cookie: &[u8]) -> Option<SessionId> {
    let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(cookie).ok()?)]);
    SessionCookie::new().read(&headers)
}

/// A page of a sibling host may set a cookie with such a name: the browser sees no `__Host-`.
#[test]
fn a_name_after_other_white_space_than_space_and_tab_is_another_name() {
    let (mallory, alice) = (id("M"), id("B"));
    let found = |letter: &str| Some(id(letter).parse::<SessionId>().unwrap());
    assert!(WHITE_SPACE.iter().all(|space| space.is_whitespace()));
    for space in WHITE_SPACE {
        let allowed = [' ', '\t'].contains(&space);
        for planted in [
            format!("{space}__Host-sid={mallory}"),
            format!("__Host-sid{space}={mallory}"),
            format!("__Host-sid={space}{mallory}"),
            format!("__Host-sid={mallory}{space}"),
            format!(" \t{space} __Host-sid={mallory}"),
        ] {
            let both = format!("{planted}; __Host-sid={alice}");
            if HeaderValue::from_bytes(both.as_bytes()).is_err() {
                assert!(space.is_ascii_control(), "{space:?} does not reach us");
                continue;
            }
            let expected = found(if allowed { "M" } else { "B" });
            assert_eq!(read(both.as_bytes()), expected, "{planted:?}");
            // As a byte of another encoding, too.
            if let Ok(byte) = u8::try_from(u32::from(space)) {
                let bytes = [&[byte][..], both.trim_start_matches(space).as_bytes()].concat();
                assert!(
                    read(&bytes)
                        .is_some_and(|id| id == found("B").unwrap() || allowed || byte < 128)
                );
            }
        }
    }
}

/// `java.net.CookieManager` sends this for a cookie that it takes for one of version 1.
#[tokio::test]
async fn a_value_in_quotes_is_the_same_value() {
    let site = Site::new();
    let mut browser = Browser::default();
    browser.go(&site, "/start").await;
    let id = browser.id().unwrap().expose();
    let java = format!("$Version=\"1\"; __Host-sid=\"{id}\";$Path=\"/\";$Domain=\"shop.example\"");
    assert_eq!(read(java.as_bytes()), browser.id());
    let response = site.ask("/edit", &java).await;
    assert!(set_cookies(&response).is_empty());
    assert_eq!(site.counts(&browser).await, Some((0, 1)));
    for half in [format!("__Host-sid=\"{id}"), format!("__Host-sid={id}\""), "__Host-sid=\"".into()]
    {
        assert_eq!(read(half.as_bytes()), None, "{half}");
    }
}

/// A browser sends cookies of one name for several paths and domains, older ones first.
#[tokio::test]
async fn a_dead_cookie_before_a_live_one_locks_nobody_out() {
    let site = Site::new();
    let (mut dead, mut live) = (Browser::default(), Browser::default());
    for browser in [&mut dead, &mut live] {
        browser.go(&site, "/login").await;
    }
    site.sessions.destroy(&dead.id().unwrap()).await.unwrap();
    let (dead_pair, live_pair) = (dead.cookie.unwrap(), live.cookie.clone().unwrap());
    let both = format!("{dead_pair}; {live_pair}");
    site.faulty.trips();
    let response = site.ask("/edit", &both).await;
    assert_eq!((response.status().as_u16(), site.faulty.trips()), (200, 3), "one trip more");
    assert!(set_cookies(&response).is_empty(), "a removal would delete the live one");
    assert_eq!(site.counts(&live).await, Some((0, 1)));

    let mandatory = text_of_owner().with(LiveSession(site.sessions.clone()));
    let mandatory = mandatory.with(CookieAuth::default());
    let response = call(&mandatory, Request::builder().header(COOKIE, &both).finish()).await;
    assert_eq!(text(response).await, live.id().unwrap().expose());

    // A log-out ends the live one; when all are dead, the client is told.
    assert!(is_removal(&site.ask("/logout", &both).await));
    assert!(site.session(&live).await.is_none());
    assert!(is_removal(&site.ask("/get", &both).await));
}

/// Otherwise the next request would go on with the other one.
#[tokio::test]
async fn who_leaves_with_two_live_cookies_has_left_both() {
    for leave in ["/logout", "/get/logout", "/bob"] {
        let site = Site::new();
        let (mut one, mut other) = (Browser::default(), Browser::default());
        for browser in [&mut one, &mut other] {
            browser.go(&site, "/login").await;
        }
        let both = [one.cookie.clone().unwrap(), other.cookie.clone().unwrap()].join("; ");
        assert_eq!(site.ask(leave, &both).await.status(), 200, "{leave}");
        assert!(site.session(&one).await.is_none(), "{leave}");
        assert!(site.session(&other).await.is_none(), "{leave}");
    }
}

/// The id that counts.
fn text_of_owner() -> impl poem::Endpoint {
    poem::endpoint::make_sync(|request| request.extensions().get::<SessionId>().unwrap().expose())
}

#[tokio::test]
async fn the_ids_that_are_looked_up_are_bounded() {
    let site = Site::new();
    let ids = "BCDEFGHIJKLMNOPQRSTUVWXYZ".chars().map(|letter| id(&letter.to_string()));
    let many: Vec<_> = ids.map(|id| format!("__Host-sid={id}")).collect();
    assert!(is_removal(&site.ask("/get", &many.join("; ")).await));
    assert_eq!(site.faulty.trips(), 8);
    assert_eq!(header(&site.ask("/", &many.join("; ")).await, poem::http::header::VARY), None);
}
