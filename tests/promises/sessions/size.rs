//! A session that is too large is an empty string in one store and a generic 500 in another.

use steadfast::Sessions;
use steadfast::backend::ErrorKind;
use steadfast::session::{Edit, SessionError};

use crate::fault::Faulty;
use crate::world::{Basket, World, alice, on_every_backend};

on_every_backend!(a_session_that_is_too_large_is_refused_before_the_store_is_asked);

fn is_too_large(error: SessionError) -> bool {
    matches!(error, SessionError::Store(error) if error.kind() == ErrorKind::TooLarge)
}

async fn a_session_that_is_too_large_is_refused_before_the_store_is_asked(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let builder = Sessions::<Basket>::builder(&faulty.store()).size_max(1_000);
    let sessions = builder.build().unwrap();
    let large = || Basket { items: vec![u32::MAX; 300] };
    assert_eq!(sessions.create(large()).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(faulty.trips(), 0);
    assert!(is_too_large(sessions.sign_in(&alice(), "x", large()).await.unwrap_err()));
    let id = sessions.create(Basket { items: vec![1] }).await.unwrap().id;
    assert!(is_too_large(sessions.update(&id, |basket| *basket = large()).await.unwrap_err()));
    let edit = Edit::new().set("notes", "x".repeat(1_000));
    assert!(is_too_large(sessions.edit(&id, &edit).await.unwrap_err()));
    let session = sessions.load(&id).await.unwrap().unwrap();
    assert_eq!((session.state.items, session.attributes.len()), (vec![1], 0));
}
