use steadfast::Principal;
use steadfast::session::{Edit, Mode, Outcome, Rotation, SessionHandle, SessionId};

use super::{World, unconfirmed, where_writes_wait};
use crate::world::{Basket, alice, sessions};

where_writes_wait!(
    a_session_that_is_not_confirmed_is_not_handed_out,
    a_change_that_is_not_confirmed_is_not_acknowledged,
    a_change_that_finds_itself_made_is_not_acknowledged_either,
    a_new_id_that_is_not_confirmed_is_not_handed_out,
    an_end_that_is_not_confirmed_is_not_acknowledged,
    what_is_confirmed_later_is_acknowledged_then,
    a_request_that_changes_the_session_gets_its_new_id,
    a_request_that_fails_waits_for_no_confirmation,
);

async fn signed_in(world: &World) -> SessionId {
    let sign_in = sessions(&world.plain).sign_in(&alice(), "laptop", Basket::default()).await;
    sign_in.unwrap().id
}

async fn a_session_that_is_not_confirmed_is_not_handed_out(world: World) {
    let here = sessions(&world.waiting);
    world.lose();
    unconfirmed!(here.create(Basket::default()));
    unconfirmed!(here.sign_in(&alice(), "laptop", Basket::default()));
    let request = SessionHandle::new(&here, None, Mode::Normal);
    request.start(Basket::default()).await.unwrap();
    unconfirmed!(request.commit());
    let request = SessionHandle::new(&here, None, Mode::Normal);
    request.sign_in(&alice(), "laptop", Basket::default()).await.unwrap();
    unconfirmed!(request.commit());
}

async fn a_change_that_is_not_confirmed_is_not_acknowledged(world: World) {
    let (here, there) = (sessions(&world.waiting), sessions(&world.plain));
    world.lose();
    for id in [signed_in(&world).await, there.create(Basket::default()).await.unwrap().id] {
        unconfirmed!(here.update(&id, |basket| basket.items.push(1)));
        unconfirmed!(here.update_all(&id, |basket, _| basket.items.push(1)));
        unconfirmed!(here.edit(&id, &Edit::new().increment("visits", 1)));
        let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
        request.edit(Edit::new().increment("visits", 1)).await.unwrap();
        unconfirmed!(request.commit());
        let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
        unconfirmed!(request.update(|basket| basket.items.push(1)));
    }
}

/// What it finds may be its own first attempt.
async fn a_change_that_finds_itself_made_is_not_acknowledged_either(world: World) {
    let (here, there) = (sessions(&world.waiting), sessions(&world.plain));
    world.lose();
    for id in [signed_in(&world).await, there.create(Basket::default()).await.unwrap().id] {
        let pay = |basket: &mut Basket| basket.items = vec![1];
        unconfirmed!(here.update(&id, pay));
        unconfirmed!(here.update(&id, pay));
        let dark = Edit::new().set("theme", "dark");
        unconfirmed!(here.edit(&id, &dark));
        unconfirmed!(here.edit(&id, &dark));
        let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
        request.edit(dark).await.unwrap();
        unconfirmed!(request.commit());
        let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
        unconfirmed!(request.update(pay));
        assert_eq!(there.load(&id).await.unwrap().unwrap().state.items, [1]);
    }
}

async fn a_new_id_that_is_not_confirmed_is_not_handed_out(world: World) {
    let (here, there) = (sessions(&world.waiting), sessions(&world.plain));
    world.lose();
    for rotation in [Rotation::PrivilegeChange, Rotation::Renewal] {
        let unsigned = there.create(Basket::default()).await.unwrap().id;
        for id in [signed_in(&world).await, unsigned] {
            unconfirmed!(here.rotate(&id, rotation));
        }
    }
    // That of another request, or of one before.
    let id = signed_in(&world).await;
    unconfirmed!(here.rotate(&id, Rotation::Renewal));
    unconfirmed!(here.rotate(&id, Rotation::Renewal));
    let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
    assert_ne!(request.get().await.unwrap().unwrap().id, id);
    assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));

    let unsigned = there.create(Basket::default()).await.unwrap().id;
    unconfirmed!(here.elevate(&unsigned, &alice(), "laptop"));
    let signed = signed_in(&world).await;
    unconfirmed!(here.elevate(&signed, &alice(), "laptop"));
    let request = SessionHandle::new(&here, Some(signed_in(&world).await), Mode::Normal);
    request.rotate().await.unwrap();
    unconfirmed!(request.commit());
}

async fn an_end_that_is_not_confirmed_is_not_acknowledged(world: World) {
    let (here, there) = (sessions(&world.waiting), sessions(&world.plain));
    world.lose();
    let unsigned = there.create(Basket::default()).await.unwrap().id;
    for id in [signed_in(&world).await, unsigned] {
        unconfirmed!(here.destroy(&id));
        assert!(there.load(&id).await.unwrap().is_none());
        unconfirmed!(here.destroy(&id));
        let request = SessionHandle::new(&here, Some(id.clone()), Mode::Normal);
        unconfirmed!(request.destroy());
        let request = SessionHandle::new(&here, Some(id), Mode::Normal);
        assert!(request.get().await.unwrap().is_none());
        unconfirmed!(request.destroy());
    }
    signed_in(&world).await;
    let device = there.devices(&alice(), None).await.unwrap().remove(0);
    unconfirmed!(here.destroy_device(&alice(), &device.short_id));
    unconfirmed!(here.destroy_device(&alice(), &device.short_id));
    signed_in(&world).await;
    unconfirmed!(here.destroy_all(&alice()));
    unconfirmed!(here.destroy_all(&alice()));
    assert!(there.devices(&alice(), None).await.unwrap().is_empty());
    unconfirmed!(here.destroy_all(&Principal::new("nobody").unwrap()));
}

async fn what_is_confirmed_later_is_acknowledged_then(world: World) {
    let here = sessions(&world.waiting);
    let (kept, ended) = (signed_in(&world).await, signed_in(&world).await);
    let pay = |basket: &mut Basket| basket.items = vec![1];
    world.lose();
    unconfirmed!(here.update(&kept, pay));
    unconfirmed!(here.rotate(&kept, Rotation::Renewal));
    unconfirmed!(here.destroy(&ended));
    world.find_again();
    here.update(&kept, pay).await.unwrap();
    let new = here.rotate(&kept, Rotation::Renewal).await.unwrap();
    assert_eq!(new.state.items, [1]);
    let request = SessionHandle::new(&here, Some(kept), Mode::Normal);
    request.get().await.unwrap();
    let Outcome::HandOver(told) = request.commit().await.unwrap() else { panic!("not told") };
    assert_eq!(told.id, new.id);
    here.destroy(&ended).await.unwrap();
}

/// Its change raises the version that it has read.
async fn a_request_that_changes_the_session_gets_its_new_id(world: World) {
    let here = sessions(&world.waiting);
    let old = signed_in(&world).await;
    let new = here.rotate(&old, Rotation::Renewal).await.unwrap().id;
    let handed_over = async |request: &SessionHandle<Basket>| {
        let Outcome::HandOver(session) = request.commit().await.unwrap() else {
            panic!("the client is logged out when the grace ends")
        };
        assert_eq!(session.id, new);
        assert_eq!(session.version, here.load(&new).await.unwrap().unwrap().version);
    };
    for _ in ["changes", "finds itself made"] {
        let request = SessionHandle::new(&here, Some(old.clone()), Mode::Normal);
        request.edit(Edit::new().set("theme", "dark")).await.unwrap();
        handed_over(&request).await;
        let request = SessionHandle::new(&here, Some(old.clone()), Mode::Normal);
        request.update(|basket| basket.items = vec![1]).await.unwrap();
        handed_over(&request).await;
    }
}

/// Nor does it cost a trip, which may take long during an outage.
async fn a_request_that_fails_waits_for_no_confirmation(world: World) {
    let (here, there) = (sessions(&world.waiting), sessions(&world.plain));
    let old = signed_in(&world).await;
    let new = here.rotate(&old, Rotation::Renewal).await.unwrap().id;
    let failing = async |sessions| {
        let request = SessionHandle::new(sessions, Some(old.clone()), Mode::Normal);
        assert_eq!(request.get().await.unwrap().unwrap().id, new);
        let before = world.primary.calls("evalsha").unwrap();
        let outcome = request.discard().await;
        assert_eq!(world.primary.calls("evalsha").unwrap(), before);
        outcome
    };
    assert!(matches!(failing(&here).await, Outcome::Keep), "the next request gets it");
    assert!(matches!(failing(&there).await, Outcome::HandOver(_)));
}
