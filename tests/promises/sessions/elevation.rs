//! Session fixation: an attacker plants an id that the user then signs in with. And the reverse:
//! the cart of the anonymous visitor is lost at sign-in.

use steadfast::backend::Transactions;
use steadfast::session::{Edit, Ended, Found, Rotation, SessionError};
use steadfast::{Principal, Store};

use crate::declared::Declared;
use crate::fault::{Fault, Faulty};
use crate::world::{ABSOLUTE, Basket, IDLE, World, alice, on_every_backend, on_servers, sessions};

on_every_backend!(
    a_sign_in_takes_the_anonymous_session_along_and_ends_its_id,
    an_elevation_does_not_move_the_absolute_end,
    a_renewed_anonymous_id_can_be_elevated,
    two_elevations_of_one_session_make_one,
    a_session_of_somebody_else_is_not_taken_over,
    stepping_up_gives_a_new_id,
    an_elevation_whose_reply_was_lost_is_recognised;
    without_transactions_across_groups_it_works_as_well,
);

on_servers!(
    a_sign_in_takes_the_anonymous_session_along_and_ends_its_id,
    a_renewed_anonymous_id_can_be_elevated,
    two_elevations_of_one_session_make_one,
    a_session_of_somebody_else_is_not_taken_over,
    stepping_up_gives_a_new_id,
    an_elevation_whose_reply_was_lost_is_recognised;
    without_transactions_across_groups_it_works_as_well,
);

async fn a_sign_in_takes_the_anonymous_session_along_and_ends_its_id(world: World) {
    let sessions = world.sessions();
    let planted = sessions.create(Basket { items: vec![7] }).await.unwrap().id;
    sessions.edit(&planted, &Edit::new().set("theme", "dark")).await.unwrap();
    let session = sessions.elevate(&planted, &alice(), "laptop").await.unwrap();
    assert_eq!(session.principal.as_deref(), Some("alice"));

    let loaded = sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!((loaded.state.items, loaded.attributes.len()), (vec![7], 1));
    assert!(matches!(sessions.find(&planted).await.unwrap(), Found::Ended(Ended::RotatedOut)));
    let late = sessions.update(&planted, |basket| basket.items.clear()).await;
    assert!(matches!(late, Err(SessionError::Gone(Ended::RotatedOut))));
    let devices = sessions.devices(&alice(), Some(&session.id)).await.unwrap();
    assert_eq!(devices.len(), 1);
    assert!(devices[0].current);
}

async fn an_elevation_does_not_move_the_absolute_end(world: World) {
    let sessions = world.sessions();
    let mut id = sessions.create(Basket::default()).await.unwrap().id;
    world.clock.advance(IDLE / 2);
    id = sessions.elevate(&id, &alice(), "laptop").await.unwrap().id;
    let left = sessions.load(&id).await.unwrap().unwrap().absolute_left;
    assert!(left <= ABSOLUTE - IDLE / 2, "{left:?}");
}

async fn a_renewed_anonymous_id_can_be_elevated(world: World) {
    let sessions = world.sessions();
    let old = sessions.create(Basket { items: vec![7] }).await.unwrap().id;
    let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
    let session = sessions.elevate(&old, &alice(), "laptop").await.unwrap();
    assert_eq!(session.state.items, [7]);
    assert!(matches!(sessions.find(&new).await.unwrap(), Found::Ended(Ended::RotatedOut)));
}

async fn two_elevations_of_one_session_make_one(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let (principal, other) = (alice(), alice());
    let both =
        tokio::join!(sessions.elevate(&id, &principal, "a"), sessions.elevate(&id, &other, "b"));
    let lost = match both {
        (Ok(_won), Err(lost)) | (Err(lost), Ok(_won)) => lost,
        both => panic!("{both:?}"),
    };
    assert!(matches!(lost, SessionError::Gone(Ended::RotatedOut)));
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
}

async fn a_session_of_somebody_else_is_not_taken_over(world: World) {
    let sessions = world.sessions();
    let bob = Principal::new("bob").unwrap();
    let bobs = sessions.sign_in(&bob, "laptop", Basket::default()).await.unwrap().id;
    let error = sessions.elevate(&bobs, &alice(), "laptop").await.unwrap_err();
    assert!(matches!(error, SessionError::SomebodyElse), "{error:?}");
    assert!(sessions.load(&bobs).await.unwrap().is_some());
}

async fn stepping_up_gives_a_new_id(world: World) {
    let sessions = world.sessions();
    let old = sessions.sign_in(&alice(), "laptop", Basket { items: vec![7] }).await.unwrap().id;
    let new = sessions.elevate(&old, &alice(), "laptop").await.unwrap();
    assert_eq!(new.state.items, [7]);
    assert!(sessions.load(&old).await.unwrap().is_none());
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
}

async fn an_elevation_whose_reply_was_lost_is_recognised(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let old = sessions.create(Basket { items: vec![7] }).await.unwrap().id;
    faulty.fail_after(1, Fault::ReplyLost);
    let session = sessions.elevate(&old, &alice(), "laptop").await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap().unwrap().state.items, [7]);
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
}

/// As a Redis Cluster: the new session is made first, then the old id is ended.
async fn without_transactions_across_groups_it_works_as_well(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let grouped = Declared::by(faulty.clone(), |it| it.transactions = Transactions::SameGroup);
    let store = Store::builder(grouped).attempts(1).build().unwrap();
    let sessions = sessions(&store);
    let old = sessions.create(Basket { items: vec![7] }).await.unwrap().id;
    let renewed = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
    assert_eq!(sessions.load(&old).await.unwrap().unwrap().id, renewed);
    let signed_in = sessions.elevate(&renewed, &alice(), "laptop").await.unwrap();
    assert_eq!(signed_in.state.items, [7]);
    assert!(sessions.load(&renewed).await.unwrap().is_none());

    // The old id cannot be ended: there is no second session that anybody could use.
    let old = sessions.create(Basket::default()).await.unwrap().id;
    faulty.fail_after(2, Fault::Cut);
    assert!(sessions.elevate(&old, &alice(), "phone").await.is_err());
    assert!(sessions.load(&old).await.unwrap().is_some());
    assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
}
