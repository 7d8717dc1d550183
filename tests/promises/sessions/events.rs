//! Events that come from the store's own notices are lost with the connection; these come from
//! whoever made them happen, after the store has confirmed it.

use std::sync::{Arc, Mutex};

use steadfast::Sessions;
use steadfast::session::{Happening, Rotation, SessionEvent};

use crate::fault::{Fault, Faulty};
use crate::world::{ABSOLUTE, Basket, IDLE, World, alice, on_every_backend, on_servers};

on_every_backend!(
    every_change_is_told_once,
    an_expired_session_is_told_once,
    a_log_out_tells_what_it_finds_expired,
    what_the_store_did_not_do_is_not_told,
);

on_servers!(every_change_is_told_once, what_the_store_did_not_do_is_not_told);

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<SessionEvent>>>);

impl Heard {
    fn sessions(&self, faulty: &Arc<Faulty>) -> Sessions<Basket> {
        let heard = self.clone();
        Sessions::<Basket>::builder(&faulty.store())
            .idle(IDLE)
            .absolute(ABSOLUTE)
            .per_principal_max(2)
            .on_event(move |event| heard.0.lock().unwrap().push(event.clone()))
            .build()
            .unwrap()
    }

    fn take(&self) -> Vec<Happening> {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        events.iter().map(|event| event.what).collect()
    }
}

async fn every_change_is_told_once(world: World) {
    let heard = Heard::default();
    let sessions = heard.sessions(&Faulty::new(world.backend.clone()));
    let anonymous = sessions.create(Basket::default()).await.unwrap().id;
    assert_eq!(heard.take(), [Happening::Created]);
    let id = sessions.elevate(&anonymous, &alice(), "a").await.unwrap().id;
    assert_eq!(heard.take(), [Happening::Rotated]);
    let id = sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
    assert_eq!(heard.take(), [Happening::Rotated]);
    sessions.load(&id).await.unwrap();
    sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
    assert_eq!(heard.take(), []);
    for _ in 0..2 {
        sessions.sign_in(&alice(), "b", Basket::default()).await.unwrap();
    }
    assert_eq!(heard.take(), [Happening::Created, Happening::Evicted, Happening::Created]);
    sessions.destroy(&id).await.unwrap();
    assert_eq!(heard.take(), [], "it was evicted");
    let last = sessions.devices(&alice(), None).await.unwrap().pop().unwrap();
    assert!(sessions.destroy_device(&alice(), &last.short_id).await.unwrap());
    assert_eq!(heard.take(), [Happening::Destroyed]);
    sessions.destroy_all(&alice()).await.unwrap();
    assert_eq!(heard.take(), [Happening::Revoked]);
}

async fn an_expired_session_is_told_once(world: World) {
    let heard = Heard::default();
    let sessions = heard.sessions(&Faulty::new(world.backend.clone()));
    sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap();
    world.clock.advance(IDLE / 2);
    sessions.sign_in(&alice(), "b", Basket::default()).await.unwrap();
    heard.take();
    world.clock.advance(IDLE - IDLE / 4);
    for _look in 0..2 {
        assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
    }
    assert_eq!(heard.take(), [Happening::Expired]);
    sessions.sign_in(&alice(), "c", Basket::default()).await.unwrap();
    world.clock.advance(IDLE / 2);
    // At the limit the list has to be looked through.
    sessions.sign_in(&alice(), "d", Basket::default()).await.unwrap();
    assert_eq!(heard.take(), [Happening::Created, Happening::Expired, Happening::Created]);
}

async fn what_the_store_did_not_do_is_not_told(world: World) {
    let (heard, faulty) = (Heard::default(), Faulty::new(world.backend.clone()));
    let sessions = heard.sessions(&faulty);
    let id = sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap().id;
    heard.take();
    faulty.fail_next(&[Fault::Cut]);
    assert!(sessions.create(Basket::default()).await.is_err());
    faulty.fail_after(1, Fault::Cut);
    assert!(sessions.destroy(&id).await.is_err());
    faulty.fail_next(&[Fault::Cut]);
    assert!(sessions.destroy_all(&alice()).await.is_err());
    assert_eq!(heard.take(), []);
}

async fn a_log_out_tells_what_it_finds_expired(world: World) {
    let heard = Heard::default();
    let sessions = heard.sessions(&Faulty::new(world.backend.clone()));
    sessions.sign_in(&alice(), "a", Basket::default()).await.unwrap();
    world.clock.advance(ABSOLUTE - IDLE / 2);
    let id = sessions.sign_in(&alice(), "b", Basket::default()).await.unwrap().id;
    heard.take();
    world.clock.advance(IDLE * 3 / 4);
    sessions.destroy(&id).await.unwrap();
    assert_eq!(heard.take(), [Happening::Expired, Happening::Destroyed]);
}
