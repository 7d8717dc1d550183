//! New ids: when a session is due for one, when its holder may do more, and what happens to
//! requests at the same time, lost answers and failures.

use poem::http::StatusCode;
use steadfast::session::Mode;

use crate::site::{Browser, GRACE, RENEWAL, Site, set_cookies};

/// A browser whose session is due for a new id.
async fn due(site: &Site, login: bool) -> Browser {
    let mut browser = Browser::default();
    browser.go(site, if login { "/login" } else { "/start" }).await;
    site.pass(RENEWAL, &browser).await;
    site.faulty.trips();
    browser
}

#[tokio::test]
async fn an_id_that_is_due_is_renewed_by_use() {
    for login in [false, true] {
        let site = Site::new();
        let mut browser = due(&site, login).await;
        let old = browser.clone();
        assert!(set_cookies(&browser.go(&site, "/").await).is_empty(), "unused");
        let response = browser.go(&site, "/edit").await;
        assert_eq!(site.faulty.trips(), 3);
        assert_eq!(set_cookies(&response).len(), 1);
        assert_ne!(browser.cookie, old.cookie);
        assert_eq!(site.counts(&browser).await, Some((0, 1)));
        assert!(set_cookies(&browser.go(&site, "/get").await).is_empty(), "once an hour");
    }
}

/// The cookie carries the absolute lifetime, and a new id does not extend it.
#[tokio::test]
async fn a_new_id_does_not_lengthen_the_session() {
    let site = Site::new();
    let mut browser = due(&site, false).await;
    let response = browser.go(&site, "/get").await;
    assert!(set_cookies(&response)[0].contains("; Max-Age=39600;"), "11 of 12 hours");
}

/// The answer with the new id was lost: the browser still has the old one.
#[tokio::test]
async fn a_late_request_learns_the_new_id() {
    let site = Site::new();
    let mut browser = due(&site, true).await;
    let mut lost = browser.clone();
    browser.go(&site, "/get").await;
    site.clock.advance(GRACE / 10 * 9);
    let response = lost.go(&site, "/edit").await;
    assert_eq!((response.status(), set_cookies(&response).len()), (StatusCode::OK, 1));
    assert_eq!(lost.cookie, browser.cookie);
    assert_eq!(site.counts(&browser).await, Some((0, 1)));
}

/// After the grace, the browser is not told to forget a cookie that may be the new one.
#[tokio::test]
async fn an_id_that_was_rotated_out_is_no_reason_to_remove_a_cookie() {
    let site = Site::new();
    let mut browser = due(&site, true).await;
    let renewed = browser.clone();
    browser.go(&site, "/get").await;
    let rotated = browser.clone();
    browser.go(&site, "/rotate").await;
    site.clock.advance(GRACE);
    for mut old in [renewed, rotated] {
        for (path, status) in [("/get", 200), ("/edit", 401), ("/start", 401)] {
            let response = old.go(&site, path).await;
            assert_eq!(response.status(), status, "{path}");
            assert!(set_cookies(&response).is_empty(), "{path}");
        }
    }
    assert_eq!(site.counts(&browser).await, Some((0, 0)));
}

#[tokio::test]
async fn a_failed_request_changes_neither_session_nor_id() {
    for step in ["", "rotate/", "login/"] {
        for ending in ["500", "503", "fail"] {
            let site = Site::new();
            let mut browser = due(&site, false).await;
            let before = browser.cookie.clone();
            let response = browser.go(&site, &format!("/edit/{step}{ending}")).await;
            assert_ne!(response.status(), 200);
            assert!(set_cookies(&response).is_empty());
            assert_eq!(browser.cookie, before);
            assert_eq!(site.counts(&browser).await, Some((0, 0)));
            // It can be done again, and then it is done whole.
            browser.go(&site, &format!("/edit/{step}")).await;
            assert_ne!(browser.cookie, before);
            assert_eq!(site.counts(&browser).await, Some((0, 1)));
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_changes_neither_session_nor_id() {
    let site = Site::new();
    let browser = due(&site, false).await;
    let response = site.ask("/edit/rotate/panic", browser.cookie.as_deref().unwrap()).await;
    assert_eq!(response.status(), 500);
    assert!(set_cookies(&response).is_empty());
    assert_eq!(site.counts(&browser).await, Some((0, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_get_one_new_id() {
    for login in [false, true] {
        let site = Site::new();
        let mut browser = due(&site, login).await;
        let requests = (0..8).map(|_request| {
            let (site, mut browser) = (site.clone(), browser.clone());
            tokio::spawn(async move {
                let response = browser.go(&site, "/edit").await;
                assert_eq!(response.status(), 200);
                browser
            })
        });
        let mut ids = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            ids.push(request.await.unwrap().cookie);
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "the session was split");
        browser.cookie = ids.remove(0);
        assert_eq!(site.counts(&browser).await, Some((0, 8)));
    }
}

#[tokio::test]
async fn a_planted_id_does_not_reach_the_signed_in_session() {
    let site = Site::new();
    let mut planted = Browser::default();
    planted.go(&site, "/start/edit").await;
    let mut victim = planted.clone();
    victim.go(&site, "/login").await;
    assert_eq!(site.counts(&victim).await, Some((0, 1)), "what the session held goes on");
    assert!(site.session(&planted).await.is_none());
    let response = planted.go(&site, "/get").await;
    assert!(set_cookies(&response).is_empty());
}

/// The second one goes on with what it brought itself.
#[tokio::test]
async fn two_sign_ins_from_one_id_get_a_session_each() {
    let site = Site::new();
    let mut first = Browser::default();
    first.go(&site, "/start/edit").await;
    let (mut second, mut third) = (first.clone(), first.clone());
    let slow = tokio::spawn({
        let site = site.clone();
        async move {
            second.go(&site, "/edit/login/wait").await;
            second
        }
    });
    site.gate.wait().await;
    first.go(&site, "/login").await;
    site.gate.wait().await;
    let second = slow.await.unwrap();
    assert_ne!(first.cookie, second.cookie);
    assert_eq!(site.counts(&first).await, Some((0, 1)));
    assert_eq!(site.counts(&second).await, Some((0, 1)));
    // So does one that finds the id rotated out from the start.
    let response = third.go(&site, "/login").await;
    assert_eq!((response.status(), set_cookies(&response).len()), (StatusCode::OK, 1));
    assert_eq!(site.counts(&third).await, Some((0, 0)));
}

#[tokio::test]
async fn polling_neither_renews_the_id_nor_keeps_the_session_alive() {
    for mode in [Mode::NoTouch, Mode::ReadOnly] {
        let site = Site::with(|middleware| middleware.mode(mode));
        let session = site.sessions.create(crate::Visit(0)).await.unwrap();
        let cookie = format!("__Host-sid={}", session.id.expose());
        let mut browser = Browser { cookie: Some(cookie) };
        site.pass(RENEWAL, &browser).await;
        assert!(set_cookies(&browser.go(&site, "/get").await).is_empty());
        site.clock.advance(crate::site::IDLE * 3 / 4);
        browser.go(&site, "/get").await;
        site.clock.advance(crate::site::IDLE * 3 / 4);
        assert_eq!(site.session(&browser).await.is_some(), mode == Mode::ReadOnly);
    }
}

/// The next request tries again.
#[tokio::test]
async fn a_renewal_that_fails_fails_no_request() {
    let site = Site::new();
    let mut browser = due(&site, true).await;
    site.faulty.fail_after(1, crate::fault::Fault::Cut);
    let response = browser.go(&site, "/get").await;
    assert_eq!((response.status(), set_cookies(&response).len()), (StatusCode::OK, 0));
    assert_eq!(set_cookies(&browser.go(&site, "/get").await).len(), 1);
}

/// The reply of the rotation is lost: it is asked for, and the new id handed over.
#[tokio::test]
async fn a_lost_reply_of_the_store_loses_no_id() {
    for path in ["/edit/rotate", "/edit/login", "/edit"] {
        let site = Site::new();
        let mut browser = due(&site, false).await;
        site.faulty.fail_after(2, crate::fault::Fault::ReplyLost);
        let response = browser.go(&site, path).await;
        assert_eq!((response.status(), set_cookies(&response).len()), (StatusCode::OK, 1));
        assert_eq!(site.counts(&browser).await, Some((0, 1)), "{path}");
    }
}
