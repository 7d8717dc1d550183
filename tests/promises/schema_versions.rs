//! A rolling deploy logs everybody out, or an old build overwrites what it cannot read: the state
//! of two builds of one service meets in one store.

use serde::{Deserialize, Serialize};
use steadfast::backend::{ErrorKind, Group};
use steadfast::idempotency::{Begin, Completion, Fingerprint, IdempotencyKey};
use steadfast::schema::{Downcast, Older};
use steadfast::session::SessionError;
use steadfast::{Idempotency, Result, Sessions, State, Store};

use crate::world::{World, acquired_as, on_every_backend, on_servers, scope, stored_bytes};

on_every_backend!(
    a_record_of_any_age_comes_up_step_by_step,
    two_builds_share_sessions_while_the_floor_holds,
    after_finalize_the_old_build_reports_and_keeps_what_is_new,
    a_record_that_is_new_is_never_written_old_again,
    before_finalize_a_rollback_loses_nothing,
    an_answer_of_an_old_build_is_replayed_by_a_new_one,
    a_floor_without_a_downcast_writes_nothing,
    a_version_that_is_not_read_any_more_is_kept,
    a_step_that_does_not_go_down_is_an_error,
    a_floor_that_is_no_version_is_refused_at_the_start,
);

on_servers!(
    a_record_of_any_age_comes_up_step_by_step,
    two_builds_share_sessions_while_the_floor_holds,
    a_record_that_is_new_is_never_written_old_again,
    before_finalize_a_rollback_loses_nothing,
    an_answer_of_an_old_build_is_replayed_by_a_new_one,
    a_step_that_does_not_go_down_is_an_error;
    after_finalize_the_old_build_reports_and_keeps_what_is_new,
    a_floor_without_a_downcast_writes_nothing,
    a_version_that_is_not_read_any_more_is_kept,
);

/// The first release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CartV1(Vec<String>);

impl State for CartV1 {
    const SCHEMA: u16 = 1;
}

/// The second one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CartV2(Vec<(String, u32)>);

impl State for CartV2 {
    const SCHEMA: u16 = 2;

    fn upcast(older: Older<'_>) -> Result<Self> {
        let CartV1(items) = older.read()?;
        Ok(Self(items.into_iter().map(|item| (item, 1)).collect()))
    }

    fn downcast(&self, to: Downcast) -> Result<Vec<u8>> {
        to.write(&CartV1(self.0.iter().map(|(item, _count)| item.clone()).collect()))
    }
}

/// The third one has a coupon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CartV3 {
    items: Vec<(String, u32)>,
    coupon: Option<String>,
}

impl State for CartV3 {
    const SCHEMA: u16 = 3;

    fn upcast(older: Older<'_>) -> Result<Self> {
        let CartV2(items) = older.read()?;
        Ok(Self { items, coupon: None })
    }

    fn downcast(&self, to: Downcast) -> Result<Vec<u8>> {
        to.write(&CartV2(self.items.clone()))
    }
}

fn apples() -> CartV1 {
    CartV1(vec!["apple".to_owned()])
}

fn sessions<T: State>(store: &Store) -> Sessions<T> {
    Sessions::builder(store).build().unwrap()
}

/// A new build that still writes what the build of `schema` reads.
fn floored<T: State>(world: &World, schema: u16) -> Store {
    Store::builder(world.backend.clone()).write_floor::<T>(schema).build().unwrap()
}

async fn a_record_of_any_age_comes_up_step_by_step(world: World) {
    let key = world.store.key("cart", &Group::new("g").unwrap(), "one").unwrap();
    let put = world.store.put_write(&key, &apples()).unwrap();
    assert!(world.store.write(&put).await.unwrap().is_applied());
    let newest = CartV3 { items: vec![("apple".to_owned(), 1)], coupon: None };
    assert_eq!(world.store.get::<CartV3>(&key).await.unwrap().unwrap().value, newest);
    let coupon = |cart: &mut Option<CartV3>| {
        cart.as_mut().unwrap().coupon = Some("spring".to_owned());
    };
    world.store.update(&key, None, coupon).await.unwrap();
    let cart = world.store.get::<CartV3>(&key).await.unwrap().unwrap().value;
    assert_eq!(cart.coupon.as_deref(), Some("spring"));
    assert_eq!(world.store.get::<CartV1>(&key).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

async fn two_builds_share_sessions_while_the_floor_holds(world: World) {
    let old = sessions::<CartV1>(&world.store);
    let new = sessions::<CartV3>(&floored::<CartV3>(&world, 1));
    let of_old = old.create(apples()).await.unwrap().id;
    let of_new =
        new.create(CartV3 { items: vec![("apple".to_owned(), 1)], coupon: None }).await.unwrap().id;
    for id in [of_old, of_new] {
        old.update(&id, |cart| cart.0.push("pear".to_owned())).await.unwrap();
        new.update(&id, |cart| cart.items.push(("plum".to_owned(), 1))).await.unwrap();
        let seen_by_old = old.load(&id).await.unwrap().unwrap().state;
        assert_eq!(seen_by_old.0, ["apple", "pear", "plum"]);
        let seen_by_new = new.load(&id).await.unwrap().unwrap().state;
        assert_eq!(seen_by_new.items.len(), 3);
    }
}

async fn after_finalize_the_old_build_reports_and_keeps_what_is_new(world: World) {
    let (old, store) = (sessions::<CartV1>(&world.store), floored::<CartV3>(&world, 1));
    let new = sessions::<CartV3>(&store);
    let id = old.create(apples()).await.unwrap().id;
    store.finalize::<CartV3>();
    new.update(&id, |cart| cart.coupon = Some("spring".to_owned())).await.unwrap();

    let before = stored_bytes(&world).await;
    assert_eq!(old.load(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let late = old.update(&id, |cart| cart.0.clear()).await;
    assert!(matches!(late, Err(SessionError::Store(e)) if e.kind() == ErrorKind::Corrupt));
    assert_eq!(stored_bytes(&world).await, before);
    assert!(new.load(&id).await.unwrap().unwrap().state.coupon.is_some());
}

/// A peer has finalized already; this one has not, and must not lose the coupon.
async fn a_record_that_is_new_is_never_written_old_again(world: World) {
    let (ahead, behind) =
        (sessions::<CartV3>(&world.store), sessions::<CartV3>(&floored::<CartV3>(&world, 1)));
    let cart = CartV3 { items: vec![], coupon: Some("spring".to_owned()) };
    let id = ahead.create(cart.clone()).await.unwrap().id;
    behind.update(&id, |cart| cart.items.push(("apple".to_owned(), 2))).await.unwrap();
    let state = ahead.load(&id).await.unwrap().unwrap().state;
    assert_eq!((state.coupon, state.items), (cart.coupon, vec![("apple".to_owned(), 2)]));
}

async fn before_finalize_a_rollback_loses_nothing(world: World) {
    let new = sessions::<CartV3>(&floored::<CartV3>(&world, 1));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let cart = CartV3 { items: vec![("apple".to_owned(), 1)], coupon: None };
        ids.push(new.create(cart).await.unwrap().id);
    }
    drop(new);
    let old = sessions::<CartV1>(&world.store);
    for id in &ids {
        assert_eq!(old.load(id).await.unwrap().unwrap().state, apples());
    }
}

async fn an_answer_of_an_old_build_is_replayed_by_a_new_one(world: World) {
    let (key, asked) = (IdempotencyKey::new("k-1").unwrap(), Fingerprint::of(["pay"]));
    let old = Idempotency::<CartV1>::builder(&world.store).build().unwrap();
    let claim = acquired_as(old.begin(&scope(), &key, &asked).await.unwrap());
    assert!(matches!(claim.complete(&apples()).await.unwrap(), Completion::Completed));
    let new = Idempotency::<CartV3>::builder(&world.store).build().unwrap();
    let Begin::Replay(cart) = new.begin(&scope(), &key, &asked).await.unwrap() else {
        panic!("no replay")
    };
    assert_eq!(cart.items, [("apple".to_owned(), 1)]);
}

async fn a_floor_without_a_downcast_writes_nothing(world: World) {
    #[derive(Serialize, Deserialize)]
    struct OneWay(u32);
    impl State for OneWay {
        const SCHEMA: u16 = 2;
    }
    let sessions = sessions::<OneWay>(&floored::<OneWay>(&world, 1));
    let error = sessions.create(OneWay(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("downcast"), "{error}");
    assert!(stored_bytes(&world).await.is_empty());
}

async fn a_version_that_is_not_read_any_more_is_kept(world: World) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Forgetful(u32);
    impl State for Forgetful {
        const SCHEMA: u16 = 2;
    }
    let id = sessions::<CartV1>(&world.store).create(apples()).await.unwrap().id;
    let before = stored_bytes(&world).await;
    let error = sessions::<Forgetful>(&world.store).load(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("upcast"), "{error}");
    assert_eq!(stored_bytes(&world).await, before);
}

async fn a_step_that_does_not_go_down_is_an_error(world: World) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Circular(u32);
    impl State for Circular {
        const SCHEMA: u16 = 2;
        fn upcast(older: Older<'_>) -> Result<Self> {
            older.read()
        }
        fn downcast(&self, to: Downcast) -> Result<Vec<u8>> {
            to.write(self)
        }
    }
    let id = sessions::<CartV1>(&world.store).create(apples()).await.unwrap().id;
    let error = sessions::<Circular>(&world.store).load(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = sessions(&floored::<Circular>(&world, 1)).create(Circular(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

async fn a_floor_that_is_no_version_is_refused_at_the_start(world: World) {
    for floor in [0, 4] {
        let builder = Store::builder(world.backend.clone()).write_floor::<CartV3>(floor);
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Invalid, "{floor}");
    }
}
