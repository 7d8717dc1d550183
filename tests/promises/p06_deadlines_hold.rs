//! P6: idle and absolute timeouts together; never early, never past the absolute one.

use std::time::Duration;

use steadfast::session::{Lifetime, Rotation, SessionError};
use steadfast::{ErrorKind, Sessions};

use crate::fault::Faulty;
use crate::world::{
    ABSOLUTE, Basket, IDLE, SECOND, World, alice, on_every_backend, on_servers, sessions,
};

on_every_backend!(
    a_session_outlives_its_idle_timeout_by_no_more_than_the_slack,
    use_keeps_a_session_until_its_absolute_end,
    an_update_does_not_move_the_absolute_end,
    an_absolute_timeout_below_the_idle_one_holds,
    the_time_left_is_told,
    the_device_list_shows_live_sessions_only,
    the_oldest_session_ends_at_the_limit,
    a_lifetime_of_its_own_holds_for_one_session,
    a_lifetime_of_its_own_is_kept_under_every_id,
    a_sign_in_chooses_anew_and_moves_no_absolute_end,
    no_lifetime_is_longer_than_the_settings_allow;
    most_reads_write_nothing,
);

on_servers!(the_oldest_session_ends_at_the_limit, no_lifetime_is_longer_than_the_settings_allow);

const TICK: Duration = Duration::from_millis(1);

async fn a_session_outlives_its_idle_timeout_by_no_more_than_the_slack(world: World) {
    let sessions = world.sessions();
    // 601 s: the last use is a read within the slack, which writes nothing and yet counts.
    let id = sessions.create(Basket::default()).await.unwrap().id;
    world.clock.advance(IDLE / 20);
    assert!(sessions.load(&id).await.unwrap().is_some());
    world.clock.advance(IDLE - TICK);
    assert!(sessions.load(&id).await.unwrap().is_some(), "early");
    world.clock.advance(IDLE + IDLE / 10 + TICK);
    assert!(sessions.load(&id).await.unwrap().is_none(), "late");
}

async fn use_keeps_a_session_until_its_absolute_end(world: World) {
    let sessions = world.sessions();
    let id = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    let mut lived = Duration::ZERO;
    while lived + IDLE / 2 < ABSOLUTE {
        world.clock.advance(IDLE / 2);
        lived += IDLE / 2;
        assert!(sessions.load(&id).await.unwrap().is_some(), "{lived:?}");
    }
    world.clock.advance(ABSOLUTE - lived - TICK);
    assert!(sessions.load(&id).await.unwrap().is_some(), "early");
    world.clock.advance(TICK);
    assert!(sessions.load(&id).await.unwrap().is_none(), "late");
}

async fn an_update_does_not_move_the_absolute_end(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    for item in 0..11 {
        world.clock.advance(ABSOLUTE / 12);
        sessions.update(&id, |basket| basket.items.push(item)).await.unwrap();
    }
    world.clock.advance(ABSOLUTE / 12 - TICK);
    assert!(sessions.load(&id).await.unwrap().is_some(), "early");
    world.clock.advance(TICK);
    assert!(sessions.load(&id).await.unwrap().is_none(), "late");
}

async fn an_absolute_timeout_below_the_idle_one_holds(world: World) {
    let builder = Sessions::<Basket>::builder(&world.store).idle(IDLE).absolute(SECOND);
    let sessions = builder.build().unwrap();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    world.clock.advance(SECOND - TICK);
    assert!(sessions.load(&id).await.unwrap().is_some(), "early");
    world.clock.advance(TICK);
    assert!(sessions.load(&id).await.unwrap().is_none(), "late");
}

async fn the_time_left_is_told(world: World) {
    let sessions = world.sessions();
    let session = sessions.create(Basket::default()).await.unwrap();
    assert_eq!((session.idle_left, session.absolute_left), (IDLE, ABSOLUTE));
    world.clock.advance(IDLE / 2);
    let session = sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!((session.idle_left, session.absolute_left), (IDLE, ABSOLUTE - IDLE / 2));
}

async fn most_reads_write_nothing(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let anonymous = sessions.create(Basket::default()).await.unwrap().id;
    assert_eq!(faulty.trips(), 1, "create");
    let id = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    assert_eq!(faulty.trips(), 2, "sign in");
    world.clock.advance(IDLE / 20);
    for id in [anonymous, id] {
        sessions.load(&id).await.unwrap().unwrap();
        assert_eq!(faulty.trips(), 1, "load");
        sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        assert_eq!(faulty.trips(), 2, "update");
        sessions.update(&id, |basket| basket.items.len()).await.unwrap();
        assert_eq!(faulty.trips(), 1, "update without effect");
    }
    world.clock.advance(IDLE / 2);
    sessions.devices(&alice(), None).await.unwrap();
    assert_eq!(faulty.trips(), 2, "devices");
    sessions.destroy_all(&alice()).await.unwrap();
    assert_eq!(faulty.trips(), 1, "log out everywhere");
}

async fn the_device_list_shows_live_sessions_only(world: World) {
    let sessions = world.sessions();
    let mut ids = Vec::new();
    for device in ["a", "b", "c\u{7}"] {
        ids.push(sessions.sign_in(&alice(), device, Basket::default()).await.unwrap().id);
        world.clock.advance(SECOND);
    }
    sessions.destroy(&ids[1]).await.unwrap();
    // Two versions of one instant differ by a microsecond, and so do their ages.
    world.clock.advance(TICK);
    let devices = sessions.devices(&alice(), Some(&ids[2])).await.unwrap();
    let shown: Vec<_> =
        devices.iter().map(|d| (&d.label[..], d.age.as_millis() / 1_000, d.current)).collect();
    assert_eq!(shown, [("a", 3, false), ("c", 1, true)]);
    world.clock.advance(IDLE * 2);
    assert!(sessions.devices(&alice(), None).await.unwrap().is_empty());
}

async fn the_oldest_session_ends_at_the_limit(world: World) {
    let builder = Sessions::<Basket>::builder(&world.store).per_principal_max(2);
    let sessions = builder.build().unwrap();
    let mut ids = Vec::new();
    for device in ["a", "b", "c"] {
        ids.push(sessions.sign_in(&alice(), device, Basket::default()).await.unwrap().id);
    }
    assert!(sessions.load(&ids[0]).await.unwrap().is_none());
    // A session that has ended makes room, though it is younger: no live one has to go for it.
    sessions.destroy(&ids[2]).await.unwrap();
    ids.push(sessions.sign_in(&alice(), "d", Basket::default()).await.unwrap().id);
    assert!(sessions.load(&ids[1]).await.unwrap().is_some());
    assert!(sessions.load(&ids[3]).await.unwrap().is_some());
}

/// Of a store that counts whole seconds each time may be off by some: that makes nothing end
/// early. At each part of a second.
#[tokio::test]
async fn a_coarse_time_ends_no_session_early() {
    for part_us in (0..10).map(|tenth| tenth * 100_000 + 7) {
        let world = World::coarse();
        world.clock.advance(Duration::from_micros(part_us));
        let step = world.store.info().capabilities.ttl_step;
        let sessions = world.sessions();
        let idle = sessions.create(Basket::default()).await.unwrap();
        assert_eq!((idle.idle_left, idle.absolute_left), (IDLE, ABSOLUTE));
        world.clock.advance(IDLE - TICK);
        assert!(sessions.load(&idle.id).await.unwrap().is_some(), "idle, early");
        world.clock.advance(IDLE + IDLE / 10 + step * 2);
        assert!(sessions.load(&idle.id).await.unwrap().is_none(), "idle, late");

        let used = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
        let mut lived = Duration::ZERO;
        while lived + IDLE / 2 < ABSOLUTE {
            world.clock.advance(IDLE / 2);
            lived += IDLE / 2;
            sessions.update(&used, |basket| basket.items.push(1)).await.unwrap();
        }
        // Written just before its end.
        world.clock.advance(ABSOLUTE - lived - TICK * 2);
        sessions.update(&used, |basket| basket.items.push(1)).await.unwrap();
        world.clock.advance(TICK);
        let session = sessions.load(&used).await.unwrap().expect("absolute, early");
        assert!(session.absolute_left <= step + TICK, "{:?}", session.absolute_left);
        assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 1);
        world.clock.advance(TICK + step * 2);
        assert!(sessions.load(&used).await.unwrap().is_none(), "absolute, late");
        assert_eq!(sessions.devices(&alice(), None).await.unwrap().len(), 0);
    }
}

/// Three times the idle timeout of the settings, and half of their absolute one.
const LONG: Duration = IDLE.saturating_mul(3);

fn long() -> Lifetime {
    Lifetime::new().idle(LONG).absolute(ABSOLUTE / 2).until_closed()
}

async fn a_lifetime_of_its_own_holds_for_one_session(world: World) {
    let sessions = world.sessions();
    let long = Lifetime::new().idle(LONG);
    let unsigned = sessions.create_for(Basket::default(), long).await.unwrap().id;
    let alice = alice();
    let signed = sessions.sign_in_for(&alice, "a", Basket::default(), long).await.unwrap().id;
    let other = sessions.sign_in(&alice, "b", Basket::default()).await.unwrap().id;
    // A read, and then a write, within the slack: both count as use.
    world.clock.advance(LONG / 40);
    for id in [&unsigned, &signed] {
        let session = sessions.load(id).await.unwrap().unwrap();
        let used = LONG - session.idle_left;
        assert!(used <= LONG / 40, "{used:?}");
    }
    sessions.update(&unsigned, |basket| basket.items.push(1)).await.unwrap();
    world.clock.advance(LONG - TICK);
    let devices = sessions.devices(&alice, None).await.unwrap();
    assert_eq!(devices.len(), 1, "the other one has ended");
    assert!(devices[0].idle_left <= SECOND * 60, "{:?}", devices[0].idle_left);
    assert!(sessions.load(&other).await.unwrap().is_none());
    for id in [&unsigned, &signed] {
        assert!(sessions.load(id).await.unwrap().is_some(), "early");
    }
    // Over before the absolute end.
    let sessions = Sessions::<Basket>::builder(&world.store).absolute(10 * ABSOLUTE);
    let sessions = sessions.build().unwrap();
    let id = sessions.create_for(Basket::default(), long).await.unwrap().id;
    world.clock.advance(LONG - TICK);
    assert!(sessions.load(&id).await.unwrap().is_some(), "early");
    world.clock.advance(LONG + SECOND * 60 + TICK);
    assert!(sessions.load(&id).await.unwrap().is_none(), "late");
}

async fn a_lifetime_of_its_own_is_kept_under_every_id(world: World) {
    let sessions = world.sessions();
    let mut id = sessions.create_for(Basket::default(), long()).await.unwrap().id;
    world.clock.advance(SECOND);
    id = sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
    id = sessions.elevate(&id, &alice(), "laptop").await.unwrap().id;
    let rotated = sessions.rotate(&id, Rotation::PrivilegeChange).await.unwrap();
    sessions.update(&rotated.id, |basket| basket.items.push(1)).await.unwrap();
    let loaded = sessions.load(&rotated.id).await.unwrap().unwrap();
    for session in [&rotated, &loaded] {
        assert!(session.until_closed);
        assert!(session.absolute_left <= ABSOLUTE / 2 - SECOND, "{:?}", session.absolute_left);
        assert_eq!(session.idle_left, session.absolute_left.min(LONG));
    }
    let device = sessions.devices(&alice(), None).await.unwrap().remove(0);
    assert!(device.idle_left <= loaded.absolute_left && device.idle_left > IDLE);
    world.clock.advance(ABSOLUTE / 2 - SECOND - TICK);
    assert!(sessions.load(&rotated.id).await.unwrap().is_some(), "early");
    world.clock.advance(2 * TICK);
    assert!(sessions.load(&rotated.id).await.unwrap().is_none(), "late");
    assert!(sessions.devices(&alice(), None).await.unwrap().is_empty());
}

async fn a_sign_in_chooses_anew_and_moves_no_absolute_end(world: World) {
    let sessions = world.sessions();
    let (alice, short) = (alice(), Lifetime::new().absolute(IDLE / 2));
    let id = sessions.create_for(Basket::default(), long()).await.unwrap().id;
    world.clock.advance(SECOND);
    let session = sessions.elevate_for(&id, &alice, "a", Lifetime::new()).await.unwrap();
    assert!(session.absolute_left <= ABSOLUTE / 2 - SECOND, "{:?}", session.absolute_left);
    assert_eq!((session.idle_left, session.until_closed), (IDLE, false));
    // Signed in already, and yet once more.
    let session = sessions.elevate_for(&session.id, &alice, "a", short).await.unwrap();
    assert_eq!((session.idle_left, session.absolute_left), (IDLE / 2, IDLE / 2));
    let loaded = sessions.load(&session.id).await.unwrap().unwrap();
    assert_eq!((loaded.idle_left, loaded.absolute_left), (IDLE / 2, IDLE / 2));
    world.clock.advance(IDLE / 2 - TICK);
    assert!(sessions.load(&session.id).await.unwrap().is_some(), "early");
    // Writes of one instant are microseconds apart.
    world.clock.advance(2 * TICK);
    assert!(sessions.load(&session.id).await.unwrap().is_none(), "late");
}

async fn no_lifetime_is_longer_than_the_settings_allow(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    for bad in [
        Lifetime::new().absolute(ABSOLUTE + TICK),
        Lifetime::new().absolute(Duration::ZERO),
        Lifetime::new().idle(Duration::ZERO),
    ] {
        let error = sessions.create_for(Basket::default(), bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad:?}");
        let refused = sessions.sign_in_for(&alice(), "a", Basket::default(), bad).await;
        assert!(matches!(refused, Err(SessionError::Store(error)) if !error.is_outage()));
        assert!(sessions.elevate_for(&id, &alice(), "a", bad).await.is_err());
    }
    let most = Lifetime::new().idle(10 * ABSOLUTE).absolute(ABSOLUTE);
    let session = sessions.create_for(Basket::default(), most).await.unwrap();
    assert_eq!((session.idle_left, session.absolute_left), (ABSOLUTE, ABSOLUTE));
}
