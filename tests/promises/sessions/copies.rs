//! A process may keep copies of sessions. What changes a session is decided on what the store has:
//! others decide on their copy, and lose the change that their copy seems to have already.

use std::sync::Arc;
use std::time::Duration;

use steadfast::session::{
    Attribute, Edit, Ended, Mode, Outcome, Rotation, SessionError, SessionHandle, SessionId,
};
use steadfast::store::{Freshness, NearConfig, Reads};
use steadfast::{Principal, Sessions, Store};

use crate::fault::{Fault, Faulty};
use crate::world::{
    ABSOLUTE, Basket, IDLE, World, alice, on_every_backend, sessions, unsigned_and_signed,
};

on_every_backend!(
    a_change_that_the_copy_has_already_is_made_on_what_the_store_has,
    an_expectation_is_about_what_the_store_has,
    a_change_of_a_session_that_was_ended_elsewhere_is_gone,
    a_session_begins_though_the_copy_is_of_one_that_was_ended_elsewhere,
    a_change_fails_in_an_outage_though_the_copy_has_it_already,
    a_session_that_is_served_in_an_outage_is_signed_in_after_it,
    of_several_ids_a_change_is_made_in_the_session_that_is_live_now,
    of_several_ids_what_is_meant_for_one_principal_stays_out_of_the_session_of_another,
    of_several_ids_a_log_out_ends_the_one_that_is_live_now;
    an_edit_with_a_copy_takes_as_many_trips_as_one_without,
);

/// A process that keeps copies, and one that keeps none.
struct Replicas {
    faulty: Arc<Faulty>,
    here: Sessions<Basket>,
    there: Sessions<Basket>,
}

const KEEP: Duration = Duration::from_secs(60);

impl Replicas {
    fn new(world: &World, reads: Reads) -> Self {
        let faulty = Faulty::new(world.backend.clone());
        let near = NearConfig::default().keep(KEEP);
        let store = Store::builder(faulty.clone()).attempts(1).near(near).build().unwrap();
        let here = Sessions::builder(&store).idle(IDLE).absolute(ABSOLUTE).reads(reads);
        Self { faulty, here: here.build().unwrap(), there: sessions(&world.store) }
    }

    /// Requests of here, each of which has a copy that says "dark" and 1 where the store says
    /// "light" and 2.
    async fn requests(&self) -> Vec<SessionHandle<Basket>> {
        let mut requests = Vec::new();
        for id in unsigned_and_signed(&self.there).await {
            self.there.update(&id, |basket| basket.items = vec![1]).await.unwrap();
            self.there.edit(&id, &theme("dark")).await.unwrap();
            assert!(self.here.load(&id).await.unwrap().is_some());
            self.there.update(&id, |basket| basket.items = vec![2]).await.unwrap();
            self.there.edit(&id, &theme("light")).await.unwrap();
            requests.push(SessionHandle::new(&self.here, Some(id), Mode::Normal));
        }
        self.faulty.trips();
        requests
    }

    /// What the store has of the session of a request.
    async fn stored(&self, request: &SessionHandle<Basket>) -> (Vec<u32>, Option<Attribute>) {
        let id = request.get().await.unwrap().unwrap().id.clone();
        let session = self.there.load(&id).await.unwrap().unwrap();
        (session.state.items, session.attributes.get("theme").cloned())
    }
}

fn theme(name: &str) -> Edit {
    Edit::new().set("theme", name)
}

fn text(name: &str) -> Attribute {
    Attribute::from(name)
}

async fn is_copy(request: &SessionHandle<Basket>) -> bool {
    let session = request.get().await.unwrap().unwrap();
    assert_eq!(
        (&session.state.items[..], session.attributes.get("theme")),
        (&[1][..], Some(&text("dark")))
    );
    session.freshness != Freshness::Fresh
}

async fn a_change_that_the_copy_has_already_is_made_on_what_the_store_has(world: World) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    for request in replicas.requests().await {
        assert!(is_copy(&request).await);
        request.update(|basket| basket.items = vec![1]).await.unwrap();
        assert_eq!(replicas.stored(&request).await, (vec![1], Some(text("light"))));
        request.edit(theme("dark")).await.unwrap();
        assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));
        assert_eq!(replicas.stored(&request).await, (vec![1], Some(text("dark"))));
    }
    // The edit first.
    for request in replicas.requests().await {
        assert!(is_copy(&request).await);
        request.edit(theme("dark")).await.unwrap();
        assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));
        assert_eq!(replicas.stored(&request).await, (vec![2], Some(text("dark"))));
    }
}

async fn an_expectation_is_about_what_the_store_has(world: World) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    for request in replicas.requests().await {
        assert!(is_copy(&request).await);
        let fits = Edit::new().expect("theme", Some(text("light"))).set("seen", true);
        request.edit(fits).await.unwrap();
        assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));
    }
    for request in replicas.requests().await {
        assert!(is_copy(&request).await);
        let refused = request.edit(Edit::new().expect("theme", Some(text("dark")))).await;
        assert!(matches!(refused, Err(SessionError::Changed)), "{refused:?}");
        // What the request saw next is why.
        let seen = request.get().await.unwrap().unwrap();
        assert_eq!(seen.attributes.get("theme"), Some(&text("light")));
    }
}

async fn a_change_of_a_session_that_was_ended_elsewhere_is_gone(world: World) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    for by_update in [false, true] {
        for request in replicas.requests().await {
            assert!(is_copy(&request).await);
            let id = request.get().await.unwrap().unwrap().id.clone();
            replicas.there.destroy(&id).await.unwrap();
            let changed = if by_update {
                request.update(|basket| basket.items = vec![1]).await
            } else {
                request.edit(theme("dark")).await
            };
            assert!(matches!(changed, Err(SessionError::Gone(Ended::Missing))), "{changed:?}");
        }
    }
}

async fn a_session_begins_though_the_copy_is_of_one_that_was_ended_elsewhere(world: World) {
    for (signs_in, by_update) in [(false, false), (false, true), (true, false), (true, true)] {
        // A sign-in reads later what it made, which may take the place of a copy.
        let replicas = Replicas::new(&world, Reads::within(KEEP));
        let requests = replicas.requests().await;
        for request in &requests {
            assert!(is_copy(request).await);
        }
        for request in requests {
            let id = request.get().await.unwrap().unwrap().id.clone();
            replicas.there.destroy(&id).await.unwrap();
            if signs_in {
                request.sign_in(&alice(), "laptop", Basket::default()).await.unwrap();
            } else {
                let _before = replicas.faulty.trips();
                request.start(Basket::default()).await.unwrap();
                assert_eq!(replicas.faulty.trips(), 0, "the copy will do until it is changed");
            }
            if by_update {
                request.update(|basket| basket.items.push(3)).await.unwrap();
            } else {
                request.edit(theme("blue")).await.unwrap();
            }
            let Outcome::HandOver(new) = request.commit().await.unwrap() else { panic!("new") };
            assert_eq!((new.principal.is_some(), new.id != id), (signs_in, true));
            let (items, theme) = replicas.stored(&request).await;
            if by_update {
                assert_eq!((items, theme), (vec![3], None));
            } else {
                assert_eq!((items, theme), (vec![], Some(text("blue"))));
            }
        }
    }
}

async fn a_change_fails_in_an_outage_though_the_copy_has_it_already(world: World) {
    let replicas = Replicas::new(&world, Reads::latest().serve_stale(KEEP));
    let requests = replicas.requests().await;
    replicas.faulty.fail_next(&[Fault::Cut; 1_000]);
    for request in requests {
        assert!(is_copy(&request).await);
        let updated = request.update(|basket| basket.items = vec![1]).await;
        for changed in [updated, request.edit(theme("dark")).await] {
            let Err(SessionError::Store(error)) = changed else { panic!("{changed:?}") };
            assert!(error.is_outage(), "{error}");
        }
        assert!(is_copy(&request).await, "it is served as before");
    }
}

async fn a_session_that_is_served_in_an_outage_is_signed_in_after_it(world: World) {
    for ends in [false, true] {
        let replicas = Replicas::new(&world, Reads::latest().serve_stale(KEEP));
        let requests = replicas.requests().await;
        replicas.faulty.fail_next(&[Fault::Cut; 1_000]);
        for request in &requests {
            request.start(Basket::default()).await.unwrap();
            request.sign_in(&alice(), "laptop", Basket::default()).await.unwrap();
            assert!(is_copy(request).await, "it is served as before");
        }
        replicas.faulty.heal();
        for request in requests {
            let id = request.get().await.unwrap().unwrap().id.clone();
            if ends {
                replicas.there.destroy(&id).await.unwrap();
            }
            request.edit(theme("blue")).await.unwrap();
            let Outcome::HandOver(new) = request.commit().await.unwrap() else { panic!("new") };
            assert!(new.principal.is_some());
            let items = if ends { vec![] } else { vec![2] };
            assert_eq!(replicas.stored(&request).await, (items, Some(text("blue"))));
        }
    }
}

/// Ended elsewhere, while this process has a copy of it.
async fn end_elsewhere(replicas: &Replicas, id: &SessionId) {
    assert!(replicas.here.load(id).await.unwrap().is_some());
    replicas.there.destroy(id).await.unwrap();
}

async fn of_several_ids_a_change_is_made_in_the_session_that_is_live_now(world: World) {
    for verb in ["edit", "update", "rotate", "start", "sign in"] {
        // A sign-in reads later what it made, which may take the place of a copy.
        let replicas = Replicas::new(&world, Reads::within(KEEP));
        let (dead, live) = (
            unsigned_and_signed(&replicas.there).await,
            unsigned_and_signed(&replicas.there).await,
        );
        let mut requests = Vec::new();
        for (dead, live) in dead.into_iter().zip(live) {
            end_elsewhere(&replicas, &dead).await;
            let ids = vec![dead.clone(), live.clone()];
            let request = SessionHandle::of_several(&replicas.here, ids, Mode::Normal);
            assert_eq!(request.get().await.unwrap().unwrap().id, dead);
            requests.push((live, request));
        }
        for (live, request) in requests {
            match verb {
                "edit" => request.edit(theme("blue")).await,
                "update" => request.update(|basket| basket.items.push(3)).await,
                "rotate" => request.rotate().await,
                "start" => {
                    request.start(Basket::default()).await.unwrap();
                    request.edit(theme("blue")).await
                }
                _ => request.sign_in(&alice(), "laptop", Basket::default()).await,
            }
            .unwrap();
            assert_eq!(request.get().await.unwrap().unwrap().id, live, "{verb}");
            let outcome = request.commit().await.unwrap();
            let renames = ["rotate", "sign in"].contains(&verb);
            assert!(matches!(outcome, Outcome::HandOver(_)) == renames, "{verb}: {outcome:?}");
            assert!(renames || matches!(outcome, Outcome::Keep), "{verb}: {outcome:?}");
            let (items, theme) = replicas.stored(&request).await;
            assert_eq!(items.contains(&3), verb == "update");
            assert_eq!(theme.is_some(), ["edit", "start"].contains(&verb));
        }
    }
}

async fn of_several_ids_what_is_meant_for_one_principal_stays_out_of_the_session_of_another(
    world: World,
) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    let bob = Principal::new("bob").unwrap();
    let alices = replicas.there.sign_in(&alice(), "laptop", Basket::default()).await.unwrap().id;
    let bobs = replicas.there.sign_in(&bob, "laptop", Basket::default()).await.unwrap().id;
    end_elsewhere(&replicas, &alices).await;
    let ids = vec![alices, bobs.clone()];
    let request = SessionHandle::of_several(&replicas.here, ids, Mode::Normal);
    assert_eq!(request.get().await.unwrap().unwrap().principal.as_deref(), Some("alice"));
    let refused = request.edit(theme("hers")).await;
    assert!(matches!(refused, Err(SessionError::Gone(Ended::Missing))), "{refused:?}");
    assert!(matches!(request.commit().await.unwrap(), Outcome::Keep), "bob's goes on");
    let session = replicas.there.load(&bobs).await.unwrap().unwrap();
    assert_eq!(session.attributes.get("theme"), None);
}

/// The first id's copy is of a session that has another id by now.
async fn of_several_ids_a_log_out_ends_the_one_that_is_live_now(world: World) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    for looks_first in [false, true] {
        for old in unsigned_and_signed(&replicas.there).await {
            assert!(replicas.here.load(&old).await.unwrap().is_some());
            let new = replicas.there.rotate(&old, Rotation::PrivilegeChange).await.unwrap().id;
            let ids = vec![old.clone(), new.clone()];
            let request = SessionHandle::of_several(&replicas.here, ids, Mode::Normal);
            if looks_first {
                assert_eq!(request.get().await.unwrap().unwrap().id, old);
            }
            request.destroy().await.unwrap();
            assert!(matches!(request.commit().await.unwrap(), Outcome::Remove));
            assert!(replicas.there.load(&new).await.unwrap().is_none());
        }
    }
}

/// Where versions are no times, the copy is renewed after a write, which is one trip more.
async fn an_edit_with_a_copy_takes_as_many_trips_as_one_without(world: World) {
    let replicas = Replicas::new(&world, Reads::within(KEEP));
    let without = sessions(&replicas.faulty.store());
    for with_copy in replicas.requests().await {
        assert!(is_copy(&with_copy).await);
        assert_eq!(replicas.faulty.trips(), 0);
        let id = with_copy.get().await.unwrap().unwrap().id.clone();
        let trips = async |request: SessionHandle<Basket>| {
            for _edit in 0..3 {
                request.edit(Edit::new().increment("edits", 1)).await.unwrap();
            }
            assert!(matches!(request.commit().await.unwrap(), Outcome::Keep));
            replicas.faulty.trips()
        };
        let without = trips(SessionHandle::new(&without, Some(id), Mode::Normal)).await;
        assert_eq!(trips(with_copy).await, without);
    }
}
