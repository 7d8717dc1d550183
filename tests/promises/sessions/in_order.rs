//! Where records cannot change together they change one after the other. A process may end
//! between two of them, and others may come between: a session off its list that still lives is
//! one that no limit counts and no log-out finds; a list written first hands a place to nobody.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use steadfast::session::{
    AtLimit, Device, Ended, Found, Mode, Rotation, SessionError, SessionHandle, SessionId,
};
use steadfast::{Principal, Sessions};

use crate::fault::{Fault, Faulty};
use crate::world::{ABSOLUTE, Basket, IDLE, World, alice, on_memcached, where_keys_change_alone};

where_keys_change_alone!(
    a_sign_in_that_is_cut_off_leaves_nothing_that_anybody_could_use,
    an_elevation_that_is_cut_off_leaves_one_session,
    a_rotation_that_is_cut_off_leaves_one_session_that_can_be_found_and_ended,
    a_log_out_that_is_cut_off_is_done_or_can_be_repeated,
    a_log_out_on_another_device_that_is_cut_off_can_be_repeated,
    a_log_out_everywhere_is_one_write,
    whichever_reply_is_lost_it_is_done_once,
    sixty_four_sign_ins_at_once_keep_the_limit,
    sign_ins_that_race_a_log_out_everywhere_are_listed_or_over,
    a_rotation_that_races_a_log_out_is_over,
    a_rotation_that_races_a_log_out_on_another_device_is_over,
    rotations_that_race_each_other_make_one,
    rotations_that_race_sign_ins_at_the_limit_stay_listed,
    a_sign_in_at_the_limit_ends_no_session_that_has_just_got_a_new_id,
    a_rotation_that_lost_the_race_and_the_reply_does_not_split_the_session,
    a_change_after_a_log_out_everywhere_is_told_so,
    a_lost_list_ends_nothing_and_a_lost_user_record_ends_all,
    names_of_a_device_do_not_pile_up,
);

on_memcached!(
    a_sign_in_that_is_cut_off_leaves_nothing_that_anybody_could_use,
    an_elevation_that_is_cut_off_leaves_one_session,
    a_rotation_that_is_cut_off_leaves_one_session_that_can_be_found_and_ended,
    a_log_out_that_is_cut_off_is_done_or_can_be_repeated,
    a_log_out_on_another_device_that_is_cut_off_can_be_repeated,
    a_log_out_everywhere_is_one_write,
    whichever_reply_is_lost_it_is_done_once,
    sixty_four_sign_ins_at_once_keep_the_limit,
    sign_ins_that_race_a_log_out_everywhere_are_listed_or_over,
    a_rotation_that_races_a_log_out_is_over,
    a_rotation_that_races_a_log_out_on_another_device_is_over,
    rotations_that_race_each_other_make_one,
    rotations_that_race_sign_ins_at_the_limit_stay_listed,
    a_sign_in_at_the_limit_ends_no_session_that_has_just_got_a_new_id,
    a_rotation_that_lost_the_race_and_the_reply_does_not_split_the_session,
    a_change_after_a_log_out_everywhere_is_told_so,
);

const LIMIT: usize = 3;
/// More than any verb takes.
const TRIPS_MAX: usize = 12;
const CUTS: [Fault; 2] = [Fault::Cut, Fault::ReplyLost];

struct Scene {
    world: World,
    at_limit: AtLimit,
    sessions: Sessions<Basket>,
}

impl Scene {
    fn new() -> Self {
        Self::of(World::alone(), AtLimit::EvictOldest)
    }

    fn of(world: World, at_limit: AtLimit) -> Self {
        let sessions = process(&Faulty::new(world.backend.clone()), at_limit);
        Self { world, at_limit, sessions }
    }

    /// A process: so many of its calls pass, the next one meets this fault, and none after it
    /// reaches the store.
    fn dying_after(&self, passing: usize, fault: Fault) -> Sessions<Basket> {
        let faulty = Faulty::new(self.world.backend.clone());
        faulty.fail_next(&[Fault::Cut; 1_000]);
        faulty.fail_after(passing, fault);
        process(&faulty, self.at_limit)
    }

    /// A process that loses this reply.
    fn losing_a_reply(&self, passing: usize) -> Sessions<Basket> {
        let faulty = Faulty::new(self.world.backend.clone());
        faulty.fail_after(passing, Fault::ReplyLost);
        process(&faulty, self.at_limit)
    }

    async fn sign_in(&self) -> Result<SessionId, SessionError> {
        sign_in(&self.sessions).await
    }

    async fn sign_in_often(&self, times: usize) -> Vec<SessionId> {
        let mut ids = Vec::new();
        for _ in 0..times {
            ids.push(self.sign_in().await.unwrap());
        }
        ids
    }

    async fn live(&self, id: &SessionId) -> Option<SessionId> {
        self.sessions.peek(id).await.unwrap().map(|session| session.id)
    }

    async fn devices(&self, current: Option<&SessionId>) -> Vec<Device> {
        self.sessions.devices(&alice(), current).await.unwrap()
    }

    /// Those that live are on the list, each as a device of its own, and are no more than may be.
    async fn assert_listed(&self, ids: &[SessionId]) -> usize {
        let mut short_ids = Vec::new();
        for id in ids {
            let Some(id) = self.live(id).await else { continue };
            let devices = self.devices(Some(&id)).await;
            let current = devices.iter().filter(|device| device.current);
            let current: Vec<_> = current.map(|device| device.short_id.clone()).collect();
            assert_eq!(current.len(), 1, "a session lives off its list: {devices:?}");
            short_ids.extend(current);
        }
        short_ids.sort_unstable();
        short_ids.dedup();
        assert!(short_ids.len() <= LIMIT, "{} sessions live", short_ids.len());
        short_ids.len()
    }
}

fn process(faulty: &Arc<Faulty>, at_limit: AtLimit) -> Sessions<Basket> {
    let builder = Sessions::<Basket>::builder(&faulty.store()).idle(IDLE).absolute(ABSOLUTE);
    builder.per_principal_max(LIMIT).at_limit(at_limit).build().unwrap()
}

async fn sign_in(sessions: &Sessions<Basket>) -> Result<SessionId, SessionError> {
    Ok(sessions.sign_in(&alice(), "x", Basket { items: vec![7] }).await?.id)
}

/// Cuts a call off at each of its trips, on a store of its own.
macro_rules! cut_off_everywhere {
    (|$scene:ident, $passing:ident, $fault:ident| $check:block) => {
        for $fault in CUTS {
            let mut done = false;
            for $passing in 0..TRIPS_MAX {
                let $scene = Scene::new();
                let ended: bool = $check;
                if ended {
                    done = true;
                    break;
                }
            }
            assert!(done, "it never came to its end");
        }
    };
}

async fn a_sign_in_that_is_cut_off_leaves_nothing_that_anybody_could_use(_world: World) {
    cut_off_everywhere!(|scene, passing, fault| {
        let mut ids = scene.sign_in_often(LIMIT).await;
        let signed_in = sign_in(&scene.dying_after(passing, fault)).await;
        assert!(scene.live(&ids[1]).await.is_some(), "only the oldest has to go");
        if let Err(SessionError::Store(error)) = &signed_in
            && !error.is_ambiguous()
        {
            assert!(scene.live(&ids[0]).await.is_some(), "and that it went is not said");
        }
        let done = signed_in.is_ok();
        ids.extend(signed_in);
        scene.assert_listed(&ids).await;
        // What is left makes room.
        ids.extend(scene.sign_in_often(LIMIT).await);
        assert_eq!(scene.assert_listed(&ids).await, LIMIT);
        assert_eq!(scene.devices(None).await.len(), LIMIT);
        done
    });
}

async fn an_elevation_that_is_cut_off_leaves_one_session(_world: World) {
    cut_off_everywhere!(|scene, passing, fault| {
        let old = scene.sessions.create(Basket { items: vec![7] }).await.unwrap().id;
        let dying = scene.dying_after(passing, fault);
        let elevated = dying.elevate(&old, &alice(), "x").await;
        let done = elevated.is_ok();
        match elevated {
            Ok(session) => assert!(scene.live(&session.id).await.is_some()),
            Err(SessionError::Store(error)) if !error.is_ambiguous() => {
                assert!(scene.live(&old).await.is_some());
            }
            Err(_) => {}
        }
        if scene.live(&old).await.is_some() {
            assert!(!done, "two sessions are left");
            let again = scene.sessions.elevate(&old, &alice(), "x").await.unwrap();
            scene.assert_listed(&[again.id]).await;
        }
        assert!(matches!(
            scene.sessions.find(&old).await.unwrap(),
            Found::Ended(Ended::RotatedOut)
        ));
        done
    });
}

async fn a_rotation_that_is_cut_off_leaves_one_session_that_can_be_found_and_ended(_: World) {
    for rotation in [Rotation::Renewal, Rotation::PrivilegeChange] {
        cut_off_everywhere!(|scene, passing, fault| {
            let old = scene.sign_in().await.unwrap();
            let dying = scene.dying_after(passing, fault);
            let rotated = dying.rotate(&old, rotation).await;
            let done = rotated.is_ok();
            let lost = matches!(&rotated, Err(SessionError::Store(e)) if e.is_ambiguous());
            let known = match rotated {
                Ok(session) => session.id,
                Err(_) => old,
            };
            let live = scene.live(&known).await;
            assert!(live.is_some() || (lost && rotation == Rotation::PrivilegeChange));
            scene.assert_listed(std::slice::from_ref(&known)).await;
            let devices = scene.devices(live.as_ref()).await;
            assert_eq!(devices.len(), 1, "{devices:?}");
            // It can be rotated, and ended from another device, whatever it is called.
            let again = scene.sessions.rotate(&known, Rotation::Renewal).await;
            assert_eq!(again.is_ok(), live.is_some());
            assert!(scene.sessions.destroy_device(&alice(), &devices[0].short_id).await.unwrap());
            assert_eq!(scene.live(&known).await, None);
            if let Ok(session) = again {
                assert_eq!(scene.live(&session.id).await, None);
            }
            assert!(scene.devices(None).await.is_empty());
            done
        });
    }
}

async fn a_log_out_that_is_cut_off_is_done_or_can_be_repeated(_world: World) {
    cut_off_everywhere!(|scene, passing, fault| {
        let ids = scene.sign_in_often(2).await;
        let dying = scene.dying_after(passing, fault);
        let destroyed = dying.destroy(&ids[0]).await;
        if destroyed.is_ok() {
            assert_eq!(scene.live(&ids[0]).await, None, "it is said to be over");
        }
        scene.sessions.destroy(&ids[0]).await.unwrap();
        assert_eq!(scene.live(&ids[0]).await, None);
        assert_eq!(scene.assert_listed(&ids).await, 1);
        assert_eq!(scene.devices(None).await.len(), 1);
        destroyed.is_ok()
    });
}

async fn a_log_out_on_another_device_that_is_cut_off_can_be_repeated(_world: World) {
    cut_off_everywhere!(|scene, passing, fault| {
        let ids = scene.sign_in_often(2).await;
        let new = scene.sessions.rotate(&ids[0], Rotation::Renewal).await.unwrap().id;
        let short_id = scene.devices(None).await[0].short_id.clone();
        let dying = scene.dying_after(passing, fault);
        let destroyed = dying.destroy_device(&alice(), &short_id).await;
        if destroyed.is_ok() {
            assert_eq!(scene.live(&new).await, None, "it is said to be over");
        }
        let again = scene.sessions.destroy_device(&alice(), &short_id).await;
        assert!(again.is_ok());
        assert_eq!(scene.live(&new).await, None);
        assert_eq!(scene.devices(None).await.len(), 1);
        destroyed.is_ok()
    });
}

async fn a_log_out_everywhere_is_one_write(_world: World) {
    cut_off_everywhere!(|scene, passing, fault| {
        let ids = scene.sign_in_often(LIMIT).await;
        let dying = scene.dying_after(passing, fault);
        let destroyed = dying.destroy_all(&alice()).await;
        let live = scene.assert_listed(&ids).await;
        assert!(live == 0 || (live == LIMIT && destroyed.is_err()));
        let new = scene.sign_in().await.unwrap();
        if live == 0 {
            assert_eq!(scene.devices(Some(&new)).await.len(), 1, "the old list counts for nothing");
        }
        destroyed.is_ok()
    });
}

async fn whichever_reply_is_lost_it_is_done_once(_world: World) {
    for passing in 1..TRIPS_MAX {
        let scene = Scene::new();
        let losing = || scene.losing_a_reply(passing);
        let mut ids = scene.sign_in_often(LIMIT - 1).await;
        ids.push(sign_in(&losing()).await.unwrap());
        assert_eq!(scene.assert_listed(&ids).await, LIMIT);
        for rotation in [Rotation::Renewal, Rotation::PrivilegeChange] {
            let old = ids.pop().unwrap();
            ids.push(losing().rotate(&old, rotation).await.unwrap().id);
            assert_eq!(scene.assert_listed(&ids).await, LIMIT);
        }
        losing().destroy(&ids[0]).await.unwrap();
        assert_eq!(scene.assert_listed(&ids).await, LIMIT - 1);
        let anonymous = scene.sessions.create(Basket::default()).await.unwrap().id;
        ids.push(losing().elevate(&anonymous, &alice(), "x").await.unwrap().id);
        assert_eq!(scene.live(&anonymous).await, None);
        assert_eq!(scene.assert_listed(&ids).await, LIMIT);
        assert_eq!(scene.devices(None).await.len(), LIMIT);
    }
}

async fn sixty_four_sign_ins_at_once_keep_the_limit(_world: World) {
    for at_limit in [AtLimit::EvictOldest, AtLimit::Refuse] {
        let scene = Arc::new(Scene::of(World::alone(), at_limit));
        let sign_ins = (0..64).map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.sign_in().await })
        });
        let mut ids = Vec::new();
        for sign_in in sign_ins.collect::<Vec<_>>() {
            match sign_in.await.unwrap() {
                Ok(id) => ids.push(id),
                Err(SessionError::LimitReached { live }) => assert_eq!(live, LIMIT),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(scene.assert_listed(&ids).await, LIMIT);
        assert_eq!(ids.len(), if at_limit == AtLimit::Refuse { LIMIT } else { 64 });
        assert_eq!(scene.devices(None).await.len(), LIMIT);
    }
}

async fn sign_ins_that_race_a_log_out_everywhere_are_listed_or_over(_world: World) {
    let scene = Arc::new(Scene::new());
    for _round in 0..30 {
        let before = scene.sign_in().await.unwrap();
        let sign_ins = (0..4).map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.sign_in().await.unwrap() })
        });
        let sign_ins = sign_ins.collect::<Vec<_>>();
        scene.sessions.destroy_all(&alice()).await.unwrap();
        let mut ids = Vec::new();
        for sign_in in sign_ins {
            ids.push(sign_in.await.unwrap());
        }
        assert_eq!(scene.live(&before).await, None, "it came back");
        let live = scene.assert_listed(&ids).await;
        assert_eq!(scene.devices(None).await.len(), live);
        scene.sessions.destroy_all(&alice()).await.unwrap();
        assert_eq!(scene.assert_listed(&ids).await, 0);
    }
}

/// Runs both at the same time.
async fn race<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    (one.await.unwrap(), other.await.unwrap())
}

async fn a_rotation_that_races_a_log_out_is_over(_world: World) {
    let scene = Arc::new(Scene::new());
    for _round in 0..50 {
        let old = scene.sign_in().await.unwrap();
        let (id, sessions) = (old.clone(), scene.sessions.clone());
        let rotate = async move { sessions.rotate(&id, Rotation::Renewal).await };
        let (id, sessions) = (old.clone(), scene.sessions.clone());
        let (rotated, destroyed) = race(rotate, async move { sessions.destroy(&id).await }).await;
        destroyed.unwrap();
        assert_eq!(scene.live(&old).await, None);
        if let Ok(session) = rotated {
            assert_eq!(scene.live(&session.id).await, None);
        }
        assert!(scene.devices(None).await.is_empty());
    }
}

async fn a_rotation_that_races_a_log_out_on_another_device_is_over(_world: World) {
    let scene = Arc::new(Scene::new());
    for _round in 0..50 {
        let old = scene.sign_in().await.unwrap();
        let short_id = scene.devices(None).await[0].short_id.clone();
        let (id, sessions) = (old.clone(), scene.sessions.clone());
        let rotate = async move { sessions.rotate(&id, Rotation::PrivilegeChange).await };
        let sessions = scene.sessions.clone();
        let destroy = async move { sessions.destroy_device(&alice(), &short_id).await };
        let (rotated, destroyed) = race(rotate, destroy).await;
        assert!(destroyed.unwrap());
        assert_eq!(scene.live(&old).await, None);
        if let Ok(session) = rotated {
            assert_eq!(scene.live(&session.id).await, None, "it lives on under its new id");
        }
        assert!(scene.devices(None).await.is_empty());
    }
}

async fn rotations_that_race_each_other_make_one(_world: World) {
    let scene = Arc::new(Scene::new());
    for _round in 0..30 {
        let old = scene.sign_in().await.unwrap();
        let rotations = (0..4).map(|_| {
            let (id, sessions) = (old.clone(), scene.sessions.clone());
            tokio::spawn(async move { sessions.rotate(&id, Rotation::PrivilegeChange).await })
        });
        let mut won = Vec::new();
        for rotation in rotations.collect::<Vec<_>>() {
            match rotation.await.unwrap() {
                Ok(session) => won.push(session.id),
                Err(SessionError::Gone(ended)) => assert_eq!(ended, Ended::RotatedOut),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won.len(), 1, "the session was split");
        assert_eq!(scene.assert_listed(&won).await, 1);
        assert_eq!(scene.devices(None).await.len(), 1);
        scene.sessions.destroy(&won[0]).await.unwrap();
        assert!(scene.devices(None).await.is_empty());
    }
}

async fn rotations_that_race_sign_ins_at_the_limit_stay_listed(_world: World) {
    let scene = Arc::new(Scene::new());
    let mut ids = scene.sign_in_often(LIMIT).await;
    for _round in 0..30 {
        let rotations = ids.iter().cloned().map(|id| {
            let sessions = scene.sessions.clone();
            tokio::spawn(async move { sessions.rotate(&id, Rotation::Renewal).await })
        });
        let rotations = rotations.collect::<Vec<_>>();
        let sign_ins = (0..2).map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.sign_in().await.unwrap() })
        });
        let sign_ins = sign_ins.collect::<Vec<_>>();
        ids.clear();
        for rotation in rotations {
            match rotation.await.unwrap() {
                Ok(session) => ids.push(session.id),
                Err(SessionError::Gone(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        for sign_in in sign_ins {
            ids.push(sign_in.await.unwrap());
        }
        let live = scene.assert_listed(&ids).await;
        assert_eq!(scene.devices(None).await.len(), live);
    }
}

/// Goes on with a call until it is about to make this trip.
async fn until_trip(trip: usize, faulty: &Faulty, mut call: Pin<&mut impl Future>) {
    let mut trips = faulty.trips();
    while trips <= trip {
        std::future::poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        trips += faulty.trips();
    }
}

/// Else nothing would tell whoever has the old id that the session goes on.
async fn a_sign_in_at_the_limit_ends_no_session_that_has_just_got_a_new_id(_world: World) {
    let scene = Scene::new();
    let ids = scene.sign_in_often(LIMIT).await;
    let slow = Faulty::new(scene.world.backend.clone());
    let sessions = process(&slow, AtLimit::EvictOldest);
    // It reads the list and the sessions on it, writes two records, ends the oldest, and dies.
    slow.fail_next(&[Fault::Cut; 1_000]);
    slow.fail_after(5, Fault::Cut);
    let mut late = pin!(sign_in(&sessions));
    until_trip(4, &slow, late.as_mut()).await;
    let new = scene.sessions.rotate(&ids[0], Rotation::Renewal).await.unwrap().id;
    assert!(late.await.is_err());
    assert_eq!(scene.live(&ids[0]).await, Some(new));
    assert_eq!(scene.assert_listed(&ids).await, LIMIT);
}

/// What stands there then is another rotation's mark, and looks like its own.
async fn a_rotation_that_lost_the_race_and_the_reply_does_not_split_the_session(_: World) {
    let scene = Scene::new();
    let old = scene.sign_in().await.unwrap();
    let slow = Faulty::new(scene.world.backend.clone());
    let sessions = crate::world::sessions(&slow.store());
    // It reads, makes the session, lists it, and then would end the old id.
    slow.fail_after(3, Fault::ReplyLost);
    let mut rotate = pin!(sessions.rotate(&old, Rotation::PrivilegeChange));
    until_trip(3, &slow, rotate.as_mut()).await;
    let won = scene.sessions.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
    let lost = rotate.await;
    assert!(matches!(lost, Err(SessionError::Gone(Ended::RotatedOut))), "{lost:?}");
    assert_eq!(scene.assert_listed(&[won]).await, 1);
    assert_eq!(scene.devices(None).await.len(), 1);
}

/// The request had read the session before; no transaction tells it that the session is over.
async fn a_change_after_a_log_out_everywhere_is_told_so(_world: World) {
    let scene = Scene::new();
    let id = scene.sign_in().await.unwrap();
    let request = SessionHandle::new(&scene.sessions, Some(id), Mode::Normal);
    assert!(request.get().await.unwrap().is_some());
    scene.sessions.destroy_all(&alice()).await.unwrap();
    let late = request.update(|basket| basket.items.push(1)).await;
    assert!(matches!(late, Err(SessionError::Gone(Ended::Revoked))), "{late:?}");
}

/// A store that drops entries may drop any. Which it drops decides who is logged out.
async fn a_lost_list_ends_nothing_and_a_lost_user_record_ends_all(_world: World) {
    let scene = Scene::new();
    let ids = scene.sign_in_often(2).await;
    lose(&scene.world, "devices").await;
    for id in &ids {
        assert!(scene.live(id).await.is_some());
        scene.sessions.update(id, |basket| basket.items.push(1)).await.unwrap();
    }
    assert!(scene.devices(None).await.is_empty(), "they are not listed any more");
    let new = scene.sign_in().await.unwrap();
    assert_eq!(scene.devices(Some(&new)).await.len(), 1);
    // They can still be ended, all of them.
    scene.sessions.destroy(&ids[0]).await.unwrap();
    assert_eq!(scene.live(&ids[0]).await, None);
    lose(&scene.world, "user").await;
    for id in [&ids[1], &new] {
        assert!(matches!(scene.sessions.find(id).await.unwrap(), Found::Ended(Ended::Revoked)));
    }
    let back = scene.sign_in().await.unwrap();
    assert_eq!(scene.live(&new).await, None, "it came back");
    assert_eq!(scene.assert_listed(&[back]).await, 1);
}

async fn lose(world: &World, name: &str) {
    for (key, _bytes) in crate::world::stored_bytes(world).await {
        if key.name() == name {
            world.store.delete(&key).await.unwrap();
        }
    }
}

async fn names_of_a_device_do_not_pile_up(_world: World) {
    let scene = Scene::new();
    let mut id = scene.sign_in().await.unwrap();
    let list_len = async || {
        let stored = crate::world::stored_bytes(&scene.world).await;
        stored.iter().find(|(key, _)| key.name() == "devices").map(|(_, bytes)| bytes.len())
    };
    let mut lens = Vec::new();
    for _rotation in 0..5 {
        id = scene.sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
        lens.push(list_len().await);
    }
    lens.dedup();
    assert_eq!(lens.len(), 1, "{lens:?}");
    let bob = Principal::new("bob").unwrap();
    assert!(scene.sessions.devices(&bob, Some(&id)).await.unwrap().is_empty());
}
