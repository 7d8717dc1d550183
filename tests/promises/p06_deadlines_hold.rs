//! P6: idle and absolute timeouts together; never early, never past the absolute one.

use std::time::Duration;

use steadfast::Sessions;

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
    the_oldest_session_ends_at_the_limit;
    most_reads_write_nothing,
);

on_servers!(the_oldest_session_ends_at_the_limit);

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
