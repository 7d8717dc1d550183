//! P2: after logout, expiry or revoke-all, no late write brings a session back.

use std::sync::Arc;

use steadfast::session::SessionError;

use crate::fault::Faulty;
use crate::world::{
    ABSOLUTE, Basket, IDLE, SECOND, World, alice, on_every_backend, on_servers, sessions,
};

on_every_backend!(
    a_late_update_of_a_destroyed_session_is_told,
    an_update_that_races_a_logout_does_not_revive,
    revoke_all_ends_every_session_and_no_update_revives_one,
    an_expired_session_stays_expired,
    signing_in_again_does_not_revive_what_was_revoked,
);

on_servers!(
    a_late_update_of_a_destroyed_session_is_told,
    an_update_that_races_a_logout_does_not_revive,
    revoke_all_ends_every_session_and_no_update_revives_one,
    signing_in_again_does_not_revive_what_was_revoked,
);

async fn a_late_update_of_a_destroyed_session_is_told(world: World) {
    let sessions = world.sessions();
    for id in [
        sessions.create(Basket::default()).await.unwrap().id,
        sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id,
    ] {
        sessions.destroy(&id).await.unwrap();
        let late = sessions.update(&id, |basket| basket.items.push(1)).await;
        assert!(matches!(late, Err(SessionError::Gone(_))));
        assert!(sessions.load(&id).await.unwrap().is_none());
        sessions.destroy(&id).await.unwrap();
    }
}

/// The story of every session store that upserts: the request loads, another logs out, the
/// request saves.
async fn an_update_that_races_a_logout_does_not_revive(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = Arc::new(sessions(&faulty.store()));
    for _round in 0..20 {
        let id = sessions.create(Basket::default()).await.unwrap().id;
        let updates = (0..4).map(|item| {
            let (sessions, id) = (sessions.clone(), id.clone());
            tokio::spawn(
                async move { sessions.update(&id, |basket| basket.items.push(item)).await },
            )
        });
        let updates = updates.collect::<Vec<_>>();
        sessions.destroy(&id).await.unwrap();
        for update in updates {
            let ended = update.await.unwrap();
            assert!(matches!(ended, Ok(_) | Err(SessionError::Gone(_))), "{ended:?}");
        }
        assert!(sessions.load(&id).await.unwrap().is_none());
    }
}

async fn revoke_all_ends_every_session_and_no_update_revives_one(world: World) {
    let sessions = world.sessions();
    let mut ids = Vec::new();
    for _device in 0..3 {
        ids.push(sessions.sign_in(&alice(), "device", Basket::default()).await.unwrap().id);
    }
    let other = steadfast::Principal::new("bob").unwrap();
    let bobs = sessions.sign_in(&other, "device", Basket::default()).await.unwrap().id;

    sessions.destroy_all(&alice()).await.unwrap();
    for id in &ids {
        assert!(sessions.load(id).await.unwrap().is_none());
        let late = sessions.update(id, |basket| basket.items.push(1)).await;
        assert!(matches!(late, Err(SessionError::Gone(_))));
    }
    assert!(sessions.devices(&alice(), None).await.unwrap().is_empty());
    assert!(sessions.load(&bobs).await.unwrap().is_some());
}

async fn an_expired_session_stays_expired(world: World) {
    let sessions = world.sessions();
    let id = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    world.clock.advance(ABSOLUTE.max(IDLE * 2) + SECOND);
    let late = sessions.update(&id, |basket| basket.items.push(1)).await;
    assert!(matches!(late, Err(SessionError::Gone(_))));
    assert!(sessions.load(&id).await.unwrap().is_none());
}

async fn signing_in_again_does_not_revive_what_was_revoked(world: World) {
    let sessions = world.sessions();
    let old = sessions.sign_in(&alice(), "old", Basket::default()).await.unwrap().id;
    sessions.destroy_all(&alice()).await.unwrap();
    let new = sessions.sign_in(&alice(), "new", Basket::default()).await.unwrap().id;
    assert!(sessions.load(&old).await.unwrap().is_none());
    assert!(sessions.load(&new).await.unwrap().is_some());
    let devices = sessions.devices(&alice(), Some(&new)).await.unwrap();
    assert_eq!(devices.iter().map(|device| &device.label[..]).collect::<Vec<_>>(), ["new"]);
    assert!(devices[0].current);
}
