//! How sessions end while requests run, and what becomes of those requests.

use std::time::Duration;

use poem::Response;
use poem::http::StatusCode;

use crate::fault::Fault;
use crate::site::{Browser, Site, alice, is_removal, set_cookies};

async fn signed_in(site: &Site) -> Browser {
    let mut browser = Browser::default();
    browser.go(site, "/login").await;
    browser
}

#[tokio::test]
async fn a_log_out_is_done_at_the_call_whatever_the_answer() {
    for path in ["/logout", "/get/logout", "/edit/logout/500", "/logout/503", "/logout/fail"] {
        let site = Site::new();
        let mut browser = signed_in(&site).await;
        let before = browser.clone();
        assert!(is_removal(&browser.go(&site, path).await), "{path}");
        assert!(browser.cookie.is_none(), "{path}");
        assert!(site.session(&before).await.is_none(), "{path}");
        assert!(site.sessions.devices(&alice(), None).await.unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_not_changed() {
    for change in ["edit", "update", "rotate"] {
        let site = Site::new();
        let mut browser = signed_in(&site).await;
        let response = browser.go(&site, &format!("/edit/logout/{change}")).await;
        assert_eq!(response.status(), 401, "{change}");
        assert!(is_removal(&response), "{change}");
        assert!(site.sessions.devices(&alice(), None).await.unwrap().is_empty(), "{change}");
    }
}

#[tokio::test]
async fn a_new_session_may_begin_after_a_log_out() {
    for (change, devices) in [("start", 0), ("login", 1)] {
        let site = Site::new();
        let mut browser = signed_in(&site).await;
        let before = browser.clone();
        let response = browser.go(&site, &format!("/edit/logout/{change}")).await;
        assert_eq!(response.status(), 200, "{change}");
        assert_eq!(set_cookies(&response).len(), 1, "{change}");
        assert!(site.session(&before).await.is_none(), "{change}");
        assert_eq!(site.counts(&browser).await, Some((0, 0)), "{change}");
        assert_eq!(site.sessions.devices(&alice(), None).await.unwrap().len(), devices);
        // If the request fails, only the log-out stands.
        let path = format!("/logout/{change}/fail");
        assert!(is_removal(&browser.go(&site, &path).await), "{change}");
        assert!(site.sessions.devices(&alice(), None).await.unwrap().is_empty(), "{change}");
    }
}

#[tokio::test]
async fn a_log_out_that_is_not_confirmed_is_not_claimed() {
    let site = Site::new();
    let mut browser = signed_in(&site).await;
    site.faulty.fail_next(&[Fault::Cut]);
    let response = browser.go(&site, "/logout").await;
    assert_eq!(response.status(), 503);
    assert!(set_cookies(&response).is_empty());
    assert!(site.session(&browser).await.is_some());
}

/// A request that was slow, and whose session ended meanwhile.
async fn overtaken(site: &std::sync::Arc<Site>, path: &'static str, end: End) -> Response {
    let browser = signed_in(site).await;
    let slow = tokio::spawn({
        let (site, mut browser) = (site.clone(), browser.clone());
        async move { browser.go(&site, path).await }
    });
    site.gate.wait().await;
    match end {
        End::Expiry => site.clock.advance(Duration::from_secs(24 * 3_600)),
        End::LogOut => site.sessions.destroy(&browser.id().unwrap()).await.unwrap(),
        End::LogOutEverywhere => site.sessions.destroy_all(&alice()).await.unwrap(),
    }
    site.gate.wait().await;
    let response = slow.await.unwrap();
    assert!(site.session(&browser).await.is_none(), "it came back");
    assert!(site.sessions.devices(&alice(), None).await.unwrap().is_empty());
    response
}

#[derive(Clone, Copy, Debug)]
enum End {
    Expiry,
    LogOut,
    LogOutEverywhere,
}

/// The story of every store that upserts: the request loads, another logs out, the request saves.
#[tokio::test]
async fn a_late_change_revives_nothing_and_the_answer_passes() {
    for end in [End::Expiry, End::LogOut, End::LogOutEverywhere] {
        for path in ["/edit/wait", "/rotate/wait", "/edit/rotate/wait"] {
            let response = overtaken(&Site::new(), path, end).await;
            assert_eq!(response.status(), 200, "{path}, {end:?}");
            // Another request may have brought the browser a new one.
            assert!(set_cookies(&response).is_empty(), "{path}, {end:?}");
        }
        // One that is made at once is told.
        let response = overtaken(&Site::new(), "/get/wait/update", end).await;
        assert_eq!(response.status(), 401, "{end:?}");
        assert!(set_cookies(&response).is_empty(), "{end:?}");
    }
}

#[tokio::test]
async fn a_late_change_is_a_conflict_where_that_is_asked_for() {
    for end in [End::Expiry, End::LogOut, End::LogOutEverywhere] {
        let site = Site::with(steadfast::http::CookieSession::conflict_when_gone);
        let response = overtaken(&site, "/edit/wait", end).await;
        assert_eq!(response.status(), StatusCode::CONFLICT, "{end:?}");
        assert!(set_cookies(&response).is_empty(), "{end:?}");
        let body = response.into_body().into_string().await.unwrap();
        assert!(body.contains("urn:steadfast:problem:session-gone"), "{body}");
    }
}

#[tokio::test]
async fn a_read_that_was_overtaken_is_no_conflict() {
    let site = Site::with(steadfast::http::CookieSession::conflict_when_gone);
    let response = overtaken(&site, "/get/wait", End::LogOut).await;
    assert_eq!(response.status(), 200);
}
