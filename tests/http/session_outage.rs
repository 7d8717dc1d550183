//! A store that does not answer, answers too late, or has what this build cannot read: no session
//! is lost, invented or overwritten, and no cookie is set or removed.

use std::num::NonZeroUsize;

use poem::Response;
use poem::http::header::RETRY_AFTER;
use steadfast::backend::{Backend as _, Bytes, Error, ErrorKind, Namespace, ScanRequest, Write};
use steadfast::http::Problem;
use steadfast::session::SessionError;

use crate::fault::Fault;
use crate::site::{Browser, Site, header, set_cookies};

async fn visitor(site: &Site) -> Browser {
    let mut browser = Browser::default();
    browser.go(site, "/start/edit").await;
    browser
}

async fn assert_problem(response: Response, status: u16, kind: &str) {
    assert_eq!(response.status(), status);
    assert!(set_cookies(&response).is_empty());
    assert_eq!(header(&response, RETRY_AFTER).is_some(), status == 503);
    let body = response.into_body().into_string().await.unwrap();
    assert!(body.contains(&format!("urn:steadfast:problem:{kind}")), "{body}");
    assert!(!body.contains("key"), "the request has none: {body}");
}

/// The blank session that overwrites the real one.
#[tokio::test]
async fn a_read_that_fails_is_503_and_overwrites_nothing() {
    for path in ["/get", "/start", "/edit", "/update", "/login", "/rotate"] {
        let site = Site::new();
        let mut browser = visitor(&site).await;
        site.faulty.fail_next(&[Fault::Cut]);
        assert_problem(browser.go(&site, path).await, 503, "store-unavailable").await;
        assert_eq!(site.counts(&browser).await, Some((0, 1)), "{path}");
    }
}

#[tokio::test]
async fn a_route_without_the_session_does_not_notice_an_outage() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    site.faulty.fail_next(&[Fault::Cut]);
    assert_eq!(browser.go(&site, "/").await.status(), 200);
}

#[tokio::test]
async fn a_commit_that_fails_is_503_in_the_place_of_the_answer() {
    for (path, passing) in [("/edit", 1), ("/edit/rotate", 1), ("/edit/rotate", 2), ("/login", 2)] {
        let site = Site::new();
        let mut browser = visitor(&site).await;
        site.faulty.fail_after(passing, Fault::Cut);
        assert_problem(browser.go(&site, path).await, 503, "store-unavailable").await;
        assert_eq!(site.counts(&browser).await, Some((0, 1)), "{path} after {passing}");
    }
    for path in ["/start", "/login"] {
        let site = Site::new();
        site.faulty.fail_next(&[Fault::Cut]);
        let response = Browser::default().go(&site, path).await;
        assert_problem(response, 503, "store-unavailable").await;
    }
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_counts_once() {
    for path in ["/edit", "/update"] {
        let site = Site::new();
        let mut browser = visitor(&site).await;
        site.faulty.fail_after(1, Fault::ReplyLost);
        assert_eq!(browser.go(&site, path).await.status(), 200);
        let (updates, edits) = site.counts(&browser).await.unwrap();
        assert_eq!(i64::from(updates) + edits, 2, "{path}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let (namespace, limit) = (Namespace::new("app").unwrap(), NonZeroUsize::new(10).unwrap());
    let request = ScanRequest { namespace, after: None, limit };
    let page = site.faulty.scan(request).await.unwrap();
    let [key] = &page.keys[..] else { panic!("{:?}", page.keys) };
    let mut bytes = site.faulty.get(key).await.unwrap().unwrap().value.to_vec();
    bytes[33] ^= 0x40;
    let damaged = Bytes::from(bytes);
    let put = Write::put(key.clone(), damaged.clone());
    assert!(site.store.write(&put).await.unwrap().is_applied());
    for path in ["/get", "/start", "/edit", "/update", "/login", "/rotate", "/logout"] {
        assert_problem(browser.go(&site, path).await, 503, "record-unreadable").await;
    }
    assert_eq!(site.faulty.get(key).await.unwrap().unwrap().value, damaged);
}

#[tokio::test]
async fn a_session_that_is_too_large_is_413_and_stays_as_it_was() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    assert_problem(browser.go(&site, "/edit/fill").await, 413, "session-too-large").await;
    assert_problem(browser.go(&site, "/login/fill").await, 413, "session-too-large").await;
    assert_eq!(site.counts(&browser).await, Some((0, 1)));
    let response = Browser::default().go(&site, "/start/fill").await;
    assert_problem(response, 413, "session-too-large").await;
}

#[tokio::test]
async fn an_expectation_that_fails_at_the_commit_is_409() {
    let site = Site::new();
    let browser = visitor(&site).await;
    let slow = tokio::spawn({
        let (site, mut browser) = (site.clone(), browser.clone());
        async move { browser.go(&site, "/edit/once/wait").await }
    });
    site.gate.wait().await;
    assert_eq!(browser.clone().go(&site, "/once").await.status(), 200);
    site.gate.wait().await;
    assert_problem(slow.await.unwrap(), 409, "session-changed").await;
    assert_eq!(site.counts(&browser).await, Some((0, 1)), "none of it was done");
}

#[test]
fn a_contended_session_is_409() {
    let error = SessionError::Store(Error::new(ErrorKind::Contended, "too many"));
    let response = poem::IntoResponse::into_response(Problem::from(error));
    assert_eq!(response.status(), 409);
    assert!(response.headers().contains_key(RETRY_AFTER));
}
