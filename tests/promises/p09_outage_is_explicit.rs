//! P9: an outage is never a miss, and a read error never overwrites stored data.

use steadfast::backend::ErrorKind;
use steadfast::session::{Edit, Mode, SessionError, SessionHandle};

use crate::fault::{Fault, Faulty};
use crate::world::{
    Basket, IDLE, Receipt, World, alice, on_every_backend, on_servers, pay, sessions,
};

on_every_backend!(
    an_outage_is_not_a_missing_session,
    nothing_is_written_after_a_failed_read,
    a_claim_fails_closed,
    a_renewal_that_fails_does_not_fail_the_read,
    a_commit_after_one_that_failed_claims_nothing,
);

on_servers!(
    an_outage_is_not_a_missing_session,
    nothing_is_written_after_a_failed_read,
    a_claim_fails_closed,
    a_commit_after_one_that_failed_claims_nothing,
);

async fn an_outage_is_not_a_missing_session(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for id in [
        sessions.create(Basket::default()).await.unwrap().id,
        sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id,
    ] {
        faulty.fail_next(&[Fault::Cut]);
        assert!(sessions.load(&id).await.unwrap_err().is_outage());
        assert!(sessions.load(&id).await.unwrap().is_some());
    }
    faulty.fail_next(&[Fault::Cut]);
    assert!(sessions.devices(&alice(), None).await.unwrap_err().is_outage());
}

/// The blank session that overwrites the real one.
async fn nothing_is_written_after_a_failed_read(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let before = sessions.create(Basket { items: vec![7] }).await.unwrap();
    faulty.fail_next(&[Fault::Cut]);
    let failed = sessions.update(&before.id, |basket| basket.items.clear()).await;
    assert!(matches!(failed, Err(SessionError::Store(error)) if error.is_outage()));
    let after = sessions.load(&before.id).await.unwrap().unwrap();
    assert_eq!((after.state, after.version), (before.state, before.version));
}

async fn a_claim_fails_closed(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let payments = steadfast::Idempotency::<Receipt>::builder(&faulty.store()).build().unwrap();
    faulty.fail_next(&[Fault::Cut]);
    let error = pay(&payments).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Unavailable, false));
}

async fn a_renewal_that_fails_does_not_fail_the_read(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    world.clock.advance(IDLE / 2);
    // The read passes, the renewal behind it does not.
    faulty.fail_after(1, Fault::Cut);
    let session = sessions.load(&id).await.unwrap().unwrap();
    assert!(session.idle_left < IDLE, "it says what is left");
    let session = sessions.load(&id).await.unwrap().unwrap();
    assert_eq!(session.idle_left, IDLE);
}

async fn a_commit_after_one_that_failed_claims_nothing(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let handle = SessionHandle::new(&sessions, Some(id), Mode::Normal);
    handle.get().await.unwrap().unwrap();
    handle.edit(Edit::new().set("paid", true)).await.unwrap();
    faulty.fail_next(&[Fault::Cut]);
    assert!(matches!(handle.commit().await, Err(SessionError::Store(e)) if e.is_outage()));
    assert!(matches!(handle.commit().await, Err(SessionError::Committed)));
}
