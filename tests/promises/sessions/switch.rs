//! A shared computer: somebody logs in where somebody else is logged in, or right after a log-out.
//! Other session layers answer with an error, or let the first one's data go on.

use steadfast::Principal;
use steadfast::session::{AtLimit, Edit, Mode, Outcome, Session, SessionError, SessionHandle};

use crate::fault::{Fault, Faulty};
use crate::world::{Basket, World, alice, on_every_backend, on_servers, sessions};

on_every_backend!(
    a_sign_in_as_somebody_else_ends_the_one_session_and_begins_another,
    a_sign_in_after_a_log_out_begins_a_new_session,
    a_switch_that_is_not_committed_changes_nothing,
);

on_servers!(
    a_sign_in_as_somebody_else_ends_the_one_session_and_begins_another,
    a_sign_in_after_a_log_out_begins_a_new_session,
    a_switch_that_is_not_committed_changes_nothing,
);

fn bob() -> Principal {
    Principal::new("bob").unwrap()
}

fn basket(item: u32) -> Basket {
    Basket { items: vec![item] }
}

fn mark(name: &str) -> Edit {
    Edit::new().set(name, true)
}

type Sessions = steadfast::Sessions<Basket>;

async fn signed_in(sessions: &Sessions) -> (Session<Basket>, SessionHandle<Basket>) {
    let session = sessions.sign_in(&alice(), "laptop", basket(1)).await.unwrap();
    sessions.edit(&session.id, &mark("hers")).await.unwrap();
    let handle = SessionHandle::new(sessions, Some(session.id.clone()), Mode::Normal);
    (session, handle)
}

async fn handed_over(handle: &SessionHandle<Basket>) -> Session<Basket> {
    let Outcome::HandOver(session) = handle.commit().await.unwrap() else { panic!("no new id") };
    Session::clone(&session)
}

async fn devices(sessions: &Sessions, who: &Principal) -> usize {
    sessions.devices(who, None).await.unwrap().len()
}

async fn a_sign_in_as_somebody_else_ends_the_one_session_and_begins_another(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let (old, handle) = signed_in(&sessions).await;
    // What waits for her session must not be made in his.
    handle.edit(mark("late")).await.unwrap();
    handle.rotate().await.unwrap();
    handle.sign_in(&bob(), "laptop", basket(2)).await.unwrap();
    handle.edit(mark("his")).await.unwrap();
    let shown = handle.get().await.unwrap().unwrap();
    assert_eq!((&shown.state.items[..], shown.attributes.len()), (&[2][..], 1));
    let new = handed_over(&handle).await;
    assert_eq!(new.principal.as_deref(), Some("bob"));
    let new = sessions.load(&new.id).await.unwrap().unwrap();
    assert_eq!((&new.state.items[..], new.attributes.len()), (&[2][..], 1));
    assert!(new.attributes.get("his").is_some());
    assert!(sessions.load(&old.id).await.unwrap().is_none());
    assert_eq!((devices(&sessions, &alice()).await, devices(&sessions, &bob()).await), (0, 1));

    // And again in one request: the last one counts, and gets nothing of the one before.
    let handle = SessionHandle::new(&sessions, Some(new.id.clone()), Mode::Normal);
    handle.sign_in(&alice(), "laptop", basket(3)).await.unwrap();
    handle.edit(mark("hers")).await.unwrap();
    let carol = Principal::new("carol").unwrap();
    handle.sign_in(&carol, "laptop", basket(4)).await.unwrap();
    let last = handed_over(&handle).await;
    let last = sessions.load(&last.id).await.unwrap().unwrap();
    assert_eq!((&last.state.items[..], last.attributes.len()), (&[4][..], 0));
    assert_eq!(last.principal.as_deref(), Some("carol"));
    assert!(sessions.load(&new.id).await.unwrap().is_none());
    assert_eq!((devices(&sessions, &alice()).await, devices(&sessions, &bob()).await), (0, 0));
}

async fn a_sign_in_after_a_log_out_begins_a_new_session(world: World) {
    let sessions = world.sessions();
    for who in [bob(), alice()] {
        let (old, handle) = signed_in(&sessions).await;
        handle.destroy().await.unwrap();
        assert!(handle.get().await.unwrap().is_none());
        assert!(matches!(handle.edit(mark("late")).await, Err(SessionError::Gone(_))));
        handle.sign_in(&who, "laptop", basket(2)).await.unwrap();
        let new = handed_over(&handle).await;
        assert_eq!((new.principal.as_deref(), &new.state.items[..]), (Some(who.name()), &[2][..]));
        assert_eq!(new.attributes.len(), 0);
        assert!(sessions.load(&new.id).await.unwrap().is_some());
        assert!(sessions.load(&old.id).await.unwrap().is_none());
        sessions.destroy_all(&who).await.unwrap();
    }
    // An anonymous one, too.
    let (old, handle) = signed_in(&sessions).await;
    handle.destroy().await.unwrap();
    handle.start(basket(5)).await.unwrap();
    let new = handed_over(&handle).await;
    assert_eq!((new.principal.as_deref(), &new.state.items[..]), (None, &[5][..]));
    assert!(sessions.load(&old.id).await.unwrap().is_none());
    // If the request fails, the log-out stands, and nothing has begun.
    let (old, handle) = signed_in(&sessions).await;
    handle.destroy().await.unwrap();
    handle.sign_in(&bob(), "laptop", basket(2)).await.unwrap();
    assert!(matches!(handle.discard().await, Outcome::Remove));
    assert!(sessions.load(&old.id).await.unwrap().is_none());
    assert_eq!(devices(&sessions, &bob()).await, 0);
}

async fn a_switch_that_is_not_committed_changes_nothing(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let (old, handle) = signed_in(&sessions).await;
    handle.sign_in(&bob(), "laptop", basket(2)).await.unwrap();
    assert!(matches!(handle.discard().await, Outcome::Keep));
    assert!(sessions.load(&old.id).await.unwrap().is_some());

    // A log-out instead.
    let handle = SessionHandle::new(&sessions, Some(old.id.clone()), Mode::Normal);
    handle.sign_in(&bob(), "laptop", basket(2)).await.unwrap();
    handle.destroy().await.unwrap();
    assert!(matches!(handle.commit().await.unwrap(), Outcome::Remove));
    assert!(sessions.load(&old.id).await.unwrap().is_none());

    // No room for him: she stays.
    let store = faulty.store();
    let narrow = steadfast::Sessions::<Basket>::builder(&store).per_principal_max(1);
    let narrow = narrow.at_limit(AtLimit::Refuse).build().unwrap();
    let full = narrow.sign_in(&bob(), "phone", basket(9)).await.unwrap();
    let (old, handle) = signed_in(&narrow).await;
    handle.sign_in(&bob(), "laptop", basket(2)).await.unwrap();
    let refused = handle.commit().await.unwrap_err();
    assert!(matches!(refused, SessionError::LimitReached { live: 1 }), "{refused}");
    for id in [&old.id, &full.id] {
        assert!(narrow.load(id).await.unwrap().is_some());
    }

    // The store goes down at any step: never both, and never his with her data.
    for passing in 0..6 {
        sessions.destroy_all(&bob()).await.unwrap();
        let (old, handle) = signed_in(&sessions).await;
        faulty.fail_after(passing, Fault::Cut);
        let made = async {
            handle.sign_in(&bob(), "laptop", basket(2)).await?;
            handle.commit().await
        };
        let made = made.await;
        faulty.heal();
        if made.is_ok() {
            assert!(sessions.load(&old.id).await.unwrap().is_none(), "after {passing}");
            assert_eq!(devices(&sessions, &bob()).await, 1, "after {passing}");
        }
    }
}
