//! The handle itself: shared by tasks, read once, dropped at any await.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast::backend::{ErrorKind, Version};
use steadfast::session::{
    Attribute, Edit, Ended, Mode, Outcome, Session, SessionError, SessionHandle,
};
use steadfast::{Principal, Sessions};

use crate::site::{Site, alice};
use crate::{Visit, store};

fn count() -> Edit {
    Edit::new().increment("edits", 1)
}

async fn with_session(site: &Site, mode: Mode) -> (Session<Visit>, SessionHandle<Visit>) {
    let session = site.sessions.create(Visit(0)).await.unwrap();
    site.faulty.trips();
    let handle = SessionHandle::new(&site.sessions, Some(session.id.clone()), mode);
    (session, handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_one_request_share_one_read_and_one_write() {
    let site = Site::new();
    let (session, handle) = with_session(&site, Mode::Normal).await;
    let tasks = (0..16).map(|_task| {
        let handle = handle.clone();
        tokio::spawn(async move {
            assert!(handle.get().await.unwrap().is_some());
            handle.edit(count()).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(site.faulty.trips(), 1);
    assert!(matches!(handle.commit().await.unwrap(), Outcome::Keep));
    assert_eq!(site.faulty.trips(), 1);
    let session = site.sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!(session.attributes.get("edits"), Some(&Attribute::from(16)));
}

/// Two requests that hold what they have read, and wait for each other: nothing is locked.
#[tokio::test]
async fn two_requests_of_one_session_do_not_wait_for_each_other() {
    let site = Site::new();
    let (session, one) = with_session(&site, Mode::Normal).await;
    let two = SessionHandle::new(&site.sessions, Some(session.id.clone()), Mode::Normal);
    let (held, also_held) = (one.get().await.unwrap(), two.get().await.unwrap());
    for handle in [&one, &two] {
        handle.edit(count()).await.unwrap();
    }
    two.update(|visit| visit.0 += 1).await.unwrap();
    one.update(|visit| visit.0 += 1).await.unwrap();
    let _kept = (two.commit().await.unwrap(), one.commit().await.unwrap());
    drop((held, also_held));
    let session = site.sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!(session.state.0, 2);
    assert_eq!(session.attributes.get("edits"), Some(&Attribute::from(2)));
}

#[tokio::test]
async fn a_request_sees_its_own_changes() {
    let site = Site::new();
    let (session, handle) = with_session(&site, Mode::Normal).await;
    let before = handle.get().await.unwrap().unwrap();
    handle.edit(count()).await.unwrap();
    assert_eq!(handle.update(|visit| std::mem::replace(&mut visit.0, 7)).await.unwrap(), 0);
    let other = Edit::new().set("other", true);
    site.sessions.edit(&session.id, &other).await.unwrap();
    handle.update(|visit| visit.0 += 1).await.unwrap();
    let after = handle.get().await.unwrap().unwrap();
    assert_eq!((before.state.0, before.attributes.len()), (0, 0), "what was lent stays");
    assert_eq!((after.state.0, after.attributes.len()), (8, 2));
    assert!(after.version > before.version);
}

#[tokio::test]
async fn an_edit_that_does_not_fit_is_told_at_the_call_and_leaves_the_others() {
    let site = Site::new();
    let (session, handle) = with_session(&site, Mode::Normal).await;
    handle.edit(count()).await.unwrap();
    let bad = Edit::new().set("theme", "dark").insert("edits", "no set");
    let error = handle.edit(bad).await.unwrap_err();
    assert!(matches!(error, SessionError::Store(error) if error.kind() == ErrorKind::Invalid));
    let _keep = handle.commit().await.unwrap();
    let session = site.sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!(session.attributes.len(), 1);
}

#[tokio::test]
async fn a_new_session_is_whole_before_it_is_stored() {
    let site = Site::new();
    let handle = SessionHandle::new(&site.sessions, None, Mode::Normal);
    assert!(handle.get().await.unwrap().is_none());
    let error = handle.edit(count()).await.unwrap_err();
    assert!(matches!(error, SessionError::Gone(Ended::Missing)), "{error}");
    handle.start(Visit(1)).await.unwrap();
    handle.start(Visit(9)).await.unwrap();
    handle.edit(count()).await.unwrap();
    handle.update(|visit| visit.0 += 1).await.unwrap();
    let begun = handle.get().await.unwrap().unwrap();
    assert_eq!((begun.version, begun.state.0, begun.attributes.len()), (Version::MIN, 2, 1));
    assert_eq!(site.faulty.trips(), 0);
    let Outcome::HandOver(session) = handle.commit().await.unwrap() else { panic!() };
    assert_eq!(session.id, begun.id);
    let stored = site.sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.state.0), (session.version, 2));
    assert_eq!(stored.attributes, begun.attributes);
    // Asked again, it says the same, and does nothing.
    site.faulty.trips();
    assert!(matches!(handle.commit().await.unwrap(), Outcome::HandOver(_)));
    assert_eq!(site.faulty.trips(), 0);
}

/// A task that outlives its request.
#[tokio::test]
async fn a_change_after_the_answer_is_told_so() {
    let site = Site::new();
    let (_session, committed) = with_session(&site, Mode::Normal).await;
    let _keep = committed.commit().await.unwrap();
    let (_session, discarded) = with_session(&site, Mode::Normal).await;
    let _keep = discarded.discard().await;
    site.faulty.trips();
    for handle in [committed, discarded] {
        for change in changes(&handle).await {
            assert!(matches!(change, Err(SessionError::Committed)), "{change:?}");
        }
    }
    assert_eq!(site.faulty.trips(), 0);
}

#[tokio::test]
async fn a_request_that_only_reads_changes_nothing() {
    let site = Site::new();
    let (_session, handle) = with_session(&site, Mode::ReadOnly).await;
    for change in changes(&handle).await {
        assert!(matches!(change, Err(SessionError::ReadOnly)), "{change:?}");
    }
    assert!(handle.get().await.unwrap().is_some());
    assert!(matches!(handle.commit().await.unwrap(), Outcome::Keep));
    assert_eq!(site.faulty.trips(), 1);
}

async fn changes(handle: &SessionHandle<Visit>) -> [Result<(), SessionError>; 6] {
    [
        handle.start(Visit(0)).await,
        handle.edit(count()).await,
        handle.update(|visit| visit.0 += 1).await,
        handle.sign_in(&alice(), "laptop", Visit(0)).await,
        handle.rotate().await,
        handle.destroy().await,
    ]
}

#[tokio::test]
async fn somebody_elses_session_is_not_taken_over() {
    for over in [false, true] {
        let site = Site::new();
        let bob = Principal::new("bob").unwrap();
        let bobs = site.sessions.sign_in(&bob, "laptop", Visit(7)).await.unwrap();
        if over {
            site.sessions.destroy(&bobs.id).await.unwrap();
        }
        site.faulty.trips();
        let handle = SessionHandle::new(&site.sessions, Some(bobs.id.clone()), Mode::Normal);
        handle.sign_in(&alice(), "laptop", Visit(0)).await.unwrap();
        let Outcome::HandOver(session) = handle.commit().await.unwrap() else { panic!() };
        // To read it, to begin the new one, and to end the old one.
        assert_eq!(site.faulty.trips(), if over { 1 + 2 } else { 1 + 2 + 2 });
        assert_eq!((session.principal.as_deref(), session.state.0), (Some("alice"), 0));
        assert!(site.sessions.load(&bobs.id).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_sign_in_at_the_limit_is_told_at_the_commit() {
    let (_faulty, store, _clock) = store();
    let sessions = Sessions::<Visit>::builder(&store).per_principal_max(1);
    let sessions = sessions.at_limit(steadfast::session::AtLimit::Refuse).build().unwrap();
    sessions.sign_in(&alice(), "laptop", Visit(0)).await.unwrap();
    let handle = SessionHandle::new(&sessions, None, Mode::Normal);
    handle.sign_in(&alice(), "phone", Visit(0)).await.unwrap();
    let error = handle.commit().await.unwrap_err();
    assert!(matches!(error, SessionError::LimitReached { live: 1 }), "{error}");
}

/// Wherever a request is cut off, each of its changes is whole or absent, and the next request is
/// not disturbed. What it had learned of a new id is learned by the next one, within the grace.
#[tokio::test]
async fn a_request_that_is_dropped_leaves_nothing_half_done() {
    for polls in 0.. {
        assert!(polls < 1_000, "it never ends");
        let site = Site::new();
        let (session, handle) = with_session(&site, Mode::Normal).await;
        let request = async {
            handle.edit(Edit::new().set("a", 1).set("b", 2)).await?;
            handle.update(|visit| visit.0 += 1).await?;
            handle.commit().await
        };
        let done = {
            let mut request = pin!(request);
            let mut context = Context::from_waker(Waker::noop());
            (0..polls).any(|_poll| matches!(request.as_mut().poll(&mut context), Poll::Ready(_)))
        };
        // Another task of the request still gets an answer.
        let seen = tokio::time::timeout(Duration::from_secs(5), handle.get()).await;
        assert!(seen.unwrap().unwrap().is_some(), "after {polls} polls");
        let session = site.sessions.load(&session.id).await.unwrap().unwrap();
        assert!([0, 2].contains(&session.attributes.len()), "after {polls} polls");
        if done {
            assert_eq!((session.state.0, session.attributes.len()), (1, 2));
            assert!(polls > 3, "the request never waited");
            break;
        }
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    let site = Site::new();
    let (session, handle) = with_session(&site, Mode::Normal).await;
    let _known = handle.get().await.unwrap();
    let shown = format!("{handle:?} {:?}", handle.commit().await.unwrap());
    assert!(!shown.contains(&session.id.expose()[..12]), "{shown}");
}
