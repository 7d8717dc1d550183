//! A write that was made although its reply got lost: made again, it counts twice; taken for
//! failed, it counts where the user was told it does not.

use std::sync::Arc;
use std::task::Poll;

use steadfast::session::{Attribute, Edit, Mode, Session, SessionError, SessionHandle};

use crate::fault::{Fault, Faulty};
use crate::world::{
    Basket, World, alice, on_every_backend, on_servers, sessions, unsigned_and_signed,
};

on_every_backend!(
    an_update_whose_reply_was_lost_counts_once,
    an_update_recognises_itself_behind_later_ones,
    an_update_behind_later_ones_shows_what_they_left,
    an_update_that_cannot_know_says_so,
    a_sign_in_whose_reply_was_lost_makes_one_session,
);

on_servers!(
    an_update_whose_reply_was_lost_counts_once,
    an_update_recognises_itself_behind_later_ones,
    an_update_behind_later_ones_shows_what_they_left,
    an_update_that_cannot_know_says_so,
    a_sign_in_whose_reply_was_lost_makes_one_session,
);

async fn an_update_whose_reply_was_lost_counts_once(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for id in unsigned_and_signed(&sessions).await {
        faulty.fail_after(1, Fault::ReplyLost);
        sessions.edit(&id, &Edit::new().increment("n", 1)).await.unwrap();
        faulty.fail_after(1, Fault::ReplyLost);
        let changed = sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        let session = sessions.load(&id).await.unwrap().unwrap();
        assert_eq!(session.attributes.get("n"), Some(&Attribute::Integer(1)));
        assert_eq!((session.state.items, session.version), (vec![1], changed.version));
    }
}

/// So many others write between an update of a request, whose reply is lost, and its repetition:
/// what the request then has, and what the store has.
async fn behind(
    world: &World,
    others: u32,
) -> Result<(Arc<Session<Basket>>, Session<Basket>), SessionError> {
    let faulty = Faulty::new(world.backend.clone());
    let (slow, quick) = (sessions(&faulty.store()), world.sessions());
    let id = slow.create(Basket::default()).await.unwrap().id;
    let request = SessionHandle::new(&slow, Some(id.clone()), Mode::Normal);
    faulty.fail_after(1, Fault::ReplyLost);
    let mut update = Box::pin(request.update(|basket| basket.items.push(1)));
    while quick.load(&id).await.unwrap().unwrap().state.items.is_empty() {
        // One step at a time, so that it stops between the write and the loss of its reply.
        std::future::poll_fn(|context| {
            assert!(update.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    for item in 0..others {
        quick.update(&id, |basket| basket.items.push(100 + item)).await.unwrap();
    }
    update.await?;
    let seen = request.get().await.unwrap().unwrap();
    Ok((seen, quick.load(&id).await.unwrap().unwrap()))
}

async fn an_update_recognises_itself_behind_later_ones(world: World) {
    for others in 0..=3 {
        let items = behind(&world, others).await.unwrap().1.state.items;
        assert_eq!(items.iter().filter(|item| **item == 1).count(), 1, "{items:?}");
        assert_eq!(items.len(), others as usize + 1);
    }
}

/// A client that is given the version may change the content on that condition.
async fn an_update_behind_later_ones_shows_what_they_left(world: World) {
    for others in 0..=3 {
        let (seen, stored) = behind(&world, others).await.unwrap();
        assert_eq!(seen.version, stored.version);
        assert_eq!(seen.state.items, stored.state.items);
    }
}

async fn an_update_that_cannot_know_says_so(world: World) {
    let error = behind(&world, 4).await.unwrap_err();
    assert!(matches!(error, SessionError::Store(error) if error.is_ambiguous()));
}

async fn a_sign_in_whose_reply_was_lost_makes_one_session(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for count in 1..=2 {
        faulty.fail_after(1, Fault::ReplyLost);
        let session = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap();
        assert!(sessions.load(&session.id).await.unwrap().is_some());
        assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), count);
    }
}
