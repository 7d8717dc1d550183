//! Others delete the old session and write the new one later: a response that fails in between
//! logs the user out, and requests at the same time split the session or lose it.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::session::{
    Edit, Ended, Found, Mode, Outcome, Rotation, SessionError, SessionHandle, SessionId,
};

use crate::fault::{Fault, Faulty};
use crate::world::{
    ABSOLUTE, Basket, IDLE, SECOND, World, alice, on_every_backend, on_servers, sessions,
    unsigned_and_signed,
};

on_every_backend!(
    within_the_grace_the_old_id_finds_the_session_and_its_new_id,
    after_the_grace_the_old_id_is_known_to_be_rotated_away,
    a_change_of_privileges_leaves_no_grace,
    renewals_at_once_agree_on_one_new_id,
    an_update_with_the_old_id_reaches_the_session,
    an_update_that_races_a_rotation_is_not_lost,
    a_logout_with_the_old_id_ends_the_session,
    a_rotation_does_not_move_the_absolute_end,
    a_rotation_keeps_the_place_on_the_device_list,
    a_renewal_is_due_when_the_id_is_old,
    a_rotation_that_the_store_refused_left_the_old_session,
    a_rotation_whose_reply_was_lost_is_recognised,
    a_dead_session_is_not_rotated,
    a_log_out_with_an_id_that_was_rotated_out_does_not_claim_to_have_ended_it,
    a_log_out_by_a_request_that_found_no_session_does_not_claim_to_have_ended_it,
    renewals_at_once_with_changes_wait_for_nobody,
    a_renewed_session_is_as_the_version_that_it_has,
);

on_servers!(
    a_change_of_privileges_leaves_no_grace,
    renewals_at_once_agree_on_one_new_id,
    an_update_with_the_old_id_reaches_the_session,
    an_update_that_races_a_rotation_is_not_lost,
    a_logout_with_the_old_id_ends_the_session,
    a_rotation_keeps_the_place_on_the_device_list,
    a_rotation_that_the_store_refused_left_the_old_session,
    a_rotation_whose_reply_was_lost_is_recognised,
    a_log_out_with_an_id_that_was_rotated_out_does_not_claim_to_have_ended_it,
    a_log_out_by_a_request_that_found_no_session_does_not_claim_to_have_ended_it,
);

const GRACE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);

async fn within_the_grace_the_old_id_finds_the_session_and_its_new_id(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        sessions.update(&old, |basket| basket.items.push(7)).await.unwrap();
        let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap();
        assert_ne!(new.id, old);
        world.clock.advance(GRACE - TICK);
        // The response that carried the new id was lost; a retry with the old one learns it.
        let late = sessions.load(&old).await.unwrap().unwrap();
        assert_eq!((late.id, late.state.items), (new.id, vec![7]));
    }
}

async fn after_the_grace_the_old_id_is_known_to_be_rotated_away(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
        world.clock.advance(GRACE + TICK);
        assert!(matches!(sessions.find(&old).await.unwrap(), Found::Ended(Ended::RotatedOut)));
        let late = sessions.update(&old, |basket| basket.items.clear()).await;
        assert!(matches!(late, Err(SessionError::Gone(Ended::RotatedOut))));
        assert!(sessions.load(&new).await.unwrap().is_some());
        world.clock.advance(Duration::from_secs(120));
        assert!(matches!(sessions.find(&old).await.unwrap(), Found::Ended(Ended::Missing)));
    }
}

async fn a_change_of_privileges_leaves_no_grace(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        let new = sessions.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
        assert!(matches!(sessions.find(&old).await.unwrap(), Found::Ended(Ended::RotatedOut)));
        assert!(sessions.load(&new).await.unwrap().is_some());
    }
}

async fn renewals_at_once_agree_on_one_new_id(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    for old in unsigned_and_signed(&sessions).await {
        let renewals = (0..8).map(|_| {
            let (sessions, old) = (sessions.clone(), old.clone());
            tokio::spawn(async move { sessions.rotate(&old, Rotation::Renewal).await })
        });
        let mut ids = Vec::new();
        for renewal in renewals.collect::<Vec<_>>() {
            ids.push(renewal.await.unwrap().unwrap().id.expose());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
}

async fn an_update_with_the_old_id_reaches_the_session(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
        sessions.update(&old, |basket| basket.items.push(1)).await.unwrap();
        assert_eq!(sessions.load(&new).await.unwrap().unwrap().state.items, [1]);
    }
}

async fn an_update_that_races_a_rotation_is_not_lost(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    for _round in 0..10 {
        for old in unsigned_and_signed(&sessions).await {
            let updates = (0..4).map(|item| {
                let (sessions, old) = (sessions.clone(), old.clone());
                let add = move |basket: &mut Basket| basket.items.push(item);
                tokio::spawn(async move { sessions.update(&old, add).await })
            });
            let updates = updates.collect::<Vec<_>>();
            let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
            for update in updates {
                update.await.unwrap().unwrap();
            }
            let mut items = sessions.load(&new).await.unwrap().unwrap().state.items;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3]);
        }
    }
}

async fn a_logout_with_the_old_id_ends_the_session(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
        sessions.destroy(&old).await.unwrap();
        assert!(sessions.load(&new).await.unwrap().is_none());
        assert!(sessions.load(&old).await.unwrap().is_none());
    }
}

async fn a_rotation_does_not_move_the_absolute_end(world: World) {
    let sessions = world.sessions();
    for signed in [false, true] {
        let mut id = unsigned_and_signed(&sessions).await[usize::from(signed)].clone();
        let steps = 12;
        for step in 1..steps {
            world.clock.advance(ABSOLUTE / steps);
            let session = sessions.rotate(&id, Rotation::Renewal).await.unwrap();
            // Versions of one instant differ by a microsecond.
            let left = ABSOLUTE - ABSOLUTE / steps * step;
            assert!(session.absolute_left.abs_diff(left) < TICK);
            id = session.id;
        }
        world.clock.advance(ABSOLUTE / steps - TICK);
        assert!(sessions.load(&id).await.unwrap().is_some(), "early");
        world.clock.advance(TICK * 2);
        assert!(sessions.load(&id).await.unwrap().is_none(), "late");
    }
}

async fn a_rotation_keeps_the_place_on_the_device_list(world: World) {
    let sessions = world.sessions();
    let old = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    sessions.sign_in(&alice(), "phone", Basket::default()).await.unwrap();
    let before = sessions.devices(&alice(), Some(&old)).await.unwrap();
    let new = sessions.rotate(&old, Rotation::Renewal).await.unwrap().id;
    let after = sessions.devices(&alice(), Some(&new)).await.unwrap();
    let shown = |devices: &[steadfast::session::Device]| {
        devices.iter().map(|d| (d.short_id.clone(), d.label.clone(), d.current)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&before), shown(&after));
    // Ended from the list by the name it had before it was rotated.
    assert!(sessions.destroy_device(&alice(), &before[0].short_id).await.unwrap());
    assert!(sessions.load(&new).await.unwrap().is_none());
    assert!(!sessions.destroy_device(&alice(), &before[0].short_id).await.unwrap());
}

async fn a_renewal_is_due_when_the_id_is_old(world: World) {
    let builder = steadfast::Sessions::<Basket>::builder(&world.store);
    let sessions = builder.idle(IDLE).renewal(IDLE).build().unwrap();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    world.clock.advance(IDLE / 2);
    sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
    world.clock.advance(IDLE / 2 - TICK);
    assert!(!sessions.load(&id).await.unwrap().unwrap().renewal_due, "early");
    world.clock.advance(TICK);
    assert!(sessions.load(&id).await.unwrap().unwrap().renewal_due);
    let id = sessions.rotate(&id, Rotation::Renewal).await.unwrap().id;
    assert!(!sessions.load(&id).await.unwrap().unwrap().renewal_due);
}

async fn a_rotation_that_the_store_refused_left_the_old_session(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for old in unsigned_and_signed(&sessions).await {
        faulty.fail_after(1, Fault::Cut);
        assert!(sessions.rotate(&old, Rotation::Renewal).await.is_err());
        let session = sessions.load(&old).await.unwrap().unwrap();
        assert_eq!(session.id, old);
    }
}

async fn a_rotation_whose_reply_was_lost_is_recognised(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    for old in unsigned_and_signed(&sessions).await {
        faulty.fail_after(1, Fault::ReplyLost);
        let new = sessions.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
        assert!(sessions.load(&new).await.unwrap().is_some());
        assert!(sessions.load(&old).await.unwrap().is_none());
    }
}

async fn a_dead_session_is_not_rotated(world: World) {
    let sessions = world.sessions();
    for id in unsigned_and_signed(&sessions).await {
        sessions.destroy(&id).await.unwrap();
        let dead = sessions.rotate(&id, Rotation::Renewal).await;
        assert!(matches!(dead, Err(SessionError::Gone(Ended::Missing))));
    }
    let id = sessions.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    sessions.destroy_all(&alice()).await.unwrap();
    let dead = sessions.rotate(&id, Rotation::PrivilegeChange).await;
    assert!(matches!(dead, Err(SessionError::Gone(Ended::Revoked))));
    world.clock.advance(SECOND);
}

async fn a_log_out_with_an_id_that_was_rotated_out_does_not_claim_to_have_ended_it(world: World) {
    let sessions = world.sessions();
    for old in unsigned_and_signed(&sessions).await {
        let new = sessions.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
        let refused = sessions.destroy(&old).await;
        assert!(matches!(refused, Err(SessionError::Gone(Ended::RotatedOut))), "{refused:?}");
        assert!(sessions.load(&new).await.unwrap().is_some());
        sessions.destroy(&new).await.unwrap();
    }
}

/// As the one before, where the request has looked for its session first.
async fn a_log_out_by_a_request_that_found_no_session_does_not_claim_to_have_ended_it(
    world: World,
) {
    let sessions = world.sessions();
    let request = |ids: &[&SessionId]| {
        let ids = ids.iter().copied().cloned().collect();
        SessionHandle::of_several(&sessions, ids, Mode::Normal)
    };
    let [unsigned, signed] = unsigned_and_signed(&sessions).await;
    let dead = sessions.create(Basket::default()).await.unwrap().id;
    sessions.destroy(&dead).await.unwrap();
    for old in [unsigned, signed] {
        let new = sessions.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
        for ids in [&[&old][..], &[&old, &dead], &[&dead, &old]] {
            for looks_first in [false, true] {
                let request = request(ids);
                if looks_first {
                    assert!(request.get().await.unwrap().is_none());
                }
                let refused = request.destroy().await;
                let is_refused = matches!(refused, Err(SessionError::Gone(Ended::RotatedOut)));
                assert!(is_refused, "{refused:?}");
                assert!(sessions.load(&new).await.unwrap().is_some());
                // The browser may have the new id already.
                assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));
            }
        }
        // Which leads to the session.
        let request = request(&[&old, &new]);
        assert!(request.get().await.unwrap().is_some());
        request.destroy().await.unwrap();
        assert!(matches!(request.commit().await.unwrap(), Outcome::Remove));
        assert!(sessions.load(&new).await.unwrap().is_none());
    }
}

/// Who lost the race for a renewal holds a turn, and so does who edits what the winner left: of
/// these many sessions some have an old and a new id that share one.
async fn renewals_at_once_with_changes_wait_for_nobody(world: World) {
    let store = Faulty::new(world.backend.clone()).store();
    let builder = steadfast::Sessions::<Basket>::builder(&store).idle(IDLE).renewal(SECOND);
    let sessions = builder.build().unwrap();
    let mut ids = Vec::new();
    for _session in 0..128 {
        ids.push(sessions.create(Basket::default()).await.unwrap().id);
    }
    world.clock.advance(SECOND * 2);
    let requests = ids.iter().flat_map(|id| [id; 3]).enumerate().map(|(n, id)| {
        let handle = SessionHandle::new(&sessions, Some(id.clone()), Mode::Normal);
        tokio::spawn(async move {
            handle.get().await.unwrap().unwrap();
            handle.edit(Edit::new().set(format!("a{n}"), true)).await.unwrap();
            let Outcome::HandOver(session) = handle.commit().await.unwrap() else { panic!("kept") };
            session.id.clone()
        })
    });
    let requests = requests.collect::<Vec<_>>();
    for request in requests {
        let ended = tokio::time::timeout(SECOND * 60, request).await;
        let Ok(id) = ended else { panic!("a renewal waits for itself") };
        let id = id.unwrap();
        assert_eq!(sessions.load(&id).await.unwrap().unwrap().id, id);
    }
}

/// Another request has renewed the id, and a third one changes the session before each trip in
/// turn. A client that is told the version may overwrite what has it.
async fn a_renewed_session_is_as_the_version_that_it_has(world: World) {
    let (faulty, others) = (Faulty::new(world.backend.clone()), world.sessions());
    let builder = steadfast::Sessions::<Basket>::builder(&faulty.store()).idle(IDLE);
    let sessions = builder.renewal(SECOND).build().unwrap();
    let mut trip = 0;
    loop {
        let old = others.create(Basket::default()).await.unwrap().id;
        world.clock.advance(SECOND * 2);
        let request = SessionHandle::new(&sessions, Some(old.clone()), Mode::Normal);
        request.edit(Edit::new().increment("edits", 1)).await.unwrap();
        let new = others.rotate(&old, Rotation::Renewal).await.unwrap().id;
        faulty.trips();
        let mut commit = pin!(request.commit());
        let (mut early, mut trips) = (None, 0);
        while early.is_none() && trips <= trip {
            early = poll_fn(|context| match commit.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
            trips += faulty.trips();
            tokio::task::yield_now().await;
        }
        if early.is_some() {
            break;
        }
        others.update(&new, |basket| basket.items.push(1)).await.unwrap();
        others.edit(&new, &Edit::new().increment("edits", 1)).await.unwrap();
        let Outcome::HandOver(got) = commit.await.unwrap() else { panic!("kept") };
        let stored = others.load(&new).await.unwrap().unwrap();
        assert_eq!((&got.id, got.version), (&new, stored.version), "before trip {trip}");
        let (got, stored) = ((&got.state, &got.attributes), (&stored.state, &stored.attributes));
        assert_eq!(got, stored, "before trip {trip}");
        trip += 1;
    }
    // It found the old id, then the new one; it read that, and wrote.
    assert_eq!(trip, 4);
}
