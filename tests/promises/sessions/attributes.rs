//! Parallel requests of one session overwrite each other's changes in most session stores, since
//! the unit written is the whole session. A merge of whole blobs loses deletions instead.

use steadfast::session::{Attribute, Attributes, Edit, Mode, SessionError, SessionHandle};

use crate::fault::Faulty;
use crate::world::{Basket, World, on_every_backend, on_servers, sessions, unsigned_and_signed};

on_every_backend!(
    edits_of_different_attributes_at_once_all_stand,
    increments_and_members_at_once_add_up,
    a_removal_survives_an_edit_of_another_attribute,
    a_clear_removes_what_others_set_before_it,
    an_expectation_that_does_not_hold_changes_nothing,
    an_attribute_of_another_kind_is_an_error_and_changes_nothing,
    state_and_attributes_change_together,
    an_edit_without_effect_writes_nothing,
    bad_names_and_too_many_attributes_are_refused,
    a_saved_session_is_as_the_version_that_it_has,
    a_change_that_a_request_has_read_already_is_made_if_others_undid_it,
);

on_servers!(
    edits_of_different_attributes_at_once_all_stand,
    increments_and_members_at_once_add_up,
    a_removal_survives_an_edit_of_another_attribute,
    a_clear_removes_what_others_set_before_it,
    an_expectation_that_does_not_hold_changes_nothing,
    an_attribute_of_another_kind_is_an_error_and_changes_nothing,
    state_and_attributes_change_together,
    an_edit_without_effect_writes_nothing,
    bad_names_and_too_many_attributes_are_refused,
    a_saved_session_is_as_the_version_that_it_has,
    a_change_that_a_request_has_read_already_is_made_if_others_undid_it,
);

async fn edits_of_different_attributes_at_once_all_stand(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let edits = (0..40_i64).map(|n| {
        let (sessions, id) = (sessions.clone(), id.clone());
        let edit = Edit::new().set(format!("a{n}"), n);
        tokio::spawn(async move { sessions.edit(&id, &edit).await })
    });
    for edit in edits.collect::<Vec<_>>() {
        edit.await.unwrap().unwrap();
    }
    let attributes = sessions.load(&id).await.unwrap().unwrap().attributes;
    assert_eq!(attributes.len(), 40);
    assert!((0..40).all(|n| attributes.get(&format!("a{n}")) == Some(&Attribute::from(n))));
}

async fn increments_and_members_at_once_add_up(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let edits = (0..40).map(|n| {
        let (sessions, id) = (sessions.clone(), id.clone());
        let edit = Edit::new().increment("hits", 2).insert("seen", format!("page {}", n % 10));
        tokio::spawn(async move { sessions.edit(&id, &edit).await })
    });
    for edit in edits.collect::<Vec<_>>() {
        edit.await.unwrap().unwrap();
    }
    sessions.edit(&id, &Edit::new().discard("seen", "page 3")).await.unwrap();
    let attributes = sessions.load(&id).await.unwrap().unwrap().attributes;
    assert_eq!(attributes.get("hits"), Some(&Attribute::Integer(80)));
    let Some(Attribute::Set(seen)) = attributes.get("seen") else { panic!("no set") };
    assert_eq!((seen.len(), seen.contains("page 3")), (9, false));
}

/// With merged blobs the attribute that one request removes comes back with the other's save.
async fn a_removal_survives_an_edit_of_another_attribute(world: World) {
    let sessions = sessions(&Faulty::new(world.backend.clone()).store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    for _round in 0..20 {
        sessions.edit(&id, &Edit::new().set("coupon", "x").set("theme", "light")).await.unwrap();
        let (remove, change) = (Edit::new().remove("coupon"), Edit::new().set("theme", "dark"));
        let (removed, changed) =
            tokio::join!(sessions.edit(&id, &remove), sessions.edit(&id, &change));
        removed.unwrap();
        changed.unwrap();
        let attributes = sessions.load(&id).await.unwrap().unwrap().attributes;
        assert_eq!(attributes.get("coupon"), None);
        assert_eq!(attributes.get("theme"), Some(&Attribute::from("dark")));
    }
}

async fn a_clear_removes_what_others_set_before_it(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    sessions.edit(&id, &Edit::new().set("theirs", true)).await.unwrap();
    sessions.edit(&id, &Edit::new().set("before", true).clear().set("mine", true)).await.unwrap();
    let attributes = sessions.load(&id).await.unwrap().unwrap().attributes;
    assert_eq!(attributes.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["mine"]);
}

async fn an_expectation_that_does_not_hold_changes_nothing(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let first = Edit::new().expect("step", None).set("step", 1);
    sessions.edit(&id, &first).await.unwrap();
    let version = sessions.load(&id).await.unwrap().unwrap().version;
    let again = sessions.edit(&id, &Edit::new().set("x", 1).then(first)).await;
    assert!(matches!(again, Err(SessionError::Changed)), "{again:?}");
    let session = sessions.load(&id).await.unwrap().unwrap();
    assert_eq!((session.version, session.attributes.get("x")), (version, None));
    let next = Edit::new().expect("step", Some(Attribute::from(1))).set("step", 2);
    sessions.edit(&id, &next).await.unwrap();
}

async fn an_attribute_of_another_kind_is_an_error_and_changes_nothing(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    sessions.edit(&id, &Edit::new().set("theme", "dark").set("n", i64::MAX)).await.unwrap();
    for bad in [
        Edit::new().increment("theme", 1),
        Edit::new().insert("theme", "x"),
        Edit::new().discard("theme", "x"),
        Edit::new().set("other", 1).increment("n", 1),
    ] {
        let refused = sessions.edit(&id, &bad).await;
        assert!(matches!(refused, Err(SessionError::Store(_))), "{bad:?}");
    }
    let attributes = sessions.load(&id).await.unwrap().unwrap().attributes;
    assert_eq!(attributes.len(), 2);
}

async fn state_and_attributes_change_together(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let changed = sessions.update_all(&id, |basket, attributes| {
        basket.items.push(7);
        attributes.increment("items", 1)
    });
    assert_eq!(changed.await.unwrap().output.unwrap(), 1);
    let session = sessions.load(&id).await.unwrap().unwrap();
    assert_eq!(session.state.items, [7]);
    assert_eq!(session.attributes.get("items"), Some(&Attribute::from(1)));
}

async fn an_edit_without_effect_writes_nothing(world: World) {
    let faulty = Faulty::new(world.backend.clone());
    let sessions = sessions(&faulty.store());
    let id = sessions.create(Basket::default()).await.unwrap().id;
    sessions.edit(&id, &Edit::new().set("theme", "dark")).await.unwrap();
    faulty.trips();
    sessions.edit(&id, &Edit::new().set("theme", "dark").remove("none")).await.unwrap();
    assert_eq!(faulty.trips(), 1);
    sessions.edit(&id, &Edit::new()).await.unwrap();
    assert_eq!(faulty.trips(), 0);
}

async fn bad_names_and_too_many_attributes_are_refused(world: World) {
    let sessions = world.sessions();
    let id = sessions.create(Basket::default()).await.unwrap().id;
    for name in [String::new(), "n".repeat(Attributes::NAME_LEN_MAX + 1)] {
        assert!(sessions.edit(&id, &Edit::new().set(name, 1)).await.is_err());
    }
    let many = |count: usize| (0..count).fold(Edit::new(), |edit, n| edit.set(format!("a{n}"), 1));
    assert!(sessions.edit(&id, &many(Attributes::COUNT_MAX + 1)).await.is_err());
    assert!(sessions.load(&id).await.unwrap().unwrap().attributes.is_empty());
    sessions.edit(&id, &many(Attributes::COUNT_MAX)).await.unwrap();
}

/// Others changed the session after the request had read it. A client that is told the version may
/// overwrite what has it.
async fn a_saved_session_is_as_the_version_that_it_has(world: World) {
    let sessions = world.sessions();
    for id in unsigned_and_signed(&sessions).await {
        for by_update in [false, true] {
            let request = SessionHandle::new(&sessions, Some(id.clone()), Mode::Normal);
            request.edit(Edit::new().increment("here", 1)).await.unwrap();
            sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
            sessions.edit(&id, &Edit::new().increment("there", 1)).await.unwrap();
            if by_update {
                request.update(|basket| basket.items.push(2)).await.unwrap();
            }
            let _kept = request.commit().await.unwrap();
            let got = request.get().await.unwrap().unwrap();
            let stored = sessions.load(&id).await.unwrap().unwrap();
            assert_eq!(got.version, stored.version);
            assert_eq!((&got.state, &got.attributes), (&stored.state, &stored.attributes));
        }
    }
}

/// The request asked for its session first, and what it wants to set was there.
async fn a_change_that_a_request_has_read_already_is_made_if_others_undid_it(world: World) {
    let sessions = world.sessions();
    let set = |theme: &str| Edit::new().set("theme", theme);
    for id in unsigned_and_signed(&sessions).await {
        sessions.edit(&id, &set("dark")).await.unwrap();
        let [by_edit, by_update] =
            [(); 2].map(|()| SessionHandle::new(&sessions, Some(id.clone()), Mode::Normal));
        for request in [&by_edit, &by_update] {
            assert!(request.get().await.unwrap().is_some());
        }
        sessions.edit(&id, &set("light")).await.unwrap();
        sessions.update(&id, |basket| basket.items.push(1)).await.unwrap();
        by_edit.edit(set("dark")).await.unwrap();
        let _kept = by_edit.commit().await.unwrap();
        by_update.update(|basket| basket.items.clear()).await.unwrap();
        let session = sessions.load(&id).await.unwrap().unwrap();
        assert_eq!(session.attributes.get("theme"), Some(&Attribute::from("dark")));
        assert_eq!(session.state.items, [0; 0]);
    }
}
