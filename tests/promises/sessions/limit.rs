//! A limit that is checked before the session is created is exceeded by simultaneous sign-ins.

use steadfast::backend::ErrorKind;
use steadfast::session::{AtLimit, SessionError, SessionsBuilder};
use steadfast::{Sessions, Store};

use crate::declared::Declared;
use crate::fault::Faulty;
use crate::world::{Basket, IDLE, World, alice, on_every_backend, on_servers};

on_every_backend!(
    simultaneous_sign_ins_never_exceed_the_limit,
    a_refused_sign_in_ends_nothing,
    an_ended_session_makes_room,
    an_elevation_counts;
    the_default_limit_fits_what_the_backend_changes_together,
);

on_servers!(
    simultaneous_sign_ins_never_exceed_the_limit,
    a_refused_sign_in_ends_nothing,
    an_elevation_counts,
);

const LIMIT: usize = 3;

async fn the_default_limit_fits_what_the_backend_changes_together(world: World) {
    let build = |together, sessions: Option<usize>| {
        let backend = Declared::by(world.backend.clone(), |it| it.batch_len_max = together);
        let store = Store::builder(backend).build().unwrap();
        let builder = Sessions::<Basket>::builder(&store).at_limit(AtLimit::Refuse);
        sessions.into_iter().fold(builder, SessionsBuilder::per_principal_max).build()
    };
    assert!(build(256, None).is_ok());
    let sessions = build(6, None).unwrap();
    for _session in 0..2 {
        sessions.sign_in(&alice(), "x", Basket::default()).await.unwrap();
    }
    let third = sessions.sign_in(&alice(), "x", Basket::default()).await;
    assert!(matches!(third, Err(SessionError::LimitReached { live: 2 })));

    let error = build(256, Some(253)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("per_principal_max is 1 to 252"), "{error}");
    assert!(build(4, None).unwrap_err().to_string().contains("batch_len_max"));
}

fn limited(world: &World, at_limit: AtLimit) -> Sessions<Basket> {
    let store = Faulty::new(world.backend.clone()).store();
    let builder = Sessions::<Basket>::builder(&store).idle(IDLE).per_principal_max(LIMIT);
    builder.at_limit(at_limit).build().unwrap()
}

async fn simultaneous_sign_ins_never_exceed_the_limit(world: World) {
    for at_limit in [AtLimit::EvictOldest, AtLimit::Refuse] {
        let sessions = limited(&world, at_limit);
        let sign_ins = (0..20).map(|_| {
            let sessions = sessions.clone();
            tokio::spawn(async move { sessions.sign_in(&alice(), "x", Basket::default()).await })
        });
        let mut ids = Vec::new();
        for sign_in in sign_ins.collect::<Vec<_>>() {
            match sign_in.await.unwrap() {
                Ok(session) => ids.push(session.id),
                Err(SessionError::LimitReached { live }) => assert_eq!(live, LIMIT),
                Err(error) => panic!("{error}"),
            }
        }
        let mut live = 0;
        for id in &ids {
            live += usize::from(sessions.load(id).await.unwrap().is_some());
        }
        assert_eq!(live, LIMIT);
        assert_eq!(ids.len(), if at_limit == AtLimit::Refuse { LIMIT } else { 20 });
        sessions.destroy_all(&alice()).await.unwrap();
    }
}

async fn a_refused_sign_in_ends_nothing(world: World) {
    let sessions = limited(&world, AtLimit::Refuse);
    let mut ids = Vec::new();
    for _ in 0..LIMIT {
        ids.push(sessions.sign_in(&alice(), "x", Basket::default()).await.unwrap().id);
    }
    let refused = sessions.sign_in(&alice(), "x", Basket::default()).await;
    assert!(matches!(refused, Err(SessionError::LimitReached { live: LIMIT })));
    for id in &ids {
        assert!(sessions.load(id).await.unwrap().is_some());
    }
}

async fn an_ended_session_makes_room(world: World) {
    let sessions = limited(&world, AtLimit::Refuse);
    let mut ids = Vec::new();
    for _ in 0..LIMIT {
        ids.push(sessions.sign_in(&alice(), "x", Basket::default()).await.unwrap().id);
    }
    sessions.destroy(&ids[1]).await.unwrap();
    ids.push(sessions.sign_in(&alice(), "x", Basket::default()).await.unwrap().id);
    // So do those that nobody ended.
    world.clock.advance(IDLE * 2);
    for _ in 0..LIMIT {
        sessions.sign_in(&alice(), "x", Basket::default()).await.unwrap();
    }
    assert!(sessions.sign_in(&alice(), "x", Basket::default()).await.is_err());
}

async fn an_elevation_counts(world: World) {
    let sessions = limited(&world, AtLimit::Refuse);
    for _ in 0..LIMIT {
        let id = sessions.create(Basket::default()).await.unwrap().id;
        sessions.elevate(&id, &alice(), "x").await.unwrap();
    }
    let id = sessions.create(Basket::default()).await.unwrap().id;
    let refused = sessions.elevate(&id, &alice(), "x").await;
    assert!(matches!(refused, Err(SessionError::LimitReached { live: LIMIT })));
    assert!(sessions.load(&id).await.unwrap().is_some(), "the anonymous session stays");
}
